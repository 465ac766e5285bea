//! Network namespaces, looked at from outside.

use inspect::net::SocketState;
use testkit::isolated;

use crate::child::{Held, output};

#[test]
fn another_namespaces_interfaces_routes_and_ports_are_read_without_entering() {
    isolated(|| {
        let held = Held::start("unshare", &["--net"]);
        let net = format!("--net=/proc/{}/ns/net", held.pid);
        let inside = |arguments: &[&str]| output("nsenter", &[&[net.as_str()], arguments].concat());
        output("ip", &["link", "add", "out0", "type", "veth", "peer", "name", "in0"]);
        output("ip", &["link", "set", "in0", "netns", &held.pid.to_string()]);
        output("ip", &["link", "set", "out0", "up"]);
        inside(&["ip", "address", "add", "10.99.0.2/24", "dev", "in0"]);
        inside(&["ip", "link", "set", "in0", "up"]);
        inside(&["ip", "route", "add", "default", "via", "10.99.0.1"]);

        let process = held.process();
        let interfaces = process.interfaces().unwrap();
        assert!(interfaces.source.starts_with("netlink(7) in /proc/"), "{}", interfaces.source);
        let in0 = interfaces.value.iter().find(|interface| interface.name == "in0").unwrap();
        assert_eq!(in0.addresses.first().map(String::as_str), Some("10.99.0.2/24"));
        let link = in0.link.as_ref().unwrap();
        assert_eq!((link.kind.as_deref(), link.up, link.peer_elsewhere), (Some("veth"), true, true));
        let shown = inside(&["ip", "-o", "link", "show", "in0"]);
        assert!(shown.contains(link.mac.as_deref().unwrap()), "{shown}");
        assert!(
            interfaces.value.iter().any(|interface| interface.name == "lo" && interface.addresses.is_empty())
        );

        let routes = process.routes().unwrap().value;
        let default = routes.iter().find(|route| route.target() == "default").unwrap();
        assert_eq!((default.gateway, default.interface.as_str()), ("10.99.0.1".parse().ok(), "in0"));
        assert!(routes.iter().any(|route| route.target() == "10.99.0.0/24" && route.gateway.is_none()));

        assert!(process.sockets().unwrap().value.is_empty());
        // Ours is in another namespace: a listener here is not seen there.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let seen = |process: &inspect::Process| {
            let sockets = process.sockets().unwrap().value;
            sockets.iter().any(|socket| socket.local == local && socket.state == SocketState::Listening)
        };
        assert!(seen(&inspect::Proc::open().unwrap().this().unwrap()));
        assert!(!seen(&process));
    });
}
