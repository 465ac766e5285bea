//! What sandboxes and containers use: read from the kernel when it is asked for.

mod metrics;

use std::collections::HashMap;
use std::sync::PoisonError;

use base::ContainerId;
use engine::Record;
use rpc::cri::*;

use crate::error::status;
use crate::kept::{Container, Sandbox};
use crate::runtime::{Inner, selected};
use crate::status::now;

pub(crate) use metrics::{metric_descriptors, metrics};

/// Processor time at the last reading, for the rate since then.
pub(crate) type Samples = HashMap<ContainerId, (i64, u64)>;

fn value(value: u64) -> Option<UInt64Value> {
    Some(UInt64Value { value })
}

/// What a container uses.
pub(crate) fn of_container(inner: &Inner, container: &Container) -> Result<ContainerStats, Status> {
    let record = &container.record;
    let used = inner.engine.stats(record).map_err(status)?;
    let timestamp = now();
    let root = inner.engine.snapshots().map_err(status)?.root().display().to_string();
    Ok(ContainerStats {
        attributes: Some(ContainerAttributes {
            id: record.id.to_string(),
            metadata: Some(container.metadata()),
            labels: container.config.labels.clone(),
            annotations: container.config.annotations.clone(),
        }),
        cpu: Some(inner.cpu(&record.id, &used, timestamp)),
        memory: Some(memory(&used, timestamp)),
        writable_layer: Some(FilesystemUsage {
            timestamp,
            fs_id: Some(FilesystemIdentifier { mountpoint: root }),
            used_bytes: inner.engine.size_rw(record).ok().and_then(value),
            inodes_used: None,
        }),
        swap: Some(SwapUsage {
            timestamp,
            swap_available_bytes: used
                .memory
                .swap_limit_bytes
                .and_then(|limit| value(limit.saturating_sub(used.memory.swap_usage_bytes.unwrap_or(0)))),
            swap_usage_bytes: used.memory.swap_usage_bytes.and_then(value),
        }),
        io: None,
    })
}

/// What the running containers use that pass a filter.
pub(crate) fn of_containers(
    inner: &Inner,
    filter: Option<ContainerStatsFilter>,
) -> Result<Vec<ContainerStats>, Status> {
    let filter = filter.unwrap_or_default();
    let found = inner.index.containers(|id, sandbox, labels| {
        id.starts_with(&filter.id)
            && sandbox.starts_with(&filter.pod_sandbox_id)
            && selected(&filter.label_selector, labels)
    })?;
    let running = found.iter().filter(|container| container.record.lifecycle.is_running());
    // One that ends meanwhile uses nothing.
    Ok(running.filter_map(|container| of_container(inner, container).ok()).collect())
}

/// What a sandbox uses, its containers included.
pub(crate) fn of_sandbox(inner: &Inner, sandbox: &Sandbox) -> Result<PodSandboxStats, Status> {
    let id = &sandbox.record.id;
    let filter = ContainerStatsFilter { pod_sandbox_id: id.to_string(), ..ContainerStatsFilter::default() };
    let containers = of_containers(inner, Some(filter))?;
    let timestamp = now();
    let pod = inner.engine.stats_of_parent(&sandbox.record).map_err(status)?;
    Ok(PodSandboxStats {
        attributes: Some(PodSandboxAttributes {
            id: id.to_string(),
            metadata: Some(sandbox.metadata()),
            labels: sandbox.config.labels.clone(),
            annotations: sandbox.config.annotations.clone(),
        }),
        linux: Some(LinuxPodSandboxStats {
            cpu: Some(inner.cpu(id, &pod, timestamp)),
            memory: Some(memory(&pod, timestamp)),
            network: network(&sandbox.record, timestamp),
            process: Some(ProcessUsage { timestamp, process_count: pod.pids.current.and_then(value) }),
            containers,
            io: None,
        }),
    })
}

/// What the sandboxes use that pass a filter.
pub(crate) fn of_sandboxes(
    inner: &Inner,
    filter: Option<PodSandboxStatsFilter>,
) -> Result<Vec<PodSandboxStats>, Status> {
    let filter = filter.unwrap_or_default();
    let found = inner
        .index
        .sandboxes(|id, labels| id.starts_with(&filter.id) && selected(&filter.label_selector, labels))?;
    let running = found.iter().filter(|sandbox| sandbox.record.lifecycle.is_running());
    Ok(running.filter_map(|sandbox| of_sandbox(inner, sandbox).ok()).collect())
}

impl Inner {
    /// Processor time, and its rate since it was last asked for.
    fn cpu(&self, id: &ContainerId, used: &cgroup::Stats, timestamp: i64) -> CpuUsage {
        let usage = used.cpu.usage_ns;
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let before = usage.and_then(|usage| samples.insert(id.clone(), (timestamp, usage)));
        let rate = usage.zip(before).and_then(|(usage, (at, before))| rate(usage, before, timestamp - at));
        CpuUsage {
            timestamp,
            usage_core_nano_seconds: usage.and_then(value),
            usage_nano_cores: rate.and_then(value),
            psi: None,
        }
    }

    /// Nothing more is read of a container.
    pub(crate) fn forget_sample(&self, id: &ContainerId) {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// Billionths of a processor, from the time used in `elapsed` nanoseconds.
fn rate(usage: u64, before: u64, elapsed: i64) -> Option<u64> {
    let elapsed = u128::try_from(elapsed).ok().filter(|elapsed| *elapsed > 0)?;
    let used = u128::from(usage.checked_sub(before)?);
    u64::try_from(used * 1_000_000_000 / elapsed).ok()
}

/// Memory in use; what the page cache would give back at once is not in the working set.
fn memory(used: &cgroup::Stats, timestamp: i64) -> MemoryUsage {
    let memory = &used.memory;
    let working_set =
        memory.usage_bytes.map(|usage| usage.saturating_sub(memory.inactive_file_bytes.unwrap_or(0)));
    let available =
        memory.limit_bytes.zip(working_set).map(|(limit, working_set)| limit.saturating_sub(working_set));
    MemoryUsage {
        timestamp,
        working_set_bytes: working_set.and_then(value),
        available_bytes: available.and_then(value),
        usage_bytes: memory.usage_bytes.and_then(value),
        rss_bytes: memory.anonymous_bytes.and_then(value),
        page_faults: None,
        major_page_faults: None,
        psi: None,
    }
}

/// What went over the sandbox's links: none for the node's own network.
fn network(record: &Record, timestamp: i64) -> Option<NetworkUsage> {
    if record.request.network.mode == engine::request::NetworkMode::Host {
        return None;
    }
    let pid = record.lifecycle.pid()?;
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?;
    let mut interfaces: Vec<NetworkInterfaceUsage> = text.lines().filter_map(interface).collect();
    let first = interfaces.iter().position(|interface| interface.name == "eth0");
    let default_interface = first.map(|at| interfaces.remove(at));
    Some(NetworkUsage { timestamp, default_interface, interfaces })
}

/// One line of `/proc/PID/net/dev`; the loopback is left out.
fn interface(line: &str) -> Option<NetworkInterfaceUsage> {
    let (name, counters) = line.split_once(':')?;
    let name = name.trim();
    let counters: Vec<u64> = counters.split_whitespace().filter_map(|text| text.parse().ok()).collect();
    let at = |index: usize| counters.get(index).copied().and_then(value);
    (name != "lo").then(|| NetworkInterfaceUsage {
        name: name.to_owned(),
        rx_bytes: at(0),
        rx_errors: at(2),
        tx_bytes: at(8),
        tx_errors: at(10),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_billionths_of_a_processor() {
        for (usage, before, elapsed, expected) in [
            (1_500_000_000, 500_000_000, 1_000_000_000, Some(1_000_000_000)),
            (30, 10, 40, Some(500_000_000)),
            (10, 30, 40, None),
            (30, 10, 0, None),
        ] {
            assert_eq!(rate(usage, before, elapsed), expected);
        }
    }

    #[test]
    fn links_are_read_but_not_the_loopback() {
        let line = "  eth0: 100 1 2 0 0 0 0 0 200 3 4 0 0 0 0 0";
        let found = interface(line).unwrap();
        assert_eq!((found.name.as_str(), found.rx_bytes, found.tx_errors), ("eth0", value(100), value(4)));
        assert_eq!(interface("    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0"), None);
        assert_eq!(interface("Inter-|   Receive"), None);
    }
}
