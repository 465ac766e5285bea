//! Who is attached to what: the records, and changes of them while a container runs.
//!
//! A container's record is one file below the state root with all its attachments. Whoever
//! watches the directory of records (the companion that answers for names) sees every change
//! as one rename or one removal.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use base::ContainerId;
use serde::Deserialize;

use super::{Links, Networks, names};
use crate::attachment::{Attachment, gateway_of};
use crate::definition::Driver;
use crate::error::Error;
use crate::files::{self, Durable};
use crate::firewall::{Change, Published};
use crate::ledger::Ledger;
use crate::links::{self, HostLinks};
use crate::macvlan;

impl Networks {
    /// What the container got of the network that leads it out and has its published ports,
    /// or of its only one; `None` when it has none.
    pub fn describe(&self, id: &ContainerId) -> Result<Option<Attachment>, Error> {
        let all = self.describe_all(id)?;
        let main = all.iter().find(|attachment| !attachment.ports.is_empty());
        Ok(main.or_else(|| gateway_of(&all)).or(all.first()).cloned())
    }

    /// What the container got of all its networks, in the order in which it was attached.
    pub fn describe_all(&self, id: &ContainerId) -> Result<Vec<Attachment>, Error> {
        read_record(&self.record(id))
    }

    /// All attachments of all containers.
    pub fn attachments(&self) -> Result<Vec<Attachment>, Error> {
        let mut all = Vec::new();
        for id in self.recorded()? {
            all.extend(self.describe_all(&id)?);
        }
        Ok(all)
    }

    /// All containers that have a record.
    pub fn attached(&self) -> Result<Vec<ContainerId>, Error> {
        self.recorded()
    }

    /// The directory of the containers' records: each is a file named after its container.
    pub fn records(&self) -> PathBuf {
        self.state.join("attachments")
    }

    /// Disconnects a container that runs, whose namespace is `netns`, from one network. Its
    /// default route and its published ports move to another one of its networks.
    pub fn leave(&self, id: &ContainerId, network: &str, netns: BorrowedFd<'_>) -> Result<(), Error> {
        let _lock = self.lock()?;
        let mut ledger = self.ledger()?;
        let mut host = HostLinks::open()?;
        let before = self.describe_all(id)?;
        let Some(gone) = before.iter().find(|attachment| attachment.network == network) else {
            return Err(Error::NotConnected { id: id.short().to_owned(), network: network.to_owned() });
        };
        let driver = self.definition(network)?.map(|definition| definition.driver);
        if matches!(driver, Some(Driver::Macvlan(_))) {
            macvlan::delete_inside(&gone.link, netns)?;
        }
        self.release(&mut ledger, &mut host, (id, Some(network)), Links::Delete)?;
        let mut left = self.describe_all(id)?;
        let Some(next) = gateway_of(&left).map(|attachment| attachment.network.clone()) else {
            return Ok(());
        };
        if let Some(gateway) = left.iter_mut().find(|attachment| attachment.network == next) {
            links::lead_out(gateway, netns)?;
            gateway.ports.extend(gone.ports.iter().copied());
        }
        if !gone.ports.is_empty() {
            self.hold_ports(&mut ledger, (id, &next), gone)?;
        }
        self.write_record(id, &left)
    }

    /// After an attach: the ports that another network of the container had move to the one
    /// that leads out now.
    pub fn settle_gateway(&self, id: &ContainerId) -> Result<(), Error> {
        let _lock = self.lock()?;
        let mut ledger = self.ledger()?;
        let mut all = self.describe_all(id)?;
        let Some(next) = gateway_of(&all).map(|attachment| attachment.network.clone()) else {
            return Ok(());
        };
        // What plugins publish stays theirs.
        let chained =
            |network: &str| ledger.holder(id, network).is_some_and(|holder| holder.chained.is_some());
        let holds = |attachment: &&mut Attachment| {
            let other = attachment.network != next && !chained(&attachment.network);
            !attachment.ports.is_empty() && other
        };
        let Some(old) = all.iter_mut().find(holds) else { return Ok(()) };
        let gone = old.clone();
        old.ports.clear();
        if let Some(holder) = ledger.holders.iter_mut().find(|h| h.id == *id && h.network == gone.network) {
            let published: Published = holder.published().collect();
            holder.ports.clear();
            self.firewall.apply(&self.wanted(&ledger)?, Change::Withdraw(&published))?;
        }
        self.hold_ports(&mut ledger, (id, &next), &gone)?;
        if let Some(gateway) = all.iter_mut().find(|attachment| attachment.network == next) {
            gateway.ports.extend(gone.ports.iter().copied());
        }
        self.write_record(id, &all)
    }

    /// Publishes the ports that an attachment had by another one of the container.
    fn hold_ports(
        &self,
        ledger: &mut Ledger,
        (id, network): (&ContainerId, &str),
        gone: &Attachment,
    ) -> Result<(), Error> {
        let Some(holder) = ledger.holders.iter_mut().find(|h| h.id == *id && h.network == network) else {
            return Ok(());
        };
        holder.ports.extend(gone.ports.iter().copied());
        let published: Published = holder.published().collect();
        self.write_ledger(ledger)?;
        self.firewall.apply(&self.wanted(ledger)?, Change::Publish(&published))?;
        let has = |source| source == gone.address || gone.ipv6.is_some_and(|six| source == six.address);
        self.forget_connections(&gone.name, &gone.ports, |connection| has(connection.reply.source))
    }

    /// The container is called otherwise from now on.
    pub fn rename(&self, id: &ContainerId, name: &str) -> Result<(), Error> {
        let _lock = self.lock()?;
        let mut ledger = self.ledger()?;
        let mut all = self.describe_all(id)?;
        if all.is_empty() {
            return Ok(());
        }
        ledger.holders.iter_mut().filter(|h| h.id == *id).for_each(|h| name.clone_into(&mut h.name));
        all.iter_mut().for_each(|attachment| name.clone_into(&mut attachment.name));
        self.write_ledger(&ledger)?;
        self.write_record(id, &all)
    }

    pub(super) fn record(&self, id: &ContainerId) -> PathBuf {
        self.records().join(id)
    }

    pub(super) fn recorded(&self) -> Result<Vec<ContainerId>, Error> {
        let names = names(&self.records())?;
        Ok(names.iter().filter_map(|name| ContainerId::parse(name).ok()).collect())
    }

    pub(super) fn write_record(&self, id: &ContainerId, all: &[Attachment]) -> Result<(), Error> {
        files::write(&self.record(id), &self.scratch(), &all, Durable::No)
    }

    /// Takes one network out of the record, or all.
    pub(super) fn forget_record(&self, id: &ContainerId, network: Option<&str>) -> Result<(), Error> {
        let mut left = match network {
            Some(_) => self.describe_all(id)?,
            None => Vec::new(),
        };
        let before = left.len();
        left.retain(|attachment| Some(attachment.network.as_str()) != network);
        match (left.is_empty(), left.len() == before) {
            (true, _) => files::remove(&self.record(id)),
            (false, true) => Ok(()),
            (false, false) => self.write_record(id, &left),
        }
    }
}

/// Reads a container's record; nothing when there is none.
pub(crate) fn read_record(path: &Path) -> Result<Vec<Attachment>, Error> {
    Ok(match files::read::<Recorded>(path)? {
        None => Vec::new(),
        Some(Recorded::One(attachment)) => vec![*attachment],
        Some(Recorded::All(all)) => all,
    })
}

/// A record; one that was written before containers had several networks is the attachment
/// itself.
#[derive(Deserialize)]
#[serde(untagged)]
enum Recorded {
    All(Vec<Attachment>),
    One(Box<Attachment>),
}
