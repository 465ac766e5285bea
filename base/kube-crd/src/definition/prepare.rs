//! What the server sets itself when custom resources and definitions are written.

use kube_object::names;
use serde_json::{Map, Value, json};

use super::{Version, texts};

impl Version {
    /// Before an object is created: no status where that is a subresource, first generation.
    pub fn prepare_create(&self, object: &mut Value) {
        if self.status
            && let Some(fields) = object.as_object_mut()
        {
            fields.remove("status");
        }
        set_generation(object, 1);
    }

    /// Before an object is updated: status stays where that is a subresource, and any
    /// change outside of metadata is a new generation.
    pub fn prepare_update(&self, new: &mut Value, old: &Value) {
        if self.status {
            take_over(new, old, "status");
        }
        let changed = differs(new, old, |name| name != "metadata");
        set_generation(new, generation(old) + i64::from(changed));
    }

    /// Before an object's status is updated: everything but status and the managed
    /// fields stays.
    pub fn prepare_status(&self, new: &mut Value, old: &Value) {
        let status = new.get("status").cloned();
        let managed = new.get("metadata").and_then(|meta| meta.get("managedFields")).cloned();
        *new = old.clone();
        put(new, "status", status);
        if let Some(metadata) = new.get_mut("metadata") {
            put(metadata, "managedFields", managed);
        }
    }
}

/// Warnings about finalizers of custom resources that `old` does not have.
pub fn finalizer_warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let of =
        |object: &Value| object.get("metadata").map(|meta| texts(meta, "finalizers")).unwrap_or_default();
    let before = old.map(of).unwrap_or_default();
    let mut added: Vec<String> = of(new).into_iter().filter(|one| !before.contains(one)).collect();
    added.sort();
    added.dedup();
    let mut found = Vec::new();
    for name in &added {
        let mut say = |words: &str| found.push(format!("metadata.finalizers: {name:?}: {words}"));
        names::qualified_name(name).iter().for_each(|wrong| say(wrong));
        if name.contains('/') || matches!(name.as_str(), "orphan" | "foregroundDeletion" | "kubernetes") {
            continue;
        }
        let path = if name.contains('.') { " including a path (/)" } else { "" };
        say(&format!(
            "prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
        ));
    }
    found
}

/// Before a definition is created: a status with only the stored version, first generation.
pub fn crd_create(crd: &mut Value) {
    let storage = storage_version(crd);
    put(crd, "status", Some(json!({"storedVersions": storage.into_iter().collect::<Vec<_>>()})));
    set_generation(crd, 1);
}

/// Before a definition is updated: its status stays, with the storage version among
/// the stored ones; a change of the spec is a new generation.
pub fn crd_update(new: &mut Value, old: &Value) {
    take_over(new, old, "status");
    let changed = new.get("spec") != old.get("spec");
    set_generation(new, generation(old) + i64::from(changed));
    let Some(storage) = storage_version(new) else { return };
    let mut stored = new.get("status").map(|status| texts(status, "storedVersions")).unwrap_or_default();
    if !stored.contains(&storage) {
        stored.push(storage);
        if let Some(fields) = new.as_object_mut() {
            let status = fields.entry("status").or_insert_with(|| Value::Object(Map::new()));
            put(status, "storedVersions", Some(json!(stored)));
        }
    }
}

/// Before a definition's status is updated: its spec stays.
pub fn crd_status(new: &mut Value, old: &Value) {
    take_over(new, old, "spec");
    set_generation(new, generation(old));
}

fn storage_version(crd: &Value) -> Option<String> {
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
    let mut storage =
        versions.filter(|version| version.get("storage").and_then(Value::as_bool) == Some(true));
    storage.next()?.get("name")?.as_str().map(str::to_owned)
}

fn differs(new: &Value, old: &Value, counts: impl Fn(&str) -> bool) -> bool {
    let (Some(new), Some(old)) = (new.as_object(), old.as_object()) else { return new != old };
    let mut names = new.keys().chain(old.keys().filter(|name| !new.contains_key(*name)));
    names.any(|name| counts(name) && new.get(name) != old.get(name))
}

fn generation(object: &Value) -> i64 {
    object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default()
}

fn set_generation(object: &mut Value, generation: i64) {
    if let Some(metadata) = object.get_mut("metadata")
        && generation != 0
    {
        put(metadata, "generation", Some(json!(generation)));
    }
}

fn take_over(new: &mut Value, old: &Value, name: &str) {
    put(new, name, old.get(name).cloned());
}

fn put(object: &mut Value, name: &str, value: Option<Value>) {
    if let Some(fields) = object.as_object_mut() {
        match value {
            Some(value) => drop(fields.insert(name.to_owned(), value)),
            None => drop(fields.remove(name)),
        }
    }
}
