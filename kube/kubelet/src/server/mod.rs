//! The kubelet's HTTPS server: logs, exec, attach and port-forward of the node's pods, their
//! figures, and the node's own health.
//!
//! ```text
//! TLS ─▶ who (certificate, TokenReview) ─▶ may (SubjectAccessReview on nodes/…) ─▶ route
//!          containerLogs ─▶ log files      exec, attach, portForward ─▶ the URL that the CRI gives
//!          stats, metrics ─▶ CRI, /proc    pods, healthz, configz
//! ```
//!
//! It knows pods and the CRI through [`Node`] and nothing of the loops that run them.

mod access;
mod answer;
mod commands;
mod listen;
pub mod logs;
mod node;
mod route;
mod stats;
mod upgrade;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::watch;

pub use access::{Access, AccessError};
pub use answer::Body;
pub use listen::{Listener, PROTOCOLS};
pub use node::Node;

use access::Peer;
use answer::{Refusal, json, text};
use route::{Endpoint, Route};
use stats::Samples;

/// What the server is made of.
pub struct Config {
    /// The node's pods and its runtime.
    pub node: Arc<dyn Node>,
    /// Who may ask what.
    pub access: Access,
    /// What `/configz` shows as `kubeletconfig`.
    pub configuration: Value,
    /// Where the node's disk is looked at.
    pub root: std::path::PathBuf,
}

/// Answers requests. Share it.
pub struct Server {
    node: Arc<dyn Node>,
    access: Access,
    configuration: Value,
    root: std::path::PathBuf,
    samples: Samples,
    requests: AtomicU64,
    shutdown: watch::Receiver<bool>,
}

impl Server {
    /// A server; its streams end when `shutdown` becomes true.
    pub fn new(config: Config, shutdown: watch::Receiver<bool>) -> Arc<Self> {
        Arc::new(Self {
            node: config.node,
            access: config.access,
            configuration: config.configuration,
            root: config.root,
            samples: Samples::default(),
            requests: AtomicU64::new(0),
            shutdown,
        })
    }

    /// Serves until the shutdown.
    pub async fn serve(self: Arc<Self>, listener: Listener) {
        listen::serve(self, listener).await;
    }

    async fn handle(&self, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
        self.requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let answered = self.answer(peer, request).await;
        answered.unwrap_or_else(|refusal| refusal.response())
    }

    async fn answer(&self, peer: &Peer, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let user = self.access.identify(peer, request.headers()).await?;
        let path = request.uri().path().to_owned();
        let route = Route::parse(&path);
        let subresources = route::subresources(&path);
        self.access.permit(&user, route::verb(request.method()), self.node.name(), &subresources).await?;
        let Some(route) = route else { return Err(Refusal::not_found("404 page not found")) };
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if !reads && !route.is_stream() {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed"));
        }
        self.serve_route(route, request).await
    }

    async fn serve_route(
        &self,
        route: Route<'_>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        match route {
            Route::Plain(Endpoint::Health) => Ok(text("ok")),
            Route::Plain(Endpoint::Pods) => Ok(json(&node::pod_list(&self.node.pods()))),
            Route::Plain(Endpoint::RunningPods) => {
                Ok(json(&node::running_pods(self.node.runtime().as_ref()).await?))
            }
            Route::Plain(Endpoint::Configuration) => {
                Ok(json(&serde_json::json!({"kubeletconfig": self.configuration})))
            }
            Route::Plain(Endpoint::Summary) => Ok(json(&self.summary().await?)),
            Route::Plain(Endpoint::Metrics) => Ok(stats::exposition(self.metrics().await?)),
            Route::Plain(Endpoint::Resource) => Ok(stats::exposition(self.resource().await)),
            Route::Plain(Endpoint::Cadvisor) => Ok(stats::exposition(self.cadvisor().await?)),
            Route::Plain(Endpoint::Probes) => Ok(stats::exposition(self.node.probe_metrics())),
            Route::Logs { namespace, pod, container } => self.logs(namespace, pod, container, &query).await,
            Route::Exec { namespace, pod, uid, container } => {
                let url = self.exec(&commands::Place { namespace, pod, uid, container }, &query).await?;
                upgrade::join(&url, request, self.shutdown.clone()).await
            }
            Route::Attach { namespace, pod, uid, container } => {
                let url = self.attach(&commands::Place { namespace, pod, uid, container }, &query).await?;
                upgrade::join(&url, request, self.shutdown.clone()).await
            }
            Route::Forward { namespace, pod, uid } => {
                let place = commands::Place { namespace, pod, uid, container: "" };
                let url = self.forward(&place, &query).await?;
                upgrade::join(&url, request, self.shutdown.clone()).await
            }
        }
    }
}
