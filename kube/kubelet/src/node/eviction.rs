//! Pods go when the node is short of something, or when they take more disk than they may.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use kube_api::quantity::{self, Quantity};
use rpc::cri::{ContainerStats, ListContainerStatsRequest, UInt64Value};
use serde_json::Value;

use super::pressure::{Candidate, Left, Pressure, binary, crossed, is_critical, message, rank};
use super::{admission, collection, living};
use crate::events::warning;
use crate::kubelet::Shared;
use crate::model::{Cause, TERMINATION_BY_KUBELET};
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
    let pods = living(shared);
    let usage = match first.pressure {
        Pressure::Disk => disk_usage(shared, &pods).await,
        Pressure::Memory | Pressure::Pids => memory_usage(shared).await,
    };
    let none = Vec::new();
    let of = |pod: &Value| usage.get(uid(pod)).unwrap_or(&none);
    let candidates = pods.iter().filter(|pod| at(pod, &["metadata", "deletionTimestamp"]).is_none());
    let candidates =
        candidates.map(|pod| Candidate { pod, used: of(pod).iter().map(|(_, used)| used).sum() });
    let Some(victim) = rank(candidates.collect(), first.pressure).into_iter().next() else { return };
    let disruption = Some(TERMINATION_BY_KUBELET.to_owned());
    evict(shared, victim.pod, message(first, victim.pod, of(victim.pod)), disruption);
}

fn evict(shared: &Shared, pod: &Value, message: String, disruption: Option<String>) {
    shared.recorder.pod(pod, shared.now(), warning("Evicted", message.clone()));
    let cause = Cause::Failed { reason: "Evicted".to_owned(), message, disruption };
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
    let is_news = pressure.keys().ne(before.pressure.keys());
    if is_news || !found.is_empty() {
        let mut view = (*before).clone();
        view.pressure = pressure;
        shared.set_view(view);
    }
    if is_news {
        // Nobody shall send more pods until it is over.
        shared.news.notify_one();
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

/// Bytes of the node's disk that containers use with their logs, by pod; volumes count as the pod's.
async fn disk_usage(shared: &Shared, pods: &[Arc<Value>]) -> BTreeMap<String, Vec<(String, i64)>> {
    let layers = layers(shared).await;
    let mut found = BTreeMap::new();
    for pod in pods {
        let logs = shared.config.paths.pod_logs(pod);
        let volumes = shared.config.paths.volumes(pod);
        let mut own = layers.get(uid(pod)).cloned().unwrap_or_default();
        let measured = tokio::task::spawn_blocking(move || {
            for (name, used) in &mut own {
                *used = used.saturating_add(bytes_below(&logs.join(name)));
            }
            own.push((String::new(), bytes_below(&volumes)));
            own
        });
        found.insert(uid(pod).to_owned(), measured.await.unwrap_or_default());
    }
    found
}

fn bytes_below(folder: &Path) -> i64 {
    i64::try_from(used_bytes(folder)).unwrap_or(i64::MAX)
}

/// Bytes that containers have written into their roots, by pod.
async fn layers(shared: &Shared) -> BTreeMap<String, Vec<(String, i64)>> {
    stats(shared, |stats| stats.writable_layer.as_ref()?.used_bytes.as_ref()).await
}

/// Bytes of memory that containers use, by pod.
async fn memory_usage(shared: &Shared) -> BTreeMap<String, Vec<(String, i64)>> {
    stats(shared, |stats| stats.memory.as_ref()?.working_set_bytes.as_ref()).await
}

/// One figure of each container, by pod.
async fn stats(
    shared: &Shared,
    figure: impl Fn(&ContainerStats) -> Option<&UInt64Value>,
) -> BTreeMap<String, Vec<(String, i64)>> {
    let mut found: BTreeMap<String, Vec<(String, i64)>> = BTreeMap::new();
    let Ok(listed) = shared.config.runtime.list_container_stats(ListContainerStatsRequest::default()).await
    else {
        return found;
    };
    for stats in listed.stats {
        let used = figure(&stats).map_or(0, |bytes| bytes.value);
        let Some(attributes) = stats.attributes else { continue };
        let label = |name: &str| attributes.labels.get(name).cloned().unwrap_or_default();
        let used = i64::try_from(used).unwrap_or(i64::MAX);
        found.entry(label(POD_UID)).or_default().push((label(CONTAINER_NAME), used));
    }
    found
}

/// Ends pods that hold more of the disk than they may. That is no disruption: they did it themselves.
async fn limits(shared: &Arc<Shared>) {
    let mut limited = living(shared);
    limited.retain(|pod| admission::has_limits_of_disk(pod) && !is_critical(pod));
    if limited.is_empty() {
        return;
    }
    let layers = layers(shared).await;
    for pod in limited {
        let root = shared.config.paths.pod(uid(&pod));
        let logs = shared.config.paths.pod_logs(&pod);
        let written = layers.get(uid(&pod)).cloned().unwrap_or_default();
        let of = Arc::clone(&pod);
        let found = tokio::task::spawn_blocking(move || exceeded(&of, &root, &logs, &written)).await;
        if let Ok(Some(message)) = found {
            evict(shared, &pod, message, None);
        }
    }
}

/// What of a pod is larger than it may be, in a sentence. `written` is what containers have written
/// into their roots.
fn exceeded(pod: &Value, root: &Path, logs: &Path, written: &[(String, i64)]) -> Option<String> {
    let limit = |value: Option<&Value>| value.and_then(quantity::read).map(Quantity::value);
    let mut all = 0;
    for volume in items(pod, &["spec", "volumes"]) {
        let Some(empty) = at(volume, &["emptyDir"]) else { continue };
        let used = bytes_below(&place(root, "kubernetes.io~empty-dir", text(volume, &["name"])));
        if limit(at(empty, &["sizeLimit"])).is_some_and(|most| most > 0 && used > most) {
            let (name, most) = (text(volume, &["name"]), text(empty, &["sizeLimit"]));
            return Some(format!("Usage of EmptyDir volume \"{name}\" exceeds the limit \"{most}\". "));
        }
        if text(empty, &["medium"]) != "Memory" {
            all += used;
        }
    }
    let mut total = Some(0);
    for container in items(pod, &["spec", "containers"]) {
        let (name, path) = (text(container, &["name"]), ["resources", "limits", "ephemeral-storage"]);
        let most = limit(at(container, &path));
        let layer = written.iter().find(|(of, _)| of == name).map_or(0, |(_, used)| *used);
        let used = layer.saturating_add(bytes_below(&logs.join(name)));
        if most.is_some_and(|most| used > most) {
            let most = text(container, &path);
            return Some(format!("Container {name} exceeded its local ephemeral storage limit \"{most}\". "));
        }
        all += used;
        total = total.zip(most).map(|(sum, most)| sum + most);
    }
    let total = binary(total.filter(|total| *total > 0 && all > *total)?);
    Some(format!("Pod ephemeral local storage usage exceeds the total limit of containers {total}. "))
}

/// Seconds that a pod has which must go at once.
const EVICTION_GRACE: i64 = 1;
