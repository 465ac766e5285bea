//! Makes certificates, and reads those that are there.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, SanType,
};
use ring::digest::{SHA256, digest};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

use super::files::Directory;
use super::plan::{Item, Known};
use super::{KeyPair, PkiError, ServerNames};

/// A certificate and its key.
#[derive(Clone)]
pub(super) struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    /// What the directory has; none if one of the two is missing.
    pub(super) fn read(directory: &Directory, item: Item) -> Result<Option<Self>, PkiError> {
        let certificate = directory.read(&format!("{}.crt", item.name()))?;
        let key = directory.read(&format!("{}.key", item.name()))?;
        Ok(match (certificate, key) {
            (None, None) => None,
            (certificate, key) => {
                Some(Self { certificate: certificate.unwrap_or_default(), key: key.unwrap_or_default() })
            }
        })
    }

    /// The key first: a certificate whose key is not there yet is made again.
    pub(super) fn write(&self, directory: &Directory, item: Item) -> Result<(), PkiError> {
        directory.write(&format!("{}.key", item.name()), &self.key)?;
        directory.write(&format!("{}.crt", item.name()), &self.certificate)
    }

    pub(super) fn of(pair: KeyPair) -> Self {
        Self { certificate: pair.certificate, key: pair.key }
    }

    pub(super) fn to_key_pair(&self) -> KeyPair {
        KeyPair { certificate: self.certificate.clone(), key: self.key.clone() }
    }

    /// What is known of it; none if it cannot be used.
    pub(super) fn known(&self, item: Item, issuer: Option<&Self>) -> Option<Known> {
        let der = CertificateDer::from_pem_slice(self.certificate.as_bytes()).ok()?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).ok()?;
        let key = rcgen::KeyPair::from_pem(&self.key).ok()?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return None;
        }
        let by_issuer = match (item.issuer(), issuer) {
            (None, _) => parsed.verify_signature(None).is_ok(),
            (Some(_), Some(issuer)) => issuer.signed(&parsed),
            (Some(_), None) => false,
        };
        let mut known = Known {
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            by_issuer,
            dns: Vec::new(),
            ips: Vec::new(),
        };
        let names = parsed.subject_alternative_name().ok().flatten();
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::DNSName(name) => known.dns.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => known.ips.extend(ip_of(bytes)),
                _ => {}
            }
        }
        known.dns.sort();
        known.ips.sort();
        Some(known)
    }

    fn signed(&self, certificate: &X509Certificate<'_>) -> bool {
        let Ok(der) = CertificateDer::from_pem_slice(self.certificate.as_bytes()) else { return false };
        let Ok((_, own)) = x509_parser::parse_x509_certificate(&der) else { return false };
        certificate.issuer().as_raw() == own.subject().as_raw()
            && certificate.verify_signature(Some(own.public_key())).is_ok()
    }
}

/// A new certificate with a new key. An authority's old certificates stay beside the new one
/// while they are valid, so that what they signed is still believed.
pub(super) fn make(
    item: Item,
    issuer: Option<&Pair>,
    names: &ServerNames,
    old: Option<&Pair>,
    now: Timestamp,
) -> Result<Pair, PkiError> {
    let wrong = |source| PkiError::Make { name: item.name(), source };
    let params = params(item, names, now)?;
    let key = rcgen::KeyPair::generate().map_err(wrong)?;
    let certificate = match issuer {
        Some(issuer) => {
            let signing = rcgen::KeyPair::from_pem(&issuer.key).map_err(wrong)?;
            let issuer = Issuer::from_ca_cert_pem(&issuer.certificate, signing).map_err(wrong)?;
            params.signed_by(&key, &issuer).map_err(wrong)?.pem()
        }
        None => {
            let mut bundle = with_name_of_key(params, &key).self_signed(&key).map_err(wrong)?.pem();
            for earlier in old.map(|old| still_valid(&old.certificate, now)).unwrap_or_default() {
                bundle.push_str(&earlier);
            }
            bundle
        }
    };
    Ok(Pair { certificate, key: key.serialize_pem() })
}

fn params(item: Item, names: &ServerNames, now: Timestamp) -> Result<CertificateParams, PkiError> {
    let wrong = |source| PkiError::Make { name: item.name(), source };
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(item);
    let start = u64::try_from(now.as_second()).map_err(|_| PkiError::Clock)?;
    let start = start.checked_sub(BACKDATE_SECONDS).ok_or(PkiError::Clock)?;
    let lifetime = u64::try_from(item.lifetime_seconds()).map_err(|_| PkiError::Clock)?;
    if start > START_MAX {
        return Err(PkiError::Clock);
    }
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(start);
    params.not_after = params.not_before + Duration::from_secs(BACKDATE_SECONDS + lifetime);
    params.use_authority_key_identifier_extension = true;
    match item {
        Item::ServerCa | Item::ClientCa | Item::FrontProxyCa => {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![
                KeyUsagePurpose::KeyCertSign,
                KeyUsagePurpose::CrlSign,
                KeyUsagePurpose::DigitalSignature,
            ];
        }
        Item::Serving => {
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            for name in &names.dns {
                let name = name.as_str().try_into().map_err(wrong)?;
                params.subject_alt_names.push(SanType::DnsName(name));
            }
            params.subject_alt_names.extend(names.ips.iter().map(|ip| SanType::IpAddress(*ip)));
        }
        Item::Admin | Item::FrontProxyClient | Item::KubeletClient => {
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
    }
    Ok(params)
}

fn subject(item: Item) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    let (name, organization) = match item {
        Item::ServerCa => ("strake-server-ca", None),
        Item::ClientCa => ("strake-client-ca", None),
        Item::FrontProxyCa => ("strake-front-proxy-ca", None),
        Item::Serving => ("kube-apiserver", None),
        Item::Admin => ("kubernetes-admin", Some("system:masters")),
        Item::FrontProxyClient => ("front-proxy-client", None),
        Item::KubeletClient => ("kube-apiserver-kubelet-client", Some("system:masters")),
    };
    if let Some(organization) = organization {
        subject.push(DnType::OrganizationName, organization);
    }
    subject.push(DnType::CommonName, name);
    subject
}

/// Two authorities of one name but other keys confuse who builds a chain by names.
fn with_name_of_key(mut params: CertificateParams, key: &rcgen::KeyPair) -> CertificateParams {
    let name = match params.distinguished_name.get(&DnType::CommonName) {
        Some(rcgen::DnValue::Utf8String(name)) => name.clone(),
        _ => "strake-ca".to_owned(),
    };
    let print = digest(&SHA256, key.public_key_raw());
    let short: String = print.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name.push(DnType::CommonName, format!("{name}@{short}"));
    params
}

/// The certificates of a bundle that have not ended, the newest few.
fn still_valid(bundle: &str, now: Timestamp) -> Vec<String> {
    let ends = |pem: &str| {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).ok()?;
        Some(parsed.validity().not_after.timestamp())
    };
    let sections = bundle.split_inclusive(PEM_END).map(|section| format!("{}\n", section.trim()));
    let valid = sections.filter(|pem| ends(pem).is_some_and(|ends| ends > now.as_second()));
    valid.take(EARLIER_MAX).collect()
}

pub(crate) fn ip_of(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

pub(super) const PEM_END: &str = "-----END CERTIFICATE-----";
/// Certificates of an authority that are believed beside the newest.
const EARLIER_MAX: usize = 3;
/// Clocks of others may be behind.
const BACKDATE_SECONDS: u64 = 300;
/// The year 9000: certificates end before 10000.
const START_MAX: u64 = 221_845_392_000;
