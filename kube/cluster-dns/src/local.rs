//! The node's own way to the server: the Service's address on an interface of the node.

use std::net::IpAddr;

use netlink::route::{self, Address, LinkChange, LinkKind, NewLink, Place};
use netlink::{Protocol, Socket};

/// The address cannot be put there.
#[derive(Debug, thiserror::Error)]
pub enum AssignError {
    /// The kernel said no.
    #[error("put {address} on interface {interface}")]
    Kernel {
        /// Which interface.
        interface: String,
        /// Which address.
        address: IpAddr,
        /// Why.
        #[source]
        source: netlink::Error,
    },
    /// It is of a family that is not served yet.
    #[error("put {address} on interface {interface}: only IPv4 is known here")]
    Family {
        /// Which interface.
        interface: String,
        /// Which address.
        address: IpAddr,
    },
}

/// Puts addresses on an interface, which is made if it is not there. Again changes nothing.
pub fn assign(interface: &str, addresses: &[IpAddr]) -> Result<(), AssignError> {
    for address in addresses {
        let IpAddr::V4(own) = *address else {
            return Err(AssignError::Family { interface: interface.to_owned(), address: *address });
        };
        let failed =
            |source| AssignError::Kernel { interface: interface.to_owned(), address: *address, source };
        let mut socket = Socket::open(Protocol::Route).map_err(failed)?;
        let link = match route::link_by_name(&mut socket, interface).map_err(failed)? {
            Some(link) => link,
            None => {
                make(&mut socket, interface).map_err(failed)?;
                let made = route::link_by_name(&mut socket, interface).map_err(failed)?;
                let Some(made) = made else { continue };
                made
            }
        };
        let up = route::set_link(
            Place::Index(link.index),
            &LinkChange { up: Some(true), ..LinkChange::default() },
        );
        let address = route::add_address(&Address { link: link.index, address: own, prefix: 32 });
        socket.execute_all(&[up, address]).map_err(failed)?;
    }
    Ok(())
}

/// Makes an interface that leads nowhere: a bridge without ports where the kernel has no dummies.
fn make(socket: &mut Socket, interface: &str) -> Result<(), netlink::Error> {
    let new = |kind| NewLink { name: interface, kind, mtu: None, mac: None, master: None };
    match socket.execute_all(&[route::new_link(&new(LinkKind::Dummy))]) {
        Err(error) if error.is(rustix::io::Errno::OPNOTSUPP) => {
            socket.execute_all(&[route::new_link(&new(LinkKind::Bridge))]).map(drop)
        }
        made => made.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

    use super::*;

    #[test]
    fn an_address_is_served_where_nothing_leads() {
        testkit::isolated(|| {
            let own = Ipv4Addr::new(10, 43, 0, 10);
            for _ in 0..2 {
                assign("strake-dns", &[own.into()]).unwrap();
            }
            let socket = UdpSocket::bind(SocketAddr::from((own, 53))).unwrap();
            let client = UdpSocket::bind("0.0.0.0:0").unwrap();
            client.send_to(b"ask", (own, 53)).unwrap();
            let mut received = [0; 8];
            assert_eq!(socket.recv(&mut received).unwrap(), 3);
            assert!(assign("strake-dns", &["::1".parse().unwrap()]).is_err());
        });
    }
}
