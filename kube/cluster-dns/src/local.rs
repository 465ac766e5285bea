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
                let new =
                    NewLink { name: interface, kind: LinkKind::Dummy, mtu: None, mac: None, master: None };
                socket.execute_all(&[route::new_link(&new)]).map_err(failed)?;
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
