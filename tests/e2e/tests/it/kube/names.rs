//! `strake dns` beside a server, asked by dig.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::kube::KubeServer;
use testkit::{run, wait_until};

/// A server of the outside: it knows `www.example.com` and nothing else.
fn outside() -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let query = &buffer[..length];
            let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
            let known = query[12..end - 4].eq_ignore_ascii_case(b"\x03www\x07example\x03com\x00");
            let mut reply = query[..end].to_vec();
            reply[2] = 0x81;
            reply[3] = if known { 0x80 } else { 0x83 };
            reply[6..12].fill(0);
            if known && query[end - 3] == 1 {
                reply[7] = 1;
                reply.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 192, 0, 2, 80]);
            }
            let _ = socket.send_to(&reply, from);
        }
    });
    port
}

struct Names {
    server: KubeServer,
    _dns: testkit::kube::Part,
    port: String,
}

impl Names {
    fn new() -> Self {
        Self::over(&format!("127.0.0.1:{}", outside()))
    }

    /// With another server for the names of the outside.
    fn over(upstream: &str) -> Self {
        let server = KubeServer::start();
        let dns = server.part(&["dns", "--listen", "127.0.0.1:0", "--upstream", upstream]);
        let line = dns.said().lines().find_map(|line| line.strip_prefix("answers at 127.0.0.1:"));
        let port = line.expect("it says where it answers").to_owned();
        Self { server, _dns: dns, port }
    }

    fn apply(&self, objects: &[Value]) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let file = self.server.home().join("objects.json");
        std::fs::write(&file, list.to_string()).unwrap();
        self.server.kubectl(&["apply", "-f", &file.to_string_lossy()]).ok();
    }

    /// What dig prints for these arguments.
    fn dig(&self, args: &[&str]) -> String {
        let mut command = Command::new("dig");
        command.args(["@127.0.0.1", "-p", &self.port, "+tries=3", "+timeout=5"]).args(args);
        run(&mut command).ok().to_owned()
    }

    /// The data of the answer, sorted, in one line.
    fn short(&self, name: &str, kind: &str) -> String {
        let text = self.dig(&["+short", name, kind]);
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        lines.join(" ")
    }

    fn status(&self, name: &str, kind: &str) -> String {
        let text = self.dig(&["+noall", "+comments", name, kind]);
        let at = text.find("status: ").expect("a status") + "status: ".len();
        text[at..].chars().take_while(char::is_ascii_uppercase).collect()
    }

    fn until(&self, name: &str, expected: &str) {
        let mut found = String::new();
        let done = wait_until(Duration::from_secs(30), || {
            found = self.short(name, "A");
            found == expected
        });
        assert!(done, "{name}: {found:?}, not {expected:?}");
    }
}

fn service(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"}, "spec": spec})
}

#[test]
fn nw_15_services_and_pods_have_names() {
    let names = Names::new();
    let endpoints = json!([
        {"addresses": ["10.42.0.5"], "hostname": "db-0", "conditions": {"ready": true}},
        {"addresses": ["10.42.0.6"], "conditions": {"ready": true}},
        {"addresses": ["10.42.0.7"], "conditions": {"ready": false}},
    ]);
    names.apply(&[
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
        service("web", &json!({"clusterIP": "10.43.0.77", "ports": [{"name": "http", "port": 80}]})),
        service("db", &json!({"clusterIP": "None", "ports": [{"name": "sql", "port": 5432}]})),
        service("out", &json!({"type": "ExternalName", "externalName": "www.example.com"})),
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "db-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "db"}},
            "endpoints": endpoints, "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}]}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client", "namespace": "shop"},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}),
    ]);
    names.until("web.shop.svc.cluster.local", "10.43.0.77");
    names.until("db.shop.svc.cluster.local", "10.42.0.5 10.42.0.6");
    for (name, kind, expected) in [
        ("web.shop.svc.cluster.local", "AAAA", ""),
        ("_http._tcp.web.shop.svc.cluster.local", "SRV", "0 100 80 web.shop.svc.cluster.local."),
        ("db-0.db.shop.svc.cluster.local", "A", "10.42.0.5"),
        (
            "_sql._tcp.db.shop.svc.cluster.local",
            "SRV",
            "0 50 5432 10-42-0-6.db.shop.svc.cluster.local. 0 50 5432 db-0.db.shop.svc.cluster.local.",
        ),
        ("77.0.43.10.in-addr.arpa", "PTR", "web.shop.svc.cluster.local."),
        ("5.0.42.10.in-addr.arpa", "PTR", "db-0.db.shop.svc.cluster.local."),
        ("dns-version.cluster.local", "TXT", "\"1.1.0\""),
        // The alias and where it leads, from the outside.
        ("out.shop.svc.cluster.local", "A", "192.0.2.80 www.example.com."),
        ("www.example.com", "A", "192.0.2.80"),
    ] {
        assert_eq!(names.short(name, kind), expected, "{name} {kind}");
    }
    for (name, kind, status) in [
        ("web.shop.svc.cluster.local", "AAAA", "NOERROR"),
        ("none.shop.svc.cluster.local", "A", "NXDOMAIN"),
        ("nothing.example.org", "A", "NXDOMAIN"),
    ] {
        assert_eq!(names.status(name, kind), status, "{name}");
    }
    // What is not there says for how long that may be kept.
    let nothing = names.dig(&["+noall", "+authority", "none.shop.svc.cluster.local", "A"]);
    assert!(nothing.contains("SOA") && nothing.contains("ns.dns.cluster.local."), "{nothing}");
    // Letters come back as they were sent, over TCP as well.
    let letters = names.dig(&["+noall", "+answer", "+tcp", "WeB.Shop.svc.cluster.local", "A"]);
    assert!(letters.starts_with("WeB.Shop.svc.cluster.local."), "{letters}");
}

#[test]
fn nw_15_pods_have_names_and_a_short_way_along_their_search_path() {
    let names = Names::new();
    names.apply(&[
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api", "namespace": "team"},
            "spec": {"clusterIP": "10.43.0.78", "ports": [{"port": 80}]}}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client", "namespace": "shop"},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}),
    ]);
    names.until("api.team.svc.cluster.local", "10.43.0.78");
    // Whoever asks from an address that no pod has gets no more than was asked for.
    assert_eq!(names.status("api.team.shop.svc.cluster.local", "A"), "NXDOMAIN");
    let status = r#"{"status":{"phase":"Running","podIP":"127.0.0.1","podIPs":[{"ip":"127.0.0.1"}]}}"#;
    names
        .server
        .kubectl(&["patch", "-n", "shop", "pod", "client", "--subresource=status", "-p", status])
        .ok();
    names.until("127-0-0-1.shop.pod.cluster.local", "127.0.0.1");
    let first = |name: &str| names.short(&format!("{name}.shop.svc.cluster.local"), "A");
    assert_eq!(first("api.team"), "10.43.0.78 api.team.svc.cluster.local.");
    assert_eq!(first("www.example.com"), "192.0.2.80 www.example.com.");
    assert_eq!(names.status("none.example.com.shop.svc.cluster.local", "A"), "NXDOMAIN");
    // A pod that is over has no name any more.
    let over = r#"{"status":{"phase":"Succeeded"}}"#;
    names.server.kubectl(&["patch", "-n", "shop", "pod", "client", "--subresource=status", "-p", over]).ok();
    names.until("127-0-0-1.shop.pod.cluster.local", "");
}

#[test]
fn packets_that_are_no_queries_do_no_harm() {
    let names = Names::new();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect((Ipv4Addr::LOCALHOST, names.port.parse().unwrap())).unwrap();
    // A generator of bytes that needs no seed from outside: every run sends the same.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut packet = [0; 200];
    for number in 0..10_000 {
        for byte in &mut packet {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 33) as u8;
        }
        // Half of them look like a query as far as the head goes.
        if number % 2 == 0 {
            packet[2] &= 0x01;
            packet[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        }
        let _ = socket.send(&packet[..number % 200]);
    }
    assert_eq!(names.short("dns-version.cluster.local", "TXT"), "\"1.1.0\"");
}

#[test]
fn when_the_outside_is_away_that_is_said_and_the_cluster_answers() {
    // A server that is there and says nothing.
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut names = Names::over(&silent.local_addr().unwrap().to_string());
    names.until("kubernetes.default.svc.cluster.local", "10.43.0.1");
    assert_eq!(names.status("www.example.com", "A"), "SERVFAIL");
    assert_eq!(names.short("kubernetes.default.svc.cluster.local", "A"), "10.43.0.1");
    // Nor does it need the API server to go on.
    names.server.crash_and_restart();
    assert_eq!(names.short("kubernetes.default.svc.cluster.local", "A"), "10.43.0.1");
}
