//! The tree of cgroups that pods are in: `kubepods/burstable/podUID`.

use cgroup::{Cgroup, CgroupPath, Driver, Layout};
use oci_spec::runtime::LinuxResources;
use serde_json::{Value, json};

use crate::read::uid;
use crate::resources::{CPU_PERIOD, pod_cgroup, pod_limits};

/// Makes a pod's cgroup with its limits, and those above it.
pub(crate) fn make(root: &str, pod: &Value) -> Result<(), String> {
    if uid(pod).is_empty() {
        return Ok(());
    }
    let layout = Layout::detect().map_err(|error| error.to_string())?;
    let path = format!("{root}/{}", pod_cgroup(pod));
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("{what} cgroup {path}: {error}");
    let at = CgroupPath::parse(Some(&path), "", Driver::Cgroupfs).map_err(|error| failed("name", &error))?;
    let existing = Cgroup::locate(&at, &layout);
    let made = if existing.exists() {
        existing
    } else {
        Cgroup::create(&at, &layout).map_err(|error| failed("make", &error))?
    };
    let limits = pod_limits(pod);
    let mut wanted = json!({"cpu": {"shares": limits.cpu_shares}});
    if limits.cpu_quota > 0 {
        wanted["cpu"]["quota"] = json!(limits.cpu_quota);
        wanted["cpu"]["period"] = json!(CPU_PERIOD);
    }
    if limits.memory > 0 {
        wanted["memory"] = json!({"limit": limits.memory});
    }
    let wanted: LinuxResources = serde_json::from_value(wanted).map_err(|error| failed("limit", &error))?;
    let plan = cgroup::plan_update(&wanted, &layout).map_err(|error| failed("limit", &error))?;
    made.apply(&plan).map(drop).map_err(|error| failed("limit", &error))
}

/// Removes a pod's cgroup with what is left in it.
pub(crate) fn remove(root: &str, pod: &str) {
    let Ok(layout) = Layout::detect() else { return };
    let Ok(at) = CgroupPath::parse(Some(&format!("{root}/{pod}")), "", Driver::Cgroupfs) else { return };
    // One that is still in use is removed with the next pod's, or by whoever uses it.
    drop(Cgroup::locate(&at, &layout).remove());
}
