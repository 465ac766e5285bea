//! Blocks that are there before they are written to.
//!
//! redb grows its file by a length alone, which leaves a hole. The first write into a hole makes
//! the file system find blocks, and the next sync write its own tables too: several writes to
//! other places of the disk for each commit. So the first write to a step of the file fills what
//! is a hole in it with zeros, and the syncs after it are left with the data. `fallocate` would
//! not do: what it reserves still has to be marked as written at the first write.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base::failpoint::hit;
use rustix::fs::{SeekFrom, seek};

/// The steps of a file that have no holes.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    steps: Mutex<HashSet<u64>>,
}

impl Ready {
    /// Makes the steps ready that a write will touch.
    ///
    /// A step is filled once and before any write to it, so zeros never meet data.
    pub(crate) fn make(&self, file: &File, offset: u64, len: usize) {
        if len == 0 {
            return;
        }
        let mut steps = self.lock();
        for step in offset / STEP..=(offset + len as u64 - 1) / STEP {
            if !steps.insert(step) {
                continue;
            }
            hit("store.disk.ready.before");
            // Where it cannot be done the write itself will say why, or be slower.
            drop(fill(file, step * STEP, (step + 1) * STEP));
            hit("store.disk.ready.after");
        }
    }

    /// Changes the file's length. Holes begin where it was cut off, or ended before.
    pub(crate) fn set_len(&self, file: &File, len: u64) -> io::Result<()> {
        let mut steps = self.lock();
        let kept = len.min(file.metadata()?.len()) / STEP;
        steps.retain(|step| *step < kept);
        file.set_len(len)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes zeros into all holes between `from` and `to`, or the end of the file.
fn fill(file: &File, from: u64, to: u64) -> io::Result<()> {
    let to = to.min(file.metadata()?.len());
    let mut at = from;
    while at < to {
        let hole = seek(file, SeekFrom::Hole(at))?;
        at = match seek(file, SeekFrom::Data(hole)) {
            Ok(data) => data.min(to),
            Err(rustix::io::Errno::NXIO) => to,
            Err(errno) => return Err(errno.into()),
        };
        for start in (hole..at).step_by(ZEROS.len()) {
            let len = ZEROS.len().min((at - start) as usize);
            file.write_all_at(&ZEROS[..len], start)?;
        }
    }
    Ok(())
}

/// What is written at a time.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
/// What is made ready at a time: room for some dozen commits, and a write of a few milliseconds.
const STEP: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> File {
        let path = std::env::temp_dir().join(format!("store-ready-{name}-{}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file
    }

    fn first_hole(file: &File) -> u64 {
        seek(file, SeekFrom::Hole(0)).unwrap()
    }

    #[test]
    fn a_step_is_filled_around_what_is_there() {
        let file = scratch("around");
        file.set_len(4 * STEP).unwrap();
        file.write_all_at(&[7; 4096], 40_960).unwrap();
        let ready = Ready::default();
        ready.make(&file, 8192, 4096);
        assert_eq!(first_hole(&file), STEP);
        let mut bytes = vec![1; STEP as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        let data = 40_960..40_960 + 4096;
        assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == if data.contains(&at) { 7 } else { 0 }));
        // Over a border both sides are, and nothing behind the end.
        ready.make(&file, STEP - 10, 20);
        assert_eq!(first_hole(&file), 2 * STEP);
        ready.make(&file, 4 * STEP - 10, 20);
        assert_eq!(file.metadata().unwrap().len(), 4 * STEP);
    }

    #[test]
    fn what_grows_anew_is_filled_anew() {
        let file = scratch("anew");
        let ready = Ready::default();
        ready.set_len(&file, STEP / 2).unwrap();
        ready.make(&file, 0, 1);
        ready.set_len(&file, 2 * STEP).unwrap();
        ready.make(&file, 0, 1);
        assert_eq!(first_hole(&file), STEP);
        ready.set_len(&file, 8192).unwrap();
        ready.set_len(&file, 2 * STEP).unwrap();
        ready.make(&file, 100_000, 1);
        assert_eq!(first_hole(&file), STEP);
    }
}
