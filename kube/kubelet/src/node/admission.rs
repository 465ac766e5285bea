//! Whether the node takes a pod that was given to it.

use std::sync::Arc;

use client::Mirror;
use scheduler::{Amounts, Node, Pod};
use serde_json::Value;

use super::living;
use crate::kubelet::{Shared, gvr};
use crate::read::{items, text, uid};
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
    let nodes = gvr("nodes").group_resource();
    let node = shared.cache.item(&nodes, "", &shared.config.node.name).map(|item| item.value());
    let others: Vec<Arc<Value>> = living(shared).into_iter().filter(|other| uid(other) != uid(pod)).collect();
    misfit(pod, node.as_deref(), &shared.view().allocatable, &others)
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
    let others: Vec<Pod> = others.iter().map(|other| Pod::read(other)).collect();
    let clash = wanted
        .ports
        .iter()
        .any(|port| others.iter().any(|other| other.ports.iter().any(|it| it.clashes(port))));
    if clash {
        let why = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        return rejected("NodePorts", why.to_owned());
    }
    let most = allocatable.get("pods").and_then(kube_api::quantity::Quantity::from_value);
    if let Some(most) = most.map(kube_api::quantity::Quantity::value)
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

/// Whether a pod asks for anything of this node's own files.
pub(super) fn has_limits_of_disk(pod: &Value) -> bool {
    let limited = |container: &Value| {
        crate::read::at(container, &["resources", "limits", "ephemeral-storage"]).is_some()
    };
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
