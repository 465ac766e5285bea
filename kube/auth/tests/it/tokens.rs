//! `TokenRequest`, and what becomes of the token.

use std::sync::Arc;

use auth::authn::Authenticator;
use auth::authn::jwt::SigningKey;
use auth::token::{Bound, Issuer, bound_object, jwks, openid_configuration, request};
use kube_object::status::Status;
use serde_json::{Value, json};

use crate::authentication::{ISSUER, config, key};
use crate::clock::{at, cluster};

fn account() -> Value {
    json!({"kind": "ServiceAccount", "metadata": {"name": "web", "namespace": "ns", "uid": "u1"}})
}

fn pod() -> Value {
    json!({"kind": "Pod", "metadata": {"name": "pod", "namespace": "ns", "uid": "p1"},
        "spec": {"serviceAccountName": "web", "nodeName": "n1"}})
}

fn node() -> Value {
    json!({"kind": "Node", "metadata": {"name": "n1", "uid": "nu1"}})
}

fn ask(key: &SigningKey, spec: Value, object: Option<&Value>) -> Result<Value, Status> {
    let audiences = [ISSUER.to_owned(), "api".to_owned()];
    let issuer = Issuer {
        key,
        url: ISSUER,
        audiences: &audiences,
        expiration_max_seconds: None,
        extend_expiration: true,
    };
    let node = node();
    let account = account();
    let bound = Bound { account: &account, object, node: Some(&node) };
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    request(&issuer, &bound, &body, "id-1", at(0))
}

#[test]
fn makes_tokens_that_are_believed() {
    let key = key();
    let objects = || [account(), pod(), node()];
    let authenticator = Authenticator::new(config(&key), Arc::new(cluster(objects())));
    let pod = pod();
    let reference = json!({"apiVersion": "v1", "kind": "Pod", "name": "pod", "uid": "p1"});
    for (spec, object, expires, audiences) in [
        (json!({}), None, "2026-05-28T21:26:40Z", json!([ISSUER, "api"])),
        (
            json!({"audiences": ["vault"], "expirationSeconds": 600}),
            None,
            "2026-05-28T20:36:40Z",
            json!(["vault"]),
        ),
        (json!({"boundObjectRef": reference}), Some(&pod), "2026-05-28T21:26:40Z", json!([ISSUER, "api"])),
        (
            json!({"boundObjectRef": reference, "expirationSeconds": 3607}),
            Some(&pod),
            "2026-05-28T21:26:47Z",
            json!([ISSUER, "api"]),
        ),
    ] {
        let answer = ask(&key, spec.clone(), object).unwrap();
        assert_eq!(answer["status"]["expirationTimestamp"], expires, "{spec}");
        assert_eq!(answer["spec"]["audiences"], audiences);
        assert_eq!(answer["metadata"]["name"], "web");
        let token = answer["status"]["token"].as_str().unwrap();
        let wanted: Vec<String> = serde_json::from_value(audiences).unwrap();
        let found = authenticator.review_token(token, &wanted, at(1)).unwrap();
        assert_eq!(found.user.name, "system:serviceaccount:ns:web");
        assert_eq!(found.audiences, wanted);
        // A pod's own token of 3607 seconds lives a year.
        let late = authenticator.review_token(token, &wanted, at(30 * 24 * 3600));
        assert_eq!(late.is_ok(), spec["expirationSeconds"] == 3607, "{spec}");
        let bound = found.user.extra.contains_key("authentication.kubernetes.io/node-uid");
        assert_eq!(bound, object.is_some());
    }
}

#[test]
fn refuses_in_upstreams_words() {
    let key = key();
    let reference = |kind: &str, uid: &str| json!({"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": "pod", "uid": uid}});
    let mut other = pod();
    other["spec"]["serviceAccountName"] = json!("default");
    let pod = pod();
    for (spec, object, code, message) in [
        (
            json!({"expirationSeconds": 599}),
            None,
            422,
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 599: \
             may not specify a duration less than 10 minutes",
        ),
        (
            json!({"expirationSeconds": 4_294_967_297_i64}),
            None,
            422,
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: \
             4294967297: may not specify a duration larger than 2^32 seconds",
        ),
        (reference("Pod", ""), None, 404, "pods \"pod\" not found"),
        (
            reference("Pod", "p2"),
            Some(&pod),
            409,
            "Operation cannot be fulfilled on pods \"pod\": the UID in the bound object reference (p2) does not \
             match the UID in record. The object might have been deleted and then recreated",
        ),
        (
            reference("Pod", "p1"),
            Some(&other),
            400,
            "cannot bind token for serviceaccount \"web\" to pod running with different serviceaccount name.",
        ),
        (
            reference("ConfigMap", ""),
            None,
            400,
            "cannot bind token for serviceaccount to object of type /v1, Kind=ConfigMap",
        ),
    ] {
        let status = ask(&key, spec, object).unwrap_err();
        assert_eq!((status.code, status.message.as_str()), (code, message));
    }
    let body = json!({"spec": reference("Secret", "")});
    let (resource, name) = bound_object(&body).unwrap().unwrap();
    assert_eq!((resource.resource.as_str(), name), ("secrets", "pod"));
}

#[test]
fn describes_the_issuer() {
    let key = key();
    let keys = [key.public().clone()];
    let set = jwks(&keys);
    assert_eq!(set["keys"][0]["kid"], keys[0].id());
    assert_eq!(set["keys"][0]["kty"], "EC");
    assert_eq!(set["keys"][0]["use"], "sig");
    let about = openid_configuration(ISSUER, "https://10.0.0.1/openid/v1/jwks", &keys);
    assert_eq!(about["issuer"], ISSUER);
    assert_eq!(about["id_token_signing_alg_values_supported"], json!(["ES256"]));
}
