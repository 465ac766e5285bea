//! Rules of limit ranges.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use super::cluster::{amount, resource_name};
use super::common::wrong;
use super::pod::words::enough;
use super::{Errors, PathRef};
use crate::quantity::Quantity;
use crate::value::{items, members, text};

const LISTS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

pub(super) fn limit_range(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let limits = PathRef::Root("spec.limits");
    let mut seen = BTreeSet::new();
    for (at, limit) in items(&object["spec"]["limits"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        let path = limits.index(at);
        let kind = text(&limit["type"]);
        kind_name(kind, &path.child("type"), errors);
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(path.child("type"), kind));
        }
        one(limit, kind, &path, errors);
    }
}

fn kind_name(kind: &str, path: &PathRef<'_>, errors: &mut Errors) {
    let faults = names::qualified_name(kind);
    let good = faults.is_empty();
    wrong(kind, faults, path, errors);
    if good && !kind.contains('/') && !matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim") {
        errors.push(FieldError::invalid(path, kind, "must be a standard limit type or fully qualified"));
    }
}

fn one(limit: &Value, kind: &str, path: &PathRef<'_>, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    for list in LISTS {
        let of_defaults = matches!(list, "default" | "defaultRequest");
        if kind == "Pod" && of_defaults {
            if members(&limit[list]).next().is_some() {
                let why = "may not be specified when `type` is 'Pod'";
                errors.push(FieldError::forbidden(path.child(list), why));
            }
            continue;
        }
        for (name, _) in members(&limit[list]) {
            if enough(errors) {
                break;
            }
            limited_resource(name, kind, &path.child(list).key(name), errors);
            names.insert(name.as_str());
        }
    }
    let storage = |list: &str| limit[list].get("storage").is_some();
    if kind == "PersistentVolumeClaim" && !storage("min") && !storage("max") {
        let why = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(FieldError::required(path.child("limits"), why));
    }
    for name in names {
        Amounts::of(limit, kind, name).check(name, path, errors);
    }
}

fn limited_resource(name: &str, kind: &str, path: &PathRef<'_>, errors: &mut Errors) {
    let good = resource_name(name, path, errors);
    let of_container =
        matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
    if matches!(kind, "Pod" | "Container")
        && !name.contains('/')
        && !of_container
        && (good || !name.is_empty())
    {
        errors.push(FieldError::invalid(path, name, "must be a standard resource for containers"));
    }
}

/// What a limit says about one resource.
struct Amounts {
    max: Option<Quantity>,
    min: Option<Quantity>,
    limit: Option<Quantity>,
    request: Option<Quantity>,
    ratio: Option<Quantity>,
}

impl Amounts {
    fn of(limit: &Value, kind: &str, name: &str) -> Self {
        let of = |list: &str| amount(&limit[list][name]);
        let default = |list: &str| of(list).filter(|_| kind != "Pod");
        Self {
            max: of("max"),
            min: of("min"),
            limit: default("default"),
            request: default("defaultRequest"),
            ratio: of("maxLimitRequestRatio"),
        }
    }

    fn check(&self, name: &str, path: &PathRef<'_>, errors: &mut Errors) {
        let mut above = |low: (&str, Option<Quantity>),
                         high: (&str, Option<Quantity>),
                         field: &str,
                         shown: Option<Quantity>| {
            if let (Some(less), Some(more)) = (low.1, high.1)
                && less > more
            {
                let why = format!("{} value {less} is greater than {} value {more}", low.0, high.0);
                let shown = shown.unwrap_or(less).to_string();
                errors.push(FieldError::invalid(path.child(field).key(name), shown, why));
            }
        };
        let (min, max) = (("min", self.min), ("max", self.max));
        above(min, max, "min", self.min);
        above(min, ("default request", self.request), "defaultRequest", self.request);
        above(("default request", self.request), max, "defaultRequest", self.request);
        above(
            ("default request", self.request),
            ("default limit", self.limit),
            "defaultRequest",
            self.request,
        );
        above(min, ("default", self.limit), "default", self.min);
        above(("default", self.limit), max, "default", self.max);
        self.check_ratio(name, path, errors);
    }

    fn check_ratio(&self, name: &str, path: &PathRef<'_>, errors: &mut Errors) {
        let at = path.child("maxLimitRequestRatio");
        let Some(ratio) = self.ratio else { return };
        if ratio < Quantity::from_int(1) {
            let why = format!("ratio {ratio} is less than 1");
            errors.push(FieldError::invalid(at.key(name), ratio.to_string(), why));
        }
        if let (Some(min), Some(max)) = (self.min, self.max) {
            let most = max.nanos() as f64 / min.nanos() as f64;
            if ratio.nanos() as f64 / 1e9 > most {
                let why = format!("ratio {ratio} is greater than max/min = {most:.6}");
                errors.push(FieldError::invalid(at.key(name), ratio.to_string(), why));
            }
        }
    }
}
