//! A disk in memory that remembers what was synced, and fails when told to.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

use store::{Storage, StorageFile};

/// All files with what is in them.
pub(crate) type Image = BTreeMap<String, Vec<u8>>;

/// One thing done to a disk; files are numbers, because names come and go.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Create(String, u64),
    Rename(String, String),
    Remove(String),
    SyncNames,
    Write(u64, u64, Vec<u8>),
    Length(u64, u64),
    Sync(u64),
}

#[derive(Debug, Default)]
pub(crate) struct Memory {
    files: Mutex<Files>,
    me: Weak<Self>,
    trace: Mutex<Option<Vec<Act>>>,
    pub(crate) syncs: AtomicU64,
    /// The next sync of a file fails with this errno, once.
    pub(crate) fail_sync: AtomicU64,
    /// Writes and growth fail with ENOSPC while this is set.
    pub(crate) full: AtomicBool,
    /// It becomes full at this write, counted down to 0; never by itself when it is 0.
    pub(crate) full_at: AtomicU64,
    /// Only growth fails with ENOSPC while this is set: space that is there already can be used.
    pub(crate) no_growth: AtomicBool,
    /// Syncs wait while this is set.
    pub(crate) gate: Gate,
}

/// What lies on a disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    names: BTreeMap<String, u64>,
    contents: BTreeMap<u64, Vec<u8>>,
}

impl Files {
    pub(crate) fn of(image: &Image) -> Self {
        let numbered = || image.iter().zip(0..);
        Self {
            names: numbered().map(|((name, _), number)| (name.clone(), number)).collect(),
            contents: numbered().map(|((_, content), number)| (number, content.clone())).collect(),
        }
    }

    pub(crate) fn image(&self) -> Image {
        let named = |(name, number): (&String, &u64)| (name.clone(), self.contents[number].clone());
        self.names.iter().map(named).collect()
    }

    /// Does one thing; it may be to a file of which the disk has not heard yet.
    pub(crate) fn apply(&mut self, act: &Act) {
        match act {
            Act::Create(name, number) => {
                self.names.insert(name.clone(), *number);
                self.contents.entry(*number).or_default();
            }
            Act::Rename(from, to) => {
                if let Some(number) = self.names.remove(from) {
                    self.names.insert(to.clone(), number);
                }
            }
            Act::Remove(name) => drop(self.names.remove(name)),
            Act::Write(number, offset, data) => {
                let content = self.contents.entry(*number).or_default();
                let (start, end) = (*offset as usize, *offset as usize + data.len());
                content.resize(content.len().max(end), 0);
                content[start..end].copy_from_slice(data);
            }
            Act::Length(number, len) => {
                let content = self.contents.entry(*number).or_default();
                content.resize(content.len().max(*len as usize), 0);
            }
            Act::Sync(_) | Act::SyncNames => {}
        }
    }
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
    pub(crate) fn new() -> Arc<Self> {
        Self::of(&Image::new())
    }

    pub(crate) fn of(image: &Image) -> Arc<Self> {
        let files = Mutex::new(Files::of(image));
        Arc::new_cyclic(|me| Self { files, me: me.clone(), ..Self::default() })
    }

    pub(crate) fn traced(image: &Image) -> Arc<Self> {
        let disk = Self::of(image);
        *disk.trace.lock().unwrap() = Some(Vec::new());
        disk
    }

    pub(crate) fn image(&self) -> Image {
        self.files.lock().unwrap().image()
    }

    /// Changes what lies there under whoever has it open.
    pub(crate) fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut files = self.files.lock().unwrap();
        let number = files.names[name];
        change(files.contents.get_mut(&number).unwrap());
    }

    /// How many acts there were so far.
    pub(crate) fn acts(&self) -> usize {
        self.trace.lock().unwrap().as_ref().map_or(0, Vec::len)
    }

    pub(crate) fn take_trace(&self) -> Vec<Act> {
        self.trace.lock().unwrap().take().unwrap()
    }

    /// Does it, and notes it in the same order.
    fn act(&self, act: Act) {
        self.act_in(&mut self.files.lock().unwrap(), act);
    }

    fn act_in(&self, files: &mut Files, act: Act) {
        files.apply(&act);
        if let Some(trace) = self.trace.lock().unwrap().as_mut() {
            trace.push(act);
        }
    }

    fn check_space(&self, grows: bool) -> io::Result<()> {
        let full = self.full.load(Ordering::SeqCst) || grows && self.no_growth.load(Ordering::SeqCst);
        if full { Err(io::Error::from_raw_os_error(28)) } else { Ok(()) }
    }

    fn file(&self, number: u64) -> Arc<dyn StorageFile> {
        Arc::new(MemoryFile { disk: self.me.upgrade().unwrap(), number })
    }

    fn number(&self, name: &str) -> io::Result<u64> {
        self.files.lock().unwrap().names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Storage for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().unwrap().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(self.number(name)?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.check_space(true)?;
        // Two threads that create a file at the same time must not get the same one.
        let mut files = self.files.lock().unwrap();
        let next = files.contents.last_key_value().map_or(0, |(number, _)| number + 1);
        self.act_in(&mut files, Act::Create(name.to_owned(), next));
        Ok(self.file(next))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.number(from)?;
        self.act(Act::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.number(name)?;
        self.act(Act::Remove(name.to_owned()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.act(Act::SyncNames);
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: Arc<Memory>,
    number: u64,
}

impl MemoryFile {
    fn with<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(&self.disk.files.lock().unwrap().contents[&self.number])
    }
}

impl StorageFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.with(<[u8]>::len) as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|bytes| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let end = start.checked_add(out.len()).filter(|end| *end <= bytes.len());
            let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(&bytes[start..end]);
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let grows = offset + data.len() as u64 > self.len()?;
        if self.disk.full_at.load(Ordering::SeqCst) > 0
            && self.disk.full_at.fetch_sub(1, Ordering::SeqCst) == 1
        {
            self.disk.full.store(true, Ordering::SeqCst);
        }
        self.disk.check_space(grows)?;
        self.disk.act(Act::Write(self.number, offset, data.to_vec()));
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.disk.check_space(len > self.len()?)?;
        self.disk.act(Act::Length(self.number, len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.gate.pass();
        let errno = self.disk.fail_sync.swap(0, Ordering::SeqCst);
        if errno != 0 {
            return Err(io::Error::from_raw_os_error(errno as i32));
        }
        self.disk.syncs.fetch_add(1, Ordering::SeqCst);
        self.disk.act(Act::Sync(self.number));
        Ok(())
    }
}
