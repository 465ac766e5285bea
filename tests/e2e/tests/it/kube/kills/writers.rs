//! Writers: each has objects of its own, and knows what the server has of them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Shared;
use super::model::{Kind, Seen};
use crate::chaos::Dice;
use crate::kube::wire::{APPLY_PATCH, Answer, JSON, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, Wire};

/// Objects of one writer and kind.
const OBJECTS: u64 = 6;

pub(super) struct Writer {
    shared: Shared,
    wire: Wire,
    number: u64,
    dice: Dice,
    seq: u64,
}

/// One write: the request, and what it leads to.
struct Write {
    method: &'static str,
    path: String,
    content_type: &'static str,
    body: String,
    /// What it changes.
    kind: Kind,
    names: Vec<String>,
    becomes: Becomes,
}

/// What an object is behind a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Becomes {
    /// It says this number.
    Says(u64),
    /// Its status does.
    StatusSays(u64),
    Gone,
}

impl Writer {
    pub(super) fn new(shared: &Shared, number: u64, seed: u64) -> Self {
        let wire = Wire::new(&shared.target);
        Self { shared: shared.clone(), wire, number, dice: Dice(seed), seq: 0 }
    }

    /// Writes until the rounds end.
    pub(super) async fn run(mut self) {
        while self.shared.round.has_changed().is_ok() {
            let pause = Arc::clone(&self.shared.pause);
            let _busy = pause.read().await;
            self.step().await;
        }
    }

    async fn step(&mut self) {
        self.seq += 1;
        let write = self.choose();
        let sent = self.wire.send(write.method, &write.path, write.content_type, write.body.clone()).await;
        match sent {
            Ok(answer) if answer.code < 300 => self.learn(&write, &answer),
            // Not now: as good as no answer.
            Ok(answer) if answer.code == 503 || answer.code == 429 => self.look(&write).await,
            Ok(answer) => panic!("{} {}: {} {}", write.method, write.path, answer.code, answer.text()),
            Err(_) => self.look(&write).await,
        }
    }

    fn choose(&mut self) -> Write {
        let kind = if self.dice.roll(3) == 0 { Kind::Pods } else { Kind::ConfigMaps };
        let name = format!("w{}-{}", self.number, self.dice.roll(OBJECTS));
        let (seq, object) = (self.seq, format!("{}/{name}", kind.path()));
        let write = |method, path: &str, content_type, body: &Value, becomes| Write {
            method,
            path: path.to_owned(),
            content_type,
            body: body.to_string(),
            kind,
            names: vec![name.clone()],
            becomes,
        };
        let says = Becomes::Says(seq);
        let apply = format!("{object}?fieldManager=applier&force=true");
        let Some(known) = self.shared.model.get(kind, &name) else {
            return match self.dice.roll(2) {
                0 => write("POST", &kind.path(), JSON, &kind.object(&name, seq), says),
                _ => write("PATCH", &apply, APPLY_PATCH, &kind.object(&name, seq), says),
            };
        };
        match (self.dice.roll(10), kind) {
            (0, _) => self.delete_collection(kind),
            (1, _) => write("DELETE", &object, JSON, &json!({}), Becomes::Gone),
            (2 | 3, _) => write("PATCH", &apply, APPLY_PATCH, &kind.object(&name, seq), says),
            (4, _) => write("PATCH", &object, JSON_PATCH, &kind.operations(seq), says),
            (5, _) => write("PATCH", &object, STRATEGIC_PATCH, &kind.change(seq), says),
            (6, _) => write("PATCH", &object, MERGE_PATCH, &kind.change(seq), says),
            (_, Kind::ConfigMaps) => {
                let mut whole = kind.object(&name, seq);
                if self.dice.roll(2) == 0 {
                    whole["metadata"]["resourceVersion"] = json!(known.revision.to_string());
                }
                write("PUT", &object, JSON, &whole, says)
            }
            (7, Kind::Pods) => {
                let patch = json!({"status": Kind::status(seq)});
                write("PATCH", &format!("{object}/status"), MERGE_PATCH, &patch, Becomes::StatusSays(seq))
            }
            (_, Kind::Pods) => {
                let mut whole = kind.object(&name, known.seq);
                whole["status"] = Kind::status(seq);
                write("PUT", &format!("{object}/status"), JSON, &whole, Becomes::StatusSays(seq))
            }
        }
    }

    /// Everything of this writer and kind at once, which is one write for each object.
    fn delete_collection(&self, kind: Kind) -> Write {
        let owner = format!("w{}", self.number);
        Write {
            method: "DELETE",
            path: format!("{}?labelSelector=writer%3D{owner}", kind.path()),
            content_type: JSON,
            body: String::new(),
            kind,
            names: (0..OBJECTS).map(|number| format!("{owner}-{number}")).collect(),
            becomes: Becomes::Gone,
        }
    }

    /// Takes an acknowledged write into the model.
    fn learn(&self, write: &Write, answer: &Answer) {
        let model = &self.shared.model;
        model.count(true);
        if write.becomes == Becomes::Gone {
            write.names.iter().for_each(|name| model.set(write.kind, name, None));
            return;
        }
        let seen = Seen::of(write.kind, &answer.json());
        assert!(write.becomes.is(&seen), "{} {}: {}", write.method, write.path, answer.text());
        model.set(write.kind, &write.names[0], Some(seen));
    }

    /// Looks what became of a write without an answer: it was done or not, for each object.
    async fn look(&mut self, write: &Write) {
        self.shared.model.count(false);
        for name in &write.names {
            let known = self.shared.model.get(write.kind, name);
            let path = format!("{}/{name}", write.kind.path());
            let answer = self.wire.insist("GET", &path, JSON, "").await;
            let found = match answer.code {
                404 => None,
                _ => Some(Seen::of(write.kind, &answer.ok())),
            };
            let done = match &found {
                Some(found) => write.becomes.is(found),
                None => write.becomes == Becomes::Gone,
            };
            assert!(found == known || done, "{path} was {known:?}, is {found:?}, asked {:?}", write.becomes);
            self.shared.model.set(write.kind, name, found);
        }
    }
}

impl Becomes {
    fn is(self, seen: &Seen) -> bool {
        match self {
            Self::Says(seq) => seen.seq == seq,
            Self::StatusSays(seq) => seen.status == seq,
            Self::Gone => false,
        }
    }
}
