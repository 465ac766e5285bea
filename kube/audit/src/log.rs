//! The writer: one thread that takes lines through a bounded queue and appends them, several at
//! once when they come faster than the disk is.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc as blocking};
use std::thread;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::event::{Event, Format};
use crate::file::{FileSettings, LogFile, tidy};
use crate::policy::Level;

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file.
    File(FileSettings),
}

/// Who waits for the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nobody: what does not fit the queue is lost, and counted.
    Batch,
    /// Every request waits until its event is written, and goes on if that fails.
    #[default]
    Blocking,
    /// The same, but a request whose arrival cannot be written is refused.
    BlockingStrict,
}

/// How large events may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncate {
    /// Of one: larger ones lose their objects; those that are too large even then are not written.
    pub max_event_bytes: usize,
    /// Of all that are written at once.
    pub max_batch_bytes: usize,
}

/// How the log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where events go.
    pub target: Target,
    /// How they are written.
    pub format: Format,
    /// Who waits for them.
    pub mode: Mode,
    /// So many wait to be written at most.
    pub buffer: usize,
    /// How large they may be; none is no limit.
    pub truncate: Option<Truncate>,
}

/// The log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Not its file.
    #[error("open audit log {path:?}: {source}")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Not standard output.
    #[error("open standard output for the audit log: {0}")]
    Stdout(io::Error),
    /// Not its thread.
    #[error("start the audit log's thread: {0}")]
    Thread(io::Error),
}

/// Takes events.
#[derive(Debug)]
pub struct Log {
    queue: mpsc::Sender<Message>,
    format: Format,
    mode: Mode,
    truncate: Option<Truncate>,
    errors: Arc<Errors>,
}

/// Events that were lost, by the part that lost them.
#[derive(Debug, Default)]
struct Errors {
    log: AtomicU64,
    buffered: AtomicU64,
    truncate: AtomicU64,
}

impl Errors {
    fn lost(&self) {
        self.log.fetch_add(1, Ordering::Relaxed);
    }
}

enum Message {
    Line(Vec<u8>, Option<oneshot::Sender<bool>>),
    /// All before it is written.
    Flush(oneshot::Sender<bool>),
}

impl Log {
    /// Opens the target and starts the writer. It ends when the log is dropped.
    pub fn open(settings: Settings) -> Result<Self, LogError> {
        let output = Output::open(settings.target)?;
        let errors = Arc::new(Errors::default());
        let (queue, inbox) = mpsc::channel(settings.buffer.max(1));
        let batch = settings.truncate.map_or(BATCH_MAX, |truncate| truncate.max_batch_bytes);
        let writer = Writer { output, inbox, batch, errors: Arc::clone(&errors) };
        let thread = thread::Builder::new().name("audit-log".to_owned());
        thread.spawn(move || writer.run()).map_err(LogError::Thread)?;
        Ok(Self { queue, format: settings.format, mode: settings.mode, truncate: settings.truncate, errors })
    }

    /// Writes an event and waits for it, as the mode says. False where a request must not go on.
    pub(crate) async fn write(&self, event: &Event) -> bool {
        if self.mode == Mode::Batch {
            return self.offer(event);
        }
        // What is too large is lost without harm, as upstream.
        let Some(line) = self.line(event) else { return true };
        let (done, written) = oneshot::channel();
        let sent = self.queue.send(Message::Line(line, Some(done))).await.is_ok();
        let written = sent && written.await.unwrap_or(false);
        written || self.mode != Mode::BlockingStrict
    }

    /// Writes an event that nobody can wait for.
    pub(crate) fn write_later(&self, event: &Event) {
        if self.mode == Mode::Batch {
            self.offer(event);
            return;
        }
        let Some(line) = self.line(event) else { return };
        match self.queue.try_send(Message::Line(line, None)) {
            Ok(()) => {}
            // In these modes nothing is lost for want of place: somebody else waits.
            Err(TrySendError::Full(message)) => match Handle::try_current() {
                Ok(runtime) => {
                    let queue = self.queue.clone();
                    drop(runtime.spawn(async move { drop(queue.send(message).await) }));
                }
                Err(_) => self.errors.lost(),
            },
            Err(TrySendError::Closed(_)) => self.errors.lost(),
        }
    }

    /// Waits until all that was given to the queue is written.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.queue.send(Message::Flush(done)).await.is_ok() {
            drop(written.await);
        }
    }

    /// How many events each part has lost, under upstream's names.
    pub(crate) fn errors(&self) -> [(&'static str, u64); 3] {
        let Errors { log, buffered, truncate } = &*self.errors;
        let count = |value: &AtomicU64| value.load(Ordering::Relaxed);
        [("buffered", count(buffered)), ("log", count(log)), ("truncate", count(truncate))]
    }

    fn offer(&self, event: &Event) -> bool {
        if let Some(line) = self.line(event)
            && self.queue.try_send(Message::Line(line, None)).is_err()
        {
            self.errors.buffered.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// The event as bytes, shortened where it has to be.
    fn line(&self, event: &Event) -> Option<Vec<u8>> {
        let Some(limit) = self.truncate else { return Some(event.line(self.format)) };
        let size = |event: &Event| event.line(Format::Json).len();
        if size(event) <= limit.max_event_bytes {
            return Some(event.line(self.format));
        }
        if event.level >= Level::Request {
            let mut short = event.clone();
            short.truncate();
            if size(&short) <= limit.max_event_bytes {
                return Some(short.line(self.format));
            }
        }
        self.errors.truncate.fetch_add(1, Ordering::Relaxed);
        None
    }
}

/// The thread that writes.
struct Writer {
    output: Output,
    inbox: mpsc::Receiver<Message>,
    batch: usize,
    errors: Arc<Errors>,
}

impl Writer {
    fn run(mut self) {
        let mut waiting = Vec::new();
        while let Some(first) = self.inbox.blocking_recv() {
            let mut size = 0;
            let mut lines = Vec::new();
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Line(line, done) => {
                        size += line.len();
                        lines.push((line, done));
                    }
                    Message::Flush(done) => waiting.push(done),
                }
                next = if size < self.batch { self.inbox.try_recv().ok() } else { None };
            }
            self.write(lines);
            for done in waiting.drain(..) {
                // Whoever has gone away needs no answer.
                let _ = done.send(true);
            }
        }
    }

    /// Writes lines, as many at once as fit into the file and the limit.
    fn write(&mut self, lines: Vec<(Vec<u8>, Option<oneshot::Sender<bool>>)>) {
        let (mut joined, mut done) = (Vec::new(), Vec::new());
        for (line, waits) in lines {
            let full = self.output.is_full_for(joined.len(), line.len());
            if full || joined.len() + line.len() > self.batch {
                self.append(&mut joined, &mut done);
            }
            if full {
                // Where there is no new file, the old one takes more.
                drop(self.output.rotate());
            }
            joined.extend_from_slice(&line);
            done.push(waits);
        }
        self.append(&mut joined, &mut done);
    }

    fn append(&mut self, joined: &mut Vec<u8>, done: &mut Vec<Option<oneshot::Sender<bool>>>) {
        if done.is_empty() {
            return;
        }
        let written = self.output.append(joined).is_ok();
        if !written {
            self.errors.log.fetch_add(done.len() as u64, Ordering::Relaxed);
        }
        joined.clear();
        for waits in done.drain(..).flatten() {
            let _ = waits.send(written);
        }
    }
}

enum Output {
    Stdout(File),
    File { file: LogFile, tidy: Option<blocking::Sender<()>> },
}

impl Output {
    fn open(target: Target) -> Result<Self, LogError> {
        match target {
            Target::Stdout => {
                // Past the buffer of the standard library, which ends lines where it likes.
                let own = io::stdout().as_fd().try_clone_to_owned().map_err(LogError::Stdout)?;
                Ok(Self::Stdout(File::from(own)))
            }
            Target::File(settings) => {
                let path = settings.path.clone();
                let file = LogFile::open(settings).map_err(|source| LogError::Open { path, source })?;
                let tidy = if file.rotates() { Some(tidier(file.settings().clone())?) } else { None };
                Ok(Self::File { file, tidy })
            }
        }
    }

    fn is_full_for(&self, before: usize, line: usize) -> bool {
        match self {
            Self::Stdout(_) => false,
            Self::File { file, .. } => file.is_full_for(before, line),
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        let Self::File { file, tidy } = self else { return Ok(()) };
        file.rotate(Timestamp::now())?;
        if let Some(tidy) = tidy {
            let _ = tidy.send(());
        }
        Ok(())
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.write_all(lines),
            Self::File { file, .. } => file.append(lines),
        }
    }
}

/// A thread that compresses and removes older files: now, and whenever it is told of a new one.
fn tidier(settings: FileSettings) -> Result<blocking::Sender<()>, LogError> {
    let (tell, told) = blocking::channel();
    let thread = thread::Builder::new().name("audit-tidy".to_owned());
    let work = move || loop {
        // What does not work now is tried again with the next file.
        drop(tidy(&settings, Timestamp::now()));
        if told.recv().is_err() {
            return;
        }
        while told.try_recv().is_ok() {}
    };
    thread.spawn(work).map_err(LogError::Thread)?;
    Ok(tell)
}

/// So much is written at once where nothing else is said.
const BATCH_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests;
