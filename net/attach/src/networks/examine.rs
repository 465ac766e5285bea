//! What belongs to nobody in the books and among the links, without changing anything.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use base::ContainerId;

use super::Networks;
use crate::error::Error;
use crate::links::{self, HostLinks};

/// One thing that [`Networks::reconcile`] would put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// Address and ports that a container holds that is not there.
    Holder {
        /// The container.
        id: ContainerId,
        /// The network.
        network: String,
        /// The address.
        address: Ipv4Addr,
        /// How many ports.
        ports: usize,
    },
    /// The host's end of a cable on a bridge of ours, which no container holds.
    Link {
        /// Its name.
        name: String,
    },
    /// What plugins made for a container that holds nothing.
    Chain {
        /// The container.
        id: String,
        /// The network.
        network: String,
        /// The container's link.
        link: String,
    },
    /// A network namespace that is kept for no plugin's sake.
    Pin {
        /// The file that it is mounted on.
        path: PathBuf,
    },
    /// A record about a container that holds nothing.
    Record {
        /// The container.
        id: ContainerId,
    },
}

impl Networks {
    /// Looks for what containers that are not live have left; `is_live` as for
    /// [`Networks::reconcile`].
    pub fn examine(&self, is_live: impl Fn(&ContainerId) -> bool) -> Result<Vec<Leftover>, Error> {
        let _lock = self.lock()?;
        let ledger = self.ledger()?;
        let mut found = Vec::new();
        for holder in ledger.holders.iter().filter(|holder| !is_live(&holder.id)) {
            found.push(Leftover::Holder {
                id: holder.id.clone(),
                network: holder.network.clone(),
                address: holder.address,
                ports: holder.ports.len(),
            });
        }
        let mut host = HostLinks::open()?;
        let bridges = self.bridges(&mut host)?;
        if !bridges.is_empty() {
            for link in host.all()? {
                let ours = link.master.is_some_and(|master| bridges.contains(&master));
                let held = ledger.holders.iter().any(|holder| holder.host_link == link.name);
                if ours && links::is_host_link(&link) && !held {
                    found.push(Leftover::Link { name: link.name });
                }
            }
        }
        let chains = self.stray_chains(&ledger).into_iter();
        found.extend(chains.map(|(id, network, link)| Leftover::Chain { id, network, link }));
        found.extend(self.stray_pins(&ledger).into_iter().map(|path| Leftover::Pin { path }));
        for id in self.recorded()? {
            if ledger.of(&id).next().is_none() {
                found.push(Leftover::Record { id });
            }
        }
        Ok(found)
    }
}
