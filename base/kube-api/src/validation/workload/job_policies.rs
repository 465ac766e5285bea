//! When a job has failed or succeeded before all its pods have.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use serde_json::Value;

use super::{indexes, job};
use crate::validation::pod::words;
use crate::validation::{Errors, PathRef};
use crate::value::{items, text};

const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const PATTERNS_MAX: usize = 20;
const INDEXES_LEN_MAX: usize = 64 * 1024;

/// Policies of failure, success and replacement.
pub(super) fn check(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if !spec["podFailurePolicy"].is_null() {
        failure(spec, &path.child("podFailurePolicy"), errors);
    }
    let (success, at) = (&spec["successPolicy"], path.child("successPolicy"));
    if !success.is_null() {
        if spec["completionMode"] == "Indexed" {
            self::success(spec, &at, errors);
        } else {
            errors.push(FieldError::invalid(at, success.clone(), "requires indexed completion mode"));
        }
    }
    let known: &[&str] =
        if spec["podFailurePolicy"].is_null() { &["Failed", "TerminatingOrFailed"] } else { &["Failed"] };
    words::if_set_one_of(&spec["podReplacementPolicy"], known, &path.child("podReplacementPolicy"), errors);
}

fn failure(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let (rules, at) = (items(&spec["podFailurePolicy"]["rules"]), path.child("rules"));
    if rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(at, rules.len(), RULES_MAX));
    }
    let pod = &spec["template"]["spec"];
    let containers: BTreeSet<&str> = items(&pod["containers"])
        .iter()
        .chain(items(&pod["initContainers"]))
        .map(|container| text(&container["name"]))
        .collect();
    for (index, rule) in rules.iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        failure_rule(spec, rule, &containers, &at.index(index), errors);
    }
}

fn failure_rule(
    spec: &Value,
    rule: &Value,
    containers: &BTreeSet<&str>,
    path: &PathRef<'_>,
    errors: &mut Errors,
) {
    let (action, at) = (text(&rule["action"]), path.child("action"));
    if action == "FailIndex" && spec["backoffLimitPerIndex"].is_null() {
        errors.push(FieldError::invalid(at, action, "requires the backoffLimitPerIndex to be set"));
    }
    listed(action, &["Count", "FailIndex", "FailJob", "Ignore"], &at, errors);
    let (codes, patterns) = (&rule["onExitCodes"], items(&rule["onPodConditions"]));
    if !codes.is_null() {
        exit_codes(codes, containers, &path.child("onExitCodes"), errors);
    }
    if !patterns.is_empty() {
        conditions(patterns, &path.child("onPodConditions"), errors);
    }
    match (codes.is_null(), patterns.is_empty()) {
        (false, false) => {
            let why = "specifying both OnExitCodes and OnPodConditions is not supported";
            errors.push(job::hidden(path, why));
        }
        (true, true) => {
            let why = "specifying one of OnExitCodes and OnPodConditions is required";
            errors.push(job::hidden(path, why));
        }
        _ => {}
    }
}

/// One of those known, which are shown where nothing is said.
fn listed(value: &str, known: &[&str], path: &PathRef<'_>, errors: &mut Errors) {
    if value.is_empty() {
        let shown: Vec<String> = known.iter().map(|known| format!("{known:?}")).collect();
        errors.push(FieldError::required(path, format!("valid values: [{}]", shown.join(" "))));
    } else {
        words::known_text(value, known, path, errors);
    }
}

fn exit_codes(codes: &Value, containers: &BTreeSet<&str>, path: &PathRef<'_>, errors: &mut Errors) {
    let operator = text(&codes["operator"]);
    listed(operator, &["In", "NotIn"], &path.child("operator"), errors);
    if let Some(name) = codes["containerName"].as_str().filter(|name| !containers.contains(name)) {
        let why = "must be one of the container or initContainer names in the pod template";
        errors.push(FieldError::invalid(path.child("containerName"), name, why));
    }
    let (values, at) = (items(&codes["values"]), path.child("values"));
    if values.is_empty() {
        errors.push(FieldError::invalid(at, codes["values"].clone(), "at least one value is required"));
    } else if values.len() > EXIT_CODES_MAX {
        errors.push(FieldError::too_many(at, values.len(), EXIT_CODES_MAX));
    }
    let (mut seen, mut before, mut ordered) = (BTreeSet::new(), i64::MIN, true);
    for (index, code) in values.iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let code = code.as_i64().unwrap_or(0);
        if operator == "In" && code == 0 {
            errors.push(FieldError::invalid(at.index(index), code, "must not be 0 for the In operator"));
        }
        if !seen.insert(code) {
            errors.push(FieldError::duplicate(at.index(index), code));
        }
        ordered &= before <= code;
        before = code;
    }
    if !ordered {
        errors.push(FieldError::invalid(at, codes["values"].clone(), "must be ordered"));
    }
}

fn conditions(patterns: &[Value], path: &PathRef<'_>, errors: &mut Errors) {
    if patterns.len() > PATTERNS_MAX {
        errors.push(FieldError::too_many(path, patterns.len(), PATTERNS_MAX));
    }
    for (at, pattern) in patterns.iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = path.index(at);
        words::qualified(text(&pattern["type"]), &at.child("type"), errors);
        listed(text(&pattern["status"]), &["False", "True", "Unknown"], &at.child("status"), errors);
    }
}

fn success(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let (rules, at) = (items(&spec["successPolicy"]["rules"]), path.child("rules"));
    if rules.is_empty() {
        let why = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(at, why));
    }
    if rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(at, rules.len(), RULES_MAX));
    }
    // Without completions an indexed job is refused already; then there are no indexes.
    let completions = spec["completions"].as_i64().unwrap_or(0);
    for (index, rule) in rules.iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        success_rule(rule, completions, &at.index(index), errors);
    }
}

fn success_rule(rule: &Value, completions: i64, path: &PathRef<'_>, errors: &mut Errors) {
    let (count, named) = (&rule["succeededCount"], rule["succeededIndexes"].as_str());
    if count.is_null() && named.is_none() {
        let why = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(FieldError::required(path, why));
    }
    let mut indexes_named = 0;
    if let Some(named) = named {
        let at = path.child("succeededIndexes");
        if named.len() > INDEXES_LEN_MAX {
            errors.push(FieldError::too_long(at, INDEXES_LEN_MAX));
        }
        match indexes::parse(named, completions) {
            Ok(ranges) => indexes_named = indexes::count(&ranges),
            Err(why) => {
                let why = format!("error parsing succeededIndexes: {why}");
                errors.push(FieldError::invalid(at, named, why));
            }
        }
    }
    if let Some(wanted) = count.as_i64() {
        let at = path.child("succeededCount");
        words::nonnegative(count, &at, errors);
        if wanted > completions {
            let why =
                format!("must be less than or equal to {completions} (the number of specified completions)");
            errors.push(FieldError::invalid(at, wanted, why));
        }
        if named.is_some() && wanted > indexes_named {
            let why = format!(
                "must be less than or equal to {indexes_named} (the number of indexes in the specified \
                 succeededIndexes field)"
            );
            errors.push(FieldError::invalid(at, wanted, why));
        }
    }
}
