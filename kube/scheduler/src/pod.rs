//! A pod, as far as its place is concerned.

use std::sync::Arc;

use kube_object::label_selector::LabelSelector;
use serde_json::Value;

use crate::affinity::Affinity;
use crate::amounts::Amounts;
use crate::node_rules::NodeRules;
use crate::read::{Labels, items, labels, member, number, text};
use crate::spread::Constraint;
use crate::taints::Toleration;

/// A pod, read once.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `metadata.creationTimestamp`, as it is written: later is larger.
    pub created: String,
    /// The node that it is on, if any.
    pub node: Option<Arc<str>>,
    /// The node where others are being ended for it.
    pub nominated: Option<Arc<str>>,
    /// Who places it.
    pub scheduler: String,
    /// Pods of a lower priority may have to go for it.
    pub priority: i64,
    /// Whether they really may.
    pub preempts: bool,
    /// What must be taken away before it is placed.
    pub gates: Vec<String>,
    /// What it asks for, all containers together.
    pub requests: Amounts,
    /// CPU and memory as scores count them.
    pub weighed: (i64, i64),
    /// Which nodes it may go to.
    pub node_rules: NodeRules,
    /// What it tolerates.
    pub tolerations: Vec<Toleration>,
    /// Ports of the node that it takes.
    pub ports: Vec<HostPort>,
    /// Which pods it goes with.
    pub affinity: Affinity,
    /// Which pods it keeps away from.
    pub anti_affinity: Affinity,
    /// How it is spread over the cluster.
    pub spread: Vec<Constraint>,
    /// Its images.
    pub images: Vec<String>,
    /// Names of the claims that it mounts.
    pub claims: Vec<String>,
    /// Whether it is being deleted.
    pub is_ending: bool,
    /// Pods that do the same work, by the services and the owner that select it; for spreading
    /// where the pod says nothing. Whoever reads the pod sets it.
    pub peers: Option<LabelSelector>,
}

/// A port of the node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The address; empty is all.
    pub address: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The number.
    pub port: i64,
}

impl HostPort {
    /// Whether both cannot be there.
    pub fn clashes(&self, other: &Self) -> bool {
        let anywhere = |address: &str| matches!(address, "" | "0.0.0.0" | "::");
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address == other.address || anywhere(&self.address) || anywhere(&other.address))
    }
}

impl Pod {
    /// Reads a `Pod`.
    pub fn read(object: &Value) -> Self {
        let (metadata, spec, status) =
            (member(object, "metadata"), member(object, "spec"), member(object, "status"));
        let optional =
            |value: &Value, name: &str| Some(text(value, name)).filter(|it| !it.is_empty()).map(Arc::from);
        let own_labels = labels(metadata, "labels");
        let namespace: Arc<str> = text(metadata, "namespace").into();
        let affinity = member(spec, "affinity");
        Self {
            uid: text(metadata, "uid").into(),
            name: text(metadata, "name").into(),
            created: text(metadata, "creationTimestamp").to_owned(),
            node: optional(spec, "nodeName"),
            nominated: optional(status, "nominatedNodeName"),
            scheduler: text(spec, "schedulerName").to_owned(),
            priority: number(spec, "priority", 0),
            preempts: text(spec, "preemptionPolicy") != "Never",
            gates: items(spec, "schedulingGates").iter().map(|gate| text(gate, "name").to_owned()).collect(),
            requests: together_with(spec, |container| held(container, status)),
            weighed: weighed(spec),
            node_rules: NodeRules::read(spec),
            tolerations: Toleration::read_all(spec),
            ports: ports(spec),
            affinity: Affinity::read(member(affinity, "podAffinity"), &namespace, &own_labels),
            anti_affinity: Affinity::read(member(affinity, "podAntiAffinity"), &namespace, &own_labels),
            spread: Constraint::read_all(spec, &own_labels),
            images: containers(spec).map(|it| text(it, "image").to_owned()).collect(),
            claims: claims(spec, text(metadata, "name")),
            is_ending: metadata.get("deletionTimestamp").is_some_and(|at| !at.is_null()),
            peers: None,
            labels: own_labels,
            namespace,
        }
    }

    /// Whether it has ended, so that it takes nothing of its node.
    pub fn is_over(object: &Value) -> bool {
        matches!(text(member(object, "status"), "phase"), "Succeeded" | "Failed")
    }
}

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    items(spec, "initContainers").iter().chain(items(spec, "containers"))
}

fn asked(container: &Value) -> Amounts {
    Amounts::read(member(member(container, "resources"), "requests"))
}

/// What a pod's specification asks for at its most, whatever it has been given.
pub fn requests(spec: &Value) -> Amounts {
    together_with(spec, asked)
}

/// What a container asks for or still has, whichever is more; one that cannot have what it asks for
/// keeps what it has.
fn held(container: &Value, status: &Value) -> Amounts {
    let lists = ["containerStatuses", "initContainerStatuses"];
    let mut statuses = lists.iter().flat_map(|list| items(status, list));
    let own = statuses.find(|it| text(it, "name") == text(container, "name"));
    let Some(given) = own.filter(|it| it.get("allocatedResources").is_some_and(Value::is_object)) else {
        return asked(container);
    };
    let cannot = items(status, "conditions")
        .iter()
        .any(|it| text(it, "type") == "PodResizePending" && text(it, "reason") == "Infeasible");
    let mut amounts = if cannot { Amounts::default() } else { asked(container) };
    amounts.raise(&Amounts::read(member(given, "allocatedResources")));
    amounts.raise(&asked(given));
    amounts
}

/// What the pod takes at its most: init containers run one after the other before the others, those
/// that restart always stay, and the pod's own requests replace the sum.
fn together_with(spec: &Value, of: impl Fn(&Value) -> Amounts) -> Amounts {
    let mut total = together(spec, of);
    total.overlay(&asked(spec));
    total.add(&Amounts::read(member(spec, "overhead")));
    total
}

fn together(spec: &Value, of: impl Fn(&Value) -> Amounts) -> Amounts {
    let (mut sidecars, mut peak) = (Amounts::default(), Amounts::default());
    for container in items(spec, "initContainers") {
        if text(container, "restartPolicy") == "Always" {
            sidecars.add(&of(container));
            peak.raise(&sidecars);
        } else {
            let mut beside = sidecars.clone();
            beside.add(&of(container));
            peak.raise(&beside);
        }
    }
    let mut total = sidecars;
    for container in items(spec, "containers") {
        total.add(&of(container));
    }
    total.raise(&peak);
    total
}

/// CPU and memory for scores.
fn weighed(spec: &Value) -> (i64, i64) {
    let mut total = together(spec, |container| {
        let mut amounts = asked(container);
        let stated = member(member(container, "resources"), "requests");
        if stated.get("cpu").is_none() {
            amounts.cpu = CPU_OF_NOTHING;
        }
        if stated.get("memory").is_none() {
            amounts.memory = MEMORY_OF_NOTHING;
        }
        amounts
    });
    total.overlay(&asked(spec));
    total.add(&Amounts::read(member(spec, "overhead")));
    (total.cpu, total.memory)
}

/// What a container that asks for no CPU counts as in scores; upstream's.
const CPU_OF_NOTHING: i64 = 100;
/// What a container that asks for no memory counts as in scores; upstream's.
const MEMORY_OF_NOTHING: i64 = 200 * 1024 * 1024;

fn ports(spec: &Value) -> Vec<HostPort> {
    let stays = |container: &&Value| text(container, "restartPolicy") == "Always";
    let lasting = items(spec, "containers").iter().chain(items(spec, "initContainers").iter().filter(stays));
    let ports = lasting.flat_map(|container| items(container, "ports"));
    let read = |port: &Value| {
        let number = number(port, "hostPort", 0);
        let protocol = text(port, "protocol");
        let protocol = if protocol.is_empty() { "TCP" } else { protocol };
        (number > 0).then(|| HostPort {
            address: text(port, "hostIP").to_owned(),
            protocol: protocol.to_owned(),
            port: number,
        })
    };
    ports.filter_map(read).collect()
}

fn claims(spec: &Value, pod: &str) -> Vec<String> {
    let of = |volume: &Value| {
        let claim = text(member(volume, "persistentVolumeClaim"), "claimName");
        match claim {
            "" if volume.get("ephemeral").is_some_and(Value::is_object) => {
                Some(format!("{pod}-{}", text(volume, "name")))
            }
            "" => None,
            claim => Some(claim.to_owned()),
        }
    };
    items(spec, "volumes").iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_are_the_peak() {
        let asks = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
        let sidecar = json!({"restartPolicy": "Always", "resources": {"requests": {"cpu": "200m"}}});
        for (spec, cpu) in [
            (json!({"containers": [asks("100m"), asks("1")]}), 1100),
            (json!({"initContainers": [asks("3")], "containers": [asks("1")]}), 3000),
            (json!({"initContainers": [sidecar, asks("3")], "containers": [asks("1")]}), 3200),
            (json!({"initContainers": [asks("3"), sidecar], "containers": [asks("1")]}), 3000),
            (
                json!({"initContainers": [sidecar], "containers": [asks("1")], "overhead": {"cpu": "10m"}}),
                1210,
            ),
            (json!({"containers": [asks("1")], "resources": {"requests": {"cpu": "5"}}}), 5000),
        ] {
            assert_eq!(Pod::read(&json!({"spec": spec})).requests.cpu, cpu, "{spec}");
        }
        let resized = |reason: &str, cpu: &str| {
            let condition = json!({"type": "PodResizePending", "reason": reason});
            let given = json!({"name": "c", "allocatedResources": {"cpu": "2"}, "resources": {"requests": {"cpu": "3"}}});
            let wants = json!({"name": "c", "resources": {"requests": {"cpu": cpu}}});
            let pod = json!({"spec": {"containers": [wants]},
                "status": {"containerStatuses": [given], "conditions": [condition]}});
            Pod::read(&pod).requests.cpu
        };
        let found = [resized("Deferred", "9"), resized("Deferred", "1"), resized("Infeasible", "9")];
        assert_eq!(found, [9000, 3000, 3000]);
        let nothing = Pod::read(&json!({"spec": {"containers": [{}, {}]}}));
        assert_eq!(nothing.weighed, (200, 400 << 20));
        assert!(nothing.requests.is_nothing());
    }

    #[test]
    fn ports_clash_by_address_and_protocol() {
        let port = |address: &str, protocol: &str, port| HostPort {
            address: address.to_owned(),
            protocol: protocol.to_owned(),
            port,
        };
        let all = port("", "TCP", 80);
        assert!(all.clashes(&port("10.0.0.1", "TCP", 80)));
        assert!(port("10.0.0.1", "TCP", 80).clashes(&port("0.0.0.0", "TCP", 80)));
        assert!(!port("10.0.0.1", "TCP", 80).clashes(&port("10.0.0.2", "TCP", 80)));
        assert!(!all.clashes(&port("", "UDP", 80)));
    }

    #[test]
    fn reads_the_rest() {
        let pod = Pod::read(&json!({
            "metadata": {"name": "p", "namespace": "shop", "deletionTimestamp": "T"},
            "spec": {"schedulerName": "default-scheduler", "preemptionPolicy": "Never", "priority": 7,
                "schedulingGates": [{"name": "wait"}], "nodeName": "n1",
                "containers": [{"image": "i", "ports": [{"containerPort": 1}, {"hostPort": 8080}]}],
                "volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "b", "ephemeral": {}}]},
        }));
        assert_eq!((pod.priority, pod.preempts, pod.is_ending), (7, false, true));
        assert_eq!((pod.gates[0].as_str(), pod.node.as_deref()), ("wait", Some("n1")));
        assert_eq!(pod.ports, [HostPort { address: String::new(), protocol: "TCP".to_owned(), port: 8080 }]);
        assert_eq!(pod.claims, ["data", "p-b"]);
    }
}
