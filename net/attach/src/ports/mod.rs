//! Which host ports a container gets, and whether they are free.

mod owner;
mod probe;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) use owner::process_on;
pub(crate) use probe::{Probed, ephemeral_range, probe, tracks_sctp};

use crate::error::{Error, PortOwner};
use crate::ledger::{Holder, Ledger};
use crate::publish::{Front, HostPort, PortMapping, Protocol, PublishedPort, Publishing};

/// What asks the host about its ports; tests answer themselves.
pub(crate) trait Host {
    /// Whether the port could be bound.
    fn probe(&mut self, protocol: Protocol, host_ip: IpAddr, port: u16) -> Result<Probed, Error>;
    /// Which process has it.
    fn owner(&mut self, protocol: Protocol, port: u16) -> PortOwner;
    /// First and last port for connections without a wish.
    fn ephemeral(&mut self) -> (u16, u16);
    /// Whether it has `[::1]`.
    fn has_loopback6(&mut self) -> bool;
    /// Whether the kernel can lead SCTP packets elsewhere.
    fn tracks_sctp(&mut self) -> bool;
}

/// What is to be published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    /// Which ports.
    pub(crate) mappings: &'a [PortMapping],
    /// How.
    pub(crate) publishing: Publishing,
    /// The container has an IPv6 address.
    pub(crate) ipv6: bool,
    /// Who leads to them.
    pub(crate) front: Front,
}

/// Decides all values of a wish, or says who stands in the way. The second value is the new
/// ephemeral cursor.
pub(crate) fn resolve(
    wish: Wish<'_>,
    ledger: &Ledger,
    host: &mut dyn Host,
) -> Result<(Vec<PublishedPort>, u16), Error> {
    let loopback6 = wish.front == Front::Outside || (wish.front == Front::Relay && host.has_loopback6());
    let chosen = Vec::with_capacity(wish.mappings.len());
    let mut choice = Choice { ledger, host, chosen, outside: wish.front == Front::Outside };
    let mut cursor = ledger.port_cursor;
    if wish.mappings.iter().any(|mapping| mapping.protocol == Protocol::Sctp) && !choice.host.tracks_sctp() {
        return Err(Error::NoSctp);
    }
    for mapping in wish.mappings {
        let addresses = host_addresses(mapping, wish, loopback6)?;
        let published = |host_ip, host_port| PublishedPort {
            policy: wish.publishing.policy,
            shared: wish.publishing.shared,
            ..PublishedPort::new(mapping.protocol, host_ip, host_port, mapping.container_port)
        };
        let port = match mapping.host_port {
            HostPort::Fixed(port) => port,
            HostPort::AnyOf(first, last) => {
                choice.first_free(mapping.protocol, &addresses, (first, last), None)?
            }
            HostPort::Ephemeral => {
                let range = choice.host.ephemeral();
                cursor = choice.first_free(mapping.protocol, &addresses, range, Some(cursor))?;
                cursor
            }
        };
        for address in addresses {
            let port = published(address, port);
            if !choice.chosen.contains(&port) {
                choice.take(port)?;
            }
        }
    }
    Ok((choice.chosen, cursor))
}

/// The host addresses that a mapping is about: without a wish all, of both families when the
/// container has both. One that has IPv4 only is relayed to from `[::1]`, which is what
/// `localhost` means first.
fn host_addresses(mapping: &PortMapping, wish: Wish<'_>, loopback6: bool) -> Result<Vec<IpAddr>, Error> {
    let loopback6 = loopback6 && mapping.protocol != Protocol::Sctp;
    match mapping.host_ip {
        None if wish.ipv6 => Ok(vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]),
        None if loopback6 => Ok(vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::LOCALHOST.into()]),
        None => Ok(vec![Ipv4Addr::UNSPECIFIED.into()]),
        Some(address @ IpAddr::V6(Ipv6Addr::LOCALHOST)) => match wish.front {
            _ if loopback6 => Ok(vec![address]),
            Front::Relay if mapping.protocol != Protocol::Sctp => Err(Error::NotOurAddress { address }),
            _ => Err(Error::Ipv6Loopback),
        },
        Some(address @ IpAddr::V6(_)) if !wish.ipv6 && wish.front != Front::Outside => {
            Err(Error::Ipv6 { address })
        }
        Some(address) => Ok(vec![address]),
    }
}

/// The ports that were chosen, and all that is asked about others.
struct Choice<'a> {
    ledger: &'a Ledger,
    host: &'a mut dyn Host,
    chosen: Vec<PublishedPort>,
    /// Another host's addresses are meant.
    outside: bool,
}

impl Choice<'_> {
    /// Takes this very port.
    fn take(&mut self, wanted: PublishedPort) -> Result<(), Error> {
        let PublishedPort { protocol, host_ip, host_port: port, .. } = wanted;
        let taken = |owner| Error::PortInUse { protocol, host_ip, port, owner };
        let led = PublishedPort { host_ip: self.here(host_ip), ..wanted };
        if let Some(holder) = self.ledger.in_the_way(&led) {
            return Err(taken(container(holder)));
        }
        // What comes from outside is known by its port alone.
        let differs = |other: &PublishedPort| {
            let same = (other.protocol, other.host_port) == (protocol, port);
            self.outside && same && other.container_port != wanted.container_port
        };
        if self.chosen.iter().any(|other| other.meets(protocol, host_ip, port) || differs(other)) {
            let (name, id) = ("of this very request".to_owned(), "named twice".to_owned());
            return Err(taken(PortOwner::Container { name, id }));
        }
        if self.probe(protocol, host_ip, port)? == Probed::Taken {
            return Err(taken(self.host.owner(protocol, port)));
        }
        self.chosen.push(wanted);
        Ok(())
    }

    /// Whether this namespace has the port free. Who listens outside finds out there.
    fn probe(&mut self, protocol: Protocol, host_ip: IpAddr, port: u16) -> Result<Probed, Error> {
        self.host.probe(protocol, self.here(host_ip), port)
    }

    /// The address of this namespace that a host's stands for.
    fn here(&self, host_ip: IpAddr) -> IpAddr {
        if self.outside { Ipv4Addr::UNSPECIFIED.into() } else { host_ip }
    }

    /// The first port of a range that is free on all `addresses`, after `after` and around the
    /// range's end. Nobody else's is shared unasked.
    fn first_free(
        &mut self,
        protocol: Protocol,
        addresses: &[IpAddr],
        (first, last): (u16, u16),
        after: Option<u16>,
    ) -> Result<u16, Error> {
        let start = match after {
            Some(after) if (first..last).contains(&after) => after + 1,
            _ => first,
        };
        'ports: for port in (start..=last).chain(first..start) {
            for address in addresses {
                let claimed = self.ledger.publisher(protocol, self.here(*address), port).is_some();
                if claimed || self.chosen.iter().any(|other| other.meets(protocol, *address, port)) {
                    continue 'ports;
                }
                if self.probe(protocol, *address, port)? == Probed::Taken {
                    continue 'ports;
                }
            }
            return Ok(port);
        }
        Err(Error::PortsUsedUp { protocol, first, last })
    }
}

fn container(holder: &Holder) -> PortOwner {
    PortOwner::Container { name: holder.name.clone(), id: holder.id.short().to_owned() }
}

/// The host we run on.
pub(crate) struct ThisHost {
    /// Where the companion is asked that relays from `[::1]`.
    pub(crate) companion: PathBuf,
}

impl ThisHost {
    /// Whether the companion has a port that is taken: what the ledger knows nothing of any
    /// more it is about to close, or to keep for who gets it now. While it closes the port
    /// nobody is seen to have it.
    fn is_companions(&self, protocol: Protocol, host_ip: IpAddr, port: u16) -> Result<bool, Error> {
        let until = Instant::now() + CLOSED_WITHIN;
        loop {
            match process_on(protocol, port) {
                PortOwner::Process { pid, .. } => return Ok(companion_of(&self.companion) == Some(pid)),
                _ if Instant::now() > until => return Ok(false),
                _ => std::thread::sleep(BETWEEN_LOOKS),
            }
            if probe(protocol, host_ip, port)? == Probed::Free {
                return Ok(true);
            }
        }
    }
}

/// Longer than the kernel takes to end a socket whose last descriptor is closed.
const CLOSED_WITHIN: Duration = Duration::from_millis(500);
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// The process that serves the companion's socket.
pub(crate) fn companion_of(socket: &Path) -> Option<u32> {
    let stream = UnixStream::connect(socket).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
}

impl Host for ThisHost {
    fn probe(&mut self, protocol: Protocol, host_ip: IpAddr, port: u16) -> Result<Probed, Error> {
        let probed = probe(protocol, host_ip, port)?;
        let relayed =
            probed == Probed::Taken && host_ip.is_ipv6() && self.is_companions(protocol, host_ip, port)?;
        Ok(if relayed { Probed::Free } else { probed })
    }
    fn has_loopback6(&mut self) -> bool {
        UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
    }
    fn owner(&mut self, protocol: Protocol, port: u16) -> PortOwner {
        process_on(protocol, port)
    }
    fn ephemeral(&mut self) -> (u16, u16) {
        ephemeral_range()
    }
    fn tracks_sctp(&mut self) -> bool {
        tracks_sctp()
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
        fn probe(&mut self, _: Protocol, _: IpAddr, port: u16) -> Result<Probed, Error> {
            Ok(if self.0.contains(&port) { Probed::Taken } else { Probed::Free })
        }
        fn owner(&mut self, _: Protocol, _: u16) -> PortOwner {
            PortOwner::Process { pid: 7, command: "nginx".to_owned() }
        }
        fn ephemeral(&mut self) -> (u16, u16) {
            (32768, 32771)
        }
        fn has_loopback6(&mut self) -> bool {
            true
        }
        fn tracks_sctp(&mut self) -> bool {
            false
        }
    }

    fn ledger() -> Ledger {
        let port = |host_ip: &str, host_port, shared| PublishedPort {
            shared,
            ..PublishedPort::new(Protocol::Tcp, host_ip.parse().expect("address"), host_port, 80)
        };
        let holder = Holder {
            id: ContainerId::parse("0123456789abcdef").expect("valid"),
            name: "web".to_owned(),
            network: "bridge".to_owned(),
            address6: None,
            address: Ipv4Addr::new(172, 30, 0, 2),
            host_link: "sk0".to_owned(),
            ports: vec![
                port("0.0.0.0", 8080, false),
                port("127.0.0.1", 9090, false),
                port("0.0.0.0", 32768, false),
                port("0.0.0.0", 7070, true),
                port("::", 6060, false),
            ],
            withdrawn: false,
            outside: false,
            chained: None,
        };
        Ledger { holders: vec![holder], ..Ledger::default() }
    }

    #[track_caller]
    fn check_as(publishing: Publishing, ipv6: bool, requests: &[&str], expected: &str) {
        check_by(Front::Rules, publishing, ipv6, requests, expected);
    }

    #[track_caller]
    fn check_by(front: Front, publishing: Publishing, ipv6: bool, requests: &[&str], expected: &str) {
        let mappings: Vec<_> = requests.iter().flat_map(|raw| PortMapping::parse(raw).expect(raw)).collect();
        let mut host = Fake([22, 8000, 32769].into());
        let wish = Wish { mappings: &mappings, publishing, ipv6, front };
        let shown = match resolve(wish, &ledger(), &mut host) {
            Ok((ports, _)) => ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        };
        assert!(shown.starts_with(expected), "{requests:?}: {shown}");
    }

    #[track_caller]
    fn check(requests: &[&str], expected: &str) {
        check_as(Publishing::default(), false, requests, expected);
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
        check(&["7070:80"], "port 0.0.0.0:7070/tcp is already used by container web");
        check(&["[::]:80:80"], "cannot publish on ::: the container's network has no IPv6");
        check(&["[::1]:80:80"], "cannot publish on ::1");
        check(&["8085:80", "8085:80/sctp"], "cannot publish an SCTP port: this kernel does not track");
    }

    #[test]
    fn both_families_where_the_container_has_both() {
        let check = |requests: &[&str], expected| check_as(Publishing::default(), true, requests, expected);
        check(&["8081:80"], "0.0.0.0:8081->80/tcp [::]:8081->80/tcp");
        check(&["127.0.0.1:8081:80"], "127.0.0.1:8081->80/tcp");
        check(&["[fd00::7]:8081:80"], "[fd00::7]:8081->80/tcp");
        check(&["[fd00::7]:6060:80"], "port [fd00::7]:6060/tcp is already used by container web");
        check(&["[::1]:8081:80"], "cannot publish on ::1: what is sent there never leaves the host");
        check(&["6060:80"], "port [::]:6060/tcp is already used by container web");
        check(&["6060-6061:80"], "0.0.0.0:6061->80/tcp [::]:6061->80/tcp");
        check(&["80"], "0.0.0.0:32770->80/tcp [::]:32770->80/tcp");
    }

    #[test]
    fn what_is_relayed_is_published_on_ipv6s_loopback_too() {
        let check = |ipv6, requests: &[&str], expected| {
            check_by(Front::Relay, Publishing::default(), ipv6, requests, expected);
        };
        check(false, &["8081:80"], "0.0.0.0:8081->80/tcp [::1]:8081->80/tcp");
        check(true, &["8081:80"], "0.0.0.0:8081->80/tcp [::]:8081->80/tcp");
        check(false, &["[::1]:8081-8082:80-81"], "[::1]:8081->80/tcp [::1]:8082->81/tcp");
        check(true, &["[::1]:8081:80/udp"], "[::1]:8081->80/udp");
        check(false, &["[::1]::80"], "[::1]:32768->80/tcp");
        check(false, &["127.0.0.1:8081:80", "[::1]:8081:80"], "127.0.0.1:8081->80/tcp [::1]:8081->80/tcp");
        check(false, &["[::1]:22:22"], "port [::1]:22/tcp is already used by process 7 (nginx)");
        check(false, &["[::1]:6060:80"], "port [::1]:6060/tcp is already used by container web");
        check(false, &["[::]:8081:80"], "cannot publish on ::: the container's network has no IPv6");
        check(false, &["8081:80", "[::1]:8081:80"], "0.0.0.0:8081->80/tcp [::1]:8081->80/tcp");
    }

    #[test]
    fn another_hosts_addresses_are_not_looked_for_here() {
        let check = |requests: &[&str], expected| {
            check_by(Front::Outside, Publishing::default(), false, requests, expected);
        };
        check(&["8081:80"], "0.0.0.0:8081->80/tcp [::1]:8081->80/tcp");
        check(&["[::1]:8081:80", "[::]:8082:80"], "[::1]:8081->80/tcp [::]:8082->80/tcp");
        check(&["192.0.2.7:8081:80"], "192.0.2.7:8081->80/tcp");
        check(
            &["192.0.2.7:8081:80", "[::1]:8081:81"],
            "port [::1]:8081/tcp is already used by container of this",
        );
    }

    #[test]
    fn a_port_is_shared_when_both_say_so() {
        let shared = Publishing { shared: true, ..Publishing::default() };
        let check = |requests: &[&str], expected| check_as(shared, false, requests, expected);
        check(&["7070:80"], "0.0.0.0:7070->80/tcp");
        check(&["8080:80"], "port 0.0.0.0:8080/tcp is already used by container web");
        check(&["127.0.0.1:7070:80"], "port 127.0.0.1:7070/tcp is already used by container web");
        check(&["7070-7071:80"], "0.0.0.0:7071->80/tcp");
        check(&["22:80"], "port 0.0.0.0:22/tcp is already used by process 7");
    }
}
