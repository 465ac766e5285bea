//! Pods go when the node is short of something, or when they take more disk than they may.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use kube_api::quantity::Quantity;
use rpc::cri::ListContainerStatsRequest;
use serde_json::Value;

use super::pressure::{Candidate, Left, Pressure, crossed, message, rank};
use super::{admission, collection, living};
use crate::events::warning;
use crate::kubelet::Shared;
use crate::model::Cause;
use crate::read::{at, items, text, uid};
use crate::spec::{CONTAINER_NAME, POD_UID};
use crate::volumes::{place, used_bytes};

/// Looks once.
pub(super) async fn look(shared: &Arc<Shared>) {
    limits(shared).await;
    let found = crossed(&left(shared), &shared.config.eviction);
    remember(shared, &found.iter().map(|it| it.pressure).collect::<Vec<_>>());
    let Some(first) = found.first() else { return };
    if first.pressure == Pressure::Disk && collection::free(shared, u64::MAX).await > 0 {
        // Images went; the next look tells whether that was enough.
        return;
    }
    let usage = usage(shared).await;
    let pods = living(shared);
    let none = Vec::new();
    let of = |pod: &Value| usage.get(uid(pod)).unwrap_or(&none);
    let candidates = pods.iter().filter(|pod| at(pod, &["metadata", "deletionTimestamp"]).is_none());
    let candidates =
        candidates.map(|pod| Candidate { pod, used: of(pod).iter().map(|(_, used)| used).sum() });
    let Some(victim) = rank(candidates.collect(), first.pressure).into_iter().next() else { return };
    evict(shared, victim.pod, message(first, victim.pod, of(victim.pod)));
}

fn evict(shared: &Shared, pod: &Value, message: String) {
    shared.recorder.pod(pod, shared.now(), warning("Evicted", message.clone()));
    let cause = Cause::Failed {
        reason: "Evicted".to_owned(),
        message,
        disruption: Some("TerminationByKubelet".to_owned()),
    };
    shared.stop_pod(uid(pod), &cause, EVICTION_GRACE);
}

/// What the node is short of now; what has passed stays known for a while.
fn remember(shared: &Shared, found: &[Pressure]) {
    let before = shared.view();
    let now = shared.now();
    let mut pressure = before.pressure.clone();
    let keep = i64::try_from(shared.config.eviction.transition.as_secs()).unwrap_or(i64::MAX);
    pressure.retain(|_, seen| now.duration_since(*seen).as_secs() < keep);
    for one in found {
        pressure.insert(*one, now);
    }
    if pressure.keys().ne(before.pressure.keys()) || !found.is_empty() {
        let mut view = (*before).clone();
        view.pressure = pressure;
        shared.set_view(view);
    }
}

fn left(shared: &Shared) -> Left {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let disk = rustix::fs::statvfs(shared.config.paths.root.as_path()).ok();
    let disk = disk.as_ref();
    let pid_max =
        fs::read_to_string("/proc/sys/kernel/pid_max").ok().and_then(|text| text.trim().parse::<u64>().ok());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let running = load.split([' ', '/']).nth(4).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    Left {
        // Unknown is not short.
        memory: kib.map_or(u64::MAX, |kib| kib * 1024),
        disk: disk.map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
        disk_total: disk.map_or(0, |disk| disk.f_blocks.saturating_mul(disk.f_frsize)),
        inodes: disk.map_or(u64::MAX, |disk| disk.f_favail),
        inodes_total: disk.map_or(0, |disk| disk.f_files),
        pids: pid_max.map_or(u64::MAX, |most| most.saturating_sub(running)),
    }
}

/// Bytes of memory that containers use, by pod.
async fn usage(shared: &Shared) -> BTreeMap<String, Vec<(String, i64)>> {
    let mut found: BTreeMap<String, Vec<(String, i64)>> = BTreeMap::new();
    let Ok(listed) = shared.config.runtime.list_container_stats(ListContainerStatsRequest::default()).await
    else {
        return found;
    };
    for stats in listed.stats {
        let Some(attributes) = stats.attributes else { continue };
        let used = stats.memory.and_then(|memory| memory.working_set_bytes).map_or(0, |bytes| bytes.value);
        let label = |name: &str| attributes.labels.get(name).cloned().unwrap_or_default();
        let used = i64::try_from(used).unwrap_or(i64::MAX);
        found.entry(label(POD_UID)).or_default().push((label(CONTAINER_NAME), used));
    }
    found
}

/// Ends pods whose folders are larger than they may be.
async fn limits(shared: &Arc<Shared>) {
    for pod in living(shared).into_iter().filter(|pod| admission::has_limits_of_disk(pod)) {
        let root = shared.config.paths.pod(uid(&pod));
        let logs = shared.config.paths.logs.join(crate::spec::log_folder(&pod));
        let of = Arc::clone(&pod);
        let found = tokio::task::spawn_blocking(move || exceeded(&of, &root, &logs)).await;
        if let Ok(Some(message)) = found {
            evict(shared, &pod, message);
        }
    }
}

/// What of a pod is larger than it may be, in a sentence.
fn exceeded(pod: &Value, root: &Path, logs: &Path) -> Option<String> {
    let limit = |value: Option<&Value>| value.and_then(Quantity::from_value).map(Quantity::value);
    let mut volumes = 0;
    for volume in items(pod, &["spec", "volumes"]) {
        let Some(empty) = at(volume, &["emptyDir"]) else { continue };
        let used = used_bytes(&place(root, "kubernetes.io~empty-dir", text(volume, &["name"])));
        let used = i64::try_from(used).unwrap_or(i64::MAX);
        if limit(at(empty, &["sizeLimit"])).is_some_and(|most| most > 0 && used > most) {
            let (name, most) = (text(volume, &["name"]), text(empty, &["sizeLimit"]));
            return Some(format!("Usage of EmptyDir volume \"{name}\" exceeds the limit \"{most}\". "));
        }
        if text(empty, &["medium"]) != "Memory" {
            volumes += used;
        }
    }
    let mut total = Some(0);
    for container in items(pod, &["spec", "containers"]) {
        let most = limit(at(container, &["resources", "limits", "ephemeral-storage"]));
        let used = used_bytes(&logs.join(text(container, &["name"])));
        if let Some(most) = most.filter(|most| i64::try_from(used).unwrap_or(i64::MAX) > *most) {
            let name = text(container, &["name"]);
            let most = Quantity::from_int(most);
            return Some(format!("Container {name} exceeded its local ephemeral storage limit \"{most}\". "));
        }
        total = total.zip(most).map(|(sum, most)| sum + most);
    }
    let all = volumes + i64::try_from(used_bytes(logs)).unwrap_or(i64::MAX);
    let total = total.filter(|total| *total > 0 && all > *total)?;
    let total = Quantity::from_int(total);
    Some(format!("Pod ephemeral local storage usage exceeds the total limit of containers {total}. "))
}

/// Seconds that a pod has which must go at once.
const EVICTION_GRACE: i64 = 1;
