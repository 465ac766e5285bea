//! Our plugin under runtimes of others.

use std::fs;

use testkit::{CgroupSubtree, Output, TempDir, bin, images, isolated, sh};

use crate::engines::own_places;
use crate::engines::podman::podman;

/// Debian's podman with its CNI back end and our plugin in its directory.
struct Podman {
    home: TempDir,
    cgroup: CgroupSubtree,
}

impl Podman {
    fn new() -> Self {
        own_places();
        let podman = Self { home: TempDir::new(), cgroup: CgroupSubtree::new("podman-cni") };
        for directory in ["plugins", "net.d"] {
            fs::create_dir(podman.home.join(directory)).expect("made");
        }
        std::os::unix::fs::symlink(bin("strake"), podman.home.join("plugins/strake-cni")).expect("linked");
        let text = |path: &str| podman.home.join(path).display().to_string();
        let list = serde_json::json!({
            "cniVersion": "0.4.0", "name": "ours", "plugins": [{
                "type": "strake-cni", "subnet": "10.78.0.0/24", "bridge": "cbr1",
                "root": text("strake/root"), "state": text("strake/state"),
                "capabilities": {"portMappings": true, "ips": true, "mac": true},
            }],
        });
        fs::write(podman.home.join("net.d/ours.conflist"), list.to_string()).expect("written");
        let conf = format!(
            "[network]\nnetwork_backend = \"cni\"\ncni_plugin_dirs = [{:?}]\nnetwork_config_dir = {:?}\n",
            text("plugins"),
            text("net.d")
        );
        fs::write(podman.home.join("containers.conf"), conf).expect("written");
        podman
    }

    fn run(&self, args: &[&str]) -> Output {
        podman(&self.home, args)
    }
}

#[test]
fn nw_13_our_plugin_works_under_debians_podman() {
    isolated(|| {
        let podman = Podman::new();
        let listed = podman.run(&["network", "ls", "--format", "{{.Name}} {{.Driver}}"]).ok().to_owned();
        assert!(listed.contains("ours"), "{listed}");
        podman.run(&["import", &images::busybox_tar().to_string_lossy(), "localhost/busybox"]).ok();
        let parent = podman.cgroup.path().to_owned();
        let options =
            ["run", "-d", "--name", "web", "--cgroup-parent", &parent, "--network", "ours", "-p", "8080:80"];
        let server = ["localhost/busybox", "sh", "-c", "while true; do echo served | nc -l -p 80; done"];
        podman.run(&[&options[..], &server[..]].concat()).ok();
        let address = podman.run(&["exec", "web", "ip", "-4", "-o", "addr", "show", "eth0"]).ok().to_owned();
        assert!(address.contains("10.78.0.2/24"), "{address}");
        let route = podman.run(&["exec", "web", "ip", "route"]).ok().to_owned();
        assert!(route.contains("default via 10.78.0.1 dev eth0"), "{route}");
        let inspected =
            podman.run(&["inspect", "web", "--format", "{{.NetworkSettings.Networks.ours.IPAddress}}"]);
        assert_eq!(inspected.ok(), "10.78.0.2");
        let host = std::net::SocketAddr::from(([10, 78, 0, 1], 8080));
        testkit::wait_for("the published port", || {
            testkit::ask(host).ok().filter(|said| said.contains("served"))
        });
        podman.run(&["rm", "-f", "-t", "0", "web"]).ok();
        assert_eq!(sh("ip -brief link show type veth").trim(), "", "detached");
        testkit::ask(host).expect_err("withdrawn");
        let rules = sh("nft list ruleset");
        assert!(!rules.contains("8080"), "{rules}");
    });
}
