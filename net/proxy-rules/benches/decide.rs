//! What it costs to decide: 10,000 services from nothing, and one change of them.
//!
//! The kernel's part is in `service-proxy`'s bench. `cargo bench -p proxy-rules`.

#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proxy_rules::{Facts, Input, Range, Ruleset, Service, ServiceName, Slice};
use serde_json::{Value, json};

const SERVICES: u32 = 10_000;
const SAMPLES: u32 = 2_000;

fn objects(index: u32, endpoints: u32) -> (Value, Value) {
    let name = format!("service-{index}");
    let address = Ipv4Addr::from(Ipv4Addr::new(10, 43, 0, 1).to_bits() + index);
    let service = json!({"metadata": {"namespace": "bench", "name": name}, "spec": {
        "type": "ClusterIP", "clusterIP": address.to_string(), "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}});
    let there: Vec<Value> = (0..endpoints)
        .map(|n| {
            let at = Ipv4Addr::from(Ipv4Addr::new(10, 42, 0, 0).to_bits() + (index * 8 + n) % 65_000);
            json!({"addresses": [at.to_string()], "nodeName": "other", "conditions": {"ready": true}})
        })
        .collect();
    let labels = json!({"kubernetes.io/service-name": name});
    let slice = json!({"metadata": {"namespace": "bench", "name": format!("{name}-x"), "labels": labels},
        "addressType": "IPv4", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}], "endpoints": there});
    (service, slice)
}

fn inputs(index: u32, (service, slice): &(Value, Value)) -> [Input; 2] {
    let name = ServiceName::new("bench", &format!("service-{index}"));
    let slice_name: Arc<str> = format!("service-{index}-x").into();
    [
        Input::Service(name, Service::parse(service)),
        Input::Slice("bench".into(), slice_name, Slice::parse(slice)),
    ]
}

fn main() {
    let range = |text| Range::parse(text).into_iter().collect();
    let facts = Facts { node: "this".to_owned(), cluster: range("10.42.0.0/16"), ..Facts::default() };
    let all: Vec<_> = (0..SERVICES).map(|index| objects(index, 3)).collect();
    let mut rules = Ruleset::new(facts);
    let start = Instant::now();
    let changes = rules.change((0..).zip(&all).flat_map(|(index, objects)| inputs(index, objects)));
    println!("{SERVICES} services, {} elements: {:.3?}", changes.add.len(), start.elapsed());
    let mut times: Vec<Duration> = (0..SAMPLES)
        .map(|sample| {
            let index = sample * 7919 % SERVICES;
            let changed = objects(index, 4 + sample % 2);
            let start = Instant::now();
            let changes = rules.change(inputs(index, &changed));
            let took = start.elapsed();
            assert!(!changes.is_empty() || sample >= SERVICES);
            took
        })
        .collect();
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!("one change: p50 {:.3?}, p99 {:.3?}", at(50), at(99));
}
