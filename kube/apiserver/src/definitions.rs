//! The loop behind CustomResourceDefinitions: it serves what they describe, writes their status, and
//! ends their objects before them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::{Change, Item, Mirror};
use futures_util::StreamExt;
use kube_crd::definition::Definition;
use kube_crd::status::{Cleanup, cleanup_plan, status_plan};
use kube_object::resource::GroupResource;
use kube_object::status::Status;
use kube_object::time::Time;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::custom;
use crate::kinds::Resource;
use crate::registry::modify::{Change as Edit, Job};
use crate::registry::{DeleteOptions, ListOptions, Registry, Target, WriteOptions, meta};
use crate::server::server_context;

/// Follows the definitions until `shutdown` says true or its sender is gone.
pub(crate) async fn run(registry: Arc<Registry>, mut shutdown: watch::Receiver<bool>) {
    let mut definitions = Definitions { registry, compiled: HashMap::new() };
    tokio::select! {
        () = definitions.follow() => {}
        () = client::asked_to_end(&mut shutdown) => {}
    }
}

/// Serves the definitions that are established already, before the first request is answered.
pub(crate) async fn load(registry: &Arc<Registry>) {
    let mut definitions = Definitions { registry: Arc::clone(registry), compiled: HashMap::new() };
    let all = definitions.all();
    definitions.serve(&all);
}

struct Definitions {
    registry: Arc<Registry>,
    /// By name; compiled anew when the definition has another generation.
    compiled: HashMap<String, Compiled>,
}

struct Compiled {
    uid: String,
    generation: i64,
    resources: Vec<Arc<Resource>>,
}

impl Definitions {
    async fn follow(&mut self) {
        let resource = definitions();
        let mut changes = self.registry.core.cache.changes(&resource);
        let mut again = None;
        loop {
            match again {
                None => match changes.next().await {
                    Some(Change::Set { .. } | Change::Gone { .. } | Change::Resync) => {}
                    None => return,
                },
                // Objects that are held by finalizers go when they go.
                Some(wait) => drop(tokio::time::timeout(wait, changes.next()).await),
            }
            again = if self.reconcile().await { None } else { Some(RETRY) };
        }
    }

    fn all(&self) -> Vec<Arc<Item>> {
        self.registry.core.cache.items(&definitions(), None)
    }

    /// Brings everything to where the definitions want it; false if it must be tried again.
    async fn reconcile(&mut self) -> bool {
        let items = self.all();
        let values: Vec<Value> = items.iter().map(|item| item.decode()).collect();
        self.serve(&items);
        let now = Time::from_unix(self.registry.core.unix());
        let Some(now) = now else { return true };
        let mut settled = true;
        for (item, value) in items.iter().zip(&values) {
            let plan = status_plan(value, &values, now);
            let done = if item.is_deleting() {
                self.clean_up(value, now).await
            } else if plan.changed {
                self.write(item.name(), plan.status, None).await.map(|()| true)
            } else {
                Ok(true)
            };
            settled &= done.unwrap_or(false);
        }
        settled
    }

    /// Serves what is established, or will be as soon as its status is written.
    fn serve(&mut self, items: &[Arc<Item>]) {
        let values: Vec<Value> = items.iter().map(|item| item.decode()).collect();
        let now = Time::from_unix(self.registry.core.unix());
        let mut served = Vec::new();
        let mut changed = self.compiled.len();
        let mut kept = HashMap::new();
        for (item, value) in items.iter().zip(&values) {
            let established = now.is_some_and(|now| status_plan(value, &values, now).established);
            if !established {
                continue;
            }
            let generation = meta::get(value, "generation").as_i64().unwrap_or(0);
            let known = self.compiled.remove(item.name());
            let compiled = match known {
                Some(known) if known.uid == item.uid() && known.generation == generation => {
                    changed -= 1;
                    known
                }
                _ => match compile(item, value, generation) {
                    Some(compiled) => {
                        changed += 1;
                        compiled
                    }
                    None => continue,
                },
            };
            served.extend(compiled.resources.iter().cloned());
            kept.insert(item.name().to_owned(), compiled);
        }
        self.compiled = kept;
        if changed > 0 {
            self.registry.kinds().set_custom(served);
        }
    }

    /// The objects go first; true when there is nothing left to do.
    async fn clean_up(&self, definition: &Value, now: Time) -> Result<bool, Status> {
        let name = meta::text(definition, "name");
        let resource = self.compiled.get(name).and_then(|compiled| compiled.resources.first());
        let remaining =
            resource.map(|resource| self.registry.core.cache.items(&resource.stored_as, None).len() as u64);
        match cleanup_plan(definition, remaining.or(Some(0)), now) {
            Cleanup::Nothing => Ok(true),
            Cleanup::Announce { status } => {
                self.write(name, status, None).await?;
                Ok(false)
            }
            Cleanup::DeleteObjects => {
                if let Some(resource) = resource {
                    let target = Target::collection(resource, "");
                    let (list, options) = (ListOptions::everything(), DeleteOptions::default());
                    self.registry.delete_collection(&server_context(), &target, &list, &options).await?;
                }
                Ok(false)
            }
            Cleanup::Finish { status, finalizers } => {
                self.write(name, status, Some(finalizers)).await?;
                Ok(true)
            }
        }
    }

    async fn write(&self, name: &str, status: Value, finalizers: Option<Vec<String>>) -> Result<(), Status> {
        let resource =
            self.registry.kinds().resolve("apiextensions.k8s.io", "v1", "customresourcedefinitions");
        let resource = resource.ok_or_else(Status::no_such_path)?;
        let target = Target::object(&resource, "", name).at("status");
        let edit = |definition: &mut Value| {
            if let Some(fields) = definition.as_object_mut() {
                fields.insert("status".to_owned(), status.clone());
            }
            if let Some(finalizers) = &finalizers {
                let value = if finalizers.is_empty() { Value::Null } else { json!(finalizers) };
                meta::set(definition, "finalizers", value);
            }
            Ok(())
        };
        let (context, options) = (server_context(), WriteOptions::default());
        let change = Edit::Edit(&edit);
        let job = Job { context: &context, target: &target, options: &options, change };
        match self.registry.modify(&job).await {
            // It has gone by itself.
            Err(status) if status.code == 404 => Ok(()),
            result => result.map(drop),
        }
    }
}

fn compile(item: &Arc<Item>, value: &Value, generation: i64) -> Option<Compiled> {
    let definition = Arc::new(Definition::compile_with(value, custom::rule_compiler()).ok()?);
    let resources = custom::resources(item, &definition, generation > 1);
    Some(Compiled { uid: item.uid().to_owned(), generation, resources })
}

fn definitions() -> GroupResource {
    GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions")
}

/// Between two looks at objects that are to go.
const RETRY: Duration = Duration::from_millis(200);
