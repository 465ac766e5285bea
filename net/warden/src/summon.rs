//! The caller's side: a warden is there, and knows of a container, when this returns.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use base::ContainerId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{Error, Place};

/// Makes sure that a warden runs, and that it has taken in the record of `id`: containers of
/// users' networks find each other by name from then on. One that runs already answers within
/// a fraction of a millisecond; otherwise one is started.
pub fn summon(place: &Place, id: &ContainerId) -> Result<(), Error> {
    for _ in 0..TRIES_MAX {
        if let Some(mut stream) = connect(place)? {
            match converse(&mut stream, id) {
                Ok(answer) if answer.trim() == OK => return Ok(()),
                // It ended while we asked; another one begins.
                Ok(answer) if answer.is_empty() => continue,
                Ok(answer) => return Err(Error::Refused { why: answer.trim().to_owned() }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Error::Silent),
                Err(_) => continue,
            }
        }
        start(place)?;
    }
    Err(Error::Silent)
}

/// Whether a warden serves at a place; `None` when one was killed there and left its socket.
pub fn serves(place: &Place) -> Result<Option<bool>, Error> {
    match connect(place)? {
        Some(_) => Ok(Some(true)),
        None if place.socket().exists() => Ok(None),
        None => Ok(Some(false)),
    }
}

fn connect(place: &Place) -> Result<Option<UnixStream>, Error> {
    match UnixStream::connect(place.socket()) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Ok(None)
        }
        Err(error) => Err(Error::file("connect to", &place.socket())(error)),
    }
}

fn converse(stream: &mut UnixStream, id: &ContainerId) -> io::Result<String> {
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    writeln!(stream, "{id}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Starts one, and waits until it serves, or leaves that to another one.
fn start(place: &Place) -> Result<(), Error> {
    let mut child = spawn(place)?;
    let ready = child.stdout.take();
    // Nobody else takes note of its end as long as we live.
    std::thread::spawn(move || drop(child.wait()));
    if let Some(ready) = ready {
        // It closes the pipe, by serving, waiting or ending.
        let within = Timespec { tv_sec: READY_WITHIN_SECONDS, tv_nsec: 0 };
        let _ = poll(&mut [PollFd::new(&ready, PollFlags::IN)], Some(&within));
    }
    Ok(())
}

/// The process that becomes a warden. Nothing of our surroundings goes with it.
pub(crate) fn spawn(place: &Place) -> Result<std::process::Child, Error> {
    let command = place.command.join(" ");
    let (program, args) = place.command.split_first().ok_or(Error::Silent)?;
    let spawned = Command::new(program)
        .args(args)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    spawned.map_err(|errno| Error::Start { command, errno })
}

/// What it says when all is well.
pub(crate) const OK: &str = "ok";
/// A warden that begins or ends while we ask is met once or twice.
const TRIES_MAX: u32 = 50;
/// It answers at once; on a machine that is very busy, later.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const READY_WITHIN_SECONDS: i64 = 10;
