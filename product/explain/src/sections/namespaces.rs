//! The eight namespaces: inode, whose, who else.

use inspect::NamespaceKind;

use crate::report::Section;
use crate::sections::relation;
use crate::view::{NamespaceView, Relation, View, Who};
use crate::words;

pub(super) fn section(view: &View) -> Section {
    let mut section = Section::new("namespaces", "Namespaces");
    let namespaces = match &view.namespaces {
        Ok(namespaces) => namespaces,
        Err(error) => {
            section.unread("namespaces", error);
            return section;
        }
    };
    let own = namespaces.iter().filter(|view| view.relation != Relation::Hosts).count();
    section.verdict = Some(match own {
        0 => "all of them the host's".to_owned(),
        own => format!("{own} of {} are not the host's", namespaces.len()),
    });
    for namespace in namespaces {
        let kind = namespace.namespace.value.kind;
        let value = format!(
            "{} {}{}",
            namespace.namespace.value.inode,
            relation(namespace.relation),
            others(namespace)
        );
        section.line(kind.as_str(), value, &namespace.namespace.source, meaning(kind));
    }
    if view.unreadable_processes > 0 {
        let value = words::count(view.unreadable_processes, "process", "processes");
        let meaning = "Their namespaces may not be read, so they are in no count above; root may read them.";
        section.line("not seen", value, "/proc", meaning);
    }
    section
}

fn others(view: &NamespaceView) -> String {
    if view.relation == Relation::Hosts {
        let all = view.insiders.len() + view.outsiders.len();
        return format!(", {}", words::count(all + 1, "process", "processes"));
    }
    let name = |who: &Who| format!("{} ({})", words::printable(&who.name), who.pid);
    let mut text = String::new();
    if !view.insiders.is_empty() {
        text.push_str(&format!(", with {} of its own", view.insiders.len()));
    }
    if !view.outsiders.is_empty() {
        let names: Vec<String> = view.outsiders.iter().map(name).collect();
        text.push_str(&format!(", also in it: {}", words::list(&names, 4)));
    }
    text
}

fn meaning(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Mnt => "Which mounts exist: what / and everything below it is.",
        NamespaceKind::Pid => "Which processes exist, and what their numbers are.",
        NamespaceKind::Net => "Interfaces, addresses, routes, ports and firewall.",
        NamespaceKind::User => "What user ids mean, and over what capabilities have power.",
        NamespaceKind::Uts => "The host name and the NIS domain name.",
        NamespaceKind::Ipc => "System V shared memory, semaphores and POSIX message queues.",
        NamespaceKind::Cgroup => "Which cgroup it sees as the root of the tree.",
        NamespaceKind::Time => "Offsets of the monotonic and boot clocks; wall time is never shifted.",
    }
}
