use std::sync::Arc;
use std::time::Duration;

use client::Api;
use controller::{Config, Election, Runtime};
use controllers::known::{leases, namespaces, pods, replica_sets, service_accounts};
use controllers::{Key, Settings};
use kube_object::resource::GroupResource;
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cluster::{Fake, Hand};

struct Running {
    runtime: Arc<Runtime>,
    shutdown: watch::Sender<bool>,
    task: JoinHandle<()>,
}

fn start(fake: &Arc<Fake>, clock: &Arc<Hand>, identity: Option<&str>) -> Running {
    let api = Arc::clone(fake);
    let clients = move |_: User, _: &str| Arc::clone(&api) as Arc<dyn Api>;
    let runtime = Runtime::new(Config {
        loops: controllers::all(),
        clients: Arc::new(clients),
        mirror: fake.clone(),
        clock: clock.clone(),
        settings: Settings::default(),
        signer: None,
        paths: None,
        election: identity.map(|identity| Election {
            identity: identity.to_owned(),
            namespace: "kube-system".to_owned(),
            name: "kube-controller-manager".to_owned(),
        }),
    });
    let (shutdown, signal) = watch::channel(false);
    let task = tokio::spawn(Arc::clone(&runtime).run(signal));
    Running { runtime, shutdown, task }
}

impl Running {
    async fn stop(self) {
        self.shutdown.send(true).unwrap();
        tokio::time::timeout(Duration::from_secs(10), self.task).await.expect("it stops").unwrap();
    }
}

fn set_of(replicas: i64) -> Value {
    json!({
        "kind": "ReplicaSet",
        "metadata": {"name": "web", "namespace": "a", "generation": 1},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}},
    })
}

fn namespace(name: &str) -> Value {
    json!({"kind": "Namespace", "metadata": {"name": name}, "status": {"phase": "Active"}})
}

#[tokio::test]
async fn watches_decides_and_acts() {
    let (fake, clock) = (Arc::new(Fake::default()), Arc::new(Hand::default()));
    fake.put(namespaces(), namespace("before"));
    let running = start(&fake, &clock, None);
    fake.until(|fake| fake.object(service_accounts(), "before", "default").is_some()).await;
    fake.put(namespaces(), namespace("after"));
    fake.until(|fake| fake.object(service_accounts(), "after", "default").is_some()).await;
    fake.put(replica_sets(), set_of(20));
    fake.until(|fake| fake.count(pods()) == 20).await;
    let status = |fake: &Fake| fake.object(replica_sets(), "a", "web").unwrap()["status"]["replicas"].clone();
    fake.until(|fake| status(fake) == 20).await;
    let records = running.runtime.records().of(&Key::new(replica_sets(), "a", "web"));
    assert!(
        records
            .iter()
            .any(|record| record.by == "replicaset-controller" && record.why.ends_with("of 20 pods"))
    );
    running.stop().await;
    assert_eq!(fake.count(pods()), 20);
}

#[tokio::test]
async fn waits_for_the_index_to_show_what_it_wrote() {
    let (fake, clock) = (Arc::new(Fake::default()), Arc::new(Hand::default()));
    let running = start(&fake, &clock, None);
    fake.put(replica_sets(), set_of(3));
    fake.until(|fake| fake.count(pods()) == 3).await;
    fake.until(|fake| fake.object(replica_sets(), "a", "web").unwrap()["status"]["replicas"] == 3).await;
    // The mirror shows the new size, and nothing after it.
    fake.put(replica_sets(), {
        let mut set = (*fake.object(replica_sets(), "a", "web").unwrap()).clone();
        set["spec"]["replicas"] = json!(5);
        set
    });
    fake.hold(true);
    fake.until(|fake| fake.count(pods()) == 5).await;
    for _ in 0..20 {
        // Each wakes the loop, as a change of another pod would.
        tokio::task::yield_now().await;
        clock.advance(Duration::from_millis(10));
    }
    assert_eq!(fake.count(pods()), 5);
    fake.hold(false);
    fake.until(|fake| fake.object(replica_sets(), "a", "web").unwrap()["status"]["replicas"] == 5).await;
    assert_eq!(fake.count(pods()), 5);
    running.stop().await;
}

#[tokio::test]
async fn retries_with_backoff_and_tells_of_it() {
    let (fake, clock) = (Arc::new(Fake::default()), Arc::new(Hand::default()));
    let refused = Status::forbidden(&GroupResource::new("", "pods"), "", "exceeded quota: q");
    fake.refuse(Some(("create pods", refused)));
    let running = start(&fake, &clock, None);
    fake.put(replica_sets(), set_of(8));
    fake.until(|fake| fake.calls("create pods") >= 1).await;
    // The first of a wave that doubles is refused, so the others are not even tried.
    assert!(fake.calls("create pods") < 8, "{}", fake.calls("create pods"));
    let condition =
        |fake: &Fake| fake.object(replica_sets(), "a", "web").unwrap()["status"]["conditions"][0].clone();
    for _ in 0..10 {
        clock.advance(Duration::from_millis(10));
        tokio::task::yield_now().await;
    }
    fake.until(|fake| condition(fake)["reason"] == "FailedCreate").await;
    fake.refuse(None);
    let calls = fake.calls("create pods");
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fake.calls("create pods"), calls, "it waits for its time");
    for _ in 0..10 {
        clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    fake.until(|fake| fake.count(pods()) == 8).await;
    fake.until(|fake| condition(fake).is_null()).await;
    running.stop().await;
}

#[tokio::test]
async fn one_of_two_acts() {
    let (fake, clock) = (Arc::new(Fake::default()), Arc::new(Hand::default()));
    let one = start(&fake, &clock, Some("one"));
    let holder = |fake: &Fake| {
        fake.object(leases(), "kube-system", "kube-controller-manager")
            .map(|lease| lease["spec"]["holderIdentity"].clone())
    };
    fake.until(|fake| holder(fake) == Some(json!("one"))).await;
    let two = start(&fake, &clock, Some("two"));
    fake.put(namespaces(), namespace("x"));
    fake.until(|fake| fake.object(service_accounts(), "x", "default").is_some()).await;
    one.stop().await;
    // It gave the Lease up: the other takes it at its next look.
    assert_eq!(holder(&fake), Some(json!("")));
    fake.put(namespaces(), namespace("y"));
    let mut looked = 0;
    while holder(&fake) != Some(json!("two")) {
        clock.advance(Duration::from_secs(2));
        tokio::task::yield_now().await;
        looked += 1;
        assert!(looked < 1000);
    }
    fake.until(|fake| fake.object(service_accounts(), "y", "default").is_some()).await;
    two.stop().await;
}
