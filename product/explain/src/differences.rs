//! Where the engine's record and the kernel disagree.

use std::collections::BTreeSet;

use inspect::{CapSet, NamespaceKind, Sourced};

use crate::facts::{ContainerFacts, SeccompFacts};
use crate::report::Difference;
use crate::view::{Relation, View};
use crate::words;

/// Compares what both know. What one of them does not know is no difference.
pub(crate) fn between(facts: &ContainerFacts, view: &View) -> Vec<Difference> {
    let mut found = Differences { record: &facts.record, all: Vec::new() };
    identity(&mut found, facts, view);
    filesystem(&mut found, facts, view);
    network(&mut found, facts, view);
    found.record = &facts.specification;
    group(&mut found, facts, view);
    limits(&mut found, facts, view);
    rights(&mut found, facts, view);
    found.all
}

struct Differences<'a> {
    record: &'a str,
    all: Vec<Difference>,
}

impl Differences<'_> {
    fn check(&mut self, name: &str, recorded: String, found: String, source: &str, meaning: &str) {
        if recorded != found {
            self.all.push(Difference {
                name: name.to_owned(),
                recorded,
                record: self.record.to_owned(),
                found,
                source: source.to_owned(),
                meaning: meaning.to_owned(),
            });
        }
    }
}

fn identity(found: &mut Differences<'_>, facts: &ContainerFacts, view: &View) {
    if let (Some(recorded), Some(ticks)) = (facts.start_ticks, view.start_ticks)
        && facts.pid == Some(view.pid)
    {
        let source = format!("{}/stat", view.proc_path);
        let meaning = "The PID was given to another process: this is not the container any more.";
        found.check("start time", recorded.to_string(), ticks.to_string(), &source, meaning);
    }
}

fn group(found: &mut Differences<'_>, facts: &ContainerFacts, view: &View) {
    if let (Some(recorded), Ok(placed)) = (&facts.cgroup, &view.cgroups) {
        let inside = |path: &str| {
            path == recorded || path.strip_prefix(recorded.as_str()).is_some_and(|r| r.starts_with('/'))
        };
        if !placed.value.iter().any(|placement| inside(&placement.path)) {
            let paths: Vec<String> = placed.value.iter().map(|placement| placement.path.clone()).collect();
            let meaning = "The process was moved out of its group: its limits do not hold it.";
            found.check("cgroup", recorded.clone(), words::list(&paths, 3), &placed.source, meaning);
        }
    }
}

fn limits(found: &mut Differences<'_>, facts: &ContainerFacts, view: &View) {
    let meaning = "The limit was changed after the container was made, or could not be set.";
    let mut compare = |name: &str,
                       asked: Option<u64>,
                       held: Option<&Sourced<Option<u64>>>,
                       show: fn(Option<u64>) -> String| {
        if let Some(held) = held {
            found.check(name, show(asked), show(held.value), &held.source, meaning);
        }
    };
    let plain = |value: Option<u64>| value.map_or_else(|| "no limit".to_owned(), |value| value.to_string());
    let resources = &view.resources;
    if let Some(memory) = &resources.memory {
        // The kernel keeps whole pages.
        let pages = facts.limits.memory_bytes.map(|bytes| bytes & !(PAGE_BYTES - 1));
        compare("memory limit", pages, memory.limit_bytes.as_ref(), words::limit);
    }
    if let Some(pids) = &resources.pids {
        compare("PIDs limit", facts.limits.pids, pids.limit.as_ref(), plain);
    }
    if let Some(cpu) = &resources.cpu {
        compare("CPU quota", facts.limits.cpu_quota_micros, cpu.quota_micros.as_ref(), plain);
    }
}

fn rights(found: &mut Differences<'_>, facts: &ContainerFacts, view: &View) {
    let Ok(status) = &view.status else { return };
    if let Some(recorded) = &facts.capabilities {
        // Only the bounding set is sure: a program may drop the others by itself, and one
        // that runs as an ordinary user has none of them effective.
        let recorded = CapSet::of(recorded.iter().map(String::as_str));
        let extra = status.value.capabilities.bounding.without(recorded);
        if !extra.is_empty() {
            let meaning = "It can get capabilities that it was not given.";
            let show = |set: CapSet| words::list(&set.names(), 41);
            let source = format!("CapBnd in {}", status.source);
            found.check(
                "capabilities",
                show(recorded),
                show(status.value.capabilities.bounding),
                &source,
                meaning,
            );
        }
    }
    if let (Some(true), Some(false)) = (facts.no_new_privs, status.value.no_new_privs) {
        let source = format!("NoNewPrivs in {}", status.source);
        let meaning = "Set-uid programs can raise it although that was to be forbidden.";
        found.check("no_new_privs", "set".to_owned(), "not set".to_owned(), &source, meaning);
    }
    let asked = matches!(facts.seccomp, SeccompFacts::Filter { .. });
    if asked && status.value.seccomp == Some(inspect::status::SeccompMode::Disabled) {
        let source = format!("Seccomp in {}", status.source);
        let meaning = "No filter is installed: every system call is open.";
        found.check("seccomp", "a filter".to_owned(), "none".to_owned(), &source, meaning);
    }
    if let (SeccompFacts::Filter { denied: Some(recorded), .. }, Some(Ok(held))) =
        (&facts.seccomp, &view.filter)
    {
        let show = |count: usize| format!("{count} calls denied");
        let meaning = "The installed filter is not the one that was asked for.";
        found.check("filter", show(*recorded as usize), show(held.value.denied.len()), &held.source, meaning);
    }
}

fn filesystem(found: &mut Differences<'_>, facts: &ContainerFacts, view: &View) {
    let Ok(table) = &view.mounts else { return };
    if let (Some(image), Some(overlay)) = (&facts.image, view.root_overlay())
        && !image.layers.is_empty()
    {
        let meaning = "The root file system is not made of the image's layers alone.";
        let count = |number: usize| words::count(number, "layer", "layers");
        // A diff that an image has twice is mounted once.
        let distinct: BTreeSet<_> =
            image.layers.iter().map(|layer| layer.path.as_ref().unwrap_or(&layer.chain_id)).collect();
        found.check("layers", count(distinct.len()), count(overlay.lower.len()), &table.source, meaning);
    }
    if let Some(root) = view.root_mount().filter(|_| facts.read_only_root) {
        let show = |read_only: bool| if read_only { "read-only" } else { "writable" }.to_owned();
        let meaning = "The root file system can be written although that was to be forbidden.";
        found.check("root", show(true), show(root.is_read_only()), &table.source, meaning);
    }
    for mount in &facts.mounts {
        let mounted = table.value.iter().any(|found| found.mount_point == mount.destination);
        let show = |there: bool| if there { "mounted" } else { "not mounted" }.to_owned();
        let meaning = "It was unmounted, or never mounted.";
        found.check(
            &format!("mount {}", mount.destination),
            show(true),
            show(mounted),
            &table.source,
            meaning,
        );
    }
}

fn network(found: &mut Differences<'_>, facts: &ContainerFacts, view: &View) {
    let Ok(interfaces) = &view.interfaces else { return };
    for network in &facts.networks {
        let Some(address) = &network.address else { continue };
        let bare = |address: &str| address.split('/').next().unwrap_or_default().to_owned();
        let all: Vec<String> =
            interfaces.value.iter().flat_map(|i| i.addresses.iter()).map(|a| bare(a)).collect();
        if !all.contains(&bare(address)) {
            let meaning = "The address was taken away: ports published for the container lead nowhere.";
            found.check("address", bare(address), words::list(&all, 4), &interfaces.source, meaning);
        }
    }
    if let Some(namespace) = view.namespace(NamespaceKind::Net)
        && namespace.relation == Relation::Hosts
        && !facts.networks.is_empty()
    {
        let meaning = "It uses the host's network directly.";
        found.check(
            "network",
            "private".to_owned(),
            "the host's".to_owned(),
            &namespace.namespace.source,
            meaning,
        );
    }
}

const PAGE_BYTES: u64 = 4096;
