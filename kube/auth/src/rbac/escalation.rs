//! Nobody grants what they do not hold, unless they may `escalate` or `bind`.

use std::collections::{BTreeMap, BTreeSet};

use kube_object::cluster::Cluster;
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::Value;

use super::index::str_at;
use super::rule::{ALL, Rule};
use super::{GROUP, resource};
use crate::attributes::{Attributes, ResourceAttributes};
use crate::authorizer::Authorizer;

/// May the user write this role or binding? `plural` says which of the four it is; what it
/// replaces is looked up.
pub fn check(authorizer: &Authorizer, user: &User, plural: &str, object: &Value) -> Result<(), Status> {
    let meta = |field| str_at(object, &["metadata", field]);
    let cluster = authorizer.cluster();
    let old = cluster.get(&resource(plural), meta("namespace"), meta("name"));
    match plural {
        "roles" | "clusterroles" => check_role(authorizer, user, plural, object, old.as_deref()),
        "rolebindings" | "clusterrolebindings" => {
            check_binding(authorizer, cluster, user, plural, object, old.as_deref())
        }
        _ => Ok(()),
    }
}

/// May the user write this role? `plural` is `roles` or `clusterroles`; `old` is the role
/// that it replaces. Even new labels need the role's rules: they may add them to a sum.
pub fn check_role(
    authorizer: &Authorizer,
    user: &User,
    plural: &str,
    role: &Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    let namespace = str_at(role, &["metadata", "namespace"]);
    let name = str_at(role, &["metadata", "name"]);
    let asked = ResourceAttributes { group: GROUP, resource: plural, namespace, name, ..Default::default() };
    if is_collection_only(role, old) || is_master(user) || may(authorizer, user, "escalate", asked) {
        return Ok(());
    }
    let refuse = |why: String| Status::forbidden(&resource(plural), name, why);
    confirm(authorizer, user, namespace, &Rule::all_of(role)).map_err(refuse)?;
    let sum = role.get("aggregationRule").filter(|rule| !rule.is_null());
    if sum.is_some() && sum != old.and_then(|old| old.get("aggregationRule")) {
        let index = authorizer.index();
        if !missing(&index.rules_of(user, "").0, &everything()).is_empty() {
            return Err(refuse("must have cluster-admin privileges to use an aggregationRule".to_owned()));
        }
    }
    Ok(())
}

/// May the user write this binding? `plural` is `rolebindings` or `clusterrolebindings`.
pub fn check_binding(
    authorizer: &Authorizer,
    cluster: &dyn Cluster,
    user: &User,
    plural: &str,
    binding: &Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    if is_collection_only(binding, old) || is_master(user) {
        return Ok(());
    }
    let name = str_at(binding, &["metadata", "name"]);
    let namespace = str_at(binding, &["metadata", "namespace"]);
    let role_name = str_at(binding, &["roleRef", "name"]);
    let (roles, home) = match str_at(binding, &["roleRef", "kind"]) {
        "ClusterRole" => ("clusterroles", ""),
        _ => ("roles", namespace),
    };
    let asked = ResourceAttributes {
        group: GROUP,
        resource: roles,
        // A role binding that refers to a cluster role asks for `bind` in its own namespace.
        namespace,
        name: role_name,
        ..Default::default()
    };
    if may(authorizer, user, "bind", asked) {
        return Ok(());
    }
    let Some(role) = cluster.get(&resource(roles), home, role_name) else {
        return Err(Status::not_found(&resource(roles), role_name));
    };
    confirm(authorizer, user, namespace, &Rule::all_of(&role))
        .map_err(|why| Status::forbidden(&resource(plural), name, why))
}

/// Whether the holder's rules cover all of the wanted; else what is missing, in simple rules.
pub fn missing<'a>(held: &[&Rule], wanted: impl IntoIterator<Item = &'a Rule>) -> Vec<Rule> {
    let simple = wanted.into_iter().flat_map(break_down);
    simple.filter(|wanted| !held.iter().any(|held| rule_covers(held, wanted))).collect()
}

fn confirm(authorizer: &Authorizer, user: &User, namespace: &str, rules: &[Rule]) -> Result<(), String> {
    let index = authorizer.index();
    let (held, unresolved) = index.rules_of(user, namespace);
    let missing = missing(&held, rules);
    if missing.is_empty() {
        return Ok(());
    }
    let texts: BTreeSet<_> = compact(missing).iter().map(Rule::compact).collect();
    let texts: Vec<_> = texts.into_iter().collect();
    let groups: Vec<_> = user.groups.iter().map(|group| format!("{group:?}")).collect();
    let mut why = format!(
        "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        groups.join(" "),
        texts.join("\n")
    );
    if !unresolved.is_empty() {
        why.push_str(&format!("; resolution errors: [{}]", unresolved.join(" ")));
    }
    Err(why)
}

fn may(authorizer: &Authorizer, user: &User, verb: &str, asked: ResourceAttributes<'_>) -> bool {
    authorizer.authorize(&Attributes::of_resource(user, verb, asked)).is_allowed()
}

fn is_master(user: &User) -> bool {
    user.is_in("system:masters")
}

/// Whether nothing but what garbage collection writes has changed.
fn is_collection_only(new: &Value, old: Option<&Value>) -> bool {
    let bare = |object: &Value| {
        let mut object = object.clone();
        if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in ["finalizers", "ownerReferences", "managedFields", "resourceVersion"] {
                meta.remove(field);
            }
        }
        object
    };
    old.is_some_and(|old| bare(old) == bare(new))
}

fn everything() -> Vec<Rule> {
    let all = || vec![ALL.to_owned()];
    vec![
        Rule { verbs: all(), api_groups: all(), resources: all(), ..Rule::default() },
        Rule { verbs: all(), non_resource_urls: all(), ..Rule::default() },
    ]
}

/// Into rules of one verb and one resource, name or path each.
fn break_down(rule: &Rule) -> Vec<Rule> {
    let mut simple = Vec::new();
    let one = |text: &String| vec![text.clone()];
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let base = Rule {
                    verbs: one(verb),
                    api_groups: one(group),
                    resources: one(resource),
                    ..Rule::default()
                };
                if rule.resource_names.is_empty() {
                    simple.push(base);
                } else {
                    simple.extend(
                        rule.resource_names
                            .iter()
                            .map(|name| Rule { resource_names: one(name), ..base.clone() }),
                    );
                }
            }
        }
    }
    for url in &rule.non_resource_urls {
        for verb in &rule.verbs {
            simple.push(Rule { verbs: one(verb), non_resource_urls: one(url), ..Rule::default() });
        }
    }
    simple
}

/// Simple rules that differ only in the verb become one.
fn compact(rules: Vec<Rule>) -> Vec<Rule> {
    let mut merged: BTreeMap<Rule, Vec<String>> = BTreeMap::new();
    let mut rest = Vec::new();
    for mut rule in rules {
        if rule.non_resource_urls.is_empty() {
            let verbs = std::mem::take(&mut rule.verbs);
            let known = merged.entry(rule).or_default();
            for verb in verbs {
                if !known.contains(&verb) {
                    known.push(verb);
                }
            }
        } else {
            rest.push(rule);
        }
    }
    merged.into_iter().map(|(rule, verbs)| Rule { verbs, ..rule }).chain(rest).collect()
}

fn rule_covers(held: &Rule, wanted: &Rule) -> bool {
    let has = |held: &[String], wanted: &[String]| {
        held.iter().any(|item| item == ALL) || wanted.iter().all(|item| held.contains(item))
    };
    let resources = wanted.resources.iter().all(|wanted| {
        held.resources.iter().any(|held| {
            held == ALL
                || held == wanted
                || wanted.split_once('/').is_some_and(|(_, sub)| held.strip_prefix("*/") == Some(sub))
        })
    });
    let names = if wanted.resource_names.is_empty() {
        held.resource_names.is_empty()
    } else {
        held.resource_names.is_empty()
            || wanted.resource_names.iter().all(|name| held.resource_names.contains(name))
    };
    let urls = wanted
        .non_resource_urls
        .iter()
        .all(|wanted| held.non_resource_urls.iter().any(|held| super::rule::url_covers(held, wanted)));
    has(&held.verbs, &wanted.verbs) && has(&held.api_groups, &wanted.api_groups) && resources && names && urls
}
