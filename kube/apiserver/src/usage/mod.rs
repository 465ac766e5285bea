//! `metrics.k8s.io`: what pods and nodes use, as `kubectl top` and autoscalers ask for it.
//!
//! Nothing is asked of nodes before somebody asks: then each kubelet's `/metrics/resource` is
//! read, and a rate is what lies between two readings (`sample`, pure). The readings are kept for
//! the next question, so that only the first waits for a second one.

mod answer;
mod kinds;
mod sample;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use client::BoxFuture;
use futures_util::future::join_all;
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt as _, Empty, Limited};
use kube_object::cluster::Cluster;
use kube_object::resource::GroupResource;
use kube_object::status::Status;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::aggregate::{Asking, Here, send};
use crate::kinds::Resource;
use crate::nodes::Nodes;
use answer::Selection;
use sample::{Readings, Sample};

const GROUP: &str = "metrics.k8s.io";
const VERSION: &str = "v1beta1";
/// A reading that is younger is not made again.
const FRESH: Duration = Duration::from_secs(10);
/// Of readings that lie further apart the older says too little about now.
const WINDOW_MAX: Duration = Duration::from_secs(120);
/// The least time between two readings; shorter ones say more about the clock than about pods.
const WINDOW_LEAST: Duration = Duration::from_secs(1);
/// How long a kubelet may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer that is read: some hundred bytes for each of many thousand containers.
const ANSWER_MAX: usize = 16 << 20;

/// Knows what pods and nodes use.
pub(crate) struct Usage {
    cluster: Arc<dyn Cluster>,
    nodes: Arc<Nodes>,
    resources: Vec<Arc<Resource>>,
    kept: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Kept>>>>,
    shutdown: watch::Receiver<bool>,
}

/// The newest readings of a node.
#[derive(Default)]
struct Kept {
    older: Option<(Arc<Sample>, Instant)>,
    newer: Option<(Arc<Sample>, Instant)>,
}

impl Usage {
    pub(crate) fn new(cluster: Arc<dyn Cluster>, nodes: Arc<Nodes>, shutdown: watch::Receiver<bool>) -> Self {
        Self { cluster, nodes, resources: kinds::resources(), kept: Mutex::default(), shutdown }
    }

    /// The readings of a node, made now if there are none; none where its kubelet does not answer.
    async fn readings(&self, node: &str) -> Option<Readings> {
        let kept = {
            let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(node.to_owned()).or_default())
        };
        // Who asks at the same time waits for the same reading.
        let mut kept = kept.lock().await;
        let fresh = kept.newer.as_ref().is_some_and(|(_, at)| at.elapsed() < FRESH);
        if !(fresh && kept.older.is_some()) {
            self.read_anew(node, &mut kept).await?;
        }
        let (older, newer) = (kept.older.as_ref()?, kept.newer.as_ref()?);
        Some(Readings { older: Arc::clone(&older.0), newer: Arc::clone(&newer.0) })
    }

    async fn read_anew(&self, node: &str, kept: &mut Kept) -> Option<()> {
        let before = kept.newer.take().filter(|(_, at)| at.elapsed() < WINDOW_MAX);
        let before = match before {
            Some(before) => before,
            None => (Arc::new(self.read(node).await?), Instant::now()),
        };
        let wait = WINDOW_LEAST.saturating_sub(before.1.elapsed());
        tokio::time::sleep(wait).await;
        let newer = (Arc::new(self.read(node).await?), Instant::now());
        (kept.older, kept.newer) = (Some(before), Some(newer));
        Some(())
    }

    async fn read(&self, node: &str) -> Option<Sample> {
        let way = self.nodes.way(node).ok()?;
        let request = Request::get("/metrics/resource").header(HOST, way.host.as_str());
        let request = request.body(Empty::<Bytes>::new()).ok()?;
        let asked = async {
            let answer = send(&way, request, self.shutdown.clone()).await.ok()?;
            if !answer.status().is_success() {
                return None;
            }
            let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await.ok()?;
            Some(body.to_bytes())
        };
        let bytes = tokio::time::timeout(ANSWER_TIMEOUT, asked).await.ok()??;
        Some(Sample::parse(std::str::from_utf8(&bytes).ok()?))
    }

    /// The readings of these nodes, by name.
    async fn of_nodes(&self, names: Vec<String>) -> HashMap<String, Readings> {
        let asked = names.into_iter().map(|name| async move { Some((self.readings(&name).await?, name)) });
        join_all(asked).await.into_iter().flatten().map(|(readings, name)| (name, readings)).collect()
    }

    async fn ask(&self, question: Asking<'_>) -> Result<Value, Status> {
        let selection = Selection::parse(question.query)?;
        let core = |resource: &str| GroupResource::new("", resource);
        let about = GroupResource::new(GROUP, question.resource);
        let everything = self.cluster.list(&core("nodes"), None);
        self.forget(&everything);
        let items = match question.resource {
            "nodes" => {
                let mut nodes = everything;
                nodes.retain(|node| selection.picks(node, "", question.name));
                let names = nodes.iter().map(|node| answer::name(node).to_owned()).collect();
                let readings = self.of_nodes(names).await;
                answer::nodes(&nodes, &readings)
            }
            "pods" => {
                let namespace = (!question.namespace.is_empty()).then_some(question.namespace);
                let mut pods = self.cluster.list(&core("pods"), namespace);
                pods.retain(|pod| {
                    answer::runs(pod) && selection.picks(pod, question.namespace, question.name)
                });
                let mut names: Vec<String> = pods.iter().map(|pod| answer::node(pod).to_owned()).collect();
                names.sort();
                names.dedup();
                let readings = self.of_nodes(names).await;
                answer::pods(&pods, &readings)
            }
            _ => return Err(Status::no_such_path()),
        };
        if question.verb == "get" {
            let full_name = match question.namespace {
                "" => question.name.to_owned(),
                namespace => format!("{namespace}/{}", question.name),
            };
            return items.into_iter().next().ok_or_else(|| Status::not_found(&about, &full_name));
        }
        let kind = self.resources.iter().find(|it| it.gvr.resource == question.resource);
        let kind = kind.map_or("List", |it| &it.list_kind);
        Ok(json!({"kind": kind, "apiVersion": format!("{GROUP}/{VERSION}"), "metadata": {}, "items": items}))
    }

    /// Forgets nodes that are gone.
    fn forget(&self, nodes: &[Arc<Value>]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|name, _| nodes.iter().any(|node| answer::name(node) == name));
    }
}

impl Here for Usage {
    fn resources(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    fn answer<'a>(&'a self, question: Asking<'a>) -> BoxFuture<'a, Result<Value, Status>> {
        Box::pin(self.ask(question))
    }
}
