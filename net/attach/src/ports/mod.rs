//! Which host ports a container gets, and whether they are free.

mod owner;
mod probe;

use std::net::{IpAddr, Ipv4Addr};

pub(crate) use owner::process_on;
pub(crate) use probe::{Probed, ephemeral_range, probe};

use crate::error::{Error, PortOwner};
use crate::ledger::{Holder, Ledger};
use crate::publish::{HostPort, PortMapping, Protocol, PublishedPort};

/// What asks the host about its ports; tests answer themselves.
pub(crate) trait Host {
    /// Whether the port could be bound.
    fn probe(&mut self, protocol: Protocol, host_ip: Ipv4Addr, port: u16) -> Result<Probed, Error>;
    /// Which process has it.
    fn owner(&mut self, protocol: Protocol, port: u16) -> PortOwner;
    /// First and last port for connections without a wish.
    fn ephemeral(&mut self) -> (u16, u16);
}

/// Decides all values of `mappings`, or says who stands in the way. The second value is
/// the new ephemeral cursor.
pub(crate) fn resolve(
    mappings: &[PortMapping],
    ledger: &Ledger,
    host: &mut dyn Host,
) -> Result<(Vec<PublishedPort>, u16), Error> {
    let mut chosen: Vec<PublishedPort> = Vec::with_capacity(mappings.len());
    let mut cursor = ledger.port_cursor;
    for mapping in mappings {
        let host_ip = ipv4(mapping.host_ip)?;
        let published = |host_port| PublishedPort {
            protocol: mapping.protocol,
            host_ip,
            host_port,
            container_port: mapping.container_port,
        };
        let port = match mapping.host_port {
            HostPort::Fixed(port) if chosen.contains(&published(port)) => continue,
            HostPort::Fixed(port) => {
                fixed(mapping.protocol, host_ip, port, ledger, &chosen, host)?;
                port
            }
            HostPort::AnyOf(first, last) => {
                first_free(mapping.protocol, host_ip, (first, last), None, (ledger, &chosen), host)?
            }
            HostPort::Ephemeral => {
                let range = host.ephemeral();
                let after = Some(cursor);
                cursor = first_free(mapping.protocol, host_ip, range, after, (ledger, &chosen), host)?;
                cursor
            }
        };
        chosen.push(published(port));
    }
    Ok((chosen, cursor))
}

fn ipv4(address: Option<IpAddr>) -> Result<Ipv4Addr, Error> {
    match address {
        None => Ok(Ipv4Addr::UNSPECIFIED),
        Some(IpAddr::V4(address)) => Ok(address),
        Some(address @ IpAddr::V6(_)) => Err(Error::Ipv6 { address }),
    }
}

fn fixed(
    protocol: Protocol,
    host_ip: Ipv4Addr,
    port: u16,
    ledger: &Ledger,
    chosen: &[PublishedPort],
    host: &mut dyn Host,
) -> Result<(), Error> {
    let taken = |owner| Error::PortInUse { protocol, host_ip, port, owner };
    if let Some(holder) = ledger.publisher(protocol, host_ip, port) {
        return Err(taken(container(holder)));
    }
    if meets(chosen, protocol, host_ip, port) {
        let (name, id) = ("of this very request".to_owned(), "named twice".to_owned());
        return Err(taken(PortOwner::Container { name, id }));
    }
    match host.probe(protocol, host_ip, port)? {
        Probed::Free => Ok(()),
        Probed::Taken => Err(taken(host.owner(protocol, port))),
    }
}

/// The first free port of a range, after `after` and around its end.
fn first_free(
    protocol: Protocol,
    host_ip: Ipv4Addr,
    (first, last): (u16, u16),
    after: Option<u16>,
    (ledger, chosen): (&Ledger, &[PublishedPort]),
    host: &mut dyn Host,
) -> Result<u16, Error> {
    let start = match after {
        Some(after) if (first..last).contains(&after) => after + 1,
        _ => first,
    };
    for port in (start..=last).chain(first..start) {
        let claimed = ledger.publisher(protocol, host_ip, port).is_some();
        if claimed || meets(chosen, protocol, host_ip, port) {
            continue;
        }
        if host.probe(protocol, host_ip, port)? == Probed::Free {
            return Ok(port);
        }
    }
    Err(Error::PortsUsedUp { protocol, first, last })
}

fn meets(chosen: &[PublishedPort], protocol: Protocol, host_ip: Ipv4Addr, port: u16) -> bool {
    chosen.iter().any(|other| {
        let address = other.host_ip == host_ip || other.host_ip.is_unspecified() || host_ip.is_unspecified();
        other.protocol == protocol && other.host_port == port && address
    })
}

fn container(holder: &Holder) -> PortOwner {
    PortOwner::Container { name: holder.name.clone(), id: holder.id.short().to_owned() }
}

/// The host we run on.
pub(crate) struct ThisHost;

impl Host for ThisHost {
    fn probe(&mut self, protocol: Protocol, host_ip: Ipv4Addr, port: u16) -> Result<Probed, Error> {
        probe(protocol, host_ip, port)
    }
    fn owner(&mut self, protocol: Protocol, port: u16) -> PortOwner {
        process_on(protocol, port)
    }
    fn ephemeral(&mut self) -> (u16, u16) {
        ephemeral_range()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use base::ContainerId;

    use super::*;

    /// A host on which these TCP ports are bound by process 7.
    struct Fake(BTreeSet<u16>);

    impl Host for Fake {
        fn probe(&mut self, _: Protocol, _: Ipv4Addr, port: u16) -> Result<Probed, Error> {
            Ok(if self.0.contains(&port) { Probed::Taken } else { Probed::Free })
        }
        fn owner(&mut self, _: Protocol, _: u16) -> PortOwner {
            PortOwner::Process { pid: 7, command: "nginx".to_owned() }
        }
        fn ephemeral(&mut self) -> (u16, u16) {
            (32768, 32771)
        }
    }

    fn ledger() -> Ledger {
        let port = |host_ip: [u8; 4], host_port| PublishedPort {
            protocol: Protocol::Tcp,
            host_ip: host_ip.into(),
            host_port,
            container_port: 80,
        };
        let holder = Holder {
            id: ContainerId::parse("0123456789abcdef").expect("valid"),
            name: "web".to_owned(),
            network: "bridge".to_owned(),
            address: Ipv4Addr::new(172, 30, 0, 2),
            host_link: "sk0".to_owned(),
            ports: vec![port([0, 0, 0, 0], 8080), port([127, 0, 0, 1], 9090), port([0, 0, 0, 0], 32768)],
        };
        Ledger { holders: vec![holder], ..Ledger::default() }
    }

    #[track_caller]
    fn check(requests: &[&str], expected: &str) {
        let mappings: Vec<_> = requests.iter().flat_map(|raw| PortMapping::parse(raw).expect(raw)).collect();
        let mut host = Fake([22, 8000, 32769].into());
        let shown = match resolve(&mappings, &ledger(), &mut host) {
            Ok((ports, _)) => ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        };
        assert!(shown.starts_with(expected), "{requests:?}: {shown}");
    }

    #[test]
    fn gives_what_is_asked() {
        check(&["8081:80", "127.0.0.1:8082:80/udp"], "0.0.0.0:8081->80/tcp 127.0.0.1:8082->80/udp");
        check(&["8080:80/udp"], "0.0.0.0:8080->80/udp");
        check(&["10.0.0.1:9090:80"], "10.0.0.1:9090->80/tcp");
        check(&["8083:80", "8083:80"], "0.0.0.0:8083->80/tcp");
    }

    #[test]
    fn chooses_where_it_may() {
        check(&["8000-8002:80"], "0.0.0.0:8001->80/tcp");
        check(&["80", "81"], "0.0.0.0:32770->80/tcp 0.0.0.0:32771->81/tcp");
        check(&["80", "81", "82"], "no free host port between 32768 and 32771 for tcp");
    }

    #[test]
    fn names_who_is_in_the_way() {
        check(&["8080:80"], "port 0.0.0.0:8080/tcp is already used by container web (0123456789ab)");
        check(&["10.0.0.1:8080:80"], "port 10.0.0.1:8080/tcp is already used by container web");
        check(&["9090:80"], "port 0.0.0.0:9090/tcp is already used by container web");
        check(&["22:22"], "port 0.0.0.0:22/tcp is already used by process 7 (nginx) of the host");
        check(&["8084:80", "8084:81"], "port 0.0.0.0:8084/tcp is already used by container of this very");
        check(&["[::1]:80:80"], "cannot publish on ::1: networks have IPv4 only");
    }
}
