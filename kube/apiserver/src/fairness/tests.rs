use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::{ApiServer, Config as ServerConfig};

async fn server() -> (ApiServer, testkit::TempDir) {
    let dir = testkit::TempDir::new();
    let options = store::Options::default();
    let store = store::Embedded::open(&dir.path().join("store"), &options, Instant::now()).unwrap();
    (ApiServer::open(ServerConfig::new(Arc::new(store))).await.unwrap(), dir)
}

/// With a level of so many seats, of which everybody but the masters has their own queue.
fn with_queues(fairness: &Fairness, length_max: u32) {
    let queuing = json!({"queues": 64, "handSize": 1, "queueLengthLimit": length_max});
    let level = json!({"metadata": {"name": "l", "uid": "level"}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 1000,
        "limitResponse": {"type": "Queue", "queuing": queuing}}}});
    let schema = json!({"metadata": {"name": "s", "uid": "schema"}, "spec": {
        "matchingPrecedence": 5, "priorityLevelConfiguration": {"name": "l"},
        "distinguisherMethod": {"type": "ByUser"}, "rules": [{
            "subjects": [{"kind": "Group", "group": {"name": "all"}}],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"],
                "clusterScope": true, "namespaces": ["*"]}]}]}});
    fairness.configure(Config::new([&level], [&schema]));
}

struct Client {
    user: User,
    info: RequestInfo,
    query: Query,
}

impl Client {
    fn new(name: &str, group: &str, method: &Method) -> Self {
        let user = User { name: name.to_owned(), groups: vec![group.to_owned()], ..User::default() };
        let mut info = RequestInfo::parse(method, "/api/v1/namespaces/a/configmaps").unwrap();
        info.refine(false, None);
        Self { user, info, query: Query::default() }
    }

    async fn enter(
        &self,
        fairness: &Fairness,
        limit: Duration,
    ) -> (Result<Option<Seat>, Status>, OnceLock<Uids>) {
        let told = OnceLock::new();
        let deadline = Some(Instant::now() + limit * 4);
        let asking = Asking { user: &self.user, info: &self.info, query: &self.query, deadline };
        (fairness.enter(&asking, &told).await, told)
    }
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn seats_are_waited_for_and_given_back() {
    let (server, _dir) = server().await;
    let metrics = Arc::default();
    let fairness = Fairness::new(2, server.registry(), &metrics);
    with_queues(&fairness, 1);
    let (alice, masters) =
        (Client::new("alice", "all", &Method::POST), Client::new("root", "system:masters", &Method::POST));
    let first = alice.enter(&fairness, LONG).await.0.unwrap();
    let (second, told) = alice.enter(&fairness, LONG).await;
    let second = second.unwrap();
    assert!(first.is_some() && second.is_some());
    let mut headers = http::HeaderMap::new();
    told.get().unwrap().insert(&mut headers);
    assert_eq!(headers["X-Kubernetes-PF-FlowSchema-UID"], "schema");
    assert_eq!(headers["X-Kubernetes-PF-PriorityLevel-UID"], "level");
    // The third waits, the fourth finds the queue full, and who is exempt needs no seat of theirs.
    let mut third = Box::pin(alice.enter(&fairness, LONG));
    assert!(third.as_mut().now_or_never().is_none());
    let (refused, told) = alice.enter(&fairness, LONG).await;
    let refused = refused.err().unwrap();
    assert_eq!((refused.code, refused.reason), (429, "TooManyRequests"));
    assert_eq!(refused.details.unwrap().retry_after_seconds, 1);
    assert!(told.get().is_some());
    assert!(masters.enter(&fairness, LONG).await.0.is_ok());
    let text = fairness.metrics();
    for line in [
        "apiserver_flowcontrol_current_inqueue_requests{flow_schema=\"s\",priority_level=\"l\"} 1",
        "apiserver_flowcontrol_current_executing_seats{flow_schema=\"s\",priority_level=\"l\"} 2",
        "apiserver_flowcontrol_rejected_requests_total{flow_schema=\"s\",priority_level=\"l\",reason=\"queue-full\"} 1",
        "apiserver_flowcontrol_nominal_limit_seats{priority_level=\"l\"} 2",
        "apiserver_flowcontrol_dispatched_requests_total{flow_schema=\"exempt\",priority_level=\"exempt\"} 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let requests = fairness.dump("dump_requests").unwrap();
    assert!(requests.lines().any(|line| line.starts_with("l,") && line.contains("alice")), "{requests}");
    drop(first);
    let third = third.await.0.unwrap();
    drop((second, third));
    let level =
        Arc::clone(&fairness.active().flows.iter().find(|flow| flow.schema.name == "s").unwrap().level);
    assert!(level.lock().set.is_idle());
    assert_eq!(level.lock().set.executing().seats, 0);
    assert!(
        metrics.text(&[], 0).contains("apiserver_current_inflight_requests{request_kind=\"mutating\"} 0")
    );
}

#[tokio::test]
async fn who_waits_too_long_or_goes_leaves_no_trace() {
    let (server, _dir) = server().await;
    let fairness = Fairness::new(1, server.registry(), &Arc::default());
    with_queues(&fairness, 5);
    let alice = Client::new("alice", "all", &Method::GET);
    let seat = alice.enter(&fairness, LONG).await.0.unwrap();
    let refused = alice.enter(&fairness, Duration::from_millis(1)).await.0.err().unwrap();
    assert_eq!(refused.code, 429);
    assert!(fairness.metrics().contains("reason=\"time-out\"} 1"));
    let mut goes = Box::pin(alice.enter(&fairness, LONG));
    assert!(goes.as_mut().now_or_never().is_none());
    // It goes just when it has got the seat: the next one must have that.
    drop(seat);
    drop(goes);
    let next = alice.enter(&fairness, LONG).await.0.unwrap();
    let mut waits = Box::pin(alice.enter(&fairness, LONG));
    assert!(waits.as_mut().now_or_never().is_none());
    drop(waits);
    drop(next);
    assert!(alice.enter(&fairness, LONG).await.0.is_ok());
    assert!(
        fairness.metrics().contains("current_inqueue_requests{flow_schema=\"s\",priority_level=\"l\"} 0")
    );
}

#[tokio::test]
async fn a_flood_of_one_user_does_not_keep_another_waiting() {
    let (server, _dir) = server().await;
    let fairness = Fairness::new(1, server.registry(), &Arc::default());
    with_queues(&fairness, 100);
    let (order, flood) = (Mutex::new(Vec::new()), 40);
    let ask = async |name: &'static str| {
        let client = Client::new(name, "all", &Method::POST);
        let seat = client.enter(&fairness, LONG).await.0.unwrap();
        order.lock().unwrap().push(name);
        tokio::task::yield_now().await;
        drop(seat);
    };
    let mut all: Vec<futures_util::future::LocalBoxFuture<'_, ()>> = Vec::new();
    for _ in 0..flood {
        all.push(Box::pin(ask("many")));
    }
    for _ in 0..5 {
        all.push(Box::pin(ask("few")));
    }
    futures_util::future::join_all(all).await;
    let order = order.into_inner().unwrap();
    let last = order.iter().rposition(|name| *name == "few").unwrap();
    // They came last, and are served in turn with those who came first.
    assert!(last <= 11, "{order:?}");
    assert_eq!(order.len(), flood + 5);
}

#[tokio::test]
async fn seats_that_linger_come_free_without_a_request() {
    let (server, _dir) = server().await;
    let fairness = Fairness::new(1, server.registry(), &Arc::default());
    with_queues(&fairness, 5);
    let alice = Client::new("alice", "all", &Method::POST);
    let mut watch = RequestInfo::parse(&Method::GET, "/api/v1/configmaps").unwrap();
    watch.refine(true, None);
    let watches: Vec<_> = (0..30).map(|_| fairness.watches().register(&watch, &Query::default())).collect();
    let work = async {
        drop(alice.enter(&fairness, LONG).await.0.unwrap());
        // The watches still hear of the first one.
        alice.enter(&fairness, LONG).await.0.unwrap()
    };
    tokio::select! {
        seat = work => assert!(seat.is_some()),
        () = fairness.seats() => {}
    }
    drop(watches);
}

#[tokio::test]
async fn a_level_borrows_what_others_do_not_need() {
    let (server, _dir) = server().await;
    let fairness = Fairness::new(600, server.registry(), &Arc::default());
    let (levels, schemas) = (flow_control::bootstrap::levels(), flow_control::bootstrap::schemas());
    fairness.configure(Config::new(&levels, &schemas));
    let limits = || -> BTreeMap<String, usize> {
        let active = fairness.active();
        active.levels.iter().map(|it| (it.config.name.clone(), it.level.lock().set.limit())).collect()
    };
    let before = limits();
    let anybody = Client::new("alice", "system:authenticated", &Method::POST);
    let mut held = Vec::new();
    for _ in 0..before["global-default"] {
        held.push(anybody.enter(&fairness, LONG).await.0.unwrap());
    }
    let mut waits: Vec<_> = (0..100).map(|_| Box::pin(anybody.enter(&fairness, LONG))).collect();
    for one in &mut waits {
        assert!(one.as_mut().now_or_never().is_none());
    }
    assert!(fairness.divide());
    let after = limits();
    assert!(after["global-default"] > before["global-default"] + 50, "{before:?} {after:?}");
    // What others cannot lend they have kept.
    assert!(after["leader-election"] >= 25 && after["catch-all"] >= 13, "{after:?}");
    let begun = waits.iter_mut().filter_map(|one| one.as_mut().now_or_never()).count();
    assert_eq!(begun, (after["global-default"] - before["global-default"]).min(100));
}

#[tokio::test]
async fn a_level_without_a_configuration_serves_who_is_there() {
    let (server, _dir) = server().await;
    let fairness = Fairness::new(1, server.registry(), &Arc::default());
    with_queues(&fairness, 5);
    let alice = Client::new("alice", "all", &Method::POST);
    let seat = alice.enter(&fairness, LONG).await.0.unwrap();
    let mut waits = Box::pin(alice.enter(&fairness, LONG));
    assert!(waits.as_mut().now_or_never().is_none());
    fairness.configure(Config::new([], []));
    let ending = |fairness: &Fairness| fairness.active().levels.iter().filter(|level| level.ends).count();
    assert_eq!(ending(&fairness), 1);
    drop(seat);
    drop(waits.await.0.unwrap());
    fairness.shared.levels.notified().await;
    fairness.configure(Config::new([], []));
    assert_eq!(ending(&fairness), 0);
}

#[tokio::test]
async fn bootstrap_objects_stay_as_they_are() {
    let (server, _dir) = server().await;
    let registry = server.registry();
    bootstrap(registry).await.unwrap();
    let cache = &registry.core.cache;
    cache.catch_up().await.unwrap();
    let values = |resource: &str| -> Vec<Value> {
        let resource = kube_object::resource::GroupResource::new(flow_control::GROUP, resource);
        client::Mirror::items(cache.as_ref(), &resource, None).iter().map(|item| item.decode()).collect()
    };
    let (levels, schemas) = (values("prioritylevelconfigurations"), values("flowschemas"));
    assert_eq!((levels.len(), schemas.len()), (8, 11));
    // Defaults have added nothing.
    assert_eq!(flow_control::ensure::levels(&levels.iter().collect::<Vec<_>>()), []);
    assert_eq!(flow_control::ensure::schemas(&schemas.iter().collect::<Vec<_>>()), []);
}
