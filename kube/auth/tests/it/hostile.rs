//! What others send never panics, whatever it is.

use std::sync::Arc;

use auth::authn::jwt::Unverified;
use auth::authn::{Authenticator, Credentials};
use auth::impersonate::impersonate;
use auth::rbac::escalation;
use auth::review::{Question, Reviewer, answer};
use auth::{csr, token};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::authentication::{config, key};
use crate::clock::{at, authorizer, cluster, user};

/// Any JSON, with the names that somebody looks for.
fn any_json() -> impl Strategy<Value = Value> {
    let names = &[
        "spec",
        "status",
        "metadata",
        "kind",
        "rules",
        "subjects",
        "roleRef",
        "name",
        "namespace",
        "token",
        "audiences",
        "resourceAttributes",
        "nonResourceAttributes",
        "fieldSelector",
        "requirements",
        "rawSelector",
        "conditions",
        "type",
        "request",
        "usages",
        "signerName",
        "boundObjectRef",
        "expirationSeconds",
        "groups",
        "extra",
        "verbs",
        "aggregationRule",
        "clusterRoleSelectors",
        "uid",
        "key",
        "operator",
        "values",
    ][..];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(&["In", "v1", "Pod", "Approved", "kubernetes.io/kube-apiserver-client"][..])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(names).prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn objects(body in any_json(), other in any_json()) {
        let key = key();
        let authenticator = Authenticator::new(config(&key), Arc::new(cluster([])));
        let authorizer = authorizer([]);
        let reviewer = Reviewer { authenticator: &authenticator, authorizer: &authorizer };
        let ann = user("ann", &["system:authenticated"]);
        for kind in ["TokenReview", "SubjectAccessReview", "LocalSubjectAccessReview", "SelfSubjectAccessReview",
            "SelfSubjectRulesReview", "SelfSubjectReview"] {
            let result = answer(&reviewer, &Question { kind, namespace: "ns", body: &body, user: &ann, now: at(0) });
            prop_assert!(result.map_or_else(|status| status.code < 500, |review| review.is_object()));
        }
        for plural in ["roles", "clusterroles", "rolebindings", "clusterrolebindings"] {
            let _ = escalation::check(&authorizer, &ann, plural, &body);
        }
        let _ = csr::validate_create(&body);
        let _ = csr::validate_update(&body, &other, "approval");
        let _ = csr::approve(&body, &authorizer, at(0));
        let _ = csr::check_subject(&body);
        let maker = token::Maker { key, url: "x".into(), audiences: Vec::new(), expiration_max_seconds: None };
        let _ = maker.issue(authorizer.cluster(), &other, Some(&other), &body, at(0));
        // A signed token may claim anything.
        let token = maker.key.sign(&body).unwrap();
        prop_assert!(authenticator.review_token(&token, &[], at(0)).is_err());
    }

    #[test]
    fn roles_and_pods(objects in prop::collection::vec(any_json(), 0..6)) {
        let kinds = ["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "Pod", "PersistentVolume"];
        let objects = objects.into_iter().zip(kinds).map(|(mut object, kind)| {
            if !object.is_object() {
                object = json!({});
            }
            object["kind"] = json!(kind);
            object
        });
        let authorizer = authorizer(objects);
        let node = user("system:node:n1", &["system:nodes"]);
        for resource in ["secrets", "persistentvolumes", "pods", "x"] {
            let asked = auth::ResourceAttributes { resource, namespace: "a", name: "b", ..Default::default() };
            let _ = authorizer.authorize(&auth::Attributes::of_resource(&node, "get", asked));
        }
        let _ = authorizer.rules_for(&node, "a");
        let _ = auth::bootstrap::plan(authorizer.cluster());
    }

    #[test]
    fn tokens_headers_and_requests(text in ".{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let encoded = URL_SAFE_NO_PAD.encode(&bytes);
        let _ = Unverified::parse(&text);
        let _ = Unverified::parse(&format!("{encoded}.{encoded}.{encoded}"));
        let pem = format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
            STANDARD.encode(&bytes));
        prop_assert!(csr::Request::parse(&STANDARD.encode(pem)).is_err());
        let authenticator = Authenticator::new(config(&key()), Arc::new(cluster([])));
        let name = format!("Impersonate-Extra-{text}");
        let headers: &[(&str, &str)] = &[("Impersonate-User", &text), (&name, &text), ("X-Remote-User", &text)];
        let certificates = [rustls::pki_types::CertificateDer::from(bytes)];
        let credentials = Credentials { peer_certificates: &certificates, bearer: Some(&text), headers: &headers,
            path: &text, audiences: &[] };
        prop_assert!(authenticator.authenticate(&credentials, at(0)).is_err());
        let asks = impersonate(&headers, &user("x", &[]), &authorizer([]));
        prop_assert!(asks.is_err());
    }
}
