//! What the kubelet does besides pods: images, writes to the API, the end of its node.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use client::{Api, BoxFuture, BoxStream, Call, Verb, WatchEvent, WatchOptions};
use kube_object::resource::GroupVersionResource;
use kube_object::status::Status;
use kubelet::{Eviction, ImageCollection};
use serde_json::{Value, json};

use crate::rig::{Rig, pods};

fn one(name: &str, image: &str) -> Value {
    json!({"restartPolicy": "Never", "containers": [{"name": name, "image": image}]})
}

#[tokio::test]
async fn unused_images_go_when_the_disk_is_full() {
    let rig = Rig::with(|config| {
        config.eviction = Eviction { every: Duration::from_secs(1), ..config.eviction };
        config.image_collection = ImageCollection {
            high_percent: 0,
            low_percent: 0,
            free_bytes_most: u64::MAX,
            age_least: Duration::ZERO,
            every: Duration::from_secs(1),
        };
    })
    .await;
    rig.pod("stays", one("a", "used")).await;
    rig.pod("goes", one("b", "unused")).await;
    for name in ["stays", "goes"] {
        rig.until_status(name, &[("/phase", json!("Running"))]).await;
    }
    let removed = |rig: &Rig| -> Vec<String> {
        rig.runtime.calls().into_iter().filter(|call| call.starts_with("remove image")).collect()
    };
    assert_eq!(removed(&rig), [""; 0]);
    let force = |options: &mut client::CallOptions| options.grace_period_seconds = Some(0);
    rig.call(Call::delete(&pods(), "default", "goes").with(force)).await.unwrap();
    rig.until("the image goes", async |rig| (!removed(rig).is_empty()).then_some(())).await;
    assert_eq!(removed(&rig), ["remove image unused:latest"]);
    // It was not enough, and people are told.
    let events = GroupVersionResource::new("", "v1", "events");
    rig.until("an event", async |rig| {
        let found = rig.call(Call::list(&events, "default")).await.ok()?;
        let told = found["items"].as_array()?.iter().any(|event| event["reason"] == "FreeDiskSpaceFailed");
        told.then_some(())
    })
    .await;
}

/// An API that takes its time for statuses of pods, and counts how many it has at a time.
struct Slow {
    inner: Arc<dyn Api>,
    now: AtomicUsize,
    most: AtomicUsize,
    all: AtomicUsize,
}

impl Api for Slow {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Value, Status>> {
        Box::pin(async move {
            if call.verb != Verb::Patch || call.resource.resource != "pods" {
                return self.inner.call(call).await;
            }
            self.all.fetch_add(1, Ordering::SeqCst);
            self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(300)).await;
            let answer = self.inner.call(call).await;
            self.now.fetch_sub(1, Ordering::SeqCst);
            answer
        })
    }

    fn watch<'a>(
        &'a self,
        resource: &GroupVersionResource,
        options: WatchOptions,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Result<WatchEvent, Status>>, Status>> {
        self.inner.watch(resource, options)
    }
}

#[tokio::test]
async fn a_slow_api_gets_the_newest_status_and_not_each() {
    let slow: Arc<std::sync::OnceLock<Arc<Slow>>> = Arc::default();
    let of_config = Arc::clone(&slow);
    let rig = Rig::with(move |config| {
        let inner = Arc::clone(&config.api);
        let zero = AtomicUsize::default;
        let made = of_config.get_or_init(|| Arc::new(Slow { inner, now: zero(), most: zero(), all: zero() }));
        config.api = Arc::clone(made) as Arc<dyn Api>;
    })
    .await;
    let names: Vec<String> = (0..20).map(|number| format!("c{number}")).collect();
    let containers: Vec<Value> = names.iter().map(|name| json!({"name": name, "image": "nginx"})).collect();
    rig.pod("many", json!({"restartPolicy": "Never", "containers": containers})).await;
    // Each start and each end is another status.
    rig.until("all run", async |rig| {
        names.iter().all(|name| rig.runtime.running(name).is_some()).then_some(())
    })
    .await;
    for name in &names {
        rig.runtime.end(&rig.runtime.running(name).unwrap(), 0);
    }
    let pod = rig.until_status("many", &[("/phase", json!("Succeeded"))]).await;
    assert_eq!(pod["status"]["containerStatuses"].as_array().unwrap().len(), names.len());
    let slow = slow.get().unwrap();
    assert_eq!(slow.most.load(Ordering::SeqCst), 1, "one write at a time");
    assert!(slow.all.load(Ordering::SeqCst) < names.len(), "{}", slow.all.load(Ordering::SeqCst));
}

#[tokio::test]
async fn who_asks_for_users_of_its_own_is_not_run_beside_the_nodes() {
    let rig = Rig::new().await;
    rig.pod("apart", json!({"hostUsers": false, "containers": [{"name": "c", "image": "nginx"}]})).await;
    let events = GroupVersionResource::new("", "v1", "events");
    let why = rig
        .until("an event", async |rig| {
            let found = rig.call(Call::list(&events, "default")).await.ok()?;
            let mut all = found["items"].as_array()?.iter();
            all.find(|event| event["reason"] == "FailedCreatePodSandBox")?["message"]
                .as_str()
                .map(str::to_owned)
        })
        .await;
    assert!(why.contains("no user namespace of their own"), "{why}");
    assert_eq!(rig.runtime.sandboxes(), 0);
}
