//! A packet walks through the chains: the rules against what the specification says.
//!
//! [`Kernel`](kernel::Kernel) runs the very expressions that are sent to the kernel over the very elements.
//! [`expected`] says what Kubernetes promises, straight from services and endpoints.

mod kernel;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::elements::{Key, Map, Value};
use crate::facts::{Facts, Range};
use crate::plan::Endpoint;
use crate::program::MASQUERADE_MARK;
use crate::ruleset::{Input, Ruleset};
use crate::service::{Protocol, Service, ServiceName};
use crate::slice::Slice;

use kernel::{Fate, Kernel, Packet};

/// Where a packet may go by the specification, and whether masqueraded.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Promise {
    OneOf(BTreeSet<Endpoint>, bool),
    Reject,
    Drop,
    Pass,
}

/// An endpoint of the world: what its slice says.
#[derive(Clone, Debug)]
struct Pod {
    address: Ipv4Addr,
    here: bool,
    ready: bool,
    serving_terminating: bool,
}

/// What Kubernetes promises for a packet to a service's frontend.
fn expected(world: &World, packet: &Packet) -> Promise {
    let from_pod = world.facts.cluster.iter().any(|range| range.contains(packet.source));
    let own = world.facts.addresses.contains(&packet.source);
    for (name, service) in &world.services {
        let pods = &world.pods[name];
        for port in &service.ports {
            if port.protocol != packet.protocol {
                continue;
            }
            let at_port = packet.port == port.port;
            let internal = at_port && packet.destination == service.cluster_ip;
            let outer_ips = service.balancer_ips.iter().chain(&service.external_ips);
            let at_outer = at_port && outer_ips.clone().any(|ip| *ip == packet.destination);
            let at_node =
                world.facts.addresses.contains(&packet.destination) && port.node_port == Some(packet.port);
            if !internal && !at_outer && !at_node {
                continue;
            }
            let balanced = at_port && service.balancer_ips.contains(&packet.destination);
            if let Some(ranges) = service.source_ranges.as_ref().filter(|_| balanced)
                && !ranges.iter().any(|range| range.contains(packet.source))
            {
                return Promise::Drop;
            }
            let stays =
                if internal { service.internal_local } else { service.external_local && !from_pod && !own };
            let usable = |here_only: bool| -> BTreeSet<Endpoint> {
                let endpoint = |pod: &Pod| Endpoint { address: pod.address, port: 8080 };
                let here = |pod: &&Pod| pod.here || !here_only;
                let ready: BTreeSet<_> = pods.iter().filter(here).filter(|p| p.ready).map(endpoint).collect();
                let ending = pods.iter().filter(here).filter(|p| p.serving_terminating).map(endpoint);
                if ready.is_empty() { ending.collect() } else { ready }
            };
            let (choice, anywhere) = (usable(stays), usable(false));
            if anywhere.is_empty() {
                return Promise::Reject;
            }
            if choice.is_empty() {
                return Promise::Drop;
            }
            let masquerade = own || (!from_pod && !stays) || (!internal && !service.external_local);
            let masquerade = masquerade || (internal && !from_pod);
            return Promise::OneOf(choice, masquerade);
        }
    }
    let cluster_ip = world.services.values().any(|service| service.cluster_ip == packet.destination);
    match cluster_ip {
        true => Promise::Reject,
        false if world.facts.services.iter().any(|range| range.contains(packet.destination)) => Promise::Drop,
        false => Promise::Pass,
    }
}

#[derive(Clone, Debug)]
struct World {
    facts: Facts,
    services: BTreeMap<ServiceName, Service>,
    pods: BTreeMap<ServiceName, Vec<Pod>>,
}

const CHOICES: usize = 12;

/// A service from a few random numbers; few addresses, so that much meets.
fn service(index: usize, dice: [u8; CHOICES]) -> (Json, Vec<Pod>, Json) {
    let bit = |at: usize| dice[at].is_multiple_of(2);
    let policy = |local: bool| if local { "Local" } else { "Cluster" };
    let kind = ["ClusterIP", "NodePort", "LoadBalancer"][usize::from(dice[0] % 3)];
    let protocol = ["TCP", "UDP", "SCTP"][usize::from(dice[1] % 3)];
    let name = format!("s{index}");
    let mut spec = json!({
        "type": kind, "clusterIP": format!("10.43.0.{}", index + 1), "internalTrafficPolicy": policy(dice[2].is_multiple_of(3)),
        "externalTrafficPolicy": policy(bit(3)), "sessionAffinity": if dice[4].is_multiple_of(4) { "ClientIP" } else { "None" },
        "ports": [{"name": "p", "port": 80, "protocol": protocol, "nodePort": 30000 + index}],
    });
    if bit(5) {
        spec["externalIPs"] = json!([format!("198.51.100.{}", index + 1)]);
    }
    if bit(6) {
        spec["loadBalancerSourceRanges"] = json!(["203.0.113.0/28", "10.42.0.0/24"]);
    }
    let status = json!({"loadBalancer": {"ingress": [{"ip": format!("198.51.101.{}", index + 1)}]}});
    let service = json!({"metadata": {"namespace": "a", "name": name}, "spec": spec, "status": status});
    let mut pods = Vec::new();
    for number in 0..usize::from(dice[7] % 4) {
        let state = dice[8 + number] % 4;
        pods.push(Pod {
            address: Ipv4Addr::new(
                10,
                42,
                dice[8 + number] % 2,
                u8::try_from(10 + index * 4 + number).expect("small"),
            ),
            here: (dice[8 + number] / 4).is_multiple_of(2),
            ready: state < 2,
            serving_terminating: state == 2,
        });
    }
    let endpoints: Vec<Json> = pods
        .iter()
        .map(|pod| {
            let serving = pod.ready || pod.serving_terminating;
            json!({"addresses": [pod.address.to_string()], "nodeName": if pod.here { "here" } else { "there" },
                "conditions": {"ready": pod.ready, "serving": serving, "terminating": pod.serving_terminating}})
        })
        .collect();
    let slice = json!({"metadata": {"namespace": "a", "name": format!("{name}-x"),
            "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4", "ports": [{"name": "p", "port": 8080, "protocol": protocol}], "endpoints": endpoints});
    (service, pods, slice)
}

fn facts() -> Facts {
    Facts {
        node: "here".to_owned(),
        zone: String::new(),
        addresses: vec![Ipv4Addr::new(192, 0, 2, 10)],
        cluster: vec![Range::parse("10.42.0.0/16").expect("a range")],
        services: vec![Range::parse("10.43.0.0/16").expect("a range")],
        node_ports: Vec::new(),
        external_ips: true,
        masquerade_all: false,
    }
}

/// All packets that meet something, from a pod, from outside (allowed and not) and from the node.
fn packets(count: usize) -> Vec<Packet> {
    let sources = [[10, 42, 0, 200], [10, 42, 1, 200], [203, 0, 113, 1], [203, 0, 113, 99], [192, 0, 2, 10]];
    let mut all = Vec::new();
    for index in 0..=count {
        let last = u8::try_from(index + 1).expect("small");
        let node_port = 30000 + u16::try_from(index).expect("small");
        let at = [
            ([10, 43, 0, last], 80),
            ([10, 43, 0, last], 81),
            ([198, 51, 100, last], 80),
            ([198, 51, 101, last], 80),
            ([192, 0, 2, 10], node_port),
        ];
        for (destination, port) in at {
            for source in sources {
                for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
                    let (source, destination) = (source.into(), destination.into());
                    all.push(Packet { source, destination, protocol, port, mark: 0, original: None });
                }
            }
        }
    }
    all
}

#[track_caller]
fn agree(kernel: &mut Kernel, world: &World, packet: Packet) {
    let promise = expected(world, &packet);
    let mut seen = BTreeSet::new();
    let throws = if let Promise::OneOf(choice, _) = &promise { choice.len() as u32 } else { 1 };
    for dice in 0..throws {
        kernel.dice = dice;
        kernel.affinity.clear();
        let fate = kernel.walk(packet);
        let same = match (&promise, fate) {
            (Promise::OneOf(choice, masquerade), Fate::Sent { to, masqueraded }) => {
                seen.insert(to);
                choice.contains(&to) && *masquerade == masqueraded
            }
            (Promise::Reject, Fate::Rejected)
            | (Promise::Drop, Fate::Dropped)
            | (Promise::Pass, Fate::Passed) => true,
            _ => false,
        };
        assert!(same, "{packet:?}: promised {promise:?}, became {fate:?}\n{:#?}", world.services);
    }
    if let Promise::OneOf(choice, _) = promise {
        assert_eq!(seen, choice, "all are reached, each by one number: {packet:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn nd_10_packets_go_where_kubernetes_promises(
        steps in proptest::collection::vec((0usize..4, any::<[u8; CHOICES]>(), any::<u8>()), 1..12),
    ) {
        let facts = facts();
        let mut kernel = Kernel::new(&facts);
        let mut rules = Ruleset::new(facts.clone());
        let mut world = World { facts, services: BTreeMap::new(), pods: BTreeMap::new() };
        for (index, dice, how) in steps {
            let (object, pods, slice) = service(index, dice);
            let name = ServiceName::new("a", &format!("s{index}"));
            let slice_name: std::sync::Arc<str> = format!("s{index}-x").into();
            let mut inputs = Vec::new();
            if how % 8 == 0 {
                world.services.remove(&name);
                inputs.push(Input::Service(name.clone(), None));
                inputs.push(Input::Slice("a".into(), slice_name, None));
            } else {
                let service = Service::parse(&object).expect("proxied");
                world.services.insert(name.clone(), service.clone());
                world.pods.insert(name.clone(), pods);
                inputs.push(Input::Slice("a".into(), slice_name, Slice::parse(&slice)));
                inputs.push(Input::Service(name.clone(), Some(service)));
            }
            let changes = rules.change(inputs);
            kernel.apply(&changes);
        }
        for packet in packets(4) {
            agree(&mut kernel, &world, packet);
        }
        // One that starts anew finds nothing to change, and from nothing makes the same.
        let held: HashMap<Key, Value> = rules.elements().map(|(key, value)| (key.clone(), value.clone())).collect();
        prop_assert!(rules.difference(held.clone()).is_empty());
        let whole = rules.difference(HashMap::new());
        prop_assert_eq!(whole.add.len(), held.len());
        let in_kernel: usize = kernel.maps.values().map(HashMap::len).sum();
        prop_assert_eq!(in_kernel, held.len());
    }
}

fn single(dice: [u8; CHOICES], change: impl FnOnce(&mut Json, &mut Json)) -> (Kernel, Ruleset, Service) {
    let (mut object, _, mut slice) = service(0, dice);
    change(&mut object, &mut slice);
    let service = Service::parse(&object).expect("proxied");
    let mut rules = Ruleset::new(facts());
    let inputs = [
        Input::Service(service.name.clone(), Some(service.clone())),
        Input::Slice("a".into(), "s0-x".into(), Slice::parse(&slice)),
    ];
    let mut kernel = Kernel::new(&facts());
    kernel.apply(&rules.change(inputs));
    (kernel, rules, service)
}

fn endpoints(count: u8) -> Json {
    (0..count).map(|n| json!({"addresses": [format!("10.42.0.{}", n + 10)], "nodeName": "here"})).collect()
}

fn from_pod(last: u8) -> Packet {
    Packet {
        source: Ipv4Addr::new(10, 42, 0, last),
        destination: Ipv4Addr::new(10, 43, 0, 1),
        protocol: Protocol::Tcp,
        port: 80,
        mark: 0,
        original: None,
    }
}

#[test]
fn lc_05_each_endpoint_gets_its_share() {
    for count in 1..=7 {
        let (mut kernel, ..) = single([0; CHOICES], |object, slice| {
            object["spec"]["internalTrafficPolicy"] = json!("Cluster");
            object["spec"]["sessionAffinity"] = json!("None");
            slice["endpoints"] = endpoints(count);
        });
        let mut hits: BTreeMap<Endpoint, u32> = BTreeMap::new();
        for dice in 0..u32::from(count) * 10 {
            kernel.dice = dice;
            let Fate::Sent { to, .. } = kernel.walk(from_pod(200)) else { panic!("not sent") };
            *hits.entry(to).or_default() += 1;
        }
        assert_eq!(hits.len(), usize::from(count));
        assert!(hits.values().all(|hit| *hit == 10), "{hits:?}");
    }
}

#[test]
fn a_client_stays_with_its_endpoint_while_that_serves() {
    let change = |object: &mut Json, slice: &mut Json| {
        object["spec"]["internalTrafficPolicy"] = json!("Cluster");
        object["spec"]["sessionAffinity"] = json!("ClientIP");
        slice["endpoints"] = endpoints(4);
    };
    let (mut kernel, mut rules, _) = single([0; CHOICES], change);
    let sent = |kernel: &mut Kernel, dice: u32, last: u8| {
        kernel.dice = dice;
        match kernel.walk(from_pod(last)) {
            Fate::Sent { to, .. } => to.address.octets()[3],
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((sent(&mut kernel, 1, 200), sent(&mut kernel, 2, 201)), (11, 12));
    for dice in 0..8 {
        assert_eq!((sent(&mut kernel, dice, 200), sent(&mut kernel, dice, 201)), (11, 12));
    }
    let (_, _, mut slice) = service(0, [0; CHOICES]);
    slice["endpoints"] = endpoints(4)
        .as_array()
        .expect("a list")
        .iter()
        .filter(|e| e["addresses"][0] != "10.42.0.11")
        .cloned()
        .collect();
    let changes = rules.change([Input::Slice("a".into(), "s0-x".into(), Slice::parse(&slice))]);
    kernel.apply(&changes);
    assert_eq!(sent(&mut kernel, 2, 200), 13, "its endpoint is gone: another");
    assert_eq!((sent(&mut kernel, 0, 200), sent(&mut kernel, 0, 201)), (13, 12));
}

#[test]
fn one_that_asks_itself_is_masqueraded() {
    let (mut kernel, ..) = single([0; CHOICES], |object, slice| {
        object["spec"]["internalTrafficPolicy"] = json!("Cluster");
        object["spec"]["sessionAffinity"] = json!("None");
        slice["endpoints"] = endpoints(1);
    });
    let to = Endpoint { address: Ipv4Addr::new(10, 42, 0, 10), port: 8080 };
    assert_eq!(kernel.walk(from_pod(10)), Fate::Sent { to, masqueraded: true });
    assert_eq!(kernel.walk(from_pod(11)), Fate::Sent { to, masqueraded: false });
    assert_eq!(
        kernel.walk(Packet { mark: MASQUERADE_MARK, ..from_pod(11) }),
        Fate::Sent { to, masqueraded: true }
    );
}

#[test]
fn two_that_want_one_address_have_an_order() {
    let mut rules = Ruleset::new(facts());
    let mut kernel = Kernel::new(&facts());
    let mut put = |index: usize, there: bool| {
        let (mut object, _, mut slice) = service(index, [0; CHOICES]);
        object["spec"]["externalIPs"] = json!(["198.51.100.99"]);
        slice["endpoints"] = json!([{"addresses": [format!("10.42.0.{}", 10 + index)]}]);
        let service = Service::parse(&object).expect("proxied");
        let name: std::sync::Arc<str> = format!("s{index}-x").into();
        let inputs = [
            Input::Service(service.name.clone(), there.then_some(service)),
            Input::Slice("a".into(), name, Slice::parse(&slice).filter(|_| there)),
        ];
        let changes = rules.change(inputs);
        kernel.apply(&changes);
        match kernel.walk(Packet { destination: Ipv4Addr::new(198, 51, 100, 99), ..from_pod(200) }) {
            Fate::Sent { to, .. } => to.address.octets()[3],
            _ => 0,
        }
    };
    assert_eq!(
        [put(1, true), put(0, true), put(2, true), put(0, false), put(1, false), put(2, false)],
        [11, 10, 10, 11, 12, 0]
    );
}

#[test]
fn a_changed_endpoint_is_a_few_elements() {
    let (_, mut rules, _) = single([0; CHOICES], |object, slice| {
        object["spec"]["internalTrafficPolicy"] = json!("Cluster");
        object["spec"]["externalIPs"] = json!([]);
        object["spec"]["sessionAffinity"] = json!("None");
        slice["endpoints"] = endpoints(3);
    });
    let (_, _, mut slice) = service(0, [0; CHOICES]);
    slice["endpoints"] = endpoints(4);
    let changes = rules.change([Input::Slice("a".into(), "s0-x".into(), Slice::parse(&slice))]);
    let by_map = |changes: &[(Key, Value)]| changes.iter().map(|(key, _)| key.map).collect::<Vec<_>>();
    // Three leave the map of those with three, four come to the one of those with four.
    assert_eq!((changes.add.len(), changes.remove.len()), (5, 3), "{changes:?}");
    assert_eq!(by_map(&changes.add).iter().filter(|map| matches!(map, Map::Loops)).count(), 1);
    assert_eq!(changes.demanded.len(), 1);
    assert!(rules.change([Input::Slice("a".into(), "s0-x".into(), Slice::parse(&slice))]).is_empty());
    assert!(rules.receives(Ipv4Addr::new(10, 42, 0, 13)));
    slice["endpoints"][3]["conditions"] = json!({"ready": false, "serving": true, "terminating": true});
    rules.change([Input::Slice("a".into(), "s0-x".into(), Slice::parse(&slice))]);
    assert!(!rules.receives(Ipv4Addr::new(10, 42, 0, 13)) && rules.receives(Ipv4Addr::new(10, 42, 0, 12)));
}
