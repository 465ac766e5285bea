//! The thread behind the writer: it makes the next segment, and gives space back.

use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, PoisonError};

use super::log::Ahead;
use super::log::merge::{choose, merge};
use super::shared::Shared;
use crate::error::Error;

pub(crate) struct Keeper {
    pub shared: Arc<Shared>,
    pub ahead: Arc<Ahead>,
    /// Somebody thinks that there is something to do; gone when the writer is.
    pub wakes: Receiver<()>,
    pub segment_bytes: u32,
}

impl Keeper {
    pub(crate) fn run(self) {
        while self.wakes.recv().is_ok() {
            self.make_next();
            while self.give_back() {
                self.make_next();
            }
        }
    }

    /// Makes the next segment when the newest is half full.
    fn make_next(&self) {
        let table = self.shared.table();
        let Some(newest) = table.order().last() else { return };
        if newest.end() > newest.head.len / 2 && self.may_write() {
            // Where it fails the writer tries it again, and says why.
            drop(self.ahead.make(newest.head.last + 1, newest.head.len));
        }
    }

    /// Puts one run of segments together; whether there may be another.
    fn give_back(&self) -> bool {
        if !self.may_write() {
            return false;
        }
        let table = self.shared.table();
        let waste = self.shared.waste.lock().unwrap_or_else(PoisonError::into_inner);
        let run = choose(&table, &waste, self.segment_bytes);
        drop(waste);
        // What fails is tried again with the next compaction; nothing depends on it.
        run.is_some_and(|run| merge(&self.shared, &*self.ahead.storage, &run).is_ok())
    }

    /// Not when a sync has failed: this disk is to be left alone.
    fn may_write(&self) -> bool {
        let failed = matches!(self.shared.failure(), Some(Error::ReadOnly { .. }));
        !failed && !self.shared.closing.load(Ordering::Relaxed)
    }
}
