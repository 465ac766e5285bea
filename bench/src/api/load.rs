//! Workers that call, and watchers that wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http_body_util::BodyExt;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::connection::Pool;
use super::{PODS, pod};

/// How long each call took, and all of them together.
pub(super) struct Latencies {
    sorted: Vec<Duration>,
    wall: Duration,
}

impl Latencies {
    fn new(mut all: Vec<Duration>, wall: Duration) -> Self {
        all.sort_unstable();
        Self { sorted: all, wall }
    }

    pub(super) fn rate(&self) -> f64 {
        self.sorted.len() as f64 / self.wall.as_secs_f64()
    }

    pub(super) fn p50_ms(&self) -> f64 {
        self.percentile(50)
    }

    pub(super) fn p99_ms(&self) -> f64 {
        self.percentile(99)
    }

    fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.sorted.len() * percent).div_ceil(100).max(1);
        self.sorted[rank - 1].as_secs_f64() * 1e3
    }
}

/// A method, a path and a body.
type Request = (&'static str, String, Option<String>);

/// `count` calls by `workers` at once.
pub(super) async fn each(
    pool: &Pool,
    workers: usize,
    count: usize,
    request: impl Fn(usize) -> Request + Send + Sync + 'static,
) -> Result<Latencies> {
    let (request, next) = (Arc::new(request), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for _ in 0..workers {
        let (pool, request, next) = (pool.clone(), Arc::clone(&request), Arc::clone(&next));
        tasks.spawn(async move {
            let mut took = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<_, anyhow::Error>(took);
                }
                let (method, path, body) = request(number);
                let started = Instant::now();
                pool.call(method, &path, body).await?;
                took.push(started.elapsed());
            }
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(took) = tasks.join_next().await {
        all.extend(took??);
    }
    Ok(Latencies::new(all, started.elapsed()))
}

/// Latency of each event to each of `watchers`, from before the create to its line. Every watcher
/// must be told of every create, and once; the names of the pods have the number of the round.
pub(super) async fn fan_out(pool: &Pool, round: usize, watchers: usize, creates: usize) -> Result<Latencies> {
    let sent: Arc<Vec<AtomicU64>> = Arc::new((0..creates).map(|_| AtomicU64::new(0)).collect());
    let ready = Arc::new(Barrier::new(watchers + 1));
    let list = pool.call("GET", &format!("{PODS}?limit=1"), None).await?;
    let list: serde_json::Value = serde_json::from_slice(&list)?;
    let at = list["metadata"]["resourceVersion"].as_str().context("no resourceVersion")?.to_owned();
    let (mut tasks, began) = (JoinSet::new(), Instant::now());
    for _ in 0..watchers {
        let (pool, sent, ready, at) = (pool.clone(), Arc::clone(&sent), Arc::clone(&ready), at.clone());
        tasks.spawn(async move {
            let path = format!("{PODS}?watch=true&resourceVersion={at}");
            let mut body = pool.send("GET", &path, None).await?.into_body();
            ready.wait().await;
            let mut took: Vec<Option<Duration>> = vec![None; creates];
            let (mut lines, mut left, mark) = (Lines::default(), creates, format!("\"name\":\"fan-{round}-"));
            while left > 0 {
                let frame = body.frame().await.context("the watch ended")??;
                let now = began.elapsed();
                let Some(data) = frame.data_ref() else { continue };
                lines.feed(data, |head| {
                    let Some(number) = number_of(head, mark.as_bytes()) else { return };
                    let sent =
                        sent.get(number).map(|sent| Duration::from_nanos(sent.load(Ordering::Relaxed)));
                    let took = took.get_mut(number).filter(|took| took.is_none());
                    // What nobody sent, and what was told before, is left over and counts as missing.
                    if let (Some(sent), Some(took)) = (sent, took) {
                        *took = Some(now.saturating_sub(sent));
                        left -= 1;
                    }
                });
                ensure!(lines.count <= creates, "a watcher was told of {} creates of {creates}", lines.count);
            }
            Ok::<_, anyhow::Error>(took)
        });
    }
    ready.wait().await;
    let started = Instant::now();
    each(pool, CREATORS, creates, move |number| {
        sent[number].store(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
        ("POST", PODS.to_owned(), Some(pod(&format!("fan-{round}-{number}"))))
    })
    .await?;
    let mut all = Vec::with_capacity(watchers * creates);
    while let Some(took) = tasks.join_next().await {
        all.extend(took??.into_iter().flatten());
    }
    Ok(Latencies::new(all, started.elapsed()))
}

/// Cuts what comes into lines; only their beginnings are kept, for the generator must not be the
/// bottleneck.
#[derive(Default)]
struct Lines {
    head: Vec<u8>,
    /// How many there were.
    count: usize,
}

impl Lines {
    fn feed(&mut self, mut data: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(end) = memchr::memchr(b'\n', data) {
            self.keep(&data[..end]);
            line(&self.head);
            self.count += 1;
            self.head.clear();
            data = &data[end + 1..];
        }
        self.keep(data);
    }

    fn keep(&mut self, data: &[u8]) {
        let place = HEAD.saturating_sub(self.head.len()).min(data.len());
        self.head.extend_from_slice(&data[..place]);
    }
}

/// The number in the name behind `mark` in the beginning of an `ADDED` line.
fn number_of(head: &[u8], mark: &[u8]) -> Option<usize> {
    if !head.starts_with(b"{\"type\":\"ADDED\"") {
        return None;
    }
    let at = memchr::memmem::find(head, mark)? + mark.len();
    std::str::from_utf8(head[at..].split(|byte| *byte == b'"').next()?).ok()?.parse().ok()
}

/// So many create at once while others watch.
pub(super) const CREATORS: usize = 10;
/// The name stands within so many bytes of an event.
const HEAD: usize = 256;
