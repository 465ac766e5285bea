//! Approving by itself what nodes ask for, if who asks may have it so.

use jiff::Timestamp;
use kube_object::user::User;
use serde_json::Value;

use super::parse::Request;
use super::sign::{check_kubelet_client, conditions, usages, with_condition};
use super::{CLIENT_KUBELET, GROUP};
use crate::attributes::{Attributes, ResourceAttributes};
use crate::authorizer::Authorizer;
use crate::rbac::index::{str_at, text_at};

/// The request with an `Approved` condition, if it is a kubelet's request for a client
/// certificate and the requester may `create` `certificatesigningrequests/selfnodeclient` (for
/// its own name) or `…/nodeclient`. None: a human decides, or nobody has to.
pub fn approve(object: &Value, authorizer: &Authorizer, now: Timestamp) -> Option<Value> {
    let decided = ["Approved", "Denied"];
    let has = conditions(object).iter().any(|condition| decided.contains(&str_at(condition, &["type"])));
    if has
        || !str_at(object, &["status", "certificate"]).is_empty()
        || str_at(object, &["spec", "signerName"]) != CLIENT_KUBELET
    {
        return None;
    }
    let request = Request::parse(str_at(object, &["spec", "request"])).ok()?;
    check_kubelet_client(&request, &usages(object)).ok()?;
    let user = requester(object);
    let may = |subresource: &str| {
        let resource = ResourceAttributes {
            group: GROUP,
            version: "*",
            resource: "certificatesigningrequests",
            subresource,
            ..Default::default()
        };
        authorizer.authorize(&Attributes::of_resource(&user, "create", resource)).is_allowed()
    };
    let message = if user.name == request.common_name && may("selfnodeclient") {
        "Auto approving self kubelet client certificate after SubjectAccessReview."
    } else if may("nodeclient") {
        "Auto approving kubelet client certificate after SubjectAccessReview."
    } else {
        return None;
    };
    Some(with_condition(object, "Approved", "AutoApproved", message, now))
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
