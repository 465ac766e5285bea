//! The next segment, made before the log needs it: its blocks are there and are zeros.
//!
//! A file that grows under its writes makes each sync write the file system's own tables too, and
//! `fallocate` alone leaves blocks that must still be marked as written at the first write.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::failpoint::hit;

use super::frame::SECTOR;
use super::head::SegmentHead;
use super::recover::PART;
use crate::embedded::disk::{Storage, StorageFile};

/// Makes segments for the log, one ahead.
#[derive(Debug)]
pub(crate) struct Ahead {
    pub storage: Arc<dyn Storage>,
    /// How long a segment becomes: each is twice the one before, until it is that long.
    len_max: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The newest segment that the log has.
    taken: u32,
    next: Option<Next>,
}

/// A segment without a head.
#[derive(Debug)]
pub(crate) struct Next {
    pub file: Arc<dyn StorageFile>,
    pub len: u32,
}

impl Ahead {
    /// `taken` is the newest segment that there is.
    pub(crate) fn new(storage: Arc<dyn Storage>, len_max: u32, taken: u32) -> Self {
        Self { storage, len_max, state: Mutex::new(State { taken, next: None }) }
    }

    /// Makes the segment `number` after one of `before` bytes, if that is the next and not there.
    pub(crate) fn make(&self, number: u32, before: u32) -> io::Result<()> {
        let mut state = self.lock();
        if state.taken + 1 == number && state.next.is_none() {
            state.next = Some(prepare(&*self.storage, number, self.len(before, 0))?);
        }
        Ok(())
    }

    /// The segment `number`, of at least `least` bytes; waits for it where it is being made.
    pub(crate) fn take(&self, number: u32, least: u32, before: u32) -> io::Result<Next> {
        let mut state = self.lock();
        let next = match state.next.take() {
            Some(next) if next.len >= least => next,
            // A larger one is renamed over one that is too small.
            _ => prepare(&*self.storage, number, self.len(before, least))?,
        };
        state.taken = number;
        Ok(next)
    }

    /// The log could not use it after all.
    pub(crate) fn give_back(&self, next: Next) {
        let mut state = self.lock();
        state.taken -= 1;
        state.next = Some(next);
    }

    fn len(&self, before: u32, least: u32) -> u32 {
        let len = before.saturating_mul(2).min(self.len_max).max(least);
        len.checked_next_multiple_of(SECTOR as u32).unwrap_or(u32::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a file of zeros, durable with its name, or none.
fn prepare(storage: &dyn Storage, number: u32, len: u32) -> io::Result<Next> {
    hit("store.ahead.begun");
    let name = SegmentHead::name(number);
    let part = format!("{name}{PART}");
    let made = zeros(storage, &part, len).and_then(|file| {
        hit("store.ahead.filled");
        storage.rename(&part, &name)?;
        hit("store.ahead.renamed");
        storage.sync()?;
        Ok(Next { file, len })
    });
    if made.is_err() {
        // It takes space, and the error that led here is the one to tell.
        drop(storage.remove(&part));
    }
    hit("store.ahead.made");
    made
}

/// Makes a file of zeros.
pub(super) fn zeros(storage: &dyn Storage, name: &str, len: u32) -> io::Result<Arc<dyn StorageFile>> {
    let file = storage.create(name)?;
    file.allocate(u64::from(len))?;
    hit("store.ahead.allocated");
    for (number, start) in (0..len as usize).step_by(ZEROS.len()).enumerate() {
        let part = ZEROS.len().min(len as usize - start);
        file.write(start as u64, &ZEROS[..part])?;
        // Not all at once: commits need the disk too.
        if number % PIECES == PIECES - 1 {
            file.sync()?;
        }
    }
    file.sync()?;
    Ok(file)
}

static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
/// So many writes of zeros share a sync.
const PIECES: usize = 16;
