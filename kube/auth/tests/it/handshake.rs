//! A TLS handshake takes every client whose key is its own; who it is comes later.

use std::sync::Arc;

use auth::authn::any_client_certificate;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use crate::clock::Scratch;
use crate::pki::{chain, names};

/// What the server sees of the client's certificates; none if the handshake fails.
fn shake(server: &Arc<ServerConfig>, client: ClientConfig) -> Option<usize> {
    let name = ServerName::try_from("kubernetes.default.svc").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    for _ in 0..8 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().ok()?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().ok()?;
    }
    assert!(!server.is_handshaking());
    Some(server.peer_certificates().map_or(0, <[_]>::len))
}

#[test]
fn takes_none_known_and_foreign_certificates() {
    let scratch = Scratch::new();
    // Certificates of today, for a handshake looks at the clock.
    let now = jiff::Timestamp::now();
    let pki = auth::pki::ensure(scratch.path(), &names(), now).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = |pem: &str| PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(any_client_certificate(pki.client_ca.certificate.as_bytes()))
        .with_single_cert(chain(&pki.serving.certificate), key(&pki.serving.key))
        .unwrap();
    let server = Arc::new(server);
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(chain(&pki.server_ca.certificate));
    let client = || {
        ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
    };
    assert_eq!(shake(&server, client().with_no_client_auth()), Some(0));
    for pair in [&pki.admin, &pki.front_proxy_client] {
        let config = client().with_client_auth_cert(chain(&pair.certificate), key(&pair.key)).unwrap();
        assert_eq!(shake(&server, config), Some(1));
    }
    // Another's certificate without its key.
    let config = client().with_client_cert_resolver(Arc::new(Stolen {
        certificate: chain(&pki.admin.certificate),
        key: provider.key_provider.load_private_key(key(&pki.front_proxy_client.key)).unwrap(),
    }));
    assert_eq!(shake(&server, config), None);
}

#[derive(Debug)]
struct Stolen {
    certificate: Vec<rustls::pki_types::CertificateDer<'static>>,
    key: Arc<dyn rustls::sign::SigningKey>,
}

impl ResolvesClientCert for Stolen {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::new(rustls::sign::CertifiedKey::new(self.certificate.clone(), self.key.clone())))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
