//! Many nodes on one server: simulated kubelets in this process, everything else real.
//!
//! A kubelet here is what the API sees of one: a Node, a Lease that it renews, a watch of its pods, and a status for
//! each pod. Pods come from Deployments, by the server's own loops and our scheduler.

mod kubelet;

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use client::http::Endpoint;
use client::{Api, Call, HttpClient};
use controllers::known;
use kube_object::yaml;
use serde_json::json;
use testkit::kube::{KubeServer, Part};
use tokio::task::JoinSet;

use crate::process::{cpu_seconds, resident};
use kubelet::Kubelet;

/// How large.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) nodes: usize,
    pub(crate) pods_per_node: usize,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct LineReport {
    title: String,
    lines: Vec<(String, String)>,
}

impl LineReport {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), lines: Vec::new() }
    }

    pub(crate) fn add(&mut self, what: impl Into<String>, value: impl Into<String>) {
        self.lines.push((what.into(), value.into()));
    }
}

impl fmt::Display for LineReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n\n| | |\n|---|---|", self.title)?;
        self.lines.iter().try_for_each(|(what, value)| writeln!(f, "| {what} | {value} |"))
    }
}

/// What all kubelets count.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Pods seen on a node.
    pub(crate) bound: std::sync::atomic::AtomicUsize,
    /// Pods whose status says that they run.
    pub(crate) running: std::sync::atomic::AtomicUsize,
    writes: Mutex<Vec<Duration>>,
    reads: Mutex<Vec<Duration>>,
}

impl Counts {
    pub(crate) fn wrote(&self, took: Duration) {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner).push(took);
    }

    fn read(&self, took: Duration) {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).push(took);
    }
}

/// Runs it.
///
/// # Errors
/// When anything is refused, or does not come in time.
pub(crate) fn measure(size: Size) -> Result<LineReport> {
    let server = KubeServer::start();
    let scheduler = server.part(&["scheduler"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let report = runtime.block_on(run(size, &server, &scheduler));
    runtime.shutdown_background();
    report
}

async fn run(size: Size, server: &KubeServer, scheduler: &Part) -> Result<LineReport> {
    let title = format!("{} simulated nodes × {} pods", size.nodes, size.pods_per_node);
    let mut report = LineReport::new(title);
    report.add("server resident before", resident(server.pid())?);
    let counts = Arc::new(Counts::default());
    let mut kubelets = JoinSet::new();
    let started = Instant::now();
    // A real kubelet has a connection of its own; a thousand of them share some.
    let clients: Vec<Arc<HttpClient>> =
        (0..size.nodes.min(CONNECTIONS_MAX)).map(|_| connect(&server.kubeconfig())).collect::<Result<_>>()?;
    let mut registering = JoinSet::new();
    for number in 0..size.nodes {
        let api: Arc<dyn Api> = clients[number % clients.len()].clone();
        let kubelet = Kubelet::new(number, size.pods_per_node, api, Arc::clone(&counts));
        registering.spawn(async move { kubelet.register().await.map(|()| kubelet) });
    }
    while let Some(registered) = registering.join_next().await {
        kubelets.spawn(registered??.run());
    }
    report.add("all nodes registered after", seconds(started.elapsed()));
    let prober = connect(&server.kubeconfig())?;
    let probing = tokio::spawn(probe(Arc::clone(&prober), Arc::clone(&counts)));
    let cpu = [cpu_seconds(server.pid())?, cpu_seconds(scheduler.pid())?];
    let began = Instant::now();
    let pods = size.nodes * size.pods_per_node;
    if pods == 0 {
        tokio::time::sleep(HEARTBEATS_FOR).await;
    } else {
        deploy(&*prober, pods).await?;
        report.add("deployments created after", seconds(began.elapsed()));
        let bound = until(&counts.bound, pods, began).await?;
        report.add("all pods bound after", format!("{} ({:.0} pods/s)", seconds(bound), rate(pods, bound)));
        let running = until(&counts.running, pods, began).await?;
        report.add(
            "all pods running after",
            format!("{} ({:.0} pods/s)", seconds(running), rate(pods, running)),
        );
    }
    probing.abort();
    let wall = began.elapsed().as_secs_f64();
    let used = [cpu_seconds(server.pid())? - cpu[0], cpu_seconds(scheduler.pid())? - cpu[1]];
    report.add("server CPU meanwhile", format!("{:.1} s of {wall:.1} s", used[0]));
    report.add("scheduler CPU meanwhile", format!("{:.1} s", used[1]));
    latencies(&mut report, "API writes", &counts.writes);
    latencies(&mut report, "API reads of one object", &counts.reads);
    report.add("server resident after", resident(server.pid())?);
    report.add("scheduler resident after", resident(scheduler.pid())?);
    Ok(report)
}

/// A client as the administrator.
pub(crate) fn connect(kubeconfig: &Path) -> Result<Arc<HttpClient>> {
    let bytes = fs::read(kubeconfig)?;
    let config = yaml::read(&bytes).map_err(|error| anyhow!("{error}"))?.value;
    Ok(Arc::new(HttpClient::new(Endpoint::from_kubeconfig(&config, "kubelet-sim")?)))
}

/// Deployments of a hundred pods each, or less.
async fn deploy(api: &dyn Api, pods: usize) -> Result<()> {
    let mut left = pods;
    let mut number = 0;
    while left > 0 {
        let replicas = left.min(REPLICAS);
        let labels = json!({"app": format!("sim-{number}")});
        let container = json!({
            "name": "main", "image": "registry.example/team/service:1.27.3",
            "ports": [{"containerPort": 8080}],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        });
        let deployment = json!({
            "metadata": {"name": format!("sim-{number}")},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}},
        });
        api.call(Call::create(known::deployments(), "default", deployment))
            .await
            .map_err(|it| anyhow!("{it}"))?;
        left -= replicas;
        number += 1;
    }
    Ok(())
}

/// Reads a node now and then, as people's tools do.
async fn probe(api: Arc<HttpClient>, counts: Arc<Counts>) {
    loop {
        let started = Instant::now();
        if api.call(Call::get(known::nodes(), "", "sim-0")).await.is_ok() {
            counts.read(started.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until(count: &std::sync::atomic::AtomicUsize, wanted: usize, began: Instant) -> Result<Duration> {
    while count.load(Ordering::Relaxed) < wanted {
        let found = count.load(Ordering::Relaxed);
        ensure!(began.elapsed() < PATIENCE, "only {found} of {wanted} pods came so far in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(began.elapsed())
}

fn latencies(report: &mut LineReport, what: &str, all: &Mutex<Vec<Duration>>) {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    all.sort_unstable();
    let percentile = |percent: usize| {
        let rank = (all.len() * percent).div_ceil(100).max(1);
        all.get(rank - 1).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
    };
    let text = format!("p50 {:.1} ms, p99 {:.1} ms, {} calls", percentile(50), percentile(99), all.len());
    report.add(what, text);
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

const REPLICAS: usize = 100;
const CONNECTIONS_MAX: usize = 50;
/// How long a cluster without pods is looked at.
const HEARTBEATS_FOR: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(540);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k3_03_simulated_nodes_take_their_pods() {
        let report = measure(Size { nodes: 4, pods_per_node: 25 }).unwrap();
        let found = |what: &str| report.lines.iter().any(|(name, _)| name == what);
        assert!(found("all nodes registered after") && found("all pods running after"), "{report}");
    }

    /// Their heartbeats are renewed, and looked at by the server's own loop, while they are looked at.
    #[test]
    fn cp_09_a_thousand_nodes_register_and_are_one_computer() {
        let server = KubeServer::start();
        let scheduler = server.part(&["scheduler"]);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let report =
            runtime.block_on(run(Size { nodes: 1000, pods_per_node: 0 }, &server, &scheduler)).unwrap();
        print!("{report}");
        let ready = r#"jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}"#;
        let nodes = server.kubectl(&["get", "nodes", "-o", ready]);
        assert_eq!(nodes.ok().split(' ').filter(|status| *status == "True").count(), 1000);
        let leases = server.kubectl(&["get", "leases", "-n", "kube-node-lease", "-o", "name"]);
        assert_eq!(leases.ok().lines().count(), 1000);
        runtime.shutdown_background();
    }
}
