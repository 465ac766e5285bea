//! The compiled index says what a plain reading of roles and bindings says.

use auth::{Attributes, Authorizer, ResourceAttributes};
use kube_object::user::User;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::clock::authorizer;

/// The words that rules and requests are made of: few, so that they meet.
const VERBS: &[&str] = &["get", "list", "create", "*"];
const GROUPS: &[&str] = &["", "apps", "*"];
const RESOURCES: &[&str] = &["pods", "pods/log", "deployments", "*/scale", "deployments/scale", "*"];
const NAMES: &[&str] = &["a", "b"];
const URLS: &[&str] = &["/healthz", "/api/*", "/api", "*"];
const NAMESPACES: &[&str] = &["x", "y"];
const ROLES: &[&str] = &["r0", "r1", "r2", "missing"];

fn some(words: &'static [&'static str], max: usize) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(prop::sample::select(words).prop_map(str::to_owned), 0..=max)
}

fn rule() -> impl Strategy<Value = Value> {
    let resources = (some(VERBS, 2), some(GROUPS, 2), some(RESOURCES, 2), some(NAMES, 1)).prop_map(
        |(verbs, groups, resources, names)| {
            json!({"verbs": verbs, "apiGroups": groups, "resources": resources, "resourceNames": names})
        },
    );
    let urls = (some(VERBS, 2), some(URLS, 2))
        .prop_map(|(verbs, urls)| json!({"verbs": verbs, "nonResourceURLs": urls}));
    prop_oneof![3 => resources, 1 => urls]
}

fn role() -> impl Strategy<Value = Value> {
    let namespace = prop::option::of(prop::sample::select(NAMESPACES));
    (namespace, prop::sample::select(&ROLES[..3]), prop::collection::vec(rule(), 0..4)).prop_map(
        |(namespace, name, rules)| match namespace {
            Some(namespace) => {
                json!({"kind": "Role", "metadata": {"name": name, "namespace": namespace}, "rules": rules})
            }
            None => json!({"kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}),
        },
    )
}

fn subject() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(&["alice", "bob"][..]).prop_map(|name| json!({"kind": "User", "name": name})),
        prop::sample::select(&["dev", "ops"][..]).prop_map(|name| json!({"kind": "Group", "name": name})),
        prop::option::of(prop::sample::select(NAMESPACES))
            .prop_map(|home| json!({"kind": "ServiceAccount", "name": "web", "namespace": home})),
    ]
}

fn binding() -> impl Strategy<Value = Value> {
    let namespace = prop::option::of(prop::sample::select(NAMESPACES));
    let kind = prop::sample::select(&["Role", "ClusterRole"][..]);
    let subjects = prop::collection::vec(subject(), 0..3);
    (namespace, kind, prop::sample::select(ROLES), subjects, 0..6_u8).prop_map(
        |(namespace, kind, role, subjects, number)| {
            let (own, mut meta) = ("RoleBinding", json!({"name": format!("b{number}")}));
            let own = match namespace {
                Some(namespace) => {
                    meta["namespace"] = json!(namespace);
                    own.to_owned()
                }
                None => format!("Cluster{own}"),
            };
            json!({"kind": own, "metadata": meta, "roleRef": {"kind": kind, "name": role}, "subjects": subjects})
        },
    )
}

#[derive(Clone, Debug)]
struct Asked {
    user: User,
    verb: &'static str,
    path: Option<&'static str>,
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    namespace: &'static str,
    name: &'static str,
}

fn asked() -> impl Strategy<Value = Asked> {
    let user = (
        prop::sample::select(&["alice", "bob", "system:serviceaccount:x:web"][..]),
        prop::collection::vec(prop::sample::select(&["dev", "ops"][..]), 0..2),
    );
    let what = (
        prop::sample::select(&["get", "list", "create", "delete"][..]),
        prop::option::weighted(0.2, prop::sample::select(&["/healthz", "/api", "/api/v1", "/x"][..])),
        prop::sample::select(&["", "apps"][..]),
        prop::sample::select(&["pods", "deployments"][..]),
        prop::sample::select(&["", "log", "scale"][..]),
        prop::sample::select(&["", "x", "y"][..]),
        prop::sample::select(&["", "a", "c"][..]),
    );
    (user, what).prop_map(
        |((name, groups), (verb, path, group, resource, subresource, namespace, object))| Asked {
            user: crate::clock::user(name, &groups),
            verb,
            path,
            group,
            resource,
            subresource,
            namespace,
            name: object,
        },
    )
}

/// As the documentation of RBAC says it, binding by binding and rule by rule.
fn plainly(objects: &[Value], asked: &Asked) -> bool {
    let resource_request = asked.path.is_none();
    objects.iter().filter(|object| object["kind"].as_str().is_some_and(|kind| kind.ends_with("Binding"))).any(
        |binding| {
            let home = binding["metadata"]["namespace"].as_str().unwrap_or_default();
            let here = home.is_empty() || (resource_request && home == asked.namespace);
            let role_home = if binding["roleRef"]["kind"] == "Role" { home } else { "" };
            let valid = binding["roleRef"]["kind"] == "ClusterRole" || !home.is_empty();
            let role = objects.iter().find(|role| {
                role["kind"] == binding["roleRef"]["kind"]
                    && role["metadata"]["name"] == binding["roleRef"]["name"]
                    && role["metadata"]["namespace"].as_str().unwrap_or_default() == role_home
            });
            here && valid
                && binding["subjects"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|subject| names(subject, home, &asked.user))
                && role.is_some_and(|role| {
                    role["rules"].as_array().unwrap().iter().any(|rule| allows(rule, asked))
                })
        },
    )
}

fn names(subject: &Value, home: &str, user: &User) -> bool {
    let name = subject["name"].as_str().unwrap();
    match subject["kind"].as_str().unwrap() {
        "User" => user.name == name,
        "Group" => user.is_in(name),
        _ => {
            let home = subject["namespace"].as_str().unwrap_or(home);
            !home.is_empty() && user.name == format!("system:serviceaccount:{home}:{name}")
        }
    }
}

fn allows(rule: &Value, asked: &Asked) -> bool {
    let list = |field: &str| -> Vec<&str> {
        rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let has = |field: &str, word: &str| list(field).iter().any(|known| *known == "*" || *known == word);
    if let Some(path) = asked.path {
        return has("verbs", asked.verb)
            && list("nonResourceURLs").iter().any(|url| match url.strip_suffix('*') {
                Some(head) => path.starts_with(head),
                None => *url == path,
            });
    }
    let combined = match asked.subresource {
        "" => asked.resource.to_owned(),
        sub => format!("{}/{sub}", asked.resource),
    };
    let any_of_sub = format!("*/{}", asked.subresource);
    has("verbs", asked.verb)
        && has("apiGroups", asked.group)
        && (has("resources", &combined) || (!asked.subresource.is_empty() && has("resources", &any_of_sub)))
        && (list("resourceNames").is_empty() || list("resourceNames").contains(&asked.name))
}

fn compiled(authorizer: &Authorizer, asked: &Asked) -> auth::Decision {
    let attributes = match asked.path {
        Some(path) => Attributes::of_path(&asked.user, asked.verb, path),
        None => Attributes::of_resource(
            &asked.user,
            asked.verb,
            ResourceAttributes {
                group: asked.group,
                version: "v1",
                resource: asked.resource,
                subresource: asked.subresource,
                namespace: asked.namespace,
                name: asked.name,
                ..Default::default()
            },
        ),
    };
    authorizer.authorize(&attributes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn index_agrees_with_a_plain_reading(
        roles in prop::collection::vec(role(), 0..6),
        bindings in prop::collection::vec(binding(), 0..8),
        requests in prop::collection::vec(asked(), 1..20),
    ) {
        let mut objects: Vec<Value> = Vec::new();
        for object in roles.into_iter().chain(bindings) {
            let same = |other: &Value| other["kind"] == object["kind"] && other["metadata"] == object["metadata"];
            if !objects.iter().any(same) {
                objects.push(object);
            }
        }
        let authorizer = authorizer(objects.clone());
        for asked in &requests {
            let decision = compiled(&authorizer, asked);
            prop_assert_eq!(decision.is_allowed(), plainly(&objects, asked), "{:?} {:#?}", asked, objects);
            // The record names a binding that is there.
            if let Some(grant) = decision.reason().grant() {
                let there = objects.iter().any(|object| object["metadata"]["name"] == json!(grant.binding));
                prop_assert!(there);
            }
        }
    }
}
