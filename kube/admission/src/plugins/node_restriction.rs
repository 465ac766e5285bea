//! `NodeRestriction`: a kubelet touches only its own node and the pods on it.

use std::collections::{BTreeMap, BTreeSet};

use kube_object::resource::GroupResource;
use kube_object::status::Status;
use serde_json::{Value, json};

use super::references;
use crate::notes::Notes;
use crate::plugin::{Need, Plugin, Scene};
use crate::read::{at, is_true, items, members, text};
use crate::request::{Operation, Request};

const NAME: &str = "NodeRestriction";
const MIRROR: &str = "kubernetes.io/config.mirror";
/// What holds a volume whose folder is on a node until that has removed it.
const LOCAL_VOLUME: &str = "strake.dev/local-path";
const RESERVED: &str = "node-restriction.kubernetes.io";
const OWN_LABELS: &[&str] = &[
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];
const OWN_PREFIXES: &[&str] = &["kubelet.kubernetes.io", "node.kubernetes.io"];

pub(crate) struct NodeRestriction;

impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        NAME
    }

    fn handles(&self, operation: Operation) -> bool {
        operation != Operation::Connect
    }

    fn needs(&self, request: &Request) -> Vec<Need> {
        let Some(node) = node_of(request) else { return Vec::new() };
        let need = |resource: &str, namespace: &str, name: &str| {
            vec![Need::of(GroupResource::new("", resource), namespace, name)]
        };
        let bound = || text(at_object(request), &["spec", "boundObjectRef", "name"]);
        let sub = request.subresource.as_str();
        match (request.resource.resource.as_str(), sub, request.operation) {
            ("pods", "", Operation::Create) => need("nodes", "", node),
            ("pods", "" | "eviction", _) => need("pods", &request.namespace, pod_name(request)),
            ("serviceaccounts", "token", Operation::Create) => need("pods", &request.namespace, bound()),
            _ => Vec::new(),
        }
    }

    /// It only judges, but upstream does so before others change anything.
    fn mutate(&self, request: &mut Request, scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        let Some(node) = node_of(request) else { return Ok(()) };
        if node.is_empty() {
            let user = &request.user.name;
            return Err(request.forbidden(format_args!("could not determine node from user {user:?}")));
        }
        let (node, request) = (node.to_owned(), &*request);
        let node = node.as_str();
        match (request.resource.group.as_str(), request.resource.resource.as_str()) {
            ("", "pods") => pod(node, request, scene),
            ("", "nodes") => own_node(node, request),
            ("", "persistentvolumeclaims") => claim(node, request),
            ("", "persistentvolumes") => volume(node, request),
            ("", "serviceaccounts") => token(node, request, scene),
            ("coordination.k8s.io", "leases") => lease(node, request),
            ("storage.k8s.io", "csinodes") => {
                let why = "can only access CSINode with the same name as the requesting node";
                if own_name(request) == node { Ok(()) } else { Err(request.forbidden(why)) }
            }
            ("resource.k8s.io", "resourceslices") => slice(node, request),
            _ => Ok(()),
        }
    }
}

/// The node's name, if a node asks.
fn node_of(request: &Request) -> Option<&str> {
    // Who is in the group but has no such name is nobody's node, and the node authorizer
    // gives him nothing.
    request.user.name.strip_prefix("system:node:").filter(|_| request.user.is_in("system:nodes"))
}

fn at_object(request: &Request) -> &Value {
    request.object.as_ref().unwrap_or(&Value::Null)
}

fn own_name(request: &Request) -> &str {
    match request.operation {
        Operation::Create => text(at_object(request), &["metadata", "name"]),
        _ => &request.name,
    }
}

fn pod_name(request: &Request) -> &str {
    match request.name.as_str() {
        "" => text(at_object(request), &["metadata", "name"]),
        name => name,
    }
}

fn pod(node: &str, request: &Request, scene: &Scene<'_>) -> Result<(), Status> {
    let refuse = |why: &dyn std::fmt::Display| Err(request.forbidden(why));
    let on_node = |pod: &Value| text(pod, &["spec", "nodeName"]) == node;
    let pods = GroupResource::new("", "pods");
    let existing = || {
        let name = pod_name(request);
        scene.get(&pods, &request.namespace, name).ok_or_else(|| Status::not_found(&pods, name))
    };
    match (request.subresource.as_str(), request.operation) {
        ("", Operation::Create) => new_pod(node, request, scene),
        ("", Operation::Delete) if !on_node(&*existing()?) => {
            refuse(&format_args!("node {node:?} can only delete pods with spec.nodeName set to itself"))
        }
        ("eviction", Operation::Create) if !on_node(&*existing()?) => {
            refuse(&format_args!("node {node} can only evict pods with spec.nodeName set to itself"))
        }
        ("", Operation::Delete) | ("eviction", Operation::Create) => Ok(()),
        ("status", Operation::Update) => {
            let old = request.old.as_ref().unwrap_or(&Value::Null);
            let new = at_object(request);
            if !on_node(old) {
                return refuse(&format_args!(
                    "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
                ));
            }
            if changed_labels(new, old).next().is_some() {
                return refuse(&format_args!("node {node:?} cannot update labels through pod status"));
            }
            let claims = ["status", "resourceClaimStatuses"];
            if items(new, &claims) != items(old, &claims) {
                return refuse(&format_args!("node {node:?} cannot update resource claim statues"));
            }
            Ok(())
        }
        ("", operation) => refuse(&format_args!(
            "unexpected operation \"{operation}\", node {node:?} can only create and delete mirror pods"
        )),
        ("status" | "eviction", operation) => refuse(&format_args!("unexpected operation \"{operation}\"")),
        (sub, _) => refuse(&format_args!(
            "unexpected pod subresource {sub:?}, only 'status' and 'eviction' are allowed"
        )),
    }
}

fn new_pod(node: &str, request: &Request, scene: &Scene<'_>) -> Result<(), Status> {
    let refuse = |why: &dyn std::fmt::Display| Err(request.forbidden(why));
    let pod = at_object(request);
    if at(pod, &["metadata", "annotations", MIRROR]).is_null() {
        return refuse(&format_args!(
            "pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"
        ));
    }
    if text(pod, &["spec", "nodeName"]) != node {
        return refuse(&format_args!("node {node:?} can only create pods with spec.nodeName set to itself"));
    }
    let owner = match items(pod, &["metadata", "ownerReferences"]) {
        [owner] => owner,
        owners => {
            let what = if owners.is_empty() { "an" } else { "a single" };
            return refuse(&format_args!(
                "node {node:?} can only create pods with {what} owner reference set to itself"
            ));
        }
    };
    if (text(owner, &["apiVersion"]), text(owner, &["kind"]), text(owner, &["name"])) != ("v1", "Node", node)
    {
        return refuse(&format_args!(
            "node {node:?} can only create pods with an owner reference set to itself"
        ));
    }
    if !is_true(owner, &["controller"]) {
        return refuse(&format_args!(
            "node {node:?} can only create pods with a controller owner reference set to itself"
        ));
    }
    if is_true(owner, &["blockOwnerDeletion"]) {
        return refuse(&format_args!("node {node:?} must not set blockOwnerDeletion on an owner reference"));
    }
    let nodes = GroupResource::new("", "nodes");
    let stored = scene.get(&nodes, "", node).ok_or_else(|| Status::not_found(&nodes, node))?;
    let (given, known) = (text(owner, &["uid"]), text(&stored, &["metadata", "uid"]));
    if given != known {
        return refuse(&format_args!("node {node} UID mismatch: expected {given} got {known}"));
    }
    let has_volume = |test: fn(&Value) -> bool| items(pod, &["spec", "volumes"]).iter().any(test);
    let trusts = |volume: &Value| {
        let sources = items(volume, &["projected", "sources"]);
        sources.iter().any(|source| at(source, &["clusterTrustBundle"]).is_object())
    };
    let claims = |volume: &Value| at(volume, &["persistentVolumeClaim"]).is_object();
    let what = match () {
        () if !text(pod, &["spec", "serviceAccountName"]).is_empty() => "a service account",
        () if references::of_secrets(pod) => "secrets",
        () if references::of_config_maps(pod) => "configmaps",
        () if has_volume(trusts) => "clustertrustbundles",
        () if has_volume(claims) => "persistentvolumeclaims",
        () if !items(pod, &["spec", "resourceClaims"]).is_empty() => "resourceclaims",
        () => return Ok(()),
    };
    refuse(&format_args!("node {node:?} can not create pods that reference {what}"))
}

fn own_node(node: &str, request: &Request) -> Result<(), Status> {
    let refuse = |why: &dyn std::fmt::Display| Err(request.forbidden(why));
    let name = pod_name(request);
    if name != node {
        return refuse(&format_args!("node {node:?} is not allowed to modify node {name:?}"));
    }
    let (new, old) = (at_object(request), request.old.as_ref().unwrap_or(&Value::Null));
    if request.operation == Operation::Delete {
        return Ok(());
    }
    let create = request.operation == Operation::Create;
    let source = ["spec", "configSource"];
    if !at(new, &source).is_null() && (create || at(new, &source) != at(old, &source)) {
        return refuse(&if create {
            format!("node {node:?} is not allowed to create pods with a non-nil configSource")
        } else {
            format!("node {node:?} is not allowed to update configSource to a new non-nil configSource")
        });
    }
    if !create && items(new, &["spec", "taints"]) != items(old, &["spec", "taints"]) {
        return refuse(&format_args!("node {node:?} is not allowed to modify taints"));
    }
    let forbidden: BTreeSet<_> = changed_labels(new, old).filter(|label| is_forbidden(label)).collect();
    if forbidden.is_empty() {
        return Ok(());
    }
    let forbidden = forbidden.into_iter().collect::<Vec<_>>().join(", ");
    refuse(&if create {
        format!("node {node:?} is not allowed to set the following labels: {forbidden}")
    } else {
        format!("is not allowed to modify labels: {forbidden}")
    })
}

fn claim(node: &str, request: &Request) -> Result<(), Status> {
    if request.subresource != "status" {
        return Err(request.forbidden("may only update PVC status"));
    }
    if request.operation != Operation::Update {
        return Err(request.forbidden(format_args!("unexpected operation \"{}\"", request.operation)));
    }
    let others = |claim: Option<&Value>| {
        let mut claim = claim.cloned().unwrap_or_default();
        let parts: [(&str, &[&str]); 2] = [
            ("metadata", &["resourceVersion", "managedFields"]),
            ("status", &["capacity", "conditions", "allocatedResources", "allocatedResourceStatuses"]),
        ];
        for (part, names) in parts {
            if let Some(part) = claim.get_mut(part).and_then(Value::as_object_mut) {
                names.iter().for_each(|name| drop(part.remove(*name)));
            }
        }
        if claim.get("status") == Some(&json!({})) {
            claim.as_object_mut().map(|claim| claim.remove("status"));
        }
        claim
    };
    if others(request.object.as_ref()) == others(request.old.as_ref()) {
        return Ok(());
    }
    Err(request.forbidden(format_args!(
        "node {node:?} is not allowed to update fields other than status.capacity and status.conditions"
    )))
}

/// A node takes its mark off a volume that is to go, when the folder is removed; it changes nothing else.
fn volume(node: &str, request: &Request) -> Result<(), Status> {
    let rest = |volume: Option<&Value>| {
        let mut volume = volume.cloned().unwrap_or_default();
        if let Some(meta) = volume.get_mut("metadata").and_then(Value::as_object_mut) {
            ["resourceVersion", "managedFields"].iter().for_each(|name| drop(meta.remove(*name)));
            let left = meta.get("finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
            let left: Vec<Value> = left.into_iter().filter(|it| it != LOCAL_VOLUME).collect();
            meta.insert("finalizers".to_owned(), json!(left));
        }
        volume
    };
    let (new, old) = (request.object.as_ref(), request.old.as_ref());
    let goes = old.is_some_and(|old| !at(old, &["metadata", "deletionTimestamp"]).is_null());
    if request.operation == Operation::Update && goes && rest(new) == rest(old) {
        return Ok(());
    }
    Err(request.forbidden(format_args!(
        "node {node:?} can only remove the finalizer {LOCAL_VOLUME:?} of a volume that is being deleted"
    )))
}

fn token(node: &str, request: &Request, scene: &Scene<'_>) -> Result<(), Status> {
    if request.operation != Operation::Create || request.subresource != "token" {
        return Ok(());
    }
    let refuse = |why: &str| Err(request.forbidden(why));
    let bound = at(at_object(request), &["spec", "boundObjectRef"]);
    let name = text(bound, &["name"]);
    if text(bound, &["apiVersion"]) != "v1" || text(bound, &["kind"]) != "Pod" || name.is_empty() {
        return refuse("node requested token not bound to a pod");
    }
    let uid = text(bound, &["uid"]);
    if uid.is_empty() {
        return refuse("node requested token with a pod binding without a uid");
    }
    let pods = GroupResource::new("", "pods");
    let pod = scene.get(&pods, &request.namespace, name).ok_or_else(|| Status::not_found(&pods, name))?;
    if uid != text(&pod, &["metadata", "uid"]) {
        return Err(request.forbidden(format_args!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. \
             The object might have been deleted and then recreated"
        )));
    }
    if text(&pod, &["spec", "nodeName"]) != node {
        return refuse("node requested token bound to a pod scheduled on a different node");
    }
    Ok(())
}

fn lease(node: &str, request: &Request) -> Result<(), Status> {
    if request.namespace != "kube-node-lease" {
        return Err(request.forbidden("can only access leases in the \"kube-node-lease\" system namespace"));
    }
    if own_name(request) != node {
        return Err(request.forbidden("can only access node lease with the same name as the requesting node"));
    }
    Ok(())
}

fn slice(node: &str, request: &Request) -> Result<(), Status> {
    let slice = match request.operation {
        Operation::Delete => request.old.as_ref().unwrap_or(&Value::Null),
        _ => at_object(request),
    };
    if text(slice, &["spec", "nodeName"]) == node {
        return Ok(());
    }
    let verb = match request.operation {
        Operation::Create => "create",
        Operation::Delete => "delete",
        _ => return Ok(()),
    };
    Err(request.forbidden(format_args!(
        "can only {verb} ResourceSlice with the same NodeName as the requesting node"
    )))
}

/// The labels that come, go or change.
fn changed_labels<'a>(new: &'a Value, old: &'a Value) -> impl Iterator<Item = &'a str> {
    let labels = |object: &'a Value| -> BTreeMap<&'a str, &'a Value> {
        members(object, &["metadata", "labels"]).map(|(key, value)| (key.as_str(), value)).collect()
    };
    let (new, old) = (labels(new), labels(old));
    let keys: BTreeSet<_> = new.keys().chain(old.keys()).copied().collect();
    keys.into_iter().filter(move |key| new.get(key) != old.get(key))
}

/// Whether a kubelet may not set a label: those that steer pods, and the project's own but
/// for those that a kubelet knows.
fn is_forbidden(label: &str) -> bool {
    let Some((namespace, _)) = label.split_once('/') else { return false };
    let below = |domain: &str| {
        namespace == domain || namespace.strip_suffix(domain).is_some_and(|start| start.ends_with('.'))
    };
    let known = || OWN_LABELS.contains(&label) || OWN_PREFIXES.iter().any(|prefix| below(prefix));
    below(RESERVED) || ((below("kubernetes.io") || below("k8s.io")) && !known())
}
