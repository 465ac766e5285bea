//! Pods that wait for a place: who is next, who waits a while, and what wakes whom.
//!
//! A pod that fits nowhere sleeps until something happens that may help against what keeps it: a
//! node that comes does not wake one that waits for a claim. It then waits out its back-off, which
//! doubles with every attempt, or until nobody else wants to be tried: an idle scheduler makes nobody
//! wait (upstream's `SchedulerPopFromBackoffQ`). Only what failed for another reason than that the pod
//! fits nowhere waits in any case. Times are on the caller's clock.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::misfit::{Diagnosis, Misfit};

/// `namespace/name` of a pod.
pub type PodKey = String;

/// What may help a pod that fits nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// A node came, or was uncordoned.
    NodeAdded,
    /// A node has more to give.
    NodeAllocatable,
    /// Labels of a node changed.
    NodeLabels,
    /// Taints of a node changed.
    NodeTaints,
    /// A pod with a place went or ended.
    PodRemoved,
    /// A pod got a place, or other labels.
    PodPlaced,
    /// A claim, a volume or a storage class came or changed.
    Volumes,
}

/// Waiting pods.
#[derive(Debug, Default)]
pub struct Queue {
    entries: HashMap<PodKey, Entry>,
    /// Those that may be tried now: the most important first, then who has waited longest.
    ready: BTreeSet<(Reverse<i64>, Duration, PodKey)>,
    /// Those that wait out their back-off unless nobody else is ready, by its end.
    waiting: BTreeSet<(Duration, PodKey)>,
    /// Those that wait out their back-off after a failure, by its end.
    failed: BTreeSet<(Duration, PodKey)>,
    /// Those that nothing has happened for yet, by when they were tried.
    asleep: BTreeSet<(Duration, PodKey)>,
    /// Those that are being decided about, or whose decision is being carried out.
    tried: HashSet<PodKey>,
}

#[derive(Clone, Debug)]
struct Entry {
    priority: i64,
    since: Duration,
    attempts: u32,
    /// When the last attempt ended.
    tried: Duration,
    helped_by: Vec<Change>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    /// Until then, or until nobody else is ready.
    Waiting(Duration),
    /// Until then.
    Failed(Duration),
    Asleep,
    /// Being decided about; what happens meanwhile may help.
    Tried {
        missed: bool,
    },
    Gated,
}

impl Queue {
    /// A pod without a place is there, or has changed; `gated` ones wait until their gates are gone.
    pub fn put(&mut self, key: &str, priority: i64, gated: bool, now: Duration) {
        let before = self.take_out(key);
        let fresh = Entry {
            priority,
            since: now,
            attempts: 0,
            tried: Duration::ZERO,
            helped_by: Vec::new(),
            state: State::Ready,
        };
        let mut entry = before.map_or(fresh, |before| Entry { priority, ..before });
        entry.state = match entry.state {
            _ if gated => State::Gated,
            // It changed itself: that may be what it needed.
            State::Tried { .. } => State::Tried { missed: true },
            State::Waiting(_) | State::Failed(_) => entry.state,
            _ => entry.after_backoff(now),
        };
        self.put_in(key, entry);
    }

    /// A pod has a place, or is gone.
    pub fn remove(&mut self, key: &str) {
        self.take_out(key);
    }

    /// The next pod to decide about.
    pub fn next(&mut self, now: Duration) -> Option<PodKey> {
        self.wake(now);
        let key = match self.ready.pop_first() {
            Some((_, _, key)) => key,
            None => self.waiting.pop_first()?.1,
        };
        let entry = self.entries.get_mut(&key)?;
        entry.state = State::Tried { missed: false };
        entry.attempts += 1;
        self.tried.insert(key.clone());
        Some(key)
    }

    /// The pod was decided about and fits nowhere.
    pub fn unschedulable(&mut self, key: &str, diagnosis: &Diagnosis, now: Duration) {
        let Some(mut entry) = self.take_out(key) else { return };
        entry.tried = now;
        entry.helped_by = helpers(diagnosis);
        entry.state = match entry.state {
            State::Tried { missed: true } => entry.after_backoff(now),
            _ => State::Asleep,
        };
        self.put_in(key, entry);
    }

    /// The decision could not be carried out; it is tried again after the back-off.
    pub fn failed(&mut self, key: &str, now: Duration) {
        let Some(mut entry) = self.take_out(key) else { return };
        entry.tried = now;
        entry.state = State::Failed(now + entry.backoff());
        self.put_in(key, entry);
    }

    /// Something happened that may help some.
    pub fn happened(&mut self, change: Change, now: Duration) {
        let helped =
            |key: &&PodKey| self.entries.get(*key).is_some_and(|entry| entry.helped_by.contains(&change));
        let woken: Vec<PodKey> = self.asleep.iter().map(|(_, key)| key).filter(helped).cloned().collect();
        for key in woken {
            self.rouse(&key, now);
        }
        // What is being decided about has not seen it.
        for key in &self.tried {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.state = State::Tried { missed: true };
            }
        }
    }

    /// When [`Queue::next`] should be called though nothing happens.
    pub fn look_again(&self) -> Option<Duration> {
        let backoff = self.failed.first().map(|(until, _)| *until);
        let tired = self.asleep.first().map(|(tried, _)| *tried + ASLEEP_MAX);
        backoff.into_iter().chain(tired).min()
    }

    /// Whether any may be tried now.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty() || !self.waiting.is_empty()
    }

    /// How many may be tried now, wait out their back-off, sleep, and are gated.
    pub fn counts(&self) -> [usize; 4] {
        let gated = self.entries.values().filter(|entry| entry.state == State::Gated).count();
        [self.ready.len(), self.waiting.len() + self.failed.len(), self.asleep.len(), gated]
    }

    fn wake(&mut self, now: Duration) {
        let over = |waiting: &BTreeSet<(Duration, PodKey)>| {
            waiting.first().filter(|(until, _)| *until <= now).map(|(_, key)| key.clone())
        };
        while let Some(key) = over(&self.waiting).or_else(|| over(&self.failed)) {
            self.set(&key, State::Ready);
        }
        while let Some((tried, key)) = self.asleep.first().cloned()
            && tried + ASLEEP_MAX <= now
        {
            self.rouse(&key, now);
        }
    }

    fn rouse(&mut self, key: &str, now: Duration) {
        if let Some(entry) = self.entries.get(key) {
            let state = entry.after_backoff(now);
            self.set(key, state);
        }
    }

    fn set(&mut self, key: &str, state: State) {
        if let Some(entry) = self.take_out(key) {
            self.put_in(key, Entry { state, ..entry });
        }
    }

    fn take_out(&mut self, key: &str) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        match entry.state {
            State::Ready => drop(self.ready.remove(&(Reverse(entry.priority), entry.since, key.to_owned()))),
            State::Waiting(until) => drop(self.waiting.remove(&(until, key.to_owned()))),
            State::Failed(until) => drop(self.failed.remove(&(until, key.to_owned()))),
            State::Asleep => drop(self.asleep.remove(&(entry.tried, key.to_owned()))),
            State::Tried { .. } => drop(self.tried.remove(key)),
            State::Gated => {}
        }
        Some(entry)
    }

    fn put_in(&mut self, key: &str, entry: Entry) {
        match entry.state {
            State::Ready => drop(self.ready.insert((Reverse(entry.priority), entry.since, key.to_owned()))),
            State::Waiting(until) => drop(self.waiting.insert((until, key.to_owned()))),
            State::Failed(until) => drop(self.failed.insert((until, key.to_owned()))),
            State::Asleep => drop(self.asleep.insert((entry.tried, key.to_owned()))),
            State::Tried { .. } => drop(self.tried.insert(key.to_owned())),
            State::Gated => {}
        }
        self.entries.insert(key.to_owned(), entry);
    }
}

impl Entry {
    fn after_backoff(&self, now: Duration) -> State {
        if self.attempts == 0 {
            return State::Ready;
        }
        match self.tried + self.backoff() {
            until if until > now => State::Waiting(until),
            _ => State::Ready,
        }
    }

    fn backoff(&self) -> Duration {
        BACKOFF_FIRST.saturating_mul(1 << self.attempts.saturating_sub(1).min(8)).min(BACKOFF_MAX)
    }
}

/// What may help against what keeps a pod from the nodes.
fn helpers(diagnosis: &Diagnosis) -> Vec<Change> {
    // A node that comes may always be the right one.
    let mut helpers = vec![Change::NodeAdded];
    if diagnosis.everywhere.is_some() {
        helpers.push(Change::Volumes);
    }
    for (_, misfit) in &diagnosis.misfits {
        let more: &[Change] = match misfit {
            Misfit::OtherNode => &[],
            Misfit::Unschedulable | Misfit::Taint(_) => &[Change::NodeTaints],
            Misfit::NodeRules { .. } => &[Change::NodeLabels],
            Misfit::Port(_) => &[Change::PodRemoved],
            Misfit::TooManyPods { .. } | Misfit::Resources(_) => {
                &[Change::PodRemoved, Change::NodeAllocatable]
            }
            Misfit::Affinity { .. } => &[Change::PodPlaced, Change::NodeLabels],
            Misfit::AntiAffinity { .. } | Misfit::RefusedByPods => &[Change::PodRemoved, Change::NodeLabels],
            Misfit::NoTopologyLabel { .. } => &[Change::NodeLabels],
            Misfit::Spread { .. } => &[Change::PodPlaced, Change::PodRemoved, Change::NodeLabels],
            Misfit::ClaimTaken { .. } | Misfit::TooManyVolumes { .. } => {
                &[Change::PodRemoved, Change::Volumes]
            }
            Misfit::VolumeElsewhere { .. }
            | Misfit::NoVolume { .. }
            | Misfit::OtherZone { .. }
            | Misfit::NoRoom { .. } => &[Change::Volumes, Change::NodeLabels],
        };
        more.iter().for_each(|change| {
            if !helpers.contains(change) {
                helpers.push(*change);
            }
        });
    }
    helpers
}

/// The first back-off and the longest; upstream's.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Nobody sleeps longer, should a change have been overlooked; upstream's.
const ASLEEP_MAX: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn short_of_cpu() -> Diagnosis {
        let shortage = crate::Shortage { resource: "cpu".into(), requested: 2, used: 0, capacity: 1 };
        Diagnosis {
            nodes: 1,
            misfits: vec![("n".into(), Misfit::Resources(vec![shortage]))],
            everywhere: None,
        }
    }

    #[test]
    fn the_most_important_first_then_the_first() {
        let mut queue = Queue::default();
        for (key, priority, when) in [("late", 0, 2), ("early", 0, 1), ("vip", 9, 3)] {
            queue.put(key, priority, false, at(when));
        }
        queue.put("gated", 99, true, at(0));
        let order: Vec<_> = std::iter::from_fn(|| queue.next(at(5))).collect();
        assert_eq!(order, ["vip", "early", "late"]);
        queue.put("gated", 99, false, at(6));
        assert_eq!(queue.next(at(6)).as_deref(), Some("gated"));
        assert_eq!(queue.counts(), [0, 0, 0, 0]);
    }

    #[test]
    fn only_what_helps_wakes() {
        let mut queue = Queue::default();
        queue.put("p", 0, false, at(0));
        queue.next(at(0));
        queue.unschedulable("p", &short_of_cpu(), at(10));
        queue.happened(Change::Volumes, at(11));
        assert_eq!((queue.next(at(11)), queue.counts()), (None, [0, 0, 1, 0]));
        queue.happened(Change::PodRemoved, at(11));
        assert_eq!(queue.next(at(11)).as_deref(), Some("p"));
        // In the end it is tried though nothing happened.
        queue.unschedulable("p", &short_of_cpu(), at(30));
        assert_eq!(queue.look_again(), Some(at(330)));
        assert_eq!((queue.next(at(329)), queue.next(at(330))), (None, Some("p".to_owned())));
    }

    #[test]
    fn the_backoff_is_for_others() {
        let mut queue = Queue::default();
        for (key, when) in [("p", 0), ("q", 1)] {
            queue.put(key, 0, false, at(when));
            queue.next(at(when));
            queue.unschedulable(key, &short_of_cpu(), at(when));
        }
        queue.put("new", -1, false, at(1));
        queue.happened(Change::NodeAdded, at(1));
        // The back-off of the first is over; that of the second is not, but then nobody else is left.
        let order: Vec<_> = std::iter::from_fn(|| queue.next(at(1))).collect();
        assert_eq!(order, ["p", "new", "q"]);
        // What could not be carried out waits, and each time twice as long.
        queue.failed("q", at(2));
        assert!(!queue.has_ready());
        assert_eq!((queue.next(at(3)), queue.look_again()), (None, Some(at(4))));
        assert_eq!(queue.next(at(4)).as_deref(), Some("q"));
        queue.failed("q", at(4));
        assert_eq!((queue.next(at(7)), queue.look_again()), (None, Some(at(8))));
    }

    #[test]
    fn what_happens_during_the_attempt_is_not_missed() {
        let mut queue = Queue::default();
        queue.put("p", 0, false, at(0));
        queue.next(at(0));
        queue.happened(Change::PodRemoved, at(1));
        queue.unschedulable("p", &short_of_cpu(), at(1));
        assert_eq!(queue.next(at(2)).as_deref(), Some("p"));
        queue.failed("p", at(3));
        assert_eq!((queue.next(at(4)), queue.next(at(5))), (None, Some("p".to_owned())));
        queue.remove("p");
        queue.unschedulable("p", &short_of_cpu(), at(6));
        assert_eq!(queue.look_again(), None);
    }
}
