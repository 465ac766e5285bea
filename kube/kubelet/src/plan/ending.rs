//! The end of a pod.

use jiff::Timestamp;

use super::restart::{deadline, restarts};
use super::{Action, Maker};
use crate::model::{Cause, Container, Ending, Job, Life, Role, Wanted};
use crate::read::{is_deleting, number, text};

/// Whether the pod is to end, or already ends.
pub(super) fn of(maker: &mut Maker<'_>) -> Option<Ending> {
    let ending = maker.seen.memory.ending.clone().or_else(|| begins(maker));
    let is_deleted = is_deleting(maker.pod) || maker.seen.memory.is_gone;
    let mut ending = ending?;
    if is_deleted {
        // Whoever deletes may shorten the time, never lengthen it.
        let grace = deletion_grace(maker);
        ending.grace =
            if ending.cause == Cause::Deleted { grace.min(ending.grace) } else { ending.grace.min(grace) };
    }
    Some(ending)
}

fn begins(maker: &mut Maker<'_>) -> Option<Ending> {
    let now = maker.now;
    if let Some((reason, message)) = maker.seen.memory.refused.clone() {
        return Some(Ending {
            since: now,
            grace: 0,
            cause: Cause::Failed { reason, message, disruption: None },
        });
    }
    if is_deleting(maker.pod) || maker.seen.memory.is_gone {
        return Some(Ending { since: now, grace: deletion_grace(maker), cause: Cause::Deleted });
    }
    let grace = maker.pod_grace();
    if matches!(text(maker.pod, &["status", "phase"]), "Succeeded" | "Failed") {
        return Some(Ending { since: now, grace, cause: Cause::Finished });
    }
    if let Some(at) = deadline(maker.pod) {
        if at <= now {
            let message = "Pod was active on the node longer than the specified deadline".to_owned();
            let cause = Cause::Failed { reason: "DeadlineExceeded".to_owned(), message, disruption: None };
            return Some(Ending { since: now, grace, cause });
        }
        maker.look_at(at);
    }
    is_finished(maker).then_some(Ending { since: now, grace, cause: Cause::Finished })
}

/// Seconds from the deletion; at least one, so that nobody is killed unasked.
fn deletion_grace(maker: &Maker<'_>) -> i64 {
    let asked = number(maker.pod, &["metadata", "deletionGracePeriodSeconds"]);
    asked.unwrap_or_else(|| maker.pod_grace()).max(1)
}

/// Whether nothing is left that runs or could be started again.
fn is_finished(maker: &Maker<'_>) -> bool {
    let exit_of = |wanted: &Wanted<'_>| match maker.seen.newest(wanted.name()) {
        Some(newest) if newest.life == Life::Exited => Some(newest.exit_code),
        Some(_) => None,
        None => crate::status::written_exit(maker.pod, wanted.name()),
    };
    let is_over = |wanted: &Wanted<'_>| {
        let replaced = |newest: &Container| maker.seen.restarts(maker.pod, wanted, newest);
        exit_of(wanted).is_some_and(|code| !restarts(maker.pod, wanted, code))
            && !maker.seen.newest(wanted.name()).is_some_and(replaced)
    };
    let init_failed = Wanted::init(maker.pod)
        .any(|wanted| wanted.role == Role::Init && is_over(&wanted) && exit_of(&wanted) != Some(0));
    init_failed
        || (Wanted::main(maker.pod).next().is_some() && Wanted::main(maker.pod).all(|it| is_over(&it)))
}

impl Maker<'_> {
    /// Brings the pod to its end.
    pub(super) fn end(&mut self) {
        let Some(ending) = self.plan.ending.clone() else { return };
        let alive: Vec<&Container> =
            self.seen.containers.iter().filter(|found| found.life != Life::Exited).collect();
        if !alive.is_empty() {
            if self.drains(&ending) {
                self.stop_containers(&ending, &alive);
            }
            return;
        }
        let busy = self.seen.memory.jobs.iter().any(|job| {
            matches!(job, Job::Start(_) | Job::Sandbox | Job::Volumes | Job::Kill(_) | Job::Resize)
        });
        if busy {
            self.why(|| "waits for work that began before the end".to_owned());
            return;
        }
        let mut stopping = false;
        for sandbox in self.seen.sandboxes.iter().filter(|sandbox| sandbox.is_ready) {
            self.act(Action::StopSandbox { id: sandbox.id.clone() });
            stopping = true;
        }
        if stopping || self.seen.memory.jobs.iter().any(|job| matches!(job, Job::StopSandbox(_))) {
            return;
        }
        if !self.seen.memory.is_clean {
            self.act(Action::Cleanup);
            return;
        }
        if is_deleting(self.pod) || self.seen.memory.is_gone {
            self.act(Action::Purge);
        }
    }

    /// Whether traffic has been led away, or there was none, or time is short.
    fn drains(&mut self, ending: &Ending) -> bool {
        let worth_it = ending.cause != Cause::Finished && ending.grace > GRACE_LEAST;
        if !worth_it || self.seen.memory.is_drained {
            return true;
        }
        // The processes keep at least half of their time for their own end.
        self.act(Action::Drain { most: ending.grace / 2 });
        self.why(|| "holds its containers until traffic is led away".to_owned());
        false
    }

    /// Main containers first, then sidecars, the last first; after the deadline all that is left.
    fn stop_containers(&mut self, ending: &Ending, alive: &[&Container]) {
        let left = time_left(ending, self.now);
        let role =
            |found: &Container| Wanted::all(self.pod).find(|it| it.name() == found.name).map(|it| it.role);
        let is_sidecar = |found: &Container| role(found) == Some(Role::Sidecar);
        let others: Vec<&Container> = alive.iter().copied().filter(|found| !is_sidecar(found)).collect();
        let victims: Vec<&Container> = if left <= 0 {
            alive.to_vec()
        } else if !others.is_empty() {
            others
        } else {
            let last = Wanted::init(self.pod)
                .rev()
                .find_map(|wanted| alive.iter().copied().find(|found| found.name == wanted.name()));
            last.into_iter().collect()
        };
        if left > 0 {
            self.look_at(super::restart::later(ending.since, ending.grace));
        }
        for found in victims {
            let grace = left.max(if ending.grace <= 1 { ending.grace } else { GRACE_LEAST });
            let message = format!("Stopping container {}", found.name);
            let (id, name) = (found.id.clone(), found.name.clone());
            self.act(Action::Kill { id, name, grace, hook: true, message, replaced: false });
        }
    }
}

/// Seconds until the pod must have ended.
fn time_left(ending: &Ending, now: Timestamp) -> i64 {
    ending.grace - now.duration_since(ending.since).as_secs()
}

/// Seconds that a container has at least between the signal and its end.
const GRACE_LEAST: i64 = 2;
