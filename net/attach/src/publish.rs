//! Published ports: docker's `-p` in all its forms.
//!
//! ```text
//! [[HOST-IP:]HOST-PORT[-LAST]:]CONTAINER-PORT[-LAST][/tcp|udp|sctp]      HOST-IP::CONTAINER-PORT
//! published=HOST-PORT,target=CONTAINER-PORT[,protocol=tcp|udp|sctp]
//! ```
//!
//! Two things that docker does not have are said for all ports of a container at once:
//! whether others may publish on the same host ports ([`Publishing::shared`]), and whose
//! word counts about who may reach them ([`PublishPolicy`]).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
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

/// Whose word counts about who may reach a published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PublishPolicy {
    /// The host's: what its input rules close stays closed.
    #[default]
    Host,
    /// Nobody's, as docker has it: a published port is open, whatever the host's input rules
    /// say.
    Docker,
}

impl fmt::Display for PublishPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Docker => "docker",
        })
    }
}

/// The text is not a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("publish policy {raw:?} is not known; use host or docker")]
pub struct InvalidPublishPolicy {
    raw: String,
}

impl FromStr for PublishPolicy {
    type Err = InvalidPublishPolicy;
    fn from_str(raw: &str) -> Result<Self, InvalidPublishPolicy> {
        match raw {
            "host" => Ok(Self::Host),
            "docker" => Ok(Self::Docker),
            _ => Err(InvalidPublishPolicy { raw: raw.to_owned() }),
        }
    }
}

/// How a container's ports are published, all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Publishing {
    /// Who decides about who may reach them.
    pub policy: PublishPolicy,
    /// Other containers that say so too may publish on the same host ports: connections are
    /// spread over all of them.
    pub shared: bool,
}

/// Who leads to a container what reaches the host at its published ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Front {
    /// The kernel's rules alone, which cannot translate IPv6's loopback address.
    #[default]
    Rules,
    /// The rules, and a process of this host that relays what is sent to `[::1]`.
    Relay,
    /// A process that listens on another host and sends all of it to this namespace: the
    /// rules are not to look at the address, which is none of this namespace's.
    Outside,
}

/// One port that is published: all values decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The transport.
    pub protocol: Protocol,
    /// The host address; `0.0.0.0` and `::` are all of the host's of that family.
    pub host_ip: IpAddr,
    /// The host's port.
    pub host_port: u16,
    /// The container's port.
    pub container_port: u16,
    /// Whose word counts about who may reach it.
    #[serde(default)]
    pub policy: PublishPolicy,
    /// Others may publish on the same host port.
    #[serde(default)]
    pub shared: bool,
}

impl PublishedPort {
    /// A port as it is published by default: the host's policy, for one container.
    pub const fn new(protocol: Protocol, host_ip: IpAddr, host_port: u16, container_port: u16) -> Self {
        let policy = PublishPolicy::Host;
        Self { protocol, host_ip, host_port, container_port, policy, shared: false }
    }

    /// Host address and port, an IPv6 one in brackets.
    pub const fn host(&self) -> SocketAddr {
        SocketAddr::new(self.host_ip, self.host_port)
    }

    /// Whether connections to the host's `[::1]` are for it: those the kernel does not send on.
    pub fn is_on_loopback6(&self) -> bool {
        let address = [Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED].map(IpAddr::V6);
        self.protocol != Protocol::Sctp && address.contains(&self.host_ip)
    }

    /// Whether some packet could be for both: the same port of the same transport, on one
    /// address or with one of the two on all addresses of the family.
    pub fn meets(&self, protocol: Protocol, host_ip: IpAddr, port: u16) -> bool {
        let all = self.host_ip.is_unspecified() || host_ip.is_unspecified();
        let address = self.host_ip == host_ip || (all && self.host_ip.is_ipv4() == host_ip.is_ipv4());
        self.protocol == protocol && self.host_port == port && address
    }
}

impl fmt::Display for PublishedPort {
    /// As `docker ps` prints it: `0.0.0.0:8080->80/tcp`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}/{}", self.host(), self.container_port, self.protocol)
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
    /// Not a name of the long form.
    #[error("its long form knows published=, target= and protocol= only")]
    Name,
}

impl PortMapping {
    /// Reads one `-p` argument: a range gives one mapping for each port.
    pub fn parse(raw: &str) -> Result<Vec<Self>, InvalidPortMapping> {
        parse(raw).map_err(|why| InvalidPortMapping { raw: raw.to_owned(), why })
    }
}

fn parse(raw: &str) -> Result<Vec<PortMapping>, PortMappingProblem> {
    if raw.contains('=') {
        return parse_short(&short_form(raw)?);
    }
    parse_short(raw)
}

/// `published=8080,target=80,protocol=udp` as `8080:80/udp`.
fn short_form(raw: &str) -> Result<String, PortMappingProblem> {
    let (mut published, mut target, mut protocol) = ("", "", "tcp");
    for part in raw.split(',') {
        match part.split_once('=') {
            Some(("published", value)) => published = value,
            Some(("target", value)) => target = value,
            Some(("protocol", value)) => protocol = value,
            _ => return Err(PortMappingProblem::Name),
        }
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

fn parse_short(raw: &str) -> Result<Vec<PortMapping>, PortMappingProblem> {
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
        if host.is_empty() || host == "0" {
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
            ("0:80", "* ? 80 tcp"),
            ("127.0.0.1:0:80-81", "127.0.0.1 ? 80 tcp, 127.0.0.1 ? 81 tcp"),
            ("[::]:80:80", ":: 80 80 tcp"),
            ("[::]::80", ":: ? 80 tcp"),
            ("published=8080,target=80", "* 8080 80 tcp"),
            ("target=53,published=5353,protocol=udp", "* 5353 53 udp"),
            ("target=53", "* ? 53 tcp"),
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
            ("0-3:80", "Port"),
            ("published=80", "Missing"),
            ("published=80,target=80,mode=host", "Name"),
        ] {
            assert_eq!(shown(raw), why, "{raw}");
        }
    }

    #[test]
    fn shows_what_docker_shows() {
        let port = |ip: &str| PublishedPort::new(Protocol::Tcp, ip.parse().expect("address"), 8080, 80);
        assert_eq!(port("0.0.0.0").to_string(), "0.0.0.0:8080->80/tcp");
        assert_eq!(port("::").to_string(), "[::]:8080->80/tcp");
    }

    #[test]
    fn ports_meet_within_their_family() {
        let meet = |one: &str, other: &str| {
            let one = PublishedPort::new(Protocol::Tcp, one.parse().expect("address"), 80, 80);
            one.meets(Protocol::Tcp, other.parse().expect("address"), 80)
        };
        for (one, other, expected) in [
            ("0.0.0.0", "127.0.0.1", true),
            ("127.0.0.1", "0.0.0.0", true),
            ("127.0.0.1", "10.0.0.1", false),
            ("0.0.0.0", "::", false),
            ("::1", "::", true),
            ("0.0.0.0", "::1", false),
        ] {
            assert_eq!(meet(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn a_record_of_before_is_read() {
        let text = r#"{"protocol":"tcp","host_ip":"0.0.0.0","host_port":80,"container_port":81}"#;
        let port: PublishedPort = serde_json::from_str(text).expect("an old record");
        assert_eq!(port, PublishedPort::new(Protocol::Tcp, [0, 0, 0, 0].into(), 80, 81));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(raw in "[0-9a-f:./\\-\\[\\]tcpud]{0,30}") {
            let _ = PortMapping::parse(&raw);
        }
    }
}
