//! Whether the node takes a pod that was given to it.

use std::sync::Arc;

use client::Mirror;
use scheduler::{Amounts, Node, Pod};
use serde_json::Value;

use super::living;
use crate::kubelet::{Shared, gvr};
use crate::read::{at, items, text, uid};
use crate::resources::SYSTEM_CRITICAL;
use crate::spec::forbidden_sysctl;

/// Why the node does not take a pod: a reason and a sentence.
pub(crate) fn refuse(shared: &Shared, pod: &Value) -> Option<(String, String)> {
    if let Some(name) = forbidden_sysctl(pod, &shared.config.allowed_sysctls) {
        return Some((
            "SysctlForbidden".to_owned(),
            format!("Pod was rejected: forbidden sysctl: \"{name}\" not allowlisted"),
        ));
    }
    let view = shared.view();
    if view.goes_down {
        return Some(super::shutdown::refusal());
    }
    let short_of: Vec<_> = view.pressure.keys().copied().collect();
    if let Some(refusal) = super::pressure::refusal(pod, &short_of) {
        return Some(refusal);
    }
    let nodes = gvr("nodes").group_resource();
    let node = shared.cache.item(&nodes, "", &shared.config.node.name).map(|item| item.value());
    let others: Vec<Arc<Value>> = living(shared).into_iter().filter(|other| uid(other) != uid(pod)).collect();
    misfit(pod, node.as_deref(), &view.allocatable, &others)
}

/// The same without looking anything up.
fn misfit(
    pod: &Value,
    node: Option<&Value>,
    allocatable: &Value,
    others: &[Arc<Value>],
) -> Option<(String, String)> {
    let wanted = Pod::read(pod);
    let rejected = |reason: &str, why: String| Some((reason.to_owned(), format!("Pod was rejected: {why}")));
    if let Some(node) = node.map(Node::read)
        && !wanted.node_rules.allow(&node)
    {
        let why = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        return rejected("NodeAffinity", why.to_owned());
    }
    let others: Vec<Pod> = others.iter().map(|other| taken(other)).collect();
    let clash = wanted
        .ports
        .iter()
        .any(|port| others.iter().any(|other| other.ports.iter().any(|it| it.clashes(port))));
    if clash {
        let why = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        return rejected("NodePorts", why.to_owned());
    }
    let most = allocatable.get("pods").and_then(kube_api::quantity::read);
    if let Some(most) = most.map(base::Quantity::value)
        && others.len() as i64 >= most
    {
        let used = others.len();
        let why =
            format!("Node didn't have enough resource: pods, requested: 1, used: {used}, capacity: {most}");
        return rejected("OutOfpods", why);
    }
    let mut used = Amounts::default();
    others.iter().for_each(|other| used.add(&other.requests));
    let short = Amounts::read(allocatable).shortages(&used, &wanted.requests);
    let is_critical = crate::read::number(pod, &["spec", "priority"]).is_some_and(|it| it >= SYSTEM_CRITICAL);
    let first = short.into_iter().next().filter(|_| !is_critical)?;
    let (resource, requested, used, capacity) = (first.resource, first.requested, first.used, first.capacity);
    let why = format!(
        "Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: {capacity}"
    );
    rejected(&format!("OutOf{resource}"), why)
}

/// The pod with the resources that the node has given it, and why those are not what it wants.
///
/// What was given stands in its status. A running pod that wants more gets it if it fits beside the
/// others; until then it keeps what it has.
pub(crate) fn allocate(shared: &Shared, pod: &Arc<Value>) -> (Arc<Value>, Option<(String, String)>) {
    if !wants_others(pod) {
        return (Arc::clone(pod), None);
    }
    let others: Vec<Arc<Value>> = living(shared).into_iter().filter(|other| uid(other) != uid(pod)).collect();
    match lacks(pod, &shared.view().allocatable, &others) {
        Some(why) => (Arc::new(as_given(pod)), Some(why)),
        None => (Arc::clone(pod), None),
    }
}

/// What a container was given, if it runs and that is not what it asks for.
fn given<'a>(pod: &'a Value, container: &Value) -> Option<&'a Value> {
    let status = crate::status::written(pod, text(container, &["name"]))?;
    at(status, &["state", "running"])?;
    let given = at(status, &["allocatedResources"])?;
    let asked = at(container, &["resources", "requests"])?;
    (given != asked).then_some(status)
}

fn wants_others(pod: &Value) -> bool {
    let mut all = RESIZABLE.iter().flat_map(|list| items(pod, &["spec", list]));
    all.any(|container| given(pod, container).is_some())
}

/// Lists of containers that may be resized: of init containers those that stay.
const RESIZABLE: [&str; 2] = ["containers", "initContainers"];

fn lacks(pod: &Value, allocatable: &Value, others: &[Arc<Value>]) -> Option<(String, String)> {
    let wanted = scheduler::requests(pod.get("spec").unwrap_or(&Value::Null));
    let most = Amounts::read(allocatable);
    let mut used = Amounts::default();
    if let Some(short) = most.shortages(&used, &wanted).into_iter().next() {
        let (resource, requested, capacity) = (short.resource, short.requested, short.capacity);
        let why = format!(
            "Node didn't have enough capacity: {resource}, requested: {requested}, capacity: {capacity}"
        );
        return Some(("Infeasible".to_owned(), why));
    }
    others.iter().for_each(|other| used.add(&taken(other).requests));
    let short = most.shortages(&used, &wanted).into_iter().next()?;
    let (resource, requested, used, capacity) = (short.resource, short.requested, short.used, short.capacity);
    let why = format!(
        "Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: {capacity}"
    );
    Some(("Deferred".to_owned(), why))
}

/// A pod of this node with what it was given, whatever it asks for by now.
fn taken(pod: &Value) -> Pod {
    let given = if wants_others(pod) { as_given(pod) } else { pod.clone() };
    let mut read = Pod::read(&given);
    read.requests = scheduler::requests(given.get("spec").unwrap_or(&Value::Null));
    read
}

fn as_given(pod: &Value) -> Value {
    let mut copy = pod.clone();
    for list in RESIZABLE {
        let containers = copy.get_mut("spec").and_then(|spec| spec.get_mut(list)?.as_array_mut());
        for container in containers.into_iter().flatten() {
            let Some(status) = given(pod, container) else { continue };
            let (requests, limits) = (&status["allocatedResources"], at(status, &["resources", "limits"]));
            container["resources"] = serde_json::json!({"requests": requests});
            if let Some(limits) = limits {
                container["resources"]["limits"] = limits.clone();
            }
        }
    }
    copy
}

/// Whether a pod asks for anything of this node's own files.
pub(super) fn has_limits_of_disk(pod: &Value) -> bool {
    let limited = |container: &Value| at(container, &["resources", "limits", "ephemeral-storage"]).is_some();
    let sized = |volume: &Value| !text(volume, &["emptyDir", "sizeLimit"]).is_empty();
    items(pod, &["spec", "containers"]).iter().any(limited)
        || items(pod, &["spec", "volumes"]).iter().any(sized)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[allow(clippy::needless_pass_by_value)]
    fn pod(uid: &str, spec: Value) -> Value {
        json!({"metadata": {"name": uid, "uid": uid}, "spec": spec})
    }

    #[test]
    fn a_pod_that_grows_keeps_what_it_has_until_there_is_room() {
        let resources = |cpu: &str| json!({"requests": {"cpu": cpu}, "limits": {"cpu": cpu}});
        let grown = |cpu: &str| {
            json!({"metadata": {"uid": "x"}, "spec": {"containers": [{"name": "c", "resources": resources(cpu)}]},
                "status": {"containerStatuses": [{"name": "c", "state": {"running": {}},
                    "allocatedResources": {"cpu": "1"}, "resources": resources("1")}]}})
        };
        let allocatable = json!({"cpu": "3"});
        let other = Arc::new(pod("o", json!({"containers": [{"name": "d", "resources": resources("1")}]})));
        assert!(!wants_others(&grown("1")));
        assert!(wants_others(&grown("2")));
        let why = |cpu: &str| lacks(&grown(cpu), &allocatable, std::slice::from_ref(&other)).map(|it| it.0);
        assert_eq!(
            [why("2"), why("3"), why("4")],
            [None, Some("Deferred".to_owned()), Some("Infeasible".to_owned())]
        );
        assert_eq!(as_given(&grown("4"))["spec"]["containers"][0]["resources"], resources("1"));
    }

    #[test]
    fn takes_what_fits() {
        let allocatable = json!({"cpu": "2", "memory": "1Gi", "pods": "3"});
        let node = json!({"metadata": {"name": "n", "labels": {"disk": "ssd"}}, "status": {"allocatable": allocatable}});
        let cpu = |cpu: &str| json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]});
        let ports = json!({"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 80, "protocol": "TCP"}]}]});
        let others = [Arc::new(pod("a", cpu("1500m"))), Arc::new(pod("b", ports.clone()))];
        let check = |spec: Value, others: &[Arc<Value>], expected: &str| {
            let found = misfit(&pod("x", spec), Some(&node), &allocatable, others);
            assert_eq!(found.clone().map(|it| it.0).unwrap_or_default(), expected, "{found:?}");
        };
        check(cpu("500m"), &others, "");
        check(cpu("501m"), &others, "OutOfcpu");
        check(ports, &others, "NodePorts");
        check(json!({"nodeSelector": {"disk": "hdd"}}), &[], "NodeAffinity");
        check(json!({"nodeSelector": {"disk": "ssd"}}), &[], "");
        let three: Vec<_> = ["a", "b", "c"].iter().map(|uid| Arc::new(pod(uid, json!({})))).collect();
        check(json!({}), &three, "OutOfpods");
        let found = misfit(&pod("x", cpu("501m")), None, &allocatable, &others).unwrap();
        let why = "Pod was rejected: Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000";
        assert_eq!(found.1, why);
    }
}
