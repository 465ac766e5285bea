//! What can go wrong when a container is attached.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use base::{Classified, ErrorClass};

use crate::cidr::Cidr;
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
    #[error("network {name} does not exist; the default one is `bridge`")]
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
    #[error("link {name} is there already and was not made by this pod network; delete it or name another")]
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
        address: Ipv4Addr,
        /// Who holds it.
        owner: String,
    },
    /// The container is attached already.
    #[error("container {id} is attached to network {network} already; detach it first")]
    AlreadyAttached {
        /// The container.
        id: String,
        /// The network.
        network: String,
    },
    /// The host port is taken.
    #[error(
        "port {host_ip}:{port}/{protocol} is already used by {owner}; stop that, or publish on another host port"
    )]
    PortInUse {
        /// The transport.
        protocol: Protocol,
        /// The host address.
        host_ip: Ipv4Addr,
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
        address: Ipv4Addr,
    },
    /// IPv6 is not published.
    #[error("cannot publish on {address}: networks have IPv4 only; publish on an IPv4 address")]
    Ipv6 {
        /// The address.
        address: IpAddr,
    },
    /// A port could not be tested.
    #[error("test whether port {host_ip}:{port}/{protocol} is free")]
    PortTest {
        /// The transport.
        protocol: Protocol,
        /// The host address.
        host_ip: Ipv4Addr,
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

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::File { source, .. } | Self::Sysctl { source, .. } | Self::PortTest { source, .. } => {
                ErrorClass::of_io(source)
            }
            Self::Kernel { source, .. } => source.class(),
            Self::Corrupt { .. } => ErrorClass::Corrupt,
            Self::NoSuchNetwork { .. } | Self::NotAttached { .. } => ErrorClass::NotFound,
            Self::InvalidNetworkName { .. }
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
            | Self::LinkExists { .. }
            | Self::LinkBroken { .. }
            | Self::ForeignLink { .. }
            | Self::PodRangeChanged { .. } => ErrorClass::Conflict,
            Self::PortInUse { .. } => ErrorClass::AlreadyExists,
            Self::Ipv6 { .. } => ErrorClass::Unsupported,
        }
    }
}
