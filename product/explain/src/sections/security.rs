//! What the process may ask of the kernel.

use inspect::CapSet;
use inspect::mounts::Mount;
use inspect::status::{SeccompMode, Status};

use crate::baseline::Baseline;
use crate::facts::{ContainerFacts, SeccompFacts};
use crate::report::Section;
use crate::view::View;
use crate::words;

pub(super) fn section(view: &View, facts: Option<&ContainerFacts>, baseline: &Baseline) -> Section {
    let mut section = Section::new("security", "Security");
    if let Some(facts) = facts.filter(|facts| facts.privileged) {
        let meaning =
            "All capabilities, all devices, no filter and no masks: root inside is as good as root outside.";
        section.line("privileged", "yes, --privileged", &facts.record, meaning);
    }
    match &view.status {
        Err(error) => section.unread("capabilities", error),
        Ok(status) => {
            section.verdict = Some(verdict(&status.value, baseline).to_owned());
            capabilities(&mut section, &status.value, &status.source, baseline);
            no_new_privs(&mut section, &status.value, &status.source);
            seccomp(&mut section, &status.value, &status.source, facts);
            filter(&mut section, view);
        }
    }
    modules(&mut section, view);
    protected_paths(&mut section, view);
    section
}

fn verdict(status: &Status, baseline: &Baseline) -> &'static str {
    let added = !status.capabilities.effective.without(baseline.capabilities).is_empty();
    let filtered = matches!(status.seccomp, Some(SeccompMode::Filter | SeccompMode::Strict));
    match (added, filtered) {
        (false, true) => "no more capabilities than docker's default, system calls filtered",
        (false, false) => "no more capabilities than docker's default, no filter of system calls",
        (true, true) => "more capabilities than docker's default, system calls filtered",
        (true, false) => "more capabilities than docker's default, no filter of system calls",
    }
}

fn capabilities(section: &mut Section, status: &Status, source: &str, baseline: &Baseline) {
    let effective = status.capabilities.effective;
    let source = format!("CapEff, CapBnd in {source}");
    let meaning = "Root's power is cut in pieces; the kernel looks at these, not at the user id.";
    section.line("capabilities", held(effective), &source, meaning);
    let added = effective.without(baseline.capabilities);
    let dropped = baseline.capabilities.without(effective);
    let value = match (added.is_empty(), dropped.is_empty()) {
        (true, true) => "docker's default".to_owned(),
        _ => {
            let named =
                |set: CapSet| if set.is_empty() { "none".to_owned() } else { words::list(&set.names(), 41) };
            format!("added: {}; dropped: {}", named(added), named(dropped))
        }
    };
    section.line("against default", value, &source, "Compared with the 14 that docker gives a container.");
    let bounding = status.capabilities.bounding;
    if bounding != effective {
        let meaning = "The ceiling: no program it starts, set-uid or not, gets beyond these.";
        section.line("bounding set", held(bounding), &source, meaning);
    }
}

fn held(set: CapSet) -> String {
    match set.len() {
        0 => "none".to_owned(),
        // The whole list of a privileged process would fill the screen and say nothing.
        count if count >= 30 => {
            format!("{count}, with SYS_ADMIN: {}", if set.has("SYS_ADMIN") { "yes" } else { "no" })
        }
        count => format!("{count}: {}", words::list(&set.names(), 41)),
    }
}

fn no_new_privs(section: &mut Section, status: &Status, source: &str) {
    let Some(set) = status.no_new_privs else { return };
    let (value, meaning) = if set {
        ("set", "Set-uid programs and file capabilities give it nothing.")
    } else {
        ("not set", "A set-uid program can still raise it, within the bounding set.")
    };
    section.line("no_new_privs", value, format!("NoNewPrivs in {source}"), meaning);
}

fn seccomp(section: &mut Section, status: &Status, source: &str, facts: Option<&ContainerFacts>) {
    let source = format!("Seccomp in {source}");
    match status.seccomp {
        None => {}
        Some(SeccompMode::Disabled) => {
            section.line(
                "system calls",
                "all allowed",
                source,
                "There is no filter: all of the kernel's calls are open.",
            );
        }
        Some(SeccompMode::Strict) => {
            section.line(
                "system calls",
                "four allowed",
                source,
                "Strict mode: read, write, exit and sigreturn only.",
            );
        }
        Some(SeccompMode::Filter) => {
            let filters = words::count(status.seccomp_filters.unwrap_or(1) as usize, "filter", "filters");
            let (counts, source) = match facts.map(|facts| (&facts.seccomp, facts.specification.as_str())) {
                Some((SeccompFacts::Filter { denied: Some(denied), conditional, known }, record)) => {
                    let of = known.map(|known| format!(" of {known}")).unwrap_or_default();
                    let some =
                        conditional.filter(|count| *count > 0).map(|count| format!(", {count} by argument"));
                    let counts = format!(": {denied}{of} calls denied{}", some.unwrap_or_default());
                    (counts, format!("{source}, {record}"))
                }
                _ => (String::new(), source),
            };
            let meaning = "The kernel runs the filter before each system call and refuses what it denies.";
            section.line("system calls", format!("{filters}{counts}"), source, meaning);
        }
    }
}

/// What the kernel's own copy of the filters does.
fn filter(section: &mut Section, view: &View) {
    let found = match &view.filter {
        None => return,
        Some(Err(error)) => return section.unread("filter", error),
        Some(Ok(found)) => found,
    };
    let summary = &found.value;
    let count = format!("{} of {} calls denied", summary.denied.len(), summary.known);
    let meaning = "Counted by following the installed filters for each call.";
    section.line("filter denies", count, &found.source, meaning);
    if !summary.denied.is_empty() {
        let names = words::list(&summary.denied, 200);
        section.line("denied", names, &found.source, "These calls fail whatever their arguments.");
    }
    if !summary.conditional.is_empty() {
        let names = words::list(&summary.conditional, 50);
        section.line(
            "by argument",
            names,
            &found.source,
            "These calls get through with some arguments only.",
        );
    }
}

fn modules(section: &mut Section, view: &View) {
    if let Some(active) = &view.security_modules {
        let value = if active.value.is_empty() { "none".to_owned() } else { active.value.join(", ") };
        section.line("modules", value, &active.source, "The security modules that the kernel asks besides.");
    }
    match &view.label {
        Ok(Some(label)) => {
            let meaning = match label.value.as_str() {
                "unconfined" => "AppArmor is on, and no profile of it confines this process.",
                _ => "The profile or label that such a module confines it by.",
            };
            section.line("label", words::printable(&label.value), &label.source, meaning);
        }
        Ok(None) => {
            let source = format!("{}/attr/current", view.proc_path);
            section.line("label", "none", source, "No module gives labels here (no AppArmor, no SELinux).");
        }
        Err(error) => section.unread("label", error),
    }
}

/// Masks and write protection as the mount table shows them.
fn protected_paths(section: &mut Section, view: &View) {
    let Ok(table) = &view.mounts else { return };
    let below = |mount: &&Mount| {
        let path = mount.mount_point.as_str();
        // The directory of v1's trees is a tmpfs that hides nothing.
        (path.starts_with("/proc/") || path.starts_with("/sys/")) && !path.starts_with("/sys/fs/cgroup")
    };
    let names = |wanted: fn(&Mount) -> bool| {
        let found = table.value.iter().filter(below).filter(|mount| wanted(mount));
        found.map(|mount| mount.mount_point.clone()).collect::<Vec<_>>()
    };
    let masked = names(|mount| matches!(mount.fs_type.as_str(), "tmpfs" | "devtmpfs"));
    if !masked.is_empty() {
        let value = format!("{}: {}", masked.len(), words::list(&masked, 4));
        section.line(
            "masked paths",
            value,
            &table.source,
            "Covered by empty mounts: they tell or change too much of the host.",
        );
    }
    let read_only = names(|mount| mount.fs_type == "proc" && mount.is_read_only());
    if !read_only.is_empty() {
        let value = format!("{}: {}", read_only.len(), words::list(&read_only, 6));
        section.line(
            "read-only paths",
            value,
            &table.source,
            "The kernel's switches can be seen, not turned.",
        );
    }
}
