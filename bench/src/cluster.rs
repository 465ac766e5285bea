//! A whole cluster on one machine: how soon it is there, what it takes at rest, how soon pods run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use client::http::HttpClient;
use client::{Api, Call};
use controllers::known;
use serde_json::{Value, json};
use testkit::Strake;
use testkit::cluster::Cluster;
use tokio::runtime::Runtime;

use crate::process::{all, cpu_seconds, proportional_mib, resident};
use crate::sim::{LineReport, connect};

/// Starts one and measures it. The image is there already: nothing is pulled.
///
/// # Errors
/// When the cluster refuses anything, or something does not come in time.
pub(crate) fn measure() -> Result<LineReport> {
    let mut report = LineReport::new("A cluster of one node");
    let runtime = Runtime::new()?;
    let strake = Strake::new().with_busybox();
    let kubeconfig = strake.root().join("server/admin.kubeconfig");
    let firsts = runtime.spawn(firsts(kubeconfig.clone(), Instant::now()));
    let cluster = Cluster::boot(strake, &[]);
    let firsts = runtime.block_on(firsts)??;
    report.add("cold start to node Ready (goal 2 s)", seconds(firsts.ready));
    report.add("cold start to first pod Running (goal 2.5 s)", seconds(firsts.running));
    rest(cluster.pid(), &mut report)?;
    let api = connect(&kubeconfig)?;
    runtime.block_on(together(&api, &mut report))?;
    runtime.block_on(replaced(&api, &cluster, &mut report))?;
    Ok(report)
}

/// When what a newcomer waits for was first seen.
struct Firsts {
    ready: Duration,
    running: Duration,
}

/// Asks for a pod as soon as anybody answers, and looks until it runs.
async fn firsts(kubeconfig: PathBuf, began: Instant) -> Result<Firsts> {
    let api = first_answer(&kubeconfig, began).await?;
    let (mut asked, mut ready, mut running) = (false, None, None);
    loop {
        ensure!(began.elapsed() < PATIENCE, "no pod runs after {PATIENCE:?}");
        // Its namespace and its service account come a moment after the API.
        asked = asked || api.call(Call::create(known::pods(), "default", pod("first"))).await.is_ok();
        if ready.is_none() && is_ready(&*api).await {
            ready = Some(began.elapsed());
        }
        if running.is_none() && asked && phases(&*api).await?.iter().any(|(_, phase)| phase == "Running") {
            running = Some(began.elapsed());
        }
        if let (Some(ready), Some(running)) = (ready, running) {
            return Ok(Firsts { ready, running });
        }
        tokio::time::sleep(GLANCE).await;
    }
}

async fn first_answer(kubeconfig: &Path, began: Instant) -> Result<Arc<HttpClient>> {
    loop {
        if let Ok(api) = connect(kubeconfig)
            && api.call(Call::list(known::nodes(), "")).await.is_ok()
        {
            return Ok(api);
        }
        ensure!(began.elapsed() < PATIENCE, "nobody answers after {PATIENCE:?}");
        tokio::time::sleep(GLANCE).await;
    }
}

/// What the process takes when nothing happens.
fn rest(server: u32, report: &mut LineReport) -> Result<()> {
    std::thread::park_timeout(SETTLE);
    let (cpu, began) = (cpu_seconds(server)?, Instant::now());
    std::thread::park_timeout(REST);
    let share = (cpu_seconds(server)? - cpu) / began.elapsed().as_secs_f64() * 100.0;
    report.add("resident at rest (goal 64 MiB)", resident(server)?);
    report.add("processor at rest (goal 1 % of a core)", format!("{share:.2} %"));
    Ok(())
}

/// Pods that are asked for at once, and what each takes besides its own process.
async fn together(api: &HttpClient, report: &mut LineReport) -> Result<()> {
    let before = ours_mib()?;
    let began = Instant::now();
    for number in 0..TOGETHER {
        let create = Call::create(known::pods(), "default", pod(&format!("together-{number}")));
        api.call(create).await.map_err(|it| anyhow!("{it}"))?;
    }
    let mut running: Vec<(String, Duration)> = Vec::new();
    while running.len() < TOGETHER {
        ensure!(began.elapsed() < PATIENCE, "{} of {TOGETHER} pods run", running.len());
        for (name, phase) in phases(api).await? {
            let new = running.iter().all(|(known, _)| *known != name);
            if phase == "Running" && name != "first" && new {
                running.push((name, began.elapsed()));
            }
        }
        tokio::time::sleep(GLANCE).await;
    }
    let at = |share: usize| running.get((TOGETHER * share).div_ceil(100) - 1).map_or(PATIENCE, |it| it.1);
    report.add(
        format!("{TOGETHER} pods at once, each from the first request on"),
        format!("p50 {}, p99 {}", seconds(at(50)), seconds(at(99))),
    );
    tokio::time::sleep(SETTLE).await;
    let each = (ours_mib()? - before) / TOGETHER as f64;
    report.add("memory of ours for each pod at rest (goal 1 MiB)", format!("{each:.2} MiB"));
    Ok(())
}

/// How soon a Deployment's pod is replaced: its container's process killed, and the pod itself deleted.
async fn replaced(api: &HttpClient, cluster: &Cluster, report: &mut LineReport) -> Result<()> {
    let create = Call::create(known::deployments(), "default", deployment());
    api.call(create).await.map_err(|it| anyhow!("{it}"))?;
    let (mut killed, mut deleted) = (Vec::new(), Vec::new());
    for _ in 0..REPLACED {
        // Of a pod that has never been restarted: the second time there is a wait, as upstream has it.
        let pod = renewed_pod(api, None).await?;
        killed.push(killed_process(api, cluster, &pod).await?);
        deleted.push(deleted_pod(api, &pod).await?);
    }
    for (what, mut took) in [("a container's process killed", killed), ("a pod deleted", deleted)] {
        took.sort_unstable();
        let at = |index: usize| took.get(index).copied().unwrap_or(PATIENCE);
        report.add(
            format!("{what} to its replacement Running, {REPLACED} times (goal 1 s)"),
            format!("p50 {}, max {}", seconds(at((REPLACED - 1) / 2)), seconds(at(REPLACED - 1))),
        );
    }
    Ok(())
}

/// SIGKILL of the container's first process until the next one is seen to run.
async fn killed_process(api: &HttpClient, cluster: &Cluster, pod: &Value) -> Result<Duration> {
    let uid = pod["metadata"]["uid"].as_str().context("no uid")?;
    let before = started(pod).context("it does not run")?;
    let process = process_of(cluster, uid)?;
    let began = Instant::now();
    rustix::process::kill_process(process, rustix::process::Signal::KILL)?;
    loop {
        ensure!(began.elapsed() < PATIENCE, "the container is not started again");
        let now = named(api, pod).await?;
        if started(&now).is_some_and(|now| now != before) {
            return Ok(began.elapsed());
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// Deletion of the pod until another one runs.
async fn deleted_pod(api: &HttpClient, pod: &Value) -> Result<Duration> {
    let name = pod["metadata"]["name"].as_str().context("no name")?;
    let began = Instant::now();
    api.call(Call::delete(known::pods(), "default", name)).await.map_err(|it| anyhow!("{it}"))?;
    renewed_pod(api, Some(name)).await?;
    Ok(began.elapsed())
}

/// The Deployment's pod, once it runs, that is not the one that was deleted.
async fn renewed_pod(api: &HttpClient, deleted: Option<&str>) -> Result<Value> {
    let began = Instant::now();
    loop {
        ensure!(began.elapsed() < PATIENCE, "the Deployment's pod does not run");
        let list = Call::list(known::pods(), "default").with(|options| {
            options.label_selector = Some("app=replaced".to_owned());
        });
        let pods = api.call(list).await.map_err(|it| anyhow!("{it}"))?;
        let runs = |pod: &&Value| {
            let is_deleted = pod["metadata"]["deletionTimestamp"].is_string();
            !is_deleted && pod["metadata"]["name"].as_str() != deleted && started(pod).is_some()
        };
        if let Some(pod) = pods["items"].as_array().into_iter().flatten().find(runs) {
            return Ok(pod.clone());
        }
        tokio::time::sleep(GLANCE).await;
    }
}

async fn named(api: &HttpClient, pod: &Value) -> Result<Value> {
    let name = pod["metadata"]["name"].as_str().context("no name")?;
    api.call(Call::get(known::pods(), "default", name)).await.map_err(|it| anyhow!("{it}"))
}

/// Which container of the pod runs: its id.
fn started(pod: &Value) -> Option<String> {
    let status = &pod["status"]["containerStatuses"][0];
    let runs = status["state"]["running"].is_object() && pod["status"]["phase"] == "Running";
    runs.then(|| status["containerID"].as_str().map(str::to_owned))?
}

/// The first process of a pod's container, by the kubelet's mount that only this pod has.
fn process_of(cluster: &Cluster, uid: &str) -> Result<rustix::process::Pid> {
    let ours = all()?.into_iter().filter(|(_, command)| command.starts_with("sleep"));
    let found = ours.map(|(pid, _)| pid).find(|pid| {
        let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        mounts.contains(uid)
    });
    let found = found.with_context(|| format!("no process of pod {uid}:\n{}", cluster.messages()))?;
    rustix::process::Pid::from_raw(i32::try_from(found)?).context("no process id")
}

fn deployment() -> Value {
    let mut spec = pod("")["spec"].clone();
    spec["restartPolicy"] = json!("Always");
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "replaced"},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": "replaced"}},
            "template": {"metadata": {"labels": {"app": "replaced"}}, "spec": spec},
        },
    })
}

/// Everything here but this program and what runs in containers.
fn ours_mib() -> Result<f64> {
    let ours = all()?.into_iter().filter(|(pid, command)| {
        *pid != std::process::id() && !command.is_empty() && !command.starts_with("sleep")
    });
    Ok(ours.filter_map(|(pid, _)| proportional_mib(pid).ok()).sum())
}

async fn is_ready(api: &dyn Api) -> bool {
    let node = api.call(Call::get(known::nodes(), "", "n1")).await.unwrap_or_default();
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True")
}

async fn phases(api: &dyn Api) -> Result<Vec<(String, String)>> {
    let pods = api.call(Call::list(known::pods(), "default")).await.map_err(|it| anyhow!("{it}"))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = pods["items"].as_array().context("no items")?;
    Ok(items.iter().map(|pod| (text(&pod["metadata"]["name"]), text(&pod["status"]["phase"]))).collect())
}

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [{
            "name": "main", "image": "busybox", "imagePullPolicy": "IfNotPresent",
            "command": ["sleep", "3600"],
        }]},
    })
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

const TOGETHER: usize = 20;
const REPLACED: usize = 10;
const GLANCE: Duration = Duration::from_millis(5);
const SETTLE: Duration = Duration::from_secs(5);
const REST: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(120);
