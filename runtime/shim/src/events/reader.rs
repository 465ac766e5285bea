//! Reading events, and waiting for more.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use super::{Event, Journal, nanos_of};
use crate::Timestamp;

/// Reads the events of a [`Journal`] in their order, those to come too if wanted.
#[derive(Debug)]
pub struct Reader {
    journal: Journal,
    /// The file that is being read; the next one is opened when it has been rotated away.
    file: Option<BufReader<File>>,
    /// The beginning of a line that is still being written.
    partial: Vec<u8>,
    since_nano: i64,
    until_nano: Option<i64>,
    watch: Option<OwnedFd>,
}

impl Reader {
    /// Reads the events from `since` on (all that are kept when none), until `until`. Goes on
    /// with those to come when `follow`.
    pub fn open(
        journal: Journal,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        follow: bool,
    ) -> io::Result<Self> {
        // The watch first: nothing happens between looking and watching.
        let watch = if follow { Some(watch(&journal)?) } else { None };
        let file = match open(&journal.older())? {
            None => open(&journal.current())?,
            older => older,
        };
        Ok(Self {
            journal,
            file,
            partial: Vec::new(),
            since_nano: since.map_or(i64::MIN, nanos_of),
            until_nano: until.map(nanos_of),
            watch,
        })
    }

    /// The next event; waits for it when following. `None` when there is none any more, or
    /// when something can be read from `interrupt`.
    pub fn next_event(&mut self, interrupt: Option<BorrowedFd<'_>>) -> io::Result<Option<Event>> {
        loop {
            match self.read_event()? {
                Some(event) if event.time_nano < self.since_nano => {}
                Some(event) if self.until_nano.is_some_and(|until| event.time_nano > until) => {
                    return Ok(None);
                }
                Some(event) => return Ok(Some(event)),
                None => {
                    if !self.wait(interrupt)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The next event that is in the files.
    fn read_event(&mut self) -> io::Result<Option<Event>> {
        loop {
            let Some(file) = &mut self.file else {
                self.file = open(&self.journal.current())?;
                match self.file {
                    Some(_) => continue,
                    None => return Ok(None),
                }
            };
            file.read_until(b'\n', &mut self.partial)?;
            if self.partial.last() != Some(&b'\n') {
                let Some(next) = self.following_file()? else { return Ok(None) };
                // Nobody appends to a file that is not the newest: what is in it now is all.
                let Some(file) = &mut self.file else { continue };
                file.read_until(b'\n', &mut self.partial)?;
                if self.partial.last() != Some(&b'\n') {
                    self.partial.clear();
                    self.file = Some(next);
                    continue;
                }
            }
            let event = serde_json::from_slice(&self.partial);
            self.partial.clear();
            // Else half a line of somebody who was killed, or an event of a newer version.
            if let Ok(event) = event {
                return Ok(Some(event));
            }
        }
    }

    /// The file after the one that has been read to its end; `None` when that is the newest.
    fn following_file(&self) -> io::Result<Option<BufReader<File>>> {
        let Some(read) = &self.file else { return Ok(None) };
        let own = read.get_ref().metadata()?.ino();
        let inode = |file: &BufReader<File>| file.get_ref().metadata().map(|metadata| metadata.ino());
        // The newest first: what is renamed between the two looks is found by the next.
        let Some(newest) = open(&self.journal.current())? else { return Ok(None) };
        if inode(&newest)? == own {
            return Ok(None);
        }
        match open(&self.journal.older())? {
            // Two rotations since: the older file has come after ours.
            Some(older) if inode(&older)? != own => Ok(Some(older)),
            _ => Ok(Some(newest)),
        }
    }

    /// Waits for a change; false when there is nothing to wait for any more.
    fn wait(&self, interrupt: Option<BorrowedFd<'_>>) -> io::Result<bool> {
        let Some(watch) = &self.watch else { return Ok(false) };
        let mut fds = vec![PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN)];
        fds.extend(interrupt.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        loop {
            let left = self.until_nano.map(|until| until - nanos_of(SystemTime::now().into()));
            if left.is_some_and(|left| left <= 0) {
                return Ok(false);
            }
            let timeout =
                left.map(|left| Timespec { tv_sec: left / 1_000_000_000, tv_nsec: left % 1_000_000_000 });
            match poll(&mut fds, timeout.as_ref()) {
                Err(rustix::io::Errno::INTR) | Ok(0) => {}
                done => {
                    done?;
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
}

fn watch(journal: &Journal) -> io::Result<OwnedFd> {
    use inotify::{CreateFlags, WatchFlags};
    journal.make_dir()?;
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let flags = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
    inotify::add_watch(&watch, journal.dir(), flags)?;
    Ok(watch)
}

fn open(path: &Path) -> io::Result<Option<BufReader<File>>> {
    match File::open(path) {
        Ok(file) => Ok(Some(BufReader::new(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;

    use testkit::TempDir;

    use super::super::Subject;
    use super::*;

    fn event(action: impl std::fmt::Display) -> Event {
        Event::new(Subject::Container, action.to_string(), "id", BTreeMap::new())
    }

    fn actions(reader: &mut Reader) -> Vec<String> {
        std::iter::from_fn(|| reader.next_event(None).unwrap()).map(|event| event.action).collect()
    }

    #[test]
    fn reads_what_was_appended_and_keeps_a_bound() {
        let dir = TempDir::new();
        let journal = Journal::new(dir.path()).with_bytes_max(1000);
        assert!(actions(&mut Reader::open(journal.clone(), None, None, false).unwrap()).is_empty());
        for n in 0..100 {
            journal.append(event(n)).unwrap();
        }
        let read = actions(&mut Reader::open(journal.clone(), None, None, false).unwrap());
        assert!(read.len() > 9 && read.len() < 40, "{}", read.len());
        let first: usize = read[0].parse().unwrap();
        let expected: Vec<String> = (first..100).map(|n| n.to_string()).collect();
        assert_eq!(read, expected);
        for path in [journal.current(), journal.older()] {
            assert!(std::fs::metadata(path).unwrap().len() <= 1000);
        }
    }

    #[test]
    fn a_reader_that_follows_misses_no_event_of_two_rotations() {
        let dir = TempDir::new();
        let journal = Journal::new(dir.path()).with_bytes_max(300);
        let mut reader = Reader::open(journal.clone(), None, None, false).unwrap();
        let mut read = Vec::new();
        for n in 0..50 {
            journal.append(event(n)).unwrap();
            if n % 4 == 0 {
                read.extend(actions(&mut reader));
            }
        }
        read.extend(actions(&mut reader));
        let expected: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn half_a_line_costs_nobody_else_an_event() {
        let dir = TempDir::new();
        let journal = Journal::new(dir.path());
        journal.append(event("a")).unwrap();
        let mut file = File::options().append(true).open(journal.current()).unwrap();
        file.write_all(b"{\"Type\":\"contai").unwrap();
        let mut reader = Reader::open(journal.clone(), None, None, false).unwrap();
        assert_eq!(actions(&mut reader), ["a"]);
        journal.append(event("b")).unwrap();
        assert_eq!(actions(&mut reader), ["b"]);
        assert_eq!(actions(&mut Reader::open(journal, None, None, false).unwrap()), ["a", "b"]);
    }

    #[test]
    fn many_who_append_at_once_lose_nothing_and_keep_the_order_of_time() {
        let dir = TempDir::new();
        let journal = Journal::new(dir.path());
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let journal = journal.clone();
                scope.spawn(move || {
                    for n in 0..50 {
                        journal.append(event(format!("{thread}-{n}"))).unwrap();
                    }
                });
            }
        });
        let mut reader = Reader::open(journal, None, None, false).unwrap();
        let all: Vec<Event> = std::iter::from_fn(|| reader.next_event(None).unwrap()).collect();
        assert_eq!(all.len(), 400);
        assert!(all.is_sorted_by_key(|event| event.time_nano));
    }

    #[test]
    fn follows_until_a_moment() {
        let dir = TempDir::new();
        let journal = Journal::new(dir.path());
        let until = SystemTime::now() + std::time::Duration::from_millis(300);
        let mut reader = Reader::open(journal.clone(), None, Some(until.into()), true).unwrap();
        let appending = std::thread::spawn(move || journal.append(event("while following")).unwrap());
        assert_eq!(actions(&mut reader), ["while following"]);
        appending.join().unwrap();
        let mut later = Reader::open(reader.journal.clone(), Some(until.into()), None, false).unwrap();
        assert!(actions(&mut later).is_empty());
    }
}
