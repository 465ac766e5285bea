//! Rows K3-04, K3-06: what a cluster at rest takes, and what its network takes of that.

use std::time::{Duration, Instant};

use testkit::cluster::Cluster;
use testkit::{isolated, wait_until};

use super::{busybox, cluster, member};

/// k3s's own figures for a server with SQLite and an agent: 512 MiB, and a tenth of a core.
const K3S_MIB: u64 = 512;
const K3S_CORE_PERCENT: f64 = 10.0;
/// How long it is looked at.
const WINDOW: Duration = Duration::from_secs(20);

#[derive(Clone, Copy)]
struct Rest {
    kib: u64,
    core_percent: f64,
}

/// What the process takes while nobody asks anything of it.
fn at_rest(pid: u32) -> Rest {
    // It has finished what starting left to do when its memory is no longer the same a second ago.
    let mut last = 0;
    wait_until(Duration::from_secs(30), || {
        std::thread::park_timeout(Duration::from_secs(1));
        let now = resident_kib(pid);
        std::mem::replace(&mut last, now) == now
    });
    let (began, before) = (Instant::now(), cpu_time(pid));
    while began.elapsed() < WINDOW {
        std::thread::park_timeout(WINDOW.saturating_sub(began.elapsed()));
    }
    let used = cpu_time(pid).saturating_sub(before);
    Rest { kib: resident_kib(pid), core_percent: used.as_secs_f64() / began.elapsed().as_secs_f64() * 100.0 }
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// A cluster of one node with ten pods behind a Service, at rest.
fn rests() -> Rest {
    let cluster = cluster();
    cluster.apply(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 10\n  \
         selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      \
         terminationGracePeriodSeconds: 1\n      containers:\n      - {name: app, image: busybox, \
         imagePullPolicy: IfNotPresent, command: [sleep, '3600']}\n\
         ---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  selector: {app: web}\n  ports: [{port: 80}]\n",
    );
    cluster.wait_for(&["get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}"], "10");
    let rest = at_rest(cluster.pid());
    assert_eq!(member(&cluster, "deployment/web", ".status.readyReplicas"), "10");
    rest
}

#[test]
fn k3_04_a_cluster_at_rest_is_light() {
    isolated(|| {
        let rest = rests();
        println!("at rest: {} MiB, {:.2} % of a core", rest.kib / 1024, rest.core_percent);
        assert!(rest.kib < K3S_MIB * 1024, "{} KiB", rest.kib);
        assert!(rest.core_percent < K3S_CORE_PERCENT, "{} % of a core", rest.core_percent);
    });
}

/// Services that the network's parts have to know.
const SERVICES: usize = 200;

#[test]
fn k3_06_what_the_network_takes_on_a_node() {
    isolated(|| {
        let mut cluster = cluster();
        let services: String = (0..SERVICES)
            .map(|at| {
                format!(
                    "apiVersion: v1\nkind: Service\nmetadata: {{name: s{at}}}\nspec: {{selector: {{app: one}}, \
                     ports: [{{port: 80}}]}}\n---\n"
                )
            })
            .collect();
        cluster.apply(&services);
        // One node with all of the network, one with none of it but its own bridge.
        cluster.join(busybox(), &[]);
        cluster.join(busybox(), &["--pod-network", "none", "--disable-service-proxy", "--disable-dns"]);
        let pid = |cluster: &mut Cluster, at: usize| cluster.nodes()[at].pid();
        let pids = [pid(&mut cluster, 0), pid(&mut cluster, 1)];
        let [with, without] = pids.map(at_rest);
        for (name, rest) in [("with the network", with), ("without", without)] {
            println!("{name}: {} KiB, {:.2} % of a core", rest.kib, rest.core_percent);
        }
        println!(
            "the network of a node among {SERVICES} services: {} KiB, {:.2} % of a core",
            with.kib.saturating_sub(without.kib),
            (with.core_percent - without.core_percent).max(0.0)
        );
        assert!(with.kib < without.kib + 32 * 1024, "{} and {} KiB", with.kib, without.kib);
        assert!(with.core_percent < without.core_percent + K3S_CORE_PERCENT);
    });
}
