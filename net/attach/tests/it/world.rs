//! A small internet: the test's own namespace is the host, "outside" is a neighbour on a
//! wire, and every container is a namespace of its own.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use attach::{Attachment, Networks, PortMapping, Request};
use base::ContainerId;
use sys::namespace::{self, Namespace, NamespaceSet};
use testkit::TempDir;

/// The host's address on the wire.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The neighbour's.
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// How long a peer may stay silent before it counts as unreachable.
const PATIENCE: Duration = Duration::from_millis(700);

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// A network namespace with a thread that lives in it.
pub(crate) struct Netns {
    pub(crate) file: File,
    jobs: mpsc::Sender<Job>,
}

impl Netns {
    pub(crate) fn new() -> Self {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (send, opened) = mpsc::channel();
        std::thread::spawn(move || {
            namespace::unshare(NamespaceSet::EMPTY.with(Namespace::Net)).expect("new network namespace");
            send.send(File::open("/proc/thread-self/ns/net").expect("own namespace")).expect("waiting");
            for job in inbox {
                job();
            }
        });
        Self { file: opened.recv().expect("namespace"), jobs }
    }

    /// Runs `work` inside and waits for it.
    pub(crate) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (send, result) = mpsc::channel();
        self.jobs.send(Box::new(move || drop(send.send(work())))).expect("thread lives");
        result.recv().expect("the work did not panic")
    }

    /// A server on a thread of its own that answers every connection with `name` and
    /// the address it was reached from.
    pub(crate) fn serve_tcp(&self, port: u16, name: &'static str) {
        let listener = self.run(move || TcpListener::bind(("0.0.0.0", port)).expect("bind"));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let from = stream.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
                let _ = write!(stream, "{name} {from}");
            }
        });
    }

    /// The same for datagrams.
    pub(crate) fn serve_udp(&self, port: u16, name: &'static str) {
        let socket = self.run(move || UdpSocket::bind(("0.0.0.0", port)).expect("bind"));
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(format!("{name} {}", from.ip()).as_bytes(), from);
            }
        });
    }

    /// What the server at `to` says, or why it cannot be reached.
    pub(crate) fn ask(&self, to: impl Into<SocketAddr>) -> Result<String, String> {
        let to = to.into();
        self.run(move || ask(to))
    }

    /// The same over UDP.
    pub(crate) fn ask_udp(&self, to: impl Into<SocketAddr>) -> Result<String, String> {
        let to = to.into();
        self.run(move || ask_udp(to))
    }

    /// Runs a command inside and gives its output.
    pub(crate) fn sh(&self, line: &str) -> String {
        let line = line.to_owned();
        self.run(move || sh(&line))
    }
}

pub(crate) fn ask(to: SocketAddr) -> Result<String, String> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).map_err(|e| e.kind().to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(|e| e.kind().to_string())?;
    Ok(text)
}

pub(crate) fn ask_udp(to: SocketAddr) -> Result<String, String> {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
    socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
    socket.connect(to).map_err(|e| e.kind().to_string())?;
    socket.send(b"?").map_err(|e| e.kind().to_string())?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).map_err(|e| e.kind().to_string())?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Runs a command line and gives its standard output.
pub(crate) fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-ec", line]).output().expect("sh");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The host, its neighbour, and the networks under test.
pub(crate) struct World {
    pub(crate) outside: Netns,
    pub(crate) networks: Networks,
    pub(crate) dir: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let outside = Netns::new();
        let dir = TempDir::new();
        let networks = Networks::open(&dir.join("data"), &dir.join("state")).expect("open");
        let world = Self { outside, networks, dir };
        sh(
            "ip link add wire0 type veth peer name wire1 && ip addr add 192.0.2.1/24 dev wire0 && ip link set wire0 up",
        );
        let (pid, tid) = world.outside.run(|| {
            let link = std::fs::read_link("/proc/thread-self").expect("own thread");
            let text = link.to_string_lossy().into_owned();
            let (pid, tid) = text.split_once("/task/").expect("a thread");
            (pid.to_owned(), tid.to_owned())
        });
        sh(&format!("ip link set wire1 netns /proc/{pid}/task/{tid}/ns/net"));
        world.outside.sh("ip link set lo up && ip addr add 192.0.2.2/24 dev wire1 && ip link set wire1 up");
        world
    }

    /// A container's namespace, attached with these ports.
    pub(crate) fn container(&self, id: &str, ports: &[&str]) -> (Netns, Attachment) {
        let netns = Netns::new();
        let attachment = self.attach(&netns, id, ports).expect("attach");
        (netns, attachment)
    }

    pub(crate) fn attach(
        &self,
        netns: &Netns,
        id: &str,
        ports: &[&str],
    ) -> Result<Attachment, attach::Error> {
        self.networks.attach(&request(id, ports), netns.file.as_fd())
    }

    pub(crate) fn detach(&self, id: &str) {
        self.networks.detach(&ContainerId::parse(id).expect("id")).expect("detach");
    }
}

pub(crate) fn request(id: &str, ports: &[&str]) -> Request {
    let mut request = Request::new(ContainerId::parse(id).expect("id"), format!("name-{id}"));
    request.ports = ports.iter().flat_map(|raw| PortMapping::parse(raw).expect("mapping")).collect();
    request
}
