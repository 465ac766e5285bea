//! What somebody may do, as `SelfSubjectRulesReview` lists it.

use kube_object::user::User;
use serde_json::{Value, json};

use super::index::Index;
use crate::node;

/// `authorization.k8s.io/v1` SubjectRulesReviewStatus for a user in a namespace.
pub fn status(index: &Index, user: &User, namespace: &str) -> Value {
    let mut resources = Vec::new();
    let mut paths = Vec::new();
    let mut errors = Vec::new();
    if node::is_node(user) {
        errors.push("node authorizer does not support user rule resolution".to_owned());
    }
    let (rules, missing) = index.rules_of(user, namespace);
    for rule in rules {
        if !rule.resources.is_empty() {
            let mut value =
                json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
            if !rule.resource_names.is_empty() {
                value["resourceNames"] = json!(rule.resource_names);
            }
            resources.push(value);
        }
        if !rule.non_resource_urls.is_empty() {
            paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}));
        }
    }
    errors.extend(missing);
    let mut status =
        json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": !errors.is_empty()});
    if !errors.is_empty() {
        status["evaluationError"] = json!(errors.join(", "));
    }
    status
}
