//! Nodes with a pod network and a proxy each, on one wire with the outside.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attach::{NodeRoute, PodNetwork, PodNetworkConfig, PodRequest};
use base::ContainerId;
use kube_object::resource::GroupResource;
use proxy_rules::{Facts, Range};
use serde_json::{Value, json};
use service_proxy::{Config, ServiceProxy, Status};
use testkit::{Netns, TempDir, sh, wait_until};
use tokio::sync::watch;

use crate::mirror::Fake;

/// How long a change may take to be seen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running proxy; it ends when this is dropped, and its table stays.
pub(crate) struct Running {
    pub(crate) proxy: ServiceProxy,
    stop: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    /// Starts a proxy in the caller's namespace.
    pub(crate) fn start(config: Config) -> Self {
        let (stop, stopped) = watch::channel(false);
        let proxy = ServiceProxy::new(config);
        let own = proxy.clone();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(own.run(stopped)).expect("the proxy runs");
        });
        Self { proxy, stop, thread: Some(thread) }
    }

    /// Waits until its state is so.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, is: impl Fn(&Status) -> bool) {
        let seen = wait_until(PATIENCE, || is(&self.proxy.status()));
        assert!(seen, "{what}: {:?}", self.proxy.status());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the proxy panicked");
        }
    }
}

/// A node.
pub(crate) struct Node {
    pub(crate) netns: Netns,
    pub(crate) network: Arc<PodNetwork>,
    pub(crate) address: Ipv4Addr,
    pub(crate) name: String,
    pub(crate) running: Option<Running>,
}

impl Node {
    fn new(index: u8, dir: &Path) -> Self {
        let netns = Netns::new();
        let (name, address) = (format!("node-{index}"), Ipv4Addr::new(192, 0, 2, 10 + index));
        sh(&format!(
            "ip link add w{index} type veth peer name under0 netns {}; ip link set w{index} master wire up",
            netns.path()
        ));
        netns.sh(&format!(
            "ip link set lo up; ip addr add {address}/24 dev under0; ip link set under0 up; ip route add default via 192.0.2.1"
        ));
        let ranges =
            (format!("10.42.{index}.0/24").parse().expect("range"), "10.42.0.0/16".parse().expect("range"));
        let config = PodNetworkConfig::new(dir.join(&name), &name, ranges);
        let network = netns.run(move || PodNetwork::open(config).expect("open"));
        Self { netns, network: Arc::new(network), address, name, running: None }
    }

    /// A pod on this node.
    pub(crate) fn pod(&self, name: &str) -> Pod {
        let netns = Netns::new();
        let id = ContainerId::parse(&format!("{}-{name}", self.name)).expect("id");
        let request = PodRequest { id, name: name.to_owned(), ports: Vec::new() };
        let (network, file) = (Arc::clone(&self.network), netns.file.try_clone().expect("clone"));
        let added = self.netns.run(move || network.add(&request, file.as_fd()).expect("add"));
        let IpAddr::V4(address) = added.addresses[0] else { return self.pod(name) };
        Pod { netns, address, node: self.name.clone() }
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().expect("started")
    }
}

/// A pod.
pub(crate) struct Pod {
    pub(crate) netns: Netns,
    pub(crate) address: Ipv4Addr,
    node: String,
}

impl Pod {
    /// It as an endpoint that takes traffic.
    pub(crate) fn endpoint(&self) -> Value {
        json!({"addresses": [self.address.to_string()], "nodeName": self.node,
            "conditions": {"ready": true, "serving": true, "terminating": false}})
    }

    /// It as an endpoint that is being ended.
    pub(crate) fn ending(&self) -> Value {
        json!({"addresses": [self.address.to_string()], "nodeName": self.node,
            "conditions": {"ready": false, "serving": true, "terminating": true}})
    }
}

/// A cluster, seen from outside: the test's own namespace is 192.0.2.1 on the wire.
pub(crate) struct World {
    pub(crate) mirror: Arc<Fake>,
    pub(crate) nodes: Vec<Node>,
    _dir: TempDir,
}

pub(crate) fn facts(node: &str) -> Facts {
    Facts {
        node: node.to_owned(),
        cluster: Range::parse("10.42.0.0/16").into_iter().collect(),
        services: Range::parse("10.43.0.0/16").into_iter().collect(),
        ..Facts::default()
    }
}

impl World {
    pub(crate) fn new(count: u8) -> Self {
        sh(
            "ip link set lo up; ip link add wire type bridge; ip addr add 192.0.2.1/24 dev wire; ip link set wire up",
        );
        let (mirror, dir) = (Arc::new(Fake::default()), TempDir::new());
        let nodes: Vec<Node> = (0..count).map(|index| Node::new(index, dir.path())).collect();
        let mut world = Self { mirror, nodes, _dir: dir };
        let routes: Vec<NodeRoute> = world.nodes.iter().map(route).collect();
        for node in &world.nodes {
            let (network, routes) = (Arc::clone(&node.network), routes.clone());
            node.netns.run(move || network.nodes(&routes).expect("routes"));
            let object = json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": node.name},
                "status": {"addresses": [{"type": "InternalIP", "address": node.address.to_string()}]}});
            world.mirror.put(&GroupResource::new("", "nodes"), &object);
        }
        for index in 0..world.nodes.len() {
            world.start(index);
        }
        world
    }

    /// Starts a node's proxy.
    pub(crate) fn start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let config = Config::new(Arc::<Fake>::clone(&self.mirror), facts(&node.name));
        let running = node.netns.run(move || Running::start(config));
        running.until("synced", |status| status.synced);
        node.running = Some(running);
    }

    /// Waits until every proxy has committed what changed: each knows so many services, and
    /// `seen` holds.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, seen: impl Fn() -> bool) {
        let there = wait_until(PATIENCE, seen);
        let states: Vec<_> = self.nodes.iter().map(|node| node.running().proxy.status()).collect();
        assert!(there, "{what}: {states:?}");
    }

    /// Puts a service and its endpoints, and waits until all proxies have them.
    pub(crate) fn serve(&self, name: &str, spec: Value, status: Value, endpoints: &[Value]) {
        let protocol = spec["ports"][0]["protocol"].as_str().unwrap_or("TCP").to_owned();
        let before: Vec<_> = self.nodes.iter().map(|node| node.running().proxy.status().changes).collect();
        self.mirror.slice(name, &protocol, endpoints);
        self.mirror.service(name, spec, status);
        self.until("committed", || {
            let states = self.nodes.iter().map(|node| node.running().proxy.status());
            states.zip(&before).all(|(status, before)| status.synced && status.changes >= *before + 2)
        });
    }
}

fn route(node: &Node) -> NodeRoute {
    NodeRoute {
        name: node.name.clone(),
        address: node.address,
        range: node.network.config().range,
        tunnel_mac: node.network.tunnel_mac(),
    }
}
