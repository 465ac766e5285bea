//! `--publish` and `--expose`.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::InvalidOption;

/// A transport protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortProtocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A port of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRequest {
    /// Its number.
    pub port: u16,
    /// Its protocol.
    pub protocol: PortProtocol,
}

/// A port of a container on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishRequest {
    /// The host's address; all when missing.
    pub host_ip: Option<IpAddr>,
    /// The host's port; a free one when missing.
    pub host_port: Option<u16>,
    /// The container's port.
    pub container: PortRequest,
}

impl fmt::Display for PortProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl fmt::Display for PortRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

impl PortRequest {
    /// Reads `PORT[-PORT][/PROTOCOL]`.
    pub fn parse(text: &str) -> Result<Vec<Self>, InvalidOption> {
        let wrong = |why| InvalidOption::new("--expose", text, why);
        let (ports, protocol) =
            protocol(text).ok_or_else(|| wrong("the protocol must be tcp, udp or sctp"))?;
        let range = range(ports).ok_or_else(|| wrong("use PORT[-PORT][/PROTOCOL], as in 80/tcp"))?;
        Ok(range.map(|port| Self { port, protocol }).collect())
    }
}

impl PublishRequest {
    /// Reads `[[IP:][PORT[-PORT]]:]PORT[-PORT][/PROTOCOL]`.
    pub fn parse(text: &str) -> Result<Vec<Self>, InvalidOption> {
        let wrong = |why| InvalidOption::new("--publish", text, why);
        let usage = "use [[IP:]HOST_PORT:]CONTAINER_PORT[/PROTOCOL], as in 8080:80";
        let (rest, protocol) =
            protocol(text).ok_or_else(|| wrong("the protocol must be tcp, udp or sctp"))?;
        let (front, container) = rest.rsplit_once(':').unwrap_or(("", rest));
        let container = range(container).ok_or_else(|| wrong(usage))?;
        let (ip, host) = split_address(front).ok_or_else(|| wrong(usage))?;
        let host_ip = match ip {
            "" => None,
            ip => Some(ip.parse::<IpAddr>().map_err(|_| wrong("the host's address is not an IP address"))?),
        };
        if host.is_empty() {
            let port = |port| Self { host_ip, host_port: None, container: PortRequest { port, protocol } };
            return Ok(container.map(port).collect());
        }
        let host = range(host).ok_or_else(|| wrong(usage))?;
        if host.len() != container.len() {
            return Err(wrong("the two ranges of ports must be equally long"));
        }
        let pairs = host.zip(container);
        Ok(pairs
            .map(|(host, port)| Self {
                host_ip,
                // Port 0 asks for a free one.
                host_port: Some(host).filter(|port| *port != 0),
                container: PortRequest { port, protocol },
            })
            .collect())
    }
}

fn protocol(text: &str) -> Option<(&str, PortProtocol)> {
    match text.split_once('/') {
        None => Some((text, PortProtocol::Tcp)),
        Some((rest, protocol)) => match protocol.to_ascii_lowercase().as_str() {
            "tcp" => Some((rest, PortProtocol::Tcp)),
            "udp" => Some((rest, PortProtocol::Udp)),
            "sctp" => Some((rest, PortProtocol::Sctp)),
            _ => None,
        },
    }
}

/// `IP:PORT`, `[IP]:PORT`, `PORT` or nothing, into address and port.
fn split_address(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (ip, port) = rest.split_once(']')?;
        return Some((ip, port.strip_prefix(':').or(port.is_empty().then_some(""))?));
    }
    match text.rsplit_once(':') {
        Some((ip, port)) => Some((ip, port)),
        None if text.contains('.') => Some((text, "")),
        None => Some(("", text)),
    }
}

fn range(text: &str) -> Option<std::ops::RangeInclusive<u16>> {
    let port = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u16>().ok())?;
    match text.split_once('-') {
        None => port(text).map(|one| one..=one),
        Some((first, last)) => Some(port(first)?..=port(last)?).filter(|range| !range.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match PublishRequest::parse(text) {
            Err(error) => format!("error: {}", error.why),
            Ok(ports) => ports
                .iter()
                .map(|p| {
                    let ip = p.host_ip.map_or("*".to_owned(), |ip| ip.to_string());
                    format!("{ip}:{}->{}", p.host_port.unwrap_or(0), p.container)
                })
                .collect::<Vec<_>>()
                .join(" "),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn publishes() {
        check("80", "*:0->80/tcp");
        check("8080:80", "*:8080->80/tcp");
        check("127.0.0.1:8080:80/udp", "127.0.0.1:8080->80/udp");
        check("127.0.0.1::80", "127.0.0.1:0->80/tcp");
        check("[::1]:8080:80", "::1:8080->80/tcp");
        check("8000-8001:80-81", "*:8000->80/tcp *:8001->81/tcp");
        check("0:80", "*:0->80/tcp");
    }

    #[test]
    fn refuses() {
        for text in ["", "x:80", "80:", ":", "1.2.3:80:80", "70000:80", "81-80", "+80:80"] {
            assert!(PublishRequest::parse(text).is_err(), "{text}");
        }
        check("80/icmp", "error: the protocol must be tcp, udp or sctp");
        check("8000-8002:80-81", "error: the two ranges of ports must be equally long");
    }

    #[test]
    fn exposes_ranges() {
        assert_eq!(PortRequest::parse("80-82/udp").unwrap().len(), 3);
        assert!(PortRequest::parse("x").is_err());
    }
}
