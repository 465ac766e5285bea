//! The authorizers in their order: masters, nodes, RBAC.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use kube_object::cluster::Cluster;
use kube_object::user::User;
use serde_json::Value;

use crate::attributes::{Attributes, Decision};
use crate::node;
use crate::rbac::{Index, rules_for};

/// Decides who may do what, by the roles and bindings of a cluster.
pub struct Authorizer {
    cluster: Arc<dyn Cluster>,
    index: RwLock<Arc<Index>>,
    building: Mutex<()>,
}

impl Authorizer {
    /// Over the roles, bindings and pods of a cluster.
    pub fn new(cluster: Arc<dyn Cluster>) -> Self {
        let index = RwLock::new(Arc::new(Index::build(cluster.as_ref(), None)));
        Self { cluster, index, building: Mutex::new(()) }
    }

    /// Whether the request is allowed, and by whom.
    pub fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        if attributes.user.is_in(MASTERS) {
            return Decision::allow("");
        }
        let by_node = node::authorize(self.cluster.as_ref(), attributes);
        if !matches!(by_node, Decision::NoOpinion { .. }) {
            return by_node;
        }
        let by_rbac = self.index().authorize(attributes);
        match (&by_rbac, by_node.reason().as_str(), by_rbac.reason().as_str()) {
            (Decision::NoOpinion { .. }, node, rbac) if !node.is_empty() && !rbac.is_empty() => {
                Decision::no_opinion(format!("{node}\n{rbac}"))
            }
            (Decision::NoOpinion { .. }, node, "") if !node.is_empty() => by_node,
            _ => by_rbac,
        }
    }

    /// `SubjectRulesReviewStatus`: what the user may do in a namespace.
    pub fn rules_for(&self, user: &User, namespace: &str) -> Value {
        rules_for::status(&self.index(), user, namespace)
    }

    /// The roles and bindings as they are now, compiled.
    pub fn index(&self) -> Arc<Index> {
        let current = || self.index.read().unwrap_or_else(PoisonError::into_inner).clone();
        let index = current();
        if index.is_current(self.cluster.as_ref()) {
            return index;
        }
        // One compiles, the others wait for it rather than compile the same.
        let _building = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        let index = current();
        if index.is_current(self.cluster.as_ref()) {
            return index;
        }
        let index = Arc::new(Index::build(self.cluster.as_ref(), Some(&index)));
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index.clone();
        index
    }

    /// The cluster that it looks at.
    pub fn cluster(&self) -> &dyn Cluster {
        self.cluster.as_ref()
    }
}

/// Whoever is in this group may do everything, whatever the roles say.
pub const MASTERS: &str = "system:masters";
