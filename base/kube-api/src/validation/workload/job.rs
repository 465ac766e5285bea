//! Jobs.

use kube_object::field_error::{FieldError, FieldErrorReason};
use kube_object::label_selector::LabelSelector;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use super::{job_policies, job_status, selection};
use crate::validation::common::subdomain_name;
use crate::validation::pod::{self, same, words};
use crate::validation::{Errors, PathRef, Rules};
use crate::value::{items, text};

/// Rules of Job.
pub(super) const RULES: Rules = Rules {
    name: subdomain_name,
    create,
    update,
    subresource: |_, name, new, old, errors| {
        if name == "status" {
            job_status::check(new, old, errors);
        }
    },
};

const PARALLELISM_INDEXED_MAX: i64 = 100_000;
const FAILED_INDEXES_MAX: i64 = 100_000;
/// Above as many completions, less is allowed of other things.
const COMPLETIONS_HIGH: i64 = 100_000;
const PARALLELISM_HIGH_MAX: i64 = 10_000;
const FAILED_INDEXES_HIGH_MAX: i64 = 10_000;
const MANAGED_BY_LEN_MAX: usize = 63;

fn create(_: &GroupVersionKind, job: &Value, errors: &mut Errors) {
    generated_selector(job, errors);
    let (spec, path) = (&job["spec"], PathRef::Root("spec"));
    with_selector(spec, &path, errors);
    if let (Some("Indexed"), Some(completions @ 1..)) =
        (spec["completionMode"].as_str(), spec["completions"].as_i64())
    {
        let name = text(&job["metadata"]["name"]);
        let last = format!("{name}-{}", completions - 1);
        if !names::dns1123_label(&last).is_empty() {
            let why = format!("will not able to create pod with invalid DNS label: {last}");
            errors.push(FieldError::invalid("metadata.name", name, why));
        }
    }
}

/// The labels that tell a job's pods from others', and the selector for them.
fn generated_selector(job: &Value, errors: &mut Errors) {
    let spec = &job["spec"];
    let selector = &spec["selector"];
    if spec["manualSelector"].as_bool() == Some(true) || selector.is_null() {
        return;
    }
    let (name, uid) = (text(&job["metadata"]["name"]), text(&job["metadata"]["uid"]));
    if uid.is_empty() {
        errors.push(FieldError::required("metadata.uid", ""));
    }
    let expected = [
        ("controller-uid", uid),
        ("job-name", name),
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name),
    ];
    let labels = &spec["template"]["metadata"]["labels"];
    let path = PathRef::Root("spec.template.metadata.labels");
    for (label, value) in expected {
        let why = format!("must be '{value}'");
        match labels[label].as_str() {
            None => errors.push(FieldError::required(path.key(label), why)),
            Some(found) if found != value => {
                errors.push(FieldError::invalid(path.key(label), labels.clone(), why));
            }
            Some(_) => {}
        }
    }
    let pod = expected.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
    if LabelSelector::from_value(selector).is_ok_and(|read| !read.matches(&pod)) {
        errors.push(FieldError::invalid("spec.selector", selector.clone(), "`selector` not auto-generated"));
    }
}

/// The specification of a job on its own.
fn with_selector(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    specification(spec, path, errors);
    let selector = &spec["selector"];
    if selector.is_null() {
        errors.push(FieldError::required(path.child("selector"), ""));
    } else {
        words::selector(selector, &path.child("selector"), errors);
    }
    if let Ok(read) = LabelSelector::from_value(selector) {
        selection::fits(&read, &spec["template"], &path.child("template"), errors);
    }
}

/// What jobs and their templates have in common.
pub(super) fn specification(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    for name in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        words::nonnegative(&spec[name], &path.child(name), errors);
    }
    if !spec["maxFailedIndexes"].is_null() && spec["backoffLimitPerIndex"].is_null() {
        let why = "when maxFailedIndexes is specified";
        errors.push(FieldError::required(path.child("backoffLimitPerIndex"), why));
    }
    if let Some(manager) = spec["managedBy"].as_str() {
        managed_by(manager, &path.child("managedBy"), errors);
    }
    let known = ["Indexed", "NonIndexed"];
    words::if_set_one_of(&spec["completionMode"], &known, &path.child("completionMode"), errors);
    match spec["completionMode"].as_str() {
        Some("Indexed") => indexed(spec, path, errors),
        None | Some("NonIndexed") => {
            for name in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if !spec[name].is_null() {
                    let why = "requires indexed completion mode";
                    errors.push(FieldError::invalid(path.child(name), spec[name].clone(), why));
                }
            }
        }
        Some(_) => {}
    }
    job_policies::check(spec, path, errors);
    let template = path.child("template");
    pod::template(&spec["template"], &template, errors);
    restart_policy(spec, &template, errors);
}

fn restart_policy(spec: &Value, template: &PathRef<'_>, errors: &mut Errors) {
    let at = template.child("spec");
    let at = at.child("restartPolicy");
    match text(&spec["template"]["spec"]["restartPolicy"]) {
        "Always" | "" => errors.push(FieldError::required(at, "valid values: \"OnFailure\", \"Never\"")),
        "Never" => {}
        "OnFailure" if spec["podFailurePolicy"].is_null() => {}
        policy @ "OnFailure" => {
            let why = "only \"Never\" is supported when podFailurePolicy is specified";
            errors.push(FieldError::invalid(at, policy, why));
        }
        other => errors.push(FieldError::not_supported(at, other, &["Never", "OnFailure"])),
    }
}

fn managed_by(manager: &str, path: &PathRef<'_>, errors: &mut Errors) {
    if manager.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    match manager.split_once('/') {
        Some((domain, rest)) if !domain.is_empty() && !rest.is_empty() => {
            words::subdomain(domain, path, errors);
            let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte);
            if !rest.bytes().all(sound) {
                let why = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
                errors.push(FieldError::invalid(path, rest, why));
            }
        }
        _ => {
            let why = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            errors.push(FieldError::invalid(path, manager, why));
        }
    }
    if manager.len() > MANAGED_BY_LEN_MAX {
        errors.push(FieldError::too_long(path, MANAGED_BY_LEN_MAX));
    }
}

fn indexed(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let number = |name: &str| spec[name].as_i64();
    let (completions, parallelism) = (number("completions"), number("parallelism"));
    let failed = number("maxFailedIndexes");
    let mut most = |name: &str, found: Option<i64>, limit: i64, tail: &str| {
        if let Some(found) = found.filter(|found| *found > limit) {
            let why = format!("must be less than or equal to {limit}{tail}");
            errors.push(FieldError::invalid(path.child(name), found, why));
        }
    };
    most("parallelism", parallelism, PARALLELISM_INDEXED_MAX, " when completion mode is Indexed");
    most("maxFailedIndexes", failed, FAILED_INDEXES_MAX, "");
    if completions.is_some_and(|all| all > COMPLETIONS_HIGH) && !spec["backoffLimitPerIndex"].is_null() {
        let tail =
            format!(" when completions are above {COMPLETIONS_HIGH} and used with backoff limit per index");
        most("parallelism", parallelism, PARALLELISM_HIGH_MAX, &tail);
        most("maxFailedIndexes", failed, FAILED_INDEXES_HIGH_MAX, &tail);
        if failed.is_none() {
            let why = format!("must be specified when completions is above {COMPLETIONS_HIGH}");
            errors.push(FieldError::required(path.child("maxFailedIndexes"), why));
        }
    }
    match (completions, failed) {
        (None, _) => {
            let why = "when completion mode is Indexed";
            errors.push(FieldError::required(path.child("completions"), why));
        }
        (Some(all), Some(failed)) if failed > all => {
            let why = "must be less than or equal to completions";
            errors.push(FieldError::invalid(path.child("maxFailedIndexes"), failed, why));
        }
        _ => {}
    }
}

fn update(_: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    let path = PathRef::Root("spec");
    let (after, before) = (&new["spec"], &old["spec"]);
    with_selector(after, &path, errors);
    completions(after, before, &path, errors);
    let mut immutable = |name: &str| {
        if !same::same(&after[name], &before[name]) {
            errors.push(FieldError::invalid(path.child(name), after[name].clone(), "field is immutable"));
        }
    };
    immutable("selector");
    let waiting = before["suspend"].as_bool() == Some(true) && old["status"]["startTime"].is_null();
    if !(waiting && same_but_scheduling(&after["template"], &before["template"])) {
        immutable("template");
    }
    for name in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        immutable(name);
    }
}

/// Completions of indexed jobs may change together with parallelism.
fn completions(new: &Value, old: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let (after, before) = (&new["completions"], &old["completions"]);
    if after == before {
        return;
    }
    let at = path.child("completions");
    if new["completionMode"] != "Indexed" {
        errors.push(FieldError::invalid(at, after.clone(), "field is immutable"));
    } else if !after.is_null() && after != &new["parallelism"] {
        let why = "can only be modified in tandem with spec.parallelism";
        errors.push(FieldError::invalid(at, after.clone(), why));
    }
}

/// Whether a template differs in nothing but where its pods may run and what they ask for.
fn same_but_scheduling(new: &Value, old: &Value) -> bool {
    let (after, before) = (&new["spec"], &old["spec"]);
    let of_spec =
        ["affinity", "nodeSelector", "tolerations", "schedulingGates", "containers", "initContainers"];
    let containers = |name: &str| {
        let (after, before) = (items(&after[name]), items(&before[name]));
        let mut pairs = after.iter().zip(before);
        after.len() == before.len()
            && pairs.all(|(after, before)| same::same_but(after, before, &["resources"]))
    };
    same::same_but(new, old, &["metadata", "spec"])
        && same::same_but(&new["metadata"], &old["metadata"], &["labels", "annotations"])
        && same::same_but(after, before, &of_spec)
        && same::same_but(&after["affinity"], &before["affinity"], &["nodeAffinity"])
        && containers("containers")
        && containers("initContainers")
}

/// A fault whose value is not shown.
pub(super) fn hidden(path: impl Into<String>, why: &str) -> FieldError {
    FieldError {
        reason: FieldErrorReason::Invalid,
        field: path.into(),
        bad_value: None,
        detail: why.to_owned(),
    }
}
