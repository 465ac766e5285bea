//! A campaign against one server: mutated bodies and bombs, several at once, each of which is
//! answered, and none with a 5xx.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::{join_all, try_join_all};
use testkit::kube::KubeServer;

use crate::bombs::{self, Bomb};
use crate::connection::{Answer, Pool};
use crate::mutate::mutate;
use crate::random::Random;
use crate::seeds::{self, Content, NAMESPACE, Seed};

/// Connections of a campaign.
const CONNECTIONS: usize = 4;

/// What was answered.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Answers by the first digit of their status.
    pub codes: [usize; 6],
    /// The refusal that took longest.
    pub slowest: Slow,
}

/// How long something took.
#[derive(Clone, Debug, Default)]
pub struct Slow {
    /// From the request's first byte to the answer's last.
    pub took: Duration,
    /// What it was.
    pub what: String,
}

impl Tally {
    fn add(&mut self, code: u16, took: Duration, what: impl FnOnce() -> String) {
        let class = usize::from(code / 100).min(5);
        self.codes[class] += 1;
        if class == 4 && took > self.slowest.took {
            self.slowest = Slow { took, what: what() };
        }
    }
}

/// What became of a bomb.
#[derive(Clone, Debug)]
pub struct Struck {
    /// Which, and how it was sent.
    pub what: String,
    /// The answer's status; 0 if there was none.
    pub code: u16,
    /// The beginning of the answer.
    pub said: String,
    /// From the request's first byte to the answer's last.
    pub took: Duration,
    /// What the server's threads computed meanwhile: of the bomb alone if it was alone.
    pub computed: Duration,
}

impl Struck {
    /// Whether it was answered, and the fault is not the server's.
    pub fn is_fine(&self) -> bool {
        (200..500).contains(&self.code)
    }
}

/// A server that is attacked.
#[derive(Debug)]
pub struct Campaign<'a> {
    server: &'a KubeServer,
    pool: Pool,
}

impl<'a> Campaign<'a> {
    /// Connects and makes what the seeds need.
    pub async fn start(server: &'a KubeServer) -> Result<Self> {
        let pool = Pool::connect(&server.kubeconfig(), CONNECTIONS).await?;
        seeds::prepare(&pool).await?;
        Ok(Self { server, pool })
    }

    /// Sends so many mutations of the sound requests of a form, `at_once` of them at a time.
    pub async fn mutations(&self, content: Content, count: usize, at_once: usize) -> Result<Tally> {
        let seeds = seeds::seeds(&self.pool, content).await?;
        let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
        let worker = || async {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<_, anyhow::Error>(());
                }
                let seed = &seeds[number % seeds.len()];
                let body = mutate(&mut Random::new(number as u64), &seed.body);
                let (answer, took) = self.mutation(content, seed, &body, number).await?;
                let mut tally = tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                tally.add(answer.code, took, || {
                    format!("{content:?} {number}: {} {}", seed.method, seed.path)
                });
            }
        };
        try_join_all((0..at_once).map(|_| worker())).await?;
        Ok(tally.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    async fn mutation(
        &self,
        content: Content,
        seed: &Seed,
        body: &[u8],
        number: usize,
    ) -> Result<(Answer, Duration)> {
        let headers = [("content-type", content.media_type())];
        let started = Instant::now();
        let answer = self.pool.send(seed.method, &seed.path, &headers, body.to_vec()).await;
        let shown = || {
            format!("{content:?} {number}: {} {}: {}", seed.method, seed.path, String::from_utf8_lossy(body))
        };
        let answer = answer.with_context(shown)?;
        ensure!(answer.code < 500, "{} {} to {}", answer.code, answer.text(), shown());
        Ok((answer, started.elapsed()))
    }

    /// Sends each bomb alone, so that what it takes is its own.
    pub async fn bombs(&self) -> Result<Vec<Struck>> {
        let mut all = Vec::new();
        for bomb in bombs::all()? {
            all.push(self.strike(bomb).await);
        }
        Ok(all)
    }

    /// Creates objects that last and nest as deep as they may, and one level deeper, until refused.
    pub async fn deep(&self) -> Result<usize> {
        let path = format!("/apis/example.com/v1/namespaces/{NAMESPACE}/boxes");
        let headers = [("content-type", Content::Json.media_type())];
        for levels in 90..130 {
            let any = format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
            let body = format!(
                "{{\"apiVersion\":\"example.com/v1\",\"kind\":\"Box\",\"metadata\":{{\"generateName\":\"deep-\"}},\
                 \"spec\":{{\"size\":1,\"parts\":[],\"any\":{any}}}}}"
            );
            let answer = self.pool.send("POST", &path, &headers, body).await?;
            match answer.code {
                201 => {}
                400..500 => return Ok(levels),
                code => bail!("{levels} levels: {code} {}", answer.text()),
            }
        }
        bail!("nothing is too deep")
    }

    /// Sends the largest bombs, `count` of them at once.
    pub async fn all_at_once(&self, count: usize) -> Result<Vec<Struck>> {
        let mut large = bombs::all()?;
        large.retain(|bomb| (2_000_000..3_000_000).contains(&bomb.body.len()));
        Ok(join_all(large.iter().cycle().take(count).map(|bomb| self.strike(bomb.clone()))).await)
    }

    async fn strike(&self, bomb: Bomb) -> Struck {
        let (started, computed) = (Instant::now(), self.computed());
        let answer = self.pool.send(bomb.method, &bomb.path, &bomb.headers, bomb.body).await;
        let (took, computed) = (started.elapsed(), self.computed().saturating_sub(computed));
        let (code, said) = match answer {
            Ok(answer) => (answer.code, short(&answer.text())),
            Err(error) => (0, format!("{error:#}")),
        };
        let content_type = bomb.headers.first().map_or("", |(_, value)| value);
        Struck { what: format!("{} ({} {content_type})", bomb.name, bomb.method), code, said, took, computed }
    }

    /// The server answers, reads back in every form all that it has taken, and has not panicked.
    pub async fn check(&self) -> Result<()> {
        for path in [
            format!("/api/v1/namespaces/{NAMESPACE}/configmaps"),
            format!("/api/v1/namespaces/{NAMESPACE}/secrets"),
            format!("/api/v1/namespaces/{NAMESPACE}/podtemplates"),
            format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"),
            format!("/apis/example.com/v1/namespaces/{NAMESPACE}/boxes"),
        ] {
            for accept in FORMS {
                let answer = self.pool.send("GET", &path, &[("accept", *accept)], "").await?;
                let custom = path.contains("boxes") && accept.starts_with(Content::Protobuf.media_type());
                let expected = if custom { 406 } else { 200 };
                ensure!(
                    answer.code == expected,
                    "GET {path} as {accept}: {} {}",
                    answer.code,
                    short(&answer.text())
                );
            }
        }
        let web = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/filled");
        let web = self.pool.send("GET", &web, &[], "").await?.json()?;
        ensure!(web["metadata"]["generation"] == 1, "a dry run changed something: {web}");
        let metrics = self.pool.send("GET", "/metrics", &[], "").await?.text();
        let panics = metrics
            .lines()
            .filter(|line| line.starts_with("apiserver_request_panics") || line.contains("panic"));
        for line in panics.filter(|line| !line.starts_with('#')) {
            ensure!(line.ends_with(" 0"), "{line}");
        }
        let said = self.server.messages();
        if let Some(line) = said.lines().find(|line| line.contains("panicked")) {
            bail!("the server said: {line}");
        }
        Ok(())
    }

    /// How long the server's threads have had a processor.
    fn computed(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.server.pid()));
        let nanos = |task: std::fs::DirEntry| -> Option<u64> {
            std::fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse().ok()
        };
        Duration::from_nanos(tasks.into_iter().flatten().flatten().filter_map(nanos).sum())
    }

    /// What the server has had resident at most since its start.
    pub fn memory_max_kib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).context("no VmHWM")
    }
}

/// What objects are read as.
const FORMS: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/cbor",
    "application/json;as=Table;g=meta.k8s.io;v=v1",
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
];

fn short(text: &str) -> String {
    text.chars().take(300).collect()
}
