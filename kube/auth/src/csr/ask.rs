//! The other side: asking for a certificate.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::{CLIENT_KUBELET, KUBELET_SERVING};

/// A node's certificate that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To be a client of the API as this node.
    Client,
    /// To be a server under these names.
    Serving {
        /// DNS names.
        dns: Vec<String>,
        /// IP addresses.
        ips: Vec<IpAddr>,
    },
}

/// A request, and the key that it is about.
#[derive(Clone)]
pub struct Asked {
    /// The CertificateSigningRequest to create.
    pub object: Value,
    /// The key, as PEM. It never leaves the node.
    pub key: String,
}

/// The request could not be made.
#[derive(Debug, thiserror::Error)]
#[error("make the request for a certificate of node {node}")]
pub struct AskError {
    node: String,
    #[source]
    source: rcgen::Error,
}

/// Makes a key and the request to sign it, in the name of a node.
pub fn ask(node: &str, wanted: &Wanted) -> Result<Asked, AskError> {
    let wrong = |source| AskError { node: node.to_owned(), source };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("system:node:{node}"));
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    let (signer, usage, prefix) = match wanted {
        Wanted::Client => (CLIENT_KUBELET, "client auth", "node-csr-"),
        Wanted::Serving { dns, ips } => {
            for name in dns {
                let name = name.as_str().try_into().map_err(wrong)?;
                params.subject_alt_names.push(SanType::DnsName(name));
            }
            params.subject_alt_names.extend(ips.iter().copied().map(SanType::IpAddress));
            (KUBELET_SERVING, "server auth", "csr-")
        }
    };
    let key = KeyPair::generate().map_err(wrong)?;
    let request = params.serialize_request(&key).and_then(|request| request.pem()).map_err(wrong)?;
    let object = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"generateName": prefix},
        "spec": {
            "request": STANDARD.encode(request), "signerName": signer,
            "usages": ["digital signature", usage],
        },
    });
    Ok(Asked { object, key: key.serialize_pem() })
}

/// When a certificate begins and ends, in seconds since 1970; none if it is no PEM of one.
pub fn validity(certificate: &str) -> Option<(i64, i64)> {
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).ok()?;
    Some((parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp()))
}
