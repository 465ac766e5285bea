//! What belongs to nobody in the books and among the links, without changing anything.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use base::ContainerId;

use super::Networks;
use crate::error::Error;
use crate::firewall::Rewritten;
use crate::ledger::Ledger;
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
    /// A table of ours that is not as we left it: somebody's rules or ports are in it, or some of ours are
    /// not.
    Rules {
        /// Its family and name.
        table: String,
        /// What is wrong with it.
        why: Rewritten,
    },
}

impl Networks {
    /// Looks for what containers that are not live have left; `is_live` as for
    /// [`Networks::reconcile`].
    pub fn examine(&self, is_live: impl Fn(&ContainerId) -> bool) -> Result<Vec<Leftover>, Error> {
        self.await_links()?;
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
        found.extend(self.stray_links(&ledger, &mut host)?.into_iter().map(|name| Leftover::Link { name }));
        let chains = self.stray_chains(&ledger).into_iter();
        found.extend(chains.map(|(id, network, link)| Leftover::Chain { id, network, link }));
        found.extend(self.stray_pins(&ledger).into_iter().map(|path| Leftover::Pin { path }));
        for id in self.recorded()? {
            if ledger.of(&id).next().is_none() {
                found.push(Leftover::Record { id });
            }
        }
        // Ports of those who are not there are theirs, and go with them.
        if ledger.holders.iter().all(|holder| is_live(&holder.id)) {
            found.extend(self.changed_rules(&ledger, &mut host)?);
        }
        Ok(found)
    }

    /// What [`Networks::reconcile`] would find changed of our rules.
    fn changed_rules(&self, ledger: &Ledger, host: &mut HostLinks) -> Result<Vec<Leftover>, Error> {
        if self.bridges(host)?.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = self.wanted(ledger)?;
        let changed = self.firewall.examine(&wanted)?.into_iter();
        // Nobody misses what is not there while nobody is attached.
        let changed = changed.filter(|(_, why)| *why != Rewritten::Missing || !ledger.holders.is_empty());
        let table = |family| format!("{family} {}", wanted.ipv4.table);
        Ok(changed.map(|(family, why)| Leftover::Rules { table: table(family), why }).collect())
    }

    /// The links of a container that has just ended go with its namespace, which the kernel takes down
    /// in its own time: they are given that.
    fn await_links(&self) -> Result<(), Error> {
        for _ in 0..LOOKS_MAX {
            let stray = {
                let _lock = self.lock()?;
                self.stray_links(&self.ledger()?, &mut HostLinks::open()?)?
            };
            if stray.is_empty() {
                break;
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
        Ok(())
    }

    /// The hosts' ends on bridges of ours that no container holds.
    pub(super) fn stray_links(&self, ledger: &Ledger, host: &mut HostLinks) -> Result<Vec<String>, Error> {
        let bridges = self.bridges(host)?;
        if bridges.is_empty() {
            return Ok(Vec::new());
        }
        let stray = |link: &netlink::route::Link| {
            let ours = link.master.is_some_and(|master| bridges.contains(&master));
            let held = ledger.holders.iter().any(|holder| holder.host_link == link.name);
            ours && links::is_host_link(link) && !held
        };
        Ok(host.all()?.into_iter().filter(stray).map(|link| link.name).collect())
    }
}

/// Two seconds in all: what is there then stays.
const LOOKS_MAX: u32 = 40;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
