//! The roles that a cluster starts with.

use std::collections::BTreeSet;
use std::sync::Arc;

use auth::bootstrap::{Step, objects, plan};
use auth::rbac::aggregate::aggregate_all;
use auth::{Attributes, ResourceAttributes};
use serde_json::{Value, json};

use crate::clock::{authorizer, cluster, user};

fn apply(mut objects: Vec<Value>, steps: Vec<Step>) -> Vec<Value> {
    for step in steps {
        let (Step::Create(new) | Step::Update(new) | Step::Replace(new)) = step;
        let same = |old: &Value| {
            old["kind"] == new["kind"]
                && old["metadata"]["name"] == new["metadata"]["name"]
                && old["metadata"]["namespace"] == new["metadata"]["namespace"]
        };
        objects.retain(|old| !same(old));
        objects.push(new);
    }
    objects
}

#[test]
fn are_many_and_each_once() {
    let objects = objects();
    let count = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).count();
    let names: BTreeSet<_> = objects
        .iter()
        .map(|object| {
            format!("{} {} {}", object["kind"], object["metadata"]["namespace"], object["metadata"]["name"])
        })
        .collect();
    assert_eq!(names.len(), objects.len());
    assert!(count("ClusterRole") >= 68, "{}", count("ClusterRole"));
    assert!(count("ClusterRoleBinding") >= 49, "{}", count("ClusterRoleBinding"));
    // One binding is of ours: nodes read whom clients are signed by.
    assert_eq!((count("Role"), count("RoleBinding")), (7, 8));
    for object in &objects {
        assert_eq!(object["metadata"]["labels"]["kubernetes.io/bootstrapping"], "rbac-defaults");
        assert_eq!(object["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"], "true");
        // Every binding's role is there.
        if object["kind"].as_str().unwrap().ends_with("Binding") {
            let role = &object["roleRef"];
            assert!(
                objects.iter().any(|o| o["kind"] == role["kind"]
                    && o["metadata"]["name"] == role["name"]
                    && (role["kind"] == "ClusterRole"
                        || o["metadata"]["namespace"] == object["metadata"]["namespace"])),
                "{role}"
            );
        }
    }
    let role =
        objects.iter().find(|object| object["metadata"]["name"] == "system:aggregate-to-edit").unwrap();
    assert_eq!(role["rules"][0]["resources"][0], "pods/attach");
    assert_eq!(role["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"], "true");
}

#[test]
fn are_reconciled_once() {
    let steps = plan(&cluster([]));
    assert_eq!(steps.len(), objects().len());
    let all = apply(Vec::new(), steps);
    assert_eq!(plan(&cluster(all.clone())), []);
    let change = |name: &str, kind: &str, edit: &dyn Fn(&mut Value)| {
        let mut all = all.clone();
        let found = all.iter_mut().find(|o| o["metadata"]["name"] == name && o["kind"] == kind).unwrap();
        edit(found);
        plan(&cluster(all.clone()))
    };
    // What is missing comes back, what somebody added stays.
    let steps = change("system:discovery", "ClusterRole", &|role| {
        role["rules"] = json!([{"verbs": ["get"], "nonResourceURLs": ["/mine"]}]);
    });
    let [Step::Update(role)] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!(role["rules"][0]["nonResourceURLs"], json!(["/mine"]));
    assert!(role["rules"].as_array().unwrap().len() > 5);
    let steps = change("cluster-admin", "ClusterRoleBinding", &|binding| binding["subjects"] = json!([]));
    let [Step::Update(binding)] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!(binding["subjects"][0]["name"], "system:masters");
    let steps = change("cluster-admin", "ClusterRoleBinding", &|binding| {
        binding["roleRef"]["name"] = json!("view");
    });
    assert!(matches!(steps.as_slice(), [Step::Replace(_)]));
    let steps = change("view", "ClusterRole", &|role| role["aggregationRule"] = Value::Null);
    assert!(matches!(steps.as_slice(), [Step::Update(_)]));
    // Who says no is left alone.
    let steps = change("system:discovery", "ClusterRole", &|role| {
        role["rules"] = json!([]);
        role["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = json!("false");
    });
    assert_eq!(steps, []);
}

#[test]
fn admin_edit_and_view_come_out_of_aggregation() {
    let mut all = objects();
    let roles: Vec<_> =
        all.iter().filter(|object| object["kind"] == "ClusterRole").cloned().map(Arc::new).collect();
    assert_eq!(aggregate_all(&roles), Vec::<Value>::new());
    for (role, subject) in [("admin", "ann"), ("edit", "ed"), ("view", "vi")] {
        all.push(json!({"kind": "RoleBinding", "metadata": {"name": role, "namespace": "a"},
            "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": [{"kind": "User", "name": subject}]}));
    }
    let authorizer = authorizer(all);
    for (who, verb, group, resource, namespace, allowed) in [
        ("vi", "list", "", "pods", "a", true),
        ("vi", "list", "apps", "deployments", "a", true),
        ("vi", "list", "", "secrets", "a", false),
        ("vi", "list", "", "pods", "b", false),
        ("vi", "create", "", "pods", "a", false),
        ("ed", "create", "", "pods", "a", true),
        ("ed", "get", "", "secrets", "a", true),
        ("ed", "list", "", "pods", "a", true),
        ("ed", "create", "rbac.authorization.k8s.io", "roles", "a", false),
        ("ann", "create", "rbac.authorization.k8s.io", "roles", "a", true),
        ("ann", "create", "apps", "deployments", "a", true),
        ("ann", "create", "", "namespaces", "a", false),
        ("system:kube-scheduler", "list", "", "nodes", "", true),
        (
            "system:serviceaccount:kube-system:deployment-controller",
            "create",
            "apps",
            "replicasets",
            "b",
            true,
        ),
        ("system:serviceaccount:kube-system:namespace-controller", "delete", "x.io", "things", "b", true),
        ("system:serviceaccount:kube-system:namespace-controller", "create", "x.io", "things", "b", false),
    ] {
        let user = user(who, &["system:authenticated"]);
        let asked = ResourceAttributes { group, resource, namespace, ..Default::default() };
        let decision = authorizer.authorize(&Attributes::of_resource(&user, verb, asked));
        assert_eq!(decision.is_allowed(), allowed, "{who} {verb} {resource}");
    }
    for (groups, path, allowed) in [
        (&["system:authenticated"][..], "/apis/apps/v1", true),
        (&["system:unauthenticated"], "/apis", false),
        (&["system:unauthenticated"], "/version", true),
        (&["system:authenticated"], "/metrics", false),
        (&["system:monitoring"], "/metrics", true),
        (&["system:serviceaccounts"], "/openid/v1/jwks", true),
    ] {
        let user = user("x", groups);
        let decision = authorizer.authorize(&Attributes::of_path(&user, "get", path));
        assert_eq!(decision.is_allowed(), allowed, "{groups:?} {path}");
    }
}
