//! What became of a job.

use std::sync::Arc;
use std::time::Instant;

use client::{BoxFuture, Call};
use kube_object::resource::GroupVersionResource;
use kube_object::status::Status;
use serde_json::Value;
use tokio::task::JoinError;

use super::{Desired, Worker};
use crate::events::warning;
use crate::jobs::{Failed, Task};
use crate::model::{Job, Life, Retry, StartFailure, Volumes, Wanted};
use crate::plan::Action;
use crate::read::{name, namespace, text, uid};
use crate::resources;
use crate::volumes::Made;

/// The end of a task of the worker's.
pub(super) enum Done {
    /// A job.
    Job(Job, Outcome),
    /// The writing of the status.
    Status(Result<Value, Status>),
}

/// What became of a job.
pub(super) enum Outcome {
    Volumes(Result<Made, String>),
    Started(Result<(), Failed>),
    /// Containers have the limits that this pod gives them, or not.
    Resized(Arc<Value>, Result<(), String>),
    /// Anything else.
    Plain(Result<(), String>),
    /// The job had failed and may be tried again now.
    Again,
}

/// The work of an action; nothing where it takes no time.
pub(super) fn work(task: Task, action: Action, desired: &Desired) -> Option<BoxFuture<'static, Outcome>> {
    let api = !desired.is_gone && !desired.is_static;
    Some(match action {
        Action::MakeVolumes => Box::pin(async { Outcome::Volumes(task.volumes().await) }),
        Action::RunSandbox { attempt, replaces } => {
            Box::pin(async move { Outcome::Plain(task.sandbox(attempt, replaces).await) })
        }
        Action::StopSandbox { id } => Box::pin(async { Outcome::Plain(task.stop_sandbox(id).await) }),
        Action::Start { name, attempt, .. } => {
            Box::pin(async move { Outcome::Started(task.start(name, attempt).await) })
        }
        Action::Kill { id, name, grace, hook, message, .. } => {
            Box::pin(async move { Outcome::Plain(task.kill(id, name, grace, hook, message).await) })
        }
        Action::Remove { id } => Box::pin(async { Outcome::Plain(task.remove(id).await) }),
        Action::Resize { names } => {
            let given = Arc::clone(&task.pod);
            Box::pin(async move { Outcome::Resized(given, task.resize(names).await) })
        }
        Action::Drain { most } => Box::pin(async move {
            task.drain(most).await;
            Outcome::Plain(Ok(()))
        }),
        Action::Cleanup => Box::pin(async { Outcome::Plain(task.cleanup().await) }),
        Action::Purge => Box::pin(async move {
            // The object first: a crash in between leaves a sandbox that nobody wants, which the next
            // kubelet removes. The other way round it would report containers that it cannot find.
            if api && let Err(why) = delete(&task).await {
                return Outcome::Plain(Err(why));
            }
            Outcome::Plain(task.purge().await)
        }),
        Action::TellBackoff { .. } => return None,
    })
}

/// Lets go of the pod's object.
async fn delete(task: &Task) -> Result<(), String> {
    let pods = GroupVersionResource::new("", "v1", "pods");
    let call = Call::delete(&pods, namespace(&task.pod), name(&task.pod)).with(|options| {
        options.grace_period_seconds = Some(0);
        options.preconditions.uid = Some(uid(&task.pod).to_owned());
    });
    match task.shared.config.api.call(call).await {
        Err(status) if !matches!(status.code, 404 | 409) => Err(status.to_string()),
        _ => Ok(()),
    }
}

impl Worker {
    /// Takes in how a task ended.
    pub(super) fn done(&mut self, done: Result<Done, JoinError>) {
        // Aborted ones were forgotten when they were.
        let Ok(done) = done else { return };
        let (job, outcome) = match done {
            Done::Job(job, outcome) => (job, outcome),
            Done::Status(answer) => return self.written(answer),
        };
        self.memory.jobs.remove(&job);
        self.aborts.remove(&job);
        self.is_dirty = true;
        match (job, outcome) {
            (_, Outcome::Volumes(made)) => self.made_volumes(made),
            (Job::Start(name), Outcome::Started(result)) => self.started(name, result),
            (Job::Sandbox, Outcome::Plain(result)) => {
                let times = self.memory.sandbox_failure.as_ref().map_or(1, |failure| failure.times + 1);
                let at = self.shared.now();
                self.memory.sandbox_failure = result.err().map(|message| Retry { message, at, times });
            }
            (Job::Drain, _) => self.memory.is_drained = true,
            (_, Outcome::Resized(given, Ok(()))) => self.resized(&given),
            (job, Outcome::Resized(_, Err(why))) => {
                let told = self.resize_error(&why);
                self.memory.resize_failure = Some(why);
                self.failed(&job, told);
            }
            (Job::Cleanup, Outcome::Plain(Ok(()))) => {
                self.memory.is_clean = true;
                self.memory.volumes = Volumes::Removed;
            }
            (Job::Purge, Outcome::Plain(Ok(()))) => self.is_purged = true,
            (job, Outcome::Plain(Err(why))) => self.failed(&job, why),
            _ => {}
        }
    }

    /// Remembers what the runtime was told, so that it is not told again.
    fn resized(&mut self, given: &Value) {
        self.memory.resize_failure = None;
        for wanted in Wanted::all(given) {
            let newest = self.state.containers.iter().find(|found| found.name == wanted.name());
            if let Some(found) = newest.filter(|found| found.life == Life::Running) {
                let limits = resources::limits(given, wanted.spec, self.shared.view().memory);
                self.memory.resized.insert(found.id.clone(), limits);
            }
        }
    }

    fn made_volumes(&mut self, made: Result<Made, String>) {
        let was_ready = self.memory.volumes == Volumes::Ready;
        match made {
            Ok(made) => {
                self.mounts = Arc::new(made.mounts);
                self.refresh_at = made.refresh_after.map(|after| Instant::now() + after);
                self.memory.volumes = Volumes::Ready;
            }
            // What is mounted stays as it is.
            Err(_) if was_ready => self.refresh_at = Some(Instant::now() + REFRESH_AGAIN),
            Err(message) => {
                let times = match &self.memory.volumes {
                    Volumes::Failed(before) => before.times + 1,
                    _ => 1,
                };
                self.memory.volumes = Volumes::Failed(Retry { message, at: self.shared.now(), times });
            }
        }
    }

    fn started(&mut self, name: String, result: Result<(), Failed>) {
        match result {
            Ok(()) => drop(self.memory.failures.remove(&name)),
            // The container was there: its end is what counts.
            Err(failed) if failed.reason == "PostStartHookError" => {}
            Err(failed) => {
                let before = self.memory.failures.get(&name).filter(|before| before.reason == failed.reason);
                let times = before.map_or(1, |before| before.times + 1);
                if failed.reason == "ErrImagePull" {
                    self.tell_pull_backoff(&name);
                }
                let at = self.shared.now();
                let failure =
                    StartFailure { reason: failed.reason.to_owned(), message: failed.message, at, times };
                self.memory.failures.insert(name, failure);
            }
        }
    }

    fn tell_pull_backoff(&self, container: &str) {
        let wanted = Wanted::all(&self.pod).find(|wanted| wanted.name() == container);
        let image = wanted.map(|wanted| text(wanted.spec, &["image"])).unwrap_or_default();
        let now = self.shared.now();
        let tell = |event| self.shared.recorder.container(&self.pod, container, now, event);
        tell(warning("BackOff", format!("Back-off pulling image \"{image}\"")));
        tell(warning("Failed", "Error: ImagePullBackOff"));
    }

    /// What failed is asked for again by the next plan; not at once.
    fn failed(&mut self, job: &Job, why: String) {
        let reason = match job {
            Job::Kill(_) | Job::StopSandbox(_) => "FailedKillPod",
            Job::Resize => "ResizeError",
            _ => "FailedCleanup",
        };
        if self.shared.once.is_news(&format!("failed {} {job:?}", uid(&self.pod)), &why) {
            self.shared.recorder.pod(&self.pod, self.shared.now(), warning(reason, why));
        }
        // The job stays "under way" for a moment: that is its back-off.
        self.memory.jobs.insert(job.clone());
        let again = job.clone();
        let abort = self.jobs.spawn(async move {
            tokio::time::sleep(AGAIN).await;
            Done::Job(again, Outcome::Again)
        });
        self.aborts.insert(job.clone(), abort);
    }
}

/// Before content is read again that could not be read.
const REFRESH_AGAIN: std::time::Duration = std::time::Duration::from_secs(30);
/// Before a job is tried again that failed.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(1);
