//! `SubjectAccessReview`, `LocalSubjectAccessReview` and `SelfSubjectAccessReview`.

use kube_object::field_error::FieldError;
use kube_object::field_selector::FieldSelector;
use kube_object::resource::GroupKind;
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::{Value, json};

use crate::attributes::{Attributes, Decision, ResourceAttributes};
use crate::authorizer::Authorizer;
use crate::rbac::index::{str_at, text_at};

/// What another may do.
pub(super) fn subject(authorizer: &Authorizer, body: &Value) -> Result<Value, Status> {
    refuse("SubjectAccessReview", &[spec_errors(body, true), metadata_errors(body, &[])].concat())?;
    Ok(decide(authorizer, body, &user_of(body)))
}

/// What another may do in a namespace.
pub(super) fn local(authorizer: &Authorizer, body: &Value, namespace: &str) -> Result<Value, Status> {
    let mut errors = spec_errors(body, true);
    errors.extend(metadata_errors(body, &["namespace"]));
    let home = str_at(body, &["metadata", "namespace"]);
    if let Some(attributes) = spec_field(body, "resourceAttributes") {
        let asked = str_at(attributes, &["namespace"]);
        if asked != home {
            let field = "spec.resourceAttributes.namespace";
            errors.push(FieldError::invalid(field, asked, "must match metadata.namespace"));
        }
    }
    if let Some(attributes) = spec_field(body, "nonResourceAttributes") {
        let field = "spec.nonResourceAttributes";
        errors.push(FieldError::invalid(field, attributes.clone(), "disallowed on this kind of request"));
    }
    refuse("LocalSubjectAccessReview", &errors)?;
    if namespace.is_empty() {
        return Err(Status::bad_request("namespace is required on this type: "));
    }
    if namespace != home {
        let text = format!("spec.resourceAttributes.namespace must match namespace: {namespace}");
        return Err(Status::bad_request(text));
    }
    Ok(decide(authorizer, body, &user_of(body)))
}

/// What the one who asks may do.
pub(super) fn own(authorizer: &Authorizer, body: &Value, user: &User) -> Result<Value, Status> {
    refuse("SelfSubjectAccessReview", &[spec_errors(body, false), metadata_errors(body, &[])].concat())?;
    Ok(decide(authorizer, body, user))
}

fn decide(authorizer: &Authorizer, body: &Value, user: &User) -> Value {
    let decision = match spec_field(body, "resourceAttributes") {
        Some(asked) => {
            let field = |name| str_at(asked, &[name]);
            let terms = selected(asked);
            let fields: Vec<_> = terms.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            let resource = ResourceAttributes {
                group: field("group"),
                version: field("version"),
                resource: field("resource"),
                subresource: field("subresource"),
                namespace: field("namespace"),
                name: field("name"),
                fields: &fields,
                ..Default::default()
            };
            authorizer.authorize(&Attributes::of_resource(user, field("verb"), resource))
        }
        None => {
            let field = |name| str_at(body, &["spec", "nonResourceAttributes", name]);
            authorizer.authorize(&Attributes::of_path(user, field("verb"), field("path")))
        }
    };
    let mut status = json!({"allowed": decision.is_allowed()});
    if matches!(decision, Decision::Deny { .. }) {
        status["denied"] = json!(true);
    }
    let reason = decision.reason().as_str();
    if !reason.is_empty() {
        status["reason"] = json!(reason);
    }
    status
}

fn user_of(body: &Value) -> User {
    let spec = body.get("spec");
    let strings = |value: Option<&Value>| -> Vec<String> {
        let items = value.and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let extra = spec.and_then(|spec| spec.get("extra")).and_then(Value::as_object);
    User {
        name: text_at(body, &["spec", "user"]),
        uid: text_at(body, &["spec", "uid"]),
        groups: strings(spec.and_then(|spec| spec.get("groups"))),
        extra: extra
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.to_lowercase(), strings(Some(value))))
            .collect(),
    }
}

fn spec_errors(body: &Value, names_user: bool) -> Vec<FieldError> {
    let resource = spec_field(body, "resourceAttributes");
    let path = spec_field(body, "nonResourceAttributes");
    let mut errors = Vec::new();
    match (resource, path) {
        (Some(_), Some(path)) => errors.push(FieldError::invalid(
            "spec.nonResourceAttributes",
            path.clone(),
            "cannot be specified in combination with resourceAttributes",
        )),
        (None, None) => errors.push(FieldError::invalid(
            "spec.resourceAttributes",
            Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )),
        _ => {}
    }
    if let Some(resource) = resource {
        for field in ["fieldSelector", "labelSelector"] {
            errors.extend(selector_errors(resource, field));
        }
    }
    let groups = body.get("spec").and_then(|spec| spec.get("groups")).and_then(Value::as_array);
    if names_user && str_at(body, &["spec", "user"]).is_empty() && groups.is_none_or(Vec::is_empty) {
        errors.push(FieldError::invalid("spec.user", "", "at least one of user or group must be specified"));
    }
    errors
}

fn selector_errors(resource: &Value, field: &str) -> Vec<FieldError> {
    let Some(selector) = resource.get(field).filter(|selector| !selector.is_null()) else {
        return Vec::new();
    };
    let base = format!("spec.resourceAttributes.{field}");
    let raw = str_at(selector, &["rawSelector"]);
    let requirements = selector.get("requirements").and_then(Value::as_array);
    let requirements = requirements.map(Vec::as_slice).unwrap_or_default();
    let mut errors = Vec::new();
    if !raw.is_empty() && !requirements.is_empty() {
        let words = "may not specified at the same time as requirements";
        errors.push(FieldError::invalid(format!("{base}.rawSelector"), raw, words));
    }
    if raw.is_empty() && requirements.is_empty() {
        let words = format!("when {base} is specified, requirements or rawSelector is required");
        errors.push(FieldError::required(format!("{base}.requirements"), words));
    }
    for (at, requirement) in requirements.iter().enumerate() {
        let at = format!("{base}.requirements[{at}]");
        let has_values =
            requirement.get("values").and_then(Value::as_array).is_some_and(|values| !values.is_empty());
        if str_at(requirement, &["key"]).is_empty() {
            errors.push(FieldError::required(format!("{at}.key"), "must be specified"));
        }
        match str_at(requirement, &["operator"]) {
            "In" | "NotIn" if !has_values => errors.push(FieldError::required(
                format!("{at}.values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if has_values => errors.push(FieldError::forbidden(
                format!("{at}.values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(FieldError::not_supported(
                format!("{at}.operator"),
                other,
                &["In", "NotIn", "Exists", "DoesNotExist"],
            )),
        }
    }
    errors
}

/// The fields that the selector holds to one value.
fn selected(resource: &Value) -> Vec<(String, String)> {
    let raw = str_at(resource, &["fieldSelector", "rawSelector"]);
    if let Ok(selector) = FieldSelector::parse(raw)
        && !raw.is_empty()
    {
        let keys = raw.split(',').filter_map(|term| term.split('=').next());
        return keys
            .filter_map(|key| Some((key.to_owned(), selector.exact_value(key)?.to_owned())))
            .collect();
    }
    let requirements = resource.get("fieldSelector").and_then(|selector| selector.get("requirements"));
    let exact = |requirement: &Value| {
        let values = requirement.get("values").and_then(Value::as_array)?;
        match (str_at(requirement, &["operator"]), values.as_slice()) {
            ("In", [Value::String(value)]) => Some((text_at(requirement, &["key"]), value.clone())),
            _ => None,
        }
    };
    requirements.and_then(Value::as_array).into_iter().flatten().filter_map(exact).collect()
}

fn metadata_errors(body: &Value, allowed: &[&str]) -> Vec<FieldError> {
    let Some(meta) = body.get("metadata").and_then(Value::as_object) else { return Vec::new() };
    let set = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    };
    let other = meta
        .iter()
        .any(|(key, value)| key != "managedFields" && !allowed.contains(&key.as_str()) && set(value));
    if !other {
        return Vec::new();
    }
    let words = if allowed.is_empty() { "must be empty" } else { "must be empty except for namespace" };
    vec![FieldError::invalid("metadata", Value::Object(meta.clone()), words)]
}

fn refuse(kind: &str, errors: &[FieldError]) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&GroupKind::new("authorization.k8s.io", kind), "", errors))
}

fn spec_field<'a>(body: &'a Value, field: &str) -> Option<&'a Value> {
    body.get("spec")?.get(field).filter(|value| !value.is_null())
}
