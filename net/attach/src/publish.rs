//! Published ports: docker's `-p` in all its forms.
//!
//! ```text
//! [[HOST-IP:]HOST-PORT[-LAST]:]CONTAINER-PORT[-LAST][/tcp|udp|sctp]      HOST-IP::CONTAINER-PORT
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A transport that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// `IPPROTO_*`.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// The host ports that one container port may be published on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HostPort {
    /// Any free port of the host's ephemeral range.
    Ephemeral,
    /// This one.
    Fixed(u16),
    /// The first free one from the first to the last, both included.
    AnyOf(u16, u16),
}

/// One container port that is to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortMapping {
    /// The transport.
    pub protocol: Protocol,
    /// The host address to publish on; all of the host's without.
    pub host_ip: Option<IpAddr>,
    /// The host's port.
    pub host_port: HostPort,
    /// The container's port.
    pub container_port: u16,
}

/// One port that is published: all values decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The transport.
    pub protocol: Protocol,
    /// The host address; `0.0.0.0` is all of the host's.
    pub host_ip: Ipv4Addr,
    /// The host's port.
    pub host_port: u16,
    /// The container's port.
    pub container_port: u16,
}

impl fmt::Display for PublishedPort {
    /// As `docker ps` prints it: `0.0.0.0:8080->80/tcp`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, host_ip, host_port, container_port } = self;
        write!(f, "{host_ip}:{host_port}->{container_port}/{protocol}")
    }
}

/// The text is not a port mapping.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "publish {raw:?}: {why}; write [[IP:]HOST-PORT:]CONTAINER-PORT[/tcp|udp|sctp], such as 127.0.0.1:8080:80"
)]
pub struct InvalidPortMapping {
    /// What was given.
    pub raw: String,
    /// What is wrong with it.
    pub why: PortMappingProblem,
}

/// What is wrong with a port mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortMappingProblem {
    /// Not a transport.
    #[error("the protocol is none of tcp, udp, sctp")]
    Protocol,
    /// Not a port or a range.
    #[error("a port is not a number from 1 to 65535 or a range FIRST-LAST")]
    Port,
    /// Not an address.
    #[error("the host address is not an IP address")]
    Address,
    /// Ranges of different lengths.
    #[error("the host range and the container range are not of the same length")]
    Lengths,
    /// No container port.
    #[error("the container port is missing")]
    Missing,
}

impl PortMapping {
    /// Reads one `-p` argument: a range gives one mapping for each port.
    pub fn parse(raw: &str) -> Result<Vec<Self>, InvalidPortMapping> {
        parse(raw).map_err(|why| InvalidPortMapping { raw: raw.to_owned(), why })
    }
}

fn parse(raw: &str) -> Result<Vec<PortMapping>, PortMappingProblem> {
    let (ports, protocol) = match raw.rsplit_once('/') {
        Some((ports, protocol)) => (ports, Protocol::from_str(protocol)?),
        None => (raw, Protocol::Tcp),
    };
    let (rest, container) = ports.rsplit_once(':').map_or((None, ports), |(rest, last)| (Some(rest), last));
    if container.is_empty() {
        return Err(PortMappingProblem::Missing);
    }
    let (address, host) = match rest {
        None => (None, ""),
        Some(rest) => split_host(rest)?,
    };
    let (first, last) = range(container)?;
    let count = last - first;
    let host_port = |offset: u16| -> Result<HostPort, PortMappingProblem> {
        if host.is_empty() {
            return Ok(HostPort::Ephemeral);
        }
        let (host_first, host_last) = range(host)?;
        match host_last - host_first {
            0 if count == 0 => Ok(HostPort::Fixed(host_first)),
            length if length == count => Ok(HostPort::Fixed(host_first + offset)),
            _ if count == 0 => Ok(HostPort::AnyOf(host_first, host_last)),
            _ => Err(PortMappingProblem::Lengths),
        }
    };
    (0..=count)
        .map(|offset| {
            Ok(PortMapping {
                protocol,
                host_ip: address,
                host_port: host_port(offset)?,
                container_port: first + offset,
            })
        })
        .collect()
}

/// `IP:PORT`, `[IPv6]:PORT`, `PORT`, `IP:` before the container's port.
fn split_host(rest: &str) -> Result<(Option<IpAddr>, &str), PortMappingProblem> {
    let Some((address, port)) = rest.rsplit_once(':') else {
        return Ok((None, rest));
    };
    let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    if bare.is_empty() {
        return Ok((None, port));
    }
    bare.parse().map(|ip| (Some(ip), port)).map_err(|_| PortMappingProblem::Address)
}

fn range(text: &str) -> Result<(u16, u16), PortMappingProblem> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) if first > 0 && first <= last => Ok((first, last)),
        _ => Err(PortMappingProblem::Port),
    }
}

impl FromStr for Protocol {
    type Err = PortMappingProblem;
    fn from_str(raw: &str) -> Result<Self, PortMappingProblem> {
        match raw.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(PortMappingProblem::Protocol),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(raw: &str) -> String {
        match PortMapping::parse(raw) {
            Err(error) => format!("{:?}", error.why),
            Ok(mappings) => mappings
                .iter()
                .map(|m| {
                    let ip = m.host_ip.map_or_else(|| "*".to_owned(), |ip| ip.to_string());
                    let host = match m.host_port {
                        HostPort::Ephemeral => "?".to_owned(),
                        HostPort::Fixed(port) => port.to_string(),
                        HostPort::AnyOf(first, last) => format!("{first}..{last}"),
                    };
                    format!("{ip} {host} {} {}", m.container_port, m.protocol)
                })
                .collect::<Vec<_>>()
                .join(", "),
        }
    }

    #[test]
    fn reads_all_forms() {
        for (raw, expected) in [
            ("80", "* ? 80 tcp"),
            ("80/udp", "* ? 80 udp"),
            ("8080:80", "* 8080 80 tcp"),
            ("8080:80/TCP", "* 8080 80 tcp"),
            ("127.0.0.1:8080:80/sctp", "127.0.0.1 8080 80 sctp"),
            ("127.0.0.1::80", "127.0.0.1 ? 80 tcp"),
            (":80", "* ? 80 tcp"),
            ("[::1]:8080:80", "::1 8080 80 tcp"),
            ("::1:8080:80", "::1 8080 80 tcp"),
            ("8000-8002:80-82", "* 8000 80 tcp, * 8001 81 tcp, * 8002 82 tcp"),
            ("80-81", "* ? 80 tcp, * ? 81 tcp"),
            ("8000-8010:80", "* 8000..8010 80 tcp"),
            ("65535:65535", "* 65535 65535 tcp"),
        ] {
            assert_eq!(shown(raw), expected, "{raw}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for (raw, why) in [
            ("", "Missing"),
            ("8080:", "Missing"),
            ("0", "Port"),
            ("65536", "Port"),
            ("82-80", "Port"),
            ("8000-8003:80-82", "Lengths"),
            ("8000:80-82", "Lengths"),
            ("80/icmp", "Protocol"),
            ("host:80:80", "Address"),
            ("a:80", "Port"),
        ] {
            assert_eq!(shown(raw), why, "{raw}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(raw in "[0-9a-f:./\\-\\[\\]tcpud]{0,30}") {
            let _ = PortMapping::parse(&raw);
        }
    }
}
