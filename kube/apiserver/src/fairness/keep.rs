//! The loop behind the objects of flow control: it keeps the bootstrap ones as they should be, says in
//! each schema whether its level is there, and puts what is configured to work.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::Mirror as _;
use flow_control::GROUP;
use flow_control::condition::dangling;
use flow_control::config::{Config, Level, level_of};
use flow_control::ensure::{self, Step};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kube_object::resource::GroupResource;
use kube_object::status::Status;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Fairness;
use crate::http::Front;
use crate::registry::{Body, DeleteOptions, Patch, Registry, Target, WriteOptions};
use crate::server::server_context;

const LEVELS: &str = "prioritylevelconfigurations";
const SCHEMAS: &str = "flowschemas";
/// Who writes the bootstrap objects, and who the conditions: upstream's names.
const PRODUCER: &str = "api-priority-and-fairness-config-producer-v1";
const CONSUMER: &str = "api-priority-and-fairness-config-consumer-v1";
/// How often an object is written in a minute at most: servers of two versions may disagree.
const WRITES_MAX: usize = 6;
const MINUTE: Duration = Duration::from_secs(60);
/// After a write that has failed, or was not to be yet.
const RETRY: Duration = Duration::from_secs(5);
/// Objects written at a time.
const AT_ONCE: usize = 64;

/// Looks after flow control until `shutdown` says true or its sender is gone.
pub async fn run(registry: Arc<Registry>, front: Arc<Front>, mut shutdown: watch::Receiver<bool>) {
    let fairness = front.fairness();
    let seats = async {
        match fairness {
            Some(fairness) => fairness.seats().await,
            None => std::future::pending().await,
        }
    };
    let mut keeper = Keeper { registry: &registry, fairness, written: VecDeque::new() };
    tokio::select! {
        () = keeper.follow() => {}
        () = seats => {}
        () = client::asked_to_end(&mut shutdown) => {}
    }
}

/// Makes the objects that every cluster begins with.
pub(crate) async fn bootstrap(registry: &Registry) -> Result<(), Status> {
    for (resource, steps) in plans(registry) {
        let writes = stream::iter(steps).map(|step| carry_out(registry, resource, step));
        writes.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    }
    Ok(())
}

struct Keeper<'a> {
    registry: &'a Registry,
    fairness: Option<&'a Arc<Fairness>>,
    /// What was written in the last minute.
    written: VecDeque<(Instant, String)>,
}

impl Keeper<'_> {
    async fn follow(&mut self) {
        let cache = &self.registry.core.cache;
        let mut levels = cache.changes(&GroupResource::new(GROUP, LEVELS));
        let mut schemas = cache.changes(&GroupResource::new(GROUP, SCHEMAS));
        let mut settled = true;
        loop {
            let level_ended = async {
                match self.fairness {
                    Some(fairness) => fairness.shared.levels.notified().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                change = levels.next() => if change.is_none() { return },
                change = schemas.next() => if change.is_none() { return },
                () = level_ended => {}
                () = tokio::time::sleep(RETRY), if !settled => {}
            }
            settled = self.look().await;
        }
    }

    /// Brings everything to where it should be; false if it must be tried again.
    async fn look(&mut self) -> bool {
        let (levels, schemas) = (values(self.registry, LEVELS), values(self.registry, SCHEMAS));
        if let Some(fairness) = self.fairness {
            let of = |values: &'_ [Arc<Value>]| values.iter().map(|value| value.as_ref().clone()).collect();
            let (levels, schemas): (Vec<Value>, Vec<Value>) = (of(&levels), of(&schemas));
            fairness.configure(Config::new(&levels, &schemas));
        }
        let mut settled = true;
        for (resource, steps) in plans(self.registry) {
            for step in steps {
                let name = format!("{resource}/{}", name_of(&step));
                settled &= self.may_write(&name) && carry_out(self.registry, resource, step).await.is_ok();
            }
        }
        if self.fairness.is_none() {
            return settled;
        }
        let names: Vec<String> =
            levels.iter().filter_map(|level| Level::parse(level)).map(|level| level.name).collect();
        for schema in &schemas {
            let found = names.iter().any(|name| name == level_of(schema));
            let Some(condition) = dangling(schema, found, &self.registry.core.now()) else { continue };
            let name = schema.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            settled &= self.may_write(&format!("status/{name}")) && self.say(name, condition).await.is_ok();
        }
        settled
    }

    /// Whether an object may be written once more; that counts.
    fn may_write(&mut self, name: &str) -> bool {
        let now = Instant::now();
        while self.written.front().is_some_and(|(at, _)| now.duration_since(*at) > MINUTE) {
            self.written.pop_front();
        }
        let may = self.written.iter().filter(|(_, other)| other == name).count() < WRITES_MAX;
        if may {
            self.written.push_back((now, name.to_owned()));
        }
        may
    }

    /// Writes a schema's condition; others' conditions stay.
    async fn say(&self, name: &str, condition: Value) -> Result<(), Status> {
        let resource = self.registry.kinds().resolve(GROUP, "v1", SCHEMAS);
        let resource = resource.ok_or_else(Status::no_such_path)?;
        let target = Target::object(&resource, "", name).at("status");
        let body = json!({
            "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema",
            "metadata": {"name": name}, "status": {"conditions": [condition]},
        });
        let options =
            WriteOptions { field_manager: CONSUMER.to_owned(), force: true, ..WriteOptions::default() };
        let patch = Patch::Apply(Body::from(body));
        match self.registry.patch(&server_context(), &target, patch, &options).await {
            // It has gone by itself.
            Err(status) if status.code == 404 => Ok(()),
            result => result.map(drop),
        }
    }
}

fn values(registry: &Registry, resource: &str) -> Vec<Arc<Value>> {
    let items = registry.core.cache.items(&GroupResource::new(GROUP, resource), None);
    items.iter().map(|item| item.value()).collect()
}

/// What is to be done about each resource.
fn plans(registry: &Registry) -> [(&'static str, Vec<Step>); 2] {
    let (levels, schemas) = (values(registry, LEVELS), values(registry, SCHEMAS));
    let refs = |values: &'_ [Arc<Value>], plan: fn(&[&Value]) -> Vec<Step>| {
        plan(&values.iter().map(Arc::as_ref).collect::<Vec<_>>())
    };
    [(LEVELS, refs(&levels, ensure::levels)), (SCHEMAS, refs(&schemas, ensure::schemas))]
}

fn name_of(step: &Step) -> &str {
    match step {
        Step::Create(object) | Step::Update(object) => {
            object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
        }
        Step::Delete(name) => name,
    }
}

async fn carry_out(registry: &Registry, resource: &str, step: Step) -> Result<(), Status> {
    let resource = registry.kinds().resolve(GROUP, "v1", resource).ok_or_else(Status::no_such_path)?;
    let target = Target::object(&resource, "", name_of(&step));
    let context = server_context();
    let options = WriteOptions { field_manager: PRODUCER.to_owned(), ..WriteOptions::default() };
    let done = match step {
        Step::Create(object) => {
            let collection = Target::collection(&resource, "");
            registry.create(&context, &collection, Body::from(object), &options).await
        }
        Step::Update(object) => registry.update(&context, &target, Body::from(object), &options).await,
        Step::Delete(_) => registry.delete(&context, &target, &DeleteOptions::default()).await,
    };
    match done {
        // Somebody was faster; what they have made of it will be seen.
        Err(status) if matches!(status.code, 404 | 409) => Ok(()),
        done => done.map(drop),
    }
}
