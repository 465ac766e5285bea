//! The tree of cgroups that pods are in: `kubepods/burstable/podUID`.

use std::sync::{Arc, PoisonError};

use cgroup::{Cgroup, CgroupPath, Driver, Layout};
use oci_spec::runtime::LinuxResources;
use serde_json::{Value, json};

use super::living;
use crate::kubelet::Shared;
use crate::model::Limits;
use crate::read::uid;
use crate::resources::{self, CPU_PERIOD, cpu_shares, pod_cgroup, pod_limits};

/// Makes a pod's cgroup with its limits, and those above it.
pub(crate) fn make(root: &str, pod: &Value) -> Result<(), String> {
    if uid(pod).is_empty() {
        return Ok(());
    }
    limit(&format!("{root}/{}", pod_cgroup(pod)), &pod_limits(pod))
}

/// Limits all pods together to what the node gives them, and weighs the classes of service.
pub(super) async fn top(shared: &Arc<Shared>) {
    let (root, all) = (shared.config.cgroup_root.clone(), shared.view().for_pods);
    let done = tokio::task::spawn_blocking(move || {
        limit(&root, &all)?;
        limit(&format!("{root}/besteffort"), &Limits { cpu_shares: cpu_shares(0), ..Limits::default() })
    });
    if let Ok(Err(why)) = done.await {
        let told = crate::events::warning("FailedNodeAllocatableEnforcement", why);
        shared.recorder.node(&shared.config.node.name, shared.now(), told);
    }
    weigh(shared).await;
}

/// Gives burstable pods together the weight that they ask for one by one.
pub(crate) async fn weigh(shared: &Arc<Shared>) {
    let pods = living(shared);
    let of =
        |pod: &Arc<Value>| resources::together(pod, "requests", "cpu").map_or(0, |cpu| cpu.milli_value());
    let milli = pods.iter().filter(|pod| resources::qos(pod) == "Burstable").map(of).sum();
    let shares = cpu_shares(milli);
    let before = shared.burstable.lock().unwrap_or_else(PoisonError::into_inner).replace(shares);
    if before != Some(shares) {
        let class = format!("{}/burstable", shared.config.cgroup_root);
        let wanted = Limits { cpu_shares: shares, ..Limits::default() };
        // The next pod tries again what does not succeed.
        if !matches!(tokio::task::spawn_blocking(move || limit(&class, &wanted)).await, Ok(Ok(()))) {
            *shared.burstable.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

/// Makes a cgroup and limits it.
fn limit(path: &str, limits: &Limits) -> Result<(), String> {
    let layout = Layout::detect().map_err(|error| error.to_string())?;
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("{what} cgroup {path}: {error}");
    let at = CgroupPath::parse(Some(path), "", Driver::Cgroupfs).map_err(|error| failed("name", &error))?;
    let existing = Cgroup::locate(&at, &layout);
    let made = if existing.exists() {
        existing
    } else {
        Cgroup::create(&at, &layout).map_err(|error| failed("make", &error))?
    };
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
