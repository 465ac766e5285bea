//! `resources.cpu`: the cpu and the cpuset controller.

use oci_spec::runtime::LinuxCpu;

use super::{PlanError, Planner, invalid};
use crate::setting::{IfRefused, Place, Setting};

pub(super) fn plan(planner: &mut Planner<'_>, cpu: &LinuxCpu) -> Result<(), PlanError> {
    if has_time(cpu) {
        match planner.place("cpu", "cpu")? {
            place @ Place::V1(_) => time_v1(planner, cpu, &place),
            Place::V2 => time_v2(planner, cpu)?,
        }
    }
    sets(planner, cpu)
}

fn has_time(cpu: &LinuxCpu) -> bool {
    let mut rest = cpu.clone();
    rest.set_cpus(None).set_mems(None);
    rest != LinuxCpu::default()
}

fn time_v1(planner: &mut Planner<'_>, cpu: &LinuxCpu, place: &Place) {
    // The kernel checks these against each other; see IfRefused::RetryInTurn.
    let mut push = |file: &str, value: Option<String>| {
        if let Some(value) = value {
            planner.push(Setting::new(place.clone(), file, value).if_refused(IfRefused::RetryInTurn));
        }
    };
    push("cpu.shares", positive(cpu.shares()));
    push("cpu.cfs_period_us", positive(cpu.period()));
    push("cpu.cfs_quota_us", cpu.quota().filter(|quota| *quota != 0).map(|quota| quota.max(-1).to_string()));
    push("cpu.cfs_burst_us", cpu.burst().map(|burst| burst.to_string()));
    push("cpu.rt_period_us", positive(cpu.realtime_period()));
    push(
        "cpu.rt_runtime_us",
        cpu.realtime_runtime().filter(|value| *value != 0).map(|value| value.to_string()),
    );
    push("cpu.idle", cpu.idle().map(|idle| idle.to_string()));
}

fn time_v2(planner: &mut Planner<'_>, cpu: &LinuxCpu) -> Result<(), PlanError> {
    let setting =
        |file: &str, value: String| Setting::new(Place::V2, file, value).if_refused(IfRefused::RetryInTurn);
    let idle = cpu.idle();
    if let Some(idle) = idle {
        planner.push(setting("cpu.idle", idle.to_string()));
    }
    // An idle cgroup has no weight, and the kernel refuses one.
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0 && idle != Some(1)) {
        planner.push(setting("cpu.weight", weight(shares).to_string()));
    }
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period != 0);
    if quota.is_some() || period.is_some() {
        let value = match (quota, period) {
            // Written alone a quota leaves the period as it is.
            (Some(quota), None) => limit(quota),
            (quota, period) => format!("{} {}", limit(quota.unwrap_or(-1)), period.unwrap_or(PERIOD_DEFAULT)),
        };
        planner.push(setting("cpu.max", value));
    }
    if let Some(burst) = cpu.burst() {
        planner.push(setting("cpu.max.burst", burst.to_string()));
    }
    if positive(cpu.realtime_period()).is_some() || cpu.realtime_runtime().is_some_and(|value| value != 0) {
        return Err(invalid(
            "cpu.realtimeRuntime",
            cpu.realtime_runtime().unwrap_or_default(),
            "cgroup v2 does not divide realtime among groups; leave realtimeRuntime and realtimePeriod out",
        ));
    }
    Ok(())
}

fn sets(planner: &mut Planner<'_>, cpu: &LinuxCpu) -> Result<(), PlanError> {
    for (value, resource, file) in
        [(cpu.cpus(), "cpu.cpus", "cpuset.cpus"), (cpu.mems(), "cpu.mems", "cpuset.mems")]
    {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            let place = planner.place(resource, "cpuset")?;
            planner.push(Setting::new(place, file, value));
        }
    }
    Ok(())
}

/// v1's shares (2 to 262144, usually 1024) as v2's weight (1 to 10000, usually 100): a
/// quadratic in the exponent through (2, 1), (1024, 100) and (262144, 10000).
pub(crate) fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        SHARES_MAX.. => WEIGHT_MAX,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            // Upwards, but not because of the last bit of a logarithm.
            (10f64.powf(exponent) - 1e-9).ceil() as u64
        }
    }
}

fn positive(value: Option<u64>) -> Option<String> {
    value.filter(|value| *value != 0).map(|value| value.to_string())
}

fn limit(quota: i64) -> String {
    if quota > 0 { quota.to_string() } else { "max".to_owned() }
}

const SHARES_MAX: u64 = 262_144;
const WEIGHT_MAX: u64 = 10_000;
/// Microseconds, the kernel's own default.
const PERIOD_DEFAULT: u64 = 100_000;
