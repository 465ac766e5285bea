//! The decoded forms that were asked for last: deciders look at the same few objects again and again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use client::Item;
use serde_json::Value;

/// Keeps decoded objects alive until their JSON exceeds [`BYTES_MAX`].
#[derive(Default)]
pub(crate) struct Decoded(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    values: VecDeque<(usize, Arc<Value>)>,
    bytes: usize,
}

impl Decoded {
    /// The object, decoded; the next that asks soon finds it so.
    pub(crate) fn value(&self, item: &Item) -> Arc<Value> {
        let value = item.value();
        // Ours alone: it was decoded for this call.
        if Arc::strong_count(&value) == 1 {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.bytes += item.json_len();
            kept.values.push_back((item.json_len(), Arc::clone(&value)));
            while kept.bytes > BYTES_MAX
                && let Some((bytes, _)) = kept.values.pop_front()
            {
                kept.bytes -= bytes;
            }
        }
        value
    }
}

/// Decoded they take about five times this.
const BYTES_MAX: usize = 1 << 20;
