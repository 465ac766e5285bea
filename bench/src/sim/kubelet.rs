//! What the API sees of a kubelet.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use client::{Api, Cache, Call, Change, Mirror as _, PatchType, WatchOptions};
use controllers::{known, object};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::Counts;

/// One simulated kubelet.
pub(super) struct Kubelet {
    name: String,
    number: usize,
    pods_max: usize,
    api: Arc<dyn Api>,
    counts: Arc<Counts>,
    /// Pods that run already.
    started: HashSet<String>,
}

impl Kubelet {
    pub(super) fn new(number: usize, pods_max: usize, api: Arc<dyn Api>, counts: Arc<Counts>) -> Self {
        Self { name: format!("sim-{number}"), number, pods_max, api, counts, started: HashSet::new() }
    }

    async fn write(&self, call: Call) -> Result<Value> {
        let started = Instant::now();
        let answer = self.api.call(call).await.map_err(|status| anyhow!("{}: {status}", self.name))?;
        self.counts.wrote(started.elapsed());
        Ok(answer)
    }

    /// Makes its Node and its Lease.
    pub(super) async fn register(&self) -> Result<()> {
        let pods = self.pods_max.max(110).to_string();
        let amounts = json!({"cpu": "16", "memory": "64Gi", "pods": pods, "ephemeral-storage": "500Gi"});
        let node = json!({
            "metadata": {"name": self.name, "labels": {
                "kubernetes.io/hostname": self.name, "topology.kubernetes.io/zone": format!("zone-{}", self.number % 3),
            }},
        });
        self.write(Call::create(known::nodes(), "", node)).await?;
        self.patch_node("status", json!({"status": {"capacity": amounts, "allocatable": amounts,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "simulated",
                "lastHeartbeatTime": object::time_text(now()), "lastTransitionTime": object::time_text(now())}]}}))
            .await?;
        self.patch_node("", json!({"spec": {"taints": null}})).await?;
        let lease = json!({"metadata": {"name": self.name}, "spec": {"holderIdentity": self.name,
            "leaseDurationSeconds": 40, "renewTime": renewed()}});
        self.write(Call::create(known::leases(), LEASES, lease)).await?;
        Ok(())
    }

    async fn patch_node(&self, part: &str, patch: Value) -> Result<Value> {
        let call = Call::patch(known::nodes(), "", &self.name, PatchType::Merge, patch);
        self.write(if part.is_empty() { call } else { call.at(part) }).await
    }

    /// Renews the Lease and takes pods to Running, for ever.
    pub(super) async fn run(mut self) -> Result<()> {
        let options = WatchOptions {
            field_selector: Some(format!("spec.nodeName={}", self.name)),
            ..WatchOptions::default()
        };
        let mirror = Cache::start_selected(&self.api, vec![(known::pods().clone(), options)]);
        let mut changes = mirror.changes(&known::pods().group_resource());
        let mut renew = tokio::time::interval(RENEW);
        loop {
            tokio::select! {
                _ = renew.tick() => {
                    let patch = json!({"spec": {"renewTime": renewed()}});
                    self.write(Call::patch(known::leases(), LEASES, &self.name, PatchType::Merge, patch)).await?;
                }
                Some(change) = changes.next() => match change {
                    Change::Set { new, .. } => self.see(&new.value()).await?,
                    Change::Gone { old } => drop(self.started.remove(old.uid())),
                    Change::Resync => {
                        for item in mirror.items(&known::pods().group_resource(), None) {
                            self.see(&item.value()).await?;
                        }
                    }
                },
            }
        }
    }

    async fn see(&mut self, pod: &Value) -> Result<()> {
        let (namespace, name) = (object::namespace(pod), object::name(pod));
        if object::is_deleting(pod) {
            let call = Call::delete(known::pods(), namespace, name);
            self.write(call.with(|options| options.grace_period_seconds = Some(0))).await?;
            return Ok(());
        }
        if !self.started.insert(object::uid(pod).to_owned()) {
            return Ok(());
        }
        self.counts.bound.fetch_add(1, Ordering::Relaxed);
        let at = object::time_text(now());
        let address = format!("10.42.{}.{}", self.number % 256, self.started.len() % 254 + 1);
        let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": at});
        let conditions = ["Initialized", "ContainersReady", "Ready"].map(condition);
        let status = json!({"status": {
            "phase": "Running", "startTime": at, "podIP": address, "podIPs": [{"ip": address}],
            "hostIP": "192.0.2.1", "conditions": conditions,
            "containerStatuses": [{"name": "main", "image": "registry.example/team/service:1.27.3", "imageID": "",
                "ready": true, "started": true, "restartCount": 0, "state": {"running": {"startedAt": at}}}],
        }});
        let call = Call::patch(known::pods(), namespace, name, PatchType::Strategic, status).at("status");
        self.write(call).await?;
        self.counts.running.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(0)
}

/// The time as a Lease has it.
fn renewed() -> String {
    object::time_text(now()).replace('Z', ".000000Z")
}

const LEASES: &str = "kube-node-lease";
/// As kubelets do.
const RENEW: Duration = Duration::from_secs(10);
