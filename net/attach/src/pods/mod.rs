//! A node's part of a cluster's pod network.
//!
//! ```text
//!   pod (address /32, default by the gateway) ── veth ── strake-pods (gateway /32) ── node
//!                                                                  strake-vx ── VXLAN ── other nodes
//! ```
//!
//! A pod reaches everybody by its node, also a pod beside it: so answers pass the place
//! where services are translated, and the bridge needs no netfilter of its own. Hardware
//! addresses follow from addresses, so neighbours are told and never asked for.
//!
//! A range has all its addresses for pods but the first, which is the node's end of the
//! tunnel, and the second, which is the gateway: no link has the range as its network, so
//! the last one is an address like others.
//!
//! [`PodNetwork::add`] decides, enters into the ledger, makes links, publishes, records.
//! What is killed in between stays in the ledger until [`PodNetwork::remove`] or
//! [`PodNetwork::recover`].

mod addresses;
mod left;
mod links;
mod nodes;
mod record;

use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use base::{ContainerId, failpoint};
use netlink::conntrack;
use netlink::nft::Family;
use netlink::route::Link;
use sys::lock::FileLock;

use crate::cidr::Cidr;
use crate::error::Error;
use crate::files::{self, Durable};
use crate::firewall::{Change, Firewall, NetworkView, PodView, Published, Range, Wanted};
use crate::forwarding;
use crate::ledger::{Holder, Ledger};
use crate::links::{HostLinks, Pair, is_host_link, mac_of};
use crate::publish::{Protocol, PublishedPort};

pub use left::{described_in, forget_in, left_in};
pub use nodes::NodeRoute;
pub use record::{PodAttachment, PodRequest, Recovered};

/// The bridge of the pods.
pub const DEFAULT_POD_BRIDGE: &str = "strake-pods";
/// The link to other nodes' pods.
pub const DEFAULT_TUNNEL: &str = "strake-vx";
/// Our nftables table, of family `ip`.
pub const DEFAULT_POD_TABLE: &str = "strake-pods";

/// Where a crash must be survivable.
pub const POD_FAILPOINTS: &[&str] = &[
    "pod.lease-written",
    "pod.link-made",
    "pod.configured",
    "pod.rules-written",
    "pod-remove.rules-removed",
    "pod-remove.link-deleted",
    "pod-remove.lease-released",
];

/// The ledger's name for the one network.
const NETWORK: &str = "pods";
/// VXLAN puts an Ethernet frame in UDP in IPv4: 14 + 8 + 8 + 20 bytes.
const VXLAN_OVERHEAD: u32 = 50;

/// How pods of other nodes are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In VXLAN between the nodes' addresses.
    Vxlan {
        /// The network's number.
        vni: u32,
        /// The UDP port.
        port: u16,
    },
    /// By routes over the nodes' addresses, which must be on one link.
    Direct,
    /// Not at all, or by somebody else's routes.
    Bridge,
}

impl Mode {
    /// VXLAN with the number and the port that flannel and k3s have.
    pub const VXLAN: Self = Self::Vxlan { vni: 1, port: 8472 };
}

/// What a pod network is made with.
#[derive(Clone, Debug)]
pub struct PodNetworkConfig {
    /// Where leases are kept; they need not survive a reboot.
    pub state: PathBuf,
    /// The node's name, for messages.
    pub node: String,
    /// The node's addresses for pods. (IPv4; a second one for IPv6 comes beside it.)
    pub range: Cidr,
    /// The addresses of all pods of the cluster.
    pub cluster: Cidr,
    /// How other nodes are reached.
    pub mode: Mode,
    /// Largest packet of pods; the underlay's, less the tunnel's part, without.
    pub mtu: Option<u32>,
    /// Pods leave the cluster with the node's address.
    pub masquerade: bool,
    /// The node's address on the underlay; that of the default route's link without.
    pub underlay: Option<Ipv4Addr>,
    /// The bridge's name.
    pub bridge: String,
    /// The tunnel's name.
    pub tunnel: String,
    /// The name of our table of rules.
    pub table: String,
}

impl PodNetworkConfig {
    /// A network with the defaults: VXLAN, masquerade, names of ours.
    pub fn new(state: impl Into<PathBuf>, node: impl Into<String>, (range, cluster): (Cidr, Cidr)) -> Self {
        Self {
            state: state.into(),
            node: node.into(),
            range,
            cluster,
            mode: Mode::VXLAN,
            mtu: None,
            masquerade: true,
            underlay: None,
            bridge: DEFAULT_POD_BRIDGE.to_owned(),
            tunnel: DEFAULT_TUNNEL.to_owned(),
            table: DEFAULT_POD_TABLE.to_owned(),
        }
    }
}

/// The pods of one node.
#[derive(Debug)]
pub struct PodNetwork {
    config: PodNetworkConfig,
    alias: String,
    firewall: Firewall,
    underlay: Option<Ipv4Addr>,
    mtu: u32,
}

impl PodNetwork {
    /// Makes what the node's pods share (bridge, tunnel, forwarding, rules), or takes it over
    /// from before a restart.
    pub fn open(config: PodNetworkConfig) -> Result<Self, Error> {
        if addresses::capacity(config.range) < 2 {
            return Err(Error::PodRangeTooSmall { node: config.node, range: config.range });
        }
        let records = left::records(&config.state);
        fs::create_dir_all(&records).map_err(|source| Error::File {
            operation: "make directory",
            path: records.clone(),
            source,
        })?;
        let alias = links::alias(&config.state);
        let mut host = HostLinks::open()?;
        let underlay = match config.underlay {
            Some(address) => Some(address),
            None => host.default_address()?,
        };
        let mut mtu = host.underlay_mtu(underlay)?;
        if matches!(config.mode, Mode::Vxlan { .. }) {
            mtu = mtu.saturating_sub(VXLAN_OVERHEAD);
        }
        let mtu = config.mtu.unwrap_or(mtu);
        let firewall = Firewall::new(&config.state, Family::Ip);
        let network = Self { config, alias, firewall, underlay, mtu };
        let _lock = network.lock()?;
        let mut ledger = network.ledger()?;
        network.bring_up(&mut host, &mut ledger)?;
        Ok(network)
    }

    /// The node's address that the tunnel, or direct routes, use.
    pub fn underlay(&self) -> Option<Ipv4Addr> {
        self.underlay
    }

    /// The hardware address of this node's end of the tunnel, as other nodes must know it.
    pub fn tunnel_mac(&self) -> Option<netlink::route::MacAddress> {
        matches!(self.config.mode, Mode::Vxlan { .. }).then(|| mac_of(self.config.range.network()))
    }

    /// What it was made with.
    pub fn config(&self) -> &PodNetworkConfig {
        &self.config
    }

    /// Gives the sandbox whose network namespace is `netns` an address.
    ///
    /// Loopback is brought up, `eth0` made and configured, the host ports published. What
    /// the same sandbox had before is taken away first. On an error nothing is left behind.
    pub fn add(&self, request: &PodRequest, netns: BorrowedFd<'_>) -> Result<PodAttachment, Error> {
        let _lock = self.lock()?;
        let mut ledger = self.ledger()?;
        let mut host = HostLinks::open()?;
        self.release(&mut ledger, &mut host, &request.id)?;
        let address = self.choose(&ledger)?;
        let ports = self.ports(request, &ledger)?;
        let host_link = host.free_name(request.id.as_str())?;
        let attachment = PodAttachment {
            id: request.id.clone(),
            name: request.name.clone(),
            addresses: vec![address.into()],
            gateway: addresses::gateway(self.config.range),
            interface: crate::links::CONTAINER_LINK.to_owned(),
            host_link: host_link.clone(),
            mac: mac_of(address).to_string(),
            mtu: self.mtu,
            ports: ports.clone(),
        };
        ledger.version = 1;
        ledger.cursors.insert(NETWORK.to_owned(), address);
        ledger.holders.push(Holder {
            id: request.id.clone(),
            name: request.name.clone(),
            network: NETWORK.to_owned(),
            address,
            address6: None,
            host_link,
            ports,
            withdrawn: false,
            outside: false,
            chained: None,
        });
        self.write_ledger(&ledger)?;
        failpoint::hit("pod.lease-written");
        match self.carry_out(&attachment, address, &ledger, &mut host, netns) {
            Ok(()) => Ok(attachment),
            Err(error) => {
                // The first error is the one to be told; what the undoing leaves, the ledger
                // still knows.
                let _ = self.release(&mut ledger, &mut host, &request.id);
                Err(error)
            }
        }
    }

    fn carry_out(
        &self,
        attachment: &PodAttachment,
        address: Ipv4Addr,
        ledger: &Ledger,
        host: &mut HostLinks,
        netns: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        let bridge = self.bridge(host)?;
        let pair = Pair {
            link: crate::links::CONTAINER_LINK,
            name: &attachment.host_link,
            bridge: &self.config.bridge,
            owner: attachment.id.short(),
            mtu: attachment.mtu,
            mac: mac_of(address),
        };
        host.make_pair(&pair, &bridge, netns)?;
        failpoint::hit("pod.link-made");
        links::configure(attachment, address, netns)?;
        host.know(bridge.index, address)?;
        host.settle(&attachment.host_link, &bridge)?;
        failpoint::hit("pod.configured");
        if !attachment.ports.is_empty() {
            let published: Published = attachment.ports.iter().map(|port| (*port, address.into())).collect();
            self.firewall.apply(&self.wanted(ledger), Change::Publish(&published))?;
            self.forget_datagrams(&attachment.ports)?;
        }
        failpoint::hit("pod.rules-written");
        files::write(&self.record(&attachment.id), &self.scratch(), attachment, Durable::No)
    }

    /// Takes the sandbox's address, link and host ports away. No error when it has none.
    pub fn remove(&self, id: &ContainerId) -> Result<(), Error> {
        let _lock = self.lock()?;
        let mut ledger = self.ledger()?;
        let mut host = HostLinks::open()?;
        self.release(&mut ledger, &mut host, id)
    }

    /// Whether the sandbox's network is as it was given; the error says what is not.
    pub fn check(&self, id: &ContainerId) -> Result<PodAttachment, Error> {
        let missing = || Error::NotAttached { id: id.short().to_owned() };
        let attachment = self.describe(id)?.ok_or_else(missing)?;
        let mut host = HostLinks::open()?;
        let bridge = self.bridge(&mut host)?;
        let broken = |problem| Error::LinkBroken {
            id: id.short().to_owned(),
            link: attachment.host_link.clone(),
            problem,
        };
        match host.by_name(&attachment.host_link)? {
            None => Err(broken("is gone")),
            Some(link) if link.master != Some(bridge.index) => Err(broken("is not on the pods' bridge")),
            Some(link) if !link.is_up() => Err(broken("is down")),
            Some(_) => Ok(attachment),
        }
    }

    /// What the sandbox got, or `None`.
    pub fn describe(&self, id: &ContainerId) -> Result<Option<PodAttachment>, Error> {
        described_in(&self.config.state, id)
    }

    /// How many addresses are held, and how many there are.
    pub fn usage(&self) -> Result<(usize, usize), Error> {
        Ok((self.ledger()?.holders.len(), addresses::capacity(self.config.range)))
    }

    /// Removes what sandboxes that are not live have left, and mends bridge, tunnel and rules.
    ///
    /// `is_live` must say so of all that hold an address now, also of those that are being
    /// started: the others lose theirs. It is asked while nobody is added.
    pub fn recover(&self, is_live: impl Fn(&ContainerId) -> bool) -> Result<Recovered, Error> {
        let _lock = self.lock()?;
        let mut ledger = self.ledger()?;
        let mut host = HostLinks::open()?;
        let mut done = Recovered::default();
        let gone: Vec<ContainerId> =
            ledger.holders.iter().map(|h| h.id.clone()).filter(|id| !is_live(id)).collect();
        for id in gone {
            self.release(&mut ledger, &mut host, &id)?;
            done.released.push(id);
        }
        let (rewritten, warnings) = self.bring_up(&mut host, &mut ledger)?;
        done.table_rewritten = rewritten;
        done.warnings = warnings;
        let bridge = self.bridge(&mut host)?;
        for link in host.all()? {
            let held = ledger.holders.iter().any(|holder| holder.host_link == link.name);
            if link.master == Some(bridge.index) && is_host_link(&link) && !held {
                host.delete(&link.name)?;
                done.links_deleted.push(link.name);
            }
        }
        for holder in &ledger.holders {
            host.know(bridge.index, holder.address)?;
        }
        for id in self.recorded()? {
            if ledger.of(&id).next().is_none() {
                files::remove(&self.record(&id))?;
            }
        }
        Ok(done)
    }

    /// Makes the routes to the other nodes' pods be these, and no others of ours; returns what
    /// was passed over and why. This node itself may be among them.
    pub fn nodes(&self, nodes: &[NodeRoute]) -> Result<Vec<String>, Error> {
        let _lock = self.lock()?;
        let mut host = HostLinks::open()?;
        let tunnel = match self.config.mode {
            Mode::Vxlan { .. } => host.by_name(&self.config.tunnel)?.map(|link| link.index),
            Mode::Direct | Mode::Bridge => None,
        };
        let (wanted, notes) = nodes::wanted(&self.config, tunnel, nodes);
        let held = nodes::held(&mut host, tunnel)?;
        nodes::apply(&mut host, &nodes::difference(&held, &wanted))?;
        Ok(notes)
    }

    /// Removes bridge, tunnel, routes and rules if no sandbox has an address; returns whether
    /// it did.
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
        let held = nodes::held(&mut host, None)?;
        nodes::apply(&mut host, &nodes::difference(&held, &nodes::Routes::default()))?;
        for name in [&self.config.tunnel, &self.config.bridge] {
            if host.by_name(name)?.is_some_and(|link| link.alias == self.alias) {
                host.delete(name)?;
            }
        }
        self.firewall.remove(Family::Ip, &self.config.table)?;
        Ok(true)
    }

    /// Bridge, tunnel, forwarding and rules; whether the rules had to be written, and what
    /// the user should know.
    fn bring_up(&self, host: &mut HostLinks, ledger: &mut Ledger) -> Result<(bool, Vec<String>), Error> {
        let outside = ledger.holders.iter().find(|h| !self.config.range.contains(h.address));
        if let Some(holder) = outside {
            return Err(Error::PodRangeChanged {
                node: self.config.node.clone(),
                range: self.config.range,
                old: Cidr::of(holder.address, self.config.range.prefix()),
                held: ledger.holders.len(),
            });
        }
        links::ensure_bridge(host, &self.config, &self.alias, self.mtu)?;
        match self.config.mode {
            Mode::Vxlan { vni, port } => {
                let local = self.underlay.ok_or(Error::NoUnderlay)?;
                let mtu = self.mtu;
                let tunnel = links::Tunnel { vni, port, local, mtu };
                links::ensure_tunnel(host, &self.config, &self.alias, tunnel)?;
            }
            Mode::Direct | Mode::Bridge => {
                let name = &self.config.tunnel;
                if host.by_name(name)?.is_some_and(|link| link.alias == self.alias) {
                    host.delete(name)?;
                }
            }
        }
        forwarding::ensure(ledger, false)?;
        self.write_ledger(ledger)?;
        let applied = self.firewall.apply(&self.wanted(ledger), Change::Verify)?;
        let mut warnings = applied.warnings;
        warnings.extend(applied.forward_warnings);
        Ok((applied.rewritten.is_some(), warnings))
    }

    fn bridge(&self, host: &mut HostLinks) -> Result<Link, Error> {
        let name = &self.config.bridge;
        match host.by_name(name)? {
            Some(link) => Ok(link),
            // Somebody deleted it: it is made again, with the pods' links gone.
            None => links::ensure_bridge(host, &self.config, &self.alias, self.mtu),
        }
    }

    /// The next free address.
    fn choose(&self, ledger: &Ledger) -> Result<Ipv4Addr, Error> {
        let held = ledger.held(NETWORK);
        let cursor = ledger.cursors.get(NETWORK).copied();
        addresses::next_free(self.config.range, &held, cursor).ok_or_else(|| Error::PodAddressesUsedUp {
            node: self.config.node.clone(),
            range: self.config.range,
            held: held.len(),
            capacity: u32::try_from(addresses::capacity(self.config.range)).unwrap_or(u32::MAX),
        })
    }

    /// The request's ports, if no other pod has them. Processes of the node are not asked: a
    /// host port wins over them, as everywhere in Kubernetes.
    fn ports(&self, request: &PodRequest, ledger: &Ledger) -> Result<Vec<PublishedPort>, Error> {
        for port in &request.ports {
            if let Some(holder) = ledger.publisher(port.protocol, port.host_ip, port.host_port) {
                let owner = crate::error::PortOwner::Container {
                    name: holder.name.clone(),
                    id: holder.id.short().to_owned(),
                };
                let (protocol, host_ip, port) = (port.protocol, port.host_ip, port.host_port);
                return Err(Error::PortInUse { protocol, host_ip, port, owner });
            }
        }
        Ok(request.ports.clone())
    }

    /// Withdraws, deletes, releases: what is not there is passed over.
    fn release(&self, ledger: &mut Ledger, host: &mut HostLinks, id: &ContainerId) -> Result<(), Error> {
        let Some(holder) = ledger.release(id, None).pop() else {
            return files::remove(&self.record(id));
        };
        if !holder.ports.is_empty() {
            let published: Published = holder.published().collect();
            self.firewall.apply(&self.wanted(ledger), Change::Withdraw(&published))?;
            self.forget_datagrams(&holder.ports)?;
        }
        failpoint::hit("pod-remove.rules-removed");
        // Cut first: deleting takes milliseconds, and the address must be silent when it is
        // given again.
        host.cut(&holder.host_link)?;
        host.delete(&holder.host_link)?;
        if let Some(bridge) = host.by_name(&self.config.bridge)? {
            host.forget(bridge.index, holder.address)?;
        }
        failpoint::hit("pod-remove.link-deleted");
        self.write_ledger(ledger)?;
        failpoint::hit("pod-remove.lease-released");
        files::remove(&self.record(id))
    }

    /// UDP has no handshake, so tracked connections would go on past what changed just now.
    fn forget_datagrams(&self, ports: &[PublishedPort]) -> Result<(), Error> {
        let udp: Vec<u16> =
            ports.iter().filter(|p| p.protocol == Protocol::Udp).map(|p| p.host_port).collect();
        if udp.is_empty() {
            return Ok(());
        }
        let stale = |connection: &conntrack::Connection| {
            let original = connection.original;
            original.protocol == Protocol::Udp.number() && udp.contains(&original.destination_port)
        };
        let deleted = self.firewall.with_socket(|socket| Ok(conntrack::delete_where(socket, stale)))?;
        deleted.map(drop).map_err(|source| Error::Kernel {
            step: "forget tracked UDP connections to host ports".to_owned(),
            source,
        })
    }

    fn wanted(&self, ledger: &Ledger) -> Wanted {
        let PodNetworkConfig { bridge, tunnel, mode, masquerade, cluster, range, table, .. } = &self.config;
        let tunnel = matches!(mode, Mode::Vxlan { .. }).then(|| tunnel.clone());
        let pods = Some(PodView { cluster: Range::V4(*cluster), masquerade: *masquerade, tunnel });
        Wanted {
            family: Family::Ip,
            table: table.clone(),
            networks: vec![NetworkView {
                bridge: bridge.clone(),
                subnet: Range::V4(*range),
                internal: false,
                masquerade: true,
                pods,
            }],
            closed_transit: ledger.forwarding_turned_on,
            published: ledger.published().collect(),
        }
    }

    fn recorded(&self) -> Result<Vec<ContainerId>, Error> {
        left::recorded(&self.config.state)
    }

    fn ledger(&self) -> Result<Ledger, Error> {
        left::ledger(&self.config.state)
    }

    fn write_ledger(&self, ledger: &Ledger) -> Result<(), Error> {
        left::write_ledger(&self.config.state, ledger)
    }

    fn lock(&self) -> Result<FileLock, Error> {
        left::lock(&self.config.state)
    }

    fn record(&self, id: &ContainerId) -> PathBuf {
        left::record(&self.config.state, id)
    }

    fn scratch(&self) -> PathBuf {
        left::scratch(&self.config.state)
    }
}
