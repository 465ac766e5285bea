//! Nobody grants what they do not hold.

use auth::rbac::escalation::{check_binding, check_role};
use serde_json::{Value, json};

use crate::clock::{authorizer, user};

fn objects() -> Vec<Value> {
    let grant = |name: &str, user: &str| {
        json!({"kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"kind": "ClusterRole", "name": name}, "subjects": [{"kind": "User", "name": user}]})
    };
    let role =
        |name: &str, rules: Value| json!({"kind": "ClusterRole", "metadata": {"name": name}, "rules": rules});
    let rbac = |verb: &str, resource: &str| json!([{"verbs": [verb], "apiGroups": ["rbac.authorization.k8s.io"], "resources": [resource]}]);
    vec![
        role(
            "pods",
            json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]},
            {"verbs": ["get"], "apiGroups": ["*"], "resources": ["*/scale"]},
            {"verbs": ["get"], "nonResourceURLs": ["/api/*"]}]),
        ),
        role("escalator", rbac("escalate", "clusterroles")),
        role("binder", rbac("bind", "clusterroles")),
        role("secrets", json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}])),
        role(
            "all",
            json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
            {"verbs": ["*"], "nonResourceURLs": ["*"]}]),
        ),
        grant("pods", "ann"),
        grant("escalator", "eva"),
        grant("binder", "bea"),
        grant("all", "root"),
    ]
}

fn role(rules: Value) -> Value {
    json!({"kind": "ClusterRole", "metadata": {"name": "new"}, "rules": rules})
}

#[test]
fn roles() {
    let authorizer = authorizer(objects());
    let pods = json!([{"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}]);
    let scale = json!([{"verbs": ["get"], "apiGroups": ["apps"], "resources": ["deployments/scale"]}]);
    let url = json!([{"verbs": ["get"], "nonResourceURLs": ["/api/v1"]}]);
    let named = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}]);
    let more =
        json!([{"verbs": ["get", "delete", "patch"], "apiGroups": [""], "resources": ["pods", "secrets"]}]);
    for (who, rules, allowed) in [
        ("ann", &pods, true),
        ("ann", &scale, true),
        ("ann", &url, true),
        ("ann", &named, true),
        ("ann", &more, false),
        ("eva", &more, true),
        ("root", &more, true),
        ("bob", &pods, false),
    ] {
        let result = check_role(&authorizer, &user(who, &[]), "clusterroles", &role(rules.clone()), None);
        assert_eq!(result.is_ok(), allowed, "{who} {rules}");
    }
    let ann = user("ann", &["dev", "system:authenticated"]);
    let status = check_role(&authorizer, &ann, "clusterroles", &role(more.clone()), None).unwrap_err();
    assert_eq!(status.code, 403);
    assert_eq!(
        status.message,
        "clusterroles.rbac.authorization.k8s.io \"new\" is forbidden: user \"ann\" \
         (groups=[\"dev\" \"system:authenticated\"]) is attempting to grant RBAC permissions not currently \
         held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\" \"patch\"]}\n\
         {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"delete\" \"patch\"]}"
    );
    // Garbage collection may go on; a label may not be set, it might add the rules to a sum.
    let old = role(more);
    let mut collected = old.clone();
    collected["metadata"]["finalizers"] = json!(["x"]);
    assert!(check_role(&authorizer, &ann, "clusterroles", &collected, Some(&old)).is_ok());
    let mut labelled = old.clone();
    labelled["metadata"]["labels"] = json!({"rbac.authorization.k8s.io/aggregate-to-view": "true"});
    assert!(check_role(&authorizer, &ann, "clusterroles", &labelled, Some(&old)).is_err());
    let mut sum = role(json!([]));
    sum["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]});
    let status = check_role(&authorizer, &ann, "clusterroles", &sum, None).unwrap_err();
    assert!(status.message.ends_with("must have cluster-admin privileges to use an aggregationRule"));
    assert!(check_role(&authorizer, &user("root", &[]), "clusterroles", &sum, None).is_ok());
}

#[test]
fn bindings() {
    let authorizer = authorizer(objects());
    let cluster = authorizer.cluster();
    let binding = |role: &str| {
        json!({"kind": "ClusterRoleBinding", "metadata": {"name": "new"},
            "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": [{"kind": "User", "name": "x"}]})
    };
    let check = |who: &str, role: &str| {
        check_binding(&authorizer, cluster, &user(who, &[]), "clusterrolebindings", &binding(role), None)
    };
    assert!(check("ann", "pods").is_ok());
    assert!(check("bea", "secrets").is_ok());
    assert!(check("bea", "not-there").is_ok());
    assert!(check("root", "secrets").is_ok());
    let status = check("ann", "secrets").unwrap_err();
    assert_eq!(
        status.message,
        "clusterrolebindings.rbac.authorization.k8s.io \"new\" is forbidden: user \"ann\" (groups=[]) is \
         attempting to grant RBAC permissions not currently held:\n\
         {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}"
    );
    assert_eq!(check("ann", "not-there").unwrap_err().code, 404);
    let old = binding("secrets");
    let mut new = old.clone();
    new["metadata"]["ownerReferences"] = json!([]);
    let ann = user("ann", &[]);
    assert!(check_binding(&authorizer, cluster, &ann, "clusterrolebindings", &new, Some(&old)).is_ok());
}
