//! What the registry asks of authentication and authorization: whether a role may be written,
//! and tokens for service accounts.

use std::sync::Arc;

use auth::authn::jwt::SigningKey;
use auth::token::{self, Bound, Issuer};
use auth::{Authorizer, rbac};
use jiff::Timestamp;
use kube_object::cluster::Cluster;
use kube_object::resource::GroupResource;
use kube_object::status::Status;
use serde_json::Value;

use crate::registry::{Context, Guard, Target, Tokens};

/// Nobody gives permissions that they don't have.
pub struct RbacGuard {
    authorizer: Arc<Authorizer>,
    cluster: Arc<dyn Cluster>,
}

impl RbacGuard {
    /// Over the roles of a cluster.
    pub fn new(authorizer: Arc<Authorizer>, cluster: Arc<dyn Cluster>) -> Self {
        Self { authorizer, cluster }
    }
}

impl Guard for RbacGuard {
    fn check(&self, context: &Context, target: &Target, object: &Value) -> Result<(), Status> {
        let plural = target.resource.gvr.resource.as_str();
        let resource = GroupResource::new(&target.resource.gvr.group, plural);
        let old = self.cluster.get(&resource, &target.namespace, &target.name);
        let (user, old) = (&context.user, old.as_deref());
        match plural {
            "roles" | "clusterroles" => rbac::escalation::check_role(&self.authorizer, user, plural, object, old),
            "rolebindings" | "clusterrolebindings" => {
                rbac::escalation::check_binding(&self.authorizer, self.cluster.as_ref(), user, plural, object, old)
            }
            _ => Ok(()),
        }
    }
}

/// Signs tokens with the cluster's key.
pub struct TokenIssuer {
    key: SigningKey,
    url: String,
    audiences: Vec<String>,
    cluster: Arc<dyn Cluster>,
}

impl TokenIssuer {
    /// With the key, the issuer's URL and the audiences of who names none.
    pub fn new(key: SigningKey, url: &str, audiences: Vec<String>, cluster: Arc<dyn Cluster>) -> Self {
        Self { key, url: url.to_owned(), audiences, cluster }
    }
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
        let issuer = Issuer {
            key: &self.key,
            url: &self.url,
            audiences: &self.audiences,
            expiration_max_seconds: None,
            extend_expiration: true,
        };
        let node_name = bound.and_then(|bound| bound.pointer("/spec/nodeName")?.as_str());
        let node = node_name.and_then(|name| self.cluster.get(&GroupResource::new("", "nodes"), "", name));
        let bound = Bound { account, object: bound, node: node.as_deref() };
        token::request(&issuer, &bound, request, &crate::http::fresh_id(), now)
    }
}
