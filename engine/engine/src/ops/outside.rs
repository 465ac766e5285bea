//! Published ports of an ordinary user's containers: the rules lead from the user's network to the
//! container, and the process of that network leads from the host to the user's network.

use attach::Protocol;
use user_stack::control::{self, Request};
use user_stack::{Port, Transport};

use crate::container::Record;
use crate::engine::Engine;
use crate::error::Error;

/// What the host is to listen on for these ports; without those that it cannot.
pub fn host_ports(published: &[attach::PublishedPort]) -> Vec<Port> {
    let ports = published.iter().filter_map(|port| {
        let transport = match port.protocol {
            Protocol::Tcp => Transport::Tcp,
            Protocol::Udp => Transport::Udp,
            Protocol::Sctp => return None,
        };
        let address = std::net::SocketAddr::new(port.host_ip, port.host_port);
        Some(Port { transport, address, shared: port.shared })
    });
    ports.collect()
}

impl Engine {
    /// Opens the container's ports on the host.
    pub(crate) fn open_outside(&self, record: &Record, warnings: &mut Vec<String>) -> Result<(), Error> {
        let Some(directory) = self.outside() else { return Ok(()) };
        let attachments = self.networks()?.attachments().map_err(Error::network(&record.name))?;
        let own = attachments.into_iter().filter(|attachment| attachment.id == record.id);
        let published: Vec<_> = own.flat_map(|attachment| attachment.ports).collect();
        if published.is_empty() {
            return Ok(());
        }
        if published.iter().any(|port| port.protocol == Protocol::Sctp) {
            warnings.push("SCTP ports are published to your own network only, not to the host".to_owned());
        }
        let request = Request::Open { owner: record.id.to_string(), ports: host_ports(&published) };
        let failed = |source| Error::Outside { name: record.name.clone(), source };
        if !control::ask(directory, &request).map_err(failed)? {
            warnings.push(
                "the process of your network has ended, so published ports are closed and nothing leads \
                 out: `strake restart` starts it again"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// The host's `resolv.conf` as containers are to have it: what listens on the host's loopback
    /// answers an ordinary user's at the far end of the user's network.
    pub(crate) fn name_servers(&self, text: &str, host_network: bool) -> String {
        match self.outside() {
            Some(_) if !host_network => without_loopback(text),
            _ => text.to_owned(),
        }
    }

    /// Closes them.
    pub(crate) fn close_outside(&self, id: &base::ContainerId) {
        let Some(directory) = self.outside() else { return };
        // Whoever cannot be asked has none open.
        let _ = control::ask(directory, &Request::Close { owner: id.to_string() });
    }
}

fn without_loopback(text: &str) -> String {
    let names = user_stack::Plan::default().names;
    let lines = text.lines().map(|line| {
        let mut words = line.split_whitespace();
        let server: Option<std::net::IpAddr> = match words.next() {
            Some("nameserver") => words.next().and_then(|word| word.parse().ok()),
            _ => None,
        };
        if server.is_some_and(|server| server.is_loopback()) {
            format!("nameserver {names}\n")
        } else {
            format!("{line}\n")
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_on_loopback_are_asked_through_the_network() {
        let text = "search a.example\nnameserver 127.0.0.53\nnameserver 9.9.9.9\nnameserver ::1\n";
        let expected = "search a.example\nnameserver 10.0.2.3\nnameserver 9.9.9.9\nnameserver 10.0.2.3\n";
        assert_eq!(without_loopback(text), expected);
    }

    #[test]
    fn the_host_listens_where_the_port_was_published() {
        let port = |protocol, ip: &str| attach::PublishedPort::new(protocol, ip.parse().unwrap(), 8080, 80);
        let published =
            [port(Protocol::Tcp, "0.0.0.0"), port(Protocol::Sctp, "::"), port(Protocol::Udp, "::1")];
        let ports: Vec<_> =
            host_ports(&published).iter().map(|p| (p.transport, p.address.to_string())).collect();
        let expected =
            [(Transport::Tcp, "0.0.0.0:8080".to_owned()), (Transport::Udp, "[::1]:8080".to_owned())];
        assert_eq!(ports, expected);
    }
}
