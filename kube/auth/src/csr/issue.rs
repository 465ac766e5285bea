//! Makes a certificate out of a request, with exactly the subject that was asked for.

use jiff::{SignedDuration, Timestamp};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::der;
use super::parse::Request;

/// An authority that signs requests.
pub struct Signer {
    key: Box<dyn rustls::sign::Signer>,
    algorithm: Vec<u8>,
    subject: Vec<u8>,
    key_id: Vec<u8>,
    not_after: i64,
}

/// No certificate came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The authority's certificate or key cannot be read.
    #[error("read signing authority")]
    Authority,
    /// The key is another authority's.
    #[error("the signing key is not the key of the signing certificate")]
    Mismatch,
    /// The authority has expired.
    #[error("refusing to sign a certificate that expired in the past")]
    Expired,
    /// Signing failed.
    #[error("sign certificate")]
    Sign,
}

/// What a certificate is for.
#[derive(Clone, Debug)]
pub(super) struct Terms<'a> {
    pub(super) usages: Vec<&'a str>,
    pub(super) lifetime_seconds: i64,
    pub(super) serial: [u8; 16],
    pub(super) now: Timestamp,
}

impl Signer {
    /// Of an authority's certificate and key, both PEM: RSA, ECDSA on P-256 or P-384, Ed25519.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, IssueError> {
        let der = CertificateDer::from_pem_slice(certificate).map_err(|_| IssueError::Authority)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| IssueError::Authority)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| IssueError::Authority)?;
        let key = any_supported_type(&key).map_err(|_| IssueError::Authority)?;
        if key.public_key().is_some_and(|public| public.as_ref() != parsed.public_key().raw) {
            return Err(IssueError::Mismatch);
        }
        let schemes = ALGORITHMS.map(|(scheme, _)| scheme);
        let key = key.choose_scheme(&schemes).ok_or(IssueError::Authority)?;
        let algorithm = ALGORITHMS.iter().find(|(scheme, _)| *scheme == key.scheme());
        let key_id = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        Ok(Self {
            key,
            algorithm: algorithm.map(|(_, parts)| parts.concat()).ok_or(IssueError::Authority)?,
            subject: parsed.subject().as_raw().to_vec(),
            key_id: key_id.unwrap_or_default(),
            not_after: parsed.validity().not_after.timestamp(),
        })
    }

    /// The certificate in PEM.
    pub(super) fn issue(&self, request: &Request, terms: &Terms<'_>) -> Result<String, IssueError> {
        let now = terms.now;
        let at = |seconds: i64| Timestamp::from_second(seconds).map_err(|_| IssueError::Expired);
        let end = now.as_second().saturating_add(terms.lifetime_seconds).min(self.not_after);
        if end <= now.as_second() {
            return Err(IssueError::Expired);
        }
        let start = now.checked_sub(BACKDATE).map_err(|_| IssueError::Expired)?;
        let validity = der::sequence(&[der::time(start), der::time(at(end)?)]);
        let algorithm = der::element(0x30, &self.algorithm);
        let mut serial = terms.serial;
        // RFC 5280, 4.1.2.2: positive, and not zero.
        serial[0] = (serial[0] & 0x7f) | 0x40;
        let to_be_signed = der::sequence(&[
            der::element(0xa0, &der::integer(&[2])),
            der::integer(&serial),
            algorithm.clone(),
            self.subject.clone(),
            validity,
            request.subject.clone(),
            request.public_key.clone(),
            der::element(0xa3, &der::sequence(&self.extensions(request, terms))),
        ]);
        let signature = self.key.sign(&to_be_signed).map_err(|_| IssueError::Sign)?;
        let certificate = der::sequence(&[to_be_signed, algorithm, der::bits(&signature)]);
        Ok(to_pem("CERTIFICATE", &certificate))
    }

    fn extensions(&self, request: &Request, terms: &Terms<'_>) -> Vec<Vec<u8>> {
        let mut extensions = Vec::new();
        let bits = terms.usages.iter().fold(0_u16, |bits, usage| bits | key_usage(usage));
        if bits != 0 {
            extensions.push(der::extension(KEY_USAGE, true, &named_bits(bits)));
        }
        let extended: Vec<_> = terms.usages.iter().filter_map(|usage| extended_usage(usage)).collect();
        if !extended.is_empty() {
            let ids: Vec<_> = extended.iter().map(|id| der::oid(id)).collect();
            extensions.push(der::extension(EXTENDED_KEY_USAGE, false, &der::sequence(&ids)));
        }
        extensions.push(der::extension(BASIC_CONSTRAINTS, true, &der::sequence(&[])));
        if !self.key_id.is_empty() {
            let id = der::sequence(&[der::element(0x80, &self.key_id)]);
            extensions.push(der::extension(AUTHORITY_KEY_ID, false, &id));
        }
        let own = digest(&SHA1_FOR_LEGACY_USE_ONLY, &request.public_key);
        extensions.push(der::extension(SUBJECT_KEY_ID, false, &der::element(0x04, own.as_ref())));
        if let Some(names) = &request.alt_names {
            extensions.push(der::extension(SUBJECT_ALT_NAME, false, names));
        }
        extensions
    }
}

/// Never the key.
impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// RFC 7468.
fn to_pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

/// The bits of RFC 5280, 4.2.1.3, the first one highest.
fn key_usage(usage: &str) -> u16 {
    let bit = match usage {
        "digital signature" | "signing" => 0,
        "content commitment" => 1,
        "key encipherment" => 2,
        "data encipherment" => 3,
        "key agreement" => 4,
        "cert sign" => 5,
        "crl sign" => 6,
        "encipher only" => 7,
        "decipher only" => 8,
        _ => return 0,
    };
    0x8000 >> bit
}

/// A bit string without the zero bits at its end.
fn named_bits(bits: u16) -> Vec<u8> {
    let bytes = bits.to_be_bytes();
    let used = if bytes[1] == 0 { &bytes[..1] } else { &bytes[..] };
    let unused = used.last().map_or(0, |last| last.trailing_zeros() as u8);
    der::element(0x03, &[&[unused], used].concat())
}

/// RFC 5280, 4.2.1.12, and what Go knows beside it.
fn extended_usage(usage: &str) -> Option<&'static [u8]> {
    Some(match usage {
        "any" => &[0x55, 0x1d, 0x25, 0x00],
        "server auth" => &[0x2b, 6, 1, 5, 5, 7, 3, 1],
        "client auth" => &[0x2b, 6, 1, 5, 5, 7, 3, 2],
        "code signing" => &[0x2b, 6, 1, 5, 5, 7, 3, 3],
        "email protection" | "s/mime" => &[0x2b, 6, 1, 5, 5, 7, 3, 4],
        "ipsec end system" => &[0x2b, 6, 1, 5, 5, 7, 3, 5],
        "ipsec tunnel" => &[0x2b, 6, 1, 5, 5, 7, 3, 6],
        "ipsec user" => &[0x2b, 6, 1, 5, 5, 7, 3, 7],
        "timestamping" => &[0x2b, 6, 1, 5, 5, 7, 3, 8],
        "ocsp signing" => &[0x2b, 6, 1, 5, 5, 7, 3, 9],
        _ => return None,
    })
}

/// Clocks of others may be behind.
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);
/// How signatures are named in certificates: the object identifier, as DER, and its parameters.
const ALGORITHMS: [(SignatureScheme, [&[u8]; 2]); 4] = [
    // 1.2.840.10045.4.3.2
    (SignatureScheme::ECDSA_NISTP256_SHA256, [&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], &[]]),
    // 1.2.840.10045.4.3.3
    (SignatureScheme::ECDSA_NISTP384_SHA384, [&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3], &[]]),
    // 1.2.840.113549.1.1.11, with NULL (RFC 4055, 5)
    (SignatureScheme::RSA_PKCS1_SHA256, [&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11], &[5, 0]]),
    // 1.3.101.112
    (SignatureScheme::ED25519, [&[6, 3, 0x2b, 0x65, 0x70], &[]]),
];
const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 14];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
