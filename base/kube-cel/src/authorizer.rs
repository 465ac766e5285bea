//! Questions to the authorizer: `authorizer.group('').resource('pods').check('get')`.

use crate::env::{AUTHORIZER, GROUP_CHECK, PATH_CHECK, RESOURCE_CHECK};

/// Whom an expression may ask what somebody may do.
pub trait Authorizer: Send + Sync {
    /// Whether the check's subject may do what it says; words if that cannot be told.
    fn decide(&self, check: &Check) -> Result<Allowed, String>;
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why.
    pub reason: String,
}

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// What there is of it so far.
    pub stage: Stage,
    /// Namespace and name of the service account that is asked about; if none, the
    /// user of the request.
    pub service_account: Option<(String, String)>,
    /// A path that is no resource.
    pub path: String,
    /// The group.
    pub group: String,
    /// The resource.
    pub resource: String,
    /// The subresource.
    pub subresource: String,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The field selector, as text.
    pub field_selector: Option<String>,
    /// The label selector, as text.
    pub label_selector: Option<String>,
    /// The verb.
    pub verb: String,
}

/// How far a question has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Only whom it is about.
    #[default]
    Subject,
    /// A path.
    Path,
    /// A group.
    Group,
    /// A resource.
    Resource,
}

impl Check {
    pub(crate) fn type_name(&self) -> &'static str {
        match self.stage {
            Stage::Subject => AUTHORIZER,
            Stage::Path => PATH_CHECK,
            Stage::Group => GROUP_CHECK,
            Stage::Resource => RESOURCE_CHECK,
        }
    }
}

/// The authorizer's answer, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub(crate) answer: Result<Allowed, String>,
}
