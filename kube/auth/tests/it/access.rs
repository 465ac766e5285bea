//! What RBAC answers, in upstream's words.

use auth::{Attributes, Decision, ResourceAttributes};
use serde_json::{Value, json};

use crate::clock::{authorizer, user};

fn objects() -> Vec<Value> {
    vec![
        json!({"kind": "ClusterRole", "metadata": {"name": "reader"},
            "rules": [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]},
                {"verbs": ["get"], "nonResourceURLs": ["/metrics"]}]}),
        json!({"kind": "Role", "metadata": {"name": "writer", "namespace": "a"},
            "rules": [{"verbs": ["*"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["x"]}]}),
        json!({"kind": "ClusterRoleBinding", "metadata": {"name": "read-all"},
            "roleRef": {"kind": "ClusterRole", "name": "reader"},
            "subjects": [{"kind": "Group", "name": "dev"}]}),
        json!({"kind": "RoleBinding", "metadata": {"name": "write-a", "namespace": "a"},
            "roleRef": {"kind": "Role", "name": "writer"},
            "subjects": [{"kind": "ServiceAccount", "name": "bot", "namespace": "b"}]}),
        json!({"kind": "RoleBinding", "metadata": {"name": "broken", "namespace": "a"},
            "roleRef": {"kind": "ClusterRole", "name": "nothing"},
            "subjects": [{"kind": "User", "name": "eve"}]}),
    ]
}

/// `verb group/resource/subresource namespace name`, or `verb /path`.
fn check(who: &str, groups: &[&str], what: [&str; 4], answer: &str) {
    let authorizer = authorizer(objects());
    let user = user(who, groups);
    let [verb, resource, namespace, name] = what;
    let mut parts = resource.split('/');
    let asked = ResourceAttributes {
        resource: parts.next().unwrap_or_default(),
        subresource: parts.next().unwrap_or_default(),
        namespace,
        name,
        ..Default::default()
    };
    let attributes = if resource.starts_with('/') {
        Attributes::of_path(&user, verb, resource)
    } else {
        Attributes::of_resource(&user, verb, asked)
    };
    let decision = authorizer.authorize(&attributes);
    let said = match &decision {
        Decision::Allow { reason } => format!("yes {reason}"),
        Decision::Deny { reason } => format!("never {reason}"),
        Decision::NoOpinion { reason } => format!("no {reason}"),
    };
    assert_eq!(said.trim(), answer, "{who} {what:?}");
}

#[test]
fn says_which_binding_allowed() {
    let group =
        r#"yes RBAC: allowed by ClusterRoleBinding "read-all" of ClusterRole "reader" to Group "dev""#;
    let bot = r#"yes RBAC: allowed by RoleBinding "write-a/a" of Role "writer" to ServiceAccount "bot/b""#;
    let eve = r#"no RBAC: clusterrole.rbac.authorization.k8s.io "nothing" not found"#;
    let account = "system:serviceaccount:b:bot";
    check("ann", &["dev"], ["list", "pods", "a", ""], group);
    check("ann", &["dev"], ["list", "pods", "", ""], group);
    check("ann", &["dev"], ["get", "/metrics", "", ""], group);
    check("ann", &["dev"], ["get", "/metrics/x", "", ""], "no");
    check("ann", &["dev"], ["get", "pods/log", "a", "p"], "no");
    check("ann", &["ops"], ["list", "pods", "a", ""], "no");
    check(account, &[], ["delete", "configmaps", "a", "x"], bot);
    check(account, &[], ["delete", "configmaps", "a", "y"], "no");
    check(account, &[], ["delete", "configmaps", "b", "x"], "no");
    check("eve", &[], ["get", "pods", "a", ""], eve);
    check("eve", &[], ["get", "pods", "b", ""], "no");
    check("root", &["system:masters"], ["anything", "things", "", ""], "yes");
}

#[test]
fn the_record_names_binding_and_role() {
    let authorizer = authorizer(objects());
    let ann = user("ann", &["dev"]);
    let pods = ResourceAttributes { resource: "pods", ..Default::default() };
    let decision = authorizer.authorize(&Attributes::of_resource(&ann, "get", pods));
    let grant = decision.reason().grant().unwrap();
    assert_eq!(
        (grant.binding.as_str(), grant.role_kind.as_str(), grant.role.as_str(), grant.subject.as_str()),
        ("read-all", "ClusterRole", "reader", "dev")
    );
}
