//! The front: networks and who is attached to them.
//!
//! Every operation holds one lock, so two never give the same address or port. The
//! order of an attach is: decide, enter into the ledger, make links, publish, record.
//! Whatever is killed in between leaves an entry in the ledger, which holds address and
//! port until [`Networks::detach`] or [`Networks::reconcile`] has undone the rest.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use base::{ContainerId, failpoint};
use netlink::conntrack::{self, Connection};
use netlink::route::MacAddress;
use sys::lock::FileLock;

use crate::attachment::{Attachment, Decision, Reconciled, Request};
use crate::definition::{Definition, is_name};
use crate::error::Error;
use crate::files::{self, Durable};
use crate::firewall::{Applied, Change, Firewall, NetworkView, Wanted};
use crate::ledger::Ledger;
use crate::links::{self, HostLinks, Pair};
use crate::plan::{self, Observed};
use crate::ports::{self, ThisHost};
use crate::publish::{Protocol, PublishedPort};
use crate::{bridge, forwarding};

/// Where a crash must be survivable.
pub const FAILPOINTS: &[&str] = &[
    "attach.bridge-made",
    "attach.lease-written",
    "attach.link-made",
    "attach.container-configured",
    "attach.rules-written",
    "detach.rules-removed",
    "detach.link-cut",
    "detach.lease-released",
];

/// The networks of one data root.
///
/// One socket to nf_tables is kept while the value lives: closing one soon after
/// something was deleted waits for the kernel to have freed it, some ten milliseconds.
#[derive(Debug)]
pub struct Networks {
    definitions: PathBuf,
    state: PathBuf,
    firewall: Firewall,
}

impl Networks {
    /// The networks whose definitions are below `data_root` and whose leases are below
    /// `state_root`. Makes the two `networks` directories, nothing else.
    pub fn open(data_root: &Path, state_root: &Path) -> Result<Self, Error> {
        let (definitions, state) = (data_root.join("networks"), state_root.join("networks"));
        for path in [&definitions, &state.join("attachments")] {
            fs::create_dir_all(path).map_err(|source| Error::File {
                operation: "make directory",
                path: path.clone(),
                source,
            })?;
        }
        // One data root has one path, however it was named: bridges are marked with it.
        let definitions = fs::canonicalize(&definitions).map_err(|source| Error::File {
            operation: "resolve",
            path: definitions.clone(),
            source,
        })?;
        Ok(Self { firewall: Firewall::new(&state), definitions, state })
    }

    /// Attaches the container whose network namespace is `netns`.
    ///
    /// The namespace must be the container's own. Loopback is brought up, `eth0` made
    /// and configured, the ports published. On an error nothing is left behind.
    pub fn attach(&self, request: &Request, netns: BorrowedFd<'_>) -> Result<Attachment, Error> {
        let _lock = self.lock()?;
        let mut ledger = self.ledger()?;
        let mut host = HostLinks::open()?;
        self.sweep(&mut ledger, &mut host, &request.id)?;
        let (ports, cursor) = ports::resolve(&request.ports, &ledger, &mut ThisHost)?;
        ledger.port_cursor = cursor;
        let (network, bridge) = self.bring_up(&request.network, &ledger, &mut host)?;
        failpoint::hit("attach.bridge-made");
        let forwarding = forwarding::ensure(&mut ledger)?;
        let host_link = host.free_name(request.id.as_str())?;
        let observed = Observed { host_link, mtu: bridge.mtu, ports };
        let (mut attachment, entered) = plan::plan(request, &network, observed, &ledger)?;
        attachment.decisions.push(forwarding);
        self.write_ledger(&entered)?;
        failpoint::hit("attach.lease-written");
        let mac = request.mac.unwrap_or_else(|| links::mac_of(attachment.address));
        match self.carry_out(&mut attachment, mac, &entered, (&mut host, &bridge), netns) {
            Ok(()) => Ok(attachment),
            Err(error) => {
                // The first error is the one to be told; what the undoing leaves, the
                // ledger still knows. The link goes first: nothing else stops traffic.
                let mut ledger = entered;
                let _ = host.delete(&attachment.host_link);
                let _ = self.release(&mut ledger, &mut host, &request.id, Links::Delete);
                Err(error)
            }
        }
    }

    fn carry_out(
        &self,
        attachment: &mut Attachment,
        mac: MacAddress,
        ledger: &Ledger,
        (host, bridge): (&mut HostLinks, &netlink::route::Link),
        netns: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        let pair = Pair {
            name: &attachment.host_link,
            bridge: &attachment.bridge,
            owner: attachment.id.short(),
            mtu: attachment.mtu,
            mac,
        };
        host.make_pair(&pair, bridge, netns)?;
        failpoint::hit("attach.link-made");
        links::configure_container(attachment, netns)?;
        host.settle(&attachment.host_link, bridge)?;
        failpoint::hit("attach.container-configured");
        let change = Change::Publish(&attachment.ports, attachment.address);
        let applied = self.firewall.apply(&self.wanted(ledger)?, change)?;
        failpoint::hit("attach.rules-written");
        if attachment.ports.iter().any(|port| port.protocol == Protocol::Udp) {
            let own = host.own_addresses()?;
            self.forget_datagrams(&attachment.name, &attachment.ports, |connection| {
                let to_host = own.contains(&connection.original.destination);
                to_host && connection.reply.source != attachment.address
            })?;
        }
        self.tell(attachment, applied);
        let record = self.record(&attachment.id);
        files::write(&record, &self.scratch(), attachment, Durable::No)
    }

    /// Adds to the record what the rules brought to light.
    fn tell(&self, attachment: &mut Attachment, applied: Applied) {
        attachment.warnings.extend(applied.forward_warnings);
        if attachment.ports.is_empty() {
            return;
        }
        attachment.warnings.extend(applied.warnings);
        for note in applied.notes {
            attachment.decisions.push(Decision {
                what: "host's input policy".to_owned(),
                value: note,
                held_in: "nft chains hostN-gate of our table".to_owned(),
                why: "a port that the host closes stays closed when it is published".to_owned(),
            });
        }
    }

    /// Whether `request` would be granted now: unknown network, ports or address in
    /// use. Changes nothing.
    pub fn check(&self, request: &Request) -> Result<(), Error> {
        let _lock = self.lock()?;
        let mut ledger = self.ledger()?;
        ledger.release(&request.id);
        ports::resolve(&request.ports, &ledger, &mut ThisHost)?;
        if let Some(network) = self.definition(&request.network)? {
            plan::address(request, &network, &ledger)?;
        }
        Ok(())
    }

    /// Releases the container's address and ports. No error when it has none.
    ///
    /// The links go with the container's namespace; its port of the bridge is cut at
    /// once.
    pub fn detach(&self, id: &ContainerId) -> Result<(), Error> {
        let _lock = self.lock()?;
        let mut ledger = self.ledger()?;
        let mut host = HostLinks::open()?;
        self.release(&mut ledger, &mut host, id, Links::Cut)
    }

    /// Like [`detach`](Self::detach) for a container that lives on: its link is deleted,
    /// which takes some ten milliseconds.
    pub fn disconnect(&self, id: &ContainerId) -> Result<(), Error> {
        let _lock = self.lock()?;
        let mut ledger = self.ledger()?;
        let mut host = HostLinks::open()?;
        self.release(&mut ledger, &mut host, id, Links::Delete)
    }

    /// Removes what containers that are not live have left, and writes the rules anew when
    /// they are not as they should be.
    ///
    /// `is_live` must say so of all that hold a network now, also of those that are being
    /// started: the others lose their addresses. It is asked while nobody attaches.
    pub fn reconcile(&self, is_live: impl Fn(&ContainerId) -> bool) -> Result<Reconciled, Error> {
        let _lock = self.lock()?;
        let mut ledger = self.ledger()?;
        let mut host = HostLinks::open()?;
        let mut done = Reconciled::default();
        let gone: Vec<ContainerId> =
            ledger.holders.iter().map(|h| h.id.clone()).filter(|id| !is_live(id)).collect();
        for id in gone {
            self.release(&mut ledger, &mut host, &id, Links::Cut)?;
            done.released.push(id);
        }
        let bridges = self.bridges(&mut host)?;
        for link in host.all()? {
            let ours = link.master.is_some_and(|master| bridges.contains(&master));
            let held = ledger.holders.iter().any(|holder| holder.host_link == link.name);
            if ours && links::is_host_link(&link) && !held {
                host.delete(&link.name)?;
                done.links_deleted.push(link.name);
            }
        }
        for id in self.recorded()? {
            if ledger.holder(&id).is_none() {
                files::remove(&self.record(&id))?;
            }
        }
        if !bridges.is_empty() {
            forwarding::ensure(&mut ledger)?;
            self.write_ledger(&ledger)?;
            let applied = self.firewall.apply(&self.wanted(&ledger)?, Change::Verify)?;
            done.table_rewritten = applied.rewritten;
            done.warnings = applied.warnings;
            done.warnings.extend(applied.forward_warnings);
        }
        Ok(done)
    }

    /// Deletes bridges and rules if nobody is attached, and turns packet forwarding off
    /// again if it was us who turned it on; returns whether it did.
    pub fn remove_idle(&self) -> Result<bool, Error> {
        let _lock = self.lock()?;
        let mut ledger = self.ledger()?;
        if !ledger.holders.is_empty() {
            return Ok(false);
        }
        if forwarding::restore(&mut ledger)? {
            self.write_ledger(&ledger)?;
        }
        let mut host = HostLinks::open()?;
        for network in self.definitions()? {
            if host.by_name(&network.bridge)?.is_some_and(|link| bridge::is_ours(&link, &self.definitions)) {
                host.delete(&network.bridge)?;
            }
            self.firewall.remove(&network.table)?;
        }
        Ok(true)
    }

    /// What the container got, or `None`.
    pub fn describe(&self, id: &ContainerId) -> Result<Option<Attachment>, Error> {
        files::read(&self.record(id))
    }

    /// All that are attached.
    pub fn attachments(&self) -> Result<Vec<Attachment>, Error> {
        let ids = self.recorded()?;
        let records = ids.iter().map(|id| self.describe(id));
        Ok(records.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// The network of that name; the default one may not be there yet.
    pub fn definition(&self, name: &str) -> Result<Option<Definition>, Error> {
        if !is_name(name) {
            return Err(Error::InvalidNetworkName { name: name.to_owned() });
        }
        match files::read(&self.definition_path(name))? {
            None if name != crate::DEFAULT_NETWORK => Err(Error::NoSuchNetwork { name: name.to_owned() }),
            definition => Ok(definition),
        }
    }

    /// Withdraws, cuts, releases: what is not there is passed over.
    fn release(
        &self,
        ledger: &mut Ledger,
        host: &mut HostLinks,
        id: &ContainerId,
        links: Links,
    ) -> Result<(), Error> {
        let Some(holder) = ledger.release(id) else {
            return files::remove(&self.record(id));
        };
        if !holder.ports.is_empty() {
            let change = Change::Withdraw(&holder.ports, holder.address);
            self.firewall.apply(&self.wanted(ledger)?, change)?;
            self.forget_datagrams(&holder.name, &holder.ports, |connection| {
                connection.reply.source == holder.address
            })?;
        }
        failpoint::hit("detach.rules-removed");
        match links {
            Links::Cut => host.cut(&holder.host_link)?,
            Links::Delete => host.delete(&holder.host_link)?,
        }
        failpoint::hit("detach.link-cut");
        self.write_ledger(ledger)?;
        failpoint::hit("detach.lease-released");
        files::remove(&self.record(id))
    }

    /// UDP has no handshake, so tracked connections that say otherwise would go on
    /// past what was published or withdrawn just now.
    fn forget_datagrams(
        &self,
        container: &str,
        ports: &[PublishedPort],
        stale: impl Fn(&Connection) -> bool,
    ) -> Result<(), Error> {
        let udp: Vec<u16> =
            ports.iter().filter(|p| p.protocol == Protocol::Udp).map(|p| p.host_port).collect();
        if udp.is_empty() {
            return Ok(());
        }
        let picked = |connection: &Connection| {
            let original = connection.original;
            let published =
                original.protocol == Protocol::Udp.number() && udp.contains(&original.destination_port);
            published && stale(connection)
        };
        let deleted = self.firewall.with_socket(|socket| Ok(conntrack::delete_where(socket, picked)))?;
        deleted.map(drop).map_err(|source| Error::Kernel {
            step: format!("forget tracked UDP connections for container {container}"),
            source,
        })
    }

    /// An entry without a record is an attach that was killed: undone before the next.
    fn sweep(&self, ledger: &mut Ledger, host: &mut HostLinks, id: &ContainerId) -> Result<(), Error> {
        let Some(holder) = ledger.holder(id) else { return Ok(()) };
        if self.record(id).exists() {
            let network = holder.network.clone();
            return Err(Error::AlreadyAttached { id: id.short().to_owned(), network });
        }
        self.release(ledger, host, id, Links::Delete)
    }

    /// The network with its bridge up; the default one is defined on demand.
    fn bring_up(
        &self,
        name: &str,
        ledger: &Ledger,
        host: &mut HostLinks,
    ) -> Result<(Definition, netlink::route::Link), Error> {
        let known = self.definition(name)?;
        let brought = bridge::bring_up(name, known.as_ref(), ledger, &self.definitions, host)?;
        if known.as_ref() != Some(&brought.definition) {
            let scratch = self.definitions.join(".scratch");
            files::write(&self.definition_path(name), &scratch, &brought.definition, Durable::Yes)?;
        }
        match brought.link {
            Some(link) => Ok((brought.definition, link)),
            None => {
                let mtu = host.default_mtu()?;
                let alias = bridge::alias(&self.definitions);
                let mut link = host.make_bridge(&brought.definition, &alias, mtu)?;
                link.mtu = mtu;
                Ok((brought.definition, link))
            }
        }
    }

    fn wanted(&self, ledger: &Ledger) -> Result<Wanted, Error> {
        let definitions = self.definitions()?;
        let table = definitions.iter().find(|d| d.name == crate::DEFAULT_NETWORK).or(definitions.first());
        Ok(Wanted {
            table: table.map_or_else(|| crate::DEFAULT_TABLE.to_owned(), |d| d.table.clone()),
            networks: definitions
                .iter()
                .map(|d| NetworkView { bridge: d.bridge.clone(), subnet: d.subnet, pods: None })
                .collect(),
            closed_transit: ledger.forwarding_turned_on,
            published: ledger.published().collect(),
        })
    }

    /// The indices of our bridges that exist.
    fn bridges(&self, host: &mut HostLinks) -> Result<BTreeSet<u32>, Error> {
        let mut indices = BTreeSet::new();
        for network in self.definitions()? {
            if let Some(link) = host.by_name(&network.bridge)?
                && bridge::is_ours(&link, &self.definitions)
            {
                indices.insert(link.index);
            }
        }
        Ok(indices)
    }

    fn definitions(&self) -> Result<Vec<Definition>, Error> {
        let mut all = Vec::new();
        for name in names(&self.definitions)? {
            if let Some(network) = name.strip_suffix(".json") {
                all.extend(files::read(&self.definition_path(network))?);
            }
        }
        Ok(all)
    }

    fn recorded(&self) -> Result<Vec<ContainerId>, Error> {
        let names = names(&self.records())?;
        Ok(names.iter().filter_map(|name| ContainerId::parse(name).ok()).collect())
    }

    fn ledger(&self) -> Result<Ledger, Error> {
        Ok(files::read(&self.state.join("ledger.json"))?.unwrap_or_default())
    }

    fn write_ledger(&self, ledger: &Ledger) -> Result<(), Error> {
        files::write(&self.state.join("ledger.json"), &self.scratch(), ledger, Durable::No)
    }

    fn lock(&self) -> Result<FileLock, Error> {
        let path = self.state.join("lock");
        FileLock::exclusive(&path).map_err(|source| Error::File { operation: "lock", path, source })
    }

    fn records(&self) -> PathBuf {
        self.state.join("attachments")
    }

    fn record(&self, id: &ContainerId) -> PathBuf {
        self.records().join(id)
    }

    fn scratch(&self) -> PathBuf {
        self.state.join("scratch")
    }

    fn definition_path(&self, name: &str) -> PathBuf {
        self.definitions.join(format!("{name}.json"))
    }
}

/// What becomes of a container's link.
#[derive(Clone, Copy)]
enum Links {
    /// It goes with the namespace; until then nothing passes.
    Cut,
    /// It is deleted now: the namespace lives on.
    Delete,
}

fn names(directory: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::File { operation: "list", path: directory.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}
