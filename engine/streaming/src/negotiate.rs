//! Which sub-protocol both ends speak.

use http::HeaderMap;
use http::header::{CONNECTION, SEC_WEBSOCKET_PROTOCOL, UPGRADE};

/// The header that carries sub-protocols over SPDY.
pub const PROTOCOL: &str = "x-stream-protocol-version";
/// The header that says which would have been taken.
pub const ACCEPTED: &str = "x-accepted-stream-protocol-versions";

/// How a client wants to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// SPDY/3.1.
    Spdy,
    /// WebSocket.
    WebSocket,
}

/// What a request asks to be upgraded to.
pub fn transport(headers: &HeaderMap) -> Option<Transport> {
    let upgrades = words(headers, CONNECTION.as_str()).any(|word| word.eq_ignore_ascii_case("upgrade"));
    let to = |name: &str| words(headers, UPGRADE.as_str()).any(|word| word.eq_ignore_ascii_case(name));
    match upgrades {
        true if to("websocket") => Some(Transport::WebSocket),
        true if to("spdy/3.1") => Some(Transport::Spdy),
        _ => None,
    }
}

/// The protocols that a client offers, in its order.
pub fn offered(headers: &HeaderMap, transport: Transport) -> Vec<&str> {
    match transport {
        Transport::Spdy => words(headers, PROTOCOL).collect(),
        Transport::WebSocket => words(headers, SEC_WEBSOCKET_PROTOCOL.as_str()).collect(),
    }
}

/// The first offered protocol that is among ours.
pub fn choose<'a>(offered: &[&'a str], ours: &[&str]) -> Option<&'a str> {
    offered.iter().copied().find(|offer| ours.contains(offer))
}

fn words<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn finds_the_transport() {
        for (fields, expected) in [
            (&[("connection", "Upgrade"), ("upgrade", "SPDY/3.1")][..], Some(Transport::Spdy)),
            (&[("connection", "keep-alive, upgrade"), ("upgrade", "websocket")], Some(Transport::WebSocket)),
            (&[("connection", "close"), ("upgrade", "websocket")], None),
            (&[("connection", "upgrade"), ("upgrade", "h2c")], None),
            (&[("upgrade", "websocket")], None),
        ] {
            assert_eq!(transport(&headers(fields)), expected, "{fields:?}");
        }
    }

    #[test]
    fn the_client_prefers() {
        let both =
            headers(&[(PROTOCOL, "v4.channel.k8s.io, v3.channel.k8s.io"), (PROTOCOL, "channel.k8s.io")]);
        let offers = offered(&both, Transport::Spdy);
        assert_eq!(offers.len(), 3);
        assert_eq!(choose(&offers, &["channel.k8s.io", "v3.channel.k8s.io"]), Some("v3.channel.k8s.io"));
        assert_eq!(choose(&offers, &["other"]), None);
    }
}
