//! Who may approve and sign requests: a permission on the signer's name.

use kube_object::resource::GroupResource;
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::Value;

use super::parse::Request;
use super::{CLIENT, GROUP};
use crate::attributes::{Attributes, ResourceAttributes};
use crate::authorizer::Authorizer;
use crate::rbac::index::str_at;

/// May the user write `approval` of this request?
pub fn check_approve(authorizer: &Authorizer, user: &User, old: &Value) -> Result<(), Status> {
    check(authorizer, user, "approve", old)
}

/// May the user write `status` of this request? Only a new certificate or failure asks.
pub fn check_sign(authorizer: &Authorizer, user: &User, new: &Value, old: &Value) -> Result<(), Status> {
    let certificate = |object| str_at(object, &["status", "certificate"]).to_owned();
    let failed = |object| super::sign::has_condition(object, "Failed");
    if certificate(new) == certificate(old) && failed(new) == failed(old) {
        return Ok(());
    }
    check(authorizer, user, "sign", old)
}

/// Nobody becomes a master by a request to the client signer.
pub fn check_subject(new: &Value) -> Result<(), Status> {
    if str_at(new, &["spec", "signerName"]) != CLIENT {
        return Ok(());
    }
    let Ok(request) = Request::parse(str_at(new, &["spec", "request"])) else { return Ok(()) };
    if request.organizations.iter().any(|group| group == "system:masters") {
        let why = format!("use of {CLIENT} signer with system:masters group is not allowed");
        return Err(forbidden(new, why));
    }
    Ok(())
}

fn check(authorizer: &Authorizer, user: &User, verb: &str, object: &Value) -> Result<(), Status> {
    let signer = str_at(object, &["spec", "signerName"]);
    let may = |name: &str| {
        let resource = ResourceAttributes {
            group: GROUP,
            version: "*",
            resource: "signers",
            name,
            ..Default::default()
        };
        authorizer.authorize(&Attributes::of_resource(user, verb, resource)).is_allowed()
    };
    let domain = signer.split('/').next().unwrap_or_default();
    if may(signer) || may(&format!("{domain}/*")) {
        return Ok(());
    }
    Err(forbidden(object, format!("user not permitted to {verb} requests with signerName {signer:?}")))
}

fn forbidden(object: &Value, why: String) -> Status {
    let resource = GroupResource::new(GROUP, "certificatesigningrequests");
    Status::forbidden(&resource, str_at(object, &["metadata", "name"]), why)
}
