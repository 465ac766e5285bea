//! The keys of one loop: each at most once in the queue and at most once at work.
//!
//! ```text
//! add ─▶ ready ─take─▶ running ─done─▶ idle
//!          ▲  │           │ add          │
//!          │  ▼           ▼              ▼
//!          │ held      (again)        due later: retry, look again
//!          └──┴───────────┴──────────────┘
//! ```

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use controllers::Key;
use kube_object::resource::GroupVersionResource;

/// What the index must show before a key is looked at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// The resource at this revision or a later one.
    Revision(GroupVersionResource, u64),
    /// The object with this identity gone, or on its way.
    Ended(Key, String),
}

/// How the work on a key ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Whether something went wrong, so that it is to be tried again with backoff.
    pub failed: bool,
    /// When to look again though nothing changed.
    pub look_again_after: Option<Duration>,
    /// What must be seen first.
    pub barriers: Vec<Barrier>,
}

/// The queue of a loop.
#[derive(Debug)]
pub struct Queue {
    states: HashMap<Key, State>,
    ready: VecDeque<Key>,
    held: BTreeSet<Key>,
    due: BTreeSet<(Duration, Key)>,
    running: usize,
    concurrency: usize,
}

#[derive(Debug, Default)]
struct State {
    place: Place,
    /// It changed while it was at work.
    again: bool,
    due: Option<Duration>,
    failures: u32,
    barriers: Vec<Barrier>,
    /// When the barriers no longer count.
    held_until: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Idle,
    Ready,
    Held,
    Running,
}

impl Queue {
    /// An empty queue that lets so many keys be worked on at the same time.
    pub fn new(concurrency: usize) -> Self {
        Self {
            states: HashMap::new(),
            ready: VecDeque::new(),
            held: BTreeSet::new(),
            due: BTreeSet::new(),
            running: 0,
            concurrency: concurrency.max(1),
        }
    }

    /// Something changed that the key may care for.
    pub fn add(&mut self, key: &Key) {
        let state = self.states.entry(key.clone()).or_default();
        match state.place {
            Place::Idle => {
                state.place = Place::Ready;
                self.ready.push_back(key.clone());
            }
            Place::Running => state.again = true,
            Place::Ready | Place::Held => {}
        }
    }

    /// The next key to work on. What the index does not show yet holds a key back: `is_reached` tells.
    pub fn take(&mut self, now: Duration, is_reached: impl Fn(&Barrier) -> bool) -> Option<Key> {
        self.wake(now);
        while self.running < self.concurrency {
            let key = self.ready.pop_front()?;
            let state = self.states.get_mut(&key)?;
            state.barriers.retain(|barrier| now < state.held_until && !is_reached(barrier));
            if !state.barriers.is_empty() {
                state.place = Place::Held;
                self.held.insert(key);
                continue;
            }
            // The plan to come says anew when to look again.
            if let Some(due) = state.due.take() {
                self.due.remove(&(due, key.clone()));
            }
            state.place = Place::Running;
            self.running += 1;
            return Some(key);
        }
        None
    }

    /// The index moved: what was held back may go on.
    pub fn moved(&mut self, is_reached: impl Fn(&Barrier) -> bool) {
        let (states, ready) = (&mut self.states, &mut self.ready);
        self.held.retain(|key| {
            let Some(state) = states.get_mut(key) else { return false };
            state.barriers.retain(|barrier| !is_reached(barrier));
            if state.barriers.is_empty() {
                state.place = Place::Ready;
                ready.push_back(key.clone());
            }
            !state.barriers.is_empty()
        });
    }

    /// The work on a key ended.
    pub fn done(&mut self, key: &Key, now: Duration, done: Done) {
        let Some(state) = self.states.get_mut(key) else { return };
        assert_eq!(state.place, Place::Running, "only what runs can end");
        self.running -= 1;
        state.place = Place::Idle;
        state.failures = if done.failed { state.failures.saturating_add(1) } else { 0 };
        state.barriers = done.barriers;
        state.held_until = now + HELD_MAX;
        let retry = done.failed.then(|| backoff(state.failures));
        let after = [retry, done.look_again_after].into_iter().flatten().min();
        if std::mem::take(&mut state.again) {
            state.place = Place::Ready;
            self.ready.push_back(key.clone());
        }
        if let Some(after) = after {
            let due = now + after;
            state.due = Some(due);
            self.due.insert((due, key.clone()));
        } else if state.place == Place::Idle && state.barriers.is_empty() {
            self.states.remove(key);
        }
    }

    /// When [`Self::take`] may have something though nothing was added.
    pub fn next_deadline(&self) -> Option<Duration> {
        let due = self.due.first().map(|(due, _)| *due);
        let held =
            self.held.iter().filter_map(|key| self.states.get(key)).map(|state| state.held_until).min();
        due.into_iter().chain(held).min()
    }

    /// How many keys wait to be worked on now.
    pub fn depth(&self) -> usize {
        self.ready.len() + self.held.len()
    }

    /// How many keys are at work.
    pub fn running(&self) -> usize {
        self.running
    }

    fn wake(&mut self, now: Duration) {
        while let Some((_, key)) = self.due.first().filter(|(due, _)| *due <= now).cloned() {
            self.due.pop_first();
            if let Some(state) = self.states.get_mut(&key) {
                state.due = None;
            }
            self.add(&key);
        }
        let late: Vec<Key> = self.held.iter().filter(|key| self.is_late(key, now)).cloned().collect();
        for key in late {
            self.held.remove(&key);
            if let Some(state) = self.states.get_mut(&key) {
                state.place = Place::Ready;
                self.ready.push_back(key);
            }
        }
    }

    fn is_late(&self, key: &Key, now: Duration) -> bool {
        self.states.get(key).is_some_and(|state| state.held_until <= now)
    }
}

/// The wait before the n-th retry.
fn backoff(failures: u32) -> Duration {
    let doubled = BACKOFF_MIN.saturating_mul(1 << failures.saturating_sub(1).min(20));
    doubled.min(BACKOFF_MAX)
}

/// As upstream's queues begin.
const BACKOFF_MIN: Duration = Duration::from_millis(5);
/// Whoever cannot be helped is not asked more often.
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// An index that does not show a write for so long will not: the write is looked at as it is.
const HELD_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn key(name: &str) -> Key {
        Key::new(controllers::known::pods(), "a", name)
    }

    fn take(queue: &mut Queue, now: Duration) -> Option<String> {
        queue.take(now, |_| false).map(|key| key.name)
    }

    #[test]
    fn merges_and_serialises() {
        let mut queue = Queue::new(2);
        for name in ["x", "y", "x", "z"] {
            queue.add(&key(name));
        }
        assert_eq!(queue.depth(), 3);
        assert_eq!(take(&mut queue, MS).as_deref(), Some("x"));
        queue.add(&key("x"));
        queue.add(&key("x"));
        assert_eq!(take(&mut queue, MS).as_deref(), Some("y"));
        assert_eq!(take(&mut queue, MS), None, "two at most");
        queue.done(&key("x"), MS, Done::default());
        assert_eq!(take(&mut queue, MS).as_deref(), Some("z"));
        queue.done(&key("z"), MS, Done::default());
        assert_eq!(take(&mut queue, MS).as_deref(), Some("x"), "it changed while it was at work");
        queue.done(&key("x"), MS, Done::default());
        queue.done(&key("y"), MS, Done::default());
        assert_eq!((take(&mut queue, MS), queue.next_deadline(), queue.states.len()), (None, None, 0));
    }

    #[test]
    fn retries_with_backoff() {
        let mut queue = Queue::new(1);
        queue.add(&key("x"));
        let mut now = Duration::ZERO;
        for wait in [5, 10, 20, 40] {
            assert_eq!(take(&mut queue, now).as_deref(), Some("x"));
            queue.done(&key("x"), now, Done { failed: true, ..Done::default() });
            let due = now + wait * MS;
            assert_eq!(queue.next_deadline(), Some(due));
            assert_eq!(take(&mut queue, due - MS), None);
            now = due;
        }
        assert_eq!(take(&mut queue, now).as_deref(), Some("x"));
        queue.done(&key("x"), now, Done::default());
        assert_eq!(queue.next_deadline(), None);
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
    }

    #[test]
    fn looks_again_unless_it_looked_meanwhile() {
        let mut queue = Queue::new(1);
        queue.add(&key("x"));
        take(&mut queue, MS);
        queue.done(&key("x"), MS, Done { look_again_after: Some(100 * MS), ..Done::default() });
        assert_eq!(queue.next_deadline(), Some(101 * MS));
        queue.add(&key("x"));
        assert_eq!(take(&mut queue, 50 * MS).as_deref(), Some("x"));
        queue.done(&key("x"), 50 * MS, Done::default());
        assert_eq!((queue.next_deadline(), take(&mut queue, 200 * MS)), (None, None));
    }

    #[test]
    fn holds_back_what_the_index_does_not_show() {
        let mut queue = Queue::new(1);
        let barrier = Barrier::Revision(controllers::known::pods().clone(), 7);
        queue.add(&key("x"));
        take(&mut queue, MS);
        queue.add(&key("x"));
        queue.done(&key("x"), MS, Done { barriers: vec![barrier.clone()], ..Done::default() });
        queue.add(&key("y"));
        assert_eq!(take(&mut queue, MS).as_deref(), Some("y"), "others go on");
        queue.done(&key("y"), MS, Done::default());
        queue.moved(|_| false);
        assert_eq!(take(&mut queue, MS), None);
        queue.moved(|reached| *reached == barrier);
        assert_eq!(take(&mut queue, MS).as_deref(), Some("x"));
    }

    #[test]
    fn does_not_wait_for_ever() {
        let mut queue = Queue::new(1);
        queue.add(&key("x"));
        take(&mut queue, MS);
        let barriers = vec![Barrier::Ended(key("p"), "u".to_owned())];
        queue.done(&key("x"), MS, Done { barriers, ..Done::default() });
        queue.add(&key("x"));
        assert_eq!(take(&mut queue, 2 * MS), None);
        let late = queue.next_deadline().unwrap();
        assert_eq!(late, MS + HELD_MAX);
        assert_eq!(take(&mut queue, late).as_deref(), Some("x"));
    }
}
