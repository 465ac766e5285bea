//! Reads a log while it is being written: the last lines, a span of time, following.
//!
//! Rotated files are read oldest first. While following, the open file is read to its
//! end before its successor is opened, and files are told apart by inode, so a rotation
//! loses nothing unless the reader is slower than all files that are kept. Lines that are
//! no entries (a crash cut them off) are skipped and counted. A rotated file may be compressed,
//! also while it is followed: it keeps the number of the inode that it was written to.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use base::{Classified, ErrorClass};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;

use super::entry::{LogEntry, LogStream, parse_entry};
use super::kept::{FILES_MAX, KeptFile};
use crate::{EXIT_FILE, Timestamp};

const CHUNK: usize = 32 * 1024;
/// A line longer than this is no entry of ours (16 KiB escape to at most 96 KiB).
const LINE_MAX: usize = 1 << 20;
/// A rotation takes microseconds; one that a crash left unfinished stays that way.
const LOOKS_MAX: u32 = 50;

/// What to read.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Only the last so many entries (docker counts entries of the files, before the other
    /// choices are made); all when `None`.
    pub tail: Option<u64>,
    /// Nothing before.
    pub since: Option<Timestamp>,
    /// Nothing after.
    pub until: Option<Timestamp>,
    /// Entries of stdout.
    pub stdout: bool,
    /// Entries of stderr.
    pub stderr: bool,
    /// Wait for more until the container has ended (its exit record appears).
    pub follow: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { tail: None, since: None, until: None, stdout: true, stderr: true, follow: false }
    }
}

/// The log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogReadError {
    /// Opening, reading or watching failed.
    #[error("{operation} log {}", path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Classified for LogReadError {
    fn class(&self) -> ErrorClass {
        let Self::Io { source, .. } = self;
        ErrorClass::of_io(source)
    }
}

/// A log being read.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    record_dir: PathBuf,
    options: LogOptions,
    /// Opened and not yet begun, oldest first.
    waiting: VecDeque<KeptFile>,
    current: Option<KeptFile>,
    buffer: Vec<u8>,
    consumed: usize,
    watch: Option<OwnedFd>,
    skipped: u64,
    past_until: bool,
}

impl LogReader {
    /// Opens the log at `path` of the container whose exit record is in `record_dir`.
    ///
    /// A log that does not exist is empty: a container that never started has none.
    pub fn open(path: &Path, record_dir: &Path, options: LogOptions) -> Result<Self, LogReadError> {
        let mut reader = Self {
            path: path.to_owned(),
            record_dir: record_dir.to_owned(),
            watch: None,
            waiting: VecDeque::new(),
            current: None,
            buffer: Vec::new(),
            consumed: 0,
            skipped: 0,
            past_until: false,
            options,
        };
        if reader.options.follow {
            // Before the first look, so that nothing falls between look and watch.
            reader.watch = Some(reader.watch_dirs()?);
        }
        reader.waiting = reader.open_all()?.into();
        if let Some(lines) = reader.options.tail {
            reader.skip_to_tail(lines).map_err(|e| reader.error("read", e))?;
        }
        Ok(reader)
    }

    /// Lines so far that were no entries.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The next entry; without one, `None` at once, or when following at the container's end.
    pub fn next_entry(&mut self) -> Result<Option<LogEntry>, LogReadError> {
        self.next_entry_until(None)
    }

    /// As [`LogReader::next_entry`], but gives up with `None` as soon as `interrupt` is
    /// readable or hung up (a signal descriptor, a client's connection).
    pub fn next_entry_until(
        &mut self,
        interrupt: Option<BorrowedFd<'_>>,
    ) -> Result<Option<LogEntry>, LogReadError> {
        let mut ended = !self.options.follow;
        loop {
            while let Some(entry) = self.read_entry().map_err(|e| self.error("read", e))? {
                if self.options.until.is_some_and(|until| entry.time > until) {
                    self.past_until = true;
                    break;
                }
                if self.is_chosen(&entry) {
                    return Ok(Some(entry));
                }
            }
            if self.past_until || ended {
                return Ok(None);
            }
            // Asked before reading once more: what was written before the end is then read.
            ended = self.has_ended();
            if !ended && !self.wait(interrupt)? {
                return Ok(None);
            }
        }
    }

    fn is_chosen(&self, entry: &LogEntry) -> bool {
        let stream = match entry.stream {
            LogStream::Stdout => self.options.stdout,
            LogStream::Stderr => self.options.stderr,
        };
        stream && self.options.since.is_none_or(|since| entry.time >= since)
    }

    /// The container has ended, or its record directory is gone.
    fn has_ended(&self) -> bool {
        self.record_dir.join(EXIT_FILE).exists() || !self.record_dir.exists()
    }

    /// The next entry of the files, going on to the successor at a file's end.
    fn read_entry(&mut self) -> io::Result<Option<LogEntry>> {
        loop {
            if let Some(end) = self.buffer[self.consumed..].iter().position(|b| *b == b'\n') {
                let line = &self.buffer[self.consumed..self.consumed + end];
                let entry = parse_entry(line);
                self.skipped += u64::from(entry.is_none() && !line.is_empty());
                self.consumed += end + 1;
                if entry.is_some() {
                    return Ok(entry);
                }
                continue;
            }
            if !self.fill()? && !self.advance()? {
                return Ok(None);
            }
        }
    }

    /// Reads more of the current file; false at its end.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        if self.buffer.len() > LINE_MAX {
            self.buffer.clear();
            self.skipped += 1;
        }
        let Some(file) = &mut self.current else { return Ok(false) };
        let old = self.buffer.len();
        self.buffer.resize(old + CHUNK, 0);
        let count = file.read(&mut self.buffer[old..]);
        self.buffer.truncate(old + count.as_ref().copied().unwrap_or(0));
        Ok(count? > 0)
    }

    /// Goes on to the next file, if there is one.
    fn advance(&mut self) -> io::Result<bool> {
        if let Some(current) = &mut self.current {
            if current.rewind_if_emptied()? {
                self.buffer.clear();
                return Ok(true);
            }
            if self.waiting.is_empty() && self.options.follow {
                self.waiting = self.successors()?.into();
                if !self.waiting.is_empty() && self.fill()? {
                    return Ok(true); // written between our last read and the rotation
                }
            }
        } else if self.waiting.is_empty() && self.options.follow {
            self.waiting.extend(KeptFile::open(&self.path, 0)?);
        }
        let Some(next) = self.waiting.pop_front() else { return Ok(false) };
        self.skipped += u64::from(!self.buffer.is_empty());
        self.buffer.clear();
        self.current = Some(next);
        Ok(true)
    }

    /// The files written after the current one, oldest first.
    fn successors(&self) -> io::Result<Vec<KeptFile>> {
        let files = self.look()?.into_iter();
        let is_current = |other: &KeptFile| self.current.as_ref().is_some_and(|current| current.is(other));
        Ok(oldest_first(files.take_while(|other| !is_current(other))))
    }

    /// All files, oldest first.
    fn open_all(&self) -> Result<Vec<KeptFile>, LogReadError> {
        let files = self.look().map_err(|e| self.error("open", e))?;
        Ok(oldest_first(files.into_iter()))
    }

    /// All files, newest first. A rotation that goes on meanwhile shows as a gap, as a file
    /// met twice, or as a difference between two looks: then looks again.
    fn look(&self) -> io::Result<Vec<KeptFile>> {
        let (mut files, mut whole) = self.look_once()?;
        for _ in 0..LOOKS_MAX {
            let (again, again_whole) = self.look_once()?;
            let same = files.iter().map(|file| file.inode).eq(again.iter().map(|file| file.inode));
            let stable = same && whole && again_whole;
            (files, whole) = (again, again_whole);
            if stable {
                break;
            }
            std::thread::yield_now();
        }
        Ok(files)
    }

    /// The files, and whether they can be all.
    fn look_once(&self) -> io::Result<(Vec<KeptFile>, bool)> {
        let mut files: Vec<KeptFile> = Vec::new();
        let (mut missing, mut whole) = (0, true);
        for index in 0..FILES_MAX {
            let Some(file) = KeptFile::open(&self.path, index)? else {
                missing += 1;
                if missing == 2 {
                    break;
                }
                continue;
            };
            whole &= missing == 0 && files.iter().all(|other| other.inode != file.inode);
            missing = 0;
            files.push(file);
        }
        Ok((files, whole))
    }

    fn skip_to_tail(&mut self, lines: u64) -> io::Result<()> {
        let mut wanted = lines;
        for index in (0..self.waiting.len()).rev() {
            wanted -= self.waiting[index].skip_to_last(wanted)?;
            if wanted == 0 {
                self.waiting.drain(..index);
                break;
            }
        }
        Ok(())
    }

    fn watch_dirs(&self) -> Result<OwnedFd, LogReadError> {
        use inotify::{CreateFlags, WatchFlags};
        let fail = |e: rustix::io::Errno| self.error("watch", e.into());
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(fail)?;
        let flags = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::ONLYDIR;
        let log_dir = self.path.parent().unwrap_or(Path::new("/"));
        for dir in [log_dir, &self.record_dir] {
            inotify::add_watch(&watch, dir, flags).map_err(fail)?;
        }
        Ok(watch)
    }

    /// Waits for a change; false when `interrupt` came first.
    fn wait(&self, interrupt: Option<BorrowedFd<'_>>) -> Result<bool, LogReadError> {
        let Some(watch) = &self.watch else { return Ok(false) };
        let fail = |e: rustix::io::Errno| self.error("watch", e.into());
        let mut fds = vec![PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN)];
        fds.extend(interrupt.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        loop {
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => {}
                other => {
                    other.map_err(fail)?;
                    break;
                }
            }
        }
        if fds.get(1).is_some_and(|fd| !fd.revents().is_empty()) {
            return Ok(false);
        }
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(watch, &mut space);
        while events.next().is_ok() {}
        Ok(true)
    }

    fn error(&self, operation: &'static str, source: io::Error) -> LogReadError {
        LogReadError::Io { operation, path: self.path.clone(), source }
    }
}

fn oldest_first(newest_first: impl Iterator<Item = KeptFile>) -> Vec<KeptFile> {
    let mut files: Vec<KeptFile> = newest_first.collect();
    files.reverse();
    files
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use testkit::TempDir;

    use super::*;
    use crate::log::{LogWriter, compress_rotated, packed, rotated, write_entry};
    use crate::protocol::LogConfig;

    /// Writes `n` entries `line 0 …` at second `n`, even ones to stdout, odd ones to stderr.
    fn filled(dir: &TempDir, count: i64, max_size: u64, max_file: u32) -> LogWriter {
        let config = LogConfig {
            max_size: Some(max_size),
            max_file,
            compress_command: vec!["by the test".to_owned()],
            ..LogConfig::json_file(dir.join("log"))
        };
        let mut log = LogWriter::open(config).unwrap();
        for number in 0..count {
            add(&mut log, number);
        }
        log
    }

    fn add(log: &mut LogWriter, number: i64) {
        let mut entry = Vec::new();
        let stream = if number % 2 == 0 { LogStream::Stdout } else { LogStream::Stderr };
        let text = format!("line {number}");
        write_entry(&mut entry, text.as_bytes(), true, (stream, None), Timestamp::from_unix(number, 0));
        log.append(&entry);
    }

    fn read(dir: &TempDir, options: LogOptions) -> Vec<i64> {
        rest_of(LogReader::open(&dir.join("log"), dir.path(), options).unwrap())
    }

    fn rest_of(mut reader: LogReader) -> Vec<i64> {
        let mut numbers = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            numbers.push(entry.text.trim().strip_prefix("line ").unwrap().parse().unwrap());
        }
        numbers
    }

    #[test]
    fn reads_rotated_files_in_order() {
        let dir = TempDir::new();
        filled(&dir, 20, 300, 10);
        assert!(dir.join("log.3").exists());
        assert_eq!(read(&dir, LogOptions::default()), (0..20).collect::<Vec<_>>());
        for tail in [0, 1, 3, 5, 19, 20, 50] {
            let options = LogOptions { tail: Some(tail), ..LogOptions::default() };
            let first = 20 - (tail as i64).min(20);
            assert_eq!(read(&dir, options), (first..20).collect::<Vec<_>>(), "tail {tail}");
        }
    }

    #[test]
    fn reads_compressed_files_as_plain_ones() {
        let dir = TempDir::new();
        let mut log = filled(&dir, 20, 300, 10);
        compress_rotated(&dir.join("log")).unwrap();
        let there = |index| rotated(&dir.join("log"), index).exists();
        let compressed = |index| packed(&dir.join("log"), index).exists();
        assert_eq!([there(1), compressed(1), there(3), compressed(3)], [false, true, false, true]);
        // Two more rotations: compressed and plain ones move together.
        for number in 20..30 {
            add(&mut log, number);
        }
        assert_eq!([there(1), compressed(1), there(5), compressed(5)], [true, false, false, true]);
        for tail in [0, 1, 3, 5, 9, 12, 17, 29, 30, 50] {
            let options = LogOptions { tail: Some(tail), ..LogOptions::default() };
            let first = 30 - (tail as i64).min(30);
            assert_eq!(read(&dir, options), (first..30).collect::<Vec<_>>(), "tail {tail}");
        }
        let since = Some(Timestamp::from_unix(2, 0));
        assert_eq!(read(&dir, LogOptions { since, ..LogOptions::default() }), (2..30).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_that_is_compressed_half_is_read_once() {
        let dir = TempDir::new();
        let mut log = filled(&dir, 20, 300, 10);
        let path = dir.join("log");
        // A process was killed after it had linked the compressed file.
        fs::write(packed(&path, 2), "whatever").unwrap();
        assert_eq!(read(&dir, LogOptions::default()), (0..20).collect::<Vec<_>>());
        for number in 20..25 {
            add(&mut log, number);
        }
        assert_eq!(read(&dir, LogOptions::default()), (0..25).collect::<Vec<_>>());
        compress_rotated(&path).unwrap();
        assert_eq!(read(&dir, LogOptions::default()), (0..25).collect::<Vec<_>>());
    }

    #[test]
    fn damage_costs_what_is_damaged() {
        let dir = TempDir::new();
        filled(&dir, 20, 300, 10);
        compress_rotated(&dir.join("log")).unwrap();
        fs::write(packed(&dir.join("log"), 2), "no gzip").unwrap();
        let whole = fs::read(packed(&dir.join("log"), 1)).unwrap();
        fs::write(packed(&dir.join("log"), 1), &whole[..whole.len() / 2]).unwrap();
        let left = read(&dir, LogOptions::default());
        assert_eq!((left.first(), left.last()), (Some(&0), Some(&19)));
        assert!(left.len() < 20 && left.is_sorted(), "{left:?}");
    }

    #[test]
    fn chooses_by_time_and_stream() {
        let dir = TempDir::new();
        filled(&dir, 10, 1 << 20, 3);
        let at = |seconds| Some(Timestamp::from_unix(seconds, 0));
        assert_eq!(read(&dir, LogOptions { since: at(7), ..LogOptions::default() }), [7, 8, 9]);
        assert_eq!(read(&dir, LogOptions { until: at(1), ..LogOptions::default() }), [0, 1]);
        assert_eq!(read(&dir, LogOptions { stdout: false, tail: Some(4), ..LogOptions::default() }), [7, 9]);
        assert_eq!(read(&dir, LogOptions { stderr: false, until: at(3), ..LogOptions::default() }), [0, 2]);
    }

    #[test]
    fn a_log_that_is_not_there_is_empty() {
        let dir = TempDir::new();
        assert_eq!(read(&dir, LogOptions::default()), Vec::<i64>::new());
    }

    #[test]
    fn skips_what_a_crash_broke() {
        let dir = TempDir::new();
        filled(&dir, 2, 1 << 20, 3);
        let mut text = fs::read_to_string(dir.join("log")).unwrap();
        text.insert_str(text.find('\n').unwrap() + 1, "{\"log\":\"bro\n");
        text.push_str("{\"log\":\"line 7\\n\",\"str");
        fs::write(dir.join("log"), text).unwrap();
        let mut reader = LogReader::open(&dir.join("log"), dir.path(), LogOptions::default()).unwrap();
        assert_eq!(reader.next_entry().unwrap().unwrap().text, "line 0\n");
        assert_eq!(reader.next_entry().unwrap().unwrap().text, "line 1\n");
        assert_eq!(reader.next_entry().unwrap(), None);
        assert_eq!(reader.skipped(), 1);
    }

    #[test]
    fn follows_through_rotations_until_the_exit_record() {
        let dir = TempDir::new();
        let mut log = filled(&dir, 3, 200, 100);
        let options = LogOptions { follow: true, tail: Some(2), ..LogOptions::default() };
        let reader = LogReader::open(&dir.join("log"), dir.path(), options).unwrap();
        let writer = std::thread::spawn({
            let (record, path) = (dir.join(EXIT_FILE), dir.join("log"));
            move || {
                for number in 3..200 {
                    add(&mut log, number);
                    if number % 20 == 0 {
                        std::thread::park_timeout(Duration::from_millis(3));
                        compress_rotated(&path).unwrap();
                    }
                }
                fs::write(record, "{}").unwrap();
            }
        });
        assert_eq!(rest_of(reader), (1..200).collect::<Vec<_>>());
        writer.join().unwrap();
    }

    #[test]
    fn follows_a_log_that_begins_later_and_gives_up_when_told() {
        let dir = TempDir::new();
        let options = LogOptions { follow: true, ..LogOptions::default() };
        let mut reader = LogReader::open(&dir.join("log"), dir.path(), options).unwrap();
        let (stop, stopper) = rustix::pipe::pipe().unwrap();
        let mut log = filled(&dir, 0, 1 << 20, 3);
        let writer = std::thread::spawn(move || {
            add(&mut log, 0);
            log
        });
        let entry = reader.next_entry_until(Some(stop.as_fd())).unwrap().unwrap();
        assert_eq!(entry.text, "line 0\n");
        writer.join().unwrap();
        drop(stopper);
        assert_eq!(reader.next_entry_until(Some(stop.as_fd())).unwrap(), None);
    }
}
