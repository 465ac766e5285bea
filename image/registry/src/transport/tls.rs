//! rustls with ring, the system's certificates and those of `hosts.toml`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::endpoint::Tls;
use crate::hosts::HostsError;

/// Where distributions keep the certificates that they trust; the first that exists counts.
const SYSTEM_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Made configurations by their settings: reading the system's bundle takes milliseconds.
#[derive(Default)]
pub(super) struct Profiles(Mutex<HashMap<Tls, Arc<ClientConfig>>>);

impl Profiles {
    pub(super) fn get(&self, settings: &Tls) -> Result<Arc<ClientConfig>, HostsError> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = made.get(settings) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(make(settings)?);
        made.insert(settings.clone(), Arc::clone(&config));
        Ok(config)
    }
}

fn make(settings: &Tls) -> Result<ClientConfig, HostsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| certificate(Path::new("(built in)"), &error))?;
    let builder = if settings.skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    } else {
        builder.with_root_certificates(roots(settings)?)
    };
    let Some((cert, key)) = settings.client.first() else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(cert)?;
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| certificate(key, &error))?;
    builder.with_client_auth_cert(chain, key_der).map_err(|error| certificate(cert, &error))
}

fn roots(settings: &Tls) -> Result<RootCertStore, HostsError> {
    let mut roots = RootCertStore::empty();
    if let Some(bundle) = SYSTEM_BUNDLES.iter().map(Path::new).find(|path| path.exists()) {
        // One odd certificate among the system's is not worth a failure.
        roots.add_parsable_certificates(certificates(bundle)?);
    }
    for file in &settings.ca {
        for cert in certificates(file)? {
            roots.add(cert).map_err(|error| certificate(file, &error))?;
        }
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, HostsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    all.map_err(|error| certificate(file, &error))
}

fn certificate(path: &Path, problem: &dyn std::fmt::Display) -> HostsError {
    HostsError::Certificate { path: path.to_owned(), problem: problem.to_string() }
}

/// `skip_verify`: encryption without knowing with whom.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
