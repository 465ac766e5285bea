//! Which requests are recorded, and how much of each: `audit.k8s.io/v1` Policy.

mod fields;
mod read;
mod validate;

use kube_object::user::User;

pub use read::{InvalidPolicy, Loaded, load};

/// How much of a request is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    #[default]
    None,
    /// Who, when, what and the answer's code.
    Metadata,
    /// And what was sent.
    Request,
    /// And what was answered.
    RequestResponse,
}

impl Level {
    pub(crate) const ALL: [Self; 4] = [Self::None, Self::Metadata, Self::Request, Self::RequestResponse];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

/// Where a request is on its way when an event is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It came.
    RequestReceived,
    /// The head of the answer is sent, and its body will take long.
    ResponseStarted,
    /// The answer has ended.
    ResponseComplete,
    /// Its handler broke.
    Panic,
}

impl Stage {
    pub(crate) const ALL: [Self; 4] =
        [Self::RequestReceived, Self::ResponseStarted, Self::ResponseComplete, Self::Panic];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

/// A set of stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stages(u8);

impl Stages {
    pub(crate) fn with(self, stage: Stage) -> Self {
        Self(self.0 | 1 << stage as u8)
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn has(self, stage: Stage) -> bool {
        self.0 & 1 << stage as u8 != 0
    }
}

/// Rules in order, and what holds for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    omit: Stages,
    omit_managed_fields: bool,
}

/// Requests that fit every list which is not empty are recorded at a level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rule {
    level: Level,
    users: Vec<String>,
    groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<Resources>,
    namespaces: Vec<String>,
    paths: Vec<String>,
    omit: Stages,
    omit_managed_fields: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Resources {
    group: String,
    resources: Vec<String>,
    names: Vec<String>,
}

/// A request, as a policy sees it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Who asks; nobody where authentication failed.
    pub user: Option<&'a User>,
    /// `get`, `list`, …; the lower-case HTTP method for paths that are no resources.
    pub verb: &'a str,
    /// The decoded path.
    pub path: &'a str,
    /// Which objects, unless the path is no resource.
    pub resource: Option<Resource<'a>>,
}

/// Which objects a request is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resource<'a> {
    /// The API group, empty for core.
    pub group: &'a str,
    /// The version.
    pub version: &'a str,
    /// The plural.
    pub resource: &'a str,
    /// The subresource, or empty.
    pub subresource: &'a str,
    /// The namespace, or empty.
    pub namespace: &'a str,
    /// The object; empty for collections.
    pub name: &'a str,
}

/// What a policy says of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) level: Level,
    pub(crate) omit: Stages,
    pub(crate) omit_managed_fields: bool,
}

impl Policy {
    /// The first rule that fits decides; nothing is recorded where none does.
    pub(crate) fn decide(&self, asked: &Asked<'_>) -> Decision {
        let rule = self.rules.iter().find(|rule| rule.fits(asked));
        match rule {
            Some(rule) => Decision {
                level: rule.level,
                omit: self.omit.and(rule.omit),
                omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
            },
            None => Decision { omit: self.omit, ..Decision::default() },
        }
    }
}

impl Rule {
    fn fits(&self, asked: &Asked<'_>) -> bool {
        let user = asked.user;
        if !self.users.is_empty() && !user.is_some_and(|user| self.users.contains(&user.name)) {
            return false;
        }
        let in_group = |user: &User| user.groups.iter().any(|group| self.groups.contains(group));
        if !self.groups.is_empty() && !user.is_some_and(in_group) {
            return false;
        }
        if !self.verbs.is_empty() && !has(&self.verbs, asked.verb) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return asked.resource.is_some_and(|resource| self.fits_resource(&resource));
        }
        if !self.paths.is_empty() {
            return asked.resource.is_none() && self.paths.iter().any(|spec| path_fits(asked.path, spec));
        }
        true
    }

    fn fits_resource(&self, asked: &Resource<'_>) -> bool {
        if !self.namespaces.is_empty() && !has(&self.namespaces, asked.namespace) {
            return false;
        }
        self.resources.is_empty() || self.resources.iter().any(|of_group| of_group.fits(asked))
    }
}

impl Resources {
    fn fits(&self, asked: &Resource<'_>) -> bool {
        if self.group != asked.group && self.group != "*" {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        (self.names.is_empty() || has(&self.names, asked.name))
            && self.resources.iter().any(|spec| resource_fits(asked, spec))
    }
}

/// `pods`, `pods/log`, `pods/*`, `*/scale`, `*`.
fn resource_fits(asked: &Resource<'_>, spec: &str) -> bool {
    match spec.split_once('/') {
        None => spec == "*" || (asked.subresource.is_empty() && spec == asked.resource),
        // All of a resource's subresources and, as upstream has it, the resource itself.
        Some((resource, "*")) if resource == asked.resource => true,
        Some((resource, subresource)) => {
            !asked.subresource.is_empty()
                && (resource == "*" || resource == asked.resource)
                && subresource == asked.subresource
        }
    }
}

fn path_fits(path: &str, spec: &str) -> bool {
    spec == "*" || spec == path || (spec.ends_with('*') && path.starts_with(spec.trim_end_matches('*')))
}

fn has(list: &[String], word: &str) -> bool {
    list.iter().any(|one| one == word)
}

#[cfg(test)]
mod tests;
