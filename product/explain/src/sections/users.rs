//! Who the process is, inside and on the host.

use inspect::NamespaceKind;
use inspect::idmap::IdMap;

use crate::report::Section;
use crate::sections::verdict;
use crate::view::{Seen, View};

pub(super) fn section(view: &View) -> Section {
    let mut section = Section::new("users", "Users");
    section.verdict = verdict(view, NamespaceKind::User);
    match &view.status {
        Err(error) => section.unread("user", error),
        Ok(status) => {
            let uid = status.value.uid.effective;
            let inside = view.uid_map.as_ref().ok().and_then(|map| map.value.inside(uid));
            let value = match inside {
                Some(inside) if inside != uid => format!("{inside} inside, {uid} on the host"),
                _ => uid.to_string(),
            };
            section.line("user", value, &status.source, user(inside.unwrap_or(uid), uid));
            let groups: Vec<String> = status.value.groups.iter().map(u32::to_string).collect();
            let more = if groups.is_empty() { String::new() } else { format!(", also {}", groups.join(" ")) };
            let value = format!("{}{more}", status.value.gid.effective);
            section.line(
                "group",
                value,
                &status.source,
                "Its group ids on the host, for access to shared files.",
            );
        }
    }
    map(&mut section, "uid map", &view.uid_map);
    map(&mut section, "gid map", &view.gid_map);
    section
}

fn user(inside: u32, outside: u32) -> &'static str {
    match (inside, outside) {
        (0, 0) => "Root inside is root on the host; only capabilities, seccomp and namespaces hold it back.",
        (0, _) => "Root inside only: if it breaks out, it is an ordinary user of the host without rights.",
        _ => "An ordinary user, inside and outside.",
    }
}

fn map(section: &mut Section, name: &'static str, map: &Seen<IdMap>) {
    match map {
        Err(error) => section.unread(name, error),
        Ok(found) if found.value.is_identity() => {
            section.line(
                name,
                "none (every id is itself)",
                &found.source,
                "Ids mean the same inside and on the host.",
            );
        }
        Ok(found) if found.value.0.is_empty() => {
            section.line(
                name,
                "empty",
                &found.source,
                "Nobody is mapped yet: every id shows as the overflow id 65534.",
            );
        }
        Ok(found) => {
            for range in &found.value.0 {
                let last = |first: u32| u64::from(first) + u64::from(range.count).saturating_sub(1);
                let value = format!(
                    "{}-{} inside are {}-{}",
                    range.inside,
                    last(range.inside),
                    range.outside,
                    last(range.outside)
                );
                section.line(
                    name,
                    value,
                    &found.source,
                    "Ids are shifted: what is not in the range does not exist inside.",
                );
            }
        }
    }
}
