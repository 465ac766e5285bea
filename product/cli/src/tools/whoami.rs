//! `whoami`: an HTTP server that tells who answered, and what it was asked.
//!
//! HTTP/1.1 with keep-alive, one thread a connection. `/` and any other path answer with
//! host name, addresses and the request; `/health` with 200 or what was posted to it;
//! `/data?size=N` with so many bytes; `/api` as JSON. Asked to end, it answers first what it was
//! asked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Outcome, wrong};

/// Longer request heads are no request of a person's.
const HEAD_BYTES_MAX: u64 = 64 << 10;
const BODY_BYTES_MAX: u64 = 1 << 20;
const DATA_BYTES_MAX: usize = 1 << 30;

/// Asked to end, it waits so long for somebody whose connection is on its way,
const LINGER: Duration = Duration::from_millis(20);
/// and so long at most for those that have not been answered.
const END_WITHIN: Duration = Duration::from_secs(2);

/// What every answer needs.
struct Server {
    name: Option<String>,
    health: AtomicU16,
    /// Connections with a request that is not answered: new ones, too.
    busy: AtomicUsize,
}

/// One of the busy connections.
struct Busy(Arc<Server>);

impl Busy {
    fn new(server: &Arc<Server>) -> Self {
        server.busy.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(server))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Request {
    method: String,
    target: String,
    version: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

pub(super) fn run(args: &[String], variables: &BTreeMap<String, String>) -> Outcome {
    let mut port = variables.get("WHOAMI_PORT_NUMBER").cloned().unwrap_or_else(|| "80".to_owned());
    let mut name = variables.get("WHOAMI_NAME").cloned();
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let (key, value) =
            word.split_once('=').map_or((word.as_str(), None), |(k, v)| (k, Some(v.to_owned())));
        let mut value = || value.clone().or_else(|| words.next().cloned()).unwrap_or_default();
        match key.trim_start_matches('-') {
            "port" | "p" => port = value(),
            "name" => name = Some(value()),
            _ => return Err(wrong("use: whoami [--port N] [--name NAME]")),
        }
    }
    let port: u16 =
        port.parse().map_err(|_| wrong(format!("port {port:?} is not a number from 1 to 65535")))?;
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    let server = Arc::new(Server { name, health: AtomicU16::new(200), busy: AtomicUsize::new(0) });
    // Process 1 gets no signal that it does not handle (pid_namespaces(7)).
    let signals: Vec<_> = ["TERM", "INT"].into_iter().filter_map(sys::signal::Signal::parse).collect();
    let signal = sys::signal::signalfd(&signals)?;
    listener.set_nonblocking(true)?;
    while let Some(connection) = next(&listener, &signal) {
        begin(&server, connection);
    }
    end(&listener, &server);
    Ok(0)
}

/// The next connection; `None` when it is asked to end.
fn next(listener: &TcpListener, signal: &OwnedFd) -> Option<TcpStream> {
    loop {
        let mut polled = [PollFd::new(listener, PollFlags::IN), PollFd::new(signal, PollFlags::IN)];
        // An interrupted call is made again.
        let _ = poll(&mut polled, None);
        if let Ok(Some(_)) = sys::signal::read_signalfd(signal) {
            return None;
        }
        if let Ok((connection, _)) = listener.accept() {
            return Some(connection);
        }
    }
}

/// Answers all that have asked.
fn end(listener: &TcpListener, server: &Arc<Server>) {
    let until = Instant::now() + END_WITHIN;
    let linger = Timespec { tv_sec: 0, tv_nsec: LINGER.as_nanos() as i64 };
    while Instant::now() < until {
        let came = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&linger));
        match listener.accept() {
            Ok((connection, _)) => begin(server, connection),
            Err(_) if came == Ok(0) && server.busy.load(Ordering::SeqCst) == 0 => return,
            Err(_) => {}
        }
    }
}

fn begin(server: &Arc<Server>, connection: TcpStream) {
    let busy = Busy::new(server);
    let server = Arc::clone(server);
    // A connection that cannot have a thread is closed, and its client tries again.
    let _ = thread::Builder::new().stack_size(128 << 10).spawn(move || serve(&server, &connection, busy));
}

fn serve(server: &Arc<Server>, connection: &TcpStream, busy: Busy) {
    let (mut reader, mut busy) = (BufReader::new(connection), Some(busy));
    // The next request has begun with its first byte.
    while reader.fill_buf().is_ok_and(|bytes| !bytes.is_empty()) {
        let _busy = busy.take().unwrap_or_else(|| Busy::new(server));
        let Ok(Some(request)) = read_request(&mut reader) else { return };
        let keep = !request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
            && request.version == "HTTP/1.1";
        if server.answer(connection, &request, keep).is_err() || !keep {
            return;
        }
    }
}

impl Server {
    fn answer(&self, mut connection: &TcpStream, request: &Request, keep: bool) -> std::io::Result<()> {
        let path = request.target.split('?').next().unwrap_or("/");
        let (status, kind, body) = match (request.method.as_str(), path) {
            ("POST", "/health") => {
                let code = String::from_utf8_lossy(&request.body).trim().parse().unwrap_or(200);
                self.health.store(code, Ordering::Relaxed);
                (200, "text/plain", Vec::new())
            }
            (_, "/health") => (self.health.load(Ordering::Relaxed), "text/plain", Vec::new()),
            (_, "/data") => (200, "application/octet-stream", data(&request.target)),
            (_, "/api") => (200, "application/json", self.json(connection, request).into_bytes()),
            _ => (200, "text/plain; charset=utf-8", self.text(connection, request).into_bytes()),
        };
        let connection_header = if keep { "keep-alive" } else { "close" };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: {connection_header}\r\n\r\n",
            if status == 200 { "OK" } else { "Status" },
        );
        let mut answer = head.into_bytes();
        if request.method != "HEAD" {
            answer.extend(body);
        }
        connection.write_all(&answer)
    }

    fn text(&self, connection: &TcpStream, request: &Request) -> String {
        let mut text = String::new();
        if let Some(name) = &self.name {
            let _ = writeln!(text, "Name: {name}");
        }
        let _ = writeln!(text, "Hostname: {}", hostname());
        for address in addresses() {
            let _ = writeln!(text, "IP: {address}");
        }
        if let Ok(peer) = connection.peer_addr() {
            let _ = writeln!(text, "RemoteAddr: {peer}");
        }
        let _ = writeln!(text, "{} {} {}", request.method, request.target, request.version);
        for (name, value) in &request.headers {
            let _ = writeln!(text, "{name}: {value}");
        }
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(&request.body));
        text
    }

    fn json(&self, connection: &TcpStream, request: &Request) -> String {
        let mut headers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in &request.headers {
            headers.entry(name).or_default().push(value);
        }
        serde_json::json!({
            "name": self.name, "hostname": hostname(), "ip": addresses(), "headers": headers,
            "url": request.target, "method": request.method,
            "host": request.header("host"), "remoteAddr": connection.peer_addr().ok().map(|peer| peer.to_string()),
        })
        .to_string()
    }
}

impl Request {
    fn header(&self, wanted: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.as_str())
    }
}

/// The next request; `None` at the end of the connection.
fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut head = reader.by_ref().take(HEAD_BYTES_MAX);
    let mut line = String::new();
    if head.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Err(wrong("no request")) };
    let version = words.next().unwrap_or_else(|| "HTTP/1.0".to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 {
            return Err(wrong("the request ends in its head"));
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| wrong("a header has no colon"))?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let mut request = Request { method, target, version, headers, body: Vec::new() };
    let length: u64 = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    reader.by_ref().take(length.min(BODY_BYTES_MAX)).read_to_end(&mut request.body)?;
    Ok(Some(request))
}

fn data(target: &str) -> Vec<u8> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let size =
        query.split('&').find_map(|pair| pair.strip_prefix("size=")).and_then(|text| text.parse().ok());
    vec![b'x'; size.unwrap_or(1usize).min(DATA_BYTES_MAX)]
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The addresses of our interfaces: what `/proc/net/fib_trie` calls local.
fn addresses() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let mut addresses: Vec<String> = Vec::new();
    let mut last = "";
    for line in text.lines() {
        if let Some(address) = line.trim().strip_prefix("|-- ") {
            last = address;
        } else if line.contains("/32 host LOCAL") && !addresses.iter().any(|known| known == last) {
            addresses.push(last.to_owned());
        }
    }
    let v6 = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    for line in v6.lines() {
        let bits = line.split_whitespace().next().and_then(|hex| u128::from_str_radix(hex, 16).ok());
        addresses.extend(bits.map(|bits| std::net::Ipv6Addr::from_bits(bits).to_string()));
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_requests() {
        let text = b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n";
        let mut reader = BufReader::new(&text[..]);
        let first = read_request(&mut reader).unwrap().unwrap();
        assert_eq!(
            (first.method.as_str(), first.target.as_str(), first.body.as_slice()),
            ("POST", "/a?b", &b"abc"[..])
        );
        assert_eq!(first.header("HOST"), Some("x"));
        assert_eq!(read_request(&mut reader).unwrap().unwrap().method, "GET");
        assert!(read_request(&mut reader).unwrap().is_none());
        assert!(read_request(&mut BufReader::new(&b"GET / HTTP/1.1\r\nx\r\n"[..])).is_err());
    }
}
