//! A disk in memory that remembers what was synced, and fails when told to.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use store::StorageBackend;

/// One thing done to a disk.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Write(u64, Vec<u8>),
    Length(u64),
    Sync,
}

#[derive(Debug, Default)]
pub(crate) struct Memory {
    bytes: Mutex<Vec<u8>>,
    trace: Mutex<Option<Vec<Act>>>,
    pub(crate) syncs: AtomicU64,
    /// The next sync fails with this errno, once.
    pub(crate) fail_sync: AtomicU64,
    /// Writes and growth fail with ENOSPC while this is set.
    pub(crate) full: AtomicBool,
    /// Syncs wait while this is set.
    pub(crate) gate: Gate,
}

/// Holds up who passes, for as long as a test wants: a disk as slow as can be.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Whether it is closed, and how many wait.
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    pub(crate) fn close(&self) {
        self.state.lock().unwrap().0 = true;
    }

    pub(crate) fn open(&self) {
        self.state.lock().unwrap().0 = false;
        self.changed.notify_all();
    }

    /// Returns when somebody waits.
    pub(crate) fn await_one(&self) {
        let state = self.state.lock().unwrap();
        let limit = Duration::from_secs(60);
        let (state, _) = self.changed.wait_timeout_while(state, limit, |(_, waiting)| *waiting == 0).unwrap();
        assert!(state.1 > 0, "nobody came to the gate");
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.changed.notify_all();
        state = self.changed.wait_while(state, |(closed, _)| *closed).unwrap();
        state.1 -= 1;
    }
}

impl Memory {
    pub(crate) fn new(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { bytes: Mutex::new(bytes), ..Self::default() })
    }

    pub(crate) fn traced(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { bytes: Mutex::new(bytes), trace: Mutex::new(Some(Vec::new())), ..Self::default() })
    }

    pub(crate) fn image(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    pub(crate) fn flip(&self, bit: usize) {
        self.bytes.lock().unwrap()[bit / 8] ^= 1 << (bit % 8);
    }

    /// How many acts there were so far.
    pub(crate) fn acts(&self) -> usize {
        self.trace.lock().unwrap().as_ref().map_or(0, Vec::len)
    }

    pub(crate) fn take_trace(&self) -> Vec<Act> {
        self.trace.lock().unwrap().take().unwrap()
    }

    fn note(&self, act: impl FnOnce() -> Act) {
        if let Some(trace) = self.trace.lock().unwrap().as_mut() {
            trace.push(act());
        }
    }

    fn check_space(&self) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) { Err(io::Error::from_raw_os_error(28)) } else { Ok(()) }
    }
}

/// Does `act` to an image.
pub(crate) fn replay(image: &mut Vec<u8>, act: &Act) {
    match act {
        Act::Write(offset, data) => {
            let offset = *offset as usize;
            image[offset..offset + data.len()].copy_from_slice(data);
        }
        Act::Length(len) => image.resize(*len as usize, 0),
        Act::Sync => {}
    }
}

impl StorageBackend for Memory {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let bytes = self.bytes.lock().unwrap();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.checked_add(out.len()).filter(|end| *end <= bytes.len());
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(&bytes[start..end]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.check_space()?;
        self.note(|| Act::Length(len));
        self.bytes.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.gate.pass();
        let errno = self.fail_sync.swap(0, Ordering::SeqCst);
        if errno != 0 {
            return Err(io::Error::from_raw_os_error(errno as i32));
        }
        self.syncs.fetch_add(1, Ordering::SeqCst);
        self.note(|| Act::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.check_space()?;
        self.note(|| Act::Write(offset, data.to_vec()));
        replay(&mut self.bytes.lock().unwrap(), &Act::Write(offset, data.to_vec()));
        Ok(())
    }
}
