//! Noticing that somebody has changed the host's rules.
//!
//! `nft flush ruleset` takes our table too, and a rule that the host adds to its input chains
//! is to hold for published ports. The kernel tells of every change; who waits for
//! [`RuleWatch`] and then calls [`Networks::mend`](crate::Networks::mend) has the rules right
//! again within milliseconds, and costs nothing in between.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use netlink::nft::{Event, Monitor, Noticed, Subject};

use crate::error::Error;

/// Tables of ours that others look after: those of pod networks and of services.
const OTHERS: &str = "strake-";

/// Hears of changes to the rules of the caller's network namespace; its descriptor is readable
/// when there are some.
#[derive(Debug)]
pub struct RuleWatch {
    monitor: Monitor,
}

impl RuleWatch {
    /// Begins to listen. What changed before is not told: mend once after opening.
    pub fn open() -> Result<Self, Error> {
        let step = || "listen to changes of nf_tables".to_owned();
        let monitor = Monitor::open().map_err(|source| Error::Kernel { step: step(), source })?;
        Ok(Self { monitor })
    }

    /// Takes what has come, and says whether a look at the rules is called for.
    pub fn changed(&mut self) -> Result<bool, Error> {
        let step = || "hear of changes of nf_tables".to_owned();
        let mut concerned = false;
        loop {
            match self.monitor.notice().map_err(|source| Error::Kernel { step: step(), source })? {
                Noticed::Events(events) => concerned |= events.iter().any(concerns),
                Noticed::Lost => concerned = true,
                Noticed::Nothing => return Ok(concerned),
            }
        }
    }
}

/// Whether a change may be to our table, or to input rules of the host.
fn concerns(event: &Event) -> bool {
    event.subject != Subject::Generation && !event.table.starts_with(OTHERS)
}

impl AsFd for RuleWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }
}

impl AsRawFd for RuleWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.monitor.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use netlink::nft::Family;

    use super::*;

    #[test]
    fn services_change_often_and_concern_nobody_else() {
        let event = |subject, table: &str| Event {
            subject,
            deleted: false,
            family: Family::Ip,
            table: table.to_owned(),
            port: 7,
        };
        for (subject, table, expected) in [
            (Subject::Table, "strake", true),
            (Subject::Rule, "filter", true),
            (Subject::Elements, "strake-services", false),
            (Subject::Generation, "", false),
        ] {
            assert_eq!(concerns(&event(subject, table)), expected, "{subject:?} {table}");
        }
    }
}
