//! `[sig-auth]`: what a pod has of its service account.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::peer::{client, pod};
use super::{Shared, cluster};

const MOUNTED: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn review(cluster: &Shared, token: &str) -> Value {
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": { "token": token },
    });
    cluster.post("/apis/authentication.k8s.io/v1/tokenreviews", &review)["status"].clone()
}

/// [sig-auth] ServiceAccounts should mount an API token into pods [Conformance]
#[test]
fn service_accounts_should_mount_an_api_token_into_pods() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let account =
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "mount-test" } });
    cluster.post(&format!("/api/v1/namespaces/{namespace}/serviceaccounts"), &account);
    let mut made = client("pod-service-account");
    made["spec"]["serviceAccountName"] = json!("mount-test");
    cluster.running(&namespace, &made);
    let read = |file: &str| {
        let path = format!("{MOUNTED}/{file}");
        cluster.exec(&namespace, "pod-service-account", "main", &["cat", &path]).ok().to_owned()
    };
    let status = review(&cluster, &read("token"));
    assert_eq!(status["authenticated"], true, "{status}");
    let user = &status["user"];
    assert_eq!(user["username"], format!("system:serviceaccount:{namespace}:mount-test"));
    let groups = user["groups"].as_array().unwrap();
    for group in
        ["system:authenticated", "system:serviceaccounts", &format!("system:serviceaccounts:{namespace}")]
    {
        assert!(groups.iter().any(|found| found == group), "{group} in {groups:?}");
    }
    assert_eq!(user["extra"]["authentication.kubernetes.io/pod-name"], json!(["pod-service-account"]));
    let authority = cluster.get(&format!("/api/v1/namespaces/{namespace}/configmaps/kube-root-ca.crt"));
    assert_eq!(read("ca.crt"), authority["data"]["ca.crt"].as_str().unwrap().trim());
    assert_eq!(read("namespace"), namespace);
    let own = format!("https://kubernetes.default.svc/api/v1/namespaces/{namespace}/pods");
    let said = cluster.exec(
        &namespace,
        "pod-service-account",
        "main",
        &["/peer", "get", "--ca", &format!("{MOUNTED}/ca.crt"), "--token", &format!("{MOUNTED}/token"), &own],
    );
    said.exits(1).says("answered 403");
    assert!(said.stdout.contains(&format!("system:serviceaccount:{namespace}:mount-test")), "{said:?}");
}

/// [sig-auth] ServiceAccounts should allow opting out of API token automount [Conformance]
#[test]
fn service_accounts_should_allow_opting_out_of_api_token_automount() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let choices = [("", None), ("-mountspec", Some(true)), ("-nomountspec", Some(false))];
    for (account, of_account) in [("default", None), ("mount", Some(true)), ("nomount", Some(false))] {
        if account != "default" {
            let object = json!({
                "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": account },
                "automountServiceAccountToken": of_account,
            });
            cluster.post(&format!("/api/v1/namespaces/{namespace}/serviceaccounts"), &object);
        }
        for (suffix, of_pod) in choices {
            let mut made = client(&format!("pod-service-account-{account}{suffix}"));
            made["spec"]["serviceAccountName"] = json!(account);
            if let Some(mount) = of_pod {
                made["spec"]["automountServiceAccountToken"] = json!(mount);
            }
            let made = cluster.post(&format!("/api/v1/namespaces/{namespace}/pods"), &made);
            let mounts =
                made["spec"]["containers"][0]["volumeMounts"].as_array().cloned().unwrap_or_default();
            let mounted = mounts.iter().any(|mount| mount["mountPath"] == MOUNTED);
            assert_eq!(mounted, of_pod.or(of_account).unwrap_or(true), "{account}{suffix}: {made:#}");
        }
    }
}

/// [sig-auth] ServiceAccounts should mount projected service account token [Conformance]
#[test]
fn service_accounts_should_mount_projected_service_account_token() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let mut made = pod("test-pod", json!({}), &[]);
    made["spec"]["restartPolicy"] = json!("Never");
    made["spec"]["volumes"] = json!([{ "name": "sa-token", "projected": { "sources": [{
        "serviceAccountToken": { "path": "sa-token", "expirationSeconds": 43200, "audience": "e2e" },
    }] } }]);
    let container = &mut made["spec"]["containers"][0];
    container["command"] = json!(["cat", "/test-volume/sa-token"]);
    container["volumeMounts"] = json!([{ "name": "sa-token", "mountPath": "/test-volume" }]);
    let ended = cluster.run_to_end(&namespace, &made);
    assert_eq!(ended["status"]["phase"], "Succeeded", "{ended:#}");
    let token = cluster.logs(&namespace, "test-pod", "main");
    let claims = claims(&token);
    assert_eq!(claims["aud"], json!(["e2e"]));
    assert_eq!(claims["sub"], format!("system:serviceaccount:{namespace}:default"));
    assert_eq!(claims["kubernetes.io"]["pod"]["name"], "test-pod");
}

fn part(token: &str, at: usize) -> Value {
    let text = token.trim().split('.').nth(at).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

fn claims(token: &str) -> Value {
    part(token, 1)
}

/// [sig-auth] ServiceAccounts ServiceAccountIssuerDiscovery should support OIDC discovery of service account issuer [Conformance]
#[test]
fn service_account_issuer_discovery_should_support_oidc_discovery() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": format!("{namespace}-oidc-discovery-validator") },
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "system:service-account-issuer-discovery",
        },
        "subjects": [{ "kind": "ServiceAccount", "name": "default", "namespace": namespace }],
    });
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    cluster.post(bindings, &binding);
    let mut made = client("oidc-discovery-validator");
    made["spec"]["volumes"] = json!([{ "name": "sa-token", "projected": { "sources": [{
        "serviceAccountToken": { "path": "sa-token", "expirationSeconds": 3600, "audience": "oidc-discovery-test" },
    }] } }]);
    let mounts = json!([{ "name": "sa-token", "mountPath": "/token" }]);
    made["spec"]["containers"][0]["volumeMounts"] = mounts;
    cluster.running(&namespace, &made);
    let run = |command: &[&str]| {
        cluster.exec(&namespace, "oidc-discovery-validator", "main", command).ok().to_owned()
    };
    let get = |path: &str| {
        let (authority, token) = (format!("{MOUNTED}/ca.crt"), format!("{MOUNTED}/token"));
        let url = format!("https://kubernetes.default.svc{path}");
        let said = run(&["/peer", "get", "--ca", &authority, "--token", &token, &url]);
        serde_json::from_str::<Value>(&said).unwrap()
    };
    let token = run(&["cat", "/token/sa-token"]);
    let configuration = get("/.well-known/openid-configuration");
    assert_eq!(configuration["issuer"], claims(&token)["iss"]);
    assert_eq!(claims(&token)["aud"], json!(["oidc-discovery-test"]));
    let keys_at = configuration["jwks_uri"].as_str().unwrap();
    let (_, keys_path) = keys_at.trim_start_matches("https://").split_once('/').unwrap();
    let keys = get(&format!("/{keys_path}"));
    verify(&token, &keys);
    cluster.delete(&format!("{bindings}/{namespace}-oidc-discovery-validator"));
}

/// A token is signed by the key among these that its head names.
fn verify(token: &str, keys: &Value) {
    let head = part(token, 0);
    let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == head["kid"]).unwrap();
    let bytes = |value: &Value| URL_SAFE_NO_PAD.decode(value.as_str().unwrap()).unwrap();
    let (signed, signature) = token.trim().rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert_eq!(key["alg"], head["alg"]);
    match head["alg"].as_str().unwrap() {
        "ES256" => {
            let point = [vec![4], bytes(&key["x"]), bytes(&key["y"])].concat();
            let key =
                ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, point);
            key.verify(signed.as_bytes(), &signature).unwrap();
        }
        "RS256" => {
            let key = ring::signature::RsaPublicKeyComponents { n: bytes(&key["n"]), e: bytes(&key["e"]) };
            let how = &ring::signature::RSA_PKCS1_2048_8192_SHA256;
            key.verify(how, signed.as_bytes(), &signature).unwrap();
        }
        other => panic!("an unexpected algorithm: {other}"),
    }
}
