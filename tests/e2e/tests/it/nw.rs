//! Rows NW-01, NW-03, NW-04: the default bridge.

use std::net::TcpStream;
use std::process::Command;

use testkit::registry::Registry;
use testkit::{Output, Strake, images, isolated, run, wait_for};

use crate::{inspect, ns_inode, pid, sleeper};

/// Another machine: a network namespace behind a veth pair, 192.0.2.2 there, 192.0.2.1 here.
pub(crate) struct Outside {
    keeper: std::process::Child,
}

impl Outside {
    pub(crate) fn new() -> Self {
        let keeper = Command::new("unshare").args(["--net", "sleep", "3600"]).spawn().unwrap();
        let pid = keeper.id().to_string();
        wait_for("the outside's namespace", || {
            (ns_inode(&pid, "net") != ns_inode("self", "net")).then_some(())
        });
        run(Command::new("ip")
            .args(["link", "add", "out0", "type", "veth", "peer", "name", "in0", "netns", &pid]))
        .ok();
        for args in
            ["address add 192.0.2.1/24 dev out0", "link set out0 up", "route add default via 192.0.2.2"]
        {
            run(Command::new("ip").args(args.split(' '))).ok();
        }
        let outside = Self { keeper };
        for args in ["ip address add 192.0.2.2/24 dev in0", "ip link set in0 up", "ip link set lo up"] {
            outside.run(&args.split(' ').collect::<Vec<_>>()).ok();
        }
        outside
    }

    /// The process that keeps it.
    pub(crate) fn pid(&self) -> u32 {
        self.keeper.id()
    }

    /// Runs a command there.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        run(Command::new("nsenter").arg(format!("--net=/proc/{}/ns/net", self.keeper.id())).args(args))
    }

    /// What `curl` of the outside says of the URL.
    pub(crate) fn curl(&self, url: &str) -> Output {
        self.run(&["curl", "--silent", "--show-error", "--max-time", "3", url])
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// A web server on port 80 of the container, from the built-in image.
pub(crate) fn whoami(strake: &Strake, name: &str, options: &[&str]) {
    strake.ok(&[&["run", "-d", "--name", name], options, &["strake.local/tools", "/whoami"]].concat());
    let pid = pid(strake, name);
    wait_for("whoami to listen", || crate::proc_file(pid, "net/tcp").contains(":0050 ").then_some(()));
}

#[test]
fn nw_01_the_default_network_is_a_bridge_that_switches() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        whoami(&strake, "web", &[]);
        sleeper(&strake, "client", &[]);
        let ports = run(Command::new("ip").args(["-brief", "link", "show", "master", "strake0"]));
        assert_eq!(ports.ok().lines().count(), 2, "two ports");
        let web = inspect(&strake, "web")["NetworkSettings"]["IPAddress"].as_str().unwrap().to_owned();
        let said = strake.ok(&["exec", "client", "wget", "-q", "-O", "-", &format!("http://{web}/")]);
        assert!(said.contains("Hostname"), "{said}");
        let table = run(Command::new("bridge").args(["fdb", "show", "br", "strake0"])).stdout;
        for name in ["web", "client"] {
            let mac = inspect(&strake, name)["NetworkSettings"]["MacAddress"].as_str().unwrap().to_owned();
            assert!(table.contains(&mac), "{mac} of {name} is not in\n{table}");
        }
    });
}

#[test]
fn nw_03_egress_leaves_with_the_nodes_address() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let outside = Outside::new();
        let mut capture = Command::new("nsenter")
            .arg(format!("--net=/proc/{}/ns/net", outside.keeper.id()))
            .args(["socat", "-u", "TCP-LISTEN:9000,fork", "SYSTEM:echo from $SOCAT_PEERADDR >&2"])
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let tables = || outside.run(&["ss", "-Hltn", "sport", "=", "9000"]).stdout;
        wait_for("socat to listen", || (!tables().is_empty()).then_some(()));
        strake.ok(&["run", "--rm", "busybox", "sh", "-c", "echo hello | nc -w 3 192.0.2.2 9000"]);
        let mut line = String::new();
        let mut reader = std::io::BufReader::new(capture.stderr.take().unwrap());
        std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
        assert_eq!(line.trim(), "from 192.0.2.1");
        let _ = capture.kill();
        let _ = capture.wait();
    });
}

#[test]
fn nw_04_a_published_port_answers_and_respects_the_hosts_firewall() {
    isolated(|| {
        let strake = Strake::new();
        let outside = Outside::new();
        whoami(&strake, "web", &["-p", "8080:80"]);
        assert!(outside.curl("http://192.0.2.1:8080/").ok().contains("Hostname"));
        let local = run(Command::new("curl").args(["--silent", "--max-time", "3", "http://127.0.0.1:8080/"]));
        assert!(local.ok().contains("Hostname"), "from the host itself");
        let seen = outside.curl("http://192.0.2.1:8080/").stdout;
        assert!(seen.contains("192.0.2.2"), "the client's own address is seen: {seen}");

        // A host that drops input stays closed.
        let policy = "table inet host { chain input { type filter hook input priority 0; policy drop; \
                      ct state established accept; iif lo accept; tcp dport 22 accept; }; }";
        run(Command::new("nft").arg(policy)).ok();
        strake.ok(&["rm", "-f", "web"]);
        whoami(&strake, "web", &["-p", "8080:80"]);
        assert_ne!(outside.curl("http://192.0.2.1:8080/").code, 0, "dropped by the host's policy");
        let local = run(Command::new("curl").args(["--silent", "--max-time", "3", "http://127.0.0.1:8080/"]));
        assert!(local.ok().contains("Hostname"), "the host's own traffic is not the policy's");

        run(Command::new("nft")
            .args(["add", "rule", "inet", "host", "input", "tcp", "dport", "8080", "accept"]))
        .ok();
        strake.ok(&["rm", "-f", "web"]);
        whoami(&strake, "web", &["-p", "8080:80"]);
        assert!(
            outside.curl("http://192.0.2.1:8080/").ok().contains("Hostname"),
            "opened by the host's policy"
        );
        let rules = run(Command::new("nft").args(["list", "tables"])).stdout;
        assert_eq!(rules.lines().count(), 2, "one table of ours beside the host's:\n{rules}");
    });
}

#[test]
fn nginx_answers_on_a_published_port_from_another_namespace() {
    isolated(|| {
        let registry = Registry::start();
        let nginx = registry.push_layout(&images::nginx_layout(), "latest", "nginx:1");
        let strake = Strake::new();
        let outside = Outside::new();
        strake.ok(&["run", "-d", "--name", "nginx", "-p", "8080:80", &nginx]);
        let said = wait_for("nginx to answer", || {
            let said = outside.curl("http://192.0.2.1:8080/");
            (said.code == 0).then_some(said.stdout)
        });
        assert_eq!(said.trim(), "strake serves nginx");
        strake.ok(&["stop", "nginx"]);
        assert_eq!(
            inspect(&strake, "nginx")["State"]["ExitCode"],
            0,
            "SIGQUIT, the image's stop signal, ends it well"
        );
    });
}

#[test]
fn host_none_and_joined_networks() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "host", &["--network", "host"]);
        assert_eq!(ns_inode(pid(&strake, "host"), "net"), ns_inode("self", "net"));
        sleeper(&strake, "none", &["--network", "none"]);
        let links = strake.ok(&["exec", "none", "ls", "/sys/class/net"]);
        assert_eq!(links, "lo");
        whoami(&strake, "web", &[]);
        sleeper(&strake, "joined", &["--network", "container:web"]);
        assert_eq!(ns_inode(pid(&strake, "joined"), "net"), ns_inode(pid(&strake, "web"), "net"));
        let said = strake.ok(&["exec", "joined", "wget", "-q", "-O", "-", "http://127.0.0.1/"]);
        assert!(said.contains("Hostname"), "{said}");
        assert!(TcpStream::connect("127.0.0.1:80").is_err());
    });
}
