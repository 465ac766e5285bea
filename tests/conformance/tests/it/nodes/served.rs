//! Servers in pods that the API server asks over TLS: their certificates, their services.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Shared, is_ready, peer};

/// The name of every such server's pod, service and secret.
pub(super) const NAME: &str = "e2e-test-webhook";
/// The port of the pods and of their services.
pub(super) const PORT: u16 = 8443;

/// Starts `peer ARGS` behind a service in a namespace, which believes clients of an authority; its own authority in
/// PEM and base64.
pub(super) fn start(cluster: &Shared, namespace: &str, args: &[&str], clients: Option<&str>) -> String {
    let (authority, certificate, key) = certificates(&format!("{NAME}.{namespace}.svc"));
    let mut secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": NAME },
        "stringData": { "tls.crt": certificate, "tls.key": key },
    });
    if let Some(clients) = clients {
        secret["stringData"]["client-ca.crt"] = json!(clients);
    }
    cluster.post(&format!("/api/v1/namespaces/{namespace}/secrets"), &secret);
    let labels = json!({ "app": NAME });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": NAME },
        "spec": { "selector": labels, "ports": [{ "port": PORT, "targetPort": PORT, "protocol": "TCP" }] },
    });
    cluster.post(&format!("/api/v1/namespaces/{namespace}/services"), &service);
    let mut pod = peer::pod(NAME, labels, args);
    pod["spec"]["volumes"] = json!([{ "name": "serving", "secret": { "secretName": NAME } }]);
    let container = &mut pod["spec"]["containers"][0];
    container["volumeMounts"] = json!([{ "name": "serving", "mountPath": "/serving", "readOnly": true }]);
    container["readinessProbe"] =
        json!({ "httpGet": { "scheme": "HTTPS", "port": PORT, "path": "/readyz" }, "periodSeconds": 1 });
    let (_, path) = cluster.create(namespace, &pod);
    cluster.until(&path, is_ready);
    let endpoints = format!("/api/v1/namespaces/{namespace}/endpoints/{NAME}");
    cluster.until(&endpoints, |found: &Value| found["subsets"][0]["addresses"][0]["ip"].is_string());
    STANDARD.encode(authority)
}

/// An authority, a certificate of this name that it has signed, and its key.
fn certificates(name: &str) -> (String, String, String) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "e2e-server-cert-ca");
    let authority = params.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(params, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    (authority, certificate, key.serialize_pem())
}
