//! `LimitRanger`: what containers may ask for in a namespace, and what they get if they
//! don't say.

use std::fmt::Display;

use base::Quantity;
use kube_api::quota::{ResourceList, pod_limits, pod_requests};
use kube_object::resource::GroupResource;
use kube_object::status::Status;
use serde_json::Value;

use crate::notes::{Notes, Outcome};
use crate::plugin::{Plugin, Scene};
use crate::read::{at, items, list_mut, object_mut, set, text};
use crate::request::{Operation, Request};

const NAME: &str = "LimitRanger";
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

pub(crate) struct LimitRanger;

impl Plugin for LimitRanger {
    fn name(&self) -> &'static str {
        NAME
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn mutate(&self, request: &mut Request, scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        if !concerns(request) || !request.is_below("", "pods") {
            return Ok(());
        }
        let ranges = scene.cluster().list(&GroupResource::new("", "limitranges"), Some(&request.namespace));
        let Some(pod) = &mut request.object else { return Ok(()) };
        for range in ranges {
            set_defaults(pod, &range);
        }
        Ok(())
    }

    fn validate(&self, request: &Request, scene: &Scene<'_>, notes: &mut Notes) -> Result<(), Status> {
        let Some(object) = request.object.as_ref().filter(|_| concerns(request)) else { return Ok(()) };
        let ranges = scene.cluster().list(&GroupResource::new("", "limitranges"), Some(&request.namespace));
        for range in ranges {
            let mut errors = Vec::new();
            for limit in items(&range, &["spec", "limits"]) {
                if request.is_below("", "pods") {
                    check_pod(limit, object, &mut errors);
                } else if text(limit, &["type"]) == "PersistentVolumeClaim" {
                    check_claim(limit, object, &mut errors);
                }
            }
            errors.dedup();
            let why = match errors.as_slice() {
                [] => continue,
                [error] => error.clone(),
                errors => format!("[{}]", errors.join(", ")),
            };
            let name = text(&range, &["metadata", "name"]);
            notes.decide(NAME, Outcome::Refused, format!("{}/{name}", request.namespace), why.clone());
            return Err(request.forbidden(why));
        }
        Ok(())
    }
}

/// Pods when they are created or resized, claims always; nothing that is going.
fn concerns(request: &Request) -> bool {
    let going =
        request.object.as_ref().is_some_and(|o| at(o, &["metadata", "deletionTimestamp"]).is_string());
    let resize = request.is_sub("", "pods", "resize") && request.operation == Operation::Update;
    let pod = request.is_for("", "pods") && request.operation == Operation::Create;
    !going && (resize || pod || request.is_for("", "persistentvolumeclaims"))
}

/// Gives containers what a limit range has for those that don't say.
fn set_defaults(pod: &mut Value, range: &Value) {
    let own = |(name, amount): (&String, &Quantity)| (name.clone(), *amount);
    let (mut requests, mut limits) = (ResourceList::default(), ResourceList::default());
    for limit in items(range, &["spec", "limits"]).iter().filter(|l| text(l, &["type"]) == "Container") {
        requests.extend(ResourceList::from_value(limit.get("defaultRequest")).iter().map(own));
        limits.extend(ResourceList::from_value(limit.get("default")).iter().map(own));
    }
    let mut told = Vec::new();
    for (kind, words) in [("containers", "container"), ("initContainers", "init container")] {
        if items(pod, &["spec", kind]).is_empty() {
            continue;
        }
        for container in list_mut(pod, &["spec"], kind).into_iter().flatten() {
            let set_limits = fill(container, "limits", &limits);
            let set_requests = fill(container, "requests", &requests);
            let name = text(container, &["name"]);
            for (names, side) in [(set_requests, "request"), (set_limits, "limit")] {
                if !names.is_empty() {
                    told.push(format!("{} {side} for {words} {name}", names.join(", ")));
                }
            }
        }
    }
    if !told.is_empty() {
        let text = format!("LimitRanger plugin set: {}", told.join("; "));
        set(pod, &["metadata", "annotations"], ANNOTATION, text);
    }
}

/// Adds what is missing on one side of a container's resources, and says what that was.
fn fill(container: &mut Value, side: &str, defaults: &ResourceList) -> Vec<String> {
    let has = |name: &str| !at(container, &["resources", side, name]).is_null();
    let missing: Vec<_> = defaults.keys().filter(|name| !has(name)).cloned().collect();
    if missing.is_empty() {
        return missing;
    }
    let Some(list) = object_mut(container, &["resources", side]) else { return Vec::new() };
    for name in &missing {
        if let Some(amount) = defaults.get(name) {
            list.insert(name.clone(), Value::from(amount.to_string()));
        }
    }
    missing
}

fn check_pod(limit: &Value, pod: &Value, errors: &mut Vec<String>) {
    match text(limit, &["type"]) {
        "Container" => {
            for kind in ["containers", "initContainers"] {
                for container in items(pod, &["spec", kind]) {
                    let side = |name| ResourceList::from_value(Some(at(container, &["resources", name])));
                    check(limit, &side("requests"), &side("limits"), errors);
                }
            }
        }
        "Pod" => check(limit, &pod_requests(pod), &pod_limits(pod), errors),
        _ => {}
    }
}

fn check(limit: &Value, requests: &ResourceList, limits: &ResourceList, errors: &mut Vec<String>) {
    let kind = text(limit, &["type"]);
    let bound = |name: &str| ResourceList::from_value(limit.get(name));
    for (name, least) in bound("min").iter() {
        errors.extend(too_small(kind, name, least, requests.get(name), limits.get(name)));
    }
    for (name, most) in bound("max").iter() {
        let what = format!("maximum {name} usage per {kind} is {most}");
        errors.extend(match (requests.get(name), limits.get(name)) {
            (_, None) => Some(format!("{what}.  No limit is specified")),
            (_, Some(limit)) if limit > most => Some(format!("{what}, but limit is {limit}")),
            (Some(request), _) if request > most => Some(format!("{what}, but request is {request}")),
            _ => None,
        });
    }
    for (name, most) in bound("maxLimitRequestRatio").iter() {
        errors.extend(bad_ratio(kind, name, most, requests.get(name), limits.get(name)));
    }
}

fn too_small(
    kind: &str,
    name: &str,
    least: &Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let what = format!("minimum {name} usage per {kind} is {least}");
    match (request, limit) {
        (None, _) => Some(format!("{what}.  No request is specified")),
        (Some(request), _) if request < least => Some(format!("{what}, but request is {request}")),
        (_, Some(limit)) if limit < least => Some(format!("{what}, but limit is {limit}")),
        _ => None,
    }
}

fn bad_ratio(
    kind: &str,
    name: &str,
    most: &Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let refuse = |why: &dyn Display| {
        Some(format!("{name} max limit to request ratio per {kind} is {most}, but {why}"))
    };
    let Some(request) = request.filter(|request| !request.is_zero()) else {
        return refuse(&"no request is specified or request is 0");
    };
    let Some(limit) = limit.filter(|limit| !limit.is_zero()) else {
        return refuse(&"no limit is specified or limit is 0");
    };
    let ratio = limit.to_f64() / request.to_f64();
    if ratio > most.to_f64() { refuse(&format_args!("provided ratio is {ratio:.6}")) } else { None }
}

fn check_claim(limit: &Value, claim: &Value, errors: &mut Vec<String>) {
    let requests = ResourceList::from_value(Some(at(claim, &["spec", "resources", "requests"])));
    let kind = text(limit, &["type"]);
    for (name, least) in ResourceList::from_value(limit.get("min")).iter() {
        errors.extend(too_small(kind, name, least, requests.get(name), None));
    }
    for (name, most) in ResourceList::from_value(limit.get("max")).iter() {
        let what = format!("maximum {name} usage per {kind} is {most}");
        errors.extend(match requests.get(name) {
            None => Some(format!("{what}.  No request is specified")),
            Some(request) if request > most => Some(format!("{what}, but request is {request}")),
            Some(_) => None,
        });
    }
}
