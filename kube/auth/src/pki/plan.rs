//! What has to be made: a function of what is there and the time.

use std::net::IpAddr;

use super::ServerNames;

/// A certificate that the server has, in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// The authority over servers.
    ServerCa,
    /// The authority over clients.
    ClientCa,
    /// The authority over front proxies.
    FrontProxyCa,
    /// The API server's own.
    Serving,
    /// The administrator's.
    Admin,
    /// The API server's as a front proxy.
    FrontProxyClient,
    /// The API server's as a client of kubelets.
    KubeletClient,
}

/// Why a certificate is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is none, or none that can be read, or its key is another's.
    Missing,
    /// It expires soon.
    Expires,
    /// Its authority is a new one.
    Issuer,
    /// The server is called something else now.
    Names,
    /// It begins later than now: the clock was wrong.
    Future,
}

/// What is known of a certificate that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// When it begins, in seconds since 1970.
    pub not_before: i64,
    /// When it ends.
    pub not_after: i64,
    /// Whether today's authority signed it.
    pub by_issuer: bool,
    /// Its DNS names, sorted.
    pub dns: Vec<String>,
    /// Its addresses, sorted.
    pub ips: Vec<IpAddr>,
}

impl Item {
    /// All, authorities first.
    pub const ALL: &'static [Self] = &[
        Self::ServerCa,
        Self::ClientCa,
        Self::FrontProxyCa,
        Self::Serving,
        Self::Admin,
        Self::FrontProxyClient,
        Self::KubeletClient,
    ];

    /// The files' name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ServerCa => "server-ca",
            Self::ClientCa => "client-ca",
            Self::FrontProxyCa => "front-proxy-ca",
            Self::Serving => "serving",
            Self::Admin => "admin",
            Self::FrontProxyClient => "front-proxy-client",
            Self::KubeletClient => "kubelet-client",
        }
    }

    /// Who signs it; none signs itself.
    pub fn issuer(self) -> Option<Self> {
        match self {
            Self::ServerCa | Self::ClientCa | Self::FrontProxyCa => None,
            Self::Serving => Some(Self::ServerCa),
            Self::Admin | Self::KubeletClient => Some(Self::ClientCa),
            Self::FrontProxyClient => Some(Self::FrontProxyCa),
        }
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }

    pub(super) fn lifetime_seconds(self) -> i64 {
        if self.issuer().is_none() { AUTHORITY_SECONDS } else { LEAF_SECONDS }
    }
}

impl Known {
    /// When it is time for another: after two thirds of its life.
    pub fn renew_at(&self) -> i64 {
        self.not_after - (self.not_after - self.not_before) / 3
    }
}

/// Whether the certificate has to be made, and why.
pub(super) fn why_make(item: Item, known: Option<&Known>, names: &ServerNames, now: i64) -> Option<Why> {
    let Some(known) = known else { return Some(Why::Missing) };
    if !known.by_issuer {
        Some(Why::Issuer)
    } else if now < known.not_before {
        Some(Why::Future)
    } else if now >= known.renew_at() {
        Some(Why::Expires)
    } else if item == Item::Serving && (known.dns != names.dns || known.ips != names.ips) {
        Some(Why::Names)
    } else {
        None
    }
}

const DAY_SECONDS: i64 = 24 * 3600;
const AUTHORITY_SECONDS: i64 = 3650 * DAY_SECONDS;
const LEAF_SECONDS: i64 = 365 * DAY_SECONDS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renews_in_time() {
        let names = ServerNames { dns: vec!["a".into()], ..ServerNames::default() };
        let known =
            Known { not_before: 0, not_after: 900, by_issuer: true, dns: vec!["a".into()], ips: Vec::new() };
        for (item, known, now, why) in [
            (Item::Serving, None, 1, Some(Why::Missing)),
            (Item::Serving, Some(known.clone()), 1, None),
            (Item::Serving, Some(known.clone()), 599, None),
            (Item::Serving, Some(known.clone()), 600, Some(Why::Expires)),
            (Item::Serving, Some(known.clone()), 5000, Some(Why::Expires)),
            (Item::Serving, Some(known.clone()), -1, Some(Why::Future)),
            (Item::Serving, Some(Known { by_issuer: false, ..known.clone() }), 1, Some(Why::Issuer)),
            (Item::Serving, Some(Known { dns: Vec::new(), ..known.clone() }), 1, Some(Why::Names)),
            (Item::Admin, Some(Known { dns: Vec::new(), ..known }), 1, None),
        ] {
            assert_eq!(why_make(item, known.as_ref(), &names, now), why, "{item:?} at {now}");
        }
        assert!(Item::ALL.iter().enumerate().all(|(index, item)| item.index() == index));
    }
}
