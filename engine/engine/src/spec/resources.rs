//! Limits and weights.

use std::path::Path;

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxHugepageLimit, LinuxMemory, LinuxPids, LinuxResources,
    LinuxThrottleDevice, LinuxWeightDevice,
};

use super::{HostFacts, SpecInput};
use crate::request::{InvalidOption, RateDevice, ResourceRequest};

/// Docker's period; the kernel's default too.
const PERIOD_US: u64 = 100_000;

/// The limits as the runtime takes them.
pub(crate) fn resources(
    request: &ResourceRequest,
    rules: Vec<LinuxDeviceCgroup>,
    host: &HostFacts,
    warnings: &mut Vec<String>,
) -> Result<LinuxResources, InvalidOption> {
    request.validate()?;
    let mut resources = LinuxResources::default();
    resources
        .set_devices(Some(rules))
        .set_memory(memory(request, host, warnings))
        .set_cpu(cpu(request, host)?)
        .set_pids(pids(request))
        .set_block_io(block_io(request, host)?)
        .set_hugepage_limits(hugepages(request))
        .set_unified(
            Some(request.unified.clone())
                .filter(|unified| !unified.is_empty())
                .map(|unified| unified.into_iter().collect()),
        );
    Ok(resources)
}

/// Those of the limits that can be had; the user is told of the others.
pub(super) fn applicable(
    limits: LinuxResources,
    input: &SpecInput<'_>,
    warnings: &mut Vec<String>,
) -> Option<LinuxResources> {
    if input.host.rootless.is_none() {
        return Some(limits);
    }
    let given = input.host.delegated.as_ref().filter(|_| input.cgroup_path.is_some());
    let Some(given) = given else {
        let request = &input.request.resources;
        let none =
            ResourceRequest { cgroup_parent: request.cgroup_parent.clone(), ..ResourceRequest::default() };
        warnings.extend((*request != none).then(|| NOTHING_GIVEN.to_owned()));
        return None;
    };
    let (limits, missing) = within(limits, &given.controllers);
    warnings.extend((!missing.is_empty()).then(|| {
        format!(
            "resource limits are left out: the control group {} that was given to you has no controller {}; \
             root can give it, as with Delegate=yes in a drop-in of user@.service",
            given.path,
            missing.join(", ")
        )
    }));
    Some(limits)
}

/// The limits that these controllers hold, and which others would be needed.
fn within(mut limits: LinuxResources, controllers: &[String]) -> (LinuxResources, Vec<&'static str>) {
    let mut missing = Vec::new();
    let mut lacks = |name: &'static str, asked: bool| {
        let lacks = asked && !controllers.iter().any(|given| given == name);
        missing.extend(lacks.then_some(name));
        lacks
    };
    // Which devices an ordinary user may open is decided by their permissions.
    limits.set_devices(None);
    if lacks("memory", limits.memory().is_some()) {
        limits.set_memory(None);
    }
    if lacks("pids", limits.pids().is_some()) {
        limits.set_pids(None);
    }
    if lacks("io", limits.block_io().is_some()) {
        limits.set_block_io(None);
    }
    if lacks("hugetlb", limits.hugepage_limits().is_some()) {
        limits.set_hugepage_limits(None);
    }
    if let Some(mut cpu) = limits.cpu().clone() {
        let time = cpu.shares().is_some() || cpu.quota().is_some() || cpu.period().is_some();
        if lacks("cpu", time) {
            cpu.set_shares(None).set_quota(None).set_period(None);
        }
        if lacks("cpuset", cpu.cpus().is_some() || cpu.mems().is_some()) {
            cpu.set_cpus(None).set_mems(None);
        }
        limits.set_cpu(Some(cpu).filter(|cpu| *cpu != LinuxCpu::default()));
    }
    (limits, missing)
}

/// Said where no part of the control groups is the user's.
const NOTHING_GIVEN: &str = "resource limits are left out: control groups are root's on this host, or none was \
    given to the session that this command runs in: where systemd has version 2 of them, begin it by \
    `systemd-run --user --scope`; ulimits hold";

fn memory(request: &ResourceRequest, host: &HostFacts, warnings: &mut Vec<String>) -> Option<LinuxMemory> {
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let mut memory = LinuxMemory::default();
    memory.set_limit(request.memory_bytes.map(signed));
    memory.set_reservation(request.memory_reservation_bytes.map(signed));
    // As docker: with a limit and no word about swap, as much swap again as memory.
    let swap = match (request.memory_swap_bytes, request.memory_bytes) {
        (Some(0) | None, Some(limit)) => Some(signed(limit.saturating_mul(2))),
        (swap, _) => swap.filter(|swap| *swap != 0),
    };
    memory.set_swap(swap);
    if host.cgroup_v2 && (request.memory_swappiness.is_some() || request.oom_kill_disable) {
        warnings.push("--memory-swappiness and --oom-kill-disable do nothing on cgroup v2".to_owned());
    } else {
        memory.set_swappiness(request.memory_swappiness);
        memory.set_disable_oom_killer(request.oom_kill_disable.then_some(true));
    }
    Some(memory).filter(|memory| *memory != LinuxMemory::default())
}

fn cpu(request: &ResourceRequest, host: &HostFacts) -> Result<Option<LinuxCpu>, InvalidOption> {
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(request.cpu_shares.filter(|shares| *shares != 0));
    cpu.set_period(request.cpu_period_us);
    cpu.set_quota(request.cpu_quota_us);
    if let Some(nano) = request.nano_cpus {
        if host.cpus > 0 && nano > u64::from(host.cpus) * 1_000_000_000 {
            let value = (nano as f64 / 1e9).to_string();
            return Err(InvalidOption::new(
                "--cpus",
                &value,
                format!(
                    "Range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available",
                    cpus = host.cpus
                ),
            ));
        }
        cpu.set_period(Some(PERIOD_US));
        cpu.set_quota(i64::try_from(nano / (1_000_000_000 / PERIOD_US)).ok());
    }
    available("--cpuset-cpus", "CPUs", request.cpuset_cpus.as_deref(), &host.cpus_online)?;
    available("--cpuset-mems", "memory nodes", request.cpuset_mems.as_deref(), &host.memory_nodes)?;
    cpu.set_realtime_period(request.cpu_rt_period_us);
    cpu.set_realtime_runtime(request.cpu_rt_runtime_us);
    cpu.set_cpus(request.cpuset_cpus.clone());
    cpu.set_mems(request.cpuset_mems.clone());
    Ok(Some(cpu).filter(|cpu| *cpu != LinuxCpu::default()))
}

fn pids(request: &ResourceRequest) -> Option<LinuxPids> {
    let limit = request.pids_limit.filter(|limit| *limit != 0)?;
    let mut pids = LinuxPids::default();
    pids.set_limit(limit.max(-1));
    Some(pids)
}

fn hugepages(request: &ResourceRequest) -> Option<Vec<LinuxHugepageLimit>> {
    let limits = request.hugepage_limits.iter().map(|(size, bytes)| {
        let mut limit = LinuxHugepageLimit::default();
        limit.set_page_size(size.clone()).set_limit(i64::try_from(*bytes).unwrap_or(i64::MAX));
        limit
    });
    Some(limits.collect()).filter(|limits: &Vec<_>| !limits.is_empty())
}

fn block_io(request: &ResourceRequest, host: &HostFacts) -> Result<Option<LinuxBlockIo>, InvalidOption> {
    let mut block_io = LinuxBlockIo::default();
    block_io.set_weight(request.blkio_weight.filter(|weight| *weight != 0));
    let mut weights = Vec::new();
    for device in &request.blkio_weight_devices {
        let (major, minor) = numbers("--blkio-weight-device", &device.path, host)?;
        let mut weight = LinuxWeightDevice::default();
        weight.set_major(major).set_minor(minor).set_weight(Some(device.weight));
        weights.push(weight);
    }
    block_io.set_weight_device(Some(weights).filter(|weights| !weights.is_empty()));
    let rates = |option, devices: &[RateDevice]| -> Result<Option<Vec<LinuxThrottleDevice>>, InvalidOption> {
        let throttled = devices.iter().map(|device| {
            let (major, minor) = numbers(option, &device.path, host)?;
            let mut throttle = LinuxThrottleDevice::default();
            throttle.set_major(major).set_minor(minor).set_rate(device.rate);
            Ok(throttle)
        });
        let throttled = throttled.collect::<Result<Vec<_>, InvalidOption>>()?;
        Ok(Some(throttled).filter(|devices| !devices.is_empty()))
    };
    block_io
        .set_throttle_read_bps_device(rates("--device-read-bps", &request.read_bps)?)
        .set_throttle_write_bps_device(rates("--device-write-bps", &request.write_bps)?)
        .set_throttle_read_iops_device(rates("--device-read-iops", &request.read_iops)?)
        .set_throttle_write_iops_device(rates("--device-write-iops", &request.write_iops)?);
    Ok(Some(block_io).filter(|block_io| *block_io != LinuxBlockIo::default()))
}

/// Major and minor number of a block device that was looked up.
fn numbers(option: &'static str, path: &Path, host: &HostFacts) -> Result<(i64, i64), InvalidOption> {
    host.block_devices.get(path).copied().ok_or_else(|| {
        let why = "no such file or directory, or it is not a block device: name one of `lsblk --paths`";
        InvalidOption::new(option, &path.display().to_string(), why)
    })
}

/// What is asked for must be among what the host has.
fn available(
    option: &'static str,
    what: &str,
    wanted: Option<&str>,
    there: &str,
) -> Result<(), InvalidOption> {
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty() && !there.is_empty()) else { return Ok(()) };
    let listed = ranges(there);
    let all = ranges(wanted).iter().all(|(first, last)| {
        (*first..=*last).all(|number| listed.iter().any(|(a, b)| (*a..=*b).contains(&number)))
    });
    if all {
        return Ok(());
    }
    let why = format!("Requested {what} are not available - requested {wanted}, available: {there}");
    Err(InvalidOption::new(option, wanted, why))
}

/// `0-2,4` as ranges; what is no number is left out.
fn ranges(list: &str) -> Vec<(u32, u32)> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
    };
    list.split(',').filter_map(range).collect()
}
