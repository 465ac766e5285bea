//! What users see of services.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{ask, isolated, sh, wait_until};

use crate::world::{PATIENCE, Pod, World};

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 43, 0, 10);

fn spec(more: Value) -> Value {
    let mut spec = json!({"type": "ClusterIP", "clusterIP": SERVICE.to_string(), "ports": [{"port": 80, "protocol": "TCP"}]});
    if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
        spec.extend(more);
    }
    spec
}

fn endpoints(pods: &[&Pod]) -> Vec<Value> {
    pods.iter().map(|pod| pod.endpoint()).collect()
}

/// Whom so many connections reach, and as whom.
fn survey(times: usize, ask: impl Fn() -> Result<String, String>) -> BTreeMap<String, usize> {
    let mut heard = BTreeMap::new();
    for _ in 0..times {
        let said = ask().unwrap_or_else(|error| error);
        *heard.entry(said).or_default() += 1;
    }
    heard
}

#[test]
fn nd_10_a_cluster_address_a_node_port_and_a_balancer() {
    isolated(|| {
        let world = World::new(2);
        let (one, two) = (world.nodes[0].pod("one"), world.nodes[1].pod("two"));
        one.netns.serve_tcp(80, "one");
        two.netns.serve_tcp(80, "two");
        let (client, balancer) = (world.nodes[0].pod("client"), Ipv4Addr::new(203, 0, 113, 5));
        let more = json!({"type": "LoadBalancer", "externalIPs": ["203.0.113.6"],
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}]});
        let status = json!({"loadBalancer": {"ingress": [{"ip": balancer.to_string()}]}});
        world.serve("web", spec(more), status, &endpoints(&[&one, &two]));
        // The pods' own address arrives, at both: NW-07.
        let heard = survey(40, || client.netns.ask((SERVICE, 80)));
        let from = client.address;
        assert_eq!(heard.keys().collect::<Vec<_>>(), [&format!("one {from}"), &format!("two {from}")]);
        // The node itself.
        let heard = survey(20, || world.nodes[0].netns.ask((SERVICE, 80)));
        assert!(heard.keys().all(|said| said.starts_with("one ") || said.starts_with("two ")), "{heard:?}");
        assert_eq!(heard.len(), 2, "{heard:?}");
        // From outside by either node's port, and by the balancer's address.
        sh(&format!("ip route add {balancer}/32 via 192.0.2.10; ip route add 203.0.113.6/32 via 192.0.2.10"));
        for to in [(world.nodes[0].address, 30080), (world.nodes[1].address, 30080), (balancer, 80)] {
            let heard = survey(20, || ask(to.into()));
            assert!(
                heard.keys().all(|said| said.starts_with("one ") || said.starts_with("two ")),
                "{to:?}: {heard:?}"
            );
            assert_eq!(heard.len(), 2, "{to:?}: {heard:?}");
            assert!(client.netns.ask(to).is_ok(), "{to:?} from a pod");
        }
        // External addresses are somebody else's until the user says otherwise.
        assert!(ask((Ipv4Addr::new(203, 0, 113, 6), 80).into()).is_err());
        // A port that the service does not have is refused, an address that no service has is silent.
        assert_eq!(client.netns.ask((SERVICE, 81)), Err("connection refused".to_owned()));
        assert_eq!(client.netns.ask((Ipv4Addr::new(10, 43, 9, 9), 80)), Err("timed out".to_owned()));
        // One that the node has itself is the node's: its DNS server.
        world.nodes[0].netns.sh("ip addr add 10.43.0.53/32 dev lo");
        world.nodes[0].netns.serve_tcp(53, "dns");
        assert_eq!(
            client.netns.ask((Ipv4Addr::new(10, 43, 0, 53), 53)),
            Ok(format!("dns {}", client.address))
        );
        assert!(world.nodes[0].netns.ask((Ipv4Addr::new(10, 43, 0, 53), 53)).is_ok());
        // Without endpoints it is refused, wherever it is asked.
        world.serve(
            "web",
            spec(json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]})),
            Value::Null,
            &[],
        );
        assert_eq!(client.netns.ask((SERVICE, 80)), Err("connection refused".to_owned()));
        assert_eq!(world.nodes[0].netns.ask((SERVICE, 80)), Err("connection refused".to_owned()));
        assert_eq!(ask((world.nodes[0].address, 30080).into()), Err("connection refused".to_owned()));
    });
}

#[test]
fn nw_07_a_service_keeps_the_clients_address_also_on_one_node() {
    isolated(|| {
        let world = World::new(1);
        let (one, client) = (world.nodes[0].pod("one"), world.nodes[0].pod("client"));
        one.netns.serve_tcp(80, "one");
        world.serve("web", spec(json!({})), Value::Null, &endpoints(&[&one]));
        assert_eq!(client.netns.ask((SERVICE, 80)), Ok(format!("one {}", client.address)));
        // One that asks itself by its service gets an answer: it sees the node.
        let said = one.netns.ask((SERVICE, 80)).expect("an answer");
        assert!(said.starts_with("one ") && !said.contains(&one.address.to_string()), "{said}");
    });
}

#[test]
fn lc_05_connections_are_spread_evenly() {
    isolated(|| {
        let world = World::new(2);
        let pods: Vec<Pod> = (0..4).map(|n| world.nodes[n % 2].pod(&format!("p{n}"))).collect();
        for (number, pod) in pods.iter().enumerate() {
            pod.netns.serve_tcp(80, format!("p{number}"));
        }
        let client = world.nodes[0].pod("client");
        world.serve("web", spec(json!({})), Value::Null, &endpoints(&pods.iter().collect::<Vec<_>>()));
        let heard = survey(600, || client.netns.ask((SERVICE, 80)));
        assert_eq!(heard.len(), 4, "{heard:?}");
        // 150 each; the standard deviation is 10.6.
        assert!(heard.values().all(|count| (90..=210).contains(count)), "{heard:?}");
        println!("600 connections to 4 endpoints: {:?}", heard.values().collect::<Vec<_>>());
    });
}

#[test]
fn a_client_stays_with_its_endpoint() {
    isolated(|| {
        let world = World::new(1);
        let pods: Vec<Pod> = (0..4).map(|n| world.nodes[0].pod(&format!("p{n}"))).collect();
        for (number, pod) in pods.iter().enumerate() {
            pod.netns.serve_tcp(80, format!("p{number}"));
        }
        let client = world.nodes[0].pod("client");
        let sticky = json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}});
        world.serve("web", spec(sticky.clone()), Value::Null, &endpoints(&pods.iter().collect::<Vec<_>>()));
        let heard = survey(20, || client.netns.ask((SERVICE, 80)));
        assert_eq!(heard.len(), 1, "{heard:?}");
        // Its endpoint goes, and it stays with another.
        let first = heard.keys().next().expect("one").clone();
        let left: Vec<&Pod> = pods
            .iter()
            .enumerate()
            .filter(|(n, _)| !first.starts_with(&format!("p{n} ")))
            .map(|(_, pod)| pod)
            .collect();
        assert_eq!(left.len(), 3);
        world.serve("web", spec(sticky), Value::Null, &endpoints(&left));
        let heard = survey(20, || client.netns.ask((SERVICE, 80)));
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert_ne!(heard.keys().next(), Some(&first));
    });
}

fn http_get(to: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(1)).ok()?;
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

#[test]
fn local_policies_keep_the_source_and_tell_the_balancer() {
    isolated(|| {
        let world = World::new(2);
        let (one, client) = (world.nodes[0].pod("one"), world.nodes[1].pod("client"));
        one.netns.serve_tcp(80, "one");
        let more = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30500,
            "ports": [{"port": 80, "nodePort": 30080}]});
        world.serve("web", spec(more.clone()), Value::Null, &endpoints(&[&one]));
        assert_eq!(ask((world.nodes[0].address, 30080).into()), Ok("one 192.0.2.1".to_owned()));
        assert_eq!(
            ask((world.nodes[1].address, 30080).into()),
            Err("connection timed out".to_owned()).or(Err("timed out".to_owned()))
        );
        // From inside every node's port is a way to all endpoints.
        assert_eq!(client.netns.ask((world.nodes[1].address, 30080)), Ok(format!("one {}", client.address)));
        let health = |index: usize| http_get((world.nodes[index].address, 30500).into());
        world.until("health checks", || {
            health(0).is_some_and(|text| text.starts_with("HTTP/1.0 200"))
                && health(1).is_some_and(|text| text.starts_with("HTTP/1.0 503"))
        });
        let text = health(0).expect("answer");
        assert!(
            text.contains("\"localEndpoints\": 1") && text.contains("x-load-balancing-endpoint-weight: 1"),
            "{text}"
        );
        // The last endpoint serves while it ends, and is not counted for long.
        world.serve("web", spec(more), Value::Null, &[one.ending()]);
        assert_eq!(ask((world.nodes[0].address, 30080).into()), Ok("one 192.0.2.1".to_owned()));
        // Inside, a service that stays on its node has nothing on the other.
        let local = spec(json!({"internalTrafficPolicy": "Local"}));
        world.serve("web", local, Value::Null, &endpoints(&[&one]));
        assert_eq!(client.netns.ask((SERVICE, 80)), Err("timed out".to_owned()));
        assert!(world.nodes[0].netns.ask((SERVICE, 80)).is_ok());
    });
}

#[test]
fn source_ranges_keep_others_out() {
    isolated(|| {
        let world = World::new(1);
        let (one, balancer) = (world.nodes[0].pod("one"), Ipv4Addr::new(203, 0, 113, 5));
        one.netns.serve_tcp(80, "one");
        sh(&format!("ip route add {balancer}/32 via 192.0.2.10"));
        let status = json!({"loadBalancer": {"ingress": [{"ip": balancer.to_string()}]}});
        for (ranges, allowed) in [
            (json!(["198.51.100.0/24"]), false),
            (json!(["198.51.100.0/24", "192.0.2.0/28"]), true),
            (json!(["192.0.2.0/32", "192.0.2.2/31"]), false),
            (json!([]), true),
        ] {
            let more = json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ranges});
            world.serve("web", spec(more), status.clone(), &endpoints(&[&one]));
            assert_eq!(ask((balancer, 80).into()).is_ok(), allowed, "{ranges}");
        }
    });
}

#[test]
fn datagrams_follow_their_service() {
    isolated(|| {
        let world = World::new(2);
        let (one, two) = (world.nodes[0].pod("one"), world.nodes[1].pod("two"));
        one.netns.serve_udp(80, "one");
        two.netns.serve_udp(80, "two");
        let client = world.nodes[0].pod("client");
        let udp = spec(json!({"ports": [{"port": 80, "protocol": "UDP"}]}));
        world.serve("dns", udp.clone(), Value::Null, &endpoints(&[&one]));
        let socket = client.netns.run(|| UdpSocket::bind("0.0.0.0:0").expect("bind"));
        socket.set_read_timeout(Some(Duration::from_secs(1))).expect("timeout");
        socket.connect((SERVICE, 80)).expect("connect");
        let ask = || -> Option<String> {
            socket.send(b"?").ok()?;
            let mut buffer = [0; 64];
            let length = socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
        };
        assert_eq!(ask(), Some(format!("one {}", client.address)));
        // The same socket, the same connection to the kernel; and its endpoint is gone.
        world.serve("dns", udp, Value::Null, &endpoints(&[&two]));
        assert_eq!(ask(), Some(format!("two {}", client.address)));
    });
}

#[test]
fn who_waits_for_a_drained_endpoint_is_told_when_the_kernel_knows() {
    isolated(|| {
        let world = World::new(1);
        let (one, two, client) =
            (world.nodes[0].pod("one"), world.nodes[0].pod("two"), world.nodes[0].pod("client"));
        one.netns.serve_tcp(80, "one");
        two.netns.serve_tcp(80, "two");
        world.serve("web", spec(json!({})), Value::Null, &endpoints(&[&one, &two]));
        let proxy = world.nodes[0].running().proxy.clone();
        let address = IpAddr::from(one.address);
        let waiting = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(async {
                proxy.drained(&[IpAddr::from([10, 42, 0, 250])]).await;
                proxy.drained(&[address]).await;
            });
        });
        assert!(client.netns.ask((SERVICE, 80)).is_ok());
        assert!(!waiting.is_finished());
        world.mirror.slice("web", "TCP", &[one.ending(), two.endpoint()]);
        assert!(wait_until(PATIENCE, || waiting.is_finished()));
        waiting.join().expect("no panic");
        // From that moment on, not one new connection goes there.
        let heard = survey(60, || client.netns.ask((SERVICE, 80)));
        assert_eq!(heard.keys().collect::<Vec<_>>(), [&format!("two {}", client.address)]);
    });
}
