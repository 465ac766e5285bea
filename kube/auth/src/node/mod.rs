//! What a node may do: what its pods need, and no more.
//!
//! A node's user is `system:node:NAME` in the group `system:nodes`. It reads secrets, config
//! maps, claims and volumes that its pods use, asks for tokens of their service accounts,
//! writes its own lease and CSINode, and does what the fixed rules of `system:node` allow for
//! the rest. `related` answers whether an object belongs to a pod of the node.

mod related;
mod rules;

use kube_object::cluster::Cluster;
use kube_object::user::User;

use crate::attributes::{Attributes, Decision, ResourceAttributes};
use related::Related;

/// Whether the user is a node, of whatever name.
pub fn is_node(user: &User) -> bool {
    user.name.starts_with(USER_PREFIX) && user.is_in(GROUP)
}

/// The node that the user is.
pub fn name_of(user: &User) -> Option<&str> {
    if is_node(user) { user.name.strip_prefix(USER_PREFIX).filter(|name| !name.is_empty()) } else { None }
}

/// Whether the node authorizer allows the request; no opinion about who is no node.
pub fn authorize(cluster: &dyn Cluster, attributes: &Attributes<'_>) -> Decision {
    if !is_node(attributes.user) {
        return Decision::no_opinion("");
    }
    let Some(node) = name_of(attributes.user) else {
        return Decision::no_opinion(format!("unknown node for user {:?}", attributes.user.name));
    };
    let Some(asked) = &attributes.resource else {
        return by_rules(attributes);
    };
    let request = Request { node, verb: attributes.verb, asked, related: Related { cluster, node } };
    match (asked.group, asked.resource) {
        ("", "secrets") => request.read_in_namespace(Related::secret),
        ("", "configmaps") => request.read_in_namespace(Related::config_map),
        ("", "persistentvolumeclaims") if asked.subresource == "status" => request.claim_status(),
        ("", "persistentvolumeclaims") => request.get(Related::claim),
        ("", "persistentvolumes") => request.volume(),
        ("resource.k8s.io", "resourceclaims") => request.get(Related::resource_claim),
        ("storage.k8s.io", "volumeattachments") => request.get(Related::attachment),
        ("", "serviceaccounts") => request.service_account(),
        ("coordination.k8s.io", "leases") => request.lease(),
        ("storage.k8s.io", "csinodes") => request.csi_node(),
        ("resource.k8s.io", "resourceslices") => request.resource_slice(),
        ("", "nodes") => request.node_object(),
        ("", "pods") => request.pod(),
        _ => by_rules(attributes),
    }
}

fn by_rules(attributes: &Attributes<'_>) -> Decision {
    let allowed = rules::node_rules().iter().any(|rule| rule.allows(attributes));
    if allowed { Decision::allow("") } else { Decision::no_opinion("") }
}

struct Request<'a> {
    node: &'a str,
    verb: &'a str,
    asked: &'a ResourceAttributes<'a>,
    related: Related<'a>,
}

/// Whether the object of a namespace and name belongs to the node.
type Relation<'a> = fn(&Related<'a>, &str, &str) -> bool;

impl<'a> Request<'a> {
    fn related(&self, relation: Relation<'a>) -> Decision {
        if self.asked.name.is_empty() {
            return Decision::no_opinion("No Object name found");
        }
        if relation(&self.related, self.asked.namespace, self.asked.name) {
            return Decision::allow("");
        }
        let node = self.node;
        Decision::no_opinion(format!("no relationship found between node '{node}' and this object"))
    }

    fn get(&self, relation: Relation<'a>) -> Decision {
        if self.verb != "get" {
            return Decision::no_opinion("can only get individual resources of this type");
        }
        if !self.asked.subresource.is_empty() {
            return Decision::no_opinion("cannot get subresource");
        }
        self.related(relation)
    }

    fn read_in_namespace(&self, relation: Relation<'a>) -> Decision {
        if !matches!(self.verb, "get" | "list" | "watch") {
            return Decision::no_opinion("can only read resources of this type");
        }
        if !self.asked.subresource.is_empty() {
            return Decision::no_opinion("cannot read subresource");
        }
        if self.asked.namespace.is_empty() {
            return Decision::no_opinion("can only read namespaced object of this type");
        }
        self.related(relation)
    }

    fn claim_status(&self) -> Decision {
        if !matches!(self.verb, "update" | "patch") {
            return Decision::no_opinion("can only get/update/patch this type");
        }
        self.related(Related::claim)
    }

    /// Volumes of its claims; and beyond upstream those whose folders are on the node, which it removes.
    fn volume(&self) -> Decision {
        match self.verb {
            "list" | "watch" if self.asked.name.is_empty() && self.related.is_labelled(self.asked.labels) => {
                Decision::allow("")
            }
            "update" | "patch" if self.asked.subresource.is_empty() => self.related(Related::local_volume),
            _ => self.get(Related::volume),
        }
    }

    fn service_account(&self) -> Decision {
        // Since 1.34 the kubelet reads the accounts of its pods for credential providers.
        if self.verb == "get" && self.asked.subresource.is_empty() {
            return self.related(Related::service_account);
        }
        if self.verb != "create" || self.asked.name.is_empty() {
            return Decision::no_opinion("can only create tokens for individual service accounts");
        }
        if self.asked.subresource != "token" {
            return Decision::no_opinion("can only create token subresource of serviceaccount");
        }
        self.related(Related::service_account)
    }

    fn lease(&self) -> Decision {
        if !matches!(self.verb, "get" | "create" | "update" | "patch" | "delete") {
            return Decision::no_opinion("can only get, create, update, patch, or delete a node lease");
        }
        if self.asked.namespace != LEASES {
            let words = "can only access leases in the \"kube-node-lease\" system namespace";
            return Decision::no_opinion(words);
        }
        // Admission compares the name on create.
        if self.verb != "create" && self.asked.name != self.node {
            let words = "can only access node lease with the same name as the requesting node";
            return Decision::no_opinion(words);
        }
        Decision::allow("")
    }

    fn csi_node(&self) -> Decision {
        if !matches!(self.verb, "get" | "create" | "update" | "patch" | "delete") {
            return Decision::no_opinion("can only get, create, update, patch, or delete a CSINode");
        }
        if !self.asked.subresource.is_empty() {
            return Decision::no_opinion("cannot authorize CSINode subresources");
        }
        if self.verb != "create" && self.asked.name != self.node {
            return Decision::no_opinion("can only access CSINode with the same name as the requesting node");
        }
        Decision::allow("")
    }

    fn resource_slice(&self) -> Decision {
        if !self.asked.subresource.is_empty() {
            return Decision::no_opinion("cannot authorize ResourceSlice subresources");
        }
        match self.verb {
            "create" => Decision::allow(""),
            "get" | "update" | "patch" | "delete" => self.related(Related::resource_slice),
            "watch" | "list" | "deletecollection" if self.selects("spec.nodeName") => Decision::allow(""),
            "watch" | "list" | "deletecollection" => Decision::no_opinion(
                "can only list/watch/deletecollection resourceslices with nodeName field selector",
            ),
            _ => Decision::no_opinion(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, \
                 update, patch, delete, deletecollection",
            ),
        }
    }

    fn node_object(&self) -> Decision {
        let Self { node, verb, asked, .. } = self;
        match (asked.subresource, *verb) {
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Decision::allow(""),
            ("", "get" | "list" | "watch") if asked.name == *node => Decision::allow(""),
            ("", "get" | "list" | "watch") if asked.name.is_empty() => {
                Decision::no_opinion(format!("node '{node}' cannot read all nodes, only its own Node object"))
            }
            ("", "get" | "list" | "watch") => Decision::no_opinion(format!(
                "node '{node}' cannot read '{}', only its own Node object",
                asked.name
            )),
            _ => Decision::no_opinion(""),
        }
    }

    fn pod(&self) -> Decision {
        match (self.asked.subresource, self.verb) {
            ("", "get") => self.get(Related::pod),
            ("", "list" | "watch") if self.selects("spec.nodeName") => Decision::allow(""),
            ("", "list" | "watch") if !self.asked.name.is_empty() => self.related(Related::pod),
            ("", "list" | "watch") => {
                Decision::no_opinion("can only list/watch pods with spec.nodeName field selector")
            }
            // Admission sees to it that these are the node's own.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => {
                Decision::allow("")
            }
            _ => Decision::no_opinion(""),
        }
    }

    /// Whether the field selector holds the request to this node.
    fn selects(&self, field: &str) -> bool {
        self.asked.fields.iter().any(|(key, value)| *key == field && *value == self.node)
    }
}

const USER_PREFIX: &str = "system:node:";
const GROUP: &str = "system:nodes";
const LEASES: &str = "kube-node-lease";
