//! Where a pod may run: affinity, tolerations, spreading, gates.

use std::collections::{BTreeMap, BTreeSet};

use kube_object::field_error::FieldError;
use kube_object::names;
use serde_json::Value;

use super::words;
use crate::validation::{Errors, PathRef, metadata};
use crate::value::{items, members, text};

/// `Affinity`.
pub(super) fn affinity(affinity: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if affinity.is_null() {
        return;
    }
    let of_nodes = &affinity["nodeAffinity"];
    if !of_nodes.is_null() {
        node_affinity(of_nodes, &path.child("nodeAffinity"), errors);
    }
    for name in ["podAffinity", "podAntiAffinity"] {
        let at = path.child(name);
        let required = at.child(REQUIRED);
        for (index, term) in items(&affinity[name][REQUIRED]).iter().enumerate() {
            if words::enough(errors) {
                return;
            }
            pod_term(term, &required.index(index), errors);
        }
        let preferred = at.child(PREFERRED);
        for (index, weighted) in items(&affinity[name][PREFERRED]).iter().enumerate() {
            if words::enough(errors) {
                return;
            }
            let at = preferred.index(index);
            weight(weighted, &at, errors);
            pod_term(&weighted["podAffinityTerm"], &at.child("podAffinityTerm"), errors);
        }
    }
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

fn weight(term: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let weight = term["weight"].as_i64().unwrap_or(0);
    if !(1..=100).contains(&weight) {
        errors.push(FieldError::invalid(path.child("weight"), weight, "must be in the range 1-100"));
    }
}

fn node_affinity(affinity: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if !affinity[REQUIRED].is_null() {
        node_selector(&affinity[REQUIRED], &path.child(REQUIRED), errors);
    }
    let preferred = path.child(PREFERRED);
    for (at, term) in items(&affinity[PREFERRED]).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = preferred.index(at);
        weight(term, &at, errors);
        node_term(&term["preference"], true, &at.child("preference"), errors);
    }
}

/// `NodeSelector`: at least one term.
pub(in crate::validation) fn node_selector(selector: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let at = path.child("nodeSelectorTerms");
    let terms = items(&selector["nodeSelectorTerms"]);
    if terms.is_empty() {
        errors.push(FieldError::required(at, "must have at least one node selector term"));
    }
    for (index, term) in terms.iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        node_term(term, false, &at.index(index), errors);
    }
}

fn node_term(term: &Value, any_value: bool, path: &PathRef<'_>, errors: &mut Errors) {
    let list = path.child("matchExpressions");
    for (at, requirement) in items(&term["matchExpressions"]).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = list.index(at);
        let values = items(&requirement["values"]);
        words::operator(requirement, values, &NODE_OPERATORS, &at, errors);
        metadata::label_name(text(&requirement["key"]), &at.child("key"), errors);
        if any_value {
            continue;
        }
        let values_at = at.child("values");
        for (index, value) in values.iter().enumerate() {
            let value = text(value);
            words::faults(names::label_value(value), value, &values_at.index(index), errors);
        }
    }
    let list = path.child("matchFields");
    for (at, requirement) in items(&term["matchFields"]).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        node_field(requirement, &list.index(at), errors);
    }
}

const NODE_OPERATORS: [&str; 6] = ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"];

fn node_field(requirement: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let (operator, key) = (text(&requirement["operator"]), text(&requirement["key"]));
    let values = items(&requirement["values"]);
    let at = path.child("values");
    if !matches!(operator, "In" | "NotIn") {
        errors.push(FieldError::invalid(path.child("operator"), operator, "not a valid selector operator"));
    } else if values.len() != 1 {
        let why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
        errors.push(FieldError::required(at, why));
    }
    if key != "metadata.name" {
        errors.push(FieldError::invalid(path.child("key"), key, "not a valid field selector key"));
        return;
    }
    for (index, value) in values.iter().enumerate() {
        words::subdomain(text(value), &at.index(index), errors);
    }
}

fn pod_term(term: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    for name in ["labelSelector", "namespaceSelector"] {
        words::selector(&term[name], &path.child(name), errors);
    }
    for namespace in items(&term["namespaces"]) {
        if words::enough(errors) {
            break;
        }
        words::label(text(namespace), &path.child("namespace"), errors);
    }
    label_keys(term, path, errors);
    let key = text(&term["topologyKey"]);
    if key.is_empty() {
        errors.push(FieldError::required(path.child("topologyKey"), "can not be empty"));
    }
    metadata::label_name(key, &path.child("topologyKey"), errors);
}

fn label_keys(term: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let selector = &term["labelSelector"];
    for name in ["matchLabelKeys", "mismatchLabelKeys"] {
        let keys = items(&term[name]);
        let at = path.child(name);
        if !keys.is_empty() && selector.is_null() {
            errors.push(FieldError::forbidden(at, "must not be specified when labelSelector is not set"));
            continue;
        }
        for (index, key) in keys.iter().enumerate() {
            metadata::label_name(text(key), &at.index(index), errors);
        }
    }
    let matching = items(&term["matchLabelKeys"]);
    if matching.is_empty() {
        return;
    }
    let places: BTreeMap<&str, usize> =
        matching.iter().enumerate().map(|(at, key)| (text(key), at)).collect();
    let mut selected: BTreeSet<&str> =
        members(&selector["matchLabels"]).map(|(key, _)| key.as_str()).collect();
    for expression in items(&selector["matchExpressions"]) {
        if words::enough(errors) {
            break;
        }
        let key = text(&expression["key"]);
        if let Some(at) = places.get(key).copied()
            && selected.contains(key)
        {
            let why = "exists in both matchLabelKeys and labelSelector";
            errors.push(FieldError::invalid(path.index(at), key, why));
        }
        selected.insert(key);
    }
    let mismatching: BTreeSet<&str> = items(&term["mismatchLabelKeys"]).iter().map(text).collect();
    let list = path.child("matchLabelKeys");
    for (at, key) in matching.iter().map(text).enumerate() {
        if mismatching.contains(key) {
            let why = "exists in both matchLabelKeys and mismatchLabelKeys";
            errors.push(FieldError::invalid(list.index(at), key, why));
        }
    }
}

/// `Toleration`s.
pub(super) fn tolerations(list: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    for (at, toleration) in items(list).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = path.index(at);
        let (key, operator) = (text(&toleration["key"]), text(&toleration["operator"]));
        let (value, effect) = (text(&toleration["value"]), text(&toleration["effect"]));
        let operator_at = at.child("operator");
        if !key.is_empty() {
            metadata::label_name(key, &at.child("key"), errors);
        } else if operator != "Exists" {
            let why =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(FieldError::invalid(operator_at, operator, why));
        }
        if !toleration["tolerationSeconds"].is_null() && effect != "NoExecute" {
            let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(FieldError::invalid(at.child("effect"), effect, why));
        }
        match operator {
            "Equal" | "" => {
                let wrong = names::label_value(value);
                if !wrong.is_empty() {
                    errors.push(FieldError::invalid(operator_at, value, wrong.join(";")));
                }
            }
            "Exists" => {
                if !value.is_empty() {
                    let why = "value must be empty when `operator` is 'Exists'";
                    errors.push(FieldError::invalid(operator_at, value, why));
                }
            }
            _ => errors.push(FieldError::not_supported(operator_at, operator, &["Equal", "Exists"])),
        }
        if !effect.is_empty() {
            words::known_text(effect, &TAINT_EFFECTS, &at.child("effect"), errors);
        }
    }
}

/// What a taint does to pods that do not tolerate it.
pub(in crate::validation) const TAINT_EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// `TopologySpreadConstraint`s.
pub(super) fn spreading(list: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let constraints = items(list);
    let kind = |constraint: &'_ Value| -> [String; 2] {
        ["topologyKey", "whenUnsatisfiable"].map(|name| text(&constraint[name]).to_owned())
    };
    // How often each kind is still to come.
    let mut ahead: BTreeMap<[String; 2], usize> = BTreeMap::new();
    constraints.iter().for_each(|constraint| *ahead.entry(kind(constraint)).or_default() += 1);
    for (index, constraint) in constraints.iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = path.index(index);
        let skew = constraint["maxSkew"].as_i64().unwrap_or(0);
        if skew <= 0 {
            errors.push(FieldError::invalid(at.child("maxSkew"), skew, words::NOT_POSITIVE));
        }
        let kind = kind(constraint);
        let again = ahead.get_mut(&kind).is_some_and(|count| {
            *count -= 1;
            *count > 0
        });
        let [key, action] = kind;
        if key.is_empty() {
            errors.push(FieldError::required(at.child("topologyKey"), "can not be empty"));
        }
        let actions = ["DoNotSchedule", "ScheduleAnyway"];
        words::known_text(&action, &actions, &at.child("whenUnsatisfiable"), errors);
        if again {
            let pair = format!("{{{key}, {action}}}");
            errors.push(FieldError::duplicate(at.child("{topologyKey, whenUnsatisfiable}"), pair));
        }
        min_domains(&constraint["minDomains"], &action, &at.child("minDomains"), errors);
        for name in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            words::if_set_one_of(&constraint[name], &["Honor", "Ignore"], &at.child(name), errors);
        }
        spread_keys(constraint, &at.child("matchLabelKeys"), errors);
        words::selector(&constraint["labelSelector"], &at.child("labelSelector"), errors);
    }
}

fn min_domains(number: &Value, action: &str, path: &PathRef<'_>, errors: &mut Errors) {
    let Some(least) = number.as_i64() else { return };
    if least <= 0 {
        errors.push(FieldError::invalid(path, least, words::NOT_POSITIVE));
    }
    if action != "DoNotSchedule" {
        let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
        errors.push(FieldError::invalid(path, least, why));
    }
}

fn spread_keys(constraint: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let keys = items(&constraint["matchLabelKeys"]);
    if keys.is_empty() {
        return;
    }
    let selector = &constraint["labelSelector"];
    if selector.is_null() {
        errors.push(FieldError::forbidden(path, "must not be specified when labelSelector is not set"));
    }
    let selected: BTreeSet<&str> = members(&selector["matchLabels"])
        .map(|(key, _)| key.as_str())
        .chain(items(&selector["matchExpressions"]).iter().map(|expression| text(&expression["key"])))
        .collect();
    for (at, key) in keys.iter().map(text).enumerate() {
        metadata::label_name(key, &path.index(at), errors);
        if selected.contains(key) {
            let why = "exists in both matchLabelKeys and labelSelector";
            errors.push(FieldError::invalid(path.index(at), key, why));
        }
    }
}

/// Gates that hold a pod back; none may stand twice.
pub(super) fn gates(list: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (at, gate) in items(list).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let name = text(&gate["name"]);
        words::qualified(name, &path.index(at), errors);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(path.index(at), name));
        }
    }
}
