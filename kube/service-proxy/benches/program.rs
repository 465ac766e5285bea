//! What it costs to keep the kernel's table: all of it, one change of it, and the kernel alone.
//!
//! Needs root: everything happens in network namespaces of its own. `cargo bench -p service-proxy`.

#![allow(clippy::print_stdout)]

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use netlink::nft::{Element, Family, Transaction};
use netlink::{Protocol, Socket};
use proxy_rules::elements::{Key, Map};
use proxy_rules::program::TABLE;
use proxy_rules::{Changes, Facts, Input, Range, Ruleset, Service, ServiceName, Slice};
use serde_json::{Value, json};
use service_proxy::Table;
use testkit::Netns;

const SERVICES: u32 = 10_000;
const SAMPLES: usize = 400;
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

fn address(index: u32) -> Ipv4Addr {
    Ipv4Addr::from(Ipv4Addr::new(10, 43, 0, 1).to_bits() + index)
}

fn objects(index: u32, endpoints: u32) -> (Value, Value) {
    let name = format!("service-{index}");
    let service = json!({"metadata": {"namespace": "bench", "name": name}, "spec": {
        "type": "ClusterIP", "clusterIP": address(index).to_string(), "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}});
    let there: Vec<Value> = (0..endpoints)
        .map(|n| {
            let at = if index == 0 && n == 0 {
                HOST
            } else {
                Ipv4Addr::from(0x0a2a_0000 + (index * 8 + n) % 65_000)
            };
            json!({"addresses": [at.to_string()], "nodeName": "other", "conditions": {"ready": true}})
        })
        .collect();
    let slice = json!({"metadata": {"namespace": "bench", "name": format!("{name}-x"), "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}], "endpoints": there});
    (service, slice)
}

fn inputs(index: u32, endpoints: u32) -> [Input; 2] {
    let (service, slice) = objects(index, endpoints);
    let name = ServiceName::new("bench", &format!("service-{index}"));
    let slice_name: std::sync::Arc<str> = format!("service-{index}-x").into();
    [
        Input::Service(name, Service::parse(&service)),
        Input::Slice("bench".into(), slice_name, Slice::parse(&slice)),
    ]
}

fn facts() -> Facts {
    let range = |text| Range::parse(text).into_iter().collect();
    Facts {
        node: "this".to_owned(),
        cluster: range("10.42.0.0/16"),
        services: range("10.43.0.0/16"),
        ..Facts::default()
    }
}

fn show(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!("{what:<44} p50 {:>10.3?}  p99 {:>10.3?}  max {:>10.3?}", at(50), at(99), at(100));
}

/// The same elements, ready as messages: what the kernel alone takes.
fn raw(changes: &Changes) -> Transaction {
    let mut transaction = Transaction::on(Family::Ip, TABLE);
    let one = |(key, value): &(Key, Box<[u8]>)| match value.is_empty() {
        true => Element::key(key.bytes.to_vec()),
        false => Element::pair(key.bytes.to_vec(), value.to_vec()),
    };
    let runs = |all: &[(Key, Box<[u8]>)]| -> Vec<(Map, Vec<Element>)> {
        all.chunk_by(|a, b| a.0.map == b.0.map)
            .map(|run| (run[0].0.map, run.iter().map(one).collect()))
            .collect()
    };
    for (map, elements) in runs(&changes.remove) {
        transaction.delete_elements(&map.name(), &elements);
    }
    for (map, elements) in runs(&changes.add) {
        transaction.add_elements(&map.name(), &elements);
    }
    transaction
}

fn whole(services: u32) -> (Ruleset, Duration) {
    let objects: Vec<_> = (0..services).map(|index| (index, objects(index, 3))).collect();
    let start = Instant::now();
    let mut rules = Ruleset::new(facts());
    rules.change(objects.iter().flat_map(|(index, (service, slice))| {
        let name = ServiceName::new("bench", &format!("service-{index}"));
        let slice_name: std::sync::Arc<str> = format!("service-{index}-x").into();
        [
            Input::Service(name, Service::parse(service)),
            Input::Slice("bench".into(), slice_name, Slice::parse(slice)),
        ]
    }));
    (rules, start.elapsed())
}

fn full() {
    let (rules, decided) = whole(SERVICES);
    let mut table = Table::open(TABLE).expect("open");
    let start = Instant::now();
    table.adopt(&rules).expect("write");
    let written = start.elapsed();
    println!("{SERVICES} services, {} elements", rules.element_count());
    println!("full: decided in {decided:.3?}, written in {written:.3?}, together {:.3?}", decided + written);
    let start = Instant::now();
    let adopted = table.adopt(&rules).expect("compare");
    println!("restart: read and compared in {:.3?}, {} elements changed", start.elapsed(), adopted.changed);
}

fn one_change() {
    let (mut rules, _) = whole(SERVICES);
    let mut table = Table::open(TABLE).expect("open");
    table.adopt(&rules).expect("write");
    let (mut ours, mut kernel) = (Vec::new(), Vec::new());
    let mut socket = Socket::open(Protocol::Netfilter).expect("socket");
    for sample in 0..SAMPLES {
        let index = u32::try_from(sample).expect("small") * 7919 % SERVICES;
        let endpoints = 3 + u32::try_from(sample % 2).expect("small");
        let changed = inputs(index, endpoints + 1);
        let start = Instant::now();
        let changes = rules.change(changed);
        table.apply(&changes).expect("apply");
        ours.push(start.elapsed());
        // Back again, by the kernel alone.
        let back = rules.change(inputs(index, 3));
        let transaction = raw(&back);
        let start = Instant::now();
        transaction.commit(&mut socket, None).expect("commit");
        kernel.push(start.elapsed());
    }
    show("one change of 10,000 services", &mut ours);
    show("  of which nf_tables alone", &mut kernel);
}

/// New connections to a service, with few services and with many.
fn connections(netns: &Netns, services: u32) {
    let mut times = netns.run(move || {
        let (rules, _) = whole(services);
        let mut table = Table::open(TABLE).expect("open");
        table.adopt(&rules).expect("write");
        // One endpoint answers; the others are nobody, so ask a service that has only it.
        let mut rules = rules;
        let target = 0;
        let changes = rules.change(inputs(target, 1));
        table.apply(&changes).expect("apply");
        let times: Vec<Duration> = (0..SAMPLES * 3)
            .map(|_| {
                let start = Instant::now();
                let mut stream = TcpStream::connect((address(target), 80)).expect("connect");
                let mut text = String::new();
                stream.read_to_string(&mut text).expect("read");
                start.elapsed()
            })
            .collect();
        table.remove().expect("remove");
        times
    });
    show(&format!("connect and read with {services} services"), &mut times);
}

fn main() {
    for work in [full as fn(), one_change] {
        Netns::new().run(work);
    }
    let netns = Netns::new();
    netns.sh(&format!("ip link set lo up; ip addr add {HOST}/32 dev lo; ip route add 10.43.0.0/16 dev lo"));
    netns.serve_tcp(80, "here");
    for services in [10, 100, 1_000, 10_000] {
        connections(&netns, services);
    }
}
