//! The review kinds, and acting as another.

use std::sync::Arc;

use auth::authn::Authenticator;
use auth::impersonate::impersonate;
use auth::review::{Question, Reviewer, answer};
use kube_object::status::Status;
use serde_json::{Value, json};

use crate::authentication::{config, key};
use crate::clock::{at, authorizer, cluster, user};

fn objects() -> Vec<Value> {
    let bind = |role: &str, who: &str| {
        json!({"kind": "ClusterRoleBinding", "metadata": {"name": role},
            "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": [{"kind": "User", "name": who}]})
    };
    let impersonate = |group: &str, resources: Value, names: Value| json!({"verbs": ["impersonate"], "apiGroups": [group], "resources": resources, "resourceNames": names});
    vec![
        json!({"kind": "ClusterRole", "metadata": {"name": "reader"}, "rules": [
            {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]},
            {"verbs": ["get"], "nonResourceURLs": ["/x"]}]}),
        bind("reader", "ann"),
        json!({"kind": "ClusterRole", "metadata": {"name": "actor"}, "rules": [
            impersonate("", json!(["users"]), json!(["bob"])),
            impersonate("", json!(["groups"]), json!(["dev"])),
            impersonate("", json!(["serviceaccounts"]), json!(["web"])),
            impersonate("authentication.k8s.io", json!(["uids"]), json!(["7"])),
            impersonate("authentication.k8s.io", json!(["userextras/scope"]), json!(["a"]))]}),
        bind("actor", "act"),
    ]
}

fn ask(kind: &str, body: Value) -> Result<Value, Status> {
    let key = key();
    let authenticator = Authenticator::new(config(&key), Arc::new(cluster([])));
    let authorizer = authorizer(objects());
    let reviewer = Reviewer { authenticator: &authenticator, authorizer: &authorizer };
    let ann = user("ann", &["system:authenticated"]);
    answer(&reviewer, &Question { kind, namespace: "ns", body: &body, user: &ann, now: at(0) })
}

#[test]
fn says_who_a_token_is() {
    let review = ask("TokenReview", json!({"spec": {"token": "static"}})).unwrap();
    assert_eq!(
        review["status"],
        json!({"authenticated": true, "user": {"username": "sam", "groups": ["s", "system:authenticated"]},
            "audiences": ["https://kubernetes.default.svc.cluster.local", "api"]})
    );
    let review = ask("TokenReview", json!({"spec": {"token": "static", "audiences": ["api", "x"]}})).unwrap();
    assert_eq!(review["status"]["audiences"], json!(["api"]));
    for body in [json!({"spec": {"token": "no"}}), json!({"spec": {"token": "static", "audiences": ["x"]}})] {
        let review = ask("TokenReview", body).unwrap();
        assert_eq!(review["status"], json!({"user": {}, "error": "invalid bearer token"}));
    }
    let status = ask("TokenReview", json!({"spec": {}})).unwrap_err();
    assert_eq!(
        (status.code, status.message.as_str()),
        (400, "token is required for TokenReview in authentication")
    );
}

#[test]
fn says_who_may() {
    let pods =
        |verb: &str, name: &str| json!({"verb": verb, "resource": "pods", "name": name, "namespace": "ns"});
    let reason = "RBAC: allowed by ClusterRoleBinding \"reader\" of ClusterRole \"reader\" to User \"ann\"";
    for (kind, body, status) in [
        (
            "SelfSubjectAccessReview",
            json!({"spec": {"resourceAttributes": pods("get", "a")}, "metadata": {"creationTimestamp": null}}),
            json!({"allowed": true, "reason": reason}),
        ),
        (
            "SelfSubjectAccessReview",
            json!({"spec": {"resourceAttributes": pods("get", "b")}}),
            json!({"allowed": false}),
        ),
        (
            "SelfSubjectAccessReview",
            json!({"spec": {"nonResourceAttributes": {"path": "/x", "verb": "get"}}}),
            json!({"allowed": true, "reason": reason}),
        ),
        (
            "SubjectAccessReview",
            json!({"spec": {"user": "bob", "groups": ["system:masters"], "resourceAttributes": pods("x", "b")}}),
            json!({"allowed": true}),
        ),
        (
            "SubjectAccessReview",
            json!({"spec": {"user": "system:node:n1", "groups": ["system:nodes"], "resourceAttributes": {
                "verb": "list", "resource": "pods", "fieldSelector": {"requirements": [
                    {"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]}}}}),
            json!({"allowed": true}),
        ),
        (
            "SubjectAccessReview",
            json!({"spec": {"user": "system:node:n1", "groups": ["system:nodes"], "resourceAttributes": {
                "verb": "list", "resource": "pods", "fieldSelector": {"rawSelector": "spec.nodeName=n1"}}}}),
            json!({"allowed": true}),
        ),
        (
            "LocalSubjectAccessReview",
            json!({"metadata": {"namespace": "ns"}, "spec": {"user": "ann", "resourceAttributes": pods("get", "a")}}),
            json!({"allowed": true, "reason": reason}),
        ),
    ] {
        assert_eq!(ask(kind, body.clone()).unwrap()["status"], status, "{body}");
    }
}

#[test]
fn refuses_in_upstreams_words() {
    let attributes = json!({"verb": "get", "resource": "pods", "namespace": "other"});
    for (kind, body, message) in [
        (
            "SelfSubjectAccessReview",
            json!({"spec": {}}),
            "SelfSubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.resourceAttributes: Invalid value: \
             \"null\": exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        (
            "SubjectAccessReview",
            json!({"spec": {"resourceAttributes": attributes}}),
            "SubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.user: Invalid value: \"\": at least one \
             of user or group must be specified",
        ),
        (
            "LocalSubjectAccessReview",
            json!({"metadata": {"namespace": "ns"}, "spec": {"user": "a", "resourceAttributes": attributes}}),
            "LocalSubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.resourceAttributes.namespace: \
             Invalid value: \"other\": must match metadata.namespace",
        ),
        (
            "SelfSubjectAccessReview",
            json!({"metadata": {"name": "x"}, "spec": {"resourceAttributes": attributes}}),
            "SelfSubjectAccessReview.authorization.k8s.io \"\" is invalid: metadata: Invalid value: {\"name\":\"x\"}: \
             must be empty",
        ),
        ("SelfSubjectRulesReview", json!({"spec": {}}), "no namespace on request"),
    ] {
        assert_eq!(ask(kind, body).unwrap_err().message, message);
    }
}

#[test]
fn says_who_one_is_and_what_one_may() {
    let review = ask("SelfSubjectReview", json!({"kind": "SelfSubjectReview"})).unwrap();
    assert_eq!(
        review["status"],
        json!({"userInfo": {"username": "ann", "groups": ["system:authenticated"]}})
    );
    assert_eq!(review["metadata"]["creationTimestamp"], "2026-05-28T20:26:40Z");
    let review = ask("SelfSubjectRulesReview", json!({"spec": {"namespace": "ns"}})).unwrap();
    assert_eq!(
        review["status"],
        json!({"resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}],
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}], "incomplete": false})
    );
}

#[test]
fn acts_as_another() {
    let authorizer = authorizer(objects());
    let act = user("act", &["system:authenticated"]);
    let try_as = |headers: &[(&str, &str)]| -> Result<Option<String>, String> {
        let found = impersonate(&headers, &act, &authorizer).map_err(|status| status.message)?;
        Ok(found.map(|user| format!("{} {} {} {:?}", user.name, user.uid, user.groups.join(","), user.extra)))
    };
    assert_eq!(try_as(&[("Accept", "x")]), Ok(None));
    assert_eq!(
        try_as(&[
            ("Impersonate-User", "bob"),
            ("impersonate-group", "dev"),
            ("Impersonate-Uid", "7"),
            ("Impersonate-Extra-Scope", "a")
        ]),
        Ok(Some("bob 7 dev,system:authenticated {\"scope\": [\"a\"]}".to_owned()))
    );
    assert_eq!(
        try_as(&[("Impersonate-User", "system:serviceaccount:ns:web")]),
        Ok(Some(
            "system:serviceaccount:ns:web  system:serviceaccounts,system:serviceaccounts:ns,system:authenticated {}"
                .to_owned()
        ))
    );
    for (headers, message) in [
        (
            &[("Impersonate-User", "root")][..],
            "users \"root\" is forbidden: User \"act\" cannot impersonate resource \"users\" in API group \"\" at the \
             cluster scope",
        ),
        (
            &[("Impersonate-User", "bob"), ("Impersonate-Group", "system:masters")],
            "groups \"system:masters\" is forbidden: User \"act\" cannot impersonate resource \"groups\" in API group \
             \"\" at the cluster scope",
        ),
        (
            &[("Impersonate-User", "bob"), ("Impersonate-Extra-Scope", "b")],
            "userextras.authentication.k8s.io \"b\" is forbidden: User \"act\" cannot impersonate resource \
             \"userextras/scope\" in API group \"authentication.k8s.io\" at the cluster scope",
        ),
        (
            &[("Impersonate-User", "system:serviceaccount:ns:root")],
            "serviceaccounts \"root\" is forbidden: User \"act\" cannot impersonate resource \"serviceaccounts\" in \
             API group \"\" in the namespace \"ns\"",
        ),
    ] {
        assert_eq!(try_as(headers).unwrap_err(), message);
    }
    assert!(try_as(&[("Impersonate-Group", "dev")]).is_err());
}
