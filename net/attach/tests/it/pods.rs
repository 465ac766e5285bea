//! The pod network: nodes are namespaces on one wire, and so is every pod.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use attach::{
    Mode, NodeRoute, POD_FAILPOINTS, PodAttachment, PodNetwork, PodNetworkConfig, PodRequest, Protocol,
    PublishedPort,
};
use base::ContainerId;
use testkit::{TempDir, isolated, wait_until};

use crate::world::{Netns, sh};

const CHILD: &str = "STRAKE_PODS_CHILD";
const CLUSTER: &str = "10.42.0.0/16";

fn id(text: &str) -> ContainerId {
    ContainerId::parse(text).expect("id")
}

fn config(state: PathBuf, node: &str, range: &str, mode: Mode) -> PodNetworkConfig {
    let ranges = (range.parse().expect("range"), CLUSTER.parse().expect("range"));
    PodNetworkConfig { mode, ..PodNetworkConfig::new(state, node, ranges) }
}

fn request(name: &str, ports: &[(u16, u16)]) -> PodRequest {
    let port = |(host_port, container_port): &(u16, u16)| {
        PublishedPort::new(Protocol::Tcp, Ipv4Addr::UNSPECIFIED.into(), *host_port, *container_port)
    };
    PodRequest { id: id(name), name: format!("default/{name}"), ports: ports.iter().map(port).collect() }
}

fn v4(attachment: &PodAttachment) -> Ipv4Addr {
    match attachment.addresses[0] {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

/// A node in a namespace of its own, with 192.0.2.(10 + n) on the wire.
pub(crate) struct Node {
    pub(crate) netns: Netns,
    network: Arc<PodNetwork>,
    pub(crate) address: Ipv4Addr,
    range: String,
    name: String,
}

impl Node {
    fn new(index: u8, dir: &Path, mode: Mode) -> Self {
        let netns = Netns::new();
        let address = Ipv4Addr::new(192, 0, 2, 10 + index);
        sh(&format!(
            "ip link add w{index} type veth peer name under0 netns {}; ip link set w{index} master wire up",
            netns.path()
        ));
        netns.sh(&format!(
            "ip link set lo up; ip addr add {address}/24 dev under0; ip link set under0 up; ip route add default via 192.0.2.1"
        ));
        let (name, range) = (format!("node-{index}"), format!("10.42.{index}.0/24"));
        let config = config(dir.join(&name), &name, &range, mode);
        let network = netns.run(move || PodNetwork::open(config).map_err(chain)).expect("open");
        Self { netns, network: Arc::new(network), address, range, name }
    }

    pub(crate) fn add(&self, name: &str, ports: &[(u16, u16)]) -> (Netns, Ipv4Addr) {
        let (netns, request) = (Netns::new(), request(name, ports));
        let (network, file) = (Arc::clone(&self.network), netns.file.try_clone().expect("clone"));
        let added = self.netns.run(move || network.add(&request, file.as_fd()).map_err(chain)).expect("add");
        (netns, v4(&added))
    }

    fn route(&self) -> NodeRoute {
        NodeRoute {
            name: self.name.clone(),
            address: self.address,
            range: self.range.parse().expect("range"),
            tunnel_mac: self.network.tunnel_mac(),
        }
    }

    fn know(&self, routes: &[NodeRoute]) -> Vec<String> {
        let (network, routes) = (Arc::clone(&self.network), routes.to_vec());
        self.netns.run(move || network.nodes(&routes).map_err(chain)).expect("routes")
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn chain(error: attach::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

/// A wire with the outside at 192.0.2.1, and `count` nodes that know each other.
pub(crate) fn nodes(count: u8, dir: &Path, mode: Mode) -> Vec<Node> {
    sh(
        "ip link set lo up; ip link add wire type bridge; ip addr add 192.0.2.1/24 dev wire; ip link set wire up",
    );
    let nodes: Vec<Node> = (0..count).map(|index| Node::new(index, dir, mode)).collect();
    let routes: Vec<NodeRoute> = nodes.iter().map(Node::route).collect();
    for node in &nodes {
        assert_eq!(node.know(&routes), Vec::<String>::new());
    }
    nodes
}

fn pods_see_each_other(mode: Mode, mtu: u32) {
    isolated(move || {
        let dir = TempDir::new();
        let nodes = nodes(2, dir.path(), mode);
        let (one, one_at) = nodes[0].add("one", &[]);
        let (two, two_at) = nodes[0].add("two", &[]);
        let (three, three_at) = nodes[1].add("three", &[]);
        for (pod, name) in [(&one, "one"), (&two, "two"), (&three, "three")] {
            pod.serve_tcp(80, name);
        }
        for (from, from_at) in [(&one, one_at), (&two, two_at), (&three, three_at)] {
            for (name, to) in [("one", one_at), ("two", two_at), ("three", three_at)] {
                assert_eq!(from.ask((to, 80)), Ok(format!("{name} {from_at}")), "{from_at} to {to}");
            }
        }
        // A node reaches pods everywhere, and no pod is told of a shorter way.
        assert!(nodes[0].netns.ask((three_at, 80)).expect("answer").starts_with("three"));
        assert!(nodes[0].netns.ask((one_at, 80)).expect("answer").starts_with("one"));
        assert!(!one.sh("ip route show cache").contains("redirect"));
        assert!(one.sh("ip link show eth0").contains(&format!("mtu {mtu}")));
        // Outside the cluster, a pod is its node.
        let listener = std::net::TcpListener::bind("192.0.2.1:7").expect("bind");
        let outside = std::thread::spawn(move || {
            let (_, from) = listener.accept().expect("a connection");
            from.ip()
        });
        drop(one.ask((Ipv4Addr::new(192, 0, 2, 1), 7)));
        assert_eq!(outside.join().expect("no panic"), IpAddr::from(nodes[0].address));
        // A node that leaves is forgotten.
        nodes[0].know(&[nodes[0].route()]);
        assert!(one.ask((three_at, 80)).is_err());
        assert!(!nodes[0].netns.sh("ip route").contains("10.42.1.0"));
    });
}

#[test]
fn nw_07_pods_see_each_others_addresses_over_vxlan() {
    pods_see_each_other(Mode::VXLAN, 1450);
}

#[test]
fn nw_07_pods_see_each_others_addresses_over_direct_routes() {
    pods_see_each_other(Mode::Direct, 1500);
}

/// The inner addresses of a VXLAN frame with this number, and the outer ones.
fn inside(frame: &[u8], vni: u32) -> Option<[Ipv4Addr; 4]> {
    let ip = |at: usize| -> Option<Ipv4Addr> {
        let octets: [u8; 4] = frame.get(at..at + 4)?.try_into().ok()?;
        Some(octets.into())
    };
    let outer = frame.get(12..14)? == [8, 0] && *frame.get(23)? == 17;
    let to_port = frame.get(36..38)? == 8472u16.to_be_bytes();
    let number = frame.get(46..49)? == &vni.to_be_bytes()[1..];
    let inner = frame.get(62..64)? == [8, 0];
    (outer && to_port && number && inner).then_some([ip(26)?, ip(30)?, ip(76)?, ip(80)?])
}

#[test]
fn nw_08_between_nodes_packets_are_in_vxlan() {
    isolated(|| {
        let dir = TempDir::new();
        let nodes = nodes(2, dir.path(), Mode::VXLAN);
        let (one, one_at) = nodes[0].add("one", &[]);
        let (two, two_at) = nodes[1].add("two", &[]);
        two.serve_tcp(80, "two");
        // All that comes to the wire, which is the underlay.
        let everything = std::num::NonZeroU32::new(u32::from(3u16.to_be())).expect("not zero");
        let capture = rustix::net::socket_with(
            rustix::net::AddressFamily::PACKET,
            rustix::net::SocketType::RAW,
            rustix::net::SocketFlags::NONBLOCK,
            Some(rustix::net::Protocol::from_raw(everything)),
        )
        .expect("capture");
        assert_eq!(one.ask((two_at, 80)), Ok(format!("two {one_at}")));
        let wanted = [nodes[0].address, nodes[1].address, one_at, two_at];
        let mut seen = BTreeSet::new();
        let mut bare = 0;
        let found = wait_until(Duration::from_secs(10), || {
            let mut frame = vec![0u8; 65536];
            while let Ok((length, _)) =
                rustix::net::recv(&capture, frame.as_mut_slice(), rustix::net::RecvFlags::empty())
            {
                let frame = &frame[..length];
                seen.extend(inside(frame, 1));
                let pod_on_the_wire = frame.get(26..28) == Some(&[10, 42]);
                bare += usize::from(frame.get(12..14) == Some(&[8, 0]) && pod_on_the_wire);
            }
            seen.contains(&wanted)
        });
        assert!(found, "{seen:?}");
        assert_eq!(bare, 0, "no pod's packet is on the underlay as it is");
    });
}

#[test]
fn nw_16_the_fifteenth_pod_of_a_slash_28_is_told_why() {
    isolated(|| {
        let dir = TempDir::new();
        let network =
            PodNetwork::open(config(dir.join("state"), "X", "10.42.7.0/28", Mode::Bridge)).expect("open");
        let mut pods = Vec::new();
        for number in 1..=14 {
            let netns = Netns::new();
            let added =
                network.add(&request(&format!("pod{number}"), &[]), netns.file.as_fd()).expect("room");
            pods.push((netns, v4(&added)));
        }
        let netns = Netns::new();
        let error = network.add(&request("pod15", &[]), netns.file.as_fd()).expect_err("full");
        assert!(error.to_string().starts_with("pod IPs used up on node X (14 of 14)"), "{error}");
        // The last address of the range is one like others.
        let last = pods.iter().find(|(_, at)| *at == Ipv4Addr::new(10, 42, 7, 15)).expect("given");
        last.0.serve_tcp(80, "last");
        assert!(pods[0].0.ask((last.1, 80)).is_ok());
        network.remove(&id("pod3")).expect("remove");
        let added = network.add(&request("pod15", &[]), netns.file.as_fd()).expect("room again");
        assert_eq!(v4(&added), pods[2].1);
        assert_eq!(network.usage().expect("usage"), (14, 14));
    });
}

#[test]
fn host_ports_lead_to_their_pod() {
    isolated(|| {
        let dir = TempDir::new();
        let nodes = nodes(2, dir.path(), Mode::VXLAN);
        let (one, one_at) = nodes[0].add("one", &[(8080, 80)]);
        let (two, two_at) = nodes[0].add("two", &[]);
        let (three, three_at) = nodes[1].add("three", &[]);
        one.serve_tcp(80, "one");
        let node = (nodes[0].address, 8080);
        let outside = crate::world::ask(node.into()).expect("from outside");
        assert_eq!(outside, "one 192.0.2.1");
        assert!(nodes[0].netns.ask((Ipv4Addr::LOCALHOST, 8080)).is_ok(), "from the node by 127.0.0.1");
        for (pod, at) in [(&one, one_at), (&two, two_at), (&three, three_at)] {
            assert!(pod.ask(node).is_ok(), "from pod {at}");
        }
        let (again, taken) = (Netns::new(), request("again", &[(8080, 81)]));
        let (network, file) = (Arc::clone(&nodes[0].network), again.file.try_clone().expect("clone"));
        let error =
            nodes[0].netns.run(move || network.add(&taken, file.as_fd()).map_err(chain)).expect_err("taken");
        assert!(error.contains("already used by container default/one"), "{error}");
        let network = Arc::clone(&nodes[0].network);
        nodes[0].netns.run(move || network.remove(&id("one"))).expect("remove");
        assert!(crate::world::ask(node.into()).is_err());
    });
}

#[test]
fn containers_and_pods_are_beside_each_other() {
    isolated(|| {
        // The host does not forward; whoever comes first turns it on, for its own packets.
        for pods_first in [true, false] {
            let (outside, dir) = (Netns::new(), TempDir::new());
            let host = Netns::new();
            sh("ip link add wire0 type veth peer name wire1");
            sh(&format!(
                "ip link set wire0 netns {}; ip link set wire1 netns {}",
                host.path(),
                outside.path()
            ));
            outside.sh("ip link set lo up; ip addr add 192.0.2.1/24 dev wire1; ip link set wire1 up");
            host.sh("ip link set lo up; ip addr add 192.0.2.10/24 dev wire0; ip link set wire0 up; ip route add default via 192.0.2.1; sysctl -qw net.ipv4.ip_forward=0");
            outside.serve_tcp(80, "outside");
            let (pod, container) = (Netns::new(), Netns::new());
            let files = (pod.file.try_clone().expect("clone"), container.file.try_clone().expect("clone"));
            let (state, data) = (dir.join("pods"), (dir.join("data"), dir.join("state")));
            let kept = host.run(move || {
                let pods = || {
                    let pods = PodNetwork::open(config(state.clone(), "n", "10.42.0.0/24", Mode::Bridge))
                        .expect("open");
                    pods.add(&request("pod", &[]), files.0.as_fd()).map_err(chain).expect("add");
                    pods
                };
                let containers = || {
                    let networks = attach::Networks::open(&data.0, &data.1).expect("open");
                    let request = crate::world::request("container", &[]);
                    networks.attach(&request, files.1.as_fd()).map_err(chain).expect("attach");
                    networks
                };
                if pods_first {
                    (pods(), containers())
                } else {
                    let containers = containers();
                    (pods(), containers)
                }
            });
            for (netns, who) in [(&pod, "pod"), (&container, "container")] {
                let said = netns.ask((Ipv4Addr::new(192, 0, 2, 1), 80));
                assert_eq!(said, Ok("outside 192.0.2.10".to_owned()), "{who}, pods first: {pods_first}");
            }
            // Others' packets are still not passed on.
            outside.sh("ip route add 198.51.100.0/24 via 192.0.2.10");
            assert!(outside.ask((Ipv4Addr::new(198, 51, 100, 1), 80)).is_err());
            drop(kept);
        }
    });
}

#[test]
fn a_restart_takes_over_and_mends() {
    isolated(|| {
        let dir = TempDir::new();
        let nodes = nodes(2, dir.path(), Mode::VXLAN);
        let (one, one_at) = nodes[0].add("one", &[(8080, 80)]);
        let (_dead, dead_at) = nodes[0].add("dead", &[]);
        let (two, two_at) = nodes[1].add("two", &[]);
        one.serve_tcp(80, "one");
        two.serve_tcp(80, "two");
        let state = dir.join("node-0");
        nodes[0].netns.sh("nft flush ruleset");
        let (links, recovered) = nodes[0].netns.run(move || {
            let before = sh("ip -o link");
            let network =
                PodNetwork::open(config(state, "node-0", "10.42.0.0/24", Mode::VXLAN)).expect("open");
            assert_eq!(before, sh("ip -o link"), "nothing is made anew");
            let recovered = network.recover(|id| id.as_str() == "one").expect("recover");
            assert!(network.check(&id("one")).is_ok());
            assert!(network.check(&id("dead")).is_err());
            (sh("ip -o link show master strake-pods"), recovered)
        });
        assert_eq!(recovered.released, [id("dead")]);
        assert_eq!(links.lines().count(), 1, "{links}");
        assert_eq!(one.ask((two_at, 80)), Ok(format!("two {one_at}")));
        assert_eq!(crate::world::ask((nodes[0].address, 8080).into()), Ok("one 192.0.2.1".to_owned()));
        assert!(!nodes[0].netns.sh("ip neigh show dev strake-pods").contains(&dead_at.to_string()));
        let network = Arc::clone(&nodes[0].network);
        let gone = nodes[0].netns.run(move || {
            network.remove(&id("one")).expect("remove");
            network.remove(&id("one")).expect("idempotent");
            assert!(network.remove_idle().expect("remove"));
            (sh("ip -o link"), sh("nft list ruleset"), sh("ip route"))
        });
        assert!(
            !gone.0.contains("strake") && !gone.1.contains("strake") && !gone.2.contains("10.42"),
            "{gone:?}"
        );
    });
}

fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort();
}

/// In the child: one operation, killed at a failpoint.
fn child(plan: &str) {
    let mut words = plan.split(' ');
    let mut word = || words.next().expect("a plan");
    let (point, name, range, state, netns) = (word(), word(), word(), word(), word());
    let network = PodNetwork::open(config(state.into(), "n", range, Mode::Bridge)).expect("open");
    base::failpoint::arm(point, 0, die);
    if point.starts_with("pod.") {
        let netns = std::fs::File::open(netns).expect("namespace");
        let _ = network.add(&request(name, &[(8099, 80)]), netns.as_fd());
    } else {
        network.remove(&id(name)).expect("remove");
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "tests stand on the roof")]
fn the_child_of_a_pod_crash() {
    if let Ok(plan) = std::env::var(CHILD) {
        child(&plan);
    }
}

fn killed(point: &str, name: &str, (range, state): (&str, &Path), netns: &Netns) {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::process::ExitStatusExt as _;
    let netns = format!("/proc/{}/fd/{}", std::process::id(), netns.file.as_raw_fd());
    let plan = format!("{point} {name} {range} {} {netns}", state.display());
    let exe = std::env::current_exe().expect("this test");
    let output = Command::new(exe)
        .args(["pods::the_child_of_a_pod_crash", "--exact", "--nocapture"])
        .env(CHILD, plan)
        .output()
        .expect("run");
    assert_eq!(output.status.signal(), Some(9), "not killed at {point}: {output:?}");
}

#[test]
fn nw_06_a_thousand_pods_and_crashes_never_share_an_address() {
    isolated(|| {
        const RANGE: &str = "10.42.0.0/21";
        let dir = TempDir::new();
        let state = dir.join("state");
        let network = PodNetwork::open(config(state.clone(), "n", RANGE, Mode::Bridge)).expect("open");
        let mut live: BTreeMap<String, (Netns, Ipv4Addr)> = BTreeMap::new();
        let mut given = BTreeSet::new();
        for round in 0..1000 {
            let name = format!("pod{round}");
            if round % 50 == 49 {
                let point = POD_FAILPOINTS[(round / 50) % POD_FAILPOINTS.len()];
                let victim = if point.starts_with("pod.") {
                    name.clone()
                } else {
                    live.keys().next().expect("some").clone()
                };
                killed(point, &victim, (RANGE, &state), &Netns::new());
                live.remove(&victim);
                if round % 100 == 99 {
                    network.recover(|id| live.contains_key(id.as_str())).expect("recover");
                } else {
                    network.remove(&id(&victim)).expect("remove");
                }
                continue;
            }
            let netns = Netns::new();
            let address =
                v4(&network.add(&request(&name, &[]), netns.file.as_fd()).map_err(chain).expect("add"));
            assert!(given.insert(address), "{address} was given before, in round {round}");
            live.insert(name, (netns, address));
            if live.len() > 20 {
                let victim = live.keys().nth(round % live.len()).expect("some").clone();
                network.remove(&id(&victim)).expect("remove");
                live.remove(&victim);
            }
        }
        assert_eq!(given.len(), 980);
        network.recover(|id| live.contains_key(id.as_str())).expect("recover");
        assert_eq!(network.usage().expect("usage").0, live.len());
        let links = sh("ip -o link show master strake-pods");
        assert_eq!(links.lines().count(), live.len(), "{links}");
        let (first, second) = (live.values().next().expect("some"), live.values().last().expect("some"));
        second.0.serve_tcp(80, "second");
        assert_eq!(first.0.ask((second.1, 80)), Ok(format!("second {}", first.1)));
    });
}
