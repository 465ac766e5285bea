//! Taking over a container whose shim was killed.
//!
//! Its output waits in the FIFOs, to which the container itself holds the reading side;
//! the shim's death loses at most an unfinished line that it had read. A terminal's master
//! is taken from its keeper. Attached clients and exec sessions of the old shim are gone.

use std::io;
use std::os::fd::OwnedFd;

use base::Classified;

use super::again::plan_late;
use super::cause::{Observed, cause};
use super::container::Container;
use super::ending::{UNLEARNED, remove_traces};
use super::keeper;
use super::setup::{lock, started, terminal_ends};
use super::state_file::ShimState;
use super::stdio::{self, OurEnds};
use super::supervisor::{Assembled, Supervisor};
use super::{Begun, memory};
use crate::health::Health;
use crate::log::LogWriter;
use crate::protocol::{AdoptSetup, Failure};
use crate::{Exit, HealthAtEnd, Timestamp};

/// Takes the container over, or records its end.
pub(super) fn begin(adopt: &AdoptSetup) -> Result<Begun, Failure> {
    let dir = &adopt.state_dir;
    let failed = |what: &str| {
        let text = format!("{what} in {}", dir.display());
        move |e: io::Error| Failure::new(e.class(), format!("{text}: {e}"))
    };
    let lock = lock(dir)?;
    let mut state = ShimState::read(dir).map_err(failed("read the record of the former shim"))?;
    state.shim_pid = std::process::id() as i32;
    let recorded = Exit::read(&state.setup.record_dir).map_err(|e| Failure::of(e.class(), &e))?;
    if let Some(exit) = recorded {
        return finish(&state, exit, lock);
    }
    let Some(container) = Container::find(&state) else {
        let exit = unwatched_end(&state);
        exit.write(&state.setup.record_dir).map_err(|e| Failure::of(e.class(), &e))?;
        base::failpoint::hit("shim.exit-recorded");
        return finish(&state, exit, lock);
    };
    let mut warnings = Vec::new();
    let ends = if state.terminal {
        terminal(&state, &mut warnings)
    } else {
        stdio::open_fifos(dir, state.setup.stdin)
    };
    let log = LogWriter::open_or_lose(state.setup.log.clone());
    state.write().map_err(failed("write the record"))?;
    let ends = ends.map_err(failed("open the container's stdio"))?;
    let assembled =
        Assembled::new(ends, &state, log, lock).map_err(failed("prepare to watch the container"))?;
    let started = started(&state, warnings);
    Ok(Begun::Watching(Box::new(Supervisor::new(container, state, assembled)), started))
}

/// The terminal's master from its keeper, or a stand-in when that was killed too.
fn terminal(state: &ShimState, warnings: &mut Vec<String>) -> io::Result<OurEnds> {
    match state.keeper.map_or(Err(io::ErrorKind::NotFound.into()), |keeper| keeper::take(&keeper)) {
        Ok(master) => terminal_ends(master, state.setup.stdin),
        Err(error) => {
            warnings.push(format!(
                "the container's terminal is lost, because its keeper was killed like the shim ({error}): \
                 the kernel hung it up, and what the container writes there goes nowhere"
            ));
            // Its writer is gone: it ends with the first look.
            let (ended, _) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
            Ok(OurEnds { stdin: None, stdout: ended, stderr: None })
        }
    }
}

/// The end of an init that no process of ours saw.
fn unwatched_end(state: &ShimState) -> Exit {
    let memory = memory::end_unwatched(&state.setup);
    let (oom_killed, oom_kills) = (memory.oom_kills > 0, memory.kills.clone());
    let observed =
        Observed { pid: state.pid, why_unknown: UNLEARNED.to_owned(), memory, ..Observed::default() };
    let health = state.setup.health.and_then(|_| Health::read(&state.setup.record_dir));
    let mut exit = Exit {
        oom_killed,
        oom_kills,
        started_at: state.started_at,
        adopted: true,
        restarts: state.setup.restarts.map_or(0, |restarts| restarts.history.restarts),
        health: health.as_ref().map(HealthAtEnd::from),
        ..Exit::of(cause(&observed), Timestamp::now())
    };
    exit.restart = plan_late(&state.setup, &exit);
    exit
}

/// Removes what the container has left. The exit command is not run, since who adopts is told
/// of the end and cleans up; but where a restart follows that is what does it, now: the time
/// that the former shim waited is not known.
fn finish(state: &ShimState, exit: Exit, lock: OwnedFd) -> Result<Begun, Failure> {
    Container::delete_remains(&state.setup)?;
    base::failpoint::hit("shim.deleted");
    remove_traces(&state.setup.state_dir);
    if exit.restart.is_some() {
        // It begins when no shim lives.
        drop(lock);
        let command = &state.setup.exit_command;
        crate::spawn::detached(command)
            .map_err(|e| Failure::new(e.class(), format!("run {command:?}: {e}")))?;
    }
    Ok(Begun::Ended(Box::new(exit)))
}
