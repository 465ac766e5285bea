//! Reading a PKCS#10 request (RFC 2986) out of PEM.

use std::net::{IpAddr, Ipv4Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use crate::pki::ip_of;

/// What of a request matters to who signs it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The subject's common name.
    pub common_name: String,
    /// The subject's organizations: groups.
    pub organizations: Vec<String>,
    /// DNS names.
    pub dns_names: Vec<String>,
    /// IP addresses.
    pub ip_addresses: Vec<IpAddr>,
    /// How many email addresses.
    pub emails: usize,
    /// How many URIs.
    pub uris: usize,
    /// The subject in DER, as it was asked for.
    pub(super) subject: Vec<u8>,
    /// The public key in DER.
    pub(super) public_key: Vec<u8>,
    /// The content of the subjectAltName extension, if any.
    pub(super) alt_names: Option<Vec<u8>>,
}

/// The request cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The field is not base64.
    #[error("spec.request is not base64")]
    Base64,
    /// The PEM has no such section.
    #[error("PEM block type must be CERTIFICATE REQUEST")]
    Pem,
    /// It is not DER of PKCS#10.
    #[error("asn1: structure error: malformed certificate request")]
    Der,
    /// Whoever asks does not hold the key.
    #[error("the signature of the certificate request is wrong")]
    Signature,
}

impl Request {
    /// Of `spec.request`: base64 of PEM. The signature is verified too.
    pub fn parse(base64: &str) -> Result<Self, ParseError> {
        let pem = STANDARD.decode(base64).map_err(|_| ParseError::Base64)?;
        let der = CertificateSigningRequestDer::from_pem_slice(&pem).map_err(|_| ParseError::Pem)?;
        let (rest, request) =
            X509CertificationRequest::from_der(der.as_ref()).map_err(|_| ParseError::Der)?;
        if !rest.is_empty() {
            return Err(ParseError::Der);
        }
        request.verify_signature().map_err(|_| ParseError::Signature)?;
        Ok(Self::of(&request))
    }

    fn of(request: &X509CertificationRequest<'_>) -> Self {
        let info = &request.certification_request_info;
        let texts = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            value.as_str().unwrap_or_default().to_owned()
        };
        let mut found = Self {
            common_name: info.subject.iter_common_name().last().map(texts).unwrap_or_default(),
            organizations: info.subject.iter_organization().map(texts).collect(),
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            emails: 0,
            uris: 0,
            subject: info.subject.as_raw().to_vec(),
            public_key: info.subject_pki.raw.to_vec(),
            alt_names: None,
        };
        for attribute in info.iter_attributes() {
            let ParsedCriAttribute::ExtensionRequest(requested) = attribute.parsed_attribute() else {
                continue;
            };
            for extension in &requested.extensions {
                if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
                    found.alt_names = Some(extension.value.to_vec());
                    names.general_names.iter().for_each(|name| found.count(name));
                }
            }
        }
        found
    }

    fn count(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => self.ip_addresses.push(ip_of(bytes).unwrap_or(NOBODYS)),
            GeneralName::RFC822Name(_) => self.emails += 1,
            GeneralName::URI(_) => self.uris += 1,
            _ => {}
        }
    }
}

/// Stands for what has the length of no address: it is signed as it is, so it must not be left out here.
const NOBODYS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
