//! The kubelet: follows its pods, keeps a worker for each, and looks after its node.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use client::{Cache, Call, Change, Mirror, WatchOptions};
use futures_util::StreamExt;
use jiff::Timestamp;
use kube_object::resource::GroupVersionResource;
use rpc::cri::{GetEventsRequest, ListContainersRequest, ListPodSandboxRequest, VersionRequest};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::events::{Once, Recorder};
use crate::handle::Handle;
use crate::images::Images;
use crate::model::Cause;
use crate::node::{self, View};
use crate::objects::Objects;
use crate::pods::Pods;
use crate::probes::Probed;
use crate::read::{is_deleting, name, namespace, text, uid};
use crate::spec;
use crate::status::Place;
use crate::volumes::Tokens;
use crate::worker::{Desired, Worker};

/// What all parts of a kubelet share.
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) pods: Arc<Pods>,
    pub(crate) objects: Objects,
    pub(crate) tokens: Tokens,
    pub(crate) recorder: Recorder,
    pub(crate) once: Once,
    pub(crate) images: Images,
    pub(crate) cache: Arc<Cache>,
    /// Says that the node has something to tell.
    pub(crate) news: Notify,
    /// The weight that pods of the class `Burstable` have together.
    pub(crate) burstable: Mutex<Option<i64>>,
    pub(crate) probed: Probed,
    view: RwLock<Arc<View>>,
    links: Mutex<HashMap<String, Link>>,
    whys: Mutex<HashMap<String, Vec<String>>>,
}

/// The way to a worker.
#[derive(Clone)]
struct Link {
    desired: watch::Sender<Desired>,
    wake: Arc<Notify>,
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::try_from(self.config.clock.now()).unwrap_or_default()
    }

    /// What is known of the node.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_view(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }

    /// The node's part of a pod's status.
    pub(crate) fn place(&self) -> Place {
        Place {
            host_addresses: self.config.node.addresses.clone(),
            runtime: self.view().runtime.clone(),
            resize_pending: None,
        }
    }

    /// The node's part of a sandbox.
    pub(crate) fn sandbox_node(&self) -> spec::Node {
        let config = &self.config;
        let resolv = std::fs::read_to_string(&config.paths.resolv_conf).unwrap_or_default();
        spec::Node {
            dns: spec::NodeDns { servers: config.cluster_dns.clone(), domain: config.cluster_domain.clone() },
            host_dns: spec::HostDns::parse(&resolv),
            logs: config.paths.logs.to_string_lossy().into_owned(),
            cgroup_root: config.cgroup_root.clone(),
        }
    }

    /// The services whose variables a pod of a namespace gets.
    pub(crate) async fn services(&self, within: &str) -> Vec<Arc<Value>> {
        // Who starts before services are known would never learn of them.
        drop(tokio::time::timeout(SYNC_MOST, self.cache.synced()).await);
        let services = gvr("services").group_resource();
        let mut found = self.cache.items(&services, Some(within));
        if within != "default" {
            found.extend(self.cache.item(&services, "default", "kubernetes"));
        }
        found.iter().map(|item| item.value()).collect()
    }

    /// Which of the runtime's handlers a pod wants.
    pub(crate) async fn runtime_handler(&self, pod: &Value) -> Result<String, String> {
        let class = text(pod, &["spec", "runtimeClassName"]);
        if class.is_empty() {
            return Ok(String::new());
        }
        let classes = GroupVersionResource::new("node.k8s.io", "v1", "runtimeclasses");
        let found = self.config.api.call(Call::get(&classes, "", class)).await;
        match found {
            Ok(found) => Ok(text(&found, &["handler"]).to_owned()),
            Err(status) if status.code == 404 => Err(format!("RuntimeClass \"{class}\" not found")),
            Err(status) => Err(status.to_string()),
        }
    }

    /// Wakes a pod's worker: the runtime has news.
    pub(crate) fn wake(&self, uid: &str) {
        if let Some(link) = self.links().get(uid) {
            link.wake.notify_one();
        }
    }

    fn wake_all(&self) {
        self.links().values().for_each(|link| link.wake.notify_one());
    }

    /// Ends a pod in the node's name.
    pub(crate) fn stop_pod(&self, uid: &str, cause: &Cause, grace: i64) {
        let link = self.links().get(uid).cloned();
        if let Some(link) = link {
            link.desired.send_modify(|desired| desired.stop = Some((cause.clone(), grace)));
        }
    }

    /// Keeps what decided about a pod, for whoever asks why.
    pub(crate) fn note(&self, uid: &str, why: Vec<String>) {
        let mut whys = self.whys.lock().unwrap_or_else(PoisonError::into_inner);
        if why.is_empty() {
            whys.remove(uid);
        } else {
            whys.insert(uid.to_owned(), why);
        }
    }

    fn links(&self) -> std::sync::MutexGuard<'_, HashMap<String, Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The node's agent.
pub struct Kubelet {
    shared: Arc<Shared>,
}

impl Kubelet {
    /// A kubelet that does nothing yet. Must be called within a runtime.
    pub fn new(mut config: Config) -> Self {
        // Runtimes take a cgroup's parent from the top of the hierarchies, whatever it begins with.
        config.cgroup_root = format!("/{}", config.cgroup_root.trim_matches('/'));
        let config = Arc::new(config);
        let fields =
            |selector: String| WatchOptions { field_selector: Some(selector), ..WatchOptions::default() };
        let node = &config.node.name;
        let cache = Cache::start_selected(
            &config.api,
            vec![
                (gvr("pods"), fields(format!("spec.nodeName={node}"))),
                (gvr("nodes"), fields(format!("metadata.name={node}"))),
                (gvr("services"), WatchOptions::default()),
            ],
        );
        let shared = Shared {
            objects: Objects::new(Arc::clone(&config.api)),
            recorder: Recorder::start(Arc::clone(&config.api), node),
            pods: Arc::default(),
            tokens: Tokens::default(),
            once: Once::default(),
            images: Images::default(),
            news: Notify::new(),
            burstable: Mutex::default(),
            probed: Probed::default(),
            view: RwLock::new(Arc::new(View::read(&config))),
            links: Mutex::default(),
            whys: Mutex::default(),
            cache,
            config,
        };
        Self { shared: Arc::new(shared) }
    }

    /// A view for others on this node, such as the kubelet's server.
    pub fn handle(&self) -> Handle {
        Handle {
            config: Arc::clone(&self.shared.config),
            pods: Arc::clone(&self.shared.pods),
            probed: self.shared.probed.clone(),
        }
    }

    /// Runs until the signal says `true` or its sender is gone. Containers go on without it.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let shared = self.shared;
        let mut tasks = JoinSet::new();
        tasks.spawn(node::run(Arc::clone(&shared)));
        tasks.spawn(follow_runtime(Arc::clone(&shared)));
        tasks.spawn(node::keep(Arc::clone(&shared)));
        let mut roster = Roster {
            shared: Arc::clone(&shared),
            workers: JoinSet::new(),
            mirrors: HashMap::new(),
            statics: HashMap::new(),
        };
        let leave = async {
            client::asked_to_end(&mut shutdown).await;
            node::end_all(&shared).await;
        };
        tokio::select! {
            () = roster.run() => {}
            () = leave => {}
        }
    }
}

/// Wakes workers by the runtime's events; where it has none, looks once a second.
async fn follow_runtime(shared: Arc<Shared>) {
    let runtime = Arc::clone(&shared.config.runtime);
    loop {
        match runtime.get_container_events(GetEventsRequest {}).await {
            Ok(mut events) => {
                // What happened before the stream began.
                shared.wake_all();
                while let Some(Ok(event)) = events.next().await {
                    let sandbox = event.pod_sandbox_status.and_then(|status| status.metadata);
                    match sandbox {
                        Some(metadata) => shared.wake(&metadata.uid),
                        None => shared.wake_all(),
                    }
                }
                tokio::time::sleep(EVENTS_AGAIN).await;
            }
            Err(status) if status.code() == rpc::cri::Code::Unimplemented => relist(&shared).await,
            Err(_) => tokio::time::sleep(EVENTS_AGAIN).await,
        }
    }
}

/// For runtimes without events, as upstream's generic PLEG: a list a second, and workers only wake
/// when it shows something new of their pod.
async fn relist(shared: &Shared) {
    let runtime = &shared.config.runtime;
    let mut before: HashMap<String, Vec<(String, i32)>> = HashMap::new();
    loop {
        let (sandboxes, containers) = tokio::join!(
            runtime.list_pod_sandbox(ListPodSandboxRequest::default()),
            runtime.list_containers(ListContainersRequest::default()),
        );
        if let (Ok(sandboxes), Ok(containers)) = (sandboxes, containers) {
            let mut now: HashMap<String, Vec<(String, i32)>> = HashMap::new();
            for found in sandboxes.items {
                let uid = found.metadata.map(|metadata| metadata.uid).unwrap_or_default();
                now.entry(uid).or_default().push((found.id, found.state));
            }
            for found in containers.containers {
                let uid = found.labels.get(spec::POD_UID).cloned().unwrap_or_default();
                now.entry(uid).or_default().push((found.id, found.state));
            }
            now.values_mut().for_each(|list| list.sort());
            let all: HashSet<&String> = now.keys().chain(before.keys()).collect();
            for uid in all {
                if now.get(uid) != before.get(uid) {
                    shared.wake(uid);
                }
            }
            before = now;
        }
        tokio::time::sleep(RELIST_EVERY).await;
    }
}

/// Who works.
struct Roster {
    shared: Arc<Shared>,
    workers: JoinSet<String>,
    /// Objects that stand for static pods, by namespace and name.
    mirrors: HashMap<(String, String), Arc<Value>>,
    /// Static pods by uid.
    statics: HashMap<String, Arc<Value>>,
}

impl Roster {
    async fn run(&mut self) {
        let pods = gvr("pods").group_resource();
        self.shared.cache.synced().await;
        self.learn_runtime().await;
        self.adopt_orphans().await;
        let mut files = crate::static_pods::follow(&self.shared.config);
        let mut changes = self.shared.cache.changes(&pods);
        loop {
            tokio::select! {
                Some(change) = changes.next() => match change {
                    Change::Resync => self.resync(),
                    Change::Set { new, .. } => self.set(new.value()),
                    Change::Gone { old } => self.gone(&old.value()),
                },
                Some(uid) = self.workers.join_next() => {
                    if let Ok(uid) = uid {
                        self.shared.links().remove(&uid);
                        self.shared.pods.remove(&uid);
                        self.shared.probed.forget(&uid);
                        self.start_statics();
                        let shared = Arc::clone(&self.shared);
                        tokio::spawn(async move { node::cgroups::weigh(&shared).await });
                    }
                }
                Some(found) = files.recv() => self.files(found),
                else => return,
            }
        }
    }

    async fn learn_runtime(&self) {
        let asked = self.shared.config.runtime.version(VersionRequest { version: "v1".to_owned() }).await;
        if let Ok(answer) = asked {
            let mut view = (*self.shared.view()).clone();
            view.runtime = answer.runtime_name;
            view.runtime_version = answer.runtime_version;
            self.shared.set_view(view);
        }
    }

    /// Ends pods that the runtime has and nobody wants.
    async fn adopt_orphans(&mut self) {
        let Ok(listed) = self.shared.config.runtime.list_pod_sandbox(ListPodSandboxRequest::default()).await
        else {
            return;
        };
        let statics = crate::static_pods::read(&self.shared.config);
        let wanted: HashSet<String> =
            self.api_pods().iter().chain(statics.iter()).map(|pod| uid(pod).to_owned()).collect();
        let graces = self.graces().await;
        let mut seen = HashSet::new();
        for found in listed.items {
            let Some(metadata) = found.metadata else { continue };
            if wanted.contains(&metadata.uid) || metadata.uid.is_empty() || !seen.insert(metadata.uid.clone())
            {
                continue;
            }
            let mut pod = json!({"metadata": {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid}});
            if let Some(grace) = graces.get(&metadata.uid) {
                pod["spec"] = json!({"terminationGracePeriodSeconds": grace});
            }
            self.start(Desired { pod: Arc::new(pod), is_gone: true, ..Desired::default() });
        }
        node::sweep_folders(&self.shared, &wanted, &seen).await;
    }

    /// How long pods have at their end, as their containers remember it.
    async fn graces(&self) -> HashMap<String, i64> {
        let listed = self.shared.config.runtime.list_containers(ListContainersRequest::default()).await;
        let containers = listed.map(|listed| listed.containers).unwrap_or_default();
        let of = |found: &rpc::cri::Container| {
            let grace = found.annotations.get(spec::TERMINATION_GRACE)?.parse().ok()?;
            Some((found.labels.get(spec::POD_UID)?.clone(), grace))
        };
        containers.iter().filter_map(of).collect()
    }

    fn api_pods(&self) -> Vec<Arc<Value>> {
        let pods = gvr("pods").group_resource();
        self.shared.cache.items(&pods, None).iter().map(|item| item.value()).collect()
    }

    fn resync(&mut self) {
        let pods = self.api_pods();
        let here: HashSet<String> = pods.iter().map(|pod| uid(pod).to_owned()).collect();
        let gone: Vec<String> = {
            let links = self.shared.links();
            links
                .keys()
                .filter(|uid| !here.contains(*uid) && !self.statics.contains_key(*uid))
                .cloned()
                .collect()
        };
        for uid in gone {
            self.mark_gone(&uid, None);
        }
        // Those that ran first: who comes later must fit beside them.
        let (ran, new): (Vec<_>, Vec<_>) =
            pods.into_iter().partition(|pod| !text(pod, &["status", "startTime"]).is_empty());
        ran.into_iter().chain(new).for_each(|pod| self.set(pod));
    }

    fn set(&mut self, pod: Arc<Value>) {
        if is_mirror(&pod) {
            return self.set_mirror(pod);
        }
        let link = self.shared.links().get(uid(&pod)).cloned();
        if let Some(link) = link {
            link.desired.send_modify(|desired| desired.pod = Arc::clone(&pod));
            return;
        }
        // It was over and cleaned before this kubelet ran, or it begins.
        let is_new = text(&pod, &["status", "startTime"]).is_empty() && !is_deleting(&pod);
        let refused = if is_new { node::refuse(&self.shared, &pod) } else { None };
        self.start(Desired { pod, refused, ..Desired::default() });
    }

    fn start(&mut self, desired: Desired) {
        let id = uid(&desired.pod).to_owned();
        self.shared.pods.set_pod(Arc::clone(&desired.pod));
        let (sender, receiver) = watch::channel(desired);
        let wake = Arc::new(Notify::new());
        self.shared.links().insert(id.clone(), Link { desired: sender, wake: Arc::clone(&wake) });
        let worker = Worker::new(Arc::clone(&self.shared), receiver, wake);
        self.workers.spawn(async move {
            Box::pin(worker.run()).await;
            id
        });
    }

    fn gone(&mut self, pod: &Arc<Value>) {
        if is_mirror(pod) {
            let key = (namespace(pod).to_owned(), name(pod).to_owned());
            self.mirrors.remove(&key);
            return self.tell_static(&key, None);
        }
        self.mark_gone(uid(pod), Some(Arc::clone(pod)));
    }

    fn mark_gone(&self, uid: &str, last: Option<Arc<Value>>) {
        let link = self.shared.links().get(uid).cloned();
        if let Some(link) = link {
            link.desired.send_modify(|desired| {
                if let Some(last) = last {
                    desired.pod = last;
                }
                desired.is_gone = true;
            });
        }
    }

    fn set_mirror(&mut self, mirror: Arc<Value>) {
        let key = (namespace(&mirror).to_owned(), name(&mirror).to_owned());
        self.mirrors.insert(key.clone(), Arc::clone(&mirror));
        let pod =
            self.statics.values().find(|pod| (namespace(pod), name(pod)) == (key.0.as_str(), key.1.as_str()));
        let is_ours = pod.is_some_and(|pod| text(&mirror, &["metadata", "annotations", MIRROR]) == uid(pod));
        if !is_ours || is_deleting(&mirror) {
            // It stands for a file that is gone or was changed.
            self.delete_mirror(&mirror);
        }
        self.tell_static(&key, Some(mirror).filter(|_| is_ours));
    }

    fn delete_mirror(&self, mirror: &Value) {
        let call = Call::delete(&gvr("pods"), namespace(mirror), name(mirror)).with(|options| {
            options.grace_period_seconds = Some(0);
            options.preconditions.uid = Some(uid(mirror).to_owned());
        });
        let api = Arc::clone(&self.shared.config.api);
        tokio::spawn(async move { drop(api.call(call).await) });
    }

    /// Tells a static pod's worker what stands for it; makes it where nothing does.
    fn tell_static(&self, key: &(String, String), mirror: Option<Arc<Value>>) {
        let pod =
            self.statics.values().find(|pod| (namespace(pod), name(pod)) == (key.0.as_str(), key.1.as_str()));
        let Some(pod) = pod else { return };
        if mirror.is_none() {
            self.make_mirror(pod);
        }
        let link = self.shared.links().get(uid(pod)).cloned();
        if let Some(link) = link {
            link.desired.send_modify(|desired| desired.mirror = mirror);
        }
    }

    fn make_mirror(&self, pod: &Value) {
        let mut mirror = pod.clone();
        if let Some(metadata) = mirror.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("uid");
        }
        mirror["metadata"]["annotations"][MIRROR] = json!(uid(pod));
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let node = &shared.config.node.name;
            for wait in 1..MIRROR_TRIES {
                // A node may only make what belongs to it.
                if let Some(owner) = shared.cache.item(&gvr("nodes").group_resource(), "", node) {
                    mirror["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Node",
                        "name": node, "uid": owner.uid(), "controller": true}]);
                    let call = Call::create(&gvr("pods"), namespace(&mirror), mirror.clone());
                    match shared.config.api.call(call).await {
                        Err(status) if status.code != 409 => {}
                        _ => return,
                    }
                }
                tokio::time::sleep(Duration::from_secs(wait)).await;
            }
        });
    }

    /// The files of static pods changed.
    fn files(&mut self, found: Vec<Arc<Value>>) {
        let here: HashSet<&str> = found.iter().map(|pod| uid(pod)).collect();
        let gone: Vec<Arc<Value>> =
            self.statics.values().filter(|pod| !here.contains(uid(pod))).cloned().collect();
        for pod in gone {
            self.statics.remove(uid(&pod));
            self.mark_gone(uid(&pod), None);
            let key = (namespace(&pod).to_owned(), name(&pod).to_owned());
            if let Some(mirror) = self.mirrors.get(&key).cloned() {
                self.delete_mirror(&mirror);
            }
        }
        self.statics.extend(found.into_iter().map(|pod| (uid(&pod).to_owned(), pod)));
        self.start_statics();
    }

    /// Starts static pods that do not run yet. One of the same name must have ended before.
    fn start_statics(&mut self) {
        let there: Vec<(String, (String, String))> = self
            .shared
            .pods
            .all()
            .iter()
            .filter(|pod| crate::static_pods::is_static(pod))
            .map(|pod| (uid(pod).to_owned(), (namespace(pod).to_owned(), name(pod).to_owned())))
            .collect();
        let waits: Vec<Arc<Value>> = self.statics.values().cloned().collect();
        for pod in waits {
            let key = (namespace(&pod).to_owned(), name(&pod).to_owned());
            if there.iter().any(|(id, of)| id == uid(&pod) || *of == key) {
                continue;
            }
            let mirror = self.mirrors.get(&key).cloned();
            let mirror = mirror.filter(|it| text(it, &["metadata", "annotations", MIRROR]) == uid(&pod));
            if let Some(ended) = mirror.as_ref().filter(|it| node::was_ended(it)) {
                // It ended with the node. The one that is made in its place runs again.
                self.delete_mirror(ended);
            }
            let mirror = mirror.filter(|it| !node::was_ended(it));
            self.start(Desired {
                pod: Arc::clone(&pod),
                is_static: true,
                mirror: mirror.clone(),
                ..Desired::default()
            });
            self.tell_static(&key, mirror);
        }
    }
}

fn is_mirror(pod: &Value) -> bool {
    !text(pod, &["metadata", "annotations", MIRROR]).is_empty()
}

pub(crate) fn gvr(resource: &str) -> GroupVersionResource {
    GroupVersionResource::new("", "v1", resource)
}

/// The annotation by which an object stands for a static pod.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";
/// How long a start waits for services to be known.
const SYNC_MOST: Duration = Duration::from_secs(2);
const EVENTS_AGAIN: Duration = Duration::from_secs(1);
const RELIST_EVERY: Duration = Duration::from_secs(1);
const MIRROR_TRIES: u64 = 30;
