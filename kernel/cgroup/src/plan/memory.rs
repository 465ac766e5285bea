//! `resources.memory`.

use oci_spec::runtime::LinuxMemory;

use super::{PlanError, Planner, invalid};
use crate::setting::{IfRefused, Place, Setting};

pub(super) fn plan(planner: &mut Planner<'_>, memory: &LinuxMemory) -> Result<(), PlanError> {
    if *memory == LinuxMemory::default() {
        return Ok(());
    }
    kernel_memory(planner, memory);
    match planner.place("memory", "memory")? {
        place @ Place::V1(_) => v1(planner, memory, &place),
        Place::V2 => v2(planner, memory),
    }
}

fn kernel_memory(planner: &mut Planner<'_>, memory: &LinuxMemory) {
    if memory.kernel().is_some_and(|limit| limit != 0) {
        planner.warn(
            "memory.kernel",
            "the kernel has no such limit any more; kernel memory counts to memory.limit",
        );
    }
}

fn v1(planner: &mut Planner<'_>, memory: &LinuxMemory, place: &Place) -> Result<(), PlanError> {
    let setting = |file: &str, value: i64| Setting::new(place.clone(), file, value);
    if memory.use_hierarchy() == Some(true) {
        // Since Linux 5.11 it is always on.
        planner.push(setting("memory.use_hierarchy", 1).if_refused(IfRefused::Warn));
    }
    let limit = memory.limit().filter(|limit| *limit != 0);
    // No limit of memory means none of both together: memsw cannot be below it.
    let swap = memory.swap().filter(|swap| *swap != 0).or(limit.filter(|limit| *limit == -1));
    if let (Some(limit), Some(swap)) = (limit, swap)
        && swap > 0
        && (limit > swap)
    {
        return Err(invalid(
            "memory.swap",
            swap,
            "it counts memory and swap together, so it cannot be below memory.limit",
        ));
    }
    // Neither may pass the other on the way: the order depends on the values of now.
    let turn = if limit.is_some() && swap.is_some() { IfRefused::RetryInTurn } else { IfRefused::Fail };
    if let Some(limit) = limit {
        planner.push(setting("memory.limit_in_bytes", limit).if_refused(turn.clone()));
    }
    if let Some(swap) = swap {
        planner.push(setting("memory.memsw.limit_in_bytes", swap).if_refused(turn));
    }
    if let Some(reservation) = memory.reservation().filter(|value| *value != 0) {
        planner.push(setting("memory.soft_limit_in_bytes", reservation));
    }
    if let Some(tcp) = memory.kernel_tcp().filter(|value| *value != 0) {
        planner.push(setting("memory.kmem.tcp.limit_in_bytes", tcp).if_refused(IfRefused::Warn));
    }
    if let Some(swappiness) = memory.swappiness().filter(|value| *value != u64::MAX) {
        if swappiness > 100 {
            return Err(invalid("memory.swappiness", swappiness, "it is between 0 and 100"));
        }
        planner.push(Setting::new(place.clone(), "memory.swappiness", swappiness));
    }
    if memory.disable_oom_killer() == Some(true) {
        planner.push(setting("memory.oom_control", 1));
    }
    Ok(())
}

fn v2(planner: &mut Planner<'_>, memory: &LinuxMemory) -> Result<(), PlanError> {
    let limit = memory.limit().filter(|limit| *limit != 0);
    if let Some(swap) = swap_alone(limit, memory.swap())? {
        let setting = Setting::new(Place::V2, "memory.swap.max", number(swap));
        // Without swap accounting there is nothing to limit, and no swap to forbid.
        let harmless = swap <= 0;
        planner.push(if harmless { setting.if_refused(IfRefused::IgnoreMissing) } else { setting });
    }
    if let Some(limit) = limit {
        let mut setting = Setting::new(Place::V2, "memory.max", number(limit));
        if memory.check_before_update() == Some(true) && limit > 0 {
            setting.not_below = Some("memory.current".to_owned());
        }
        planner.push(setting);
    }
    if let Some(reservation) = memory.reservation().filter(|value| *value != 0) {
        planner.push(Setting::new(Place::V2, "memory.low", number(reservation)));
    }
    for (asked, what) in [
        (memory.kernel_tcp().is_some_and(|value| value != 0), "memory.kernelTCP"),
        (memory.swappiness().is_some_and(|value| value != u64::MAX), "memory.swappiness"),
        (memory.disable_oom_killer() == Some(true), "memory.disableOOMKiller"),
    ] {
        if asked {
            planner.warn(what, "cgroup v2 has no such setting");
        }
    }
    Ok(())
}

/// v1 and the runtime-spec count memory and swap together, v2 counts swap alone. `None`
/// means that nothing is to be written.
fn swap_alone(limit: Option<i64>, swap: Option<i64>) -> Result<Option<i64>, PlanError> {
    let swap = swap.unwrap_or(0);
    match (limit.unwrap_or(0), swap) {
        (-1, 0) => Ok(Some(-1)),
        (_, 0) => Ok(None),
        (_, -1) => Ok(Some(-1)),
        (_, swap) if swap < 0 => {
            Err(invalid("memory.swap", swap, "it is -1 for no limit, or a number of bytes"))
        }
        (0, swap) => Err(invalid(
            "memory.swap",
            swap,
            "it counts memory and swap together, so it needs memory.limit, too",
        )),
        (limit, swap) if limit < 0 => Err(invalid(
            "memory.swap",
            swap,
            "it counts memory and swap together, but memory.limit is unlimited",
        )),
        (limit, swap) if swap < limit => Err(invalid(
            "memory.swap",
            swap,
            "it counts memory and swap together, so it cannot be below memory.limit",
        )),
        (limit, swap) => Ok(Some(swap - limit)),
    }
}

fn number(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}
