//! The roles and bindings that every cluster has from its first start.
//!
//! `roles`, `controllers` and `namespaced` are tables of facts; `reconcile` decides what of
//! them is missing in a cluster.

mod controllers;
mod namespaced;
mod reconcile;
mod roles;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::rbac::aggregate::aggregate_all;
use crate::rbac::{GROUP, Rule};
use controllers::CONTROLLERS;

pub use reconcile::{Step, plan};

/// All of them: cluster roles, cluster role bindings, roles, role bindings.
pub fn objects() -> Vec<Value> {
    let mut objects = cluster_roles();
    objects.extend(roles::BINDINGS.iter().map(|binding| binding.to_value("")));
    objects.extend(CONTROLLERS.iter().map(controller_binding));
    for (namespace, role) in namespaced::ROLES {
        objects.push(role.to_value(namespace));
    }
    for (namespace, binding) in namespaced::BINDINGS {
        objects.push(binding.to_value(namespace));
    }
    objects
}

/// Those that sum others have their rules from the start, before any controller runs.
fn cluster_roles() -> Vec<Value> {
    let facts = roles::ROLES.iter().map(|role| role.to_value(""));
    let mut roles: Vec<_> =
        facts.chain(CONTROLLERS.iter().map(|role| controller_role(role, ""))).map(Arc::new).collect();
    for sum in aggregate_all(&roles) {
        if let Some(role) = roles.iter_mut().find(|role| role.get("metadata") == sum.get("metadata")) {
            *role = Arc::new(sum);
        }
    }
    roles.into_iter().map(Arc::unwrap_or_clone).collect()
}

/// The rules of `system:node`.
pub fn node_rules() -> Vec<Rule> {
    let node = roles::ROLES.iter().find(|role| role.name == "system:node");
    node.map(RoleFacts::rules).unwrap_or_default()
}

/// A role as a line of a table: lists are words between blanks.
struct RoleFacts {
    name: &'static str,
    /// The `aggregate-to-` label, such as `admin`.
    part_of: &'static str,
    /// The `aggregate-to-` label that its selector matches.
    sum_of: &'static str,
    rules: &'static [RuleFacts],
}

/// A rule: lists are words between blanks, `core` is the group without a name.
struct RuleFacts {
    verbs: &'static str,
    groups: &'static str,
    resources: &'static str,
    names: &'static str,
    urls: &'static str,
}

/// A binding: subjects are `group:…`, `user:…` and `sa:NAMESPACE/NAME`, between blanks.
struct BindingFacts {
    name: &'static str,
    role: &'static str,
    subjects: &'static str,
}

const fn role(name: &'static str, rules: &'static [RuleFacts]) -> RoleFacts {
    RoleFacts { name, part_of: "", sum_of: "", rules }
}

const fn rule(verbs: &'static str, groups: &'static str, resources: &'static str) -> RuleFacts {
    RuleFacts { verbs, groups, resources, names: "", urls: "" }
}

const fn named(
    verbs: &'static str,
    groups: &'static str,
    resources: &'static str,
    names: &'static str,
) -> RuleFacts {
    RuleFacts { verbs, groups, resources, names, urls: "" }
}

const fn urls(verbs: &'static str, urls: &'static str) -> RuleFacts {
    RuleFacts { verbs, groups: "", resources: "", names: "", urls }
}

const fn binding(name: &'static str, subjects: &'static str) -> BindingFacts {
    BindingFacts { name, role: name, subjects }
}

impl RoleFacts {
    fn rules(&self) -> Vec<Rule> {
        self.rules.iter().map(RuleFacts::to_rule).collect()
    }

    fn to_value(&self, namespace: &str) -> Value {
        role_value(self, self.name, namespace)
    }
}

impl RuleFacts {
    fn to_rule(&self) -> Rule {
        Rule {
            verbs: words(self.verbs),
            api_groups: words(self.groups),
            resources: words(self.resources),
            resource_names: words(self.names),
            non_resource_urls: words(self.urls),
        }
    }
}

impl BindingFacts {
    fn to_value(&self, namespace: &str) -> Value {
        let kind = if namespace.is_empty() { "ClusterRole" } else { "Role" };
        let mut object = base(&format!("{kind}Binding"), self.name, namespace);
        object.insert("roleRef".into(), json!({"apiGroup": GROUP, "kind": kind, "name": self.role}));
        let subjects: Vec<_> = self.subjects.split_whitespace().map(subject).collect();
        if !subjects.is_empty() {
            object.insert("subjects".into(), Value::Array(subjects));
        }
        Value::Object(object)
    }
}

fn role_value(facts: &RoleFacts, name: &str, namespace: &str) -> Value {
    let mut object = base(if namespace.is_empty() { "ClusterRole" } else { "Role" }, name, namespace);
    let label = |of: &str| format!("{GROUP}/aggregate-to-{of}");
    if !facts.part_of.is_empty()
        && let Some(labels) = object.get_mut("metadata").and_then(|meta| meta.get_mut("labels"))
        && let Some(labels) = labels.as_object_mut()
    {
        labels.insert(label(facts.part_of), json!("true"));
    }
    if facts.sum_of.is_empty() {
        let rules: Vec<_> = facts.rules().iter().map(Rule::to_value).collect();
        object.insert("rules".into(), Value::Array(rules));
    } else {
        let selector = json!([{"matchLabels": {label(facts.sum_of): "true"}}]);
        object.insert("aggregationRule".into(), json!({"clusterRoleSelectors": selector}));
    }
    Value::Object(object)
}

fn controller_role(facts: &RoleFacts, namespace: &str) -> Value {
    role_value(facts, &format!("system:controller:{}", facts.name), namespace)
}

fn controller_binding(facts: &RoleFacts) -> Value {
    let name = format!("system:controller:{}", facts.name);
    let mut object = base("ClusterRoleBinding", &name, "");
    object.insert("roleRef".into(), json!({"apiGroup": GROUP, "kind": "ClusterRole", "name": name}));
    object.insert("subjects".into(), json!([subject(&format!("sa:kube-system/{}", facts.name))]));
    Value::Object(object)
}

fn base(kind: &str, name: &str, namespace: &str) -> Map<String, Value> {
    let mut meta = Map::new();
    meta.insert("name".into(), json!(name));
    if !namespace.is_empty() {
        meta.insert("namespace".into(), json!(namespace));
    }
    meta.insert("labels".into(), json!({"kubernetes.io/bootstrapping": "rbac-defaults"}));
    meta.insert("annotations".into(), json!({AUTOUPDATE: "true"}));
    let mut object = Map::new();
    object.insert("apiVersion".into(), json!(format!("{GROUP}/v1")));
    object.insert("kind".into(), json!(kind));
    object.insert("metadata".into(), Value::Object(meta));
    object
}

fn subject(text: &str) -> Value {
    match text.split_once(':') {
        Some(("group", name)) => json!({"apiGroup": GROUP, "kind": "Group", "name": name}),
        Some(("sa", account)) => {
            let (namespace, name) = account.split_once('/').unwrap_or(("kube-system", account));
            json!({"kind": "ServiceAccount", "name": name, "namespace": namespace})
        }
        other => {
            json!({"apiGroup": GROUP, "kind": "User", "name": other.map_or(text, |(_, name)| name)})
        }
    }
}

/// Sorted, as upstream's builder leaves them.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<_> = text
        .split_whitespace()
        .map(|word| if word == "core" { String::new() } else { word.to_owned() })
        .collect();
    words.sort();
    words
}

/// Set to anything but `true`, a restart leaves the object alone.
pub const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// The verbs of who only looks.
const READ: &str = "get list watch";
/// The verbs of who changes.
const WRITE: &str = "create delete deletecollection patch update";
/// All verbs of objects.
const READ_WRITE: &str = "create delete deletecollection get list patch update watch";
/// What every recorder of events needs.
const EVENTS: RuleFacts = rule("create patch update", "core events.k8s.io", "events");
