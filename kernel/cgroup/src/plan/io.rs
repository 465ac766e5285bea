//! `resources.blockIO`.

use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice};

use super::{PlanError, Planner, invalid};
use crate::setting::{IfRefused, Place, Setting};

pub(super) fn plan(planner: &mut Planner<'_>, io: &LinuxBlockIo) -> Result<(), PlanError> {
    if *io == LinuxBlockIo::default() {
        return Ok(());
    }
    check_weights(io)?;
    if planner.layout.v1("blkio").is_some() {
        v1(planner, io);
        return Ok(());
    }
    let place = planner.place("blockIO", "io")?;
    assert_eq!(place, Place::V2, "no v1 hierarchy has a controller named io");
    v2(planner, io);
    Ok(())
}

fn check_weights(io: &LinuxBlockIo) -> Result<(), PlanError> {
    let devices = io.weight_device().iter().flatten();
    let weights = devices.flat_map(|device| [device.weight(), device.leaf_weight()]);
    for weight in weights.chain([io.weight(), io.leaf_weight()]).flatten() {
        if weight != 0 && !(10..=1000).contains(&weight) {
            return Err(invalid("blockIO.weight", weight, "it is between 10 and 1000"));
        }
    }
    Ok(())
}

fn v1(planner: &mut Planner<'_>, io: &LinuxBlockIo) {
    let place = || Place::V1("blkio".to_owned());
    // Which scheduler shares the disk decides which file there is (BFQ's since Linux 5.0).
    // A weight is a wish, not a limit: with neither file the container runs without.
    let weighted = |bfq: &str, cfq: &str, value: String| {
        Setting::new(place(), bfq, &value).or(cfq, &value).if_refused(IfRefused::Warn)
    };
    if let Some(weight) = io.weight().filter(|weight| *weight != 0) {
        planner.push(weighted("blkio.bfq.weight", "blkio.weight", weight.to_string()));
    }
    if let Some(weight) = io.leaf_weight().filter(|weight| *weight != 0) {
        planner.push(Setting::new(place(), "blkio.leaf_weight", weight).if_refused(IfRefused::Warn));
    }
    for device in io.weight_device().iter().flatten() {
        let number = format!("{}:{}", device.major(), device.minor());
        if let Some(weight) = device.weight() {
            let value = format!("{number} {weight}");
            planner.push(weighted("blkio.bfq.weight_device", "blkio.weight_device", value));
        }
        if let Some(weight) = device.leaf_weight() {
            let value = format!("{number} {weight}");
            planner
                .push(Setting::new(place(), "blkio.leaf_weight_device", value).if_refused(IfRefused::Warn));
        }
    }
    for (_, file, devices) in throttles(io) {
        for device in devices {
            let value = format!("{}:{} {}", device.major(), device.minor(), device.rate());
            planner.push(Setting::new(place(), format!("blkio.throttle.{file}"), value));
        }
    }
}

fn v2(planner: &mut Planner<'_>, io: &LinuxBlockIo) {
    if let Some(weight) = io.weight().filter(|weight| *weight != 0) {
        let setting = Setting::new(Place::V2, "io.bfq.weight", weight).or("io.weight", io_weight(weight));
        planner.push(setting.if_refused(IfRefused::Warn));
    }
    for device in io.weight_device().iter().flatten() {
        if let Some(weight) = device.weight() {
            let number = format!("{}:{}", device.major(), device.minor());
            let setting = Setting::new(Place::V2, "io.bfq.weight", format!("{number} {weight}"))
                .or("io.weight", format!("{number} {}", io_weight(weight)));
            planner.push(setting.if_refused(IfRefused::Warn));
        }
    }
    let leaf = io.weight_device().iter().flatten().any(|device| device.leaf_weight().is_some());
    if leaf || io.leaf_weight().is_some_and(|weight| weight != 0) {
        planner.warn("blockIO.leafWeight", "cgroup v2 has no such setting: processes are in leaves only");
    }
    for (key, _, devices) in throttles(io) {
        for device in devices {
            // A rate of 0 takes the limit away.
            let rate = if device.rate() == 0 { "max".to_owned() } else { device.rate().to_string() };
            let value = format!("{}:{} {key}={rate}", device.major(), device.minor());
            planner.push(Setting::new(Place::V2, "io.max", value));
        }
    }
}

/// v2's key, v1's file and the devices of each kind of limit.
fn throttles(io: &LinuxBlockIo) -> [(&'static str, &'static str, &[LinuxThrottleDevice]); 4] {
    [
        ("rbps", "read_bps_device", io.throttle_read_bps_device().as_deref().unwrap_or_default()),
        ("wbps", "write_bps_device", io.throttle_write_bps_device().as_deref().unwrap_or_default()),
        ("riops", "read_iops_device", io.throttle_read_iops_device().as_deref().unwrap_or_default()),
        ("wiops", "write_iops_device", io.throttle_write_iops_device().as_deref().unwrap_or_default()),
    ]
}

/// 10 to 1000 as 1 to 10000.
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight.max(10)) - 10) * 9999 / 990
}
