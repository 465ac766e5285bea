//! From an error to one sentence and an exit status.
//!
//! Docker's table: 125 when the container could not be made or run for a reason of
//! ours, 126 when its command cannot be executed, 127 when it is not found, the
//! container's own status otherwise; every other command fails with 1.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;

/// An exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u8);

impl Status {
    /// All went well.
    pub const SUCCESS: Self = Self(0);
    /// A command failed.
    pub const FAILURE: Self = Self(1);
    /// `run`, `create` or the arguments failed before the container's command ran.
    pub const DAEMON: Self = Self(125);
    /// The container's command cannot be executed.
    pub const NOT_EXECUTABLE: Self = Self(126);
    /// The container's command is not there.
    pub const NOT_FOUND: Self = Self(127);
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.0)
    }
}

/// Why a command failed, how it ends, and what the user can do.
///
/// Any error becomes one by `?` and then ends with status 1; it deliberately is not
/// an [`Error`] itself, so that the conversion can be that general.
pub struct CliError {
    status: Status,
    kind: Kind,
    fix: Option<String>,
}

enum Kind {
    /// An error of some library.
    Source(Box<dyn Error + Send + Sync>),
    /// What the user gave is wrong.
    Message(String),
    /// It was said already, or nobody listens.
    Silent,
}

impl CliError {
    /// The user's input is wrong: `message` says what and how to put it right.
    pub fn message(message: impl Into<String>) -> Self {
        Self { status: Status::FAILURE, kind: Kind::Message(message.into()), fix: None }
    }

    /// Ends with `status` and says nothing more.
    pub fn silent(status: Status) -> Self {
        Self { status, kind: Kind::Silent, fix: None }
    }

    /// The same, ending with `status`.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// The same, with what helps as the end of its sentence.
    #[must_use]
    pub fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// How the program ends.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Whether there is nothing to print.
    pub fn is_silent(&self) -> bool {
        matches!(self.kind, Kind::Silent)
    }

    /// The error of a library, if it is of type `E`.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        match &self.kind {
            Kind::Source(source) => source.downcast_ref(),
            Kind::Message(_) | Kind::Silent => None,
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for CliError {
    fn from(error: E) -> Self {
        let broken_pipe = (&error as &dyn Error)
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        if broken_pipe {
            return Self::silent(Status::FAILURE);
        }
        let fix = usual_fix(&error, rustix::process::geteuid().is_root()).map(str::to_owned);
        Self { status: Status::FAILURE, kind: Kind::Source(Box::new(error)), fix }
    }
}

/// What helps against causes that any operation can meet.
fn usual_fix(error: &(dyn Error + 'static), is_root: bool) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(cause) = next {
        match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::PermissionDenied) if !is_root => {
                return Some("containers and images are root's, so call strake as root, for example by sudo");
            }
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                return Some(
                    "`strake system df` shows what takes the space, `strake image prune` and \
                     `strake container prune` free some",
                );
            }
            _ => next = cause.source(),
        }
    }
    None
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Message(message) => f.write_str(message)?,
            Kind::Source(source) => f.write_str(&chain(source.as_ref()))?,
            Kind::Silent => {}
        }
        self.fix.as_ref().map_or(Ok(()), |fix| write!(f, "; {fix}"))
    }
}

impl fmt::Debug for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CliError({}: {self})", self.status.0)
    }
}

pub use engine::error_chain as chain;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(io::Error);
    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("open /x")
        }
    }
    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn prints_the_chain_and_the_fix() {
        let error = CliError::from(Outer(io::Error::other("no such thing"))).with_fix("do that");
        assert_eq!(error.to_string(), "open /x: no such thing; do that");
        assert_eq!(error.status(), Status::FAILURE);
        assert!(error.downcast_ref::<Outer>().is_some());
    }

    #[test]
    fn usual_causes_have_a_fix() {
        let full = Outer(io::Error::from(io::ErrorKind::StorageFull));
        assert!(usual_fix(&full, true).unwrap().contains("prune"));
        let denied = Outer(io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(usual_fix(&denied, false).unwrap().contains("sudo"));
        assert_eq!(usual_fix(&denied, true), None);
    }

    #[test]
    fn a_reader_that_left_is_no_news() {
        assert!(CliError::from(io::Error::from(io::ErrorKind::BrokenPipe)).is_silent());
    }
}
