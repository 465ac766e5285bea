//! Interfaces, addresses, routes and ports of the process.

use inspect::NamespaceKind;
use inspect::net::{Interface, SocketState};

use crate::facts::{ContainerFacts, NetworkFacts, PortFacts};
use crate::report::Section;
use crate::sections::verdict;
use crate::view::{Relation, View};
use crate::words;

pub(super) fn section(view: &View, facts: Option<&ContainerFacts>) -> Section {
    let mut section = Section::new("network", "Network");
    section.verdict = verdict(view, NamespaceKind::Net);
    stack(&mut section, view, facts);
    match &view.interfaces {
        Err(error) => section.unread("interface", error),
        Ok(found) => {
            for interface in found.value.iter().take(INTERFACES_MAX) {
                section.line("interface", described(interface), &found.source, role(interface));
            }
        }
    }
    routes(&mut section, view);
    listeners(&mut section, view);
    for network in facts.map(|facts| facts.networks.as_slice()).unwrap_or_default() {
        attached(&mut section, network);
    }
    section
}

fn stack(section: &mut Section, view: &View, facts: Option<&ContainerFacts>) {
    let Some(namespace) = view.namespace(NamespaceKind::Net) else { return };
    let asked = facts.and_then(|facts| facts.network_mode.as_deref());
    let inode = namespace.namespace.value.inode;
    let value = asked.map_or_else(|| inode.to_string(), |asked| format!("{inode} (--network {asked})"));
    let meaning = match namespace.relation {
        Relation::Hosts => "It uses the host's own interfaces and ports, with nothing in between.",
        Relation::Private => "Its own interfaces, routes, ports and 127.0.0.1; nobody else is in there.",
        Relation::Shared => {
            "It shares interfaces, ports and 127.0.0.1 with other processes that are not its own."
        }
        Relation::Unknown => "Whether that is the host's cannot be told without reading PID 1's.",
    };
    section.line("stack", value, &namespace.namespace.source, meaning);
}

fn described(interface: &Interface) -> String {
    let addresses =
        if interface.addresses.is_empty() { "no address".to_owned() } else { interface.addresses.join(" ") };
    let traffic =
        format!("{} in, {} out", words::bytes(interface.received_bytes), words::bytes(interface.sent_bytes));
    let Some(link) = &interface.link else {
        return format!("{} {addresses}, {traffic}", interface.name);
    };
    let state = if link.up { "up" } else { "down" };
    let mac = link.mac.as_ref().filter(|mac| *mac != "00:00:00:00:00:00");
    let mac = mac.map(|mac| format!(", {mac}")).unwrap_or_default();
    format!("{} {addresses}, {state}, mtu {}{mac}, {traffic}", interface.name, link.mtu)
}

fn role(interface: &Interface) -> &'static str {
    let kind = interface.link.as_ref().and_then(|link| link.kind.as_deref());
    match (interface.name.as_str(), kind) {
        ("lo", _) => "Loopback: reaches only processes in this same network namespace.",
        (_, Some("veth")) => "One end of a virtual cable; the other end is a port of a bridge outside.",
        (_, Some("bridge")) => "A switch in software that joins the cables of containers.",
        (_, Some(_)) => "A virtual interface.",
        _ => "An interface of this namespace.",
    }
}

fn routes(section: &mut Section, view: &View) {
    let routes = match &view.routes {
        Ok(routes) => routes,
        Err(error) => return section.unread("route", error),
    };
    if routes.value.is_empty() {
        let meaning = "There is no way out: only this namespace's own addresses can be reached.";
        return section.line("route", "none", &routes.source, meaning);
    }
    for route in routes.value.iter().take(ROUTES_MAX) {
        let (value, meaning) = match &route.gateway {
            Some(gateway) => (
                format!("{} via {gateway} dev {}", route.target(), route.interface),
                "Packets for there are handed to the gateway.",
            ),
            None => (
                format!("{} dev {}", route.target(), route.interface),
                "Neighbours on this cable, reached directly.",
            ),
        };
        section.line("route", value, &routes.source, meaning);
    }
}

fn listeners(section: &mut Section, view: &View) {
    let Ok(sockets) = &view.sockets else { return };
    let open: Vec<_> = sockets.value.iter().filter(|socket| socket.state == SocketState::Listening).collect();
    for socket in open.iter().take(LISTENERS_MAX) {
        let meaning = if socket.local.ip().is_loopback() {
            "Waits for peers of this same network namespace only."
        } else {
            "Waits for peers on every network that this namespace is attached to."
        };
        let value = format!("{}/{}", socket.local, socket.protocol.transport());
        section.line("listens on", value, &sockets.source, meaning);
    }
    if open.len() > LISTENERS_MAX {
        let value = format!("{} more sockets", open.len() - LISTENERS_MAX);
        section.line("listens on", value, &sockets.source, "The whole tables are in the files.");
    }
}

fn attached(section: &mut Section, network: &NetworkFacts) {
    let record = network.record.as_str();
    let mut value = network.name.clone();
    let parts = [("address", &network.address), ("gateway", &network.gateway), ("bridge", &network.bridge)];
    for (name, part) in parts {
        if let Some(part) = part {
            value.push_str(&format!(", {name} {part}"));
        }
    }
    section.line(
        "network",
        value,
        record,
        "What it was attached to; the address is kept for it while it exists.",
    );
    if let Some(host) = &network.host_interface {
        let meaning = "The host's end of its cable; what the container sends comes out here.";
        section.line("host end", host, record, meaning);
    }
    for port in &network.ports {
        published(section, port, record);
    }
    for decision in &network.decisions {
        let why = words::sentence(&decision.why);
        section.line(&decision.what, &decision.value, &decision.held_in, why);
    }
}

/// A published port, who may reach it, and the rules on the way.
fn published(section: &mut Section, port: &PortFacts, record: &str) {
    let value =
        format!("{}:{} → {}/{}", port.host_address, port.host_port, port.container_port, port.protocol);
    let meaning = match port.host_address.as_str() {
        "::1" => {
            "The kernel sends nothing on that comes from ::1: a process of ours takes it and relays, and the \
             container sees an address of this host."
        }
        _ => "Connections to the host's port are rewritten to the container's address by nftables.",
    };
    section.line("published", value, record, meaning);
    for way in &port.ways {
        let verdict = if way.arrives { "reached" } else { "not reached" };
        let value = format!("{}: {verdict}", way.who);
        section.line(format!("port {}", port.host_port), value, RULES_NOW, words::sentence(&way.why));
        for (number, rule) in way.rules.iter().enumerate() {
            let meaning = match (rule.own, rule.maybe) {
                (_, true) => "Whether it applies depends on more than is known of every such packet.",
                (true, false) => "A rule of ours.",
                (false, false) => "A rule of the host, which nobody but the host's owner changes.",
            };
            section.line(format!("{:>3}. {}", number + 1, rule.hook), &rule.text, &rule.held_in, meaning);
        }
    }
}

const RULES_NOW: &str = "nf_tables, as the kernel holds it now";
const INTERFACES_MAX: usize = 16;
const ROUTES_MAX: usize = 12;
const LISTENERS_MAX: usize = 12;
