//! Two nodes that are not there: what a scheduler and a kubelet would write, without any container.
//!
//! A cluster of tests whose subject is what controllers do with pods. A pod says by annotations what becomes of it:
//! it runs and is ready unless [`ENDS`] gives it an exit code, or one for each index; [`UNREADY`] keeps it from being
//! ready, [`RESTARTS`] counts restarts of its container.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api::Api;
use crate::rig::{MERGE_PATCH, Rig, STRATEGIC_PATCH, wait_for};

/// `0`, or exit codes by index: `{"0": 1, "*": 0}`.
pub(crate) const ENDS: &str = "faked.example/ends";
/// The pod runs and is not ready.
pub(crate) const UNREADY: &str = "faked.example/unready";
/// How often the container was started again.
pub(crate) const RESTARTS: &str = "faked.example/restarts";

static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

/// The server and its nodes.
pub(crate) struct Cluster {
    rig: Arc<Rig>,
    ended: Arc<AtomicBool>,
    kubelet: Option<JoinHandle<()>>,
}

/// The cluster that tests share, held as long as any of them runs.
pub(crate) struct Shared {
    pub(crate) api: Api,
    _cluster: Arc<Cluster>,
}

impl std::ops::Deref for Shared {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

/// The shared cluster.
pub(crate) fn cluster() -> Shared {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = shared.upgrade().unwrap_or_else(|| Arc::new(Cluster::start()));
    *shared = Arc::downgrade(&cluster);
    Shared { api: Api::of(Arc::clone(&cluster.rig)), _cluster: cluster }
}

impl Cluster {
    fn start() -> Self {
        let rig = Arc::new(Rig::start(&[]));
        let ended = Arc::new(AtomicBool::new(false));
        let kubelet = Kubelet { rig: Arc::clone(&rig), ended: Arc::clone(&ended) };
        kubelet.register();
        let kubelet = std::thread::spawn(move || kubelet.run());
        Self { rig, ended, kubelet: Some(kubelet) }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(kubelet) = self.kubelet.take() {
            drop(kubelet.join());
        }
    }
}

struct Kubelet {
    rig: Arc<Rig>,
    ended: Arc<AtomicBool>,
}

impl Kubelet {
    fn register(&self) {
        for (at, node) in NODES.iter().enumerate() {
            let object = json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": { "name": node, "labels": { "kubernetes.io/hostname": node } },
            });
            self.rig.create("/api/v1/nodes", &object).ok();
            let resources = json!({ "cpu": "64", "memory": "256Gi", "pods": "1000" });
            let status = json!({ "status": {
                "capacity": resources, "allocatable": resources,
                "addresses": [{ "type": "InternalIP", "address": format!("192.0.2.{}", at + 1) }],
                "conditions": [condition("Ready", true)],
            } });
            self.rig.patch(&format!("/api/v1/nodes/{node}/status"), STRATEGIC_PATCH, &status).ok();
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": node },
                "spec": { "holderIdentity": node, "leaseDurationSeconds": 40 },
            });
            wait_for("the namespace of node leases", || {
                let answer = self.rig.create(LEASES, &lease);
                matches!(answer.code, 201 | 409)
            });
            wait_for("the end of the first taint", || {
                let found = self.rig.get(&format!("/api/v1/nodes/{node}")).ok();
                found["spec"]["taints"].as_array().is_none_or(Vec::is_empty)
            });
        }
    }

    /// Sees to all pods until the cluster ends.
    fn run(self) {
        let mut renewed = Instant::now();
        let mut again: Vec<String> = Vec::new();
        while !self.ended.load(Ordering::Relaxed) {
            let mut pods = self.rig.watch("/api/v1/pods");
            while !self.ended.load(Ordering::Relaxed) {
                if renewed.elapsed() > RENEWAL {
                    self.renew();
                    renewed = Instant::now();
                }
                match pods.next_within(Duration::from_millis(500)) {
                    None => {
                        // What did not go is tried anew.
                        for path in std::mem::take(&mut again) {
                            let found = self.rig.get(&path);
                            again.extend((found.code == 200).then(|| self.see_to(&found.json())).flatten());
                        }
                    }
                    Some(None) => break,
                    Some(Some(event)) if event["type"] == "ADDED" || event["type"] == "MODIFIED" => {
                        again.extend(self.see_to(&event["object"]));
                    }
                    Some(Some(_)) => {}
                }
            }
        }
    }

    fn renew(&self) {
        for node in NODES {
            let renewed =
                json!({ "spec": { "renewTime": format!("{}.000000Z", now().trim_end_matches('Z')) } });
            drop(self.rig.patch(&format!("{LEASES}/{node}"), MERGE_PATCH, &renewed));
        }
    }

    /// Takes the next step of a pod's life; the pod's path if that did not go.
    fn see_to(&self, pod: &Value) -> Option<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        let phase = text(&pod["status"]["phase"]);
        let node = text(&pod["spec"]["nodeName"]);
        if !node.is_empty() && !NODES.contains(&node.as_str()) {
            return None;
        }
        let answer = if !pod["metadata"]["deletionTimestamp"].is_null() {
            if pod["metadata"]["deletionGracePeriodSeconds"] == 0 {
                return None;
            }
            if !matches!(phase.as_str(), "Succeeded" | "Failed") {
                // A container that is told to end does so, and its pod with it.
                drop(self.rig.patch(&format!("{path}/status"), STRATEGIC_PATCH, &ended(pod, 143, "Failed")));
            }
            let now = json!({ "gracePeriodSeconds": 0, "preconditions": { "uid": pod["metadata"]["uid"] } });
            self.rig.delete_with(&path, &now)
        } else if node.is_empty() {
            let binding = json!({
                "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
                "target": { "apiVersion": "v1", "kind": "Node", "name": place(pod)? },
            });
            self.rig.create(&format!("{path}/binding"), &binding)
        } else if phase == "Pending" {
            let status = match ends(pod) {
                Some(0) => ended(pod, 0, "Succeeded"),
                Some(code) => ended(pod, code, "Failed"),
                None => running(pod),
            };
            self.rig.patch(&format!("{path}/status"), STRATEGIC_PATCH, &status)
        } else {
            return None;
        };
        // A scheduler may be faster; and what is gone is gone.
        let went = matches!(answer.code, 200..=299 | 404);
        (!went).then_some(path)
    }
}

/// The node that a pod's affinity names, or one that its selector selects.
fn place(pod: &Value) -> Option<&'static str> {
    let spec = &pod["spec"];
    let terms = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    if let Some(named) = terms["nodeSelectorTerms"][0]["matchFields"][0]["values"][0].as_str() {
        return NODES.into_iter().find(|node| *node == named);
    }
    let gated = spec["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty());
    let selects = spec["nodeSelector"].as_object().is_some_and(|labels| !labels.is_empty());
    (!gated && !selects).then_some(NODES[0])
}

/// The exit code that a pod's annotation gives it.
fn ends(pod: &Value) -> Option<i64> {
    let said: Value = serde_json::from_str(pod["metadata"]["annotations"][ENDS].as_str()?).ok()?;
    let Some(codes) = said.as_object() else { return said.as_i64() };
    let index =
        pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"].as_str().unwrap_or("*");
    codes.get(index).or_else(|| codes.get("*"))?.as_i64()
}

fn running(pod: &Value) -> Value {
    let annotation = |name: &str| pod["metadata"]["annotations"][name].as_str();
    let ready = annotation(UNREADY).is_none();
    let restarts: i64 = annotation(RESTARTS).and_then(|text| text.parse().ok()).unwrap_or(0);
    let state = json!({ "running": { "startedAt": now() } });
    json!({ "status": {
        "phase": "Running", "startTime": now(),
        "conditions": [condition("Ready", ready), condition("ContainersReady", ready)],
        "containerStatuses": containers(pod, &state, ready, restarts),
    } })
}

fn ended(pod: &Value, code: i64, phase: &str) -> Value {
    let state = json!({ "terminated": { "exitCode": code, "startedAt": now(), "finishedAt": now() } });
    json!({ "status": {
        "phase": phase, "startTime": now(), "conditions": [condition("Ready", false)],
        "containerStatuses": containers(pod, &state, false, 0),
    } })
}

fn containers(pod: &Value, state: &Value, ready: bool, restarts: i64) -> Vec<Value> {
    let all = pod["spec"]["containers"].as_array().map_or(&[][..], Vec::as_slice).iter();
    let of = |container: &Value| {
        json!({ "name": container["name"], "image": container["image"], "imageID": "faked", "ready": ready,
            "restartCount": restarts, "state": state })
    };
    all.map(of).collect()
}

fn condition(kind: &str, holds: bool) -> Value {
    let status = if holds { "True" } else { "False" };
    json!({ "type": kind, "status": status, "lastTransitionTime": now(), "lastHeartbeatTime": now() })
}

/// The time as the API writes it.
pub(crate) fn now() -> String {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days since 1970 to a date, by eras of 400 years that begin in March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

pub(crate) const NODES: [&str; 2] = ["faked-a", "faked-b"];
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
const RENEWAL: Duration = Duration::from_secs(10);
