//! A load generator for the Kubernetes API: TLS, eight HTTP/2 connections.
//!
//! There is no peer to take turns with: the figures beside ours are those of kube-apiserver 1.36
//! with etcd on a machine of this kind. They are good for factors, not for percents.

pub(crate) mod bodies;
mod connection;
mod load;
pub(crate) mod watches;

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
pub use bodies::BodiesReport;
use connection::Pool;
use load::{Latencies, each};
use testkit::kube::KubeServer;
use tokio::runtime::Runtime;
pub use watches::WatchReport;

use crate::process::{cpu_seconds, resident_mib};

/// A line of the table.
#[derive(Clone, Debug)]
struct Line {
    what: String,
    ours: f64,
    upstream: f64,
    unit: &'static str,
}

/// What was measured, beside what upstream did.
#[derive(Clone, Debug, Default)]
pub struct ApiReport {
    lines: Vec<Line>,
}

impl ApiReport {
    fn add(&mut self, what: impl Into<String>, unit: &'static str, ours: f64, upstream: f64) {
        self.lines.push(Line { what: what.into(), ours, upstream, unit });
    }
}

impl fmt::Display for ApiReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | ours | kube-apiserver 1.36 + etcd | ours / theirs |\n|---|---|---|---|")?;
        for line in &self.lines {
            let Line { what, ours, upstream, unit } = line;
            writeln!(f, "| {what} | {ours:.2} {unit} | {upstream} {unit} | {:.3} |", ours / upstream)?;
        }
        Ok(())
    }
}

/// Starts a server and measures it.
///
/// # Errors
/// When the server refuses anything: a failed run is no measurement.
pub(crate) fn measure() -> Result<ApiReport> {
    let mut report = ApiReport::default();
    let started = Instant::now();
    let mut server = KubeServer::start();
    report.add("ready after start", "s", started.elapsed().as_secs_f64(), 2.34);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // What starting took settles before the idle figure.
    std::thread::park_timeout(Duration::from_secs(3));
    let idle = resident_mib(server.pid())?;
    report.add("resident when idle", "MiB", idle, 495.0);
    let pool = runtime.block_on(Pool::connect(&server.kubeconfig()))?;
    creates(&runtime, &pool, server.pid(), &mut report)?;
    gets(&runtime, &pool, &mut report)?;
    lists(&runtime, &pool, &mut report)?;
    fan_out(&runtime, &pool, &mut report)?;
    report.add("resident after all of it", "MiB", resident_mib(server.pid())?, f64::NAN);
    cached(&runtime, &mut server, &mut report)?;
    Ok(report)
}

/// What 5,000 pods more take in a server that has only read them: its buffers are full before.
fn cached(runtime: &Runtime, server: &mut KubeServer, report: &mut ApiReport) -> Result<()> {
    let held = |server: &mut KubeServer| -> Result<(f64, f64, Pool)> {
        server.crash_and_restart();
        std::thread::park_timeout(Duration::from_secs(3));
        let resident = resident_mib(server.pid())?;
        let pool = runtime.block_on(Pool::connect(&server.kubeconfig()))?;
        let all = runtime.block_on(pool.call("GET", PODS, None))?;
        Ok((resident, all.len() as f64 / (1024.0 * 1024.0), pool))
    };
    let (before, small, pool) = held(server)?;
    let more = |number: usize| ("POST", PODS.to_owned(), Some(pod(&format!("more-{number}"))));
    runtime.block_on(each(&pool, 50, 5000, more))?;
    let (after, large, _) = held(server)?;
    let size = large - small;
    report.add(format!("memory of {size:.1} MiB of cached pods"), "x", (after - before) / size, 5.2);
    Ok(())
}

fn creates(runtime: &Runtime, pool: &Pool, server: u32, report: &mut ApiReport) -> Result<()> {
    for (workers, count, rate, p50) in
        [(1, 500, 337.0, 2.7), (10, 2000, 602.0, 14.0), (50, 2500, 1040.0, 42.0)]
    {
        let before = cpu_seconds(server)?;
        let latencies = runtime.block_on(each(pool, workers, count, move |number| {
            ("POST", format!("{PODS}?fieldManager=bench"), Some(pod(&format!("w{workers}-{number}"))))
        }))?;
        report.add(format!("pod creates, {workers} workers"), "/s", latencies.rate(), rate);
        report.add(format!("pod create p50, {workers} workers"), "ms", latencies.p50_ms(), p50);
        let each = (cpu_seconds(server)? - before) / count as f64 * 1e6;
        report.add(format!("CPU of a create, {workers} workers"), "us", each, f64::NAN);
    }
    Ok(())
}

fn gets(runtime: &Runtime, pool: &Pool, report: &mut ApiReport) -> Result<()> {
    for (workers, count, rate) in [(1, 2000, 811.0), (10, 10_000, 2910.0)] {
        let latencies = runtime.block_on(each(pool, workers, count, move |number| {
            ("GET", format!("{PODS}/w50-{}", number % 2500), None)
        }))?;
        report.add(format!("pod gets, {workers} workers"), "/s", latencies.rate(), rate);
    }
    Ok(())
}

fn lists(runtime: &Runtime, pool: &Pool, report: &mut ApiReport) -> Result<()> {
    let latencies = runtime.block_on(each(pool, 1, 15, |_| ("GET", PODS.to_owned(), None)))?;
    report.add("list of 5,000 pods, JSON", "ms", latencies.p50_ms(), 122.0);
    let pool = pool.accepting("application/vnd.kubernetes.protobuf");
    let latencies = runtime.block_on(each(&pool, 1, 15, |_| ("GET", PODS.to_owned(), None)))?;
    report.add("list of 5,000 pods, protobuf", "ms", latencies.p50_ms(), 60.0);
    Ok(())
}

/// 100 watchers, 500 creates: each event to each watcher.
fn fan_out(runtime: &Runtime, pool: &Pool, report: &mut ApiReport) -> Result<()> {
    let events: Latencies = runtime.block_on(load::fan_out(pool, 0, WATCHERS, FAN_CREATES))?;
    report.add("events to 100 watchers of 500 creates", "/s", events.rate(), 49_700.0);
    report.add("event p99", "ms", events.p99_ms(), 24.5);
    Ok(())
}

/// Starts a server and measures nothing but the fan-out, and what it takes of the processor: a
/// machine with more to do makes the clock slow, but little of this dearer.
///
/// # Errors
/// When the server refuses anything: a failed run is no measurement.
pub(crate) fn measure_fan_out(rounds: usize) -> Result<ApiReport> {
    let mut report = ApiReport::default();
    let server = KubeServer::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let pool = runtime.block_on(Pool::connect(&server.kubeconfig()))?;
    let cpu = || Ok::<_, anyhow::Error>((cpu_seconds(server.pid())?, cpu_seconds(std::process::id())?));
    let micros = |before: f64, now: f64, of: usize| (now - before) / of as f64 * 1e6;
    let creates = rounds * FAN_CREATES;
    let alone = cpu()?;
    let create = |number| ("POST", PODS.to_owned(), Some(pod(&format!("alone-{number}"))));
    let latencies = runtime.block_on(each(&pool, load::CREATORS, creates, create))?;
    let before = cpu()?;
    report.add("creates that nobody watches", "/s", latencies.rate(), f64::NAN);
    let cost = (micros(alone.0, before.0, creates), micros(alone.1, before.1, creates));
    report.add("CPU of a create, server", "us", cost.0, f64::NAN);
    report.add("CPU of a create, generator", "us", cost.1, f64::NAN);
    let (mut rates, mut p99s) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let events = runtime.block_on(load::fan_out(&pool, round, WATCHERS, FAN_CREATES))?;
        rates.push(events.rate());
        p99s.push(events.p99_ms());
    }
    let now = cpu()?;
    let median = |mut all: Vec<f64>| {
        all.sort_unstable_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    };
    report.add("events to 100 watchers of 500 creates, median", "/s", median(rates), 49_700.0);
    report.add("event p99, median", "ms", median(p99s), 24.5);
    for (what, before, now) in [("server", before.0, now.0), ("generator", before.1, now.1)] {
        let each = micros(before, now, creates * WATCHERS);
        report.add(format!("CPU of an event with its share of the create, {what}"), "us", each, f64::NAN);
    }
    Ok(report)
}

const WATCHERS: usize = 100;
const FAN_CREATES: usize = 500;
const PODS: &str = "/api/v1/namespaces/default/pods";

/// As a Deployment's pod is: 1.2 KiB before the server adds anything.
fn pod(name: &str) -> String {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "bench", "tier": "front", "pod-template-hash": "5f7d9c8b6d"}},
        "spec": {"containers": [{
            "name": "main", "image": "registry.example/team/service:1.27.3",
            "ports": [{"containerPort": 8080, "name": "http"}],
            "env": [
                {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "LEVEL", "value": "info"},
            ],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/service"}],
        }], "volumes": [{"name": "config", "configMap": {"name": "service"}}]},
    })
    .to_string()
}
