//! [sig-scheduling] with our scheduler as a process of its own and nodes that only the API knows.
//!
//! Nobody runs the pods: what a spec reads off a running pod is read off its node and its conditions here, and a
//! pod that is ended is taken away by the test, as its kubelet would.

use serde_json::{Value, json};
use testkit::kube::Part;

use crate::api::{Api, own};
use crate::rig::{Rig, unique, wait_for};

/// A resource that only these nodes have.
const FAKE: &str = "scheduling.k8s.io/foo";

struct Cluster {
    api: Api,
    namespace: String,
    _scheduler: Part,
}

impl Cluster {
    fn new(nodes: &[&str]) -> Self {
        let api = own(Rig::start(&[]));
        let scheduler = api.part(&["scheduler"]);
        let namespace = api.namespace();
        let cluster = Self { api, namespace, _scheduler: scheduler };
        nodes.iter().for_each(|name| cluster.node(name));
        cluster
    }

    fn node(&self, name: &str) {
        let amounts =
            json!({"cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "100Gi", FAKE: "1000"});
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        });
        self.api.post("/api/v1/nodes", &node);
        let status = json!({"status": {
            "capacity": amounts, "allocatable": amounts,
            "conditions": [{"type": "Ready", "status": "True", "reason": "Test", "message": ""}],
            "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
        }});
        self.api.merge(&format!("/api/v1/nodes/{name}/status"), &status);
        self.api.merge(&format!("/api/v1/nodes/{name}"), &json!({"spec": {"taints": null}}));
    }

    fn pods(&self, namespace: &str) -> String {
        format!("/api/v1/namespaces/{namespace}/pods")
    }

    /// Creates a pod; `more` goes into its spec.
    fn pod(&self, name: &str, more: &Value) -> String {
        self.pod_in(&self.namespace, name, more)
    }

    fn pod_in(&self, namespace: &str, name: &str, more: &Value) -> String {
        let mut spec = json!({"containers": [{"name": "pause", "image": "registry.example/pause:1"}]});
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
        self.api.post(&self.pods(namespace), &pod);
        format!("{}/{name}", self.pods(namespace))
    }

    fn node_of(&self, path: &str) -> String {
        let pod = self.api.until(path, |pod| pod["spec"]["nodeName"].is_string());
        pod["spec"]["nodeName"].as_str().unwrap().to_owned()
    }

    /// Waits until the pod is told that it fits nowhere, and by an event too.
    fn refused(&self, path: &str) -> String {
        let pod = self.api.until(path, |pod| refusal(pod).is_some());
        assert!(pod["spec"].get("nodeName").is_none(), "{pod}");
        let events = format!("/api/v1/namespaces/{}/events", pod["metadata"]["namespace"].as_str().unwrap());
        self.api.until(&events, |list| {
            let items = list["items"].as_array().unwrap();
            items.iter().any(|event| {
                event["reason"] == "FailedScheduling"
                    && event["type"] == "Warning"
                    && event["involvedObject"]["uid"] == pod["metadata"]["uid"]
            })
        });
        refusal(&pod).unwrap()
    }

    fn priority_class(&self, value: i64) -> String {
        let name = unique("p");
        let class = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value,
        });
        self.api.post("/apis/scheduling.k8s.io/v1/priorityclasses", &class);
        name
    }

    /// Waits until a pod is told to end, and does the kubelet's part.
    fn ends(&self, path: &str) -> Value {
        let pod = self.api.until(path, |pod| pod["metadata"]["deletionTimestamp"].is_string());
        self.api.delete(&format!("{path}?gracePeriodSeconds=0"));
        pod
    }
}

fn refusal(pod: &Value) -> Option<String> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|one| one["type"] == "PodScheduled" && one["status"] == "False")?;
    (found["reason"] == "Unschedulable").then(|| found["message"].as_str().unwrap_or_default().to_owned())
}

fn asks(resource: &str, amount: &str) -> Value {
    let amounts = json!({ resource: amount });
    json!([{
        "name": "pause", "image": "registry.example/pause:1",
        "resources": {"requests": amounts, "limits": amounts},
    }])
}

fn important(class: &str, amount: &str) -> Value {
    json!({"priorityClassName": class, "containers": asks(FAKE, amount)})
}

/// `[sig-scheduling] SchedulerPredicates [Serial] validates resource limits of pods that are allowed to run
/// [Conformance]`
#[test]
fn scheduler_predicates_validates_resource_limits_of_pods_that_are_allowed_to_run() {
    let cluster = Cluster::new(&["n1", "n2"]);
    // Each node is filled to seven tenths, so that half of one fits nowhere.
    for node in ["n1", "n2"] {
        let filler =
            json!({"nodeSelector": {"kubernetes.io/hostname": node}, "containers": asks("cpu", "2800m")});
        let path = cluster.pod(&format!("filler-{node}"), &filler);
        assert_eq!(cluster.node_of(&path), node);
    }
    let path = cluster.pod("additional-pod", &json!({"containers": asks("cpu", "2")}));
    let message = cluster.refused(&path);
    assert!(message.starts_with("0/2 nodes are available: 2 Insufficient cpu."), "{message}");
}

/// `[sig-scheduling] SchedulerPredicates [Serial] validates that NodeSelector is respected if matching [Conformance]`
#[test]
fn scheduler_predicates_validates_that_node_selector_is_respected_if_matching() {
    let cluster = Cluster::new(&["n1", "n2", "n3"]);
    cluster
        .api
        .strategic("/api/v1/nodes/n2", &json!({"metadata": {"labels": {"kubernetes.io/e2e-1": "42"}}}));
    let path = cluster.pod("with-labels", &json!({"nodeSelector": {"kubernetes.io/e2e-1": "42"}}));
    assert_eq!(cluster.node_of(&path), "n2");
}

/// `[sig-scheduling] SchedulerPredicates [Serial] validates that there exists conflict between pods with same hostPort
/// and protocol but one using 0.0.0.0 hostIP [Conformance]`
#[test]
fn scheduler_predicates_validates_that_there_exists_conflict_between_pods_with_same_host_port_and_protocol() {
    let cluster = Cluster::new(&["n1", "n2"]);
    let with_port = |address: &str| {
        json!({
            "nodeSelector": {"kubernetes.io/hostname": "n1"},
            "containers": [{
                "name": "agnhost", "image": "registry.example/agnhost:1",
                "ports": [{"hostPort": 54322, "containerPort": 8080, "protocol": "TCP", "hostIP": address}],
            }],
        })
    };
    let first = cluster.pod("pod4", &with_port("0.0.0.0"));
    assert_eq!(cluster.node_of(&first), "n1");
    let second = cluster.pod("pod5", &with_port("192.0.2.1"));
    let message = cluster.refused(&second);
    assert!(message.contains("1 node(s) didn't have free ports for the requested pod ports"), "{message}");
}

/// `[sig-scheduling] SchedulerPreemption [Serial] validates basic preemption works [Conformance]`
#[test]
fn scheduler_preemption_validates_basic_preemption_works() {
    let cluster = Cluster::new(&["n1", "n2"]);
    let (low, medium, high) =
        (cluster.priority_class(1), cluster.priority_class(100), cluster.priority_class(1000));
    // Two fifths each: one low and one medium on each node, and no room for a third.
    let mut victim = String::new();
    for (at, node) in ["n1", "n2"].into_iter().enumerate() {
        for (number, class) in [if at == 0 { &low } else { &medium }, &medium].into_iter().enumerate() {
            let mut spec = important(class, "400");
            spec["nodeSelector"] = json!({"kubernetes.io/hostname": node});
            let path = cluster.pod(&format!("pod{at}-{number}"), &spec);
            assert_eq!(cluster.node_of(&path), node);
            if at == 0 && number == 0 {
                victim = path;
            }
        }
    }
    let preemptor = cluster.pod("preemptor-pod", &important(&high, "400"));
    cluster.ends(&victim);
    assert_eq!(cluster.node_of(&preemptor), "n1");
    let list = cluster.api.get(&cluster.pods(&cluster.namespace));
    let others =
        list["items"].as_array().unwrap().iter().filter(|pod| pod["metadata"]["name"] != "preemptor-pod");
    assert!(others.into_iter().all(|pod| pod["metadata"].get("deletionTimestamp").is_none()), "{list}");
}

/// `[sig-scheduling] SchedulerPreemption [Serial] validates lower priority pod preemption by critical pod [Conformance]`
#[test]
fn scheduler_preemption_validates_lower_priority_pod_preemption_by_critical_pod() {
    let cluster = Cluster::new(&["n1"]);
    let low = cluster.priority_class(1);
    let victim = cluster.pod("pod0-0", &important(&low, "600"));
    cluster.node_of(&victim);
    let preemptor =
        cluster.pod_in("kube-system", "critical-pod", &important("system-cluster-critical", "600"));
    cluster.ends(&victim);
    assert_eq!(cluster.node_of(&preemptor), "n1");
}

/// `[sig-scheduling] SchedulerPreemption [Serial] validates pod disruption condition is added to the preempted pod
/// [Conformance]`
#[test]
fn scheduler_preemption_validates_pod_disruption_condition_is_added_to_the_preempted_pod() {
    let cluster = Cluster::new(&["n1"]);
    let (low, high) = (cluster.priority_class(1), cluster.priority_class(1000));
    let victim = cluster.pod("victim-pod", &important(&low, "600"));
    cluster.node_of(&victim);
    cluster.api.merge(&victim, &json!({"metadata": {"finalizers": ["example.com/test-finalizer"]}}));
    cluster.pod("preemptor-pod", &important(&high, "600"));
    let disrupted = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array()?;
        conditions.iter().find(|one| one["type"] == "DisruptionTarget").cloned()
    };
    let pod = cluster.api.until(&victim, |pod| disrupted(pod).is_some());
    assert_eq!(disrupted(&pod).unwrap()["reason"], "PreemptionByScheduler");
    cluster.api.merge(&victim, &json!({"metadata": {"finalizers": null}}));
}

/// `[sig-scheduling] SchedulerPreemption [Serial] PreemptionExecutionPath runs ReplicaSets to verify preemption running
/// path [Conformance]`
#[test]
fn scheduler_preemption_preemption_execution_path_runs_replica_sets_to_verify_preemption_running_path() {
    let cluster = Cluster::new(&["n1"]);
    let classes: Vec<String> = [1, 2, 3, 4].map(|value| cluster.priority_class(value)).to_vec();
    let sets = format!("/apis/apps/v1/namespaces/{}/replicasets", cluster.namespace);
    for (at, amount) in ["200", "300", "450"].into_iter().enumerate() {
        let labels = json!({"name": format!("pod{at}")});
        let set = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": format!("rs-pod{at}")},
            "spec": {
                "replicas": 1, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": important(&classes[at], amount)},
            },
        });
        cluster.api.post(&sets, &set);
        let path = format!("{}?labelSelector=name%3Dpod{at}", cluster.pods(&cluster.namespace));
        cluster.api.until(&path, |list| {
            let pods = list["items"].as_array().unwrap();
            pods.len() == 1 && pods[0]["spec"]["nodeName"] == "n1"
        });
    }
    // Together the two least important ones make room; the third stays.
    let preemptor = cluster.pod("pod4", &important(&classes[3], "500"));
    for at in [0, 1] {
        let path = format!("{}?labelSelector=name%3Dpod{at}", cluster.pods(&cluster.namespace));
        let ending = cluster.api.until(&path, |list| {
            list["items"]
                .as_array()
                .unwrap()
                .iter()
                .any(|pod| pod["metadata"]["deletionTimestamp"].is_string())
        });
        let pods = ending["items"].as_array().unwrap();
        let gone = pods.iter().find(|pod| pod["metadata"]["deletionTimestamp"].is_string()).unwrap();
        let name = gone["metadata"]["name"].as_str().unwrap();
        cluster.ends(&format!("{}/{name}", cluster.pods(&cluster.namespace)));
    }
    assert_eq!(cluster.node_of(&preemptor), "n1");
    let third = format!("{}?labelSelector=name%3Dpod2", cluster.pods(&cluster.namespace));
    let list = cluster.api.get(&third);
    assert!(list["items"][0]["metadata"].get("deletionTimestamp").is_none(), "{list}");
    // Their sets make new ones, which wait.
    for at in [0, 1] {
        let path = format!("{}?labelSelector=name%3Dpod{at}", cluster.pods(&cluster.namespace));
        wait_for("a new pod that waits", || {
            let list = cluster.api.get(&path);
            list["items"].as_array().unwrap().iter().any(|pod| refusal(pod).is_some())
        });
    }
}
