//! The node: its object, its lease, its health, and what is swept up on it.

mod admission;
pub(crate) mod cgroups;
mod collection;
mod eviction;
pub(crate) mod logs;
mod object;
mod pressure;
mod shutdown;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use client::{Call, Change, Mirror, PatchType};
use futures_util::StreamExt;
use jiff::Timestamp;
use kube_object::resource::GroupVersionResource;
use kube_object::time::MicroTime;
use rpc::cri::{NetworkConfig, RuntimeConfig, StatusRequest, UpdateRuntimeConfigRequest};
use serde_json::{Value, json};

pub(crate) use admission::{allocate, refuse};
pub(crate) use pressure::Pressure;
pub(crate) use shutdown::{end_all, was_ended};

use crate::config::Config;
use crate::events::normal;
use crate::kubelet::{Shared, gvr};
use crate::model::Limits;
use crate::read::{at, text, uid};

/// What is known of the node.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// What pods may take, by resource.
    pub(crate) allocatable: Value,
    /// What it has.
    pub(crate) capacity: Value,
    /// Bytes of memory.
    pub(crate) memory: i64,
    /// The limits of all pods together.
    pub(crate) for_pods: Limits,
    /// What the runtime calls itself.
    pub(crate) runtime: String,
    pub(crate) runtime_version: String,
    /// What it is short of.
    pub(crate) pressure: BTreeMap<Pressure, Timestamp>,
    /// Whether it shuts down.
    pub(crate) goes_down: bool,
}

impl View {
    /// Reads what the kernel says.
    pub(crate) fn read(config: &Config) -> Self {
        let (capacity, allocatable, memory) = object::capacity(config);
        let for_pods = object::for_pods(config, &capacity);
        Self { for_pods, allocatable, capacity, memory, runtime: "strake".to_owned(), ..Self::default() }
    }
}

/// Registers the node, renews its lease and tells how it is, for ever.
pub(crate) async fn run(shared: Arc<Shared>) {
    if shared.config.node.registers {
        register(&shared).await;
    }
    shared.cache.synced().await;
    let nodes = gvr("nodes").group_resource();
    let mut changes = shared.cache.changes(&nodes);
    let mut teller = Teller::default();
    let mut lease_at = tokio::time::Instant::now();
    loop {
        let now = tokio::time::Instant::now();
        if now >= lease_at {
            let wait = if renew(&shared).await.is_ok() { LEASE_EVERY } else { LEASE_AGAIN };
            lease_at = now + wait;
        }
        let is_ready = teller.tell(&shared).await;
        // Until it is ready somebody waits for it; afterwards the runtime is asked with each lease.
        let next = if is_ready { lease_at } else { now + UNREADY_LOOK };
        tokio::select! {
            () = tokio::time::sleep_until(next.min(lease_at)) => {}
            () = shared.news.notified() => {}
            change = next_change(&mut changes) => if change.is_none() { return },
        }
    }
}

/// A change of the node that another one made: our own status is no news.
async fn next_change(changes: &mut client::BoxStream<'static, Change>) -> Option<()> {
    loop {
        match changes.next().await? {
            Change::Set { old: Some(old), new } => {
                let (old, new) = (old.value(), new.value());
                if old.get("spec") != new.get("spec") {
                    return Some(());
                }
            }
            _ => return Some(()),
        }
    }
}

/// Makes the node's object, or brings its labels up to date.
async fn register(shared: &Shared) {
    let nodes = gvr("nodes");
    let name = &shared.config.node.name;
    let wanted = object::node(&shared.config, &shared.view());
    loop {
        let found = shared.config.api.call(Call::get(&nodes, "", name)).await;
        let done = match found {
            Ok(found) => {
                let labels = at(&wanted, &["metadata", "labels"]).cloned().unwrap_or_default();
                let missing = labels
                    .as_object()
                    .into_iter()
                    .flatten()
                    .any(|(key, value)| at(&found, &["metadata", "labels", key]) != Some(value));
                let patch = json!({"metadata": {"labels": labels}});
                !missing
                    || shared
                        .config
                        .api
                        .call(Call::patch(&nodes, "", name, PatchType::Strategic, patch))
                        .await
                        .is_ok()
            }
            Err(status) if status.code == 404 => {
                let made = shared.config.api.call(Call::create(&nodes, "", wanted.clone())).await;
                if made.is_ok() {
                    let told = normal("RegisteredNode", format!("Node {name} registered"));
                    shared.recorder.node(name, shared.now(), told);
                }
                made.is_ok()
            }
            Err(_) => false,
        };
        if done {
            return;
        }
        tokio::time::sleep(REGISTER_AGAIN).await;
    }
}

/// Renews the lease by which the control plane knows that this node lives.
async fn renew(shared: &Shared) -> Result<(), kube_object::status::Status> {
    let leases = GroupVersionResource::new("coordination.k8s.io", "v1", "leases");
    let name = &shared.config.node.name;
    let micros = shared.now().as_microsecond();
    let stamp = MicroTime::from_unix_micros(micros).map(|time| time.to_string()).unwrap_or_default();
    let spec = json!({"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": stamp});
    let patch = json!({"spec": spec});
    let call = Call::patch(&leases, LEASES, name, PatchType::Merge, patch);
    match shared.config.api.call(call).await {
        Err(status) if status.code == 404 => {
            let owner = shared.cache.item(&gvr("nodes").group_resource(), "", name);
            let owners: Vec<Value> = owner
                .iter()
                .map(|node| json!({"apiVersion": "v1", "kind": "Node", "name": name, "uid": node.uid()}))
                .collect();
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": name, "namespace": LEASES, "ownerReferences": owners}, "spec": spec,
            });
            shared.config.api.call(Call::create(&leases, LEASES, lease)).await.map(drop)
        }
        done => done.map(drop),
    }
}

/// Tells the API how the node is: when that changes, and every five minutes.
#[derive(Default)]
struct Teller {
    told: Option<(Value, tokio::time::Instant)>,
    range: String,
    images: Option<(tokio::time::Instant, Value)>,
}

impl Teller {
    /// Whether the node is ready.
    async fn tell(&mut self, shared: &Shared) -> bool {
        let nodes = gvr("nodes");
        let name = &shared.config.node.name;
        let Some(item) = shared.cache.item(&nodes.group_resource(), "", name) else { return false };
        let node = item.value();
        self.give_range(shared, text(&node, &["spec", "podCIDR"])).await;
        let runtime = shared.config.runtime.status(StatusRequest::default()).await;
        let trouble = match shared.view().goes_down {
            true => Some("node is shutting down".to_owned()),
            false => object::trouble(&runtime),
        };
        let is_stale = self.images.as_ref().is_none_or(|(at, _)| at.elapsed() >= IMAGES_EVERY);
        if is_stale {
            let images = object::images(shared).await;
            self.images = Some((tokio::time::Instant::now(), images));
        }
        let images = self.images.as_ref().map(|(_, images)| images).unwrap_or(&Value::Null);
        let status = object::status(shared, &node, trouble.as_deref(), images);
        let plain = object::without_times(&status);
        let is_due =
            self.told.as_ref().is_none_or(|(told, at)| *told != plain || at.elapsed() >= STATUS_EVERY);
        if is_due {
            let patch = json!({"status": status});
            let call = Call::patch(&nodes, "", name, PatchType::Strategic, patch).at("status");
            if shared.config.api.call(call).await.is_ok() {
                self.told = Some((plain, tokio::time::Instant::now()));
            }
        }
        trouble.is_none()
    }

    /// Tells the runtime the node's range of addresses, once it is known.
    async fn give_range(&mut self, shared: &Shared, of_node: &str) {
        let range = match of_node {
            "" => shared.config.node.pod_cidr.clone().unwrap_or_default(),
            range => range.to_owned(),
        };
        if range.is_empty() || range == self.range {
            return;
        }
        let request = UpdateRuntimeConfigRequest {
            runtime_config: Some(RuntimeConfig {
                network_config: Some(NetworkConfig { pod_cidr: range.clone() }),
            }),
        };
        if shared.config.runtime.update_runtime_config(request).await.is_ok() {
            self.range = range;
        }
    }
}

/// Looks after the node's memory, disk and files, for ever.
pub(crate) async fn keep(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(shared.config.eviction.every.max(KEEP_LEAST));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut collect_at = tokio::time::Instant::now();
    cgroups::top(&shared).await;
    loop {
        ticks.tick().await;
        eviction::look(&shared).await;
        logs::rotate(&shared).await;
        if tokio::time::Instant::now() >= collect_at {
            collection::collect(&shared).await;
            collect_at = tokio::time::Instant::now() + shared.config.image_collection.every;
        }
    }
}

/// Removes folders of pods that neither the API nor the runtime knows.
pub(crate) async fn sweep_folders(shared: &Shared, wanted: &HashSet<String>, running: &HashSet<String>) {
    let pods = shared.config.paths.root.join("pods");
    let Ok(entries) = std::fs::read_dir(&pods) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if wanted.contains(&name) || running.contains(&name) {
            continue;
        }
        let path = entry.path();
        drop(tokio::task::spawn_blocking(move || crate::volumes::remove(&path)).await);
    }
}

/// The pods that still take something of the node.
pub(crate) fn living(shared: &Shared) -> Vec<Arc<Value>> {
    let mut pods = shared.pods.all();
    pods.retain(|pod| {
        !matches!(text(pod, &["status", "phase"]), "Succeeded" | "Failed") && !uid(pod).is_empty()
    });
    pods
}

const LEASES: &str = "kube-node-lease";
const LEASE_SECONDS: i64 = 40;
const LEASE_EVERY: Duration = Duration::from_secs(10);
const LEASE_AGAIN: Duration = Duration::from_secs(1);
const STATUS_EVERY: Duration = Duration::from_secs(300);
const IMAGES_EVERY: Duration = Duration::from_secs(60);
const UNREADY_LOOK: Duration = Duration::from_millis(500);
const REGISTER_AGAIN: Duration = Duration::from_millis(500);
const KEEP_LEAST: Duration = Duration::from_secs(1);
