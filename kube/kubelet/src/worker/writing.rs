//! The pod's status on its way to the API: one write at a time, always the newest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Call, PatchType};
use jiff::Timestamp;
use kube_object::resource::GroupVersionResource;
use kube_object::status::Status;
use serde_json::Value;

use super::outcome::Done;
use super::{Worker, revision};
use crate::model::Observed;
use crate::read::{name, namespace, uid};
use crate::status;

/// How writing goes.
#[derive(Debug, Default)]
pub(super) struct Writing {
    in_flight: bool,
    failures: u32,
    again_at: Option<Instant>,
    /// Whether the last look found something to write.
    is_behind: bool,
}

impl Writing {
    /// Whether the API does not have the newest status yet.
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight || self.is_behind
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.again_at.filter(|_| self.is_behind).map(|at| at.saturating_duration_since(Instant::now()))
    }
}

impl Worker {
    /// Writes the status, if it is another one than the API has.
    pub(super) fn write_status(&mut self, now: Timestamp) {
        let seen = Observed {
            sandboxes: &self.state.sandboxes,
            containers: &self.state.containers,
            memory: &self.memory,
        };
        let mut place = self.shared.place();
        place.resize_pending.clone_from(&self.resize_pending);
        let new = status::status(&self.effective, seen, self.memory.ending.as_ref(), &place, now);
        self.show(&new);
        self.writing.is_behind = false;
        let desired = self.desired.borrow();
        // A static pod's status is written to what stands for it.
        let target = match (&desired.mirror, desired.is_static) {
            (Some(mirror), true) => Arc::clone(mirror),
            (None, true) => return,
            (_, false) => Arc::clone(&self.pod),
        };
        drop(desired);
        if self.memory.is_gone || self.is_purged {
            return;
        }
        let Some(patch) = status::patch(&target, &new) else { return };
        self.writing.is_behind = true;
        let is_early = self.writing.again_at.is_some_and(|at| at > Instant::now());
        if self.writing.in_flight || is_early {
            return;
        }
        self.writing.in_flight = true;
        let pods = GroupVersionResource::new("", "v1", "pods");
        let (space, called) = (namespace(&target).to_owned(), name(&target).to_owned());
        let call = Call::patch(&pods, &space, &called, PatchType::Strategic, patch).at("status");
        let api = Arc::clone(&self.shared.config.api);
        self.jobs.spawn(async move { Done::Status(api.call(call).await) });
    }

    /// Shows the pod with its newest status to others on this node.
    fn show(&self, new: &Value) {
        let mut shown = (*self.pod).clone();
        shown["status"] = new.clone();
        self.shared.pods.set_pod(Arc::new(shown));
    }

    /// Takes in the API's answer.
    pub(super) fn written(&mut self, answer: Result<Value, Status>) {
        self.writing.in_flight = false;
        match answer {
            Ok(object) => {
                self.writing.failures = 0;
                self.writing.again_at = None;
                // The watch may tell later: this is as new.
                if uid(&object) == uid(&self.pod) && revision(&object) > revision(&self.pod) {
                    self.pod = Arc::new(object);
                }
            }
            Err(status) if status.code == 404 => {
                self.writing.is_behind = false;
                // The watch will tell that it is gone; until then nothing can be written.
                self.writing.again_at = Some(Instant::now() + AGAIN_MOST);
            }
            Err(_) => {
                self.writing.failures += 1;
                let wait = AGAIN_LEAST * 2u32.pow(self.writing.failures.min(8));
                self.writing.again_at = Some(Instant::now() + wait.min(AGAIN_MOST));
            }
        }
    }
}

const AGAIN_LEAST: Duration = Duration::from_millis(50);
const AGAIN_MOST: Duration = Duration::from_secs(10);
