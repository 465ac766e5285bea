//! The cluster's names under load: `strake dns` beside a server, asked over loopback.
//!
//! The asker shares the machine, so that what one core of the server can do is told from its processor time.

use std::fmt;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::kube::KubeServer;

use crate::process::{cpu_seconds, resident};

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct DnsReport(Vec<(String, String, &'static str)>);

impl fmt::Display for DnsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | ours | CoreDNS on two processors |\n|---|---|---|")?;
        self.0.iter().try_for_each(|(what, ours, theirs)| writeln!(f, "| {what} | {ours} | {theirs} |"))
    }
}

/// Runs it.
///
/// # Errors
/// When something does not answer.
pub(crate) fn measure() -> Result<DnsReport> {
    let mut report = DnsReport::default();
    let server = KubeServer::start();
    let outside = outside()?;
    let dns = server.part(&["dns", "--listen", "127.0.0.1:0", "--upstream", &format!("127.0.0.1:{outside}")]);
    let line = dns.said().lines().find_map(|line| line.strip_prefix("answers at 127.0.0.1:"));
    let port: u16 = line.context("it does not say where it answers")?.parse()?;
    report.0.push(("resident, empty cluster".to_owned(), resident(dns.pid())?, "54 MB"));
    fill(&server)?;
    let last = format!("svc-{}.default.svc.cluster.local", SERVICES - 1);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !answers(port, &last)? {
        ensure!(Instant::now() < deadline, "{last} never came");
    }
    report.0.push((format!("resident, {SERVICES} services"), resident(dns.pid())?, "54 MB + 1 kB each"));
    for (what, name, theirs) in [
        ("a service", "svc-7.default.svc.cluster.local", "33,669 queries/s"),
        ("a name of the outside, as it is", "www.example.com", ""),
        (
            "a name of the outside, by the search path",
            "www.example.com.default.svc.cluster.local",
            "31,428 with autopath",
        ),
    ] {
        let (count, wall, cpu) = load(port, name, dns.pid())?;
        let ours = format!(
            "{:.0} queries/s beside the asker; {:.1} µs of processor each: {:.0}/s a core",
            count / wall,
            cpu * 1e6 / count,
            count / cpu
        );
        report.0.push((what.to_owned(), ours, theirs));
    }
    report.0.push(("resident after it".to_owned(), resident(dns.pid())?, ""));
    Ok(report)
}

/// Services, and a pod at the asker's address, so that its search path is known.
fn fill(server: &KubeServer) -> Result<()> {
    let services = (0..SERVICES).map(|number| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("svc-{number}")},
            "spec": {"ports": [{"name": "http", "port": 80}]}})
    });
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asker"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let list =
        json!({"apiVersion": "v1", "kind": "List", "items": services.chain([pod]).collect::<Vec<_>>()});
    let file = server.home().join("services.json");
    std::fs::write(&file, list.to_string())?;
    server.kubectl(&["create", "-f", &file.to_string_lossy()]).ok();
    let status = r#"{"status":{"phase":"Running","podIP":"127.0.0.1","podIPs":[{"ip":"127.0.0.1"}]}}"#;
    server.kubectl(&["patch", "pod", "asker", "--subresource=status", "-p", status]).ok();
    Ok(())
}

fn query(name: &str) -> Vec<u8> {
    let mut bytes = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

fn answers(port: u16, name: &str) -> Result<bool> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.send(&query(name))?;
    let mut reply = [0; 1500];
    let length = socket.recv(&mut reply).context("no answer")?;
    Ok(length > 12 && reply[7] > 0)
}

/// Askers with some queries under way each: answers, seconds, and the server's processor seconds.
fn load(port: u16, name: &str, pid: u32) -> Result<(f64, f64, f64)> {
    ensure!(answers(port, name)?, "{name} has no answer");
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let cpu = cpu_seconds(pid)?;
    let started = Instant::now();
    let mut askers = Vec::new();
    for _ in 0..ASKERS {
        let (stop, count, query) = (Arc::clone(&stop), Arc::clone(&count), query(name));
        askers.push(std::thread::spawn(move || ask(port, &query, &stop, &count)));
    }
    std::thread::park_timeout(FOR);
    stop.store(true, Ordering::Relaxed);
    let wall = started.elapsed().as_secs_f64();
    let answered = count.load(Ordering::Relaxed) as f64;
    let cpu = cpu_seconds(pid)? - cpu;
    for asker in askers {
        asker.join().map_err(|_| anyhow::anyhow!("an asker failed"))??;
    }
    Ok((answered, wall, cpu))
}

fn ask(port: u16, query: &[u8], stop: &AtomicBool, count: &AtomicU64) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut reply = [0; 1500];
    (0..UNDER_WAY).try_for_each(|_| socket.send(query).map(drop))?;
    while !stop.load(Ordering::Relaxed) {
        match socket.recv(&mut reply) {
            Ok(_) => {
                count.fetch_add(1, Ordering::Relaxed);
                socket.send(query)?;
            }
            // Some got lost: begin anew.
            Err(_) => (0..UNDER_WAY).try_for_each(|_| socket.send(query).map(drop))?,
        }
    }
    Ok(())
}

/// A server of the outside that knows everything.
fn outside() -> Result<u16> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = socket.local_addr()?.port();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let query = &buffer[..length];
            let Some(root) = query.get(12..).and_then(|rest| rest.iter().position(|byte| *byte == 0)) else {
                continue;
            };
            let mut reply = query[..12 + root + 5].to_vec();
            reply[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
            reply[8..12].fill(0);
            reply.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, 80]);
            let _ = socket.send_to(&reply, from);
        }
    });
    Ok(port)
}

const SERVICES: usize = 5_000;
const ASKERS: usize = 2;
const UNDER_WAY: usize = 32;
const FOR: Duration = Duration::from_secs(5);
