//! TLS servers of the cluster: what they show, and what they ask of clients: a certificate if
//! they have one, and proof of its key.
//!
//! Whether the certificate means anything is decided per request, so that a foreign one gets a
//! 401 with words instead of a broken connection, and a token beside it still counts.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CipherSuite, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

/// What a TLS server shows and asks for, in PEM.
#[derive(Clone)]
pub struct TlsMaterial {
    /// The certificate and those between it and its authority.
    pub certificates: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
    /// Who signs clients' certificates.
    pub client_authorities: Vec<u8>,
}

/// A TLS server's configuration cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key cannot be read.
    #[error("the server's certificate or key")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// They do not belong together.
    #[error("the server's TLS configuration")]
    Tls(#[source] Error),
}

/// The configuration of a TLS server that asks for client certificates and takes none too, and
/// speaks these protocols (ALPN), the best first.
pub fn server_config(material: &TlsMaterial, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&material.certificates).collect();
    let certificates = certificates.map_err(TlsError::Pem)?;
    let key = PrivateKeyDer::from_pem_slice(&material.key).map_err(TlsError::Pem)?;
    let mut provider = ring::default_provider();
    // The order of Go's servers: 128 bits first, a third faster than 256 and as safe for long.
    provider.cipher_suites.sort_by_key(|suite| !is_aes_128(suite.suite()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Tls)?
        .with_client_cert_verifier(any_client_certificate(&material.client_authorities))
        .with_single_cert(certificates, key)
        .map_err(TlsError::Tls)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.ignore_client_order = true;
    Ok(Arc::new(config))
}

fn is_aes_128(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

/// Takes any certificate whose key the client holds; `authorities` (PEM) are what it is told
/// would be welcome.
pub fn any_client_certificate(authorities: &[u8]) -> Arc<dyn ClientCertVerifier> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(authorities).filter_map(Result::ok));
    let algorithms = ring::default_provider().signature_verification_algorithms;
    Arc::new(AnyCertificate { hints: roots.subjects(), algorithms })
}

#[derive(Debug)]
struct AnyCertificate {
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // The authenticator verifies the chain when a request comes.
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
