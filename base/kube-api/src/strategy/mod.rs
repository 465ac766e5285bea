//! What a write may change, by kind: what it resets, counts and allows.

mod decode;
mod kinds;
mod pod;
mod service;
mod table;

#[cfg(test)]
mod tests;

use kube_object::resource::{GroupKind, GroupVersionKind};
use kube_schema::{Gvk, Schema};
use serde_json::{Value, json};

pub use decode::decode;
pub use kinds::{csr_condition_times, csr_requester};

use crate::value::{is_empty, object_at, put, same, take_over, text};

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

/// Which changes `metadata.generation` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    /// None; the field stays empty.
    None,
    /// None; it is 1.
    One,
    /// Those of `spec`.
    Spec,
    /// Those of `spec` and of annotations.
    SpecAndAnnotations,
    /// Those of everything beside metadata and status.
    Content,
    /// Those of everything beside metadata and status, and of labels.
    ContentAndLabels,
}

/// The behaviour of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Strategy {
    generation: Generation,
    create_on_update: bool,
    unconditional_update: bool,
    /// Whether the status that a creator gives is kept.
    status_on_create: bool,
    garbage: Garbage,
    graceful: bool,
    create: fn(&mut Value),
    update: fn(&mut Value, &Value),
    /// The subresource, the object and the old one; says whether it has done all there is to do.
    subresource: fn(&str, &mut Value, &Value) -> bool,
}

/// The strategy of a kind; of one that is not built in, what custom resources have.
pub fn strategy(kind: &GroupKind) -> &'static Strategy {
    table::strategy(&kind.group, &kind.kind)
}

impl Strategy {
    /// Readies an object to be created: no status of the caller's, generation 1 where it is counted,
    /// and what the kind fills in by itself.
    ///
    /// The name and `metadata.uid` must be set before: jobs select their pods by it.
    pub fn prepare_create(&self, gvk: &GroupVersionKind, object: &mut Value) {
        if !self.status_on_create && has_subresource(gvk, "status") {
            put(object, "status", Value::Null);
        }
        if self.generation != Generation::None {
            set_generation(object, 1);
        }
        (self.create)(object);
    }

    /// Readies an object to replace another: the old one's status, generation counted, and what the
    /// kind keeps by itself.
    pub fn prepare_update(&self, gvk: &GroupVersionKind, new: &mut Value, old: &Value) {
        if has_subresource(gvk, "status") {
            take_over(new, old, "status");
        }
        (self.update)(new, old);
        self.count(new, old);
    }

    /// Readies what is written to `status`: all else but metadata is the old one's.
    pub fn prepare_status(&self, gvk: &GroupVersionKind, new: &mut Value, old: &Value) {
        self.prepare_subresource(gvk, "status", new, old);
    }

    /// Readies what is written to a subresource that speaks the kind itself: `status`, `finalize`,
    /// `approval`, `ephemeralcontainers`, `resize`.
    pub fn prepare_subresource(
        &self,
        _gvk: &GroupVersionKind,
        subresource: &str,
        new: &mut Value,
        old: &Value,
    ) {
        if !(self.subresource)(subresource, new, old) && subresource == "status" {
            keep_all_but_status(new, old);
        }
        if subresource == "status" {
            // Annotations may come with a status; they count only with the object itself.
            Self::keep_generation(new, old, false);
        } else {
            self.count(new, old);
        }
    }

    /// Whether changes of the desired state are counted in `metadata.generation`.
    pub fn counts_generation(&self) -> bool {
        !matches!(self.generation, Generation::None | Generation::One)
    }

    /// Whether an update of what does not exist creates it.
    pub fn allows_create_on_update(&self) -> bool {
        self.create_on_update
    }

    /// Whether an update may leave out the resource version. Who allows it sets the old one's before
    /// the update is validated.
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

    /// Sets the generation to the old one's, or to the next where the desired state has changed.
    fn count(&self, new: &mut Value, old: &Value) {
        let metadata = |name: &str| !same(&new["metadata"][name], &old["metadata"][name]);
        let changed = match self.generation {
            Generation::None | Generation::One => false,
            Generation::Spec => !same(&new["spec"], &old["spec"]),
            Generation::SpecAndAnnotations => !same(&new["spec"], &old["spec"]) || metadata("annotations"),
            Generation::Content => content_differs(new, old),
            Generation::ContentAndLabels => content_differs(new, old) || metadata("labels"),
        };
        Self::keep_generation(new, old, changed);
    }

    /// Sets the generation to the old one's, or to the one after it.
    fn keep_generation(new: &mut Value, old: &Value, changed: bool) {
        match old["metadata"]["generation"].as_i64() {
            Some(number) => set_generation(new, number.saturating_add(i64::from(changed))),
            None if changed => set_generation(new, 1),
            None => {
                if let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) {
                    metadata.remove("generation");
                }
            }
        }
    }
}

/// Members that are not the desired state.
const APART: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

fn content_differs(new: &Value, old: &Value) -> bool {
    let names = [new, old].into_iter().filter_map(Value::as_object).flat_map(|object| object.keys());
    names.filter(|name| !APART.contains(&name.as_str())).any(|name| !same(&new[name], &old[name]))
}

/// Everything but metadata and status becomes the old one's.
fn keep_all_but_status(new: &mut Value, old: &Value) {
    if let Some(members) = new.as_object_mut() {
        members.retain(|name, _| APART.contains(&name.as_str()));
    }
    for (name, value) in old.as_object().into_iter().flatten() {
        if !APART.contains(&name.as_str()) {
            put(new, name, value.clone());
        }
    }
}

/// A member of the metadata becomes the old one's.
fn keep_metadata(new: &mut Value, old: &Value, name: &str) {
    let kept = old["metadata"][name].clone();
    if let Some(metadata) = object_at(new, "metadata") {
        if is_empty(&kept) {
            metadata.remove(name);
        } else {
            metadata.insert(name.to_owned(), kept);
        }
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
