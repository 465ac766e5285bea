//! The specification, kind by kind, as tables.

use std::net::{IpAddr, Ipv4Addr};

use names::{Data, Found, Name, Query, QueryType, Transport, Zones as _, answers};
use serde_json::{Value, json};

use crate::plan::{Asker, Plan, plan};
use crate::zone::Zone;

fn service(name: &str, spec: &Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec})
}

fn slice(name: &str, service: &str, endpoints: &Value) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    })
}

fn zone() -> Zone {
    let mut zone = Zone::new("Cluster.Local").unwrap();
    let ports = json!([{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]);
    zone.set_service(&service(
        "web",
        &json!({"clusterIP": "10.43.0.7", "clusterIPs": ["10.43.0.7", "fd00::7"], "ports": ports}),
    ));
    zone.set_service(&service("db", &json!({"clusterIP": "None", "ports": [{"name": "http", "port": 80}]})));
    zone.set_service(&service(
        "empty",
        &json!({"clusterIP": "None", "ports": [{"name": "http", "port": 80}]}),
    ));
    zone.set_service(&service("out", &json!({"type": "ExternalName", "externalName": "www.Example.com"})));
    zone.set_service(&service(
        "near",
        &json!({"type": "ExternalName", "externalName": "web.shop.svc.cluster.local"}),
    ));
    zone.set_service(&service(
        "round",
        &json!({"type": "ExternalName", "externalName": "round.shop.svc.cluster.local"}),
    ));
    zone.set_slice(&slice(
        "db-1",
        "db",
        &json!([
            {"addresses": ["10.42.0.5"], "hostname": "db-0", "conditions": {"ready": true}},
            {"addresses": ["10.42.0.6"], "conditions": {}},
            {"addresses": ["10.42.0.9"], "conditions": {"ready": false}},
        ]),
    ));
    zone.set_slice(&slice(
        "web-1",
        "web",
        &json!([{"addresses": ["10.42.0.8"], "conditions": {"ready": true}}]),
    ));
    zone.set_pod("shop", &[IpAddr::from([10, 42, 0, 8])]);
    zone
}

/// What is found, in a line.
fn look(zone: &Zone, name: &str, kind: QueryType) -> String {
    let data = |data: &Data| match data {
        Data::A(address) => address.to_string(),
        Data::Aaaa(address) => address.to_string(),
        Data::Cname(name) => format!("={name}"),
        Data::Ptr(name) => format!("{name}"),
        Data::Ns(name) => format!("ns {name}"),
        Data::Srv { port, target, weight, .. } => format!("{port} {weight} {target}"),
        Data::Txt(text) => String::from_utf8_lossy(text).into_owned(),
        Data::Soa(soa) => format!("soa {}", soa.server),
    };
    match zone.find(&Name::parse(name).unwrap().lowercase(), kind) {
        Found::Records { answer, more } => {
            let mut all: Vec<String> = answer.iter().map(|record| data(&record.data)).collect();
            all.extend(more.iter().map(|record| format!("+{}", data(&record.data))));
            all.join(" ")
        }
        Found::Elsewhere { target, .. } => format!("elsewhere {target}"),
        Found::NoRecord(..) => "no record".to_owned(),
        Found::NoName(..) => "no name".to_owned(),
        Found::NotOurs => "not ours".to_owned(),
    }
}

#[test]
fn nw_15_every_kind_of_name() {
    let zone = zone();
    let (a, aaaa, srv, ptr) = (QueryType::A, QueryType::AAAA, QueryType::SRV, QueryType::PTR);
    for (name, kind, expected) in [
        ("web.shop.svc.cluster.local", a, "10.43.0.7"),
        ("WEB.shop.SVC.cluster.local", a, "10.43.0.7"),
        ("web.shop.svc.cluster.local", aaaa, "fd00::7"),
        ("web.shop.svc.cluster.local", QueryType::TXT, "no record"),
        ("other.shop.svc.cluster.local", a, "no name"),
        ("web.none.svc.cluster.local", a, "no name"),
        ("shop.svc.cluster.local", a, "no record"),
        ("none.svc.cluster.local", a, "no name"),
        ("svc.cluster.local", a, "no record"),
        ("cluster.local", QueryType::SOA, "soa ns.dns.cluster.local."),
        ("cluster.local", QueryType::NS, "ns ns.dns.cluster.local."),
        ("dns-version.cluster.local", QueryType::TXT, "1.1.0"),
        ("nothing.cluster.local", a, "no name"),
        // Headless: each host that is ready.
        ("db.shop.svc.cluster.local", a, "10.42.0.5 10.42.0.6"),
        ("db.shop.svc.cluster.local", aaaa, "no record"),
        ("db-0.db.shop.svc.cluster.local", a, "10.42.0.5"),
        ("10-42-0-6.db.shop.svc.cluster.local", a, "10.42.0.6"),
        ("10-42-0-9.db.shop.svc.cluster.local", a, "no name"),
        ("empty.shop.svc.cluster.local", a, "no name"),
        // Ports with names.
        (
            "_http._tcp.web.shop.svc.cluster.local",
            srv,
            "80 100 web.shop.svc.cluster.local. +10.43.0.7 +fd00::7",
        ),
        ("_HTTP._TCP.web.shop.svc.cluster.local", a, "no record"),
        (
            "_dns._udp.web.shop.svc.cluster.local",
            srv,
            "53 100 web.shop.svc.cluster.local. +10.43.0.7 +fd00::7",
        ),
        ("_dns._tcp.web.shop.svc.cluster.local", srv, "no name"),
        ("_tcp.web.shop.svc.cluster.local", a, "no record"),
        (
            "_http._tcp.db.shop.svc.cluster.local",
            srv,
            "8080 50 db-0.db.shop.svc.cluster.local. 8080 50 10-42-0-6.db.shop.svc.cluster.local. +10.42.0.5 +10.42.0.6",
        ),
        // Other names for names.
        ("out.shop.svc.cluster.local", a, "elsewhere www.Example.com."),
        ("out.shop.svc.cluster.local", QueryType::CNAME, "=www.Example.com."),
        ("near.shop.svc.cluster.local", a, "=web.shop.svc.cluster.local. 10.43.0.7"),
        // Pods.
        ("10-42-0-8.shop.pod.cluster.local", a, "10.42.0.8"),
        ("10-42-0-8.other.pod.cluster.local", a, "no name"),
        ("10-42-0-7.shop.pod.cluster.local", a, "no name"),
        // Addresses.
        ("7.0.43.10.in-addr.arpa", ptr, "web.shop.svc.cluster.local."),
        ("5.0.42.10.in-addr.arpa", ptr, "db-0.db.shop.svc.cluster.local."),
        ("6.0.42.10.in-addr.arpa", ptr, "10-42-0-6.db.shop.svc.cluster.local."),
        ("8.0.42.10.in-addr.arpa", ptr, "not ours"),
        (
            "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
            ptr,
            "web.shop.svc.cluster.local.",
        ),
        ("x.0.43.10.in-addr.arpa", ptr, "not ours"),
        ("www.example.com", a, "not ours"),
        ("a.b.c.d.e.f.g.cluster.local", a, "no name"),
    ] {
        assert_eq!(look(&zone, name, kind), expected, "{name} {kind:?}");
    }
    // Aliases that go round in circles end.
    assert!(look(&zone, "round.shop.svc.cluster.local", a).starts_with("=round"));
}

#[test]
fn names_come_and_go() {
    let mut zone = zone();
    let look = |zone: &Zone, name: &str| look(zone, &format!("{name}.shop.svc.cluster.local"), QueryType::A);
    zone.remove_slice("shop", "db-1", "db");
    assert_eq!(look(&zone, "db"), "no name");
    zone.set_slice(&slice("db-2", "db", &json!([{"addresses": ["10.42.0.7"]}])));
    assert_eq!(look(&zone, "db"), "10.42.0.7");
    // A service that goes and comes keeps its slices.
    zone.remove_service("shop", "db");
    assert_eq!(look(&zone, "db"), "no name");
    zone.set_service(&service("db", &json!({"clusterIP": "None"})));
    assert_eq!(look(&zone, "db"), "10.42.0.7");
    for name in ["web", "db", "empty", "out", "near", "round"] {
        zone.remove_service("shop", name);
    }
    zone.remove_slice("shop", "db-2", "db");
    zone.remove_slice("shop", "web-1", "web");
    zone.remove_pod("shop", &[IpAddr::from([10, 42, 0, 8])]);
    assert!(zone.spaces.is_empty() && zone.reverse.is_empty() && zone.pods.is_empty());
}

fn ask(zone: &Zone, name: &str, from: [u8; 4]) -> Plan {
    let query = Query {
        id: 1,
        recursive: true,
        checking_disabled: false,
        name: Name::parse(name).unwrap(),
        kind: QueryType::A,
        class: 1,
        edns: None,
    };
    let search = [Name::parse("corp.example").unwrap()];
    plan(&query, Asker { address: from.into(), transport: Transport::Udp, search: &search }, zone)
}

#[test]
fn a_search_path_takes_one_round_trip() {
    let mut zone = zone();
    zone.set_service(&json!({"metadata": {"name": "api", "namespace": "team"},
        "spec": {"clusterIP": "10.43.0.20", "clusterIPs": ["10.43.0.20"]}}));
    let pod = [10, 42, 0, 8];
    // What the asker's user meant was a name of another namespace.
    let Plan::Reply(reply) = ask(&zone, "api.team.shop.svc.cluster.local", pod) else { panic!("no reply") };
    let found = answers(&reply).unwrap();
    assert_eq!(found[0].data, Data::Cname(Name::parse("api.team.svc.cluster.local").unwrap()));
    assert_eq!(found[1].data, Data::A(Ipv4Addr::new(10, 43, 0, 20)));
    // Or one of the world.
    let Plan::Chase { names, searched: true, aliases, .. } =
        ask(&zone, "www.example.com.shop.svc.cluster.local", pod)
    else {
        panic!("not asked of others");
    };
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    assert_eq!(
        (names, aliases),
        (vec!["www.example.com.corp.example.".to_owned(), "www.example.com.".to_owned()], vec![])
    );
    // Whoever is no pod of the namespace has no such search path.
    for from in [[10, 42, 0, 99], [127, 0, 0, 1]] {
        let Plan::Reply(reply) = ask(&zone, "www.example.com.shop.svc.cluster.local", from) else {
            panic!("asked")
        };
        assert_eq!(reply[3] & 15, 3);
    }
    assert_eq!(ask(&zone, "www.example.com", pod), Plan::Forward);
    assert!(matches!(ask(&zone, "out.shop.svc.cluster.local", pod), Plan::Chase { searched: false, .. }));
}
