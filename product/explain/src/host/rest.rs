//! What is read, not tried: who we are, control groups, firewall, modules, space, users.

use std::collections::BTreeSet;

use inspect::host::{CgroupFacts, Feature, HostFacts, RootlessFacts, Trial};
use inspect::lsm::AppArmorFacts;

use super::{Finding, Group, Level};
use crate::words;

fn finding(group: Group, id: &str, level: Level, value: impl Into<String>, consequence: &str) -> Finding {
    Finding {
        id: id.to_owned(),
        group,
        level,
        value: value.into(),
        consequence: consequence.to_owned(),
        fix: None,
    }
}

impl Finding {
    fn with_fix(self, fix: &str) -> Self {
        Self { fix: Some(fix.to_owned()), ..self }
    }
}

pub(super) fn host(facts: &HostFacts) -> Vec<Finding> {
    let kernel = format!("Linux {} on {}", facts.kernel, facts.machine);
    let mut found = vec![finding(
        Group::Host,
        "kernel",
        Level::Ok,
        kernel,
        "All containers run on it. What it can do was tried, not read off its version.",
    )];
    found.push(match (facts.uid, facts.in_user_namespace) {
        (0, false) => finding(Group::Host, "user", Level::Ok, "root", "Everything can be set up."),
        (0, true) => finding(
            Group::Host,
            "user",
            Level::Note,
            "root of a user namespace",
            "Devices, limits and the host's network are out of reach.",
        ),
        (uid, _) => finding(
            Group::Host,
            "user",
            Level::Note,
            format!("user {uid}"),
            "Containers run rootless: the host's network and devices are out of reach.",
        ),
    });
    found.push(capabilities(&facts.missing_capabilities, facts.uid));
    found
}

fn capabilities(missing: &[String], uid: u32) -> Finding {
    let of = |level, value: String, text: &str| finding(Group::Host, "capabilities", level, value, text);
    if missing.is_empty() {
        return of(
            Level::Ok,
            "all".to_owned(),
            "Containers can be given any capability that this kernel knows.",
        );
    }
    let value = format!("without {}", words::list(missing, 6));
    let effects: Vec<&str> = CAPABILITY_EFFECTS
        .iter()
        .filter(|(name, _)| missing.iter().any(|missing| missing == name))
        .map(|(_, effect)| *effect)
        .collect();
    let mut text = "No container can be given what we have not, privileged or not.".to_owned();
    for effect in effects {
        text.push(' ');
        text.push_str(effect);
    }
    match uid {
        0 => of(Level::Warning, value, &text)
            .with_fix("start strake with a full bounding set: in a container with --privileged, in a unit without CapabilityBoundingSet="),
        _ => of(Level::Note, value, &text),
    }
}

/// What is lost with a capability that some hosts take from root.
const CAPABILITY_EFFECTS: [(&str, &str); 8] = [
    ("CAP_SYS_ADMIN", "Without CAP_SYS_ADMIN only rootless containers can run."),
    ("CAP_NET_ADMIN", "Without CAP_NET_ADMIN there are no networks but the host's and none."),
    ("CAP_SYS_RESOURCE", "Without CAP_SYS_RESOURCE `--ulimit` and `--oom-score-adj` can lower limits only."),
    ("CAP_SYS_PTRACE", "Without CAP_SYS_PTRACE `explain` sees less of other users' processes."),
    ("CAP_MKNOD", "Without CAP_MKNOD images with device files lose them."),
    ("CAP_SYSLOG", "Without CAP_SYSLOG `why dead` cannot name the victim of the OOM killer."),
    ("CAP_BPF", "Without CAP_BPF the root of cgroup v2 cannot limit devices."),
    ("CAP_SYS_MODULE", "Without CAP_SYS_MODULE modules must be loaded by somebody else."),
];

pub(super) fn control_groups(facts: &CgroupFacts) -> Vec<Finding> {
    let group = Group::ControlGroups;
    let Some(mode) = &facts.mode else {
        return vec![
            finding(group, "cgroup", Level::Error, "not mounted", "Containers have no groups: none can run.")
                .with_fix("mount -t cgroup2 none /sys/fs/cgroup"),
        ];
    };
    let text = match mode.as_str() {
        "v2" => "All limits are in one tree; groups can be handed to ordinary users.",
        "hybrid" => "Limits are in trees of their own (v1), beside a v2 tree that holds none or few.",
        _ => {
            "Limits are in a tree per controller. Rootless containers have no limits, and the world is leaving v1."
        }
    };
    let mut found = vec![finding(group, "cgroup", Level::Ok, mode.clone(), text)];
    for (name, older, what) in CONTROLLERS {
        let there = facts.controllers.iter().find(|c| c.name == *name || Some(c.name.as_str()) == *older);
        let id = format!("cgroup.{name}");
        found.push(match there.map(|controller| (controller, &controller.trial)) {
            // v2's freezer is no controller: every group can be frozen.
            None if *name == "freezer" && mode == "v2" => {
                finding(group, &id, Level::Ok, "part of every group", "`pause` works.")
            }
            None if matches!(*name, "devices") && mode == "v2" => {
                finding(group, &id, Level::Ok, "by programs", "`--device` is limited by programs of BPF.")
            }
            None => finding(group, &id, Level::Warning, "not there", &format!("No effect: {what}."))
                .with_fix(if mode == "v2" {
                    "enable it in cgroup.subtree_control of every group above"
                } else {
                    "mount its hierarchy, or boot without cgroup_disable"
                }),
            Some((controller, Trial::Works { .. })) => {
                let version = if controller.unified { "v2" } else { "v1" };
                finding(group, &id, Level::Ok, version, &format!("For {what}."))
            }
            Some((_, Trial::Fails { why })) => finding(
                group,
                &id,
                Level::Warning,
                format!("fails: {why}"),
                &format!("No group can be made here. No effect: {what}."),
            )
            .with_fix("run as root, or have the tree delegated to you (Delegate=yes)"),
        });
    }
    found.push(swap(facts));
    found.push(io_weight(facts));
    found
}

fn io_weight(facts: &CgroupFacts) -> Finding {
    let mut files = facts.controllers.iter().flat_map(|controller| &controller.files);
    let there = files.find(|file| file.ends_with(".weight") && !file.starts_with("cpu."));
    match there {
        Some(file) => finding(
            Group::ControlGroups,
            "cgroup.io.weight",
            Level::Ok,
            file.clone(),
            "For `--blkio-weight`.",
        ),
        None => finding(
            Group::ControlGroups,
            "cgroup.io.weight",
            Level::Note,
            "not there",
            "`--blkio-weight` has no effect: no scheduler of this host's disks shares by weight.",
        )
        .with_fix(
            "load the module `bfq` and choose it for the disk: echo bfq > /sys/block/DISK/queue/scheduler",
        ),
    }
}

fn swap(facts: &CgroupFacts) -> Finding {
    let files: BTreeSet<&str> =
        facts.controllers.iter().flat_map(|c| c.files.iter().map(String::as_str)).collect();
    let id = "cgroup.memory.swap";
    let there =
        ["memory.memsw.limit_in_bytes", "memory.swap.max"].into_iter().find(|file| files.contains(file));
    match there {
        Some(file) => finding(Group::ControlGroups, id, Level::Ok, file, "`--memory-swap` works."),
        None => finding(
            Group::ControlGroups,
            id,
            Level::Note,
            "not accounted",
            "`--memory-swap` has no effect: a container over its limit may swap.",
        )
        .with_fix("boot with swapaccount=1"),
    }
}

/// A controller, its name in v1 where that differs, and what it is for.
const CONTROLLERS: &[(&str, Option<&str>, &str)] = &[
    ("memory", None, "`--memory`"),
    ("cpu", None, "`--cpus` and `--cpu-shares`"),
    ("cpuset", None, "`--cpuset-cpus`"),
    ("pids", None, "`--pids-limit`"),
    ("io", Some("blkio"), "`--device-read-bps`, `--device-write-bps` and the like"),
    ("freezer", None, "`pause`"),
    ("devices", None, "`--device-cgroup-rule`"),
];

pub(super) fn firewall(facts: &HostFacts) -> Vec<Finding> {
    let group = Group::Network;
    let mut found = Vec::new();
    let firewall = &facts.firewall;
    match &firewall.tables {
        None => found.push(
            finding(
                group,
                "firewall",
                if facts.works(Feature::Nftables) { Level::Warning } else { Level::Note },
                "cannot be listed",
                "Whether the host's own rules let a published port through cannot be told.",
            )
            .with_fix("run as root"),
        ),
        Some(tables) => {
            let foreign: Vec<String> = tables
                .iter()
                .filter(|table| !table.name.starts_with(OUR_TABLES))
                .map(|table| format!("{} {}", table.family, table.name))
                .collect();
            let drops = tables.iter().any(|table| {
                table.hooks.iter().any(|hook| hook.starts_with("input") && hook.ends_with("drops the rest"))
            });
            let value = if foreign.is_empty() { "only ours".to_owned() } else { words::list(&foreign, 6) };
            let text = match (foreign.is_empty(), drops) {
                (true, _) => "Nobody else's rules stand in a container's way.",
                (false, false) => "Others' tables are left as they are; a packet must please them, too.",
                (false, true) => {
                    "The host drops what it does not expect; a published port stays closed to the outside until the host opens it."
                }
            };
            found.push(finding(group, "firewall", Level::Note, value, text));
        }
    }
    if !firewall.legacy.is_empty() {
        found.push(finding(
            group,
            "firewall.legacy",
            Level::Note,
            words::list(&firewall.legacy, 6),
            "Rules of the older iptables are in the kernel beside nf_tables; packets meet both.",
        ));
    }
    found.push(match firewall.forwards {
        Some(true) => {
            finding(group, "forwarding", Level::Ok, "on", "Packets go between containers and the world.")
        }
        _ => finding(
            group,
            "forwarding",
            Level::Note,
            "off",
            "It is switched on with the first network, and off again with the last.",
        ),
    });
    if firewall.bridge_meets_rules == Some(true) {
        found.push(finding(
            group,
            "bridge-nf-call-iptables",
            Level::Note,
            "on",
            "Packets between containers of one bridge meet the host's rules, too.",
        ));
    }
    found
}

/// Our tables begin so.
const OUR_TABLES: &str = "strake";

pub(super) fn security(facts: &HostFacts) -> Vec<Finding> {
    let group = Group::Security;
    let Some(modules) = &facts.security_modules else {
        return vec![finding(
            group,
            "security-modules",
            Level::Note,
            "cannot be read",
            "securityfs is not mounted here: containers get no profile of AppArmor.",
        )];
    };
    let text = match (&facts.apparmor, modules.iter().any(|module| module == "selinux")) {
        (Some(_), _) if facts.in_user_namespace => {
            "AppArmor is on; containers of an ordinary user get its profiles when they are asked for only."
        }
        (Some(_), _) => "AppArmor is on.",
        (None, true) => "The bare runtime gives containers SELinux labels; `strake run` gives none.",
        (None, false) => {
            "No module gives labels: containers are held by namespaces, capabilities and seccomp alone."
        }
    };
    let mut found = vec![finding(group, "security-modules", Level::Ok, words::list(modules, 12), text)];
    found.extend(facts.apparmor.as_ref().filter(|_| !facts.in_user_namespace).map(apparmor));
    found
}

fn apparmor(facts: &AppArmorFacts) -> Finding {
    let (group, id) = (Group::Security, "apparmor-profile");
    let loaded = facts.profiles.iter().any(|profile| profile == APPARMOR_PROFILE);
    match (loaded, facts.parser) {
        (true, _) => {
            finding(group, id, Level::Ok, "loaded", "Containers get it, or the profile that is asked for.")
        }
        (false, true) => {
            let text =
                "The first container has it loaded; containers get it, or the profile that is asked for.";
            finding(group, id, Level::Ok, "not loaded yet", text)
        }
        (false, false) => {
            let text = "Containers run without a profile: nothing here compiles ours for the kernel.";
            finding(group, id, Level::Warning, "cannot be loaded", text)
                .with_fix("install apparmor_parser (Debian: the package apparmor)")
        }
    }
}

/// The engine's profile.
const APPARMOR_PROFILE: &str = "strake-default";

pub(super) fn resources(facts: &HostFacts) -> Vec<Finding> {
    let group = Group::Resources;
    let mut found = vec![match (facts.clock.kept, facts.clock.seconds >= EARLIEST) {
        (_, false) => finding(
            group,
            "clock",
            Level::Warning,
            format!("{} seconds after 1970", facts.clock.seconds),
            "Before this program was made: certificates are not yet valid, so no registry can be asked.",
        )
        .with_fix("set the clock, or start an NTP client"),
        (Some(false), true) => finding(
            group,
            "clock",
            Level::Note,
            "not kept",
            "Nothing keeps the clock right: logs and certificates of several machines may disagree.",
        ),
        (kept, true) => finding(
            group,
            "clock",
            Level::Ok,
            if kept == Some(true) { "kept right" } else { "set" },
            "Containers share the host's clock.",
        ),
    }];
    found.extend(storage(facts));
    found
}

fn storage(facts: &HostFacts) -> Vec<Finding> {
    let group = Group::Resources;
    let storage = &facts.storage;
    let kind = storage.kind.as_deref().unwrap_or("unknown file system");
    let place = format!("{} on {kind}", storage.root);
    let mut found = vec![if storage.writable {
        finding(group, "data-root", Level::Ok, place, "Images, containers and volumes are kept here.")
    } else {
        finding(
            group,
            "data-root",
            Level::Error,
            format!("{place}, not writable"),
            "Nothing can be kept: no container can run.",
        )
        .with_fix("run as root, or choose another place with --root")
    }];
    let space = format!("{} of {} free", words::bytes(storage.free_bytes), words::bytes(storage.bytes));
    found.push(if storage.free_bytes < SPACE_LEAST {
        finding(
            group,
            "space",
            Level::Warning,
            space,
            "Images cannot be pulled, and containers that write will fail.",
        )
        .with_fix("strake system prune, or a larger disk")
    } else {
        finding(group, "space", Level::Ok, space, "Images and what containers write share it.")
    });
    if storage.files > 0 {
        let value = format!("{} of {} free", storage.free_files, storage.files);
        found.push(if storage.free_files < FILES_LEAST {
            finding(group, "files", Level::Warning, value, "The disk can hold few more files, however small.")
                .with_fix("strake system prune, or a file system with more inodes")
        } else {
            finding(group, "files", Level::Ok, value, "An image has thousands of files.")
        });
    }
    if storage.options.iter().any(|option| option == "noexec") {
        found.push(
            finding(
                group,
                "data-root.noexec",
                Level::Warning,
                "noexec",
                "Programs in volumes cannot be run.",
            )
            .with_fix("mount the data root's file system without noexec"),
        );
    }
    found
}

pub(super) fn rootless(facts: &RootlessFacts) -> Vec<Finding> {
    let group = Group::Rootless;
    let both: Vec<String> =
        facts.subuid_users.iter().filter(|user| facts.subgid_users.contains(user)).cloned().collect();
    let ids = if both.is_empty() {
        finding(
            group,
            "subordinate-ids",
            Level::Note,
            "none",
            "Rootless containers have one user only: root, who is the user outside.",
        )
        .with_fix("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER")
    } else {
        finding(
            group,
            "subordinate-ids",
            Level::Ok,
            words::list(&both, 6),
            "Their rootless containers have users of their own.",
        )
    };
    let mappers = match (&facts.newuidmap, &facts.newgidmap) {
        (Some(uid), Some(_)) => finding(
            group,
            "id-mappers",
            Level::Ok,
            uid.clone(),
            "An ordinary user can map the ids given to him.",
        ),
        _ => {
            let value =
                if facts.powerless.is_empty() { "not there".to_owned() } else { facts.powerless.join("; ") };
            finding(
                group,
                "id-mappers",
                Level::Note,
                value,
                "Without newuidmap and newgidmap rootless containers have one user only.",
            )
            .with_fix("install the package uidmap (Debian) or shadow-utils (Fedora)")
        }
    };
    vec![ids, mappers]
}

/// 2025: before that the clock was never set.
const EARLIEST: u64 = 1_735_689_600;
const SPACE_LEAST: u64 = 1 << 30;
const FILES_LEAST: u64 = 10_000;
