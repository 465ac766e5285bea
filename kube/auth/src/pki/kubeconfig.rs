//! Writing kubeconfigs, with everything inside.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A kubeconfig for one user of one cluster; all but the URL are PEM.
pub fn kubeconfig(url: &str, authority: &str, certificate: &str, key: &str) -> String {
    let encode = |text: &str| STANDARD.encode(text);
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: strake
  cluster:
    server: {}
    certificate-authority-data: {}
users:
- name: admin
  user:
    client-certificate-data: {}
    client-key-data: {}
contexts:
- name: strake
  context:
    cluster: strake
    user: admin
current-context: strake
preferences: {{}}
",
        // A JSON string is a YAML string, whatever is in it.
        serde_json::Value::from(url),
        encode(authority),
        encode(certificate),
        encode(key)
    )
}
