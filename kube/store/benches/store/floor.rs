//! The least that a durable write costs here: an append to a file whose blocks are there already,
//! and one `fdatasync`.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) struct Floor {
    file: File,
    at: u64,
}

impl Floor {
    pub(crate) fn new(path: &Path) -> Self {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path).unwrap();
        for step in 0..LEN / STEP as u64 {
            file.write_all_at(&[0; STEP], step * STEP as u64).unwrap();
        }
        file.sync_all().unwrap();
        Self { file, at: 0 }
    }

    /// Writes `bytes` and syncs them.
    pub(crate) fn write(&mut self, bytes: usize) -> Duration {
        let data = vec![7; bytes];
        let start = Instant::now();
        self.append(&data);
        start.elapsed()
    }

    /// Writes them behind the last ones, or at the front again where there is no room, and syncs.
    pub(crate) fn append(&mut self, data: &[u8]) {
        if self.at + data.len() as u64 > LEN {
            self.at = 0;
        }
        self.file.write_all_at(data, self.at).unwrap();
        self.file.sync_data().unwrap();
        self.at += data.len() as u64;
    }
}

const LEN: u64 = 64 << 20;
const STEP: usize = 1 << 16;
