//! Jobs and cron jobs.

use serde_json::Value;

use super::fill::{at, below, blank, each, is_unset, made, text, unset};
use super::{pod, workload};

/// How often a job's pods may fail.
const BACKOFF_LIMIT: i64 = 6;

/// The kind Job.
pub(super) fn job(object: &mut Value) {
    let Some(spec) = below(object, "spec") else { return };
    template_and_policy(spec);
    if is_unset(spec, "completions") && is_unset(spec, "parallelism") {
        unset(spec, "completions", 1);
    }
    unset(spec, "parallelism", 1);
    let limit = if is_unset(spec, "backoffLimitPerIndex") { BACKOFF_LIMIT } else { i64::from(i32::MAX) };
    unset(spec, "backoffLimit", limit);
    unset(spec, "completionMode", "NonIndexed");
    unset(spec, "suspend", false);
    let replace = if is_unset(spec, "podFailurePolicy") { "TerminatingOrFailed" } else { "Failed" };
    unset(spec, "podReplacementPolicy", replace);
    unset(spec, "manualSelector", false);
    if let Some(labels) = workload::template_labels(spec) {
        workload::own_labels(object, labels);
    }
}

/// The kind CronJob.
pub(super) fn cron_job(object: &mut Value) {
    let Some(spec) = below(object, "spec") else { return };
    blank(spec, "concurrencyPolicy", "Allow");
    unset(spec, "suspend", false);
    unset(spec, "successfulJobsHistoryLimit", 3);
    unset(spec, "failedJobsHistoryLimit", 1);
    if let Some(job) = at(spec, &["jobTemplate", "spec"]) {
        template_and_policy(job);
    }
}

fn template_and_policy(spec: &mut Value) {
    pod::template(spec);
    if let Some(policy) = below(spec, "podFailurePolicy") {
        for rule in each(policy, "rules") {
            each(rule, "onPodConditions").for_each(|pattern| blank(pattern, "status", "True"));
        }
    }
}

/// Labels that name a job on its pods, the older spelling first; then those that carry its UID.
const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];
const UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];

/// Gives a new job its selector and its template the labels for it, unless its author manages
/// them. What the author said stays: validation tells if it does not fit. Name and UID must be set.
pub(crate) fn generate_job_selector(job: &mut Value) {
    let (name, uid) = match job.get("metadata") {
        Some(metadata) => (text(metadata, "name").to_owned(), text(metadata, "uid").to_owned()),
        None => return,
    };
    let Some(spec) = below(job, "spec") else { return };
    if spec.get("manualSelector").and_then(Value::as_bool) == Some(true) {
        return;
    }
    let labels = made(spec, "template")
        .and_then(|template| made(template, "metadata"))
        .and_then(|metadata| made(metadata, "labels"));
    if let Some(labels) = labels {
        NAME_LABELS.into_iter().for_each(|label| unset(labels, label, name.as_str()));
        UID_LABELS.into_iter().for_each(|label| unset(labels, label, uid.as_str()));
    }
    let chosen = made(spec, "selector").and_then(|selector| made(selector, "matchLabels"));
    if let Some(chosen) = chosen {
        unset(chosen, UID_LABELS[1], uid.as_str());
    }
}
