//! A chain of `bridge` with `host-local`, and `portmap`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use base::{Classified as _, ErrorClass};
use cni::{
    Attachment, Capabilities, Client, ContainerId, Error, InterfaceName, NetworkList, Plugins, PortMapping,
};
use testkit::{Netns, TempDir, isolated, sh};

/// Where Debian's package has them.
const DEBIAN: &str = "/usr/lib/cni";

struct Room {
    home: TempDir,
    container: Netns,
    client: Client,
}

impl Room {
    fn new() -> Self {
        let home = TempDir::new();
        let plugins = Plugins::new(vec![PathBuf::from(DEBIAN)], None);
        let client = Client::new(plugins, home.join("cni"));
        Self { container: Netns::new(), client, home }
    }

    /// A network whose leases are the test's own.
    fn list(&self, version: &str, second: &str) -> NetworkList {
        let leases = self.home.join("leases");
        let text = format!(
            r#"{{"cniVersion":"{version}","name":"deb","plugins":[
                {{"type":"bridge","bridge":"cbr0","isGateway":true,"ipMasq":true,"capabilities":{{"ips":true}},
                  "ipam":{{"type":"host-local","dataDir":"{}","ranges":[[{{"subnet":"10.77.0.0/24"}}]],
                           "routes":[{{"dst":"0.0.0.0/0"}}]}}}},
                {{"type":"{second}","capabilities":{{"portMappings":true}}}}]}}"#,
            leases.display()
        );
        NetworkList::parse(text.as_bytes()).expect("valid")
    }

    fn attachment(&self, container: &str) -> Attachment {
        let port = PortMapping {
            host_port: 8080,
            container_port: 80,
            protocol: "tcp".to_owned(),
            host_ip: String::new(),
        };
        let capabilities = Capabilities { port_mappings: vec![port], ..Capabilities::default() };
        Attachment {
            container: ContainerId::parse(container).expect("valid"),
            namespace: self.container.path(),
            interface: InterfaceName::parse("eth0").expect("valid"),
            arguments: vec![("IgnoreUnknown".to_owned(), "1".to_owned())],
            capabilities: capabilities.told(),
        }
    }

    /// Addresses that `host-local` has given, less its notes.
    fn leases(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.home.join("leases/deb")) else { return Vec::new() };
        let names = entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("10.")).collect()
    }

    /// Nothing of it is left: no lease, no veth, no rule, no entry.
    #[track_caller]
    fn is_clean(&self) {
        assert_eq!(self.leases(), [""; 0]);
        assert_eq!(sh("ip -brief link show type veth").trim(), "");
        let rules = sh("iptables-save -t nat");
        assert!(!rules.contains("8080") && !rules.contains("10.77."), "{rules}");
        assert!(self.client.results().all().expect("listed").is_empty());
    }
}

#[test]
fn a_chain_is_added_and_deleted() {
    isolated(|| {
        let room = Room::new();
        let list = room.list("1.0.0", "portmap");
        room.client.validate(&list).expect("installed, and of that version");
        let result = room.client.add(&list, &room.attachment("c1")).expect("added");
        let address = result.container_ips().next().expect("an address").address;
        assert_eq!(address.to_string(), "10.77.0.2/24");
        assert!(room.container.sh("ip -brief address show eth0").contains("10.77.0.2/24"));
        room.container.run(|| sh("ip link set lo up"));
        room.container.serve_tcp(80, "web");
        let own = sh("ip -brief address show cbr0");
        assert!(own.contains("10.77.0.1/24"), "{own}");
        let host = std::net::SocketAddr::from(([10, 77, 0, 1], 8080));
        assert!(testkit::ask(host).expect("published").starts_with("web"));
        let attachment = room.attachment("c1");
        assert!(matches!(room.client.add(&list, &attachment), Err(Error::AlreadyAttached { .. })));

        let entry = room.client.results().all().expect("listed").remove(0);
        room.client.del(&entry).expect("deleted");
        room.is_clean();
        room.client.del(&entry).expect("deleted again");
    });
}

#[test]
fn check_finds_what_is_broken() {
    isolated(|| {
        let room = Room::new();
        let list = room.list("1.0.0", "portmap");
        // Without ports: Debian's portmap looks for rules of IPv6 also where none can be.
        let attachment = Attachment { capabilities: BTreeMap::new(), ..room.attachment("c1") };
        room.client.add(&list, &attachment).expect("added");
        room.client.check(&list, &attachment.container, &attachment.interface).expect("as it should be");
        room.container.sh("ip address flush dev eth0");
        let error =
            room.client.check(&list, &attachment.container, &attachment.interface).expect_err("broken");
        assert_eq!(error.to_string(), "CNI plugin bridge failed to CHECK network deb");
        let Error::Refused { failure, .. } = error else { panic!("{error}") };
        assert!(failure.msg.contains("10.77.0.2"), "{failure}");
    });
}

#[test]
fn when_a_plugin_fails_the_others_are_undone() {
    isolated(|| {
        let room = Room::new();
        // A port that no number can be is refused, after the bridge has made everything.
        let mut attachment = room.attachment("c1");
        let wrong = serde_json::json!([{"hostPort": 8080, "containerPort": 80, "protocol": "none"}]);
        attachment.capabilities.insert("portMappings".to_owned(), wrong);
        let error = room.client.add(&room.list("1.0.0", "portmap"), &attachment).expect_err("refused");
        assert_eq!(error.to_string(), "CNI plugin portmap failed to ADD network deb");
        room.is_clean();
    });
}

#[test]
fn a_plugin_that_is_not_there_is_told_and_nothing_is_forgotten() {
    isolated(|| {
        let room = Room::new();
        let list = room.list("1.0.0", "nowhere");
        let own = room.home.join("plugins");
        let plugins = Plugins::new(vec![own.clone(), PathBuf::from(DEBIAN)], None);
        let client = Client::new(plugins, room.home.join("cni"));
        let error = client.validate(&list).expect_err("no such plugin");
        assert_eq!(error.class(), ErrorClass::Unsupported);
        assert!(error.to_string().starts_with("CNI plugin nowhere is in none of"), "{error}");
        client.add(&list, &room.attachment("c1")).expect_err("no such plugin");
        room.is_clean();
        // One that was there and is gone: what it cannot undo is kept for when it is back.
        let link =
            || std::os::unix::fs::symlink(format!("{DEBIAN}/portmap"), own.join("nowhere")).expect("linked");
        fs::create_dir(&own).expect("made");
        link();
        client.add(&list, &room.attachment("c1")).expect("added");
        fs::remove_file(own.join("nowhere")).expect("removed");
        let entry = client.results().all().expect("listed").remove(0);
        client.del(&entry).expect_err("no such plugin");
        assert_eq!(room.leases(), ["10.77.0.2"]);
        link();
        client.del(&entry).expect("deleted");
        room.is_clean();
    });
}

#[test]
fn gc_deletes_what_nobody_holds() {
    isolated(|| {
        let room = Room::new();
        let list = room.list("0.4.0", "portmap");
        let attachment = room.attachment("c1");
        room.client.add(&list, &attachment).expect("added");
        let valid = [(attachment.container, attachment.interface)];
        room.client.gc(&list, &valid).expect("collected");
        assert_eq!(room.leases(), ["10.77.0.2"]);
        room.client.gc(&list, &[]).expect("collected");
        room.is_clean();
        room.client.status(&list).expect("a version without STATUS is ready");
    });
}

#[test]
fn a_version_that_the_plugin_lacks_is_told_before_anything_is_made() {
    isolated(|| {
        let room = Room::new();
        let list = room.list("1.1.0", "portmap");
        let error = room.client.validate(&list).expect_err("Debian's are older");
        let said = error.to_string();
        assert!(
            said.starts_with("CNI plugin bridge does not support cniVersion 1.1.0 of network deb"),
            "{said}"
        );
        let error = room.client.add(&list, &room.attachment("c1")).expect_err("refused");
        let Error::Refused { failure, .. } = error else { panic!("{error}") };
        assert_eq!(failure.code, cni::Code::INCOMPATIBLE_VERSION);
    });
}
