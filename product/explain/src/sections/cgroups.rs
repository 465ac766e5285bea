//! Control groups: limit, use, peak, throttling, out-of-memory kills.

use inspect::Sourced;
use inspect::cgroups::{Cpu, Memory, Mode, Pids, Placement, Version};
use inspect::kmsg::OomKill;

use crate::facts::ContainerFacts;
use crate::report::Section;
use crate::view::View;
use crate::words;

pub(super) fn section(view: &View, facts: Option<&ContainerFacts>) -> Section {
    let mut section = Section::new("control_groups", "Control groups");
    let mode = match view.cgroup_mode {
        Mode::V1 => "v1: a tree for each controller",
        Mode::V2 => "v2: one tree for all controllers",
        Mode::Hybrid => "v1 controllers, with a v2 tree beside them",
        Mode::Absent => "no cgroup file system is mounted",
    };
    section.verdict = Some(mode.to_owned());
    match &view.cgroups {
        Err(error) => section.unread("groups", error),
        Ok(placed) => groups(&mut section, &placed.value, &placed.source),
    }
    let resources = &view.resources;
    if let Some(found) = &resources.memory {
        memory(&mut section, found);
    }
    last_oom(&mut section, view);
    for kill in facts.iter().flat_map(|facts| &facts.oom_kills) {
        let meaning = format!("Its shim saw this kill at {}.", kill.at);
        section.line("OOM kill", &kill.what, &kill.record, meaning);
    }
    if let Some(found) = &resources.cpu {
        cpu(&mut section, found);
    }
    if let Some(cpus) = &resources.cpus {
        section.line("CPUs", &cpus.value, &cpus.source, "The processors that it may run on.");
    }
    if let Some(found) = &resources.pids {
        pids(&mut section, found);
    }
    if let Some(freezer) = resources.freezer.as_ref().filter(|freezer| freezer.frozen.value) {
        let meaning = "Paused: none of its tasks runs until it is resumed.";
        section.line("frozen", "yes", &freezer.frozen.source, meaning);
    }
    section
}

/// One line for each path; on v1 most controllers have the same.
fn groups(section: &mut Section, placed: &[Placement], source: &str) {
    let mut by_path: Vec<(&str, Vec<String>)> = Vec::new();
    for placement in placed {
        let label = match placement.version {
            Version::V2 => "v2".to_owned(),
            Version::V1 => placement.controllers.join(","),
        };
        match by_path.iter_mut().find(|(path, _)| *path == placement.path) {
            Some((_, labels)) => labels.push(label),
            None => by_path.push((&placement.path, vec![label])),
        }
    }
    for (path, labels) in by_path {
        let value = format!("{} ({})", words::printable(path), labels.join(" "));
        let meaning = if path == "/" {
            "The root of these trees: no limit of theirs can hold it."
        } else {
            "Its group: limits and accounts are for all processes in it together."
        };
        section.line("group", value, source, meaning);
    }
}

fn memory(section: &mut Section, memory: &Memory) {
    if let Some(limit) = &memory.limit_bytes {
        let meaning = match limit.value {
            Some(_) => "More than this is not given: caches are dropped first, then the OOM killer chooses.",
            None => "The group sets none of its own.",
        };
        section.line("memory limit", words::limit(limit.value), &limit.source, meaning);
    }
    let own = memory.limit_bytes.as_ref().and_then(|limit| limit.value);
    if let Some(effective) = memory.effective_limit_bytes.as_ref().filter(|effective| effective.value != own)
    {
        let meaning = "A group further up sets the tighter limit that really holds.";
        section.line("memory ceiling", words::limit(effective.value), &effective.source, meaning);
    }
    bytes(
        section,
        "memory used",
        memory.used_bytes.as_ref(),
        "Charged now, with the page cache of files it read.",
    );
    bytes(section, "memory peak", memory.peak_bytes.as_ref(), "The most that ever was.");
    if let Some(hits) = memory.limit_hits.as_ref().filter(|hits| hits.value > 0) {
        let meaning = "How often it met the limit; most were solved by dropping caches.";
        section.line("limit met", format!("{} times", hits.value), &hits.source, meaning);
    }
    if let Some(kills) = &memory.oom_kills {
        let meaning = match kills.value {
            0 => "The OOM killer has not ended any process of this group.",
            _ => {
                "Processes that the kernel ended because the group was over its limit; the kernel log names them."
            }
        };
        section.line("OOM kills", kills.value.to_string(), &kills.source, meaning);
    }
}

fn last_oom(section: &mut Section, view: &View) {
    let kills = match &view.oom_kills {
        None => return,
        Some(Err(error)) => return section.unread("last OOM", error),
        Some(Ok(kills)) => kills,
    };
    let groups: Vec<&str> =
        view.cgroups.iter().flat_map(|placed| &placed.value).map(|p| p.path.as_str()).collect();
    let ours = |kill: &&OomKill| {
        let Some(path) = &kill.task_cgroup else { return false };
        let within = |group: &&str| {
            path.strip_prefix(*group).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        groups.iter().filter(|group| **group != "/").any(within)
    };
    let Some(kill) = kills.value.iter().rfind(ours) else { return };
    let held = kill.anon_bytes.map(|bytes| format!(" held {}", words::bytes(bytes))).unwrap_or_default();
    let after = words::micros(kill.at_micros);
    let value = format!("{} (PID {}){held}", words::printable(&kill.name), kill.pid);
    section.line("last OOM", value, &kills.source, format!("The kernel ended it {after} after boot."));
}

fn bytes(section: &mut Section, name: &str, figure: Option<&Sourced<u64>>, meaning: &str) {
    if let Some(figure) = figure {
        section.line(name, words::bytes(figure.value), &figure.source, meaning);
    }
}

fn cpu(section: &mut Section, cpu: &Cpu) {
    if let Some(quota) = &cpu.quota_micros {
        let period = cpu.period_micros.as_ref().map_or(100_000, |period| period.value).max(1);
        let (value, meaning) = match quota.value {
            Some(micros) => {
                let cpus = micros as f64 / period as f64;
                let value =
                    format!("{cpus:.2} CPUs ({} of each {})", words::micros(micros), words::micros(period));
                (value, "When the time of a period is used up, all its tasks wait for the next one.")
            }
            None => ("no limit".to_owned(), "It may use every processor fully when nobody else wants it."),
        };
        section.line("CPU limit", value, &quota.source, meaning);
    }
    if let Some(weight) = &cpu.weight {
        let meaning = "Its part when processors are short, relative to the groups beside it.";
        section.line("CPU weight", weight.value.to_string(), &weight.source, meaning);
    }
    if let Some(used) = &cpu.used_micros {
        section.line("CPU used", words::micros(used.value), &used.source, "Time on all processors together.");
    }
    if let (Some(periods), Some(throttled)) = (&cpu.periods, &cpu.throttled_periods)
        && periods.value > 0
    {
        let waited =
            cpu.throttled_micros.as_ref().map(|waited| format!(", {} in all", words::micros(waited.value)));
        let value = format!("{} of {} periods{}", throttled.value, periods.value, waited.unwrap_or_default());
        let meaning = match throttled.value {
            0 => "Its quota has never run out.",
            _ => "In these periods its quota ran out and its tasks stood still: a cause of slow answers.",
        };
        section.line("throttled", value, &throttled.source, meaning);
    }
}

fn pids(section: &mut Section, pids: &Pids) {
    if let Some(limit) = &pids.limit {
        let value = limit.value.map_or_else(|| "no limit".to_owned(), |limit| limit.to_string());
        let meaning = match limit.value {
            Some(_) => "Processes and threads; a fork beyond that fails, so a fork bomb stays inside.",
            None => "Only the host's own limits hold a fork bomb.",
        };
        section.line("PIDs limit", value, &limit.source, meaning);
    }
    if let Some(used) = &pids.used {
        section.line("PIDs used", used.value.to_string(), &used.source, "Processes and threads now.");
    }
    if let Some(refused) = pids.refused.as_ref().filter(|refused| refused.value > 0) {
        let meaning = "Forks that failed at the limit.";
        section.line("forks refused", refused.value.to_string(), &refused.source, meaning);
    }
}
