//! NW-10, what the overlay costs: one TCP stream between pods of two nodes, over VXLAN and over
//! direct routes, in Gbit/s and in CPU seconds per gigabyte. A B A B, so that the machine's moods
//! meet both.
//!
//! Needs root: nodes and pods are network namespaces of its own. `cargo bench -p attach`.

#![allow(clippy::print_stdout)]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attach::{Mode, NodeRoute, PodNetwork, PodNetworkConfig, PodRequest};
use base::ContainerId;
use testkit::{Netns, TempDir};

const SPAN: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;
const BLOCK: usize = 256 * 1024;

struct Pair {
    _nodes: Vec<(Netns, Arc<PodNetwork>)>,
    pods: Vec<(Netns, Ipv4Addr)>,
    _dir: TempDir,
}

fn pair(mode: Mode) -> Pair {
    let (dir, mut nodes) = (TempDir::new(), Vec::new());
    let first = Netns::new();
    let second = Netns::new();
    first.sh(&format!("ip link add under0 type veth peer name under0 netns {}", second.path()));
    for (index, netns) in [first, second].into_iter().enumerate() {
        netns.sh(&format!(
            "ip link set lo up; ip addr add 192.0.2.{}/24 dev under0; ip link set under0 up",
            10 + index
        ));
        let ranges =
            (format!("10.42.{index}.0/24").parse().expect("range"), "10.42.0.0/16".parse().expect("range"));
        let mut config =
            PodNetworkConfig::new(dir.join(format!("node-{index}")), format!("node-{index}"), ranges);
        config.mode = mode;
        config.underlay = Some(Ipv4Addr::new(192, 0, 2, u8::try_from(10 + index).expect("small")));
        let network = netns.run(move || Arc::new(PodNetwork::open(config).expect("open")));
        nodes.push((netns, network));
    }
    let routes: Vec<NodeRoute> = nodes
        .iter()
        .map(|(_, network)| NodeRoute {
            name: network.config().node.clone(),
            address: network.underlay().expect("an address"),
            range: network.config().range,
            tunnel_mac: None,
        })
        .collect();
    let mut pods = Vec::new();
    for (netns, network) in &nodes {
        let (own, routes) = (Arc::clone(network), routes.clone());
        let pod = Netns::new();
        let file = pod.file.try_clone().expect("clone");
        let added = netns.run(move || {
            own.nodes(&routes).expect("routes");
            let request = PodRequest {
                id: ContainerId::parse("pod").expect("id"),
                name: "pod".to_owned(),
                ports: Vec::new(),
            };
            own.add(&request, file.as_fd()).expect("add")
        });
        let IpAddr::V4(address) = added.addresses[0] else { continue };
        pods.push((pod, address));
    }
    Pair { _nodes: nodes, pods, _dir: dir }
}

/// This process's time on processors, in seconds: both ends, and the kernel on their behalf, which
/// is nearly all that a virtual wire does.
fn busy() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("stat");
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    // User and system time, in ticks of 10 ms.
    fields.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum::<f64>()
        / 100.0
}

/// Gbit/s, and CPU seconds per gigabyte.
fn stream(pair: &Pair) -> (f64, f64) {
    let ((sender, _), (receiver, to)) = (&pair.pods[0], &pair.pods[1]);
    let listener = receiver.run(|| TcpListener::bind(("0.0.0.0", 5201)).expect("bind"));
    let received = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let (mut block, mut bytes) = (vec![0; BLOCK], 0u64);
        while let Ok(length @ 1..) = stream.read(&mut block) {
            bytes += length as u64;
        }
        bytes
    });
    let to = *to;
    let (before, start) = (busy(), Instant::now());
    sender.run(move || {
        let mut stream = TcpStream::connect((to, 5201)).expect("connect");
        let (block, start) = (vec![0; BLOCK], Instant::now());
        while start.elapsed() < SPAN {
            stream.write_all(&block).expect("write");
        }
    });
    let bytes = received.join().expect("no panic") as f64;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), busy() - before);
    (bytes * 8.0 / seconds / 1e9, cpu / (bytes / 1e9))
}

fn main() {
    let pairs = [("overlay (VXLAN)", pair(Mode::VXLAN)), ("direct routes", pair(Mode::Direct))];
    let mut seen = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for ((_, pair), seen) in pairs.iter().zip(&mut seen) {
            seen.push(stream(pair));
        }
    }
    for ((name, _), seen) in pairs.iter().zip(&mut seen) {
        seen.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (rate, cost) = seen[seen.len() / 2];
        println!(
            "{name:<18} {rate:>6.2} Gbit/s  {cost:>6.3} CPU s/GB  (median of {ROUNDS}, one TCP stream, both ends on this machine)"
        );
    }
}
