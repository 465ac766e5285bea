//! Limits that many containers meet before memory runs out.

use inspect::host::LimitFact;

use super::{Finding, Group, Level};

/// What is wanted of a limit.
struct Wanted {
    name: &'static str,
    /// Less than this is a warning.
    least: u64,
    /// Who meets it.
    who: &'static str,
    fix: &'static str,
}

pub(super) fn finding(fact: &LimitFact) -> Finding {
    let wanted = WANTED.iter().find(|wanted| wanted.name == fact.name);
    let value = match (fact.value, fact.unlimited) {
        (_, true) => "no limit".to_owned(),
        (Some(value), _) => value.to_string(),
        (None, false) => "not there".to_owned(),
    };
    let low = wanted.is_some_and(|wanted| fact.value.is_some_and(|value| value < wanted.least));
    let level = match (low, fact.value.is_some() || fact.unlimited) {
        (true, _) => Level::Warning,
        (false, true) => Level::Ok,
        (false, false) => Level::Note,
    };
    let who = wanted.map_or("This kernel's limit.", |wanted| wanted.who);
    let consequence = match level {
        Level::Warning => {
            format!("{who} That is little: {} or more is wanted.", wanted.map_or(0, |w| w.least))
        }
        Level::Note => format!("{who} This kernel does not have it, or does not show it."),
        _ => who.to_owned(),
    };
    Finding {
        id: fact.name.clone(),
        group: Group::Limits,
        level,
        value,
        consequence,
        fix: wanted.filter(|_| low).map(|wanted| wanted.fix.to_owned()),
    }
}

const WANTED: [Wanted; 17] = [
    Wanted {
        name: "nofile",
        least: 65_536,
        who: "How many files a container's process can have open; `--ulimit nofile` cannot pass it.",
        fix: "raise the hard limit of who starts strake: LimitNOFILE=1048576 in a unit, or /etc/security/limits.conf",
    },
    Wanted {
        name: "nproc",
        least: 4_096,
        who: "How many processes one user can have, over all containers that share the user.",
        fix: "raise the hard limit of who starts strake: LimitNPROC=infinity in a unit",
    },
    Wanted {
        name: "memlock",
        least: 65_536,
        who: "How many bytes a process can lock in memory.",
        fix: "raise the hard limit of who starts strake: LimitMEMLOCK=8M in a unit",
    },
    Wanted {
        name: "kernel.pid_max",
        least: 32_768,
        who: "How many processes and threads the host and all containers can have.",
        fix: "sysctl -w kernel.pid_max=4194304",
    },
    Wanted {
        name: "kernel.threads-max",
        least: 16_384,
        who: "How many threads the host and all containers can have.",
        fix: "sysctl -w kernel.threads-max=100000",
    },
    Wanted {
        name: "kernel.keys.maxkeys",
        least: 200,
        who: "How many keys one user can have; each container has a session keyring.",
        fix: "sysctl -w kernel.keys.maxkeys=1000",
    },
    Wanted {
        name: "kernel.keys.root_maxkeys",
        least: 10_000,
        who: "How many keys root can have; each container has a session keyring.",
        fix: "sysctl -w kernel.keys.root_maxkeys=1000000",
    },
    Wanted {
        name: "fs.file-max",
        least: 100_000,
        who: "How many files can be open on the whole host.",
        fix: "sysctl -w fs.file-max=1000000",
    },
    Wanted {
        name: "fs.inotify.max_user_instances",
        least: 512,
        who: "How many watchers of files one user can have, over all containers that share the user.",
        fix: "sysctl -w fs.inotify.max_user_instances=8192",
    },
    Wanted {
        name: "fs.inotify.max_user_watches",
        least: 65_536,
        who: "How many files one user's watchers can watch, over all containers that share the user.",
        fix: "sysctl -w fs.inotify.max_user_watches=524288",
    },
    Wanted {
        name: "fs.mount-max",
        least: 10_000,
        who: "How many mounts a container can have.",
        fix: "sysctl -w fs.mount-max=100000",
    },
    Wanted {
        name: "vm.max_map_count",
        least: 65_530,
        who: "How many memory maps a process can have; Elasticsearch wants 262144.",
        fix: "sysctl -w vm.max_map_count=262144",
    },
    Wanted {
        name: "user.max_user_namespaces",
        least: 1_000,
        who: "How many user namespaces can be made: one a rootless container.",
        fix: "sysctl -w user.max_user_namespaces=15000",
    },
    Wanted {
        name: "user.max_net_namespaces",
        least: 1_000,
        who: "How many network namespaces can be made: one a container.",
        fix: "sysctl -w user.max_net_namespaces=15000",
    },
    Wanted {
        name: "user.max_mnt_namespaces",
        least: 1_000,
        who: "How many mount namespaces can be made: one a container.",
        fix: "sysctl -w user.max_mnt_namespaces=15000",
    },
    Wanted {
        name: "net.core.somaxconn",
        least: 128,
        who: "How many connections can wait to be accepted; a container has its own copy.",
        fix: "sysctl -w net.core.somaxconn=4096",
    },
    Wanted {
        name: "net.ipv4.ip_unprivileged_port_start",
        least: 0,
        who: "The first port that an ordinary user can publish.",
        fix: "sysctl -w net.ipv4.ip_unprivileged_port_start=80",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(name: &str, value: Option<u64>, unlimited: bool) -> LimitFact {
        LimitFact { name: name.to_owned(), value, unlimited, source: String::new() }
    }

    #[test]
    fn little_is_a_warning_with_a_fix() {
        for (fact, level) in [
            (fact("nofile", Some(1024), false), Level::Warning),
            (fact("nofile", Some(1 << 20), false), Level::Ok),
            (fact("nofile", None, true), Level::Ok),
            (fact("kernel.pid_max", Some(1000), false), Level::Warning),
            (fact("fs.mount-max", None, false), Level::Note),
            (fact("unheard.of", Some(1), false), Level::Ok),
        ] {
            let found = finding(&fact);
            assert_eq!(found.level, level, "{fact:?}");
            assert_eq!(found.fix.is_some(), level == Level::Warning, "{fact:?}");
        }
    }
}
