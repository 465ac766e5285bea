//! Ports whose container has ended, before anybody has released it.

use base::ContainerId;

use super::Networks;
use crate::attachment::Process;
use crate::error::Error;
use crate::firewall::{Change, Published};

impl Networks {
    /// The process of a container has ended: its published ports lead nowhere from now on, and
    /// those that others share lead to the others. They are kept for it until it is detached:
    /// it may be waiting to be started again. Says whether there was something to do.
    ///
    /// Nothing is done when the container has another process by now.
    pub fn withdraw(&self, id: &ContainerId, process: Process) -> Result<bool, Error> {
        let _lock = self.lock()?;
        let all = self.describe_all(id)?;
        if !all.iter().any(|attachment| attachment.process == Some(process)) {
            return Ok(false);
        }
        let mut ledger = self.ledger()?;
        let published: Published = ledger.of(id).flat_map(|holder| holder.published()).collect();
        if published.is_empty() {
            return Ok(false);
        }
        let gone: Vec<_> = ledger.of(id).cloned().collect();
        ledger.holders.iter_mut().filter(|holder| holder.id == *id).for_each(|h| h.withdrawn = true);
        self.write_ledger(&ledger)?;
        self.firewall.apply(&self.wanted(&ledger)?, Change::Withdraw(&published))?;
        for holder in gone {
            self.forget_connections(&holder.name, &holder.ports, |connection| {
                holder.has(connection.reply.source)
            })?;
        }
        Ok(true)
    }
}
