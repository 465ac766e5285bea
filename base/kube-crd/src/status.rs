//! The status of definitions: which names are accepted, whether the resource is
//! established, and how its objects go before it does. Pure; the loop is the server's.

use std::collections::BTreeSet;

use kube_object::time::Time;
use serde_json::{Map, Value, json};

use crate::check::approval::{self, Approval};
use crate::check::structural_errors;
use crate::definition::{text, texts};

/// The finalizer that keeps a definition until its objects are gone.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Why no objects are made of a definition that is being deleted.
pub const CREATE_REFUSED: &str = "create not allowed while custom resource definition is terminating";

/// The status that a definition ought to have.
#[derive(Clone, Debug, PartialEq)]
pub struct CrdStatus {
    /// The whole `status`.
    pub status: Value,
    /// Whether it differs from what the definition has.
    pub changed: bool,
    /// Whether the resource is to be served.
    pub established: bool,
    /// Whether its names are its own.
    pub names_accepted: bool,
}

/// Computes a definition's status. `others` are all definitions, also of other
/// groups; the definition itself among them does no harm.
///
/// A resource whose names are accepted is established at once: this server serves
/// it before it writes the status.
pub fn status_plan(crd: &Value, others: &[Value], now: Time) -> CrdStatus {
    let before = crd.get("status").cloned().unwrap_or_default();
    let mut status = before.as_object().cloned().unwrap_or_default();
    let (accepted, names) = accept_names(crd, others);
    status.insert("acceptedNames".to_owned(), accepted);
    let names_accepted = names.is("True");
    set_condition(&mut status, &names, now);
    let was_established = is_true(&before, "Established");
    let established = was_established || names_accepted;
    if !was_established {
        let condition = match names_accepted {
            true => Condition::new(
                "Established",
                "True",
                "InitialNamesAccepted",
                "the initial names have been accepted",
            ),
            false => Condition::new("Established", "False", "NotAccepted", "not all names are accepted"),
        };
        set_condition(&mut status, &condition, now);
    }
    match non_structural(crd) {
        Some(condition) => set_condition(&mut status, &condition, now),
        None => remove_condition(&mut status, "NonStructuralSchema"),
    }
    if let Some(condition) = approval_condition(crd) {
        set_condition(&mut status, &condition, now);
    }
    let status = Value::Object(status);
    CrdStatus { changed: status != before, established, names_accepted, status }
}

/// Marks a definition as being deleted: its objects go first. Nothing happens to one
/// that is marked already; gives whether it was marked now.
pub fn mark_deleted(crd: &mut Value, now: Time) -> bool {
    let Some(metadata) = crd.get_mut("metadata").and_then(Value::as_object_mut) else { return false };
    if metadata.get("deletionTimestamp").is_some_and(|at| !at.is_null()) {
        return false;
    }
    metadata.insert("deletionTimestamp".to_owned(), json!(now.to_string()));
    let finalizers = metadata.entry("finalizers").or_insert_with(|| json!([]));
    if !finalizers.is_array() {
        *finalizers = json!([]);
    }
    if let Some(all) = finalizers.as_array_mut().filter(|all| !all.contains(&json!(CLEANUP_FINALIZER))) {
        all.push(json!(CLEANUP_FINALIZER));
    }
    let mut status = crd.get("status").and_then(Value::as_object).cloned().unwrap_or_default();
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    set_condition(
        &mut status,
        &Condition::new("Terminating", "True", "InstanceDeletionPending", message),
        now,
    );
    if let Some(fields) = crd.as_object_mut() {
        fields.insert("status".to_owned(), Value::Object(status));
    }
    true
}

/// What is to be done for a definition that is deleted.
#[derive(Clone, Debug, PartialEq)]
pub enum Cleanup {
    /// It is not deleted, or it has no objects to care for.
    Nothing,
    /// The status says first that its objects are being deleted.
    Announce {
        /// The whole new `status`.
        status: Value,
    },
    /// Its objects are deleted; those that are there keep it.
    DeleteObjects,
    /// Its last word, and the finalizer goes.
    Finish {
        /// The whole new `status`.
        status: Value,
        /// The finalizers that stay.
        finalizers: Vec<String>,
    },
}

/// What comes next for a definition that may be deleted. `remaining` is the number of
/// its objects, if it is known.
pub fn cleanup_plan(crd: &Value, remaining: Option<u64>, now: Time) -> Cleanup {
    let metadata = crd.get("metadata");
    let deleting = metadata.and_then(|meta| meta.get("deletionTimestamp")).is_some_and(|at| !at.is_null());
    let finalizers = metadata.map(|meta| texts(meta, "finalizers")).unwrap_or_default();
    if !deleting || !finalizers.iter().any(|one| one == CLEANUP_FINALIZER) {
        return Cleanup::Nothing;
    }
    let before = crd.get("status").cloned().unwrap_or_default();
    let with = |condition: &Condition| {
        let mut status = before.as_object().cloned().unwrap_or_default();
        set_condition(&mut status, condition, now);
        Value::Object(status)
    };
    let finish = |reason, message| Cleanup::Finish {
        status: with(&Condition::new("Terminating", "False", reason, message)),
        finalizers: finalizers.iter().filter(|one| *one != CLEANUP_FINALIZER).cloned().collect(),
    };
    if !is_true(&before, "Established") {
        return finish("NeverEstablished", "resource was never established");
    }
    if !matches!(reason_of(&before, "Terminating"), "InstanceDeletionInProgress" | "InstanceDeletionFailed") {
        let message = "CustomResource deletion is in progress";
        let condition = Condition::new("Terminating", "True", "InstanceDeletionInProgress", message);
        return Cleanup::Announce { status: with(&condition) };
    }
    match remaining {
        Some(0) => finish("InstanceDeletionCompleted", "removed all instances"),
        _ => Cleanup::DeleteObjects,
    }
}

/// The definition's status with the word that its objects could not be deleted.
pub fn cleanup_failed(crd: &Value, error: &str, now: Time) -> Value {
    let mut status = crd.get("status").and_then(Value::as_object).cloned().unwrap_or_default();
    let message = format!("could not issue all deletes: {error}");
    set_condition(
        &mut status,
        &Condition::new("Terminating", "True", "InstanceDeletionFailed", &message),
        now,
    );
    Value::Object(status)
}

/// Whether a condition of a definition's status is true.
pub fn is_condition_true(crd: &Value, kind: &str) -> bool {
    crd.get("status").is_some_and(|status| is_true(status, kind))
}

fn accept_names(crd: &Value, others: &[Value]) -> (Value, Condition) {
    let names = crd.pointer("/spec/names").cloned().unwrap_or_default();
    let mut accepted =
        crd.pointer("/status/acceptedNames").and_then(Value::as_object).cloned().unwrap_or_default();
    let (resources, kinds) = taken(crd, others);
    let mut condition = Condition::new("NamesAccepted", "True", "NoConflicts", "no conflicts found");
    let mut conflict = |reason: &str, message: String| {
        condition = Condition::new("NamesAccepted", "False", reason, &message);
    };
    let in_use = |name: &str| format!("{name:?} is already in use");
    let fields = [
        ("plural", "PluralConflict", &resources),
        ("singular", "SingularConflict", &resources),
        ("shortNames", "ShortNamesConflict", &resources),
        ("kind", "KindConflict", &kinds),
        ("listKind", "ListKindConflict", &kinds),
    ];
    for (field, reason, used) in fields {
        if field == "shortNames" {
            let mine = accepted.get(field).cloned().unwrap_or_default();
            let mine: Vec<&str> = mine.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let wanted = texts(&names, field);
            let clashes = wanted.iter().filter(|name| !mine.contains(&name.as_str()) && used.contains(*name));
            let clashes: Vec<String> = clashes.map(|name| in_use(name)).collect();
            match clashes.as_slice() {
                [] => put(&mut accepted, field, (!wanted.is_empty()).then(|| json!(wanted))),
                [one] => conflict(reason, one.clone()),
                many => conflict(reason, format!("[{}]", many.join(", "))),
            }
            continue;
        }
        let wanted = text(&names, field).unwrap_or_default();
        let mine = accepted.get(field).and_then(Value::as_str).unwrap_or_default();
        if wanted != mine && used.contains(&wanted) {
            conflict(reason, in_use(&wanted));
        } else {
            put(&mut accepted, field, Some(json!(wanted)));
        }
    }
    put(&mut accepted, "categories", names.get("categories").filter(|all| !all.is_null()).cloned());
    (Value::Object(accepted), condition)
}

/// Names and kinds that definitions of the same group have been given.
fn taken(crd: &Value, others: &[Value]) -> (BTreeSet<String>, BTreeSet<String>) {
    let group = crd.pointer("/spec/group");
    let name = crd.pointer("/metadata/name");
    let (mut resources, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for other in others {
        if other.pointer("/spec/group") != group || other.pointer("/metadata/name") == name {
            continue;
        }
        let Some(names) = other.pointer("/status/acceptedNames") else { continue };
        resources.extend([text(names, "plural"), text(names, "singular")].into_iter().flatten());
        resources.extend(texts(names, "shortNames"));
        kinds.extend([text(names, "kind"), text(names, "listKind")].into_iter().flatten());
    }
    (resources, kinds)
}

fn non_structural(crd: &Value) -> Option<Condition> {
    let errors = structural_errors(crd);
    if errors.is_empty() {
        return None;
    }
    let texts: BTreeSet<String> = errors.iter().map(ToString::to_string).collect();
    let texts: Vec<String> = texts.into_iter().collect();
    let message = if texts.len() == 1 { texts.concat() } else { format!("[{}]", texts.join(", ")) };
    Some(Condition::new("NonStructuralSchema", "True", "Violations", &message))
}

fn approval_condition(crd: &Value) -> Option<Condition> {
    let (approval, message) = approval::of(crd)?;
    let (status, reason) = match approval {
        Approval::Approved => ("True", "ApprovedAnnotation"),
        Approval::Bypassed => ("False", "UnapprovedAnnotation"),
        Approval::Missing => ("False", "MissingAnnotation"),
        Approval::Invalid => ("False", "InvalidAnnotation"),
    };
    Some(Condition::new("KubernetesAPIApprovalPolicyConformant", status, reason, &message))
}

struct Condition {
    kind: &'static str,
    status: &'static str,
    reason: String,
    message: String,
}

impl Condition {
    fn new(kind: &'static str, status: &'static str, reason: &str, message: &str) -> Self {
        Self { kind, status, reason: reason.to_owned(), message: message.to_owned() }
    }

    fn is(&self, status: &str) -> bool {
        self.status == status
    }
}

/// Sets a condition; its time moves only with its status.
fn set_condition(status: &mut Map<String, Value>, condition: &Condition, now: Time) {
    let all = status.entry("conditions").or_insert_with(|| Value::Array(Vec::new()));
    if !all.is_array() {
        *all = Value::Array(Vec::new());
    }
    let Some(all) = all.as_array_mut() else { return };
    let mut new = json!({
        "type": condition.kind, "status": condition.status, "reason": condition.reason,
        "message": condition.message, "lastTransitionTime": now.to_string(),
    });
    let Some(old) = all.iter_mut().find(|one| one.get("type") == new.get("type")) else {
        all.push(new);
        return;
    };
    let since = old.get("lastTransitionTime").filter(|at| at.is_string()).cloned();
    if old.get("status") == new.get("status")
        && let (Some(since), Some(fields)) = (since, new.as_object_mut())
    {
        fields.insert("lastTransitionTime".to_owned(), since);
    }
    // What else the condition says, such as an observed generation, stays.
    if let (Some(old), Value::Object(new)) = (old.as_object_mut(), new) {
        old.extend(new);
    }
}

fn remove_condition(status: &mut Map<String, Value>, kind: &str) {
    if let Some(all) = status.get_mut("conditions").and_then(Value::as_array_mut) {
        all.retain(|one| one.get("type").and_then(Value::as_str) != Some(kind));
    }
}

fn is_true(status: &Value, kind: &str) -> bool {
    let all = status.get("conditions").and_then(Value::as_array).into_iter().flatten();
    all.filter(|one| one.get("type").and_then(Value::as_str) == Some(kind))
        .any(|one| one.get("status").and_then(Value::as_str) == Some("True"))
}

fn reason_of<'a>(status: &'a Value, kind: &str) -> &'a str {
    let all = status.get("conditions").and_then(Value::as_array).into_iter().flatten();
    let mut found = all.filter(|one| one.get("type").and_then(Value::as_str) == Some(kind));
    found.next().and_then(|one| one.get("reason")?.as_str()).unwrap_or_default()
}

fn put(object: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(object.insert(name.to_owned(), value)),
        None => drop(object.remove(name)),
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "tables of data read better without borrows")]
mod tests {
    use super::*;

    fn now() -> Time {
        Time::parse("2026-01-02T03:04:05Z").unwrap()
    }

    fn crd(name: &str, names: Value) -> Value {
        json!({"metadata": {"name": format!("{name}.example.com")},
            "spec": {"group": "example.com", "names": names, "versions": []}})
    }

    fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
        let all = status["conditions"].as_array().unwrap();
        all.iter().find(|one| one["type"] == kind).unwrap()
    }

    #[test]
    fn fresh_names_are_accepted_and_established() {
        let names = json!({"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList", "shortNames": ["f"],
            "categories": ["all"]});
        let crd = crd("foos", names.clone());
        let plan = status_plan(&crd, std::slice::from_ref(&crd), now());
        assert!(plan.changed && plan.established && plan.names_accepted);
        assert_eq!(plan.status["acceptedNames"], names);
        assert_eq!(
            condition(&plan.status, "Established"),
            &json!({"type": "Established", "status": "True", "reason": "InitialNamesAccepted",
                "message": "the initial names have been accepted", "lastTransitionTime": "2026-01-02T03:04:05Z"})
        );
        assert_eq!(condition(&plan.status, "NamesAccepted")["reason"], "NoConflicts");
        let mut again = crd;
        again["status"] = plan.status;
        let later = Time::parse("2027-01-01T00:00:00Z").unwrap();
        assert!(!status_plan(&again, &[], later).changed);
    }

    #[test]
    fn taken_names_are_conflicts() {
        let mut other = crd("bars", json!({}));
        other["status"] = json!({"acceptedNames": {"plural": "bars", "singular": "bar", "kind": "Foo", "listKind": "BarList",
            "shortNames": ["f"]}});
        let names = json!({"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList", "shortNames": ["f", "g"]});
        let plan = status_plan(&crd("foos", names), &[other], now());
        assert!(!plan.established && !plan.names_accepted);
        let accepted = condition(&plan.status, "NamesAccepted");
        assert_eq!(
            (&accepted["reason"], &accepted["message"]),
            (&json!("KindConflict"), &json!("\"Foo\" is already in use"))
        );
        assert_eq!(
            plan.status["acceptedNames"],
            json!({"plural": "foos", "singular": "foo", "listKind": "FooList"})
        );
        assert_eq!(condition(&plan.status, "Established")["reason"], "NotAccepted");
    }

    #[test]
    fn cleans_up_before_it_goes() {
        let mut crd = crd("foos", json!({}));
        assert_eq!(cleanup_plan(&crd, None, now()), Cleanup::Nothing);
        crd["metadata"]["finalizers"] = json!(["x/y"]);
        assert!(mark_deleted(&mut crd, now()) && !mark_deleted(&mut crd, now()));
        assert_eq!(crd["metadata"]["finalizers"], json!(["x/y", CLEANUP_FINALIZER]));
        assert_eq!(condition(&crd["status"], "Terminating")["reason"], "InstanceDeletionPending");
        let Cleanup::Finish { status, finalizers } = cleanup_plan(&crd, None, now()) else { panic!() };
        assert_eq!(condition(&status, "Terminating")["reason"], "NeverEstablished");
        assert_eq!(finalizers, ["x/y"]);
        crd["status"] = json!({"conditions": [{"type": "Established", "status": "True"}]});
        let Cleanup::Announce { status } = cleanup_plan(&crd, Some(0), now()) else { panic!() };
        crd["status"] = status;
        assert_eq!(cleanup_plan(&crd, None, now()), Cleanup::DeleteObjects);
        assert_eq!(cleanup_plan(&crd, Some(3), now()), Cleanup::DeleteObjects);
        let Cleanup::Finish { status, .. } = cleanup_plan(&crd, Some(0), now()) else { panic!() };
        assert_eq!(condition(&status, "Terminating")["message"], "removed all instances");
        crd["status"] = cleanup_failed(&crd, "boom", now());
        assert_eq!(condition(&crd["status"], "Terminating")["reason"], "InstanceDeletionFailed");
    }
}
