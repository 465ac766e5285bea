//! What authorization decides about, and what it answers.
//!
//! Everything is borrowed: a request is asked about without copying a string.

use std::fmt;
use std::sync::Arc;

use kube_object::resource::GroupResource;
use kube_object::status::Status;
use kube_object::user::User;

/// A request, as authorization sees it.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// Who asks.
    pub user: &'a User,
    /// `get`, `list`, `watch`, `create`, …; the lower-case HTTP method for paths that are no resources.
    pub verb: &'a str,
    /// Which objects, unless the path is no resource.
    pub resource: Option<ResourceAttributes<'a>>,
    /// The path, for what is no resource.
    pub path: &'a str,
}

/// Which objects a request is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResourceAttributes<'a> {
    /// The API group, empty for core.
    pub group: &'a str,
    /// The version.
    pub version: &'a str,
    /// The plural.
    pub resource: &'a str,
    /// The subresource, or empty.
    pub subresource: &'a str,
    /// The namespace; empty for objects of the cluster and for all namespaces.
    pub namespace: &'a str,
    /// The object; empty for collections.
    pub name: &'a str,
    /// `field=value` terms of the field selector, of a list, watch or deletecollection.
    pub fields: &'a [(&'a str, &'a str)],
    /// `label=value` terms of the label selector, likewise.
    pub labels: &'a [(&'a str, &'a str)],
}

/// What authorization says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes, and no other authorizer is asked.
    Allow {
        /// Who allowed it.
        reason: Reason,
    },
    /// No, and no other authorizer is asked.
    Deny {
        /// Why.
        reason: Reason,
    },
    /// Nobody said yes, which is a no at the end.
    NoOpinion {
        /// Why not.
        reason: Reason,
    },
}

/// Why a decision fell so.
#[derive(Clone, Debug, Eq)]
pub enum Reason {
    /// Words that are always the same.
    Words(&'static str),
    /// Words made for this request.
    Text(Box<str>),
    /// A binding grants a role to the user.
    Grant(Arc<Grant>),
}

/// The record of a binding that applied: what a decision is explained with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The binding's namespace; empty for a `ClusterRoleBinding`.
    pub namespace: String,
    /// The binding's name.
    pub binding: String,
    /// `Role` or `ClusterRole`.
    pub role_kind: String,
    /// The role's name.
    pub role: String,
    /// `User`, `Group` or `ServiceAccount`.
    pub subject_kind: String,
    /// The subject's name; `name/namespace` for service accounts.
    pub subject: String,
    /// The sentence that upstream logs and returns.
    pub text: String,
}

impl<'a> Attributes<'a> {
    /// A request for objects.
    pub fn of_resource(user: &'a User, verb: &'a str, resource: ResourceAttributes<'a>) -> Self {
        Self { user, verb, resource: Some(resource), path: "" }
    }

    /// A request for a path that is no resource.
    pub fn of_path(user: &'a User, verb: &'a str, path: &'a str) -> Self {
        Self { user, verb, resource: None, path }
    }

    /// The sentence for who may not: `User "x" cannot get resource …`.
    pub fn cannot(&self) -> String {
        let Self { user, verb, path, .. } = self;
        let Some(asked) = &self.resource else {
            return format!("User {:?} cannot {verb} path {path:?}", user.name);
        };
        let slash = if asked.subresource.is_empty() { "" } else { "/" };
        let head = format!(
            "User {:?} cannot {verb} resource \"{}{slash}{}\" in API group {:?}",
            user.name, asked.resource, asked.subresource, asked.group
        );
        if asked.namespace.is_empty() {
            format!("{head} at the cluster scope")
        } else {
            format!("{head} in the namespace {:?}", asked.namespace)
        }
    }

    /// The 403 for a decision that is not `Allow`.
    pub fn forbidden(&self, reason: &str) -> Status {
        let mut why = self.cannot();
        if !reason.is_empty() {
            why.push_str(": ");
            why.push_str(reason);
        }
        match &self.resource {
            Some(asked) => {
                Status::forbidden(&GroupResource::new(asked.group, asked.resource), asked.name, why)
            }
            None => Status::forbidden(&GroupResource::default(), "", why),
        }
    }
}

impl Decision {
    /// Yes.
    pub fn allow(reason: impl Into<Reason>) -> Self {
        Self::Allow { reason: reason.into() }
    }

    /// No yes.
    pub fn no_opinion(reason: impl Into<Reason>) -> Self {
        Self::NoOpinion { reason: reason.into() }
    }

    /// Whether it is a yes.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }

    /// The reason, whatever the answer.
    pub fn reason(&self) -> &Reason {
        match self {
            Self::Allow { reason } | Self::Deny { reason } | Self::NoOpinion { reason } => reason,
        }
    }
}

impl Reason {
    /// The words.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Words(words) => words,
            Self::Text(text) => text,
            Self::Grant(grant) => &grant.text,
        }
    }

    /// The binding and role behind it, if it was RBAC that allowed.
    pub fn grant(&self) -> Option<&Grant> {
        match self {
            Self::Grant(grant) => Some(grant),
            _ => None,
        }
    }
}

impl PartialEq for Reason {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl From<&'static str> for Reason {
    fn from(words: &'static str) -> Self {
        Self::Words(words)
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_who_may_not_what() {
        let user = User { name: "bob".into(), ..User::default() };
        let pods = ResourceAttributes { resource: "pods", namespace: "a", ..Default::default() };
        let log = ResourceAttributes { subresource: "log", name: "web", ..pods };
        let roles = ResourceAttributes {
            group: "rbac.authorization.k8s.io",
            resource: "clusterroles",
            ..Default::default()
        };
        for (attributes, reason, text) in [
            (
                Attributes::of_resource(&user, "list", pods),
                "",
                r#"pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "a""#,
            ),
            (
                Attributes::of_resource(&user, "get", log),
                "no",
                r#"pods "web" is forbidden: User "bob" cannot get resource "pods/log" in API group "" in the namespace "a": no"#,
            ),
            (
                Attributes::of_resource(&user, "list", roles),
                "",
                r#"clusterroles.rbac.authorization.k8s.io is forbidden: User "bob" cannot list resource "clusterroles" in API group "rbac.authorization.k8s.io" at the cluster scope"#,
            ),
            (Attributes::of_path(&user, "get", "/x"), "", r#"forbidden: User "bob" cannot get path "/x""#),
        ] {
            let status = attributes.forbidden(reason);
            assert_eq!((status.code, status.message.as_str()), (403, text));
        }
    }
}
