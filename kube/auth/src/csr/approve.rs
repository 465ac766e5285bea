//! Approving by itself what nodes ask for, if who asks may have it so.

use std::net::IpAddr;

use jiff::Timestamp;
use kube_object::cluster::Cluster;
use kube_object::resource::GroupResource;
use kube_object::user::User;
use serde_json::{Value, json};

use super::parse::Request;
use super::sign::{check_kubelet_client, check_kubelet_serving, has_condition, usages, with_condition};
use super::{CLIENT_KUBELET, GROUP, KUBELET_SERVING};
use crate::attributes::{Attributes, ResourceAttributes};
use crate::authorizer::Authorizer;
use crate::rbac::index::{str_at, text_at};

/// The request with an `Approved` condition, if it is a kubelet's request for a client
/// certificate and the requester may have it: see [`NodeClient::of`]. None: a human decides, or nobody has to.
pub fn approve(object: &Value, authorizer: &Authorizer, now: Timestamp) -> Option<Value> {
    let user = requester(object);
    let may = |asked: &NodeClient| {
        let resource = ResourceAttributes {
            group: GROUP,
            version: "*",
            resource: "certificatesigningrequests",
            subresource: asked.subresource,
            ..Default::default()
        };
        authorizer.authorize(&Attributes::of_resource(&user, "create", resource)).is_allowed()
    };
    let asked = NodeClient::of(object).into_iter().find(may)?;
    Some(asked.approved(object, now))
}

/// A permission by which a kubelet's request for a client certificate is approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeClient {
    subresource: &'static str,
    message: &'static str,
}

impl NodeClient {
    /// What the requester has to be allowed, one of: to `create`
    /// `certificatesigningrequests/selfnodeclient` (for its own name) or `…/nodeclient`. Empty if the
    /// request is nothing of this kind, or decided.
    pub fn of(object: &Value) -> Vec<Self> {
        let parsed = is_open(object, CLIENT_KUBELET)
            .then(|| Request::parse(str_at(object, &["spec", "request"])).ok())
            .flatten();
        let Some(request) = parsed.filter(|it| check_kubelet_client(it, &usages(object)).is_ok()) else {
            return Vec::new();
        };
        let own = Self {
            subresource: "selfnodeclient",
            message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
        };
        let any = Self {
            subresource: "nodeclient",
            message: "Auto approving kubelet client certificate after SubjectAccessReview.",
        };
        let is_own = str_at(object, &["spec", "username"]) == request.common_name;
        is_own.then_some(own).into_iter().chain([any]).collect()
    }

    /// The question to an API server whether the requester may.
    pub fn review(self, object: &Value) -> Value {
        let User { name, uid, groups, extra } = requester(object);
        json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": name, "uid": uid, "groups": groups, "extra": extra,
                "resourceAttributes": {
                    "group": GROUP, "resource": "certificatesigningrequests", "verb": "create",
                    "subresource": self.subresource, "version": "*",
                },
            },
        })
    }

    /// The request with its approval.
    pub fn approved(self, object: &Value, now: Timestamp) -> Value {
        with_condition(object, "Approved", "AutoApproved", self.message, now)
    }
}

/// The request with an `Approved` condition, if it is a node's own for a serving certificate whose
/// names are the node's: its name, and the addresses in its status. Never one that another node
/// has too or that `reserved` keeps for the cluster, such as the API server's: a node that was
/// broken into could otherwise take the place of either.
pub fn approve_serving(
    object: &Value,
    cluster: &dyn Cluster,
    reserved: &dyn Fn(IpAddr) -> bool,
    now: Timestamp,
) -> Option<Value> {
    if !is_open(object, KUBELET_SERVING) {
        return None;
    }
    let request = Request::parse(str_at(object, &["spec", "request"])).ok()?;
    check_kubelet_serving(&request, &usages(object)).ok()?;
    let name = request.common_name.strip_prefix("system:node:")?;
    if requester(object).name != request.common_name || request.dns_names.iter().any(|dns| dns != name) {
        return None;
    }
    let nodes = cluster.list(&GroupResource::new("", "nodes"), None);
    let is_own = |address: &IpAddr| {
        let has = |node: &Value| addresses(node).any(|found| found == *address);
        !reserved(*address)
            && nodes.iter().any(|node| str_at(node, &["metadata", "name"]) == name && has(node))
            && !nodes.iter().any(|node| str_at(node, &["metadata", "name"]) != name && has(node))
    };
    if !request.ip_addresses.iter().all(is_own) {
        return None;
    }
    let message = "Auto approving kubelet serving certificate: its names are the node's own.";
    Some(with_condition(object, "Approved", "AutoApproved", message, now))
}

/// Nobody has decided about it, and it is for this signer.
fn is_open(object: &Value, signer: &str) -> bool {
    !["Approved", "Denied"].iter().any(|kind| has_condition(object, kind))
        && str_at(object, &["status", "certificate"]).is_empty()
        && str_at(object, &["spec", "signerName"]) == signer
}

/// The addresses in a node's status.
fn addresses(node: &Value) -> impl Iterator<Item = IpAddr> {
    let all = node.get("status").and_then(|status| status.get("addresses")).and_then(Value::as_array);
    all.into_iter().flatten().filter_map(|address| str_at(address, &["address"]).parse().ok())
}

/// Who made the request, as the server wrote it into the object.
fn requester(object: &Value) -> User {
    let strings = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let field = |name: &str| object.get("spec").and_then(|spec| spec.get(name));
    let extra = field("extra").and_then(Value::as_object);
    User {
        name: text_at(object, &["spec", "username"]),
        uid: text_at(object, &["spec", "uid"]),
        groups: field("groups").map(strings).unwrap_or_default(),
        extra: extra.into_iter().flatten().map(|(key, value)| (key.clone(), strings(value))).collect(),
    }
}
