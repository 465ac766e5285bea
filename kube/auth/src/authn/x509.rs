//! Client certificates: the chain to an authority, and the user in the subject.

use std::sync::Arc;

use jiff::Timestamp;
use kube_object::user::User;
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use x509_parser::der_parser::{Oid, oid};

/// Authorities that sign certificates of clients.
#[derive(Clone, Debug)]
pub struct Authorities {
    verifier: Arc<dyn ClientCertVerifier>,
}

/// A certificate says nothing about who asks.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CertificateError {
    /// The authorities cannot be read.
    #[error("read authorities' certificates")]
    Authorities,
    /// The time is before 1970.
    #[error("clock is before 1970")]
    Clock,
    /// No authority of ours signed it, it has expired, or it is not for clients.
    #[error("verifying certificate failed: {0}")]
    Chain(rustls::Error),
    /// It is no X.509.
    #[error("read certificate")]
    Malformed,
    /// The subject has no common name.
    #[error("certificate's subject has no common name")]
    NoName,
}

impl Authorities {
    /// All certificates of a PEM text.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| CertificateError::Authorities)?;
            roots.add(certificate).map_err(|_| CertificateError::Authorities)?;
        }
        let provider = Arc::new(default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|_| CertificateError::Authorities)?;
        Ok(Self { verifier })
    }

    /// Whether the chain leads to one of them now, and its first certificate is for clients.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), CertificateError> {
        let (leaf, intermediates) = chain.split_first().ok_or(CertificateError::Malformed)?;
        let seconds = u64::try_from(now.as_second()).map_err(|_| CertificateError::Clock)?;
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        self.verifier
            .verify_client_cert(leaf, intermediates, now)
            .map(|_| ())
            .map_err(CertificateError::Chain)
    }
}

/// What a verified certificate says: the user, and when it stops being true.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Name from CN, groups from O, identity from its own attribute.
    pub user: User,
    /// The end of its validity, in seconds since 1970.
    pub not_after: i64,
}

/// The user in a certificate's subject; nothing is verified here.
pub fn identity(certificate: &CertificateDer<'_>) -> Result<Identity, CertificateError> {
    let (_, parsed) =
        x509_parser::parse_x509_certificate(certificate).map_err(|_| CertificateError::Malformed)?;
    let subject = parsed.subject();
    let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(str::to_owned);
    let name = subject.iter_common_name().last().and_then(text).unwrap_or_default();
    if name.is_empty() {
        return Err(CertificateError::NoName);
    }
    let mut user = User { name, ..User::default() };
    user.groups = subject.iter_organization().filter_map(text).collect();
    user.uid = subject.iter_by_oid(&USER_UID).next().and_then(text).unwrap_or_default();
    let mut print = String::from("X509SHA256=");
    for byte in Sha256::digest(certificate.as_ref()) {
        print.push_str(&format!("{byte:02x}"));
    }
    user.extra.insert(super::CREDENTIAL_ID.to_owned(), vec![print]);
    Ok(Identity { user, not_after: parsed.validity().not_after.timestamp() })
}

/// The common name of a certificate's subject.
pub(super) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = parsed.subject().iter_common_name().last()?;
    name.as_str().ok().map(str::to_owned)
}

/// Kubernetes' attribute for a user's identity in a subject.
const USER_UID: Oid<'static> = oid!(1.3.6.1.4.1.57683.2);
