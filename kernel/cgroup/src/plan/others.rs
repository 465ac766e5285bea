//! The smaller ones: pids, huge pages, network, RDMA, and v2 files by name.

use oci_spec::runtime::{LinuxHugepageLimit, LinuxNetwork, LinuxRdma};

use super::{PlanError, Planner, invalid};
use crate::setting::{IfRefused, Place, Setting};

/// `resources.pids`: below 0 is no limit. Nothing can run with 0, so that is taken for 1, as
/// systemd cannot be told 0 either.
pub(super) fn pids(planner: &mut Planner<'_>, limit: i64) -> Result<(), PlanError> {
    let place = planner.place("pids.limit", "pids")?;
    let value = if limit < 0 { "max".to_owned() } else { limit.max(1).to_string() };
    planner.push(Setting::new(place, "pids.max", value));
    Ok(())
}

/// `resources.hugepageLimits`: what is used, and where the kernel can, what is reserved.
pub(super) fn hugepages(planner: &mut Planner<'_>, limit: &LinuxHugepageLimit) -> Result<(), PlanError> {
    let place = planner.place("hugepageLimits", "hugetlb")?;
    let size = limit.page_size();
    let well_formed = size.strip_suffix("B").is_some_and(|size| {
        let number = size.trim_end_matches(['K', 'M', 'G']);
        size.len() == number.len() + 1
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    if !well_formed {
        return Err(invalid("hugepageLimits.pageSize", size, "it is a number with KB, MB or GB, as in 2MB"));
    }
    let file = if place == Place::V2 { "max" } else { "limit_in_bytes" };
    let setting = |name: String| Setting::new(place.clone(), name, limit.limit());
    planner.push(setting(format!("hugetlb.{size}.{file}")));
    planner.push(setting(format!("hugetlb.{size}.rsvd.{file}")).if_refused(IfRefused::IgnoreMissing));
    Ok(())
}

/// `resources.network`: v1 only; on v2 packets are matched by cgroup instead.
pub(super) fn network(planner: &mut Planner<'_>, network: &LinuxNetwork) -> Result<(), PlanError> {
    let class = network.class_id().filter(|class| *class != 0);
    let priorities = network.priorities().as_deref().unwrap_or_default();
    if planner.layout.v1.is_empty() {
        if class.is_some() || !priorities.is_empty() {
            planner.warn(
                "network",
                "cgroup v2 has no network controllers: match the cgroup in nftables instead",
            );
        }
        return Ok(());
    }
    if let Some(class) = class {
        let place = planner.place("network.classID", "net_cls")?;
        planner.push(Setting::new(place, "net_cls.classid", class));
    }
    for priority in priorities {
        let place = planner.place("network.priorities", "net_prio")?;
        planner.push(Setting::new(
            place,
            "net_prio.ifpriomap",
            format!("{} {}", priority.name(), priority.priority()),
        ));
    }
    Ok(())
}

/// `resources.rdma`: the same file in v1 and v2.
pub(super) fn rdma(planner: &mut Planner<'_>, device: &str, limits: &LinuxRdma) -> Result<(), PlanError> {
    let mut value = device.to_owned();
    for (key, limit) in [("hca_handle", limits.hca_handles()), ("hca_object", limits.hca_objects())] {
        if let Some(limit) = limit {
            value.push_str(&format!(" {key}={limit}"));
        }
    }
    let place = planner.place("rdma", "rdma")?;
    planner.push(Setting::new(place, "rdma.max", value));
    Ok(())
}

/// `resources.unified`: v2's files by name, in this order after all others.
pub(super) fn unified(planner: &mut Planner<'_>, file: &str, value: &str) -> Result<(), PlanError> {
    let well_formed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let controller = match file.split_once('.') {
        Some((controller, rest)) if !rest.is_empty() && file.bytes().all(well_formed) => controller,
        _ => return Err(PlanError::UnifiedKey { key: file.to_owned() }),
    };
    // `cgroup.*` is the core's and always there.
    if !(planner.layout.v2_has(controller) || controller == "cgroup" && planner.layout.v2.is_some()) {
        return Err(PlanError::UnifiedWithoutV2 { key: file.to_owned(), controller: controller.to_owned() });
    }
    planner.push(Setting::new(Place::V2, file, value));
    Ok(())
}
