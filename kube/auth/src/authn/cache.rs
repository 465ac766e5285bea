//! What has been verified lately, by the hash of what was shown: bounded, and never past its time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A hash of a credential; the credential itself is not kept.
pub(super) type Key = [u8; 32];

/// Values that are true until a second of the clock.
#[derive(Debug)]
pub(super) struct Cache<V> {
    entries: Mutex<HashMap<Key, Entry<V>>>,
    entries_max: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    until: i64,
}

impl<V: Clone> Cache<V> {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { entries: Mutex::new(HashMap::new()), entries_max }
    }

    /// The value, if it is still true.
    pub(super) fn get(&self, key: &Key, now: i64) -> Option<V> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).filter(|entry| now < entry.until).map(|entry| entry.value.clone())
    }

    /// Keeps a value; a full cache first drops what is over, then everything.
    pub(super) fn put(&self, key: Key, value: V, until: i64, now: i64) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.entries_max {
            entries.retain(|_, entry| now < entry.until);
        }
        if entries.len() >= self.entries_max {
            entries.clear();
        }
        entries.insert(key, Entry { value, until });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_in_time_and_stays_small() {
        let cache = Cache::new(4);
        for index in 0..100_u8 {
            cache.put([index; 32], index, i64::from(index) + 2, i64::from(index));
            assert_eq!(cache.get(&[index; 32], i64::from(index) + 1), Some(index));
            assert_eq!(cache.get(&[index; 32], i64::from(index) + 2), None);
            assert!(cache.len() <= 4);
        }
    }
}
