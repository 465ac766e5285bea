//! A small internet: the test's own namespace is the host, "outside" is a neighbour on a
//! wire, and every container is a namespace of its own.

use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;

use attach::{Attachment, Networks, PortMapping, Request};
use base::ContainerId;
use testkit::TempDir;
pub(crate) use testkit::{Netns, ask, ask_udp, sh};

/// The host's address on the wire.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The neighbour's.
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// The host, its neighbour, and the networks under test.
pub(crate) struct World {
    pub(crate) outside: Netns,
    pub(crate) networks: Networks,
    pub(crate) dir: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let outside = Netns::new();
        let dir = TempDir::new();
        let networks = Networks::open(&dir.join("data"), &dir.join("state")).expect("open");
        let world = Self { outside, networks, dir };
        sh(
            "ip link add wire0 type veth peer name wire1 && ip addr add 192.0.2.1/24 dev wire0 && ip link set wire0 up",
        );
        sh(&format!("ip link set wire1 netns {}", world.outside.path()));
        world.outside.sh("ip link set lo up && ip addr add 192.0.2.2/24 dev wire1 && ip link set wire1 up");
        world
    }

    /// A container's namespace, attached with these ports.
    pub(crate) fn container(&self, id: &str, ports: &[&str]) -> (Netns, Attachment) {
        let netns = Netns::new();
        let attachment = self.attach(&netns, id, ports).expect("attach");
        (netns, attachment)
    }

    pub(crate) fn attach(
        &self,
        netns: &Netns,
        id: &str,
        ports: &[&str],
    ) -> Result<Attachment, attach::Error> {
        self.networks.attach(&request(id, ports), netns.file.as_fd())
    }

    pub(crate) fn detach(&self, id: &str) {
        self.networks.detach(&ContainerId::parse(id).expect("id")).expect("detach");
    }
}

pub(crate) fn request(id: &str, ports: &[&str]) -> Request {
    let mut request = Request::new(ContainerId::parse(id).expect("id"), format!("name-{id}"));
    request.ports = ports.iter().flat_map(|raw| PortMapping::parse(raw).expect("mapping")).collect();
    request
}
