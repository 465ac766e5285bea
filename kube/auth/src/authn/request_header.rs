//! A front proxy says who asks, in headers; its certificate says that it may.

use kube_object::user::User;
use rustls_pki_types::CertificateDer;

use super::Headers;
use super::x509::{self, Authorities};

/// Which proxy is believed, and which headers it uses.
#[derive(Clone, Debug)]
pub struct RequestHeader {
    /// Who signs the proxy's certificate.
    pub authorities: Authorities,
    /// The names it may have; none is any.
    pub allowed_names: Vec<String>,
    /// Headers with the user, in order.
    pub user_headers: Vec<String>,
    /// Headers with the user's identity.
    pub uid_headers: Vec<String>,
    /// Headers with groups.
    pub group_headers: Vec<String>,
    /// Prefixes of headers with extras.
    pub extra_prefixes: Vec<String>,
}

impl RequestHeader {
    /// The headers that upstream's aggregator sends.
    pub fn new(authorities: Authorities, allowed_names: Vec<String>) -> Self {
        let one = |name: &str| vec![name.to_owned()];
        Self {
            authorities,
            allowed_names,
            user_headers: one("X-Remote-User"),
            uid_headers: one("X-Remote-Uid"),
            group_headers: one("X-Remote-Group"),
            extra_prefixes: one("X-Remote-Extra-"),
        }
    }

    /// Whether the certificate's name is one of the proxies'.
    pub(super) fn is_proxy(&self, certificate: &CertificateDer<'_>) -> bool {
        self.allowed_names.is_empty()
            || x509::common_name(certificate).is_some_and(|name| self.allowed_names.contains(&name))
    }

    /// The user in the headers.
    pub(super) fn user(&self, headers: &dyn Headers) -> Option<User> {
        let first = |names: &[String]| {
            names.iter().find_map(|name| headers.first(name)).unwrap_or_default().to_owned()
        };
        let name = first(&self.user_headers);
        if name.is_empty() {
            return None;
        }
        let mut user = User { name, uid: first(&self.uid_headers), ..User::default() };
        headers.each(&mut |name, value| {
            if self.group_headers.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                user.groups.push(value.to_owned());
            }
            for prefix in &self.extra_prefixes {
                if let Some(key) = super::after_prefix(name, prefix) {
                    user.extra.entry(super::extra_key(key)).or_default().push(value.to_owned());
                }
            }
        });
        Some(user)
    }
}
