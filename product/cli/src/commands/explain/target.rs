//! Whom a command is about: a container, or any process of the host.

use base::{Classified as _, ErrorClass};
use engine::container::{Lifecycle, Record};
use inspect::Proc;

use crate::context::Context;
use crate::error::CliError;

/// What the user named.
#[derive(Debug)]
pub enum Target {
    /// A container of ours.
    Container(Box<Record>),
    /// A process by its number.
    Process(i32),
}

/// Finds out what `text` names.
///
/// A number may be a process, a container's name, or the beginning of an id. A name was
/// chosen by somebody, so it goes first; a living process goes before an abbreviation.
pub fn resolve(text: &str, context: &Context) -> Result<Target, CliError> {
    let pid = text.parse::<i32>().ok().filter(|pid| *pid > 0);
    let found = context.engine()?.find(text);
    match (found, pid) {
        (Ok(record), Some(pid)) if record.name != text && record.id.as_str() != text && lives(pid) => {
            Ok(Target::Process(pid))
        }
        (Ok(record), _) => Ok(Target::Container(Box::new(record))),
        // Without rights on the data root, processes can still be looked at.
        (Err(error), Some(pid)) if is_elsewhere(error.class()) => Ok(Target::Process(pid)),
        (Err(error), _) => Err(error.into()),
    }
}

fn lives(pid: i32) -> bool {
    Proc::open().and_then(|proc| proc.process(pid)).is_ok()
}

impl Target {
    /// The process to look at: the container's init, or the process itself.
    pub fn running_pid(&self) -> Result<i32, CliError> {
        match self {
            Self::Process(pid) => Ok(*pid),
            Self::Container(record) => match &record.lifecycle {
                Lifecycle::Running { pid, .. } => Ok(*pid),
                other => Err(not_running(record, other)),
            },
        }
    }
}

fn not_running(record: &Record, lifecycle: &Lifecycle) -> CliError {
    let name = &record.name;
    let error = CliError::message(format!("container {name} has no process: it does not run"));
    match lifecycle {
        Lifecycle::Exited { .. } => error.with_fix(format!("`strake why dead {name}` says how it ended")),
        _ => error.with_fix(format!("`strake start {name}` starts it")),
    }
}

fn is_elsewhere(class: ErrorClass) -> bool {
    matches!(class, ErrorClass::NotFound | ErrorClass::PermissionDenied | ErrorClass::Conflict)
}
