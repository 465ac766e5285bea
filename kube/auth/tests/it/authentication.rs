//! Who asks, by everything that a request can show.

use std::sync::Arc;

use auth::authn::jwt::{SigningKey, VerifyingKey};
use auth::authn::{
    Anonymous, AuthError, Authenticator, Authorities, Config, Credentials, Headers, RequestHeader,
    StaticToken,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube_object::cluster::{Cluster, Fixed};
use kube_object::status::Status;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

use crate::clock::{NOW, Scratch, at, cluster, user};
use crate::pki::{chain, names};

pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

pub(crate) fn key() -> SigningKey {
    SigningKey::from_pem(rcgen::KeyPair::generate().unwrap().serialize_pem().as_bytes()).unwrap()
}

pub(crate) fn config(key: &SigningKey) -> Config {
    Config {
        service_account_keys: vec![key.public().clone()],
        issuers: vec![ISSUER.to_owned()],
        audiences: vec![ISSUER.to_owned(), "api".to_owned()],
        static_tokens: vec![StaticToken { token: "static".into(), user: user("sam", &["s"]) }],
        ..Config::default()
    }
}

fn objects() -> Vec<Value> {
    let encode = |text: &str| STANDARD.encode(text);
    let bootstrap = |id: &str, more: Value| {
        let mut object = json!({"kind": "Secret", "type": "bootstrap.kubernetes.io/token",
            "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
            "data": {"token-id": encode(id), "token-secret": encode("0123456789abcdef"),
                "usage-bootstrap-authentication": encode("true"),
                "auth-extra-groups": encode("system:bootstrappers:kubeadm:default-node-token")}});
        for (key, value) in more.as_object().unwrap() {
            object["data"][key] = json!(encode(value.as_str().unwrap()));
        }
        object
    };
    vec![
        json!({"kind": "ServiceAccount", "metadata": {"name": "web", "namespace": "ns", "uid": "u1"}}),
        json!({"kind": "Pod", "metadata": {"name": "pod", "namespace": "ns", "uid": "p1"}, "spec": {"nodeName": "n1"}}),
        json!({"kind": "Node", "metadata": {"name": "n1", "uid": "nu1"}}),
        bootstrap("abcdef", json!({})),
        bootstrap("expire", json!({"expiration": "2020-01-01T00:00:00Z"})),
        bootstrap("notuse", json!({"usage-bootstrap-authentication": "false"})),
        bootstrap("badgrp", json!({"auth-extra-groups": "system:masters"})),
    ]
}

fn show<'a>(
    chain: &'a [CertificateDer<'a>],
    bearer: Option<&'a str>,
    headers: &'a dyn Headers,
    path: &'a str,
) -> Credentials<'a> {
    Credentials { peer_certificates: chain, bearer, headers, path, audiences: &[] }
}

const NONE: &[(&str, &str)] = &[];

fn bearer(authenticator: &Authenticator, token: &str) -> Result<String, AuthError> {
    let found = authenticator.authenticate(&show(&[], Some(token), &NONE, "/livez"), at(0))?;
    Ok(format!("{} {}", found.user.name, found.user.groups.join(",")))
}

#[test]
fn tokens_of_the_configuration_and_of_bootstrap() {
    let key = key();
    let authenticator = Authenticator::new(config(&key), Arc::new(cluster(objects())));
    for (token, who) in [
        ("static", Some("sam s,system:authenticated")),
        (
            "abcdef.0123456789abcdef",
            Some(
                "system:bootstrap:abcdef system:bootstrappers,\
                 system:bootstrappers:kubeadm:default-node-token,system:authenticated",
            ),
        ),
        ("abcdef.0123456789abcdeX", None),
        ("abcdef.0123456789abcde0", None),
        ("expire.0123456789abcdef", None),
        ("notuse.0123456789abcdef", None),
        ("badgrp.0123456789abcdef", None),
        ("nobody.0123456789abcdef", None),
        ("rubbish", None),
        ("", None),
    ] {
        assert_eq!(bearer(&authenticator, token).ok().as_deref(), who, "{token}");
    }
    // Even where anonymous would do, a wrong token is wrong.
    let error = bearer(&authenticator, "rubbish").unwrap_err();
    assert_eq!(error.to_string(), "invalid bearer token");
    assert_eq!(Status::from(error).code, 401);
}

#[test]
fn anonymous_is_for_health() {
    let key = key();
    let authenticator = Authenticator::new(config(&key), Arc::new(cluster([])));
    for (path, allowed) in [
        ("/livez", true),
        ("/readyz", true),
        ("/healthz", true),
        ("/livez/ping", false),
        ("/version", false),
        ("/api/v1/pods", false),
        ("", false),
    ] {
        let found = authenticator.authenticate(&show(&[], None, &NONE, path), at(0));
        assert_eq!(found.is_ok(), allowed, "{path}");
        if let Ok(found) = found {
            assert_eq!(found.user, user("system:anonymous", &["system:unauthenticated"]));
        }
    }
    authenticator.reconfigure(Config { anonymous: Anonymous::Everywhere, ..config(&key) });
    assert!(authenticator.authenticate(&show(&[], None, &NONE, "/version"), at(0)).is_ok());
    authenticator.reconfigure(Config { anonymous: Anonymous::Off, ..config(&key) });
    assert!(authenticator.authenticate(&show(&[], None, &NONE, "/livez"), at(0)).is_err());
}

#[test]
fn certificates_and_front_proxies() {
    let scratch = Scratch::new();
    let pki = auth::pki::ensure(scratch.path(), &names(), at(0)).unwrap();
    let clients = Authorities::from_pem(pki.client_ca.certificate.as_bytes()).unwrap();
    let proxies = Authorities::from_pem(pki.front_proxy_ca.certificate.as_bytes()).unwrap();
    let key = key();
    let config = Config {
        client_authorities: Some(clients),
        request_header: Some(RequestHeader::new(proxies, vec!["front-proxy-client".into()])),
        ..config(&key)
    };
    let authenticator = Authenticator::new(config, Arc::new(cluster([])));
    let admin = chain(&pki.admin.certificate);
    let proxy = chain(&pki.front_proxy_client.certificate);
    let serving = chain(&pki.serving.certificate);
    let headers: &[(&str, &str)] = &[
        ("x-remote-user", "ann"),
        ("X-Remote-Group", "dev"),
        ("X-Remote-Group", "ops"),
        ("X-Remote-Extra-Acme.com%2Fscope", "a"),
        ("X-Remote-Uid", "7"),
    ];
    for _ in 0..2 {
        let found = authenticator.authenticate(&show(&admin, None, &headers, "/"), at(0)).unwrap();
        assert_eq!(found.user.name, "kubernetes-admin");
        assert_eq!(found.user.groups, ["system:masters", "system:authenticated"]);
        let id = &found.user.extra["authentication.kubernetes.io/credential-id"][0];
        assert!(id.starts_with("X509SHA256=") && id.len() == 11 + 64);
    }
    let found = authenticator.authenticate(&show(&proxy, None, &headers, "/"), at(0)).unwrap();
    assert_eq!((found.user.name.as_str(), found.user.uid.as_str()), ("ann", "7"));
    assert_eq!(found.user.groups, ["dev", "ops", "system:authenticated"]);
    assert_eq!(found.user.extra["acme.com/scope"], ["a"]);
    // A proxy that names nobody is nobody, and so are others' certificates.
    assert!(authenticator.authenticate(&show(&proxy, None, &NONE, "/"), at(0)).is_err());
    assert!(authenticator.authenticate(&show(&serving, None, &NONE, "/livez"), at(0)).is_err());
    // After its end, though it was right before.
    assert!(authenticator.authenticate(&show(&admin, None, &NONE, "/"), at(366 * 24 * 3600)).is_err());
    // A wrong certificate beside a right token.
    let found = authenticator.authenticate(&show(&serving, Some("static"), &NONE, "/"), at(0)).unwrap();
    assert_eq!(found.user.name, "sam");
}

fn claims(change: Value) -> Value {
    let mut claims = json!({"iss": ISSUER, "aud": ["api"], "exp": NOW + 3600, "iat": NOW, "nbf": NOW, "jti": "j1",
        "sub": "system:serviceaccount:ns:web", "kubernetes.io": {"namespace": "ns",
            "serviceaccount": {"name": "web", "uid": "u1"}, "pod": {"name": "pod", "uid": "p1"},
            "node": {"name": "n1", "uid": "nu1"}}});
    for (path, value) in change.as_object().unwrap() {
        *claims.pointer_mut(path).unwrap() = value.clone();
    }
    claims
}

#[test]
fn service_account_tokens() {
    let key = key();
    let authenticator = Authenticator::new(config(&key), Arc::new(cluster(objects())));
    let node = "/kubernetes.io/node";
    for (change, error) in [
        (json!({}), ""),
        (json!({"/aud": "api"}), ""),
        (json!({node: null}), ""),
        (json!({"/exp": NOW - 30}), ""),
        (json!({"/exp": NOW - 61}), "service account token has expired"),
        (json!({"/nbf": NOW + 61}), "service account token is not valid yet"),
        (json!({"/iat": NOW + 61}), "service account token is issued in the future"),
        (
            json!({"/aud": ["other"]}),
            "token audiences [\"other\"] is invalid for the target audiences \
             [\"https://kubernetes.default.svc.cluster.local\", \"api\"]",
        ),
        (json!({"/kubernetes.io/pod/uid": "p2"}), "pod UID (p1) does not match claim (p2)"),
        (json!({"/kubernetes.io/pod/name": "gone"}), "service account token has been invalidated"),
        (
            json!({"/kubernetes.io/serviceaccount/uid": "u2"}),
            "service account UID (u1) does not match claim (u2)",
        ),
        (json!({"/kubernetes.io/pod/name": 7}), "service account token has been invalidated"),
    ] {
        let result = bearer(&authenticator, &key.sign(&claims(change.clone())).unwrap());
        match result {
            Ok(who) => assert_eq!(
                (who.as_str(), error),
                (
                    "system:serviceaccount:ns:web system:serviceaccounts,system:serviceaccounts:ns,\
                     system:authenticated",
                    ""
                ),
                "{change}"
            ),
            Err(wrong) => {
                assert_eq!(wrong.to_string(), format!("[invalid bearer token, {error}]"), "{change}");
            }
        }
    }
    for change in [
        json!({"/iss": "https://other"}),
        json!({"/sub": "system:serviceaccount:ns:root"}),
        json!({"/iss": 3}),
    ] {
        let error = bearer(&authenticator, &key.sign(&claims(change)).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "invalid bearer token");
    }
    let foreign = self::key().sign(&claims(json!({}))).unwrap();
    assert_eq!(
        bearer(&authenticator, &foreign).unwrap_err().to_string(),
        "[invalid bearer token, invalid signature]"
    );
    let token = key.sign(&claims(json!({}))).unwrap();
    let found = authenticator.authenticate(&show(&[], Some(&token), &NONE, "/"), at(0)).unwrap();
    assert_eq!(found.user.uid, "u1");
    assert_eq!(found.audiences, ["api"]);
    let extra = |key: &str| found.user.extra[&format!("authentication.kubernetes.io/{key}")][0].clone();
    assert_eq!(
        ["pod-name", "pod-uid", "node-name", "node-uid", "credential-id"].map(extra),
        ["pod", "p1", "n1", "nu1", "JTI=j1"]
    );
}

#[test]
fn a_token_ends_with_its_account() {
    struct Changing(std::sync::RwLock<Fixed>);
    impl Cluster for Changing {
        fn get(
            &self,
            resource: &kube_object::resource::GroupResource,
            namespace: &str,
            name: &str,
        ) -> Option<Arc<Value>> {
            self.0.read().unwrap().get(resource, namespace, name)
        }
        fn list(
            &self,
            resource: &kube_object::resource::GroupResource,
            namespace: Option<&str>,
        ) -> Vec<Arc<Value>> {
            self.0.read().unwrap().list(resource, namespace)
        }
        fn changed(&self, resource: &kube_object::resource::GroupResource) -> u64 {
            self.0.read().unwrap().changed(resource)
        }
    }
    let key = key();
    let cluster = Arc::new(Changing(std::sync::RwLock::new(cluster(objects()))));
    let authenticator = Authenticator::new(config(&key), cluster.clone());
    let token = key.sign(&claims(json!({}))).unwrap();
    assert!(bearer(&authenticator, &token).is_ok());
    let other = json!({"metadata": {"name": "web", "namespace": "ns", "uid": "u9"}});
    let accounts = kube_object::resource::GroupResource::new("", "serviceaccounts");
    cluster.0.write().unwrap().put(accounts, other);
    assert!(bearer(&authenticator, &token).is_err());
}

#[test]
fn tokens_in_secrets() {
    let key = key();
    let account =
        json!({"kind": "ServiceAccount", "metadata": {"name": "web", "namespace": "ns", "uid": "u1"}});
    let mut secret = json!({"kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "web-token", "namespace": "ns",
            "annotations": {"kubernetes.io/service-account.name": "web"}}});
    let data = auth::token::secret_data(&key, "CA", &account, &secret).unwrap().unwrap();
    secret["data"] = data.clone();
    assert_eq!(auth::token::secret_data(&key, "CA", &account, &secret).unwrap(), None);
    let token = String::from_utf8(STANDARD.decode(data["token"].as_str().unwrap()).unwrap()).unwrap();
    let check = |secret: Value| {
        let cluster = cluster([account.clone(), secret]);
        bearer(&Authenticator::new(config(&key), Arc::new(cluster)), &token)
    };
    assert!(check(secret.clone()).unwrap().starts_with("system:serviceaccount:ns:web "));
    let mut other = secret.clone();
    other["data"]["token"] = json!(STANDARD.encode("x"));
    assert_eq!(
        check(other).unwrap_err().to_string(),
        "[invalid bearer token, token does not match server's copy]"
    );
    let mut gone = secret.clone();
    gone["metadata"]["deletionTimestamp"] = json!("2020-01-01T00:00:00Z");
    assert!(check(gone).is_err());
    let mut stale = secret;
    stale["metadata"]["labels"] = json!({"kubernetes.io/legacy-token-invalid-since": "2026-01-01"});
    assert!(check(stale).unwrap_err().to_string().contains("has been marked invalid"));
}

#[test]
fn the_public_half_is_enough_to_verify() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let keys = VerifyingKey::all_from_pem(pair.public_key_pem().as_bytes()).unwrap();
    let own = SigningKey::from_pem(pair.serialize_pem().as_bytes()).unwrap();
    assert_eq!(keys[0].id(), own.public().id());
}
