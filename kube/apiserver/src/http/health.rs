//! `/healthz`, `/livez`, `/readyz`: named checks, each of which can be left out or asked alone.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use client::BoxFuture;
use http::Response;

use super::answer;
use super::body::Body;
use super::query::Query;

/// How long a check may ask.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Tells why something is not well.
pub type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// A check with upstream's name.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    probe: Probe,
    /// Whether a server that fails it should be restarted, rather than left alone by clients.
    live: bool,
}

/// All checks.
#[derive(Clone, Default)]
pub struct Health {
    checks: Vec<Check>,
}

/// Which of the three paths was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/healthz`.
    Health,
    /// `/livez`.
    Live,
    /// `/readyz`.
    Ready,
}

impl Endpoint {
    /// The endpoint of a path, and the name of the check behind it.
    pub fn of(path: &str) -> Option<(Self, &str)> {
        let (first, rest) = match path.trim_start_matches('/').split_once('/') {
            Some((first, rest)) => (first, rest),
            None => (path.trim_start_matches('/'), ""),
        };
        let endpoint = match first {
            "healthz" => Self::Health,
            "livez" => Self::Live,
            "readyz" => Self::Ready,
            _ => return None,
        };
        Some((endpoint, rest))
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Health => "healthz",
            Self::Live => "livez",
            Self::Ready => "readyz",
        }
    }
}

impl Health {
    /// Adds a check.
    pub fn add(
        &mut self,
        name: &'static str,
        live: bool,
        probe: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        let probe = move || -> BoxFuture<'static, _> { Box::pin(std::future::ready(probe())) };
        self.checks.push(Check { name, probe: Arc::new(probe), live });
    }

    /// Adds a check that asks somebody; one that takes too long has failed.
    pub fn add_asking<F>(
        &mut self,
        name: &'static str,
        live: bool,
        probe: impl Fn() -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let probe = move || -> BoxFuture<'static, _> {
            let asked = tokio::time::timeout(ANSWER_MAX, probe());
            Box::pin(async move { asked.await.unwrap_or_else(|_| Err("no answer in time".to_owned())) })
        };
        self.checks.push(Check { name, probe: Arc::new(probe), live });
    }

    /// Answers one of the paths.
    pub async fn answer(&self, endpoint: Endpoint, only: &str, query: &Query) -> Response<Body> {
        if !only.is_empty() {
            return self.answer_one(endpoint, only.trim_end_matches('/')).await;
        }
        let excluded: Vec<&str> = query.all("exclude").collect();
        let mut lines = String::new();
        let mut failed = Vec::new();
        for check in self.of(endpoint) {
            if excluded.contains(&check.name) {
                let _ = writeln!(lines, "[+]{} excluded: ok", check.name);
                continue;
            }
            match (check.probe)().await {
                Ok(()) => {
                    let _ = writeln!(lines, "[+]{} ok", check.name);
                }
                Err(_) => {
                    // Why is for the log: whoever asks here may be a stranger.
                    let _ = writeln!(lines, "[-]{} failed: reason withheld", check.name);
                    failed.push(check.name);
                }
            }
        }
        let known = |name: &&&str| !self.checks.iter().any(|check| check.name == **name);
        let unknown: Vec<&&str> = excluded.iter().filter(known).collect();
        if !unknown.is_empty() {
            let names: Vec<String> = unknown.iter().map(|name| format!("{name:?}")).collect();
            let names = names.join(", ");
            let _ = writeln!(lines, "warn: some health checks cannot be excluded: no matches for {names}");
        }
        if !failed.is_empty() {
            return no_cache(answer::text(500, format!("{lines}{} check failed\n", endpoint.as_str())));
        }
        let text = if query.has("verbose") {
            format!("{lines}{} check passed\n", endpoint.as_str())
        } else {
            "ok".to_owned()
        };
        no_cache(answer::text(200, text))
    }

    /// The paths of the single checks.
    pub fn paths(&self) -> Vec<String> {
        let endpoints = [Endpoint::Health, Endpoint::Live, Endpoint::Ready];
        let path = |endpoint: Endpoint, check: &Check| format!("/{}/{}", endpoint.as_str(), check.name);
        let all = |endpoint: Endpoint| {
            let checks = self.of(endpoint).map(move |check| path(endpoint, check));
            std::iter::once(format!("/{}", endpoint.as_str())).chain(checks)
        };
        endpoints.into_iter().flat_map(all).collect()
    }

    async fn answer_one(&self, endpoint: Endpoint, name: &str) -> Response<Body> {
        let Some(check) = self.of(endpoint).find(|check| check.name == name) else {
            return answer::page_not_found();
        };
        no_cache(match (check.probe)().await {
            Ok(()) => answer::text(200, "ok"),
            Err(why) => answer::text(500, format!("internal server error: {why}\n")),
        })
    }

    fn of(&self, endpoint: Endpoint) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| endpoint != Endpoint::Live || check.live)
    }
}

fn no_cache(mut response: Response<Body>) -> Response<Body> {
    let value = http::HeaderValue::from_static("nosniff");
    response.headers_mut().insert(http::header::X_CONTENT_TYPE_OPTIONS, value);
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn ask(health: &Health, path: &str, query: &str) -> (u16, String) {
        let (endpoint, only) = Endpoint::of(path).unwrap();
        let response = health.answer(endpoint, only, &Query::parse(Some(query)).unwrap()).await;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn answers_as_upstream() {
        let mut health = Health::default();
        health.add("ping", true, || Ok(()));
        health.add_asking("etcd", true, || std::future::ready(Ok(())));
        health.add("shutdown", false, || Err("going".to_owned()));
        assert_eq!(ask(&health, "/livez", "").await, (200, "ok".to_owned()));
        let (code, text) = ask(&health, "/livez", "verbose").await;
        assert_eq!((code, text.as_str()), (200, "[+]ping ok\n[+]etcd ok\nlivez check passed\n"));
        let (code, text) = ask(&health, "/readyz", "").await;
        assert_eq!(code, 500);
        assert_eq!(
            text,
            "[+]ping ok\n[+]etcd ok\n[-]shutdown failed: reason withheld\nreadyz check failed\n"
        );
        let (code, text) = ask(&health, "/readyz", "verbose&exclude=shutdown").await;
        assert_eq!(code, 200);
        assert_eq!(text, "[+]ping ok\n[+]etcd ok\n[+]shutdown excluded: ok\nreadyz check passed\n");
        assert_eq!(ask(&health, "/readyz/ping", "").await, (200, "ok".to_owned()));
        assert_eq!(ask(&health, "/readyz/shutdown", "").await.0, 500);
        assert_eq!(ask(&health, "/readyz/none", "").await.0, 404);
        assert!(Endpoint::of("/metrics").is_none());
    }
}
