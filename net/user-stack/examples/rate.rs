//! How fast bytes pass from an ordinary user's network to the host, and back: this stack, slirp4netns and
//! pasta in turn, by iperf3, on one connection.
//!
//! ```text
//! cargo run --release -p user-stack --example rate [ROUNDS]
//! ```
//!
//! Needs root (for the namespaces; the candidates need none), and Debian's iperf3, slirp4netns and passt.
//! Each round measures every candidate once in both directions; the medians are printed.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, clippy::panic)]

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use sys::Namespace;
use testkit::{TempDir, wait_for};
use user_stack::{Plan, Stack};

const CANDIDATES: [&str; 3] = ["strake", "slirp4netns", "pasta"];
const SECONDS: &str = "3";
const PORT: &str = "5299";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, stack, namespace, directory] = &arguments[..]
        && stack == "stack"
    {
        return serve(Path::new(namespace), Path::new(directory));
    }
    let rounds: usize = arguments.get(1).map_or(5, |text| text.parse().unwrap());
    let host = host_address();
    let mut server = Command::new("iperf3");
    let server = Guard(server.args(["-s", "-p", PORT]).stdout(Stdio::null()).spawn().unwrap());
    let mut rates = vec![[Vec::new(), Vec::new()]; CANDIDATES.len()];
    for _ in 0..rounds {
        for (candidate, rates) in CANDIDATES.iter().zip(&mut rates) {
            let network = Network::new(candidate, host);
            for (rates, reverse) in rates.iter_mut().zip([false, true]) {
                rates.push(network.iperf(reverse));
            }
        }
    }
    drop(server);
    println!("| Gbit/s, median of {rounds} | to the host | from the host |\n|---|--:|--:|");
    for (candidate, [to, from]) in CANDIDATES.iter().zip(&mut rates) {
        println!("| {candidate} | {:.2} | {:.2} |", median(to), median(from));
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// An address of this machine that is not loopback.
fn host_address() -> Ipv4Addr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.254:9").expect("a default route");
    match socket.local_addr().unwrap().ip() {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => panic!("no IPv4 address"),
    }
}

/// Ends with its handle.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A network namespace with a candidate as its way out.
struct Network {
    /// A process inside.
    pid: String,
    /// Where the host's server is reached.
    host: Ipv4Addr,
    _processes: Vec<Guard>,
    _directory: TempDir,
}

impl Network {
    fn new(candidate: &str, host: Ipv4Addr) -> Self {
        let directory = TempDir::new();
        let network = match candidate {
            "pasta" => Self::of_pasta(directory),
            _ => Self::around(candidate, host, directory),
        };
        wait_for(candidate, || (!network.default_route().is_empty()).then_some(()));
        // pasta gives the namespace the host's own addresses; the host is its gateway there.
        let gateway = network.default_route().split(' ').nth(2).and_then(|word| word.parse().ok());
        let host = if candidate == "pasta" { gateway.expect("a gateway") } else { host };
        Self { host, ..network }
    }

    /// A namespace that is there before its way out.
    fn around(candidate: &str, host: Ipv4Addr, directory: TempDir) -> Self {
        let inside = Guard(Command::new("unshare").args(["--net", "sleep", "1000"]).spawn().unwrap());
        let pid = inside.0.id().to_string();
        let namespace = format!("/proc/{pid}/ns/net");
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        wait_for("a namespace", || std::fs::read_link(&namespace).ok().filter(|other| *other != own));
        let mut command = match candidate {
            "slirp4netns" => {
                let mut command = Command::new("slirp4netns");
                command.args(["--configure", "--mtu=65520", "--netns-type=path", &namespace, "out0"]);
                command
            }
            _ => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.arg("stack").arg(&namespace).arg(directory.path());
                command
            }
        };
        let way_out = Guard(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        Self { pid, host, _processes: vec![way_out, inside], _directory: directory }
    }

    /// pasta enters only namespaces that it has made, when root calls it.
    fn of_pasta(directory: TempDir) -> Self {
        let mut command = Command::new("pasta");
        command.args(["--config-net", "--foreground", "--quiet", "--runas", "0", "--mtu", "65520"]);
        command.args(["-t", "none", "-u", "none", "-T", "none", "-U", "none", "--", "sleep", "1000"]);
        let pasta = Guard(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let id = pasta.0.id();
        let children = format!("/proc/{id}/task/{id}/children");
        let pid = wait_for("pasta's namespace", || {
            let children = std::fs::read_to_string(&children).ok()?;
            let child = children.split_whitespace().next()?.to_owned();
            let program = std::fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
            (program.trim() == "sleep").then_some(child)
        });
        Self { pid, host: Ipv4Addr::UNSPECIFIED, _processes: vec![pasta], _directory: directory }
    }

    fn default_route(&self) -> String {
        let shown = self.enter("ip").args(["-4", "route", "show", "default"]).output().unwrap();
        String::from_utf8_lossy(&shown.stdout).into_owned()
    }

    fn enter(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.pid)).arg(program);
        command
    }

    /// Gbit/s.
    fn iperf(&self, reverse: bool) -> f64 {
        let mut command = self.enter("iperf3");
        command.args(["-c", &self.host.to_string(), "-p", PORT, "-t", SECONDS, "-J"]);
        if reverse {
            command.arg("-R");
        }
        let text = command.output().unwrap().stdout;
        let report: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let rate = report["end"]["sum_received"]["bits_per_second"].as_f64();
        rate.unwrap_or_else(|| panic!("iperf3 says {report}")) / 1e9
    }
}

/// Is the stack of the namespace.
fn serve(namespace: &Path, directory: &Path) {
    let namespace = sys::namespace::open(namespace).unwrap();
    let inside = thread::spawn(move || -> OwnedFd {
        sys::namespace::join(&namespace, Namespace::Net).unwrap();
        let tun = sys::tun::open(Path::new("/dev/net/tun"), "out0").unwrap();
        let ip = |line: &str| {
            let status = Command::new("ip").args(line.split(' ')).status();
            assert!(status.unwrap().success(), "ip {line}");
        };
        ip("link set out0 up mtu 65520");
        ip("address add 10.0.2.100/24 dev out0");
        ip("route add default via 10.0.2.2");
        tun
    });
    let tun = inside.join().unwrap();
    let users = directory.join("users");
    std::fs::create_dir_all(users.join("one")).unwrap();
    Stack::new(Plan::default(), tun, directory, Vec::new(), &users).unwrap().run().unwrap();
}
