//! The front: networks and who is attached to them.
//!
//! Every operation holds one lock, so two never give the same address or port. The
//! order of an attach is: decide, enter into the ledger, make links, publish, record.
//! Whatever is killed in between leaves an entry in the ledger, which holds address and
//! port until [`Networks::detach`] or [`Networks::reconcile`] has undone the rest.

mod chain;
mod examine;
mod inspect;
mod macvlan;
mod manage;
mod membership;
mod withdraw;

pub use examine::Leftover;

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use base::{ContainerId, failpoint};
use netlink::conntrack::{self, Connection};
use netlink::nft::Family;
use netlink::route::MacAddress;
use sys::lock::FileLock;

use crate::attachment::{Attachment, Decision, Reconciled, Request, gateway_of};
use crate::chain::ChainSettings;
use crate::definition::{Definition, Driver};
use crate::error::Error;
use crate::files::{self, Durable};
use crate::firewall::{
    Applied, Change, Families, NetworkView, Published, Range, Rewritten, Wanted, WantedOfBoth,
};
use crate::ledger::Ledger;
use crate::links::{self, HostLinks, Pair};
use crate::plan::{self, Observed};
use crate::ports::{self, ThisHost, Wish};
use crate::publish::{Front, Protocol, PublishPolicy, PublishedPort};
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
    firewall: Families,
    chains: Option<ChainSettings>,
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
        Ok(Self { firewall: Families::new(&state), definitions, state, chains: None })
    }

    /// Attaches the container whose network namespace is `netns` to one network more.
    ///
    /// The namespace must be the container's own. Loopback is brought up, `eth0` (or the next
    /// number) made and configured, the ports published. On an error nothing is left behind.
    pub fn attach(&self, request: &Request, netns: BorrowedFd<'_>) -> Result<Attachment, Error> {
        let _lock = self.lock()?;
        let mut ledger = self.ledger()?;
        let mut host = HostLinks::open()?;
        let killed = ledger.holder(&request.id, &request.network).is_some();
        let others = self.sweep(&mut ledger, &mut host, &request.id, &request.network)?;
        let known = self.definition(&request.network)?;
        match known.as_ref().map(|network| (network, &network.driver)) {
            Some((network, Driver::Macvlan(macvlan))) => {
                let (network, ledger) = ((network, macvlan), (&ledger, killed));
                return self.attach_macvlan((request, &others), network, ledger, &mut host, netns);
            }
            Some((network, Driver::Cni(chain))) => {
                return self.attach_chain((request, &others), (network, chain), &ledger, netns);
            }
            _ => {}
        }
        let (ports, cursor) = ports::resolve(self.wish(request)?, &ledger, &mut self.this_host())?;
        ledger.port_cursor = cursor;
        let (network, bridge) = self.bring_up(&request.network, &ledger, &mut host)?;
        failpoint::hit("attach.bridge-made");
        let forwarding = forwarding::ensure(&mut ledger, network.ipv6.is_some())?;
        let host_link = host.free_name(request.id.as_str())?;
        let namespace = namespace(request, netns)?;
        let link = request.link.clone().unwrap_or_else(|| plan::free_link(&others));
        let observed = Observed { host_link, link, namespace, mtu: bridge.mtu, ports };
        let (mut attachment, entered) = plan::plan(request, &network, observed, &ledger)?;
        attachment.decisions.push(forwarding);
        self.write_ledger(&entered)?;
        failpoint::hit("attach.lease-written");
        let mac = request.mac.unwrap_or_else(|| links::mac_of(attachment.address));
        let leads_out = leads_out(request, &attachment, &others);
        match self.carry_out(
            (&mut attachment, &others, leads_out),
            mac,
            &entered,
            (&mut host, &bridge),
            netns,
        ) {
            Ok(()) => Ok(attachment),
            Err(error) => {
                // The first error is the one to be told; what the undoing leaves, the
                // ledger still knows. The link goes first: nothing else stops traffic.
                let mut ledger = entered;
                let _ = host.delete(&attachment.host_link);
                let one = Some(request.network.as_str());
                let _ = self.release(&mut ledger, &mut host, (&request.id, one), Links::Delete);
                Err(error)
            }
        }
    }

    fn carry_out(
        &self,
        (attachment, others, leads_out): (&mut Attachment, &[Attachment], bool),
        mac: MacAddress,
        ledger: &Ledger,
        (host, bridge): (&mut HostLinks, &netlink::route::Link),
        netns: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        let pair = Pair {
            name: &attachment.host_link,
            link: &attachment.link,
            bridge: &attachment.bridge,
            owner: attachment.id.short(),
            mtu: attachment.mtu,
            mac,
        };
        host.make_pair(&pair, bridge, netns)?;
        failpoint::hit("attach.link-made");
        links::configure_container(attachment, leads_out, netns)?;
        host.settle(&attachment.host_link, bridge)?;
        failpoint::hit("attach.container-configured");
        let holder = ledger.holder(&attachment.id, &attachment.network);
        let published: Published = holder.iter().flat_map(|h| h.published()).collect();
        let applied = self.firewall.apply(&self.wanted(ledger)?, Change::Publish(&published))?;
        failpoint::hit("attach.rules-written");
        if attachment.ports.iter().any(|port| port.protocol == Protocol::Udp) {
            let own = host.own_addresses()?;
            // Those of others who share the port go on.
            let leads: BTreeSet<(u16, IpAddr)> =
                ledger.published().map(|(port, to)| (port.host_port, to)).collect();
            self.forget_connections(&attachment.name, &attachment.ports, |connection| {
                let to_host = own.contains(&connection.original.destination);
                let port = connection.original.destination_port;
                to_host && !leads.contains(&(port, connection.reply.source))
            })?;
        }
        self.tell(attachment, applied);
        let mut all = others.to_vec();
        all.push(attachment.clone());
        self.write_record(&attachment.id, &all)
    }

    /// Adds to the record what the rules brought to light.
    fn tell(&self, attachment: &mut Attachment, applied: Applied) {
        attachment.warnings.extend(applied.forward_warnings);
        if attachment.ports.iter().all(|port| port.policy == PublishPolicy::Docker) {
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

    /// What a request wants published: on both families where its network has both.
    fn wish<'r>(&self, request: &'r Request) -> Result<Wish<'r>, Error> {
        let network = self.definition(&request.network)?;
        let ipv6 = network.as_ref().is_some_and(|network| network.ipv6.is_some());
        // Plugins publish as they can.
        let ours = network.is_none_or(|network| network.driver == Driver::Bridge);
        let front = if ours { request.front } else { Front::Rules };
        Ok(Wish { mappings: &request.ports, publishing: request.publishing, ipv6, front })
    }

    /// The host that ports are published on.
    fn this_host(&self) -> ThisHost {
        ThisHost { companion: self.companion() }
    }

    /// Where the companion of these networks is asked, while one runs.
    pub fn companion(&self) -> PathBuf {
        self.state.join("warden").join("socket")
    }

    /// Whether `request` would be granted now: unknown network, ports or address in
    /// use. Changes nothing.
    pub fn check(&self, request: &Request) -> Result<(), Error> {
        let _lock = self.lock()?;
        let mut ledger = self.ledger()?;
        ledger.release(&request.id, None);
        ports::resolve(self.wish(request)?, &ledger, &mut self.this_host())?;
        if let Some(network) = self.definition(&request.network)? {
            plan::address(request, &network, &ledger)?;
        }
        Ok(())
    }

    /// Releases all of the container's addresses and ports. No error when it has none.
    ///
    /// The links go with the container's namespace; its ports of the bridges are cut at
    /// once.
    pub fn detach(&self, id: &ContainerId) -> Result<(), Error> {
        let _lock = self.lock()?;
        let mut ledger = self.ledger()?;
        let mut host = HostLinks::open()?;
        self.release(&mut ledger, &mut host, (id, None), Links::Cut)
    }

    /// Like [`detach`](Self::detach) for a container that lives on: its links are deleted,
    /// which takes some ten milliseconds.
    pub fn disconnect(&self, id: &ContainerId) -> Result<(), Error> {
        let _lock = self.lock()?;
        let mut ledger = self.ledger()?;
        let mut host = HostLinks::open()?;
        self.release(&mut ledger, &mut host, (id, None), Links::Delete)
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
        let held: BTreeSet<ContainerId> = ledger.holders.iter().map(|h| h.id.clone()).collect();
        for id in held.into_iter().filter(|id| !is_live(id)) {
            self.release(&mut ledger, &mut host, (&id, None), Links::Cut)?;
            done.released.push(id);
        }
        let bridges = self.bridges(&mut host)?;
        for link in self.stray_links(&ledger, &mut host)? {
            host.delete(&link)?;
            done.links_deleted.push(link);
        }
        done.warnings.extend(self.sweep_chains(&ledger));
        for id in self.recorded()? {
            if ledger.of(&id).next().is_none() {
                files::remove(&self.record(&id))?;
            }
        }
        if !bridges.is_empty() {
            let ipv6 = self.definitions()?.iter().any(|network| network.ipv6.is_some());
            forwarding::ensure(&mut ledger, ipv6)?;
            self.write_ledger(&ledger)?;
            let applied = self.firewall.apply(&self.wanted(&ledger)?, Change::Verify)?;
            done.table_rewritten = applied.rewritten.is_some();
            done.warnings.extend(applied.warnings);
            done.warnings.extend(applied.forward_warnings);
        }
        Ok(done)
    }

    /// Writes the rules anew when somebody else has changed them, or the host's own input rules
    /// that they follow, and says why; see [`RuleWatch`](crate::RuleWatch). Costs next to nothing
    /// when all changes since were ours, and leaves a host without containers alone.
    pub fn mend(&self) -> Result<Option<Rewritten>, Error> {
        let _lock = self.lock()?;
        let ledger = self.ledger()?;
        let wanted = self.wanted(&ledger)?;
        if ledger.holders.is_empty() { Ok(None) } else { self.firewall.mend(&wanted) }
    }

    /// Deletes bridges and rules if nobody is attached, and turns packet forwarding off
    /// again if it was us who turned it on; returns whether it did.
    pub fn remove_idle(&self) -> Result<bool, Error> {
        let _lock = self.lock()?;
        let mut ledger = self.ledger()?;
        if !ledger.holders.is_empty() {
            return Ok(false);
        }
        let four = forwarding::restore(&mut ledger)?;
        if forwarding::restore6(&mut ledger)? || four {
            self.write_ledger(&ledger)?;
        }
        let mut host = HostLinks::open()?;
        for network in self.definitions()?.into_iter().filter(|network| network.driver == Driver::Bridge) {
            if host.by_name(&network.bridge)?.is_some_and(|link| bridge::is_ours(&link, &self.definitions)) {
                host.delete(&network.bridge)?;
            }
            self.firewall.remove(&network.table)?;
        }
        Ok(true)
    }

    /// Withdraws, cuts, releases, in one network or in all: what is not there is passed over.
    fn release(
        &self,
        ledger: &mut Ledger,
        host: &mut HostLinks,
        (id, network): (&ContainerId, Option<&str>),
        links: Links,
    ) -> Result<(), Error> {
        let holders = ledger.release(id, network);
        if holders.is_empty() {
            return self.forget_record(id, network);
        }
        for holder in holders.iter().filter(|holder| !holder.ports.is_empty() && holder.chained.is_none()) {
            let published: Published = holder.published().collect();
            self.firewall.apply(&self.wanted(ledger)?, Change::Withdraw(&published))?;
            self.forget_connections(&holder.name, &holder.ports, |connection| {
                holder.has(connection.reply.source)
            })?;
        }
        failpoint::hit("detach.rules-removed");
        for holder in &holders {
            if let Some(chained) = &holder.chained {
                // What cannot be undone now stays noted, and is undone by reconciling.
                let _ = self.undo_chain(id, chained);
            }
        }
        for holder in holders.iter().filter(|holder| !holder.host_link.is_empty()) {
            match links {
                Links::Cut => host.cut(&holder.host_link)?,
                Links::Delete => host.delete(&holder.host_link)?,
            }
        }
        failpoint::hit("detach.link-cut");
        self.write_ledger(ledger)?;
        failpoint::hit("detach.lease-released");
        self.forget_record(id, network)
    }

    /// UDP has no handshake, so tracked connections that say otherwise would go on
    /// past what was published or withdrawn just now.
    ///
    /// Of a port that is shared the others forget too: a first packet that went to the one
    /// that is gone is sent again, and then finds another.
    fn forget_connections(
        &self,
        container: &str,
        ports: &[PublishedPort],
        stale: impl Fn(&Connection) -> bool,
    ) -> Result<(), Error> {
        let picked: BTreeSet<(u8, u16)> = ports
            .iter()
            .filter(|p| p.protocol == Protocol::Udp || p.shared)
            .map(|p| (p.protocol.number(), p.host_port))
            .collect();
        if picked.is_empty() {
            return Ok(());
        }
        let picked = |connection: &Connection| {
            let original = connection.original;
            picked.contains(&(original.protocol, original.destination_port)) && stale(connection)
        };
        let deleted = self.firewall.with_socket(|socket| Ok(conntrack::delete_where(socket, picked)))?;
        deleted.map(drop).map_err(|source| Error::Kernel {
            step: format!("forget tracked connections for container {container}"),
            source,
        })
    }

    /// An entry without a record is an attach that was killed: undone before the next. What
    /// the container has of other networks.
    fn sweep(
        &self,
        ledger: &mut Ledger,
        host: &mut HostLinks,
        id: &ContainerId,
        network: &str,
    ) -> Result<Vec<Attachment>, Error> {
        let recorded = self.describe_all(id)?;
        if recorded.iter().any(|attachment| attachment.network == network) {
            let (id, network) = (id.short().to_owned(), network.to_owned());
            return Err(Error::AlreadyAttached { id, network });
        }
        let unrecorded: Vec<String> = ledger
            .of(id)
            .filter(|holder| !recorded.iter().any(|attachment| attachment.network == holder.network))
            .map(|holder| holder.network.clone())
            .collect();
        for network in unrecorded {
            self.release(ledger, host, (id, Some(&network)), Links::Delete)?;
        }
        Ok(recorded)
    }

    /// The network with its bridge up; the default one is defined on demand.
    fn bring_up(
        &self,
        name: &str,
        ledger: &Ledger,
        host: &mut HostLinks,
    ) -> Result<(Definition, netlink::route::Link), Error> {
        let known = self.definition(name)?;
        if let Some(network) = &known
            && let Driver::Macvlan(macvlan) = &network.driver
        {
            let link = host.parent(name, &macvlan.parent, &bridge::alias(&self.definitions))?;
            return Ok((network.clone(), link));
        }
        let others = self.definitions()?;
        let mut brought = bridge::bring_up(name, known.as_ref(), ledger, &self.definitions, &others, host)?;
        if name != crate::DEFAULT_NETWORK {
            // Its link keeps the name of our table from other data roots.
            let (default, _) = self.bring_up(crate::DEFAULT_NETWORK, ledger, host)?;
            brought.definition.table = default.table;
        }
        if known.as_ref() != Some(&brought.definition) {
            self.write_definition(&brought.definition)?;
        }
        match brought.link {
            Some(link) => Ok((brought.definition, link)),
            None => {
                let mtu = brought.definition.mtu.map_or_else(|| host.default_mtu(), Ok)?;
                let alias = bridge::alias(&self.definitions);
                let mut link = host.make_bridge(&brought.definition, &alias, mtu)?;
                link.mtu = mtu;
                Ok((brought.definition, link))
            }
        }
    }

    fn write_definition(&self, definition: &Definition) -> Result<(), Error> {
        let scratch = self.definitions.join(".scratch");
        files::write(&self.definition_path(&definition.name), &scratch, definition, Durable::Yes)
    }

    fn wanted(&self, ledger: &Ledger) -> Result<WantedOfBoth, Error> {
        let definitions = self.definitions()?;
        let table = definitions.iter().find(|d| d.name == crate::DEFAULT_NETWORK).or(definitions.first());
        let table = table.map_or_else(|| crate::DEFAULT_TABLE.to_owned(), |d| d.table.clone());
        let view = |definition: &Definition, subnet: Range| NetworkView {
            bridge: definition.bridge.clone(),
            subnet,
            internal: definition.internal,
            masquerade: definition.masquerade && !definition.internal,
            pods: None,
        };
        let (published, published6): (Published, Published) =
            ledger.published().partition(|(port, _)| port.host_ip.is_ipv4());
        let bridges = || definitions.iter().filter(|d| d.driver == Driver::Bridge);
        let six: Vec<NetworkView> =
            bridges().filter_map(|d| Some(view(d, Range::V6(d.ipv6.as_ref()?.subnet)))).collect();
        let ipv6 = (!six.is_empty()).then(|| Wanted {
            family: Family::Ip6,
            table: table.clone(),
            networks: six,
            closed_transit: ledger.forwarding6_turned_on,
            published: published6,
        });
        let ipv4 = Wanted {
            family: Family::Ip,
            table,
            networks: bridges().map(|d| view(d, Range::V4(d.subnet))).collect(),
            closed_transit: ledger.forwarding_turned_on,
            published,
        };
        Ok(WantedOfBoth { ipv4, ipv6 })
    }

    /// Lends the socket to nf_tables.
    pub(crate) fn with_rules_socket<T>(
        &self,
        work: impl FnOnce(&mut netlink::Socket) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.firewall.with_socket(work)
    }

    /// The indices of our bridges that exist.
    fn bridges(&self, host: &mut HostLinks) -> Result<BTreeSet<u32>, Error> {
        let mut indices = BTreeSet::new();
        for network in self.definitions()?.into_iter().filter(|network| network.driver == Driver::Bridge) {
            if let Some(link) = host.by_name(&network.bridge)?
                && bridge::is_ours(&link, &self.definitions)
            {
                indices.insert(link.index);
            }
        }
        Ok(indices)
    }

    pub(crate) fn ledger(&self) -> Result<Ledger, Error> {
        Ok(files::read(&self.state.join("ledger.json"))?.unwrap_or_default())
    }

    fn write_ledger(&self, ledger: &Ledger) -> Result<(), Error> {
        files::write(&self.state.join("ledger.json"), &self.scratch(), ledger, Durable::No)
    }

    fn lock(&self) -> Result<FileLock, Error> {
        let path = self.state.join("lock");
        FileLock::exclusive(&path).map_err(|source| Error::File { operation: "lock", path, source })
    }

    fn scratch(&self) -> PathBuf {
        self.state.join("scratch")
    }

    fn definition_path(&self, name: &str) -> PathBuf {
        self.definitions.join(format!("{name}.json"))
    }
}

/// The inode of a container's network namespace, by which that is known again.
fn namespace(request: &Request, netns: BorrowedFd<'_>) -> Result<u64, Error> {
    let id = sys::namespace::id(netns).map_err(|source| Error::File {
        operation: "look at the network namespace of",
        path: PathBuf::from(request.id.as_str()),
        source,
    })?;
    Ok(id.ino)
}

/// Whether a container's default route is by the network that it is being attached to.
fn leads_out(request: &Request, attachment: &Attachment, others: &[Attachment]) -> bool {
    let all = others.iter().chain(std::iter::once(attachment));
    request.leads_out && gateway_of(all).is_some_and(|gateway| gateway.network == attachment.network)
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
