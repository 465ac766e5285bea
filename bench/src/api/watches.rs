//! Ten thousand watches, one of ten with a client that does not read: what an idle one costs the
//! server, and how fast the others hear of a thousand changes a second.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use testkit::kube::KubeServer;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::connection::{Pool, Windows};
use super::load::each;
use super::{PODS, pod};
use crate::process::resident_mib;

/// What was measured.
#[derive(Clone, Debug)]
pub struct WatchReport {
    idle_kib: f64,
    loaded_kib: f64,
    rate: f64,
    deliveries: u64,
    p50_ms: f64,
    p99_ms: f64,
    server_cpu_ms: f64,
    client_cpu_ms: f64,
}

impl fmt::Display for WatchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {WATCHES} watches, {STALLED} of them stalled | measured | goal |\n|---|---|---|")?;
        writeln!(f, "| memory of a watch, idle | {:.2} KiB | 8 KiB |", self.idle_kib)?;
        writeln!(f, "| memory of a watch, after the load | {:.2} KiB | |", self.loaded_kib)?;
        writeln!(f, "| changes | {:.0} /s | {RATE} /s |", self.rate)?;
        writeln!(f, "| deliveries | {} | |", self.deliveries)?;
        writeln!(f, "| delivery p50, from before the write | {:.1} ms | |", self.p50_ms)?;
        writeln!(f, "| delivery p99, from before the write | {:.1} ms | 100 ms |", self.p99_ms)?;
        writeln!(f, "| processor time of a change, server | {:.2} ms | |", self.server_cpu_ms)?;
        writeln!(f, "| processor time of a change, clients | {:.2} ms | |", self.client_cpu_ms)
    }
}

/// Starts a server and measures it.
///
/// # Errors
/// When the server refuses anything: a failed run is no measurement.
pub(crate) fn measure() -> Result<WatchReport> {
    let server = KubeServer::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let pool = runtime.block_on(Pool::connect(&server.kubeconfig()))?;
    runtime.block_on(each(&pool, 20, OBJECTS, |number| {
        ("POST", PODS.to_owned(), Some(pod(&format!("watched-{number}"))))
    }))?;
    settle();
    let without = resident_mib(server.pid())?;
    let began = Instant::now();
    let delays = Arc::new(Delays::default());
    let watches = runtime.block_on(open(&server, began, &delays))?;
    settle();
    let per_watch = |mib: f64| (mib - without) * 1024.0 / WATCHES as f64;
    let idle_kib = per_watch(resident_mib(server.pid())?);
    let cpu_before = (cpu(server.pid())?, cpu(std::process::id())?);
    let (changes, wall) = change(&runtime, &pool, began)?;
    // What is under way arrives.
    settle();
    let cpu_of_change = |before: Duration, now: Duration| (now - before).as_secs_f64() * 1e3 / changes as f64;
    let server_cpu_ms = cpu_of_change(cpu_before.0, cpu(server.pid())?);
    let client_cpu_ms = cpu_of_change(cpu_before.1, cpu(std::process::id())?);
    let loaded_kib = per_watch(resident_mib(server.pid())?);
    let deliveries = delays.count();
    ensure!(deliveries == changes * READERS_EACH, "{deliveries} deliveries of {changes} changes");
    drop(watches);
    Ok(WatchReport {
        idle_kib,
        loaded_kib,
        rate: changes as f64 / wall.as_secs_f64(),
        deliveries,
        p50_ms: delays.percentile_ms(50),
        p99_ms: delays.percentile_ms(99),
        server_cpu_ms,
        client_cpu_ms,
    })
}

/// Watches that are open, and those of clients that do not read them.
struct Watches {
    _readers: JoinSet<Result<()>>,
    _stalled: Vec<Response<Incoming>>,
}

/// Opens all watches: [`WATCHERS_EACH`] on each object, the last of them stalled.
async fn open(server: &KubeServer, began: Instant, delays: &Arc<Delays>) -> Result<Watches> {
    // Small windows: a stalled client's is soon full. Room for all of them on each connection.
    let windows = Windows { stream: STREAM_WINDOW, connection: 64 << 20 };
    let pool = Pool::connect_with(&server.kubeconfig(), CONNECTIONS, Some(windows)).await?;
    let list = pool.call("GET", &format!("{PODS}?limit=1"), None).await?;
    let list: serde_json::Value = serde_json::from_slice(&list)?;
    let at = list["metadata"]["resourceVersion"].as_str().context("no resourceVersion")?;
    let (mut readers, mut stalled) = (JoinSet::new(), Vec::new());
    for number in 0..OBJECTS {
        for watcher in 1..=WATCHERS_EACH {
            let path = format!(
                "{PODS}?watch=true&allowWatchBookmarks=true&resourceVersion={at}&fieldSelector=metadata.name%3Dwatched-{number}"
            );
            let response = pool.send("GET", &path, None).await?;
            if watcher == WATCHERS_EACH {
                stalled.push(response);
            } else {
                readers.spawn(read(response.into_body(), began, Arc::clone(delays)));
            }
        }
    }
    Ok(Watches { _readers: readers, _stalled: stalled })
}

async fn read(mut body: Incoming, began: Instant, delays: Arc<Delays>) -> Result<()> {
    let mut buffer = Vec::new();
    loop {
        let frame = body.frame().await.context("the watch ended")??;
        let now = began.elapsed();
        let Some(data) = frame.data_ref() else { continue };
        buffer.extend_from_slice(data);
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            if let Some(sent) = sent_at(&buffer[..end]) {
                delays.add(now.saturating_sub(sent));
            }
            buffer.drain(..=end);
        }
    }
}

/// When the change of a line was sent, without parsing it: the generator must not be the bottleneck.
fn sent_at(line: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(line).ok()?;
    let at = text.find(MARK)? + MARK.len();
    text[at..].split('"').next()?.parse().ok().map(Duration::from_nanos)
}

/// Changes objects at the wanted rate; how many, and how long it took.
fn change(runtime: &Runtime, pool: &Pool, began: Instant) -> Result<(u64, Duration)> {
    let started = Instant::now();
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for worker in 0..WORKERS {
            let pool = pool.clone();
            tasks.spawn(async move {
                let mut ticks = interval(Duration::from_secs(1) * WORKERS as u32 / RATE as u32);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
                for number in 0..RATE * SECONDS / WORKERS {
                    ticks.tick().await;
                    let path = format!("{PODS}/watched-{}", (number * WORKERS + worker) % OBJECTS);
                    let sent = began.elapsed().as_nanos();
                    let patch = format!("{{\"metadata\":{{\"annotations\":{{\"sent\":\"{sent}\"}}}}}}");
                    pool.call("PATCH", &path, Some(patch)).await?;
                }
                Ok::<_, anyhow::Error>(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok((((RATE * SECONDS / WORKERS) * WORKERS) as u64, started.elapsed()))
    })
}

/// Processor time of a process so far.
fn cpu(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("read a process's stat")?;
    let (_, fields) = stat.rsplit_once(") ").context("stat")?;
    // utime and stime, in hundredths of a second whatever the kernel's own clock is.
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// How long deliveries took, in steps of a tenth of a millisecond.
struct Delays {
    steps: Vec<AtomicU64>,
}

impl Default for Delays {
    fn default() -> Self {
        Self { steps: (0..100_000).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Delays {
    fn add(&self, delay: Duration) {
        let step = (delay.as_micros() / 100).min(self.steps.len() as u128 - 1) as usize;
        self.steps[step].fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.steps.iter().map(|step| step.load(Ordering::Relaxed)).sum()
    }

    fn percentile_ms(&self, percent: u64) -> f64 {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut below = 0;
        let found = self.steps.iter().position(|step| {
            below += step.load(Ordering::Relaxed);
            below >= rank
        });
        found.map_or(f64::NAN, |step| (step + 1) as f64 / 10.0)
    }
}

/// What was done before is over.
fn settle() {
    std::thread::park_timeout(Duration::from_secs(3));
}

const OBJECTS: usize = 1000;
const WATCHERS_EACH: usize = 10;
const READERS_EACH: u64 = WATCHERS_EACH as u64 - 1;
const WATCHES: usize = OBJECTS * WATCHERS_EACH;
const STALLED: usize = OBJECTS;
const CONNECTIONS: usize = 40;
const STREAM_WINDOW: u32 = 8 * 1024;
const RATE: usize = 1000;
const SECONDS: usize = 15;
const WORKERS: usize = 20;
const MARK: &str = "\"sent\":\"";
