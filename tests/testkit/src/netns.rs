//! Network namespaces with somebody in them who asks and answers.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use sys::namespace::{self, Namespace, NamespaceSet};

/// How long a peer may stay silent before it counts as unreachable.
const PATIENCE: Duration = Duration::from_millis(700);

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace with a thread that lives in it.
#[derive(Debug)]
pub struct Netns {
    /// The namespace.
    pub file: File,
    jobs: mpsc::Sender<Job>,
}

impl Netns {
    /// A new one, with loopback down.
    #[allow(clippy::new_without_default, reason = "it makes something in the kernel")]
    pub fn new() -> Self {
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
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (send, result) = mpsc::channel();
        self.jobs.send(Box::new(move || drop(send.send(work())))).expect("thread lives");
        result.recv().expect("the work did not panic")
    }

    /// A server on a thread of its own that answers every connection with `name` and
    /// the address it was reached from.
    pub fn serve_tcp(&self, port: u16, name: impl Into<String>) {
        let name = name.into();
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
    pub fn serve_udp(&self, port: u16, name: impl Into<String>) {
        let name = name.into();
        let socket = self.run(move || UdpSocket::bind(("0.0.0.0", port)).expect("bind"));
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(format!("{name} {}", from.ip()).as_bytes(), from);
            }
        });
    }

    /// What the server at `to` says, or why it cannot be reached.
    pub fn ask(&self, to: impl Into<SocketAddr>) -> Result<String, String> {
        let to = to.into();
        self.run(move || ask(to))
    }

    /// The same over UDP.
    pub fn ask_udp(&self, to: impl Into<SocketAddr>) -> Result<String, String> {
        let to = to.into();
        self.run(move || ask_udp(to))
    }

    /// Where it is found in `/proc`, for `ip link set … netns`.
    pub fn path(&self) -> String {
        let own = self.run(|| std::fs::read_link("/proc/thread-self").expect("own thread"));
        format!("/proc/{}/ns/net", own.display())
    }

    /// Runs a command inside and gives its output.
    pub fn sh(&self, line: &str) -> String {
        let line = line.to_owned();
        self.run(move || sh(&line))
    }
}

/// Runs `work` on a thread of its own inside a network namespace, and waits for it.
///
/// # Panics
/// When the namespace cannot be joined, or with what `work` panics with.
pub fn run_inside<T: Send>(namespace: &File, work: impl FnOnce() -> T + Send) -> T {
    let inside = || {
        namespace::join(namespace, Namespace::Net).expect("a network namespace");
        work()
    };
    let done = std::thread::scope(|scope| scope.spawn(inside).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// What the TCP server at `to` says, asked from the caller's namespace.
pub fn ask(to: SocketAddr) -> Result<String, String> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).map_err(|e| e.kind().to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(|e| e.kind().to_string())?;
    Ok(text)
}

/// The same over UDP.
pub fn ask_udp(to: SocketAddr) -> Result<String, String> {
    let any = if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).expect("bind");
    socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
    socket.connect(to).map_err(|e| e.kind().to_string())?;
    socket.send(b"?").map_err(|e| e.kind().to_string())?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).map_err(|e| e.kind().to_string())?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Runs a command line and gives its standard output.
pub fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-ec", line]).output().expect("sh");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
