//! The least that a log with group commit is: writers hand over records, one thread writes and syncs all
//! that wait at a time, and tells them. No index, no revisions, no watches, nothing that reads.

use std::mem;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use crate::floor::Floor;

type Told = Box<dyn FnOnce() + Send>;

/// Drop ends its thread.
pub(crate) struct GroupLog {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    some: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    told: Vec<Told>,
    ended: bool,
}

impl GroupLog {
    pub(crate) fn new(dir: &Path) -> Self {
        let disk = Floor::new(&dir.join("group"));
        let shared = Arc::<Shared>::default();
        let writer = Arc::clone(&shared);
        Self { shared, writer: Some(thread::spawn(move || writer.write(disk))) }
    }

    /// Appends a record with its length and its checksum; `told` is called when it is on the disk.
    pub(crate) fn submit(&self, key: &str, value: &[u8], told: Told) {
        let mut sum = crc32fast::Hasher::new();
        sum.update(key.as_bytes());
        sum.update(value);
        let lens = [key.len(), value.len()].map(|len| (len as u32).to_le_bytes());
        let mut waiting = self.shared.waiting.lock().unwrap();
        waiting.bytes.extend_from_slice(&lens.concat());
        waiting.bytes.extend_from_slice(&sum.finalize().to_le_bytes());
        waiting.bytes.extend_from_slice(key.as_bytes());
        waiting.bytes.extend_from_slice(value);
        waiting.told.push(told);
        drop(waiting);
        self.shared.some.notify_one();
    }
}

impl Drop for GroupLog {
    fn drop(&mut self) {
        self.shared.waiting.lock().unwrap().ended = true;
        self.shared.some.notify_one();
        self.writer.take().unwrap().join().unwrap();
    }
}

impl Shared {
    fn write(&self, mut disk: Floor) {
        let mut bytes = Vec::new();
        loop {
            let waiting = self.waiting.lock().unwrap();
            let mut waiting =
                self.some.wait_while(waiting, |waiting| waiting.told.is_empty() && !waiting.ended).unwrap();
            if waiting.told.is_empty() {
                return;
            }
            bytes.clear();
            mem::swap(&mut bytes, &mut waiting.bytes);
            let told = mem::take(&mut waiting.told);
            drop(waiting);
            disk.append(&bytes);
            told.into_iter().for_each(|told| told());
        }
    }
}
