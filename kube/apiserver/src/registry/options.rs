//! Options as they stand in a query or a body.

use std::time::Duration;

use kube_object::field_error::FieldError;
use kube_object::field_selector::FieldSelector;
use kube_object::label_selector::LabelSelector;
use kube_object::resource::GroupKind;
use kube_object::status::Status;
use serde_json::Value;

use super::context::{DeleteOptions, FieldValidation, ListOptions, Propagation, Query, WriteOptions};

pub(super) fn write(query: Query<'_>) -> Result<WriteOptions, Status> {
    let kind = |name: &str| GroupKind::new("meta.k8s.io", name);
    let mut options = WriteOptions::default();
    let mut dry_run = Vec::new();
    for (name, value) in query {
        match name.as_str() {
            "dryRun" => dry_run.push(value.as_str()),
            "fieldManager" => options.field_manager = value.clone(),
            "force" => options.force = flag(value)?,
            "fieldValidation" => options.field_validation = field_validation(value, &kind("CreateOptions"))?,
            _ => {}
        }
    }
    options.dry_run = dry_run_of(&dry_run, &kind("CreateOptions"))?;
    if options.field_manager.len() > MANAGER_LEN_MAX {
        let error = FieldError::too_long("fieldManager", MANAGER_LEN_MAX);
        return Err(Status::invalid(&kind("CreateOptions"), "", &[error]));
    }
    if options.field_manager.chars().any(char::is_control) {
        let error = FieldError::invalid(
            "fieldManager",
            options.field_manager,
            "should only contain printable characters",
        );
        return Err(Status::invalid(&kind("CreateOptions"), "", &[error]));
    }
    Ok(options)
}

pub(super) fn list(query: Query<'_>) -> Result<ListOptions, Status> {
    let mut options = ListOptions { label_selector: LabelSelector::everything(), ..ListOptions::default() };
    for (name, value) in query {
        match name.as_str() {
            "labelSelector" => {
                let parsed = LabelSelector::parse(value);
                options.label_selector = parsed.map_err(|error| unreadable(name, value, &error))?;
            }
            "fieldSelector" => {
                let parsed = FieldSelector::parse(value);
                options.field_selector = parsed.map_err(|error| unreadable(name, value, &error))?;
            }
            "resourceVersion" => options.resource_version = value.clone(),
            "resourceVersionMatch" => options.resource_version_match = value.clone(),
            "continue" => options.continue_token = value.clone(),
            "limit" => options.limit = u64::try_from(number(value)?).unwrap_or(0),
            "timeoutSeconds" => {
                let seconds = u64::try_from(number(value)?).unwrap_or(0);
                options.timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
            }
            "allowWatchBookmarks" => options.allow_bookmarks = flag(value)?,
            "sendInitialEvents" => options.send_initial_events = Some(flag(value)?),
            _ => {}
        }
    }
    Ok(options)
}

pub(super) fn delete(query: Query<'_>, body: Option<&Value>) -> Result<DeleteOptions, Status> {
    let mut options = DeleteOptions::default();
    let kind = GroupKind::new("meta.k8s.io", "DeleteOptions");
    let mut dry_run: Vec<&str> = Vec::new();
    let said = |member: &str| query.iter().find(|(name, _)| name == member).map(|(_, value)| value.as_str());
    one_way(said("propagationPolicy"), said("orphanDependents").is_some(), &kind)?;
    for (name, value) in query {
        match name.as_str() {
            "dryRun" => dry_run.push(value),
            "gracePeriodSeconds" => options.grace_period_seconds = Some(number(value)?),
            "propagationPolicy" => options.propagation = Some(propagation(value, &kind)?),
            "orphanDependents" => options.propagation = Some(orphan(flag(value)?)),
            "ignoreStoreReadErrorWithClusterBreakingPotential" => {
                options.ignore_store_read_error = flag(value)?;
            }
            _ => {}
        }
    }
    let Some(body) = body.filter(|body| !body.is_null()) else {
        options.dry_run = dry_run_of(&dry_run, &kind)?;
        return Ok(options);
    };
    let fields =
        body.as_object().ok_or_else(|| Status::bad_request("couldn't get version/kind; json parse error"))?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let said = |member: &str| fields.get(member).filter(|value| !value.is_null());
    let policy = said("propagationPolicy").and_then(Value::as_str);
    one_way(policy, said("orphanDependents").is_some(), &kind)?;
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        match name.as_str() {
            "dryRun" => dry_run.extend(value.as_array().into_iter().flatten().filter_map(Value::as_str)),
            "gracePeriodSeconds" => options.grace_period_seconds = value.as_i64(),
            "propagationPolicy" => {
                options.propagation = Some(propagation(value.as_str().unwrap_or_default(), &kind)?);
            }
            "orphanDependents" => options.propagation = value.as_bool().map(orphan),
            "preconditions" => {
                options.uid = value.get("uid").and_then(text);
                options.resource_version = value.get("resourceVersion").and_then(text);
            }
            _ => {}
        }
    }
    options.dry_run = dry_run_of(&dry_run, &kind)?;
    Ok(options)
}

/// What becomes of dependents is said in the old way or in the new one.
fn one_way(policy: Option<&str>, old: bool, kind: &GroupKind) -> Result<(), Status> {
    let Some(policy) = policy.filter(|_| old) else { return Ok(()) };
    let words = "orphanDependents and deletionPropagation cannot be both set";
    Err(Status::invalid(kind, "", &[FieldError::invalid("propagationPolicy", policy, words)]))
}

fn orphan(orphan: bool) -> Propagation {
    if orphan { Propagation::Orphan } else { Propagation::Background }
}

fn propagation(value: &str, kind: &GroupKind) -> Result<Propagation, Status> {
    match value {
        "Orphan" => Ok(Propagation::Orphan),
        "Background" => Ok(Propagation::Background),
        "Foreground" => Ok(Propagation::Foreground),
        other => {
            let known = ["Foreground", "Background", "Orphan", "nil"];
            let error = FieldError::not_listed("propagationPolicy", other, &known);
            Err(Status::invalid(kind, "", &[error]))
        }
    }
}

fn field_validation(value: &str, kind: &GroupKind) -> Result<FieldValidation, Status> {
    match value {
        "" | "Warn" => Ok(FieldValidation::Warn),
        "Ignore" => Ok(FieldValidation::Ignore),
        "Strict" => Ok(FieldValidation::Strict),
        other => {
            let error =
                FieldError::not_supported("fieldValidation", other, &["", "Ignore", "Strict", "Warn"]);
            Err(Status::invalid(kind, "", &[error]))
        }
    }
}

fn dry_run_of(values: &[&str], kind: &GroupKind) -> Result<bool, Status> {
    let values: Vec<&str> = values.iter().copied().filter(|value| !value.is_empty()).collect();
    match values.iter().find(|value| **value != "All") {
        None => Ok(!values.is_empty()),
        Some(other) => {
            let error = FieldError::not_supported("dryRun", *other, &["All"]);
            Err(Status::invalid(kind, "", &[error]))
        }
    }
}

fn number(value: &str) -> Result<i64, Status> {
    if value.is_empty() {
        return Ok(0);
    }
    value
        .parse()
        .map_err(|_| Status::bad_request(format!("strconv.ParseInt: parsing {value:?}: invalid syntax")))
}

/// Go's clients write flags in several ways; what is no flag counts as set.
fn flag(value: &str) -> Result<bool, Status> {
    Ok(!matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
}

fn unreadable(name: &str, value: &str, error: &dyn std::error::Error) -> Status {
    Status::bad_request(format!("unable to parse requirement of {name} {value:?}: {error}"))
}

/// Longest name of a field manager.
const MANAGER_LEN_MAX: usize = 128;
