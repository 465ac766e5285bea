//! Carrying out a plan: one call an action, in order, and what must be seen of it afterwards.

use std::sync::Arc;

use client::http::HttpClient;
use client::{Api, BoxFuture, Call, PatchType, Verb};
use controllers::{Action, Ask, Failure, Key, Target, object};
use futures_util::future::join_all;
use kube_object::resource::GroupVersionResource;
use kube_object::status::Status;
use serde_json::Value;

use crate::events::Teller;
use crate::queue::Barrier;

/// Approves and signs certificate requests with the cluster's rules and keys.
pub trait Signer: Send + Sync {
    /// The request with its approval, if it is a node's and the node may have what it asks for.
    fn approve<'a>(&'a self, request: &'a Value) -> BoxFuture<'a, Result<Option<Value>, Status>>;

    /// The request with a certificate, or the reason why there is none, in its status; `None` if the signer is
    /// not one of its own.
    fn sign(&self, request: &Value) -> Result<Option<Value>, Status>;
}

/// Answers to a `GET` of any path that the API has, such as those of metrics.
pub trait Paths: Send + Sync {
    /// The object at a path with its query.
    fn get<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Value, Status>>;
}

impl Paths for HttpClient {
    fn get<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Value, Status>> {
        Box::pin(async move {
            let answer = self.raw(path).await?;
            let fault =
                |error| Status::new(500, "InternalError", format!("read the answer to {path}: {error}"));
            serde_json::from_slice(&answer).map_err(fault)
        })
    }
}

/// How a plan went.
#[derive(Debug, Default)]
pub(crate) struct Acted {
    /// A refusal that the loop should know of.
    pub(crate) failure: Option<Failure>,
    /// Whether the plan was not carried out to its end.
    pub(crate) stopped: bool,
    /// What the index must show before the key's next plan.
    pub(crate) barriers: Vec<Barrier>,
}

/// Acts in the name of one loop.
#[derive(Clone)]
pub(crate) struct Actor {
    pub(crate) api: Arc<dyn Api>,
    pub(crate) signer: Option<Arc<dyn Signer>>,
    pub(crate) paths: Option<Arc<dyn Paths>>,
    pub(crate) teller: Arc<Teller>,
    pub(crate) name: &'static str,
}

/// Why a plan does not go on.
enum Stop {
    /// A guard does not hold, or the index was behind: look again.
    Stale,
    /// The API refused.
    Refused(Box<Failure>),
}

impl Actor {
    /// Asks the API, all questions at once.
    pub(crate) async fn ask(&self, asks: &[Ask]) -> Vec<(Ask, Result<Value, Status>)> {
        join_all(asks.iter().map(|ask| async move { (ask.clone(), self.answer(ask).await) })).await
    }

    async fn answer(&self, ask: &Ask) -> Result<Value, Status> {
        match (ask, &self.paths) {
            (Ask::Part { target, part }, _) => {
                let call = Call::get(&target.resource, &target.namespace, &target.name).at(part);
                self.api.call(call).await
            }
            (Ask::Path(path), Some(paths)) => paths.get(path).await,
            (Ask::Path(path), None) => {
                let message = format!("the server could not find the requested resource (get {path})");
                Err(Status::new(404, "NotFound", message))
            }
        }
    }

    /// Carries out the actions.
    pub(crate) async fn act(&self, actions: &[Action]) -> Acted {
        let mut acted = Acted::default();
        let mut rest = actions;
        while let Some(first) = rest.first() {
            let many = rest.iter().take_while(|action| is_batch(first, action)).count().max(1);
            let (batch, after) = rest.split_at(many);
            rest = after;
            let stop = match batch {
                [one] => self.one(one, &mut acted.barriers).await.err(),
                batch => self.batch(batch, &mut acted.barriers).await,
            };
            match stop {
                None => {}
                Some(Stop::Stale) => {
                    acted.stopped = true;
                    return acted;
                }
                Some(Stop::Refused(failure)) => {
                    acted.stopped = true;
                    acted.failure = Some(*failure);
                    return acted;
                }
            }
        }
        acted
    }

    /// Many of a kind, in waves that double as long as all goes well: a cluster that refuses one refuses most.
    async fn batch(&self, mut batch: &[Action], barriers: &mut Vec<Barrier>) -> Option<Stop> {
        let mut wave = 1;
        while !batch.is_empty() {
            let (now, later) = batch.split_at(wave.min(batch.len()));
            batch = later;
            let ends = join_all(now.iter().map(|action| async move {
                let mut barriers = Vec::new();
                let end = self.one(action, &mut barriers).await;
                (end, barriers)
            }));
            let mut stop = None;
            for (end, reached) in ends.await {
                barriers.extend(reached);
                stop = stop.or(end.err());
            }
            if stop.is_some() {
                return stop;
            }
            wave = (wave * 2).min(WAVE_MAX);
        }
        None
    }

    async fn one(&self, action: &Action, barriers: &mut Vec<Barrier>) -> Result<(), Stop> {
        let (end, tale) = match action {
            Action::Told { action, tale } => (self.bare(action.bare(), barriers).await, tale),
            bare => return self.bare(bare, barriers).await.map(drop),
        };
        let event = match &end {
            Ok(name) => Some(tale.event(Ok(name))),
            Err(Stop::Refused(failure)) => Some(tale.event(Err(&failure.status.message))),
            Err(Stop::Stale) => None,
        };
        if let Some(event) = event {
            self.teller.tell(&*self.api, self.name, &event).await;
        }
        end.map(drop)
    }

    /// Carries out an action of which nothing is told; the name of what was written.
    async fn bare(&self, action: &Action, barriers: &mut Vec<Barrier>) -> Result<String, Stop> {
        let done = |()| String::new();
        match action {
            Action::Event(event) => {
                self.teller.tell(&*self.api, self.name, event).await;
                Ok(String::new())
            }
            Action::Present(target) => self.guard(self.living(target).await?).map(done),
            Action::Absent(target) => {
                let found = self.found(target).await?;
                self.guard(found.is_none()).map(done)
            }
            Action::Empty { resource, namespace } => {
                self.guard(self.is_empty(resource, namespace).await?).map(done)
            }
            Action::Approve { request } => {
                let approved = match &self.signer {
                    Some(signer) => signer.approve(request).await,
                    None => Ok(None),
                };
                let resource = controllers::known::signing_requests();
                let approved = approved.map_err(|status| refused_as("approve", resource, status))?;
                self.certify("approval", approved, barriers).await.map(done)
            }
            Action::Sign { request } => {
                let signed = self.signer.as_ref().map_or(Ok(None), |signer| signer.sign(request));
                let resource = controllers::known::signing_requests();
                let signed = signed.map_err(|status| refused_as("sign", resource, status))?;
                self.certify("status", signed, barriers).await.map(done)
            }
            write => {
                let (resource, call) = call_of(write);
                let Some(call) = call else { return Ok(String::new()) };
                let answer = self.api.call(call).await;
                self.judge(write, &resource, answer, barriers)
            }
        }
    }

    fn judge(
        &self,
        action: &Action,
        resource: &GroupVersionResource,
        answer: Result<Value, Status>,
        barriers: &mut Vec<Barrier>,
    ) -> Result<String, Stop> {
        let (ended, name) = match action {
            Action::Delete { target, .. } => {
                (Some(Barrier::Ended(key_of(target), target.uid.clone())), target.name.clone())
            }
            _ => (None, String::new()),
        };
        match answer {
            Ok(object) => {
                let name = if ended.is_some() { name } else { object::name(&object).to_owned() };
                let revision = object::revision(&object).parse().ok().filter(|_| !is_list(action));
                barriers.extend(ended.or_else(|| Some(Barrier::Revision(resource.clone(), revision?))));
                Ok(name)
            }
            // Gone is what was wanted; it may be the index that does not know yet. What is not served is not there.
            Err(status) if status.code == 404 && ended.is_some() => {
                barriers.extend(ended);
                Ok(name)
            }
            Err(status) if matches!(status.code, 404 | 405) && is_list(action) => Ok(name),
            Err(status) => Err(refused(action, resource, status)),
        }
    }

    /// Writes what became of a certificate request.
    async fn certify(
        &self,
        part: &'static str,
        request: Option<Value>,
        barriers: &mut Vec<Barrier>,
    ) -> Result<(), Stop> {
        let Some(request) = request else { return Ok(()) };
        let resource = controllers::known::signing_requests();
        let action = Action::Update { resource: resource.clone(), part: Some(part), object: request };
        let (resource, Some(call)) = call_of(&action) else { return Ok(()) };
        let answer = self.api.call(call).await;
        self.judge(&action, &resource, answer, barriers).map(drop)
    }

    fn guard(&self, holds: bool) -> Result<(), Stop> {
        if holds { Ok(()) } else { Err(Stop::Stale) }
    }

    /// The object as the API has it now, if it is that one.
    async fn found(&self, target: &Target) -> Result<Option<Value>, Stop> {
        let call = Call::get(&target.resource, &target.namespace, &target.name);
        match self.api.call(call).await {
            Ok(found) if target.uid.is_empty() || object::uid(&found) == target.uid => Ok(Some(found)),
            Ok(_) => Ok(None),
            Err(status) if status.code == 404 => Ok(None),
            Err(status) => Err(refused_as("get", &target.resource, status)),
        }
    }

    async fn living(&self, target: &Target) -> Result<bool, Stop> {
        Ok(self.found(target).await?.is_some_and(|found| !object::is_deleting(&found)))
    }

    async fn is_empty(&self, resource: &GroupVersionResource, namespace: &str) -> Result<bool, Stop> {
        let call = Call::list(resource, namespace).with(|options| options.limit = Some(1));
        match self.api.call(call).await {
            Ok(list) => Ok(object::items(&list, &["items"]).is_empty()),
            Err(status) if matches!(status.code, 404 | 405) => Ok(true),
            Err(status) => Err(refused_as("list", resource, status)),
        }
    }
}

fn refused(action: &Action, resource: &GroupVersionResource, status: Status) -> Stop {
    // Somebody was faster than the index: not the loop's business.
    let behind = status.reason == "Conflict"
        || status.reason == "AlreadyExists"
        || (status.code == 404 && !matches!(action, Action::Create { .. }));
    if behind { Stop::Stale } else { refused_as(&action.summary(), resource, status) }
}

fn refused_as(action: &str, resource: &GroupVersionResource, status: Status) -> Stop {
    let (action, resource) = (action.to_owned(), resource.resource.clone());
    Stop::Refused(Box::new(Failure { action, resource, status }))
}

/// The call of an action that writes.
fn call_of(action: &Action) -> (GroupVersionResource, Option<Call>) {
    let (resource, call) = match action {
        Action::Create { resource, namespace, object } => {
            (resource, Call::create(resource, namespace, object.clone()))
        }
        Action::Update { resource, part, object } => {
            let call = Call::update(resource, object.clone());
            (resource, part.map(|part| call.clone().at(part)).unwrap_or(call))
        }
        Action::Patch { target, part, strategic, patch } => {
            let how = if *strategic { PatchType::Strategic } else { PatchType::Merge };
            let call = Call::patch(&target.resource, &target.namespace, &target.name, how, patch.clone());
            (&target.resource, part.map(|part| call.clone().at(part)).unwrap_or(call))
        }
        Action::Apply { target, manager, config } => {
            let call =
                Call::apply(&target.resource, &target.namespace, &target.name, manager, config.clone());
            (&target.resource, call.with(|options| options.force = true))
        }
        Action::Delete { target, revision, propagation, grace_seconds } => {
            let call = Call::delete(&target.resource, &target.namespace, &target.name);
            let call = call.with(|options| {
                options.preconditions.uid = Some(target.uid.clone()).filter(|uid| !uid.is_empty());
                options.preconditions.resource_version = revision.clone();
                options.propagation = propagation.map(str::to_owned);
                options.grace_period_seconds = *grace_seconds;
            });
            (&target.resource, call)
        }
        Action::DeleteAll { resource, namespace, propagation } => {
            let call = Call::delete_collection(resource, namespace);
            (resource, call.with(|options| options.propagation = Some((*propagation).to_owned())))
        }
        _ => return (GroupVersionResource::default(), None),
    };
    (resource.clone(), Some(with_manager(call)))
}

/// Names the owner of the fields written, where the plan names none.
fn with_manager(mut call: Call) -> Call {
    if matches!(call.verb, Verb::Create | Verb::Update | Verb::Patch) {
        call.options.field_manager.get_or_insert_with(|| MANAGER.to_owned());
    }
    call
}

/// Whether two actions may go at the same time: they concern different objects of one resource.
fn is_batch(first: &Action, other: &Action) -> bool {
    match (first.bare(), other.bare()) {
        (Action::Create { resource: one, .. }, Action::Create { resource: two, .. }) => one == two,
        (Action::Delete { target: one, .. }, Action::Delete { target: two, .. }) => {
            one.resource == two.resource
        }
        (Action::Patch { target: one, .. }, Action::Patch { target: two, .. }) => {
            one.resource == two.resource && (&one.namespace, &one.name) != (&two.namespace, &two.name)
        }
        (Action::Empty { .. }, Action::Empty { .. }) => true,
        (Action::DeleteAll { .. }, Action::DeleteAll { .. }) => true,
        _ => false,
    }
}

fn is_list(action: &Action) -> bool {
    matches!(action, Action::DeleteAll { .. })
}

fn key_of(target: &Target) -> Key {
    Key::new(&target.resource, &target.namespace, &target.name)
}

/// The body of an event's creation, for [`Teller`].
pub(crate) fn event_call(namespace: &str, event: Value) -> Call {
    with_manager(Call::create(controllers::known::events(), namespace, event))
}

/// The value that clients of the API know loops by.
pub(crate) const MANAGER: &str = "kube-controller-manager";
/// Calls of one plan at the same time.
const WAVE_MAX: usize = 16;
