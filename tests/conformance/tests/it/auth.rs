//! `[sig-auth]`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::operations::support;
use crate::rig::{JSON_PATCH, STRATEGIC_PATCH, rig, unique, wait_for};

/// [sig-auth] Certificates API [Privileged:ClusterAdmin] should support CSR API operations [Conformance]
#[test]
fn certificates_api_should_support_csr_api_operations() {
    let rig = rig();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "e2e-csr");
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    let object = json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": unique("csr")},
        "spec": {"request": STANDARD.encode(request), "signerName": "example.com/e2e-csr",
            "expirationSeconds": 3600, "usages": ["digital signature", "client auth"]}});
    let status = json!({"conditions": [{"type": "StatusUpdate", "status": "True",
        "reason": "E2E", "message": "Set by a test"}]});
    support(&rig, "certificates.k8s.io", "certificatesigningrequests", &object, Some(&status));

    let all = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let made = rig.create(all, &object).ok();
    let path = format!("{all}/{}", made["metadata"]["name"].as_str().unwrap());
    let mut approved = rig.get(&format!("{path}/approval")).ok();
    approved["status"]["conditions"] = json!([{"type": "Approved", "status": "True", "reason": "E2E"}]);
    let approved = rig.update(&format!("{path}/approval"), &approved).ok();
    assert_eq!(approved["status"]["conditions"][0]["type"], "Approved");
    let patch = json!({"metadata": {"annotations": {"patchedapproval": "true"}}});
    let patched = rig.patch(&format!("{path}/approval"), STRATEGIC_PATCH, &patch).ok();
    assert_eq!(patched["metadata"]["annotations"]["patchedapproval"], "true");
    rig.delete(&path).ok();
}

/// [sig-auth] ServiceAccounts should create a serviceAccountToken and ensure a successful TokenReview [Conformance]
#[test]
fn service_accounts_should_create_a_service_account_token_and_ensure_a_successful_token_review() {
    let rig = rig();
    let namespace = rig.namespace();
    let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "e2e-sa"}});
    let account = rig.create(&accounts, &account).ok();
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let granted = rig.create(&format!("{accounts}/e2e-sa/token"), &request).ok();
    let token = granted["status"]["token"].as_str().unwrap();
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": {"token": token}});
    let answer = rig.create("/apis/authentication.k8s.io/v1/tokenreviews", &review).ok();
    assert_eq!(answer["status"]["authenticated"], true, "{answer}");
    let user = &answer["status"]["user"];
    assert_eq!(user["username"], format!("system:serviceaccount:{namespace}:e2e-sa"));
    assert_eq!(user["uid"], account["metadata"]["uid"]);
    rig.delete(&format!("{accounts}/e2e-sa")).ok();
}

/// [sig-auth] ServiceAccounts should guarantee kube-root-ca.crt exist in any namespace [Conformance]
#[test]
fn service_accounts_should_guarantee_kube_root_ca_crt_exist_in_any_namespace() {
    let rig = rig();
    let path = format!("/api/v1/namespaces/{}/configmaps/kube-root-ca.crt", rig.namespace());
    let holds = || {
        let found = rig.get(&path);
        found.code == 200 && found.json()["data"]["ca.crt"] == rig.authority
    };
    wait_for("the authority", holds);
    let uid = rig.get(&path).ok()["metadata"]["uid"].clone();
    rig.delete(&path).ok();
    wait_for("the authority again", || holds() && rig.get(&path).json()["metadata"]["uid"] != uid);
    let mut wrong = rig.get(&path).ok();
    wrong["data"] = json!({"ca.crt": ""});
    rig.update(&path, &wrong).ok();
    wait_for("the authority set right", holds);
}

/// [sig-auth] ServiceAccounts should run through the lifecycle of a ServiceAccount [Conformance]
#[test]
fn service_accounts_should_run_through_the_lifecycle_of_a_service_account() {
    let rig = rig();
    let accounts = format!("/api/v1/namespaces/{}/serviceaccounts", rig.namespace());
    let mut watch = rig.watch(&accounts);
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "testserviceaccount", "labels": {"test-serviceaccount-static": "true"}}});
    rig.create(&accounts, &account).ok();
    let named = |seen: &serde_json::Value| seen["metadata"]["name"] == "testserviceaccount";
    watch.until("ADDED", named);
    let path = format!("{accounts}/testserviceaccount");
    let patched = rig.patch(&path, STRATEGIC_PATCH, &json!({"automountServiceAccountToken": false})).ok();
    assert_eq!(patched["automountServiceAccountToken"], false);
    let seen = watch.until("MODIFIED", named);
    assert_eq!(seen["automountServiceAccountToken"], false);
    let selected = "labelSelector=test-serviceaccount-static%3Dtrue";
    let list = rig.get(&format!("/api/v1/serviceaccounts?{selected}")).ok();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    rig.delete(&format!("{accounts}?{selected}")).ok();
    watch.until("DELETED", named);
    rig.get(&path).refused(404);
}

/// [sig-auth] ServiceAccounts should update a ServiceAccount [Conformance]
#[test]
fn service_accounts_should_update_a_service_account() {
    let rig = rig();
    let accounts = format!("/api/v1/namespaces/{}/serviceaccounts", rig.namespace());
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "e2e-sa"}, "automountServiceAccountToken": true});
    let mut made = rig.create(&accounts, &account).ok();
    made["automountServiceAccountToken"] = json!(false);
    let updated = rig.update(&format!("{accounts}/e2e-sa"), &made).ok();
    assert_eq!(updated["automountServiceAccountToken"], false);
    let patch = json!([{"op": "replace", "path": "/automountServiceAccountToken", "value": true}]);
    let patched = rig.patch(&format!("{accounts}/e2e-sa"), JSON_PATCH, &patch).ok();
    assert_eq!(patched["automountServiceAccountToken"], true);
}

/// [sig-auth] SubjectReview should support SubjectReview API operations [Conformance]
#[test]
fn subject_review_should_support_subject_review_api_operations() {
    let rig = rig();
    let namespace = rig.namespace();
    let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "e2e"}});
    rig.create(&accounts, &account).ok();
    let user = format!("system:serviceaccount:{namespace}:e2e");
    let ask = |path: &str, kind: &str, user: Option<&str>| {
        let mut spec = json!({"resourceAttributes": {"verb": "list", "resource": "configmaps",
            "version": "v1", "namespace": namespace}});
        if let Some(user) = user {
            spec["user"] = json!(user);
        }
        let mut review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec});
        if kind.starts_with("Local") {
            review["metadata"] = json!({"namespace": namespace});
        }
        let answer = rig.create(&format!("/apis/authorization.k8s.io/v1/{path}"), &review).ok();
        answer["status"]["allowed"].as_bool().unwrap()
    };
    let local = format!("namespaces/{namespace}/localsubjectaccessreviews");
    assert!(!ask("subjectaccessreviews", "SubjectAccessReview", Some(&user)));
    assert!(!ask(&local, "LocalSubjectAccessReview", Some(&user)));
    assert!(ask("selfsubjectaccessreviews", "SelfSubjectAccessReview", None));

    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "view"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "e2e", "namespace": namespace}]});
    let bindings = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings");
    rig.create(&bindings, &binding).ok();
    wait_for("the right", || ask("subjectaccessreviews", "SubjectAccessReview", Some(&user)));
    assert!(ask(&local, "LocalSubjectAccessReview", Some(&user)));
}
