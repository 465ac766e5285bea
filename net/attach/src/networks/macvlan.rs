//! Attaching to a macvlan network: a link in the container, and nothing on the host.

use std::os::fd::BorrowedFd;

use base::failpoint;

use super::{Networks, leads_out, namespace};
use crate::attachment::{Attachment, Request};
use crate::bridge;
use crate::definition::Definition;
use crate::error::Error;
use crate::ledger::Ledger;
use crate::links::{self, HostLinks};
use crate::macvlan::{self, Macvlan};
use crate::plan::{self, Observed};

impl Networks {
    pub(super) fn attach_macvlan(
        &self,
        (request, others): (&Request, &[Attachment]),
        (network, settings): (&Definition, &Macvlan),
        (ledger, killed): (&Ledger, bool),
        host: &mut HostLinks,
        netns: BorrowedFd<'_>,
    ) -> Result<Attachment, Error> {
        let parent = host.parent(&network.name, &settings.parent, &bridge::alias(&self.definitions))?;
        let link = request.link.clone().unwrap_or_else(|| plan::free_link(others));
        // It may have made its link.
        if killed {
            macvlan::delete_inside(&link, netns)?;
        }
        let observed = Observed {
            host_link: String::new(),
            link,
            namespace: namespace(request, netns)?,
            mtu: network.mtu.unwrap_or(parent.mtu),
            ports: Vec::new(),
        };
        let (mut attachment, entered) = plan::plan(request, network, observed, ledger)?;
        if !request.ports.is_empty() {
            let name = &network.name;
            attachment.warnings.push(format!(
                "ports are not published: in macvlan network {name} the container is reached at {}",
                attachment.address
            ));
        }
        self.write_ledger(&entered)?;
        failpoint::hit("attach.lease-written");
        let mac = request.mac.unwrap_or_else(|| links::mac_of(attachment.address));
        let mut carry_out = || -> Result<(), Error> {
            let made = host.make_macvlan(&attachment, (&parent, settings.mode), mac, netns)?;
            failpoint::hit("attach.link-made");
            attachment.mac = made.to_string();
            let leads_out = leads_out(request, &attachment, others);
            links::configure_container(&attachment, leads_out, netns)?;
            failpoint::hit("attach.container-configured");
            let mut all = others.to_vec();
            all.push(attachment.clone());
            self.write_record(&attachment.id, &all)
        };
        match carry_out() {
            Ok(()) => Ok(attachment),
            Err(error) => {
                // The first error is the one to be told. A link of that name that was there before
                // is not of this kind, or was another network's.
                if !matches!(error, Error::LinkExists { .. }) {
                    let _ = macvlan::delete_inside(&attachment.link, netns);
                }
                let mut ledger = entered;
                ledger.release(&request.id, Some(&request.network));
                let _ = self.write_ledger(&ledger);
                Err(error)
            }
        }
    }
}
