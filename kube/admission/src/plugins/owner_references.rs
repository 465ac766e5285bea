//! `OwnerReferencesPermissionEnforcement`: who ties an object's life to an owner must be
//! allowed to delete it, and to hold the owner's deletion up. Off unless enabled.

use kube_object::resource::{GroupVersionKind, GroupVersionResource};
use kube_object::status::Status;
use serde_json::Value;

use crate::host::Access;
use crate::notes::Notes;
use crate::plugin::{Plugin, Scene};
use crate::read::{is_true, items, text};
use crate::request::{Operation, Request};

const OWNERS: [&str; 2] = ["metadata", "ownerReferences"];

pub(crate) struct OwnerReferencesPermissionEnforcement;

impl Plugin for OwnerReferencesPermissionEnforcement {
    fn name(&self) -> &'static str {
        "OwnerReferencesPermissionEnforcement"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn validate(&self, request: &Request, scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        let Some(object) = &request.object else { return Ok(()) };
        let (new, old) =
            (items(object, &OWNERS), request.old.as_ref().map_or(&[][..], |old| items(old, &OWNERS)));
        if new == old || request.is_sub("", "pods", "binding") {
            return Ok(());
        }
        let access = Access {
            verb: "delete".to_owned(),
            resource: request.resource.clone(),
            subresource: request.subresource.clone(),
            namespace: request.namespace.clone(),
            // A name that is to be generated is nobody's yet.
            name: text(object, &["metadata", "name"]).to_owned(),
            path: None,
        };
        let opinion = scene.host.authorizer.authorize(&request.user, &access);
        if !opinion.allowed {
            return Err(request.forbidden(format_args!(
                "cannot set an ownerRef on a resource you can't delete: {}, <nil>",
                opinion.reason
            )));
        }
        let blocked_before = |owner: &Value| {
            old.iter().any(|known| {
                text(known, &["uid"]) == text(owner, &["uid"]) && is_true(known, &["blockOwnerDeletion"])
            })
        };
        let blocking = new.iter().filter(|owner| is_true(owner, &["blockOwnerDeletion"]));
        for owner in blocking.filter(|owner| !blocked_before(owner)) {
            may_block(request, owner, scene)?;
        }
        Ok(())
    }
}

fn may_block(request: &Request, owner: &Value, scene: &Scene<'_>) -> Result<(), Status> {
    let (version, kind) = (text(owner, &["apiVersion"]), text(owner, &["kind"]));
    let Some((resource, namespaced)) = scene.host.kinds.resource_of(&GroupVersionKind::of(version, kind))
    else {
        return Err(request.forbidden(format_args!(
            "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for \
             APIVersion {version} Kind {kind}: no matches for kind {kind:?} in version {version:?}"
        )));
    };
    let access = Access {
        verb: "update".to_owned(),
        resource: GroupVersionResource { version: "*".to_owned(), ..resource },
        subresource: "finalizers".to_owned(),
        namespace: if namespaced { request.namespace.clone() } else { String::new() },
        name: text(owner, &["name"]).to_owned(),
        path: None,
    };
    let opinion = scene.host.authorizer.authorize(&request.user, &access);
    if opinion.allowed {
        return Ok(());
    }
    Err(request.forbidden(format_args!(
        "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: \
         {}, <nil>",
        opinion.reason
    )))
}
