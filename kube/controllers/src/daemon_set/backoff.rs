//! The pause before a failed pod of a node is replaced: from a second, doubled each time, to a quarter of an hour.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::object::{at, number};

/// The pauses of a set's nodes. A new generation of the set begins anew.
pub(super) struct Backoff {
    generation: i64,
    /// Milliseconds: the pause, and when it began.
    nodes: BTreeMap<String, (i64, i64)>,
}

impl Backoff {
    pub(super) fn of(memory: &Value, generation: i64) -> Self {
        let mut nodes = BTreeMap::new();
        let known = at(memory, &["nodes"]).and_then(Value::as_object).into_iter().flatten();
        if number(memory, &["generation"]) == Some(generation) {
            for (node, entry) in known {
                let of = |at: usize| entry.get(at).and_then(Value::as_i64).unwrap_or(0);
                nodes.insert(node.clone(), (of(0), of(1)));
            }
        }
        Self { generation, nodes }
    }

    /// Begins the next pause of a node, if the last one is over; else tells what is left of it.
    pub(super) fn next(&mut self, node: &str, now: i64) -> Result<(), Duration> {
        let known = self.nodes.get(node).copied().filter(|(_, since)| now - since <= 2 * MOST);
        let pause = match known {
            None => FIRST,
            Some((pause, since)) if now - since < pause => {
                return Err(Duration::from_millis((pause - (now - since)).unsigned_abs()));
            }
            Some((pause, _)) => (pause * 2).min(MOST),
        };
        self.nodes.insert(node.to_owned(), (pause, now));
        Ok(())
    }

    pub(super) fn memory(&self) -> Value {
        if self.nodes.is_empty() {
            return Value::Null;
        }
        let nodes: BTreeMap<_, _> =
            self.nodes.iter().map(|(node, (pause, at))| (node, json!([pause, at]))).collect();
        json!({"generation": self.generation, "nodes": nodes})
    }
}

const FIRST: i64 = 1000;
const MOST: i64 = 15 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles() {
        let mut backoff = Backoff::of(&Value::Null, 1);
        let mut step = |now| backoff.next("n", now).map_err(|left| left.as_millis());
        assert_eq!(step(0), Ok(()));
        assert_eq!(step(400), Err(600));
        assert_eq!(step(1000), Ok(()));
        assert_eq!(step(2999), Err(1));
        assert_eq!(step(3000), Ok(()));
        // Long after the last failure it begins anew.
        assert_eq!(step(10_000_000), Ok(()));
        assert_eq!(step(10_001_000), Ok(()));
        let memory = backoff.memory();
        assert!(Backoff::of(&memory, 1).next("n", 10_001_500).is_err());
        assert!(Backoff::of(&memory, 2).next("n", 10_001_500).is_ok());
    }
}
