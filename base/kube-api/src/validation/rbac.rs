//! Rules of roles and of bindings to them.

use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::{Value, json};

use super::common::{label_selector, no_subresource, not_among, path_name, required, subdomain_name, wrong};
use super::pod::words::enough;
use super::{Errors, PathRef, Rules};
use crate::value::{is_empty, items, text};

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) const ROLE: Rules = Rules {
    name: path_name,
    create: role,
    update: |gvk, new, _, errors| role(gvk, new, errors),
    subresource: no_subresource,
};
pub(super) const BINDING: Rules =
    Rules { name: path_name, create: binding, update: binding_update, subresource: no_subresource };

fn role(gvk: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let rules = PathRef::Root("rules");
    for (at, rule) in items(&object["rules"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        policy_rule(rule, gvk.kind == "Role", &rules.index(at), errors);
    }
    if gvk.kind != "ClusterRole" || !object["aggregationRule"].is_object() {
        return;
    }
    let path = PathRef::Root("aggregationRule.clusterRoleSelectors");
    let selectors = &object["aggregationRule"]["clusterRoleSelectors"];
    required(
        selectors,
        "at least one clusterRoleSelector required if aggregationRule is non-nil",
        &path,
        errors,
    );
    for (at, selector) in items(selectors).iter().enumerate() {
        if enough(errors) {
            break;
        }
        label_selector(selector, &path.index(at), errors);
    }
}

fn policy_rule(rule: &Value, namespaced: bool, path: &PathRef<'_>, errors: &mut Errors) {
    required(&rule["verbs"], "verbs must contain at least one value", &path.child("verbs"), errors);
    let urls = &rule["nonResourceURLs"];
    let field = path.child("nonResourceURLs");
    if is_empty(urls) {
        let groups = "resource rules must supply at least one api group";
        required(&rule["apiGroups"], groups, &path.child("apiGroups"), errors);
        let resources = "resource rules must supply at least one resource";
        required(&rule["resources"], resources, &path.child("resources"), errors);
        return;
    }
    if namespaced {
        let why = "namespaced rules cannot apply to non-resource URLs";
        errors.push(FieldError::invalid(field, urls.clone(), why));
    }
    if ["apiGroups", "resources", "resourceNames"].iter().any(|name| !is_empty(&rule[*name])) {
        let why = "rules cannot apply to both regular resources and non-resource URLs";
        errors.push(FieldError::invalid(field, urls.clone(), why));
    }
}

fn binding(gvk: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let (role, path) = (&object["roleRef"], PathRef::Root("roleRef"));
    let namespaced = gvk.kind == "RoleBinding";
    let group = text(&role["apiGroup"]);
    if group != GROUP {
        errors.push(not_among(path.child("apiGroup"), group, &[GROUP]));
    }
    let kind = text(&role["kind"]);
    let known: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !known.contains(&kind) {
        errors.push(not_among(path.child("kind"), kind, known));
    }
    let name = text(&role["name"]);
    if name.is_empty() {
        errors.push(FieldError::required(path.child("name"), ""));
    } else {
        wrong(name, names::path_segment(name), &path.child("name"), errors);
    }
    let subjects = PathRef::Root("subjects");
    for (at, one) in items(&object["subjects"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        subject(one, namespaced, &subjects.index(at), errors);
    }
}

fn subject(subject: &Value, namespaced: bool, path: &PathRef<'_>, errors: &mut Errors) {
    let (name, group) = (text(&subject["name"]), text(&subject["apiGroup"]));
    required(&subject["name"], "", &path.child("name"), errors);
    match text(&subject["kind"]) {
        "ServiceAccount" => {
            if !name.is_empty() {
                wrong(name, subdomain_name(name, false), &path.child("name"), errors);
            }
            if !group.is_empty() {
                errors.push(not_among(path.child("apiGroup"), group, &[""]));
            }
            if !namespaced {
                required(&subject["namespace"], "", &path.child("namespace"), errors);
            }
        }
        "User" | "Group" if group != GROUP => {
            errors.push(not_among(path.child("apiGroup"), group, &[GROUP]));
        }
        "User" | "Group" => {}
        kind => errors.push(not_among(path.child("kind"), kind, &["ServiceAccount", "User", "Group"])),
    }
}

fn binding_update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    binding(gvk, new, errors);
    let role = &new["roleRef"];
    if *role != old["roleRef"] {
        let shown = json!({"apiGroup": role["apiGroup"], "kind": role["kind"], "name": role["name"]});
        errors.push(FieldError::invalid("roleRef", shown, "cannot change roleRef"));
    }
}
