//! Who asks, about what, and how: what each verb of the registry gets.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use admission::Notes;
use bytes::Bytes;
use kube_object::field_selector::FieldSelector;
use kube_object::label_selector::LabelSelector;
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::Value;

use crate::kinds::Resource;

/// One request, whatever it asks.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Who asks.
    pub user: User,
    /// What the client calls itself; names the field manager when the request does not.
    pub user_agent: String,
    /// When nobody waits for the answer any more.
    pub deadline: Option<Instant>,
    /// What the client is told beside the answer.
    pub warnings: Warnings,
    /// What admission decided, and what it has for the audit log.
    pub admission: Admission,
}

/// Collects the texts of `Warning` headers. Clones share.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// Adds a text, once.
    pub fn add(&self, text: impl Into<String>) {
        let text = text.into();
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !texts.contains(&text) {
            texts.push(text);
        }
    }

    /// Takes all texts.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Collects what admission said besides warnings. Clones share.
#[derive(Clone, Debug, Default)]
pub struct Admission(Arc<Mutex<Notes>>);

impl Admission {
    /// Adds decisions, and annotations that are not there yet.
    pub(crate) fn add(&self, notes: Notes) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in notes.audit_annotations {
            all.annotate(key, value);
        }
        for decision in notes.decisions {
            if !all.decisions.contains(&decision) {
                all.decisions.push(decision);
            }
        }
    }

    /// Takes all that was said.
    pub fn take(&self) -> Notes {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a request is about.
#[derive(Clone, Debug)]
pub struct Target {
    /// The resource.
    pub resource: Arc<Resource>,
    /// The namespace; empty for objects of the cluster, and for all namespaces.
    pub namespace: String,
    /// The name; empty for collections.
    pub name: String,
    /// The part of the object; empty for all of it.
    pub subresource: String,
}

impl Target {
    /// A collection of objects.
    pub fn collection(resource: &Arc<Resource>, namespace: &str) -> Self {
        Self::object(resource, namespace, "")
    }

    /// One object.
    pub fn object(resource: &Arc<Resource>, namespace: &str, name: &str) -> Self {
        Self {
            resource: Arc::clone(resource),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: String::new(),
        }
    }

    /// A part of the object.
    #[must_use]
    pub fn at(mut self, subresource: &str) -> Self {
        self.subresource = subresource.to_owned();
        self
    }
}

/// A body as the client sent it, decoded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// The value.
    pub value: Value,
    /// What strict decoding says of its text: keys that stood twice.
    pub notes: Vec<String>,
    /// Whether that is said before unknown fields are, as they are looked for in a later step.
    pub notes_first: bool,
    /// Its JSON, if it is that: what is strange about it is said in the order of the text.
    pub text: Option<Bytes>,
    /// Whether the encoding cannot carry unknown fields (protobuf), so that nobody looks for them.
    pub typed: bool,
}

impl From<Value> for Body {
    fn from(value: Value) -> Self {
        Self { value, ..Self::default() }
    }
}

impl Patch {
    /// What was sent.
    pub fn body(&self) -> &Body {
        match self {
            Self::Json(body) | Self::Merge(body) | Self::Strategic(body) | Self::Apply(body) => body,
        }
    }
}

/// What a patch says, by its content type.
#[derive(Clone, Debug, PartialEq)]
pub enum Patch {
    /// RFC 6902.
    Json(Body),
    /// RFC 7386.
    Merge(Body),
    /// The API's own merge, which knows list keys.
    Strategic(Body),
    /// Server-side apply.
    Apply(Body),
}

/// What becomes of fields that the type does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// They go without a word.
    Ignore,
    /// They go with a warning.
    #[default]
    Warn,
    /// The request is refused.
    Strict,
}

/// CreateOptions, UpdateOptions and PatchOptions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Do everything but write.
    pub dry_run: bool,
    /// Who owns the fields written; empty is the user agent's first word.
    pub field_manager: String,
    /// What becomes of unknown fields.
    pub field_validation: FieldValidation,
    /// Apply takes fields from their owners.
    pub force: bool,
}

/// ListOptions, for lists, watches and deletions of collections.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Which labels.
    pub label_selector: LabelSelector,
    /// Which fields.
    pub field_selector: FieldSelector,
    /// Which revision may or must be shown; empty is the newest.
    pub resource_version: String,
    /// `Exact` or `NotOlderThan`; empty where the request says nothing.
    pub resource_version_match: String,
    /// Most items; 0 is all.
    pub limit: u64,
    /// Where a list goes on.
    pub continue_token: String,
    /// When a watch ends.
    pub timeout: Option<Duration>,
    /// Whether a watch says now and then how far it is.
    pub allow_bookmarks: bool,
    /// Whether a watch begins with what is there.
    pub send_initial_events: Option<bool>,
}

/// GetOptions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetOptions {
    /// `0` is whatever is at hand; a number is at least that; empty is the newest.
    pub resource_version: String,
}

/// DeleteOptions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Do everything but write.
    pub dry_run: bool,
    /// How long the object may take to end.
    pub grace_period_seconds: Option<i64>,
    /// `Orphan`, `Background` or `Foreground`.
    pub propagation: Option<Propagation>,
    /// Only the object of this identity.
    pub uid: Option<String>,
    /// Only the object at this revision.
    pub resource_version: Option<String>,
    /// Delete even what cannot be read.
    pub ignore_store_read_error: bool,
}

/// What becomes of an object's dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They stay.
    Orphan,
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
}

impl Propagation {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Orphan => "Orphan",
            Self::Background => "Background",
            Self::Foreground => "Foreground",
        }
    }
}

/// A query's pairs, decoded.
pub type Query<'a> = &'a [(String, String)];

impl WriteOptions {
    /// Reads the options of a create, update or patch from a query.
    pub fn from_query(query: Query<'_>) -> Result<Self, Status> {
        super::options::write(query)
    }
}

impl ListOptions {
    /// All objects, as they are now.
    pub fn everything() -> Self {
        Self { label_selector: LabelSelector::everything(), ..Self::default() }
    }

    /// Reads the options of a list, watch or deletion of a collection from a query.
    pub fn from_query(query: Query<'_>) -> Result<Self, Status> {
        super::options::list(query)
    }
}

impl DeleteOptions {
    /// Reads the options of a deletion from the body if there is one, else from the query.
    pub fn from_request(query: Query<'_>, body: Option<&Value>) -> Result<Self, Status> {
        super::options::delete(query, body)
    }
}
