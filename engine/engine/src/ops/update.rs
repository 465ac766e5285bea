//! Changing what a container may use, option by option.

use base::ContainerId;

use crate::engine::Engine;
use crate::error::Error;
use crate::request::{InvalidOption, ResourceRequest};

/// What of a container's limits shall change; what is left open stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceUpdate {
    /// Memory.
    pub memory_bytes: Option<u64>,
    /// Memory and swap together; -1 for no limit on swap.
    pub memory_swap_bytes: Option<i64>,
    /// Soft limit on memory.
    pub memory_reservation_bytes: Option<u64>,
    /// Billionths of a processor.
    pub nano_cpus: Option<u64>,
    /// Weight.
    pub cpu_shares: Option<u64>,
    /// Scheduling period in microseconds.
    pub cpu_period_us: Option<u64>,
    /// Processor time per period in microseconds.
    pub cpu_quota_us: Option<i64>,
    /// Processors.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes.
    pub cpuset_mems: Option<String>,
    /// Weight of block I/O.
    pub blkio_weight: Option<u16>,
    /// Processes; negative for no limit.
    pub pids_limit: Option<i64>,
}

impl Engine {
    /// Changes single limits of a container: at once when it runs, else from its next start on.
    pub fn update(&self, id: &ContainerId, update: &ResourceUpdate) -> Result<Vec<String>, Error> {
        let locked = self.settled(id)?;
        super::resources::need_cgroups("limit", &locked.record)?;
        let wanted = merged(&locked.record.request.resources, update)?;
        self.update_locked(locked, wanted)
    }
}

/// The limits after an update, by docker's rules of what cannot be changed alone.
fn merged(now: &ResourceRequest, update: &ResourceUpdate) -> Result<ResourceRequest, InvalidOption> {
    let conflict = |option, value: String, why: &'static str| Err(InvalidOption::new(option, &value, why));
    let mut wanted = now.clone();
    if let Some(nano) = update.nano_cpus {
        if now.cpu_period_us.is_some() || now.cpu_quota_us.is_some() {
            return conflict(
                "--cpus",
                (nano as f64 / 1e9).to_string(),
                "Conflicting options: Nano CPUs cannot be updated as CPU Period or Quota has already been set",
            );
        }
        wanted.nano_cpus = Some(nano);
    }
    if now.nano_cpus.is_some() {
        let why =
            "Conflicting options: CPU Period and Quota cannot be updated as NanoCPUs has already been set";
        if let Some(period) = update.cpu_period_us {
            return conflict("--cpu-period", period.to_string(), why);
        }
        if let Some(quota) = update.cpu_quota_us {
            return conflict("--cpu-quota", quota.to_string(), why);
        }
    }
    if let Some(memory) = update.memory_bytes {
        wanted.memory_swap_bytes = swap_beside(now, memory, update.memory_swap_bytes)?;
        wanted.memory_bytes = Some(memory);
    }
    wanted.memory_swap_bytes = update.memory_swap_bytes.or(wanted.memory_swap_bytes);
    set(&mut wanted.memory_reservation_bytes, update.memory_reservation_bytes);
    set(&mut wanted.cpu_shares, update.cpu_shares);
    set(&mut wanted.cpu_period_us, update.cpu_period_us);
    set(&mut wanted.cpu_quota_us, update.cpu_quota_us);
    set(&mut wanted.cpuset_cpus, update.cpuset_cpus.clone());
    set(&mut wanted.cpuset_mems, update.cpuset_mems.clone());
    set(&mut wanted.blkio_weight, update.blkio_weight);
    set(&mut wanted.pids_limit, update.pids_limit);
    Ok(wanted)
}

/// The limit of memory and swap beside a new limit of memory: the one there is, which must
/// not be below it.
fn swap_beside(
    now: &ResourceRequest,
    memory: u64,
    update: Option<i64>,
) -> Result<Option<i64>, InvalidOption> {
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    if update.is_some() {
        return Ok(update);
    }
    let swap = match (now.memory_swap_bytes, now.memory_bytes) {
        (None | Some(0), Some(old)) => signed(old.saturating_mul(2)),
        (swap, _) => swap.unwrap_or(0),
    };
    if swap >= 0 && signed(memory) > swap {
        let why = "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time";
        return Err(InvalidOption::new("--memory", &memory.to_string(), why));
    }
    Ok(Some(swap))
}

fn set<T>(slot: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *slot = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: u64 = 1 << 20;

    fn limits(memory: Option<u64>, swap: Option<i64>) -> ResourceRequest {
        ResourceRequest { memory_bytes: memory, memory_swap_bytes: swap, ..Default::default() }
    }

    #[track_caller]
    fn check(now: &ResourceRequest, memory: u64, swap: Option<i64>, expected: Option<i64>) {
        let update =
            ResourceUpdate { memory_bytes: Some(memory), memory_swap_bytes: swap, ..Default::default() };
        let found = merged(now, &update).ok().and_then(|wanted| wanted.memory_swap_bytes);
        assert_eq!(found, expected);
    }

    #[test]
    fn memory_stays_below_memory_and_swap() {
        let bytes = |mega: u64| i64::try_from(mega * M).unwrap();
        check(&limits(Some(64 * M), None), 100 * M, None, Some(bytes(128)));
        check(&limits(Some(64 * M), None), 200 * M, None, None);
        check(&limits(Some(64 * M), None), 200 * M, Some(bytes(300)), Some(bytes(300)));
        check(&limits(Some(64 * M), Some(-1)), 200 * M, None, Some(-1));
        check(&limits(None, None), 64 * M, None, None);
        check(&limits(None, None), 64 * M, Some(-1), Some(-1));
    }

    #[test]
    fn the_rest_stays_as_it_is() {
        let now = ResourceRequest {
            cpu_shares: Some(512),
            pids_limit: Some(10),
            nano_cpus: Some(1_000_000_000),
            ..Default::default()
        };
        let update = ResourceUpdate {
            pids_limit: Some(-1),
            nano_cpus: Some(500_000_000),
            cpuset_cpus: Some("0".to_owned()),
            ..Default::default()
        };
        let wanted = merged(&now, &update).unwrap();
        assert_eq!((wanted.cpu_shares, wanted.pids_limit), (Some(512), Some(-1)));
        assert_eq!((wanted.nano_cpus, wanted.cpuset_cpus.as_deref()), (Some(500_000_000), Some("0")));
        let quota = ResourceUpdate { cpu_quota_us: Some(5000), ..Default::default() };
        assert!(merged(&now, &quota).is_err());
        let cpus = ResourceUpdate { nano_cpus: Some(1), ..Default::default() };
        assert!(merged(&ResourceRequest { cpu_quota_us: Some(5000), ..Default::default() }, &cpus).is_err());
    }
}
