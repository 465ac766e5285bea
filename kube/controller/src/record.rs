//! Decision records: what each loop decided last about each key, and why.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use controllers::Key;
use jiff::Timestamp;

/// The last decision about a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The loop.
    pub by: &'static str,
    /// When.
    pub at: Timestamp,
    /// Why, in the loop's words.
    pub why: String,
    /// What was to be done, in short.
    pub actions: Vec<String>,
    /// What came in the way.
    pub failure: Option<String>,
}

/// The last decisions of all loops, up to a limit; the oldest go first.
#[derive(Debug, Default)]
pub struct Records {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_key: HashMap<Key, Vec<Record>>,
    order: VecDeque<Key>,
}

impl Records {
    /// Keeps a decision.
    pub(crate) fn keep(&self, key: &Key, record: Record) {
        let mut inner = self.lock();
        if !inner.by_key.contains_key(key) {
            inner.order.push_back(key.clone());
        }
        let of_key = inner.by_key.entry(key.clone()).or_default();
        of_key.retain(|known| known.by != record.by);
        of_key.push(record);
        if inner.order.len() > RECORDS_MAX
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.by_key.remove(&oldest);
        }
    }

    /// What was decided about a key, by each loop that did.
    pub fn of(&self, key: &Key) -> Vec<Record> {
        self.lock().by_key.get(key).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys whose decisions are kept: a few hundred bytes each.
const RECORDS_MAX: usize = 4096;
