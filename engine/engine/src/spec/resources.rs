//! Limits and weights.

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxHugepageLimit, LinuxHugepageLimitBuilder, LinuxMemory,
    LinuxPids, LinuxResources,
};

use super::HostFacts;
use crate::request::{InvalidOption, ResourceRequest};

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
        .set_block_io(block_io(request))
        .set_hugepage_limits(hugepages(request))
        .set_unified(
            Some(request.unified.clone())
                .filter(|unified| !unified.is_empty())
                .map(|unified| unified.into_iter().collect()),
        );
    Ok(resources)
}

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
                format!("this host has {} processors", host.cpus),
            ));
        }
        cpu.set_period(Some(PERIOD_US));
        cpu.set_quota(i64::try_from(nano / (1_000_000_000 / PERIOD_US)).ok());
    }
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
    let limits = request.hugepage_limits.iter().filter_map(|(size, bytes)| {
        let limit = i64::try_from(*bytes).unwrap_or(i64::MAX);
        LinuxHugepageLimitBuilder::default().page_size(size.clone()).limit(limit).build().ok()
    });
    Some(limits.collect()).filter(|limits: &Vec<_>| !limits.is_empty())
}

fn block_io(request: &ResourceRequest) -> Option<LinuxBlockIo> {
    let weight = request.blkio_weight.filter(|weight| *weight != 0)?;
    let mut block_io = LinuxBlockIo::default();
    block_io.set_weight(Some(weight));
    Some(block_io)
}
