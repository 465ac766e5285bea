//! Appends entries to the log file and rotates it.
//!
//! Each batch is one `write(2)` to a file opened with `O_APPEND`: a crash leaves at most
//! one broken line, at the end, and the next writer begins on a fresh one. When nothing
//! can be written (a full disk) the entries are counted as lost; the container never waits.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::mem;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::FlockOperation;

use super::kept::remove;
use super::{hold_names, packed, rotated};
use crate::protocol::{LogConfig, LogDriver};

/// The open log.
#[derive(Debug)]
pub struct LogWriter {
    config: LogConfig,
    file: Option<File>,
    size: u64,
    lost: u64,
    broken_tail: bool,
    /// Since it was last asked.
    rotated: bool,
}

impl LogWriter {
    /// Opens the log for appending, or for nothing with the driver `none`.
    pub fn open(config: LogConfig) -> io::Result<Self> {
        let mut writer = Self::closed(config);
        if writer.keeps() {
            writer.reopen(false)?;
        }
        Ok(writer)
    }

    /// Opens the log; if that fails, tries again with each append and counts what is lost.
    pub(crate) fn open_or_lose(config: LogConfig) -> Self {
        Self::open(config.clone()).unwrap_or_else(|_| Self::closed(config))
    }

    fn closed(config: LogConfig) -> Self {
        Self { config, file: None, size: 0, lost: 0, broken_tail: false, rotated: false }
    }

    /// Whether anything is kept at all.
    pub fn keeps(&self) -> bool {
        self.config.driver != LogDriver::None
    }

    /// What each of its entries carries.
    pub(crate) fn attributes(&self) -> Option<&str> {
        self.config.attributes.as_deref()
    }

    /// The form of its entries.
    pub(crate) fn form(&self) -> LogDriver {
        self.config.driver
    }

    /// Lets go of the file and opens what is at its path now, making it when it is missing.
    pub(crate) fn open_anew(&mut self) -> io::Result<()> {
        if !self.keeps() {
            return Ok(());
        }
        self.file = None;
        self.reopen(false)
    }

    /// Bytes of entries that could not be written.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The command that compresses, once after there is something to compress.
    pub(crate) fn take_command(&mut self) -> Option<&[String]> {
        mem::take(&mut self.rotated).then_some(&self.config.compress_command)
    }

    /// Appends whole entries; rotates first when the file is full.
    pub fn append(&mut self, entries: &[u8]) {
        if entries.is_empty() || !self.keeps() {
            return;
        }
        let full = self.config.max_size.is_some_and(|max| self.size > 0 && self.size >= max);
        let ready = if full { self.rotate() } else { Ok(()) };
        if ready.and_then(|()| self.write(entries)).is_err() {
            self.lost += entries.len() as u64;
        }
    }

    fn write(&mut self, entries: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.reopen(false)?;
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        if self.broken_tail {
            file.write_all(b"\n")?;
            self.size += 1;
            self.broken_tail = false;
        }
        // A partial write must not be followed by the next entry on the same line.
        self.broken_tail = true;
        file.write_all(entries)?;
        self.broken_tail = false;
        self.size += entries.len() as u64;
        Ok(())
    }

    /// Moves `log.N-1` to `log.N`, …, `log` to `log.1`. With one file only, empties it.
    fn rotate(&mut self) -> io::Result<()> {
        let last = self.config.max_file.max(1) - 1;
        let compresses = !self.config.compress_command.is_empty() && last > 0;
        if compresses {
            // Whoever compresses holds the names for microseconds: the next batch finds them free.
            let _names = match hold_names(&self.config.path, FlockOperation::NonBlockingLockExclusive) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                other => other.ok(),
            };
            self.shift(last, true)?;
        } else {
            self.shift(last, false)?;
        }
        self.file = None;
        self.rotated = compresses;
        self.reopen(last == 0)
    }

    fn shift(&self, last: u32, compresses: bool) -> io::Result<()> {
        let path = &self.config.path;
        if compresses {
            remove(&rotated(path, last))?;
            remove(&packed(path, last))?;
        }
        for index in (0..last).rev() {
            let plain = rename(&rotated(path, index), &rotated(path, index + 1))?;
            if compresses && plain {
                // Linked by a process that was then killed.
                remove(&packed(path, index))?;
            } else if compresses {
                rename(&packed(path, index), &packed(path, index + 1))?;
            }
        }
        Ok(())
    }

    fn reopen(&mut self, truncate: bool) -> io::Result<()> {
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(&self.config.path)?;
        if truncate {
            file.set_len(0)?;
        }
        self.size = file.seek(SeekFrom::End(0))?;
        self.broken_tail = false;
        if self.size > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            self.broken_tail = last != *b"\n";
        }
        self.file = Some(file);
        Ok(())
    }
}

/// Renames a file that may be missing; whether it was there.
fn rename(from: &Path, to: &Path) -> io::Result<bool> {
    match fs::rename(from, to) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        other => other.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use testkit::TempDir;

    use super::*;

    fn writer(dir: &TempDir, max_size: u64, max_file: u32) -> LogWriter {
        let config =
            LogConfig { max_size: Some(max_size), max_file, ..LogConfig::json_file(dir.join("log")) };
        LogWriter::open(config).unwrap()
    }

    fn text(path: impl AsRef<Path>) -> String {
        fs::read_to_string(path).unwrap_or_else(|_| "-".to_owned())
    }

    #[test]
    fn rotates_and_keeps_as_many_as_asked() {
        let dir = TempDir::new();
        let mut log = writer(&dir, 4, 3);
        for entry in ["aaaa\n", "b\n", "ccc\n", "dddd\n", "e\n"] {
            log.append(entry.as_bytes());
        }
        let files: Vec<String> = (0..4).map(|index| text(rotated(&dir.join("log"), index))).collect();
        assert_eq!(files, ["e\n", "dddd\n", "b\nccc\n", "-"]);
    }

    #[test]
    fn one_file_only_is_emptied() {
        let dir = TempDir::new();
        let mut log = writer(&dir, 4, 1);
        for entry in ["aaaa\n", "b\n"] {
            log.append(entry.as_bytes());
        }
        assert_eq!((text(dir.join("log")), text(dir.join("log.1"))), ("b\n".into(), "-".into()));
    }

    #[test]
    fn goes_on_in_a_new_file_when_it_is_told() {
        let dir = TempDir::new();
        let mut log = writer(&dir, 1000, 3);
        log.append(b"old\n");
        fs::rename(dir.join("log"), dir.join("rotated")).unwrap();
        log.append(b"still old\n");
        log.open_anew().unwrap();
        log.append(b"new\n");
        assert_eq!(
            (text(dir.join("rotated")), text(dir.join("log"))),
            ("old\nstill old\n".into(), "new\n".into())
        );
    }

    #[test]
    fn begins_on_a_fresh_line_after_a_crash() {
        let dir = TempDir::new();
        fs::write(dir.join("log"), "whole\nbrok").unwrap();
        let mut log = writer(&dir, 1000, 3);
        log.append(b"next\n");
        assert_eq!(text(dir.join("log")), "whole\nbrok\nnext\n");
    }

    #[test]
    fn counts_what_it_cannot_write() {
        let dir = TempDir::new();
        let config = LogConfig::json_file(dir.join("missing/log"));
        let mut log = LogWriter::open_or_lose(config);
        log.append(b"four\n");
        assert_eq!(log.lost(), 5);
        fs::create_dir(dir.join("missing")).unwrap();
        log.append(b"back\n");
        assert_eq!((text(dir.join("missing/log")), log.lost()), ("back\n".into(), 5));
    }
}
