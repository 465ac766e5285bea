//! Role-based access control: roles grant rules, bindings grant roles to subjects.
//!
//! `rule` is one rule, `index` is all of them compiled for lookup by subject, `aggregate`
//! fills cluster roles from others, `escalation` keeps people from granting what they do not
//! hold, and `rules_for` lists what somebody may do.

pub mod aggregate;
pub mod escalation;
pub mod index;
pub mod rule;
pub mod rules_for;

use kube_object::resource::GroupResource;

pub use index::Index;
pub use rule::Rule;

/// The group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// A resource of RBAC's group.
pub(crate) fn resource(plural: &str) -> GroupResource {
    GroupResource::new(GROUP, plural)
}
