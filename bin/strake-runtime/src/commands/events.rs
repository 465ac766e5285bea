//! `events`: statistics and lack of memory, one JSON object a line.

use std::io::Write;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use base::ContainerId;
use cgroup::Cgroup;
use oci_runtime::{ContainerRecord, ContainerStatus, Runtime};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use serde_json::{Value, json};

use super::id;
use crate::args::Invocation;

/// `events`.
pub(crate) fn events(runtime: &Runtime, invocation: &Invocation) -> anyhow::Result<u8> {
    let id = id(invocation)?;
    let text = invocation.value("interval").unwrap_or("5s");
    let invalid = || anyhow::anyhow!("invalid duration {text:?}: write it as 5s or 100ms");
    let interval = base::parse_duration(text).ok_or_else(invalid)?;
    if interval.is_zero() {
        bail!("duration interval must be greater than 0");
    }
    let (record, status) = runtime.state(&id)?;
    if status == ContainerStatus::Stopped {
        bail!("container with id {id} is not running");
    }
    let Some(cgroup) = &record.cgroup else {
        bail!("container with id {id} has no cgroup, so there are no statistics of it");
    };
    if invocation.has("stats") {
        return line(&Event { kind: "stats", id: &id, data: Some(statistics(cgroup, record.rdt.as_ref())) });
    }
    follow(runtime, &record, cgroup, interval)
}

/// Until the container is gone.
fn follow(
    runtime: &Runtime,
    record: &ContainerRecord,
    cgroup: &Cgroup,
    interval: Duration,
) -> anyhow::Result<u8> {
    let id = &ContainerId::parse(&record.id)?;
    let mut watch = cgroup.watch_oom()?;
    let mut next = Instant::now() + interval;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let fd = watch.as_fd();
        let ready = match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&left)) {
            Err(rustix::io::Errno::INTR) => continue,
            ready => ready.context("wait for events")? > 0,
        };
        if ready {
            let events = watch.events();
            if events.gone {
                return Ok(0);
            }
            if events.out_of_memory {
                line(&Event { kind: "oom", id, data: None })?;
            }
            continue;
        }
        // Not every kernel tells when a cgroup goes.
        if !cgroup.exists() || runtime.state(id).is_err() {
            return Ok(0);
        }
        line(&Event { kind: "stats", id, data: Some(statistics(cgroup, record.rdt.as_ref())) })?;
        next += interval;
    }
}

/// A line; its fields are in the order that readers of the first bytes expect.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a ContainerId,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
}

fn line(event: &Event<'_>) -> anyhow::Result<u8> {
    writeln!(std::io::stdout(), "{}", serde_json::to_string(event)?).context("write to stdout")?;
    Ok(0)
}

/// The names are those that monitors of containers read.
fn statistics(cgroup: &Cgroup, rdt: Option<&oci_runtime::rdt::RdtGroup>) -> Value {
    let shares = rdt.map_or_else(|| json!({}), shares);
    let stats = cgroup.stats();
    let details = cgroup.details();
    let entry = |value: u64, device: &cgroup::IoStats, op: &str| json!({ "major": device.major, "minor": device.minor, "op": op, "value": value });
    let both = |read: fn(&cgroup::IoStats) -> u64, write: fn(&cgroup::IoStats) -> u64| -> Vec<Value> {
        stats.io.iter().flat_map(|d| [entry(read(d), d, "Read"), entry(write(d), d, "Write")]).collect()
    };
    let (cpu, memory) = (&stats.cpu, &stats.memory);
    let hugetlb = details.hugetlb.iter().map(|(size, huge)| {
        let value = json!({ "usage": huge.usage_bytes, "max": huge.peak_bytes, "failcnt": huge.limit_hits });
        (size.clone(), value)
    });
    let mut value = json!({
        "cpu": {
            "usage": {
                "total": cpu.usage_ns.unwrap_or(0),
                "percpu": details.usage_of_cpus_ns,
                "percpu_kernel": details.usage_of_cpus_kernel_ns,
                "percpu_user": details.usage_of_cpus_user_ns,
                "kernel": cpu.system_ns.unwrap_or(0),
                "user": cpu.user_ns.unwrap_or(0)
            },
            "throttling": {
                "periods": cpu.periods.unwrap_or(0),
                "throttledPeriods": cpu.throttled_periods.unwrap_or(0),
                "throttledTime": cpu.throttled_ns.unwrap_or(0)
            },
            "psi": pressure(&details, "cpu")
        },
        "cpuset": cpuset(&details),
        "memory": {
            "cache": memory.file_bytes.unwrap_or(0),
            "usage": {
                "limit": memory.limit_bytes.unwrap_or(u64::MAX),
                "usage": memory.usage_bytes.unwrap_or(0),
                "max": memory.peak_bytes.unwrap_or(0),
                "failcnt": memory.limit_hits.unwrap_or(0)
            },
            "swap": {
                "limit": memory.swap_limit_bytes.unwrap_or(u64::MAX),
                "usage": memory.swap_usage_bytes.unwrap_or(0),
                "failcnt": details.swap_limit_hits
            },
            "kernel": used(details.kernel_memory),
            "kernelTCP": used(details.kernel_tcp_memory),
            "raw": details.memory_stat,
            "psi": pressure(&details, "memory")
        },
        "pids": { "current": stats.pids.current.unwrap_or(0), "limit": stats.pids.limit.unwrap_or(0) },
        "blkio": {
            "ioServiceBytesRecursive": both(|d| d.read_bytes, |d| d.write_bytes),
            "ioServicedRecursive": both(|d| d.reads, |d| d.writes),
            "psi": pressure(&details, "io")
        },
        "hugetlb": Value::Object(hugetlb.collect()),
        "intel_rdt": shares,
        "network_interfaces": Value::Null
    });
    drop_nulls(&mut value);
    value
}

fn used(memory: cgroup::KernelMemory) -> Value {
    json!({ "limit": memory.limit_bytes, "usage": memory.usage_bytes, "max": memory.peak_bytes, "failcnt": memory.limit_hits })
}

/// How long processes waited: where the kernel counts it.
fn pressure(details: &cgroup::Details, of: &str) -> Value {
    let Some(lines) = details.pressure.get(of) else { return Value::Null };
    let one = |line: &cgroup::Pressure| json!({ "avg10": line.avg10, "avg60": line.avg60, "avg300": line.avg300, "total": line.total_us });
    Value::Object(lines.iter().map(|(kind, line)| (kind.clone(), one(line))).collect())
}

fn cpuset(details: &cgroup::Details) -> Value {
    let mut fields: serde_json::Map<String, Value> =
        details.cpuset.iter().map(|(name, value)| (name.clone(), (*value).into())).collect();
    for (name, list) in [("cpus", &details.cpus), ("mems", &details.mems)] {
        if !list.is_empty() {
            fields.insert(name.to_owned(), list.clone().into());
        }
    }
    Value::Object(fields)
}

/// What there is nothing of is left out, but for the list of interfaces.
fn drop_nulls(value: &mut Value) {
    let Some(fields) = value.as_object_mut() else { return };
    for (_, inner) in fields.iter_mut() {
        if let Some(inner) = inner.as_object_mut() {
            inner.retain(|_, value| !value.is_null());
        }
    }
}

/// Its shares of cache and memory bandwidth.
fn shares(group: &oci_runtime::rdt::RdtGroup) -> Value {
    let text = group.shares();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let of = |resource: &str| lines.iter().find(|line| line.starts_with(resource)).copied();
    json!({ "l3_cache_schema": of("L3"), "mem_bw_schema": of("MB"), "schemata": lines })
}
