//! Whether the expressions of policies and webhook configurations are expressions, before they are stored.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use crate::cel::{CelError, Compiler};
use crate::cel_compiler::Cel;
use crate::read::items;
use crate::{policy, webhook};

/// The group whose kinds have expressions.
const GROUP: &str = "admissionregistration.k8s.io";

/// An expression and where it stands.
struct Found<'a> {
    field: String,
    text: &'a str,
}

/// What cannot be compiled. An expression that the old object had too is left alone, so that what is stored can be
/// written again whatever was allowed when it was made.
pub fn faults(kind: &GroupVersionKind, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let (list, variables): (fn(&Value) -> Vec<Found<'_>>, _) = match (kind.group.as_str(), kind.kind.as_str())
    {
        (GROUP, "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") => {
            (of_webhooks, webhook::VARIABLES)
        }
        (GROUP, "ValidatingAdmissionPolicy" | "MutatingAdmissionPolicy") => (of_policy, policy::VARIABLES),
        _ => return Vec::new(),
    };
    let known: BTreeSet<&str> = old.map(list).unwrap_or_default().iter().map(|found| found.text).collect();
    let new = list(object).into_iter().filter(|found| !found.text.trim().is_empty());
    let fault = |found: Found<'_>| match Cel.compile(found.text, variables) {
        Err(CelError::Compile(why)) => {
            Some(FieldError::invalid(found.field, found.text, format!("compilation failed: {why}")))
        }
        _ => None,
    };
    new.filter(|found| !known.contains(found.text)).filter_map(fault).collect()
}

fn of_webhooks(object: &Value) -> Vec<Found<'_>> {
    let hooks = items(object, &["webhooks"]).iter().enumerate();
    hooks
        .flat_map(|(at, hook)| {
            expressions(hook, &["matchConditions"], &format!("webhooks[{at}]"), &["expression"])
        })
        .collect()
}

fn of_policy(object: &Value) -> Vec<Found<'_>> {
    let spec = &object["spec"];
    let own = |list, path: &[&str]| expressions(spec, &[list], "spec", path);
    [
        own("matchConditions", &["expression"]),
        own("variables", &["expression"]),
        own("validations", &["expression"]),
        own("validations", &["messageExpression"]),
        own("auditAnnotations", &["valueExpression"]),
        own("mutations", &["applyConfiguration", "expression"]),
        own("mutations", &["jsonPatch", "expression"]),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The texts at `path` of the items of a list.
fn expressions<'a>(holder: &'a Value, list: &[&str], at: &str, path: &[&str]) -> Vec<Found<'a>> {
    let items = items(holder, list).iter().enumerate();
    let found = |(number, item): (usize, &'a Value)| {
        let text = path.iter().try_fold(item, |value, name| value.get(name))?.as_str()?;
        let field = format!("{at}.{}[{number}].{}", list.join("."), path.join("."));
        Some(Found { field, text })
    };
    items.filter_map(found).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(kind: &str, object: &Value, old: Option<&Value>) -> Vec<String> {
        let kind = GroupVersionKind::new(GROUP, "v1", kind);
        faults(&kind, object, old).into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn what_is_no_expression_is_named() {
        let hooks = |text: &str| json!({"webhooks": [{}, {"matchConditions": [{"expression": text}]}]});
        let kind = "ValidatingWebhookConfiguration";
        assert_eq!(check(kind, &hooks("object.metadata.name == 'a'"), None), [""; 0]);
        assert_eq!(check(kind, &hooks("... [] bad"), None), ["webhooks[1].matchConditions[0].expression"]);
        // A webhook's conditions have no parameters.
        assert_eq!(check(kind, &hooks("params.x"), None).len(), 1);
        assert_eq!(check("ConfigMap", &hooks("... [] bad"), None), [""; 0]);
    }

    #[test]
    fn every_place_of_a_policy_is_read() {
        let object = json!({"spec": {
            "matchConditions": [{"expression": "["}], "variables": [{"expression": "1 +"}],
            "validations": [{"expression": "params.x == 1", "messageExpression": "'"}],
            "auditAnnotations": [{"valueExpression": "("}],
            "mutations": [{"applyConfiguration": {"expression": "Object{"}}, {"jsonPatch": {"expression": "]"}}],
        }});
        let wanted = [
            "spec.matchConditions[0].expression",
            "spec.variables[0].expression",
            "spec.validations[0].messageExpression",
            "spec.auditAnnotations[0].valueExpression",
            "spec.mutations[0].applyConfiguration.expression",
            "spec.mutations[1].jsonPatch.expression",
        ];
        assert_eq!(check("MutatingAdmissionPolicy", &object, None), wanted);
    }

    #[test]
    fn what_was_there_stays() {
        let object = json!({"spec": {"validations": [{"expression": "]"}]}});
        assert_eq!(check("ValidatingAdmissionPolicy", &object, Some(&object)), [""; 0]);
        assert_eq!(check("ValidatingAdmissionPolicy", &object, Some(&json!({}))).len(), 1);
    }
}
