//! Trying something in a process that is thrown away.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use sys::clone::{CloneOptions, Forked, clone3};
use sys::{NamespaceSet, Signal};

/// What came of trying something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Trial {
    /// It works.
    Works {
        /// What is worth knowing of it; may be empty.
        note: String,
    },
    /// It does not.
    Fails {
        /// What the kernel said, and to what.
        why: String,
    },
}

impl Trial {
    /// Whether it works.
    pub fn works(&self) -> bool {
        matches!(self, Self::Works { .. })
    }

    /// From the outcome of something that was done.
    pub fn of(result: io::Result<String>) -> Self {
        match result {
            Ok(note) => Self::Works { note },
            Err(error) => Self::Fails { why: plain(&error) },
        }
    }
}

/// Tries `work` in a new process in new namespaces. Whatever happens there, also to its
/// memory and descriptors, happens to nobody else; if it hangs it is killed.
pub fn in_child(namespaces: NamespaceSet, work: impl FnOnce() -> io::Result<String>) -> Trial {
    Trial::of(try_in_child(namespaces, work))
}

fn try_in_child(namespaces: NamespaceSet, work: impl FnOnce() -> io::Result<String>) -> io::Result<String> {
    let (answer, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    match clone3(&CloneOptions { namespaces, ..CloneOptions::default() })? {
        Forked::Child => {
            drop(answer);
            let (mark, text) = match work() {
                Ok(note) => (WORKS, note),
                Err(error) => (FAILS, plain(&error)),
            };
            // The parent takes silence for a failure.
            let _ = std::fs::File::from(tell).write_all(format!("{mark}{text}").as_bytes());
            sys::process::exit_now(0)
        }
        Forked::Parent { pidfd, .. } => {
            drop(tell);
            let deadline = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
            let mut ready = [PollFd::from_borrowed_fd(answer.as_fd(), PollFlags::IN)];
            if poll(&mut ready, Some(&deadline)).unwrap_or(0) == 0 {
                // It may have ended just now.
                let _ = sys::pidfd::send_signal(&pidfd, Signal::KILL);
            }
            let mut text = String::new();
            let read = std::fs::File::from(answer).read_to_string(&mut text);
            let status = sys::process::wait_pidfd(&pidfd)?;
            read?;
            match (text.strip_prefix(WORKS), text.strip_prefix(FAILS)) {
                (Some(note), _) => Ok(note.to_owned()),
                (_, Some(why)) => Err(io::Error::other(why.to_owned())),
                _ => Err(io::Error::other(format!(
                    "the process that tried it ended without an answer (status {})",
                    status.shell_code()
                ))),
            }
        }
    }
}

/// An error as the C library words it, without the number that Rust adds.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(number) => text.trim_end_matches(&format!(" (os error {number})")).to_owned(),
        None => text,
    }
}

/// An error with what was being done.
pub(crate) fn at<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> io::Error {
    move |error| io::Error::other(format!("{what}: {}", plain(&error.into())))
}

const WORKS: char = '+';
const FAILS: char = '-';
/// Loading a kernel module may take a second.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use testkit::isolated;

    use super::*;

    #[test]
    fn a_child_tells_what_came_of_it() {
        isolated(|| {
            let none = NamespaceSet::EMPTY;
            assert_eq!(in_child(none, || Ok("fine".to_owned())), Trial::Works { note: "fine".to_owned() });
            let failed = in_child(none, || Err(io::Error::from_raw_os_error(1)));
            assert_eq!(failed, Trial::Fails { why: "Operation not permitted".to_owned() });
            let Trial::Fails { why } = in_child(none, || sys::process::kill_self()) else {
                panic!("who is killed has not succeeded")
            };
            assert!(why.contains("137"), "{why}");
        });
    }
}
