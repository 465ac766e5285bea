//! Many services, many endpoints.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use netlink::nft::{Family, dump};
use netlink::{Protocol, Socket};
use serde_json::{Value, json};
use testkit::{Netns, isolated, wait_until};
use tokio::sync::mpsc;

use crate::mirror::Fake;
use crate::world::{PATIENCE, Running, World, facts};

fn service(index: u32) -> (String, Value) {
    let address = Ipv4Addr::from(Ipv4Addr::new(10, 43, 1, 0).to_bits() + index);
    let ports = json!([{"port": 80, "protocol": "TCP", "nodePort": if index < 2000 { json!(30000 + index) } else { Value::Null }}]);
    (
        format!("s{index}"),
        json!({"type": if index < 2000 { "NodePort" } else { "ClusterIP" }, "clusterIP": address.to_string(), "ports": ports}),
    )
}

fn rules() -> usize {
    let mut socket = Socket::open(Protocol::Netfilter).expect("socket");
    dump::rules(&mut socket, Family::Ip, proxy_rules::program::TABLE).expect("dump").len()
}

/// The rules that a packet meets do not grow with services: they are map elements.
#[test]
fn nd_08_ten_thousand_services_have_the_rules_of_ten() {
    isolated(|| {
        let count = |services: u32| {
            Netns::new().run(move || {
                let mirror = Arc::new(Fake::default());
                for index in 0..services {
                    let (name, spec) = service(index);
                    mirror.slice(&name, "TCP", &[json!({"addresses": ["10.42.0.9"], "nodeName": "n"})]);
                    mirror.service(&name, spec, Value::Null);
                }
                let running = Running::start(service_proxy::Config::new(mirror, facts("n")));
                running.until("all services", |status| status.synced && status.services == services as usize);
                (rules(), running.proxy.status())
            })
        };
        let ((few, _), (many, status)) = (count(10), count(10_000));
        assert_eq!(few, many);
        println!(
            "{} services, {} elements, {many} rules: {:?}",
            status.services, status.elements, status.last_sync
        );
    });
}

#[test]
fn nd_09_a_cluster_with_ten_thousand_services_works() {
    isolated(|| {
        let world = World::new(1);
        let (one, two, client) =
            (world.nodes[0].pod("one"), world.nodes[0].pod("two"), world.nodes[0].pod("client"));
        one.netns.serve_tcp(80, "one");
        two.netns.serve_tcp(80, "two");
        for index in 0..10_000 {
            let (name, spec) = service(index);
            world.mirror.slice(&name, "TCP", &[one.endpoint()]);
            world.mirror.service(&name, spec, Value::Null);
        }
        let running = world.nodes[0].running();
        running.until("all services", |status| status.synced && status.services == 10_000);
        let at = |index: u32| Ipv4Addr::from(Ipv4Addr::new(10, 43, 1, 0).to_bits() + index);
        for index in [0, 1, 4_999, 9_999] {
            world.until("the first answer", || client.netns.ask((at(index), 80)).is_ok());
        }
        // Churn: each change is seen, and nothing else is touched.
        for round in 0..50u32 {
            let index = (round * 197) % 10_000;
            world.mirror.slice(&format!("s{index}"), "TCP", &[two.endpoint()]);
            let said = || client.netns.ask((at(index), 80)).is_ok_and(|said| said.starts_with("two"));
            assert!(wait_until(PATIENCE, said), "service {index}");
        }
        assert!(client.netns.ask((at(1), 80)).expect("answer").starts_with("one"));
        let status = running.proxy.status();
        assert_eq!(status.rewrites, 1, "{status:?}");
    });
}

/// A farm of endpoints in one namespace: each address has a listener of its own.
struct Farm {
    commands: mpsc::UnboundedSender<(Ipv4Addr, bool)>,
    done: std::sync::mpsc::Receiver<()>,
}

impl Farm {
    fn start(netns: &Netns) -> Self {
        let (commands, mut inbox) = mpsc::unbounded_channel::<(Ipv4Addr, bool)>();
        let (tell, done) = std::sync::mpsc::channel();
        netns.run(move || {
            std::thread::spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
                runtime.block_on(async move {
                    let mut open = std::collections::HashMap::new();
                    while let Some((address, up)) = inbox.recv().await {
                        if up {
                            let listener = tokio::net::TcpListener::bind((address, 80)).await.expect("bind");
                            open.insert(address, tokio::spawn(serve(listener)));
                        } else if let Some(task) = open.remove(&address) {
                            task.abort();
                            drop(task.await);
                        }
                        tell.send(()).expect("waiting");
                    }
                });
            });
        });
        Self { commands, done }
    }

    fn set(&self, address: Ipv4Addr, up: bool) {
        self.commands.send((address, up)).expect("the farm lives");
        self.done.recv().expect("done");
    }
}

async fn serve(listener: tokio::net::TcpListener) {
    use tokio::io::AsyncWriteExt as _;
    while let Ok((mut stream, _)) = listener.accept().await {
        drop(stream.write_all(b"here").await);
    }
}

#[test]
fn nd_05_five_hundred_endpoints_come_and_go_without_a_failed_request() {
    isolated(|| {
        const ENDPOINTS: u32 = 500;
        let world = World::new(1);
        let (farm, client) = (world.nodes[0].pod("farm"), world.nodes[0].pod("client"));
        let address = |index: u32| Ipv4Addr::from(Ipv4Addr::new(10, 42, 100, 1).to_bits() + index);
        farm.netns.sh("ip link set lo up; ip route add local 10.42.100.0/22 dev lo");
        world.nodes[0]
            .netns
            .sh(&format!("ip route add 10.42.100.0/22 via {} dev strake-pods onlink", farm.address));
        let endpoints = Farm::start(&farm.netns);
        let mut up = vec![true; ENDPOINTS as usize];
        for index in 0..ENDPOINTS {
            endpoints.set(address(index), true);
        }
        let slice = |up: &[bool]| -> Vec<Value> {
            let there = (0..ENDPOINTS).zip(up).filter(|(_, up)| **up);
            there
                .map(|(index, _)| json!({"addresses": [address(index).to_string()], "nodeName": "node-0"}))
                .collect()
        };
        let spec = json!({"clusterIP": "10.43.0.10", "ports": [{"port": 80}]});
        world.serve("farm", spec, Value::Null, &slice(&up));
        let (stop, asked, failed) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let asking = {
            let (stop, asked, failed) = (Arc::clone(&stop), Arc::clone(&asked), Arc::clone(&failed));
            client.netns.run(move || {
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let outcome = testkit::ask((Ipv4Addr::new(10, 43, 0, 10), 80).into());
                        asked.fetch_add(1, Ordering::Relaxed);
                        failed.fetch_add(usize::from(outcome.as_deref() != Ok("here")), Ordering::Relaxed);
                    }
                })
            })
        };
        let proxy = world.nodes[0].running().proxy.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        for round in 0..40u32 {
            // Fifty change: those that go are closed once the proxy says that they are drained.
            let changing: Vec<u32> = (0..50).map(|n| (round * 37 + n * 7) % ENDPOINTS).collect();
            for index in &changing {
                let at = *index as usize;
                up[at] = !up[at];
                if up[at] {
                    endpoints.set(address(*index), true);
                }
            }
            world.mirror.slice("farm", "TCP", &slice(&up));
            for index in changing.iter().filter(|index| !up[**index as usize]) {
                let gone = [IpAddr::from(address(*index))];
                let waits = proxy.drained(&gone);
                runtime
                    .block_on(async { tokio::time::timeout(Duration::from_secs(20), waits).await })
                    .expect("drained");
                endpoints.set(address(*index), false);
            }
        }
        stop.store(true, Ordering::Relaxed);
        asking.join().expect("no panic");
        let (asked, failed) = (asked.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
        assert_eq!(failed, 0, "of {asked}");
        assert!(asked > 100, "{asked}");
    });
}
