//! What others who keep their own records ask of ours: a CNI runtime of its plugin.

use std::os::fd::BorrowedFd;

use base::ContainerId;
use netlink::route::{self, Link};
use netlink::{Protocol, Socket};

use super::Networks;
use crate::attachment::{Attachment, HostSide};
use crate::error::Error;
use crate::links::HostLinks;

impl Networks {
    /// All that hold an address of a network, also those that were killed while they were
    /// attached.
    pub fn members(&self, network: &str) -> Result<Vec<ContainerId>, Error> {
        let _lock = self.lock()?;
        let ledger = self.ledger()?;
        Ok(ledger.holders.into_iter().filter(|h| h.network == network).map(|h| h.id).collect())
    }

    /// The links of an attachment on the host.
    pub fn host_side(&self, attachment: &Attachment) -> Result<HostSide, Error> {
        let mut host = HostLinks::open()?;
        let mut mac = |name: &str| -> Result<String, Error> {
            let link = host.by_name(name)?.ok_or_else(|| broken(attachment, name, "is gone"))?;
            Ok(link.mac.map_or_else(String::new, |mac| mac.to_string()))
        };
        Ok(HostSide { bridge_mac: mac(&attachment.bridge)?, link_mac: mac(&attachment.host_link)? })
    }

    /// Whether an attachment is as it was made; the error says what is not.
    pub fn verify(&self, attachment: &Attachment, netns: BorrowedFd<'_>) -> Result<(), Error> {
        let mut host = HostLinks::open()?;
        let bridge = host.by_name(&attachment.bridge)?;
        let bridge = bridge.ok_or_else(|| broken(attachment, &attachment.bridge, "is gone"))?;
        let own = host.by_name(&attachment.host_link)?;
        let problem = match own {
            None => Some("is gone"),
            Some(link) if link.master != Some(bridge.index) => Some("is not on its bridge"),
            Some(link) if !link.is_up() => Some("is down"),
            Some(_) => None,
        };
        if let Some(problem) = problem {
            return Err(broken(attachment, &attachment.host_link, problem));
        }
        inside(attachment, netns)
    }
}

fn inside(attachment: &Attachment, netns: BorrowedFd<'_>) -> Result<(), Error> {
    let name = attachment.link.as_str();
    let step = |source| Error::Kernel {
        step: format!("look at {name} of container {}", attachment.id.short()),
        source,
    };
    let mut socket = Socket::open_in(netns, Protocol::Route).map_err(step)?;
    let link = route::link_by_name(&mut socket, name).map_err(step)?;
    let addresses = route::addresses(&mut socket).map_err(step)?;
    let has_address = |link: &Link| {
        let (address, prefix) = (attachment.address, attachment.subnet.prefix());
        addresses.iter().any(|a| a.link == link.index && a.address == address && a.prefix == prefix)
    };
    match link {
        None => Err(broken(attachment, name, "is gone")),
        Some(link) if !link.is_up() => Err(broken(attachment, name, "is down")),
        Some(link) if !has_address(&link) => Err(broken(attachment, name, "has not its address")),
        Some(_) => Ok(()),
    }
}

fn broken(attachment: &Attachment, link: &str, problem: &'static str) -> Error {
    Error::LinkBroken { id: attachment.id.short().to_owned(), link: link.to_owned(), problem }
}
