//! What a write may change, by kind: what it resets, counts and allows.

mod decode;

use kube_object::resource::{GroupKind, GroupVersionKind};
use kube_schema::{Gvk, Schema};
use serde_json::{Value, json};

pub use decode::decode;

use crate::value::{object_at, same, take_over, text};

/// What becomes of an object's dependents where the deletion does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// They are deleted with it.
    Delete,
    /// They stay, without their owner.
    Orphan,
    /// The kind has none, and takes part in no collection.
    Unsupported,
}

/// The behaviour of one kind.
#[derive(Debug)]
pub struct Strategy {
    /// Whether changes of the desired state are counted in `metadata.generation`.
    generation: bool,
    create_on_update: bool,
    unconditional_update: bool,
    graceful: bool,
    garbage: Garbage,
}

const PLAIN: Strategy = Strategy {
    generation: false,
    create_on_update: false,
    unconditional_update: true,
    graceful: false,
    garbage: Garbage::Delete,
};

/// The strategy of a kind.
pub fn strategy(_kind: &GroupKind) -> &'static Strategy {
    &PLAIN
}

impl Strategy {
    /// Readies an object to be created: no status of the caller's, generation 1 where it is counted.
    pub fn prepare_create(&self, gvk: &GroupVersionKind, object: &mut Value) {
        if has_subresource(gvk, "status") {
            take_over(object, &Value::Null, "status");
        }
        if self.generation {
            set_generation(object, 1);
        }
    }

    /// Readies an object to replace another: the old one's status, generation counted.
    pub fn prepare_update(&self, gvk: &GroupVersionKind, new: &mut Value, old: &Value) {
        if has_subresource(gvk, "status") {
            take_over(new, old, "status");
        }
        if self.generation {
            let before = old["metadata"]["generation"].as_i64().unwrap_or(0);
            let changed = !same(&new["spec"], &old["spec"]);
            set_generation(new, before.saturating_add(i64::from(changed)));
        }
    }

    /// Readies what is written to `status`: all else is the old one's.
    pub fn prepare_status(&self, gvk: &GroupVersionKind, new: &mut Value, old: &Value) {
        self.prepare_subresource(gvk, "status", new, old);
    }

    /// Readies what is written to a subresource that speaks the kind itself: `status`, `finalize`,
    /// `approval`, `ephemeralcontainers`, `resize`.
    pub fn prepare_subresource(
        &self,
        _gvk: &GroupVersionKind,
        _subresource: &str,
        new: &mut Value,
        old: &Value,
    ) {
        take_over(new, old, "spec");
    }

    /// Whether changes of the desired state are counted in `metadata.generation`.
    pub fn counts_generation(&self) -> bool {
        self.generation
    }

    /// Whether an update of what does not exist creates it.
    pub fn allows_create_on_update(&self) -> bool {
        self.create_on_update
    }

    /// Whether an update may leave out the resource version.
    pub fn allows_unconditional_update(&self) -> bool {
        self.unconditional_update
    }

    /// The seconds that the object gets to end, if its kind ends gracefully: pods do.
    /// `options` are the `DeleteOptions`.
    pub fn graceful_deletion(&self, object: &Value, options: &Value) -> Option<i64> {
        if !self.graceful {
            return None;
        }
        let asked = options["gracePeriodSeconds"].as_i64();
        let own = object["spec"]["terminationGracePeriodSeconds"].as_i64();
        let ended = matches!(text(&object["status"]["phase"]), "Failed" | "Succeeded");
        if ended || text(&object["spec"]["nodeName"]).is_empty() {
            return Some(0);
        }
        let seconds = asked.or(own).unwrap_or(0);
        Some(if seconds < 0 { 1 } else { seconds })
    }

    /// What becomes of dependents where the deletion does not say.
    pub fn default_garbage_collection(&self) -> Garbage {
        self.garbage
    }
}

fn set_generation(object: &mut Value, generation: i64) {
    if let Some(metadata) = object_at(object, "metadata") {
        metadata.insert("generation".to_owned(), json!(generation));
    }
}

fn has_subresource(gvk: &GroupVersionKind, name: &str) -> bool {
    let key = Gvk { group: &gvk.group, version: &gvk.version, kind: &gvk.kind };
    Schema::builtin().kind(key).is_some_and(|kind| kind.subresource(name).is_some())
}
