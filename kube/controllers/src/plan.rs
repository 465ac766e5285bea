//! What a loop wants done: data, carried out by the runtime.

use std::time::Duration;

use kube_object::resource::GroupVersionResource;
use serde_json::Value;

/// What a loop decided about one key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What is to be done, in this order; the first that fails, or guard that does not hold, ends it.
    pub actions: Vec<Action>,
    /// When the loop wants to look at the key again though nothing changed.
    pub look_again_after: Option<Duration>,
    /// Why, in a sentence: the decision record.
    pub why: String,
    /// What the key's next plan finds in [`Observed::memory`](crate::Observed::memory); none leaves it as it is.
    /// It is lost when the process ends, so nothing may hang on it but patience.
    pub remember: Option<Value>,
    /// What the loop must know first: the runtime asks, and lets it decide again with the answers. A plan that
    /// asks does nothing else.
    pub asks: Vec<Ask>,
}

/// A question that no watch answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A part of an object, such as `scale`.
    Part {
        /// Which object.
        target: Target,
        /// Which part.
        part: &'static str,
    },
    /// What the API answers to a `GET` of this path and query.
    Path(String),
}

/// One step. It names all that it needs.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Makes an object.
    Create {
        /// Of which resource.
        resource: GroupVersionResource,
        /// Where; empty is the cluster.
        namespace: String,
        /// What.
        object: Value,
    },
    /// Replaces an object, or a part of it, at the revision that it names.
    Update {
        /// Of which resource.
        resource: GroupVersionResource,
        /// Which part, such as `status`; none is all but the status.
        part: Option<&'static str>,
        /// What.
        object: Value,
    },
    /// Changes some members of an object.
    Patch {
        /// Which object.
        target: Target,
        /// Which part, such as `status`; none is all but the status.
        part: Option<&'static str>,
        /// Whether the patch knows list keys (strategic) or not (merge).
        strategic: bool,
        /// The patch.
        patch: Value,
    },
    /// Applies a configuration, by force.
    Apply {
        /// Which object.
        target: Target,
        /// In whose name.
        manager: &'static str,
        /// What.
        config: Value,
    },
    /// Ends an object.
    Delete {
        /// Which.
        target: Target,
        /// Only at this revision.
        revision: Option<String>,
        /// What becomes of its dependents.
        propagation: Option<&'static str>,
        /// How long it may take to end, if not as it says itself.
        grace_seconds: Option<i64>,
    },
    /// Ends all objects of a namespace.
    DeleteAll {
        /// Of which resource.
        resource: GroupVersionResource,
        /// Where.
        namespace: String,
        /// What becomes of their dependents.
        propagation: &'static str,
    },
    /// Go on only if the API has this object, and it is not being deleted.
    Present(Target),
    /// Go on only if the API has no such object any more.
    Absent(Target),
    /// Go on only if the API has no object of the resource in the namespace.
    Empty {
        /// Of which resource.
        resource: GroupVersionResource,
        /// Where.
        namespace: String,
    },
    /// Let the approver write its approval into the request, if the requester may have it.
    Approve {
        /// The `CertificateSigningRequest`.
        request: Value,
    },
    /// Let the signer write its certificate into the request's status.
    Sign {
        /// The `CertificateSigningRequest`.
        request: Value,
    },
    /// Tell what happened, for people.
    Event(Event),
    /// Do something, and tell how it went.
    Told {
        /// What.
        action: Box<Action>,
        /// What is told then.
        tale: Tale,
    },
}

/// What is told of an action: a machine's word and a sentence for each end. `{}` in a sentence is the name of
/// what was made or ended, or what went wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Tale {
    /// The object that the events are about.
    pub about: Value,
    /// If all went well.
    pub done: (&'static str, String),
    /// If the API refused.
    pub failed: (&'static str, String),
}

/// One object. With an identity it is that one and no successor of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Of which resource.
    pub resource: GroupVersionResource,
    /// Where; empty is the cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its identity; empty is any.
    pub uid: String,
}

/// A `v1` Event without what only the runtime knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The object that it is about.
    pub about: Value,
    /// Whether something is wrong.
    pub warning: bool,
    /// The machine's word.
    pub reason: &'static str,
    /// The sentence.
    pub message: String,
}

impl Plan {
    /// Nothing is to be done.
    pub fn nothing(why: impl Into<String>) -> Self {
        Self { why: why.into(), ..Self::default() }
    }

    /// These steps.
    pub fn of(why: impl Into<String>, actions: Vec<Action>) -> Self {
        Self { actions, why: why.into(), ..Self::default() }
    }

    /// These questions first.
    pub fn asking(asks: Vec<Ask>) -> Self {
        Self { asks, why: "more must be known".to_owned(), ..Self::default() }
    }

    /// And remember this.
    #[must_use]
    pub fn remembering(mut self, memory: Value) -> Self {
        self.remember = Some(memory);
        self
    }

    /// And look again, at the latest then.
    #[must_use]
    pub fn again_after(mut self, after: Option<Duration>) -> Self {
        self.look_again_after = match (self.look_again_after, after) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self
    }
}

impl Target {
    /// The object that a value is.
    pub fn of(resource: &GroupVersionResource, object: &Value) -> Self {
        use crate::object::{name, namespace, uid};
        Self {
            resource: resource.clone(),
            namespace: namespace(object).to_owned(),
            name: name(object).to_owned(),
            uid: uid(object).to_owned(),
        }
    }
}

impl Action {
    /// Ends this very object in the background.
    pub fn delete(resource: &GroupVersionResource, object: &Value) -> Self {
        Self::Delete {
            target: Target::of(resource, object),
            revision: None,
            propagation: Some("Background"),
            grace_seconds: None,
        }
    }

    /// Makes an object.
    pub fn create(resource: &GroupVersionResource, namespace: &str, object: Value) -> Self {
        Self::Create { resource: resource.clone(), namespace: namespace.to_owned(), object }
    }

    /// Replaces an object.
    pub fn update(resource: &GroupVersionResource, object: Value) -> Self {
        Self::Update { resource: resource.clone(), part: None, object }
    }

    /// Replaces an object's status.
    pub fn update_status(resource: &GroupVersionResource, object: Value) -> Self {
        Self::Update { resource: resource.clone(), part: Some("status"), object }
    }

    /// Changes an object with a patch that knows list keys.
    pub fn patch(resource: &GroupVersionResource, object: &Value, patch: Value) -> Self {
        Self::Patch { target: Target::of(resource, object), part: None, strategic: true, patch }
    }

    /// Changes an object's status with a patch that knows list keys.
    pub fn patch_status(resource: &GroupVersionResource, object: &Value, patch: Value) -> Self {
        Self::Patch { target: Target::of(resource, object), part: Some("status"), strategic: true, patch }
    }

    /// Tells something about an object.
    pub fn event(about: &Value, reason: &'static str, message: impl Into<String>) -> Self {
        Self::Event(Event { about: reference(about), warning: false, reason, message: message.into() })
    }

    /// Tells that something is wrong with an object.
    pub fn warning(about: &Value, reason: &'static str, message: impl Into<String>) -> Self {
        Self::Event(Event { about: reference(about), warning: true, reason, message: message.into() })
    }

    /// The action, and what is told of it.
    #[must_use]
    pub fn told(self, about: &Value, done: (&'static str, String), failed: (&'static str, String)) -> Self {
        Self::Told { action: Box::new(self), tale: Tale { about: reference(about), done, failed } }
    }

    /// The action without what is told of it.
    pub fn bare(&self) -> &Self {
        match self {
            Self::Told { action, .. } => action.bare(),
            other => other,
        }
    }

    /// The verb and the resource, for records.
    pub fn summary(&self) -> String {
        let of = |verb: &str, target: &Target| format!("{verb} {} {}", target.resource.resource, target.name);
        match self {
            Self::Create { resource, .. } => format!("create {}", resource.resource),
            Self::Update { resource, part, object } => {
                let part = part.map(|part| format!("/{part}")).unwrap_or_default();
                format!("update {}{part} {}", resource.resource, crate::object::name(object))
            }
            Self::Patch { target, part, .. } => {
                let part = part.map(|part| format!("/{part}")).unwrap_or_default();
                format!("patch {}{part} {}", target.resource.resource, target.name)
            }
            Self::Apply { target, .. } => of("apply", target),
            Self::Delete { target, .. } => of("delete", target),
            Self::DeleteAll { resource, .. } => format!("delete all {}", resource.resource),
            Self::Present(target) => of("if present", target),
            Self::Absent(target) => of("if absent", target),
            Self::Empty { resource, .. } => format!("if no {}", resource.resource),
            Self::Approve { request } => format!("approve {}", crate::object::name(request)),
            Self::Sign { request } => format!("sign {}", crate::object::name(request)),
            Self::Event(event) => format!("event {}", event.reason),
            Self::Told { action, .. } => action.summary(),
        }
    }
}

impl Tale {
    /// The event of an end: the name of what was done, or what went wrong.
    pub fn event(&self, end: Result<&str, &str>) -> Event {
        let ((reason, text), what, warning) = match end {
            Ok(name) => (&self.done, name, false),
            Err(trouble) => (&self.failed, trouble, true),
        };
        Event { about: self.about.clone(), warning, reason, message: text.replacen("{}", what, 1) }
    }
}

/// `v1` ObjectReference.
fn reference(object: &Value) -> Value {
    use crate::object::text;
    let mut reference = serde_json::Map::new();
    for (member, path) in [
        ("kind", &["kind"][..]),
        ("apiVersion", &["apiVersion"]),
        ("namespace", &["metadata", "namespace"]),
        ("name", &["metadata", "name"]),
        ("uid", &["metadata", "uid"]),
        ("resourceVersion", &["metadata", "resourceVersion"]),
    ] {
        let value = text(object, path);
        if !value.is_empty() {
            reference.insert(member.to_owned(), value.into());
        }
    }
    Value::Object(reference)
}
