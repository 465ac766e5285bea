//! What the status of a job may say, and what of it may change.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use serde_json::Value;

use super::{indexes, job};
use crate::validation::pod::{same, words};
use crate::validation::{Errors, PathRef};
use crate::value::{is_empty, items, text};

/// Checks the change of a job's status. What was wrong before and did not change is let be.
pub(super) fn check(new: &Value, old: &Value, errors: &mut Errors) {
    let mut found = Errors::new();
    state(new, &mut found);
    if !found.is_empty() {
        let mut before = Errors::new();
        state(old, &mut before);
        found.retain(|fault| !before.contains(fault));
    }
    errors.append(&mut found);
    change(new, old, &PathRef::Root("status"), errors);
}

/// What is wrong with a status, whatever it was before.
fn state(object: &Value, errors: &mut Errors) {
    let path = PathRef::Root("status");
    let status = &object["status"];
    for name in ["active", "succeeded", "failed", "ready", "terminating"] {
        words::nonnegative(&status[name], &path.child(name), errors);
    }
    uncounted(&status["uncountedTerminatedPods"], &path.child("uncountedTerminatedPods"), errors);
    let job = Job::read(object);
    conditions(&job, &path, errors);
    times(&job, &path, errors);
    if job.finished() {
        finished(object, &path, errors);
    }
    index_sets(object, &path, errors);
    if let Some(ready) = status["ready"].as_i64()
        && ready > status["active"].as_i64().unwrap_or(0)
    {
        let why = "cannot set more ready pods than active";
        errors.push(FieldError::invalid(path.child("ready"), ready, why));
    }
}

/// A job and its conditions that hold.
struct Job<'a> {
    status: &'a Value,
    holds: BTreeSet<&'a str>,
    success_policy: bool,
}

impl<'a> Job<'a> {
    fn read(object: &'a Value) -> Self {
        let status = &object["status"];
        let holding = items(&status["conditions"]).iter().filter(|condition| condition["status"] == "True");
        let holds = holding.map(|condition| text(&condition["type"])).collect();
        Self { status, holds, success_policy: !object["spec"]["successPolicy"].is_null() }
    }

    fn is(&self, condition: &str) -> bool {
        self.holds.contains(condition)
    }

    fn finished(&self) -> bool {
        self.is("Complete") || self.is("Failed")
    }
}

fn uncounted(pods: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for name in ["succeeded", "failed"] {
        let list = path.child(name);
        for (at, uid) in items(&pods[name]).iter().map(text).enumerate() {
            if words::enough(errors) {
                return;
            }
            if uid.is_empty() {
                errors.push(FieldError::invalid(list.index(at), uid, "must not be empty"));
            } else if !seen.insert(uid) {
                errors.push(FieldError::duplicate(list.index(at), uid));
            }
        }
    }
}

fn conditions(job: &Job<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    let at = path.child("conditions");
    let mut refuse = |holds: bool, why: &str| {
        if holds {
            errors.push(job::hidden(at, why));
        }
    };
    let (complete, failed) = (job.is("Complete"), job.is("Failed"));
    let (target, met) = (job.is("FailureTarget"), job.is("SuccessCriteriaMet"));
    refuse(complete && failed, "cannot set Complete=True and Failed=true conditions");
    refuse(complete && target, "cannot set Complete=True and FailureTarget=true conditions");
    refuse(failed && !target, "cannot set Failed=True condition without the FailureTarget=true condition");
    refuse(
        complete && !met,
        "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
    );
    refuse(met && failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions");
    refuse(met && target, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    refuse(
        job.success_policy && !met && complete,
        "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
    );
}

fn times(job: &Job<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    let (start, end) = (&job.status["startTime"], &job.status["completionTime"]);
    let at = path.child("completionTime");
    if !end.is_null() && !job.is("Complete") {
        let why = "cannot set completionTime when there is no Complete=True condition";
        errors.push(FieldError::invalid(at, end.clone(), why));
    }
    if end.is_null() && job.is("Complete") {
        errors.push(FieldError::required(at, "completionTime is required for Complete jobs"));
    }
    if let (Some(start), Some(end)) = (start.as_str(), end.as_str())
        && end < start
    {
        errors.push(FieldError::invalid(at, end, "completionTime cannot be set before startTime"));
    }
}

fn finished(object: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let (spec, status) = (&object["spec"], &object["status"]);
    for (name, why) in [
        ("active", "active>0 is invalid for finished job"),
        ("terminating", "terminating>0 is invalid for finished job"),
    ] {
        if status[name].as_i64().is_some_and(|count| count > 0) {
            errors.push(FieldError::invalid(path.child(name), status[name].clone(), why));
        }
    }
    let never_started = spec["suspend"].as_bool() == Some(true) && spec["completions"].as_i64() == Some(0);
    if status["startTime"].is_null() && !never_started {
        errors.push(FieldError::required(path.child("startTime"), "startTime is required for finished job"));
    }
    let uncounted = &status["uncountedTerminatedPods"];
    if !is_empty(&uncounted["failed"]) || !is_empty(&uncounted["succeeded"]) {
        let why = "uncountedTerminatedPods needs to be empty for finished job";
        errors.push(FieldError::invalid(path.child("uncountedTerminatedPods"), uncounted.clone(), why));
    }
}

fn index_sets(object: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let (spec, status) = (&object["spec"], &object["status"]);
    let (completed, failed) = (text(&status["completedIndexes"]), status["failedIndexes"].as_str());
    let per_index = !spec["backoffLimitPerIndex"].is_null();
    let (completed_at, failed_at) = (path.child("completedIndexes"), path.child("failedIndexes"));
    if !completed.is_empty() && spec["completionMode"] != "Indexed" {
        let why = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errors.push(FieldError::invalid(completed_at, completed, why));
    }
    if let Some(failed) = failed.filter(|_| !per_index) {
        let why = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        errors.push(FieldError::invalid(failed_at, failed, why));
    }
    let Some(completions) = spec["completions"].as_i64() else { return };
    let read = indexes::parse(completed, completions);
    if let Err(why) = &read {
        let why = format!("error parsing completedIndexes: {why}");
        errors.push(FieldError::invalid(completed_at, completed, why));
    }
    let Some(failed) = failed else { return };
    match (indexes::parse(failed, completions), read) {
        (Err(why), _) => {
            if per_index {
                let why = format!("error parsing failedIndexes: {why}");
                errors.push(FieldError::invalid(failed_at, failed, why));
            }
        }
        (Ok(left), Ok(right)) => {
            if let Some(index) = indexes::overlap(&left, &right) {
                let why = format!("failedIndexes and completedIndexes overlap at index: {index}");
                errors.push(FieldError::invalid(failed_at, failed, why));
            }
        }
        (Ok(_), Err(_)) => {}
    }
}

fn change(new: &Value, old: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let (after, before) = (Job::read(new), Job::read(old));
    let at = path.child("conditions");
    for condition in ["Failed", "Complete", "FailureTarget"] {
        if before.is(condition) && !after.is(condition) {
            let why = format!("cannot disable the terminal {condition}=True condition");
            errors.push(job::hidden(at, &why));
        }
    }
    let count = |job: &Job<'_>, name: &str| job.status[name].as_i64().unwrap_or(0);
    // Indexed jobs can be scaled down, and then count less.
    let spec = &new["spec"];
    let elastic = spec["completionMode"] == "Indexed" && spec["completions"] == spec["parallelism"];
    for (name, why) in [
        ("failed", "cannot decrease the failed counter"),
        ("succeeded", "cannot decrease the succeeded counter"),
    ] {
        if !(elastic && name == "succeeded") && count(&after, name) < count(&before, name) {
            errors.push(FieldError::invalid(path.child(name), count(&after, name), why));
        }
    }
    let (end, end_before) = (&after.status["completionTime"], &before.status["completionTime"]);
    if !end.is_null() && !end_before.is_null() && end != end_before {
        let why = "completionTime cannot be mutated";
        errors.push(FieldError::invalid(path.child("completionTime"), end.clone(), why));
    }
    let (start, start_before) = (&after.status["startTime"], &before.status["startTime"]);
    let suspended = new["spec"]["suspend"].as_bool() == Some(true);
    if !start_before.is_null() && !same::same(start, start_before) && !suspended {
        let why = "startTime cannot be removed for unsuspended job";
        errors.push(FieldError::required(path.child("startTime"), why));
    }
    if before.is("SuccessCriteriaMet") && !after.is("SuccessCriteriaMet") {
        errors.push(job::hidden(at, "cannot disable the SuccessCriteriaMet=True condition"));
    }
    if before.is("Complete") && !before.is("SuccessCriteriaMet") && after.is("SuccessCriteriaMet") {
        let why = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        errors.push(job::hidden(at, why));
    }
}
