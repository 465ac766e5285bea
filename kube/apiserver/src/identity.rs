//! What the registry and admission ask of authentication and authorization.

use std::sync::Arc;

use admission::{Access, Opinion};
use auth::rbac::escalation;
use auth::token::Maker;
use auth::{Attributes, Authorizer, ResourceAttributes};
use jiff::Timestamp;
use kube_object::cluster::Cluster;
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::Value;

use crate::registry::{Context, Guard, Target, Tokens};

/// Nobody gives permissions that they don't have.
pub(crate) struct RbacGuard(pub(crate) Arc<Authorizer>);

impl Guard for RbacGuard {
    fn check(&self, context: &Context, target: &Target, object: &Value) -> Result<(), Status> {
        escalation::check(&self.0, &context.user, &target.resource.gvr.resource, object)
    }
}

/// Signs tokens with the cluster's key.
pub(crate) struct TokenIssuer {
    pub(crate) maker: Maker,
    pub(crate) cluster: Arc<dyn Cluster>,
}

impl Tokens for TokenIssuer {
    fn issue(
        &self,
        account: &Value,
        bound: Option<&Value>,
        request: &Value,
        now: i64,
    ) -> Result<Value, Status> {
        let now = Timestamp::from_second(now).map_err(Status::internal)?;
        self.maker.issue(self.cluster.as_ref(), account, bound, request, now)
    }
}

/// What admission asks beside the request's own permission.
pub(crate) struct Permissions(pub(crate) Arc<Authorizer>);

impl admission::Authorizer for Permissions {
    fn authorize(&self, user: &User, access: &Access) -> Opinion {
        let resource = ResourceAttributes {
            group: &access.resource.group,
            version: &access.resource.version,
            resource: &access.resource.resource,
            subresource: &access.subresource,
            namespace: &access.namespace,
            name: &access.name,
            ..Default::default()
        };
        let attributes = match &access.path {
            Some(path) => Attributes::of_path(user, &access.verb, path),
            None => Attributes::of_resource(user, &access.verb, resource),
        };
        let decision = self.0.authorize(&attributes);
        Opinion { allowed: decision.is_allowed(), reason: decision.reason().to_string() }
    }
}
