//! Appending events.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sys::lock::FileLock;

use super::{Event, nanos_of};
use crate::Timestamp;

/// The file of events grows to this length; then it becomes the older one, whose events are
/// forgotten. Both together hold some ten thousand events.
pub const JOURNAL_BYTES_MAX: u64 = 2 << 20;

/// The event record below a data root.
#[derive(Clone, Debug)]
pub struct Journal {
    dir: PathBuf,
    bytes_max: u64,
}

impl Journal {
    /// The record below the data root `root`; made with its first event.
    pub fn new(root: &Path) -> Self {
        Self { dir: root.join("events"), bytes_max: JOURNAL_BYTES_MAX }
    }

    /// The same with another bound.
    #[cfg(test)]
    pub(super) fn with_bytes_max(self, bytes_max: u64) -> Self {
        Self { bytes_max, ..self }
    }

    /// The directory that changes with every event.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The newest events.
    pub(super) fn current(&self) -> PathBuf {
        self.dir.join("events.jsonl")
    }

    /// The events before them.
    pub(super) fn older(&self) -> PathBuf {
        self.dir.join("events.1.jsonl")
    }

    /// Makes the directory, for who looks on before anything has happened.
    pub(super) fn make_dir(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o711).create(&self.dir)
    }

    /// Appends an event, whole or not at all, with the time at which it is appended.
    ///
    /// Does not wait for the disk: a crash of the machine may lose the last events, as it
    /// ends the containers that they are about.
    pub fn append(&self, mut event: Event) -> io::Result<()> {
        let _held = match self.lock() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_dir()?;
                self.lock()?
            }
            lock => lock?,
        };
        event.time_nano = nanos_of(Timestamp::now());
        let mut line = serde_json::to_vec(&event)?;
        line.push(b'\n');
        let mut file = self.open()?;
        let mut length = file.metadata()?.len();
        if length > 0 && length.saturating_add(line.len() as u64) > self.bytes_max {
            fs::rename(self.current(), self.older())?;
            file = self.open()?;
            length = 0;
        }
        if length > 0 {
            let mut last = [0];
            file.read_exact_at(&mut last, length - 1)?;
            if last != *b"\n" {
                // Somebody was killed in the middle of a line.
                line.insert(0, b'\n');
            }
        }
        let written = file.write_all(&line);
        if written.is_err() {
            // A full disk: what of it was written goes again.
            let _ = file.set_len(length);
        }
        written
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(self.current())
    }

    fn lock(&self) -> io::Result<FileLock> {
        FileLock::exclusive(&self.dir.join("lock"))
    }
}
