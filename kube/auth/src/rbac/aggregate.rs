//! Cluster roles that are the sum of others, chosen by their labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube_object::label_selector::LabelSelector;
use serde_json::Value;

use super::index::str_at;
use super::rule::Rule;

/// What the rules of a cluster role with an `aggregationRule` should be: those of all others
/// that its selectors match, by name, each rule once. None if it has no such rule, or has
/// these rules already.
pub fn aggregate(role: &Value, all: &[impl AsRef<Value>]) -> Option<Vec<Value>> {
    let selectors = role.get("aggregationRule")?.get("clusterRoleSelectors").and_then(Value::as_array);
    let selectors: Vec<_> =
        selectors.into_iter().flatten().filter_map(|value| LabelSelector::from_value(value).ok()).collect();
    let name = str_at(role, &["metadata", "name"]);
    let mut by_name: BTreeMap<&str, &Value> = BTreeMap::new();
    for other in all {
        let other = other.as_ref();
        let labels = labels_of(other);
        let other_name = str_at(other, &["metadata", "name"]);
        if other_name != name && selectors.iter().any(|selector| selector.matches(&labels)) {
            by_name.insert(other_name, other);
        }
    }
    let mut wanted: Vec<Rule> = Vec::new();
    for other in by_name.into_values() {
        for rule in Rule::all_of(other) {
            if !wanted.contains(&rule) {
                wanted.push(rule);
            }
        }
    }
    (wanted != Rule::all_of(role)).then(|| wanted.iter().map(Rule::to_value).collect())
}

/// All cluster roles that are a sum and have other rules than they should, with the rules that
/// they should have: a sum of sums counts what the inner one should have.
pub fn aggregate_all(roles: &[Arc<Value>]) -> Vec<Value> {
    let mut now = roles.to_vec();
    // A chain of sums has at most as many links as there are roles; a circle ends here too.
    for _ in 0..DEPTH_MAX {
        let round: Vec<_> = now.iter().map(|role| aggregate(role, &now)).collect();
        if round.iter().all(Option::is_none) {
            break;
        }
        for (role, rules) in now.iter_mut().zip(round) {
            if let Some(rules) = rules
                && let Some(map) = Arc::make_mut(role).as_object_mut()
            {
                map.insert("rules".to_owned(), Value::Array(rules));
            }
        }
    }
    let changed = roles.iter().zip(&now).filter(|(before, after)| before != after);
    changed.map(|(_, after)| after.as_ref().clone()).collect()
}

fn labels_of(object: &Value) -> BTreeMap<String, String> {
    let labels = object.get("metadata").and_then(|meta| meta.get("labels")).and_then(Value::as_object);
    labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Sums of sums of sums: more than anybody has.
const DEPTH_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sums_what_its_selectors_match() {
        let rule = |resource: &str| json!({"apiGroups": [""], "resources": [resource], "verbs": ["get"]});
        let role = |name: &str, label: &str, rules: Value| {
            Arc::new(json!({"metadata": {"name": name, "labels": {label: "true"}}, "rules": rules}))
        };
        let all = [
            role("b", "to-view", json!([rule("pods"), rule("services")])),
            role("a", "to-view", json!([rule("services")])),
            role("c", "to-edit", json!([rule("secrets")])),
        ];
        let mut view = json!({"metadata": {"name": "view"}, "aggregationRule": {
            "clusterRoleSelectors": [{"matchLabels": {"to-view": "true"}}]}});
        let rules = aggregate(&view, &all).unwrap();
        assert_eq!(rules, [rule("services"), rule("pods")]);
        view["rules"] = json!(rules);
        assert_eq!(aggregate(&view, &all), None);
        assert_eq!(aggregate(&all[0], &all), None);
    }
}
