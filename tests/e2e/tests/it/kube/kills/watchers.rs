//! Watchers: each adds up the events that it gets, over all restarts.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::Shared;
use super::model::{Kind, Model, Objects, SELECTOR, Seen, lock, objects, revision_of};
use crate::kube::wire::{Events, JSON, RETRY, Wire};

/// All watchers.
pub(super) struct Watchers {
    all: Vec<Arc<Follower>>,
}

/// One watcher.
struct Follower {
    kind: Kind,
    path: String,
    /// The only object that it is about, if it is about one.
    only: Option<&'static str>,
    view: Mutex<View>,
    opened: AtomicU64,
    relisted: AtomicU64,
    events: AtomicU64,
}

/// What the events add up to.
#[derive(Default)]
struct View {
    objects: Objects,
    revision: u64,
    /// Revisions since the last comparison.
    fresh: BTreeSet<u64>,
    /// Whether there was a new list since then, which skips events.
    listed: bool,
}

/// Why a watch ended.
enum End {
    Broken,
    Gone,
}

impl Watchers {
    pub(super) fn spawn(shared: &Shared, tasks: &mut JoinSet<()>, runtime: &Handle) -> Self {
        let everywhere = format!("/api/v1/configmaps?{SELECTOR}");
        let followers = [
            Follower::new(Kind::ConfigMaps, &format!("{}?{SELECTOR}", Kind::ConfigMaps.path()), None),
            Follower::new(Kind::ConfigMaps, &everywhere, None),
            // Ends by itself all the time.
            Follower::new(Kind::ConfigMaps, &format!("{everywhere}&timeoutSeconds=1"), None),
            Follower::new(
                Kind::ConfigMaps,
                &format!("{}?fieldSelector=metadata.name%3Dw0-0", Kind::ConfigMaps.path()),
                Some("w0-0"),
            ),
            Follower::new(Kind::Pods, &format!("{}?{SELECTOR}", Kind::Pods.path()), None),
        ];
        let all: Vec<_> = followers.into_iter().map(Arc::new).collect();
        for follower in &all {
            let (follower, shared) = (Arc::clone(follower), shared.clone());
            let run = async move {
                let mut round = shared.round.clone();
                let ended = async { while round.changed().await.is_ok() {} };
                tokio::select! {
                    () = follower.follow(&shared) => {}
                    () = ended => {}
                }
            };
            tasks.spawn_on(run, runtime);
        }
        Self { all }
    }

    /// Waits until every view is what the model is and no event is missing, while nobody writes.
    pub(super) async fn catch_up(&self, model: &Model) {
        let fresh = model.fresh();
        for follower in &self.all {
            let mut expected = model.of(follower.kind);
            expected.retain(|name, _| follower.is_about(name));
            let written =
                fresh.iter().filter(|(_, (kind, name))| *kind == follower.kind && follower.is_about(name));
            let written: BTreeSet<u64> = written.map(|(revision, _)| *revision).collect();
            let deadline = Instant::now() + CATCH_UP_WITHIN;
            while !follower.has(&expected, &written) {
                assert!(Instant::now() < deadline, "{}", follower.difference(&expected, &written));
                tokio::time::sleep(RETRY).await;
            }
            let mut view = lock(&follower.view);
            view.fresh.clear();
            view.listed = false;
        }
        model.all_compared();
    }

    pub(super) fn summary(&self) -> String {
        let sum = |counter: fn(&Follower) -> &AtomicU64| -> u64 {
            self.all.iter().map(|follower| counter(follower).load(Ordering::Relaxed)).sum()
        };
        let (opened, relisted) = (sum(|follower| &follower.opened), sum(|follower| &follower.relisted));
        let events = sum(|follower| &follower.events);
        format!("{events} events, {opened} watches, {relisted} began anew after 410")
    }
}

impl Follower {
    fn new(kind: Kind, path: &str, only: Option<&'static str>) -> Self {
        Self {
            kind,
            path: path.to_owned(),
            only,
            view: Mutex::default(),
            opened: AtomicU64::new(0),
            relisted: AtomicU64::new(0),
            events: AtomicU64::new(0),
        }
    }

    fn is_about(&self, name: &str) -> bool {
        self.only.is_none_or(|only| only == name)
    }

    /// Lists, watches, and goes on where a watch broke, for ever.
    async fn follow(&self, shared: &Shared) {
        let mut wire = Wire::new(&shared.target);
        self.list(&mut wire).await;
        loop {
            let revision = lock(&self.view).revision;
            let path =
                format!("{}&watch=true&allowWatchBookmarks=true&resourceVersion={revision}", self.path);
            let end = match wire.open("GET", &path, JSON, "").await {
                Err(_) => End::Broken,
                Ok(answer) => match answer.status().as_u16() {
                    200 => {
                        self.opened.fetch_add(1, Ordering::Relaxed);
                        self.read(Events::of(answer)).await
                    }
                    410 => End::Gone,
                    429 | 503 => End::Broken,
                    code => panic!("watch {path}: {code}"),
                },
            };
            match end {
                End::Broken => tokio::time::sleep(RETRY).await,
                End::Gone => {
                    self.relisted.fetch_add(1, Ordering::Relaxed);
                    self.list(&mut wire).await;
                }
            }
        }
    }

    async fn list(&self, wire: &mut Wire) {
        let list = wire.insist("GET", &self.path, JSON, "").await.ok();
        let mut view = lock(&self.view);
        view.objects = objects(self.kind, &list);
        view.revision = revision_of(&list);
        view.listed = true;
    }

    async fn read(&self, mut events: Events) -> End {
        while let Some(event) = events.next().await {
            if event["type"] == "ERROR" {
                assert_eq!(event["object"]["code"], 410, "{}: {event}", self.path);
                return End::Gone;
            }
            self.take(&event);
        }
        End::Broken
    }

    fn take(&self, event: &Value) {
        let object = &event["object"];
        let revision = revision_of(object);
        let mut view = lock(&self.view);
        if event["type"] == "BOOKMARK" {
            assert!(revision >= view.revision, "{}: a bookmark behind {}: {event}", self.path, view.revision);
            view.revision = revision;
            return;
        }
        self.events.fetch_add(1, Ordering::Relaxed);
        assert!(
            revision > view.revision,
            "{}: twice or out of order, at {}: {event}",
            self.path,
            view.revision
        );
        view.revision = revision;
        view.fresh.insert(revision);
        let seen = Seen::of(self.kind, object);
        let name = object["metadata"]["name"].as_str().unwrap();
        let before = view.objects.get(name);
        let same = before.is_some_and(|before| before.uid == seen.uid && before.seq <= seen.seq);
        match event["type"].as_str().unwrap() {
            "ADDED" => assert_eq!(before, None, "{}: added again: {event}", self.path),
            "MODIFIED" | "DELETED" => assert!(same, "{}: after {before:?}: {event}", self.path),
            other => panic!("{}: {other}", self.path),
        }
        if event["type"] == "DELETED" {
            view.objects.remove(name);
        } else {
            view.objects.insert(name.to_owned(), seen);
        }
    }

    fn has(&self, expected: &Objects, written: &BTreeSet<u64>) -> bool {
        let view = lock(&self.view);
        view.objects == *expected && (view.listed || written.is_subset(&view.fresh))
    }

    fn difference(&self, expected: &Objects, written: &BTreeSet<u64>) -> String {
        let view = lock(&self.view);
        let names = expected.keys().chain(view.objects.keys());
        let differs = names.filter(|name| expected.get(*name) != view.objects.get(*name));
        let shown: Vec<_> =
            differs.take(3).map(|name| (name, view.objects.get(name), expected.get(name))).collect();
        let missing: Vec<_> = written.difference(&view.fresh).take(5).collect();
        format!(
            "{} at {}: (name, seen, expected) {shown:?}; no events of {missing:?}",
            self.path, view.revision
        )
    }
}

const CATCH_UP_WITHIN: Duration = Duration::from_secs(60);
