//! The two tables as one: IPv4 always, IPv6 as soon as a network has it.

use std::net::IpAddr;
use std::path::Path;

use netlink::Socket;
use netlink::nft::Family;

use super::elements::Published;
use super::sync::{Applied, Change, Firewall, Wanted};
use crate::Rewritten;
use crate::error::Error;
use crate::publish::PublishedPort;

/// Both tables.
#[derive(Debug)]
pub(crate) struct Families {
    ipv4: Firewall,
    ipv6: Firewall,
}

/// What both are to say; nothing for IPv6 when no network has it.
#[derive(Clone, Debug)]
pub(crate) struct WantedOfBoth {
    pub(crate) ipv4: Wanted,
    pub(crate) ipv6: Option<Wanted>,
}

impl Families {
    pub(crate) fn new(state: &Path) -> Self {
        Self { ipv4: Firewall::new(state, Family::Ip), ipv6: Firewall::new(state, Family::Ip6) }
    }

    /// Lends the socket, which is opened at the first use.
    pub(crate) fn with_socket<T>(
        &self,
        work: impl FnOnce(&mut Socket) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.ipv4.with_socket(work)
    }

    /// Makes the kernel hold what is `wanted`; `change` says what is new about it.
    pub(crate) fn apply(&self, wanted: &WantedOfBoth, change: Change<'_>) -> Result<Applied, Error> {
        let mut applied = of_family(change, true, |change| self.ipv4.apply(&wanted.ipv4, change))?;
        let Some(ipv6) = &wanted.ipv6 else {
            if self.ipv6.is_in_use() {
                self.ipv6.remove(Family::Ip6, &wanted.ipv4.table)?;
            }
            return Ok(applied);
        };
        let six = of_family(change, false, |change| self.ipv6.apply(ipv6, change))?;
        applied.rewritten = applied.rewritten.or(six.rewritten);
        applied.warnings.extend(six.warnings);
        applied.forward_warnings.extend(six.forward_warnings);
        applied.notes.extend(six.notes);
        Ok(applied)
    }

    /// Puts right what others have changed; says why it had to.
    pub(crate) fn mend(&self, wanted: &WantedOfBoth) -> Result<Option<Rewritten>, Error> {
        let mend = |firewall: &Firewall, wanted: &Wanted| {
            if firewall.is_untouched(wanted)? {
                return Ok(None);
            }
            Ok(firewall.apply(wanted, Change::Verify)?.rewritten)
        };
        let four = mend(&self.ipv4, &wanted.ipv4)?;
        let six = wanted.ipv6.as_ref().map(|wanted| mend(&self.ipv6, wanted)).transpose()?.flatten();
        Ok(four.or(six))
    }

    /// How the tables differ from how we left them, by family. Changes nothing.
    pub(crate) fn examine(&self, wanted: &WantedOfBoth) -> Result<Vec<(Family, Rewritten)>, Error> {
        let four = self.ipv4.examine(&wanted.ipv4)?.map(|why| (Family::Ip, why));
        let six = wanted.ipv6.as_ref().map(|wanted| self.ipv6.examine(wanted)).transpose()?.flatten();
        Ok(four.into_iter().chain(six.map(|why| (Family::Ip6, why))).collect())
    }

    /// Deletes both tables and forgets them.
    pub(crate) fn remove(&self, table: &str) -> Result<(), Error> {
        self.ipv4.remove(Family::Ip, table)?;
        if self.ipv6.is_in_use() { self.ipv6.remove(Family::Ip6, table) } else { Ok(()) }
    }
}

/// Does `work` with the part of a change that is about one family.
fn of_family<T>(change: Change<'_>, ipv4: bool, work: impl FnOnce(Change<'_>) -> T) -> T {
    let part = |ports: &Published| -> Published {
        let own = |(port, _): &&(PublishedPort, IpAddr)| port.host_ip.is_ipv4() == ipv4;
        ports.iter().filter(own).copied().collect()
    };
    match change {
        Change::Publish(ports) => work(Change::Publish(&part(ports))),
        Change::Withdraw(ports) => work(Change::Withdraw(&part(ports))),
        Change::Verify => work(Change::Verify),
    }
}
