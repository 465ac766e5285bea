//! What is asked: one write, as admission sees it.

use std::fmt;

use kube_object::resource::{GroupVersionKind, GroupVersionResource};
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::Value;

/// One write on its way to the store.
///
/// `object` is the object as it would be stored, in the version of the request; none for a
/// deletion. `old` is the stored one; none for a creation. For [`Operation::Connect`],
/// `object` holds the options of the connection, such as `PodExecOptions`.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// What is to be done.
    pub operation: Operation,
    /// The kind of `object`, for a subresource its kind (`autoscaling/v1 Scale`).
    pub kind: GroupVersionKind,
    /// Where it was sent to.
    pub resource: GroupVersionResource,
    /// The subresource, such as `status`; else empty.
    pub subresource: String,
    /// The namespace; empty for objects of the cluster. For a namespace itself, its name.
    pub namespace: String,
    /// The name; empty for a creation whose name is to be generated.
    pub name: String,
    /// Who asks.
    pub user: User,
    /// The object as it would be.
    pub object: Option<Value>,
    /// The object as it is.
    pub old: Option<Value>,
    /// `CreateOptions`, `UpdateOptions`, `PatchOptions` or `DeleteOptions`; or null.
    pub options: Value,
    /// Whether nothing will be stored, so that no step may change anything elsewhere.
    pub dry_run: bool,
}

/// What a request does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Stores a new object.
    #[default]
    Create,
    /// Changes an object.
    Update,
    /// Deletes an object.
    Delete,
    /// Opens a connection: exec, attach, port-forward, proxy.
    Connect,
}

impl Operation {
    /// The API's word: `CREATE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Request {
    /// Whether it is about this resource of this group itself, no subresource.
    pub fn is_for(&self, group: &str, resource: &str) -> bool {
        self.subresource.is_empty() && self.is_below(group, resource)
    }

    /// Whether it is about this resource of this group or one of its subresources.
    pub fn is_below(&self, group: &str, resource: &str) -> bool {
        self.resource.resource == resource && self.resource.group == group
    }

    /// Whether it is a subresource of a resource of a group.
    pub fn is_sub(&self, group: &str, resource: &str, subresource: &str) -> bool {
        self.subresource == subresource && self.is_below(group, resource)
    }

    /// The name for messages: that of the request, of the object, or the prefix that it is
    /// generated from.
    pub fn display_name(&self) -> &str {
        if !self.name.is_empty() {
            return &self.name;
        }
        let metadata = self.object.as_ref().and_then(|object| object.get("metadata"));
        let text =
            |name| metadata.and_then(|meta| meta.get(name)).and_then(Value::as_str).unwrap_or_default();
        match text("name") {
            "" => text("generateName"),
            name => name,
        }
    }

    /// The refusal of an admission step: `pods "web" is forbidden: WHY`.
    pub fn forbidden(&self, why: impl fmt::Display) -> Status {
        let name = match self.display_name() {
            "" => "Unknown",
            name => name,
        };
        Status::forbidden(&self.resource.group_resource(), name, why)
    }
}
