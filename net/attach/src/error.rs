//! What can go wrong when a container is attached.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use base::{Classified, ErrorClass};

use crate::cidr::Cidr;
use crate::cidr6::Cidr6;
use crate::publish::Protocol;

/// A network operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of ours could not be read or written.
    #[error("{operation} {}", path.display())]
    File {
        /// What was done with it.
        operation: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of ours does not hold what we wrote.
    #[error("{} is damaged; with no container running, remove it and try again", path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The kernel refused a step.
    #[error("{step}")]
    Kernel {
        /// What was being done, with its operands.
        step: String,
        /// Why.
        #[source]
        source: netlink::Error,
    },
    /// A setting of the kernel could not be written.
    #[error("set {sysctl} to {value}")]
    Sysctl {
        /// Its path below `/proc/sys`.
        sysctl: &'static str,
        /// The value.
        value: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No such network.
    #[error("network {name} not found; `strake network ls` lists them")]
    NoSuchNetwork {
        /// Its name.
        name: String,
    },
    /// A network name that cannot be one.
    #[error(
        "network name {name:?} is not valid: use letters, digits, `_`, `.` and `-`, a letter or digit first"
    )]
    InvalidNetworkName {
        /// What was given.
        name: String,
    },
    /// Another network has the name.
    #[error("network with name {name} already exists")]
    NetworkExists {
        /// The name.
        name: String,
    },
    /// A name of a network that is always there.
    #[error("operation is not permitted on predefined {name} network")]
    PredefinedName {
        /// The name.
        name: String,
    },
    /// A network that is always there.
    #[error("{name} is a pre-defined network and cannot be removed")]
    Predefined {
        /// The name.
        name: String,
    },
    /// Several ids begin like that.
    #[error("network {prefix} is ambiguous: several ids begin like that; give more digits")]
    AmbiguousNetwork {
        /// What was asked for.
        prefix: String,
    },
    /// Containers are attached.
    #[error("error while removing network: network {name} has active endpoints ({endpoints})")]
    NetworkInUse {
        /// The network.
        name: String,
        /// Whose: `name:"web" id:"0123456789ab"`.
        endpoints: String,
    },
    /// The wanted range meets that of another network.
    #[error(
        "invalid pool request: Pool overlaps with other one on this address space: {subnet} meets {range} of network {other}; choose another --subnet"
    )]
    PoolOverlaps {
        /// The wanted range.
        subnet: String,
        /// The other network.
        other: String,
        /// Its range.
        range: String,
    },
    /// Gateway or range do not fit the subnet.
    #[error("{why}")]
    InvalidIpam {
        /// The network.
        network: String,
        /// What does not fit.
        why: String,
    },
    /// A driver option that cannot be.
    #[error("option {option} of network {network} is not valid: {why}")]
    InvalidNetworkOption {
        /// Key and value.
        option: String,
        /// The network.
        network: String,
        /// What would be right.
        why: String,
    },
    /// No driver of that name.
    #[error(
        "could not find plugin {name} in v1 plugin registry: plugin not found; the driver is bridge, macvlan or cni"
    )]
    NoDriver {
        /// What was asked for.
        name: String,
    },
    /// A network of plugins.
    #[error(transparent)]
    Cni(Box<cni::Error>),
    /// A CNI network without its configuration.
    #[error("network {network} of the driver cni needs its configuration: add --opt config=FILE")]
    NoConfig {
        /// The network.
        network: String,
    },
    /// A network is a file of somebody else's.
    #[error("network {name} is the configuration {}: remove that file", path.display())]
    Configured {
        /// The network.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// The plugins gave another address.
    #[error("the plugins of network {network} did not give the address {wanted} that was asked for")]
    WishNotGranted {
        /// The network.
        network: String,
        /// The address.
        wanted: String,
    },
    /// The kernel has no ipvlan.
    #[error("network {network}: this kernel has no driver ipvlan; use --driver macvlan")]
    NoIpvlan {
        /// The network.
        network: String,
        /// Why.
        #[source]
        source: netlink::Error,
    },
    /// A macvlan network without a link to be on.
    #[error("macvlan network {network} needs the host's link that it is on: add --opt parent=LINK")]
    NoParent {
        /// The network.
        network: String,
    },
    /// The link that a macvlan network is on does not exist.
    #[error("link {parent} of macvlan network {network} does not exist; see `ip link`")]
    ParentMissing {
        /// The network.
        network: String,
        /// The link.
        parent: String,
    },
    /// Another network is on the link.
    #[error("network {other} is already using parent interface {parent}; remove it or name another parent")]
    ParentInUse {
        /// The other network.
        other: String,
        /// The link.
        parent: String,
    },
    /// The kernel has no VLAN links.
    #[error("link {parent} is not there, and this kernel makes no VLAN links; name a parent without a tag")]
    NoVlan {
        /// The link.
        parent: String,
        /// Why.
        #[source]
        source: netlink::Error,
    },
    /// The container is not attached to the network.
    #[error("container {id} is not connected to network {network}")]
    NotConnected {
        /// The container.
        id: String,
        /// The network.
        network: String,
    },
    /// A fixed address in a network whose range we chose.
    #[error(
        "user specified IP address is supported only when connecting to networks with user configured subnets: make network {network} with --subnet"
    )]
    AddressNotChosen {
        /// The network.
        network: String,
    },
    /// The wanted IPv6 address is not one a container can have.
    #[error(
        "address {address} cannot be given in network {network}: choose one in {subnet}, but not its gateway's"
    )]
    AddressOutside6 {
        /// The wanted address.
        address: Ipv6Addr,
        /// The network.
        network: String,
        /// Its IPv6 range.
        subnet: Cidr6,
    },
    /// An IPv6 address in a network without.
    #[error("network {network} has no IPv6; make it with --ipv6")]
    NoIpv6 {
        /// The network.
        network: String,
    },
    /// All candidate ranges collide with routes of the host.
    #[error(
        "no free range for network {network}: all candidates from {first} to {last} collide with routes of this host"
    )]
    NoFreeSubnet {
        /// The network.
        network: String,
        /// The first candidate.
        first: Cidr,
        /// The last.
        last: Cidr,
    },
    /// All addresses are given.
    #[error("network {network} has no free address: {held} of {capacity} in {subnet} are held")]
    AddressesUsedUp {
        /// The network.
        network: String,
        /// Its range.
        subnet: Cidr,
        /// How many are held.
        held: usize,
        /// How many there are.
        capacity: u32,
    },
    /// All pod addresses of a node are given.
    #[error(
        "pod IPs used up on node {node} ({held} of {capacity}) in {range}; delete pods there or give the node a larger range"
    )]
    PodAddressesUsedUp {
        /// The node.
        node: String,
        /// Its range.
        range: Cidr,
        /// How many are held.
        held: usize,
        /// How many there are.
        capacity: u32,
    },
    /// A node's range is too small for pods.
    #[error("node {node} has the pod range {range}, which has no room for pods; give it a /29 or larger")]
    PodRangeTooSmall {
        /// The node.
        node: String,
        /// Its range.
        range: Cidr,
    },
    /// The node's range changed while pods hold addresses of the old one.
    #[error(
        "node {node} was given the pod range {range}, but {held} pods hold addresses of {old}; drain the node first"
    )]
    PodRangeChanged {
        /// The node.
        node: String,
        /// Its new range.
        range: Cidr,
        /// The old one.
        old: Cidr,
        /// How many are held.
        held: usize,
    },
    /// A link of our name is somebody else's.
    #[error("link {name} is there already and was not made by this network; delete it or name another")]
    ForeignLink {
        /// Its name.
        name: String,
    },
    /// The node's own address cannot be told.
    #[error(
        "no address of this node is known to send to other nodes from: no default route leads to one; name the node's address"
    )]
    NoUnderlay,
    /// A pod has no network.
    #[error("sandbox {id} has no address in the pod network")]
    NotAttached {
        /// The sandbox.
        id: String,
    },
    /// A pod's link is not as it was made.
    #[error("sandbox {id}: link {link} {problem}; the sandbox must be made anew")]
    LinkBroken {
        /// The sandbox.
        id: String,
        /// The link.
        link: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The wanted address is not one a container can have.
    #[error("address {address} cannot be given in network {network}: choose one between {first} and {last}")]
    AddressOutside {
        /// The wanted address.
        address: Ipv4Addr,
        /// The network.
        network: String,
        /// The lowest that can.
        first: Ipv4Addr,
        /// The highest that can.
        last: Ipv4Addr,
    },
    /// The wanted address is held.
    #[error("address {address} is held by container {owner}; stop it or choose another --ip")]
    AddressInUse {
        /// The wanted address.
        address: IpAddr,
        /// Who holds it.
        owner: String,
    },
    /// The container is attached already.
    #[error("endpoint with name {id} already exists in network {network}: the container is connected to it")]
    AlreadyAttached {
        /// The container.
        id: String,
        /// The network.
        network: String,
    },
    /// The host port is taken.
    #[error(
        "port {}/{protocol} is already used by {owner}; stop that, or publish on another host port", SocketAddr::new(*host_ip, *port)
    )]
    PortInUse {
        /// The transport.
        protocol: Protocol,
        /// The host address.
        host_ip: IpAddr,
        /// The port.
        port: u16,
        /// Who has it.
        owner: PortOwner,
    },
    /// No host port of a range is free.
    #[error("no free host port between {first} and {last} for {protocol}; publish on another range")]
    PortsUsedUp {
        /// The transport.
        protocol: Protocol,
        /// First of the range.
        first: u16,
        /// Last of the range.
        last: u16,
    },
    /// The host address to publish on is not on this host.
    #[error("cannot publish on {address}: no link of this host has that address; see `ip address`")]
    NotOurAddress {
        /// The address.
        address: IpAddr,
    },
    /// The container has no IPv6 address to publish.
    #[error(
        "cannot publish on {address}: the container's network has no IPv6; attach it to one made with `network create --ipv6`, or publish on an IPv4 address"
    )]
    Ipv6 {
        /// The address.
        address: IpAddr,
    },
    /// IPv6's loopback address cannot be translated.
    #[error(
        "cannot publish on ::1: what is sent there never leaves the host, and nobody relays it to this network; publish on 127.0.0.1"
    )]
    Ipv6Loopback,
    /// The kernel translates no SCTP.
    #[error(
        "cannot publish an SCTP port: this kernel does not track SCTP connections (CONFIG_NF_CT_PROTO_SCTP), so it cannot lead them to a container; publish a tcp or udp port, or use --network host"
    )]
    NoSctp,
    /// A port could not be tested.
    #[error("test whether port {}/{protocol} is free", SocketAddr::new(*host_ip, *port))]
    PortTest {
        /// The transport.
        protocol: Protocol,
        /// The host address.
        host_ip: IpAddr,
        /// The port.
        port: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The container's namespace has a link of that name.
    #[error("the container's network namespace has a link {name} already")]
    LinkExists {
        /// The name.
        name: String,
    },
}

/// Who uses a host port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortOwner {
    /// Another container publishes it.
    Container {
        /// Its name.
        name: String,
        /// Its id, short.
        id: String,
    },
    /// A process of the host listens on it.
    Process {
        /// Its id.
        pid: u32,
        /// Its command name.
        command: String,
    },
    /// Some process that cannot be seen from here.
    Unknown,
}

impl std::fmt::Display for PortOwner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Container { name, id } => write!(f, "container {name} ({id})"),
            Self::Process { pid, command } => write!(f, "process {pid} ({command}) of the host"),
            Self::Unknown => f.write_str("a process of the host that cannot be identified"),
        }
    }
}

impl Error {
    pub(crate) fn cni(error: cni::Error) -> Self {
        Self::Cni(Box::new(error))
    }
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::File { source, .. } | Self::Sysctl { source, .. } | Self::PortTest { source, .. } => {
                ErrorClass::of_io(source)
            }
            Self::Kernel { source, .. } => source.class(),
            Self::Cni(error) => error.class(),
            Self::Corrupt { .. } => ErrorClass::Corrupt,
            Self::NoSuchNetwork { .. }
            | Self::NotAttached { .. }
            | Self::NoDriver { .. }
            | Self::ParentMissing { .. } => ErrorClass::NotFound,
            Self::NetworkExists { .. } => ErrorClass::AlreadyExists,
            Self::InvalidNetworkName { .. }
            | Self::AmbiguousNetwork { .. }
            | Self::InvalidIpam { .. }
            | Self::InvalidNetworkOption { .. }
            | Self::NoParent { .. }
            | Self::NoConfig { .. }
            | Self::AddressNotChosen { .. }
            | Self::AddressOutside6 { .. }
            | Self::NoIpv6 { .. }
            | Self::AddressOutside { .. }
            | Self::NotOurAddress { .. }
            | Self::PodRangeTooSmall { .. }
            | Self::NoUnderlay => ErrorClass::Invalid,
            Self::NoFreeSubnet { .. }
            | Self::AddressesUsedUp { .. }
            | Self::PodAddressesUsedUp { .. }
            | Self::PortsUsedUp { .. } => ErrorClass::ResourceExhausted,
            Self::AddressInUse { .. }
            | Self::AlreadyAttached { .. }
            | Self::PredefinedName { .. }
            | Self::Predefined { .. }
            | Self::NetworkInUse { .. }
            | Self::ParentInUse { .. }
            | Self::Configured { .. }
            | Self::WishNotGranted { .. }
            | Self::PoolOverlaps { .. }
            | Self::NotConnected { .. }
            | Self::LinkExists { .. }
            | Self::LinkBroken { .. }
            | Self::ForeignLink { .. }
            | Self::PodRangeChanged { .. } => ErrorClass::Conflict,
            Self::PortInUse { .. } => ErrorClass::AlreadyExists,
            Self::Ipv6 { .. }
            | Self::Ipv6Loopback
            | Self::NoSctp
            | Self::NoIpvlan { .. }
            | Self::NoVlan { .. } => ErrorClass::Unsupported,
        }
    }
}
