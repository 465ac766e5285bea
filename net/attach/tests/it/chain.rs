//! Networks of plugins of others: Debian's bridge, host-local and portmap.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use attach::{Attachment, ChainSettings, Definition, Driver, Error, NewNetwork};
use base::ContainerId;
use testkit::isolated;

use crate::world::{Netns, OUTSIDE, World, request, sh};

/// The host, with a directory of configurations.
fn world() -> World {
    let mut world = World::new();
    fs::create_dir(world.dir.join("net.d")).expect("made");
    world.networks = networks(&world.dir.join("data"), &world.dir.join("state"), world.dir.join("net.d"));
    write(&world, "net.d/10-deb.conflist", "deb", "cbr0", "10.77.0.0/24");
    world
}

pub(crate) fn networks(
    data: &std::path::Path,
    state: &std::path::Path,
    configurations: PathBuf,
) -> attach::Networks {
    let plugins = vec![PathBuf::from("/usr/lib/cni")];
    attach::Networks::open(data, state).expect("open").with_chains(ChainSettings {
        configurations,
        plugins,
        path: None,
    })
}

fn write(world: &World, file: &str, name: &str, bridge: &str, subnet: &str) {
    let leases = world.dir.join("leases");
    let list = serde_json::json!({"cniVersion": "1.0.0", "name": name, "plugins": [
        {"type": "bridge", "bridge": bridge, "isGateway": true, "ipMasq": true, "capabilities": {"ips": true, "mac": true},
         "ipam": {"type": "host-local", "dataDir": leases, "ranges": [[{"subnet": subnet}]], "routes": [{"dst": "0.0.0.0/0"}]}},
        {"type": "portmap", "capabilities": {"portMappings": true}},
    ]});
    fs::write(world.dir.join(file), list.to_string()).expect("written");
}

fn join(
    world: &World,
    netns: &Netns,
    id: &str,
    change: impl FnOnce(&mut attach::Request),
) -> Result<Attachment, Error> {
    let mut request = request(id, &["8080:80"]);
    request.network = "deb".to_owned();
    change(&mut request);
    world.networks.attach(&request, netns.file.as_fd())
}

fn leases(world: &World) -> usize {
    let Ok(entries) = fs::read_dir(world.dir.join("leases/deb")) else { return 0 };
    entries
        .filter(|entry| entry.as_ref().expect("entry").file_name().to_string_lossy().starts_with("10."))
        .count()
}

/// Nothing of any container is left: no lease, link, rule, mount, file.
#[track_caller]
fn is_clean(world: &World) {
    assert_eq!(leases(world), 0);
    assert!(!sh("ip -brief link show type veth").contains("veth"), "a link");
    let rules = sh("iptables-save -t nat");
    assert!(!rules.contains("8080") && !rules.contains("10.77."), "{rules}");
    assert!(!sh("cat /proc/self/mountinfo").contains("/namespaces/"), "a pinned namespace");
    let left = |path: &str| fs::read_dir(world.dir.join(path)).map_or(0, Iterator::count);
    assert_eq!((left("state/networks/namespaces"), left("data/networks/cni/results")), (0, 0));
    assert!(world.networks.members("deb").expect("listed").is_empty());
}

#[test]
fn nw_13_debians_plugins_carry_a_network() {
    isolated(|| {
        let world = world();
        let found: Definition = world.networks.find("deb").expect("found by its configuration");
        assert_eq!((found.driver.name(), found.subnet.to_string().as_str()), ("cni", "10.77.0.0/24"));
        assert!(world.networks.list().expect("listed").iter().any(|network| network.name == "deb"));
        let (one, two) = (Netns::new(), Netns::new());
        one.serve_tcp(80, "web");
        let first = join(&world, &one, "one", |_| {}).expect("joined");
        let second = join(&world, &two, "two", |request| {
            request.ports.clear();
            request.address = Some([10, 77, 0, 99].into());
            request.mac = Some(attach::MacAddress([2, 0, 0, 0, 0, 99]));
        })
        .expect("joined");
        assert_eq!(
            (first.address.to_string().as_str(), first.gateway.to_string().as_str()),
            ("10.77.0.2", "10.77.0.1")
        );
        assert_eq!(
            (second.address.to_string().as_str(), second.mac.as_str()),
            ("10.77.0.99", "02:00:00:00:00:63")
        );
        assert_eq!((first.bridge.as_str(), first.link.as_str()), ("cbr0", "eth0"));
        assert_eq!(first.ports[0].to_string(), "0.0.0.0:8080->80/tcp");
        assert!(
            one.sh(&format!("ping -c1 -W1 {} && ping -c1 -W1 {OUTSIDE}", second.address))
                .contains("1 received")
        );
        let host = std::net::SocketAddr::from(([10, 77, 0, 1], 8080));
        assert!(testkit::ask(host).expect("published by portmap").starts_with("web"));
        assert!(!sh("nft list tables").contains("strake"), "no rules of ours");
        let id = ContainerId::parse("one").expect("id");
        assert_eq!(world.networks.describe(&id).expect("read").expect("there"), first);
        let error = world.networks.remove("deb").expect_err("it is used");
        assert!(error.to_string().contains("active endpoints"), "{error}");

        // Left while it runs, and with its namespace gone.
        world.networks.leave(&id, "deb", one.file.as_fd()).expect("left");
        assert!(!one.sh("ip -brief link").contains("eth0"));
        drop(two);
        world.detach("two");
        is_clean(&world);
        let error = world.networks.remove("deb").expect_err("a file of somebody else's");
        assert!(error.to_string().contains("10-deb.conflist: remove that file"), "{error}");
    });
}

#[test]
fn a_network_is_made_by_a_configuration() {
    isolated(|| {
        let world = world();
        write(&world, "own.conflist", "deb", "cbr0", "10.77.0.0/24");
        let file = world.dir.join("own.conflist").display().to_string();
        let create = |name: &str, file: &str| -> Result<Definition, Error> {
            let options = [("config".to_owned(), file.to_owned())].into();
            let driver: Driver = world.networks.driver("cni", name, &options)?;
            world.networks.create(&NewNetwork {
                name: name.to_owned(),
                id: "ab".repeat(32),
                driver,
                options,
                ..NewNetwork::default()
            })
        };
        assert!(create("own", "").expect_err("no file").to_string().contains("add --opt config=FILE"));
        assert!(create("own", "/no/where").is_err());
        fs::write(
            world.dir.join("bad.conflist"),
            r#"{"cniVersion":"1.0.0","name":"x","plugins":[{"type":"nowhere"}]}"#,
        )
        .expect("written");
        let error =
            create("own", &world.dir.join("bad.conflist").display().to_string()).expect_err("no such plugin");
        assert!(error.to_string().contains("CNI plugin nowhere is in none of /usr/lib/cni"), "{error}");
        let made = create("own", &file).expect("made");
        assert_eq!((made.name.as_str(), made.driver.name()), ("own", "cni"));
        let netns = Netns::new();
        let got = join(&world, &netns, "one", |request| request.network = "own".to_owned()).expect("joined");
        assert_eq!(got.network, "own");
        // The configuration may be gone by then.
        fs::remove_file(&file).expect("removed");
        world.detach("one");
        is_clean(&world);
        world.networks.remove("own").expect("removed");
        assert!(world.networks.find("own").is_err());
    });
}

#[test]
fn what_is_refused_or_not_granted_leaves_nothing() {
    isolated(|| {
        let world = world();
        let netns = Netns::new();
        let error = join(&world, &netns, "one", |request| request.address = Some([10, 99, 0, 1].into()));
        assert!(
            error
                .expect_err("outside of the range")
                .to_string()
                .contains("CNI plugin bridge failed to ADD network deb")
        );
        is_clean(&world);
        // Debian's plugin does not manage with a bridge that has lost its first port.
        sh("ip link delete cbr0");
        join(&world, &netns, "one", |_| {}).expect("joined");
        let error = join(&world, &Netns::new(), "two", |_| {}).expect_err("the port is taken");
        assert!(
            error.to_string().contains("port 0.0.0.0:8080/tcp is already used by container name-one"),
            "{error}"
        );
    });
}

#[test]
fn a_crash_anywhere_leaves_nothing_after_reconciling() {
    isolated(|| {
        let world = world();
        for point in [
            "attach.lease-written",
            "cni.intent-written",
            "cni.plugin-added",
            "cni.added",
            "attach.link-made",
        ] {
            let netns = Netns::new();
            crate::crash::killed_in(&world, "deb", (point, "attach", "one"), &netns);
            assert_eq!(world.networks.members("deb").expect("listed").len(), 1, "{point}: it is known");
            let done = world.networks.reconcile(|_| false).expect("reconciled");
            assert_eq!((done.released.len(), done.warnings), (1, Vec::new()), "{point}");
            is_clean(&world);
        }
        for point in [
            "detach.rules-removed",
            "cni-del.plugin-deleted",
            "cni-del.deleted",
            "detach.link-cut",
            "detach.lease-released",
        ] {
            let netns = Netns::new();
            join(&world, &netns, "one", |_| {}).expect("joined");
            crate::crash::killed_in(&world, "deb", (point, "detach", "one"), &netns);
            world.networks.reconcile(|_| false).expect("reconciled");
            is_clean(&world);
        }
    });
}
