//! Requests and replies.

use std::path::PathBuf;

use base::{ContainerId, ErrorClass};
use serde::{Deserialize, Serialize};

use crate::health::{HealthCheck, HealthStatus};
use crate::restart::Restarts;
use crate::{Exit, Timestamp};

/// The version that this build speaks. A shim answers any version up to its own.
pub const PROTOCOL_VERSION: u32 = 1;

/// A request: `{"v":1,"id":7,"call":{"kill":{…}}}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Protocol version of the sender.
    pub v: u32,
    /// Repeated in the answer, so that answers may come in another order.
    pub id: u64,
    /// What to do.
    pub call: Call,
}

/// An answer to the request with the same `id`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Response {
    /// Protocol version of the shim.
    pub v: u32,
    /// Which request; 0 was not asked for.
    pub id: u64,
    /// What came of it.
    pub result: Result<Reply, Failure>,
}

/// What a client may ask. Descriptors that belong to a call come with its first byte.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Sets up a new container; only as the first message on the launch socket.
    Setup(Box<Setup>),
    /// Takes over a container whose shim is gone; only as the first message.
    Adopt(AdoptSetup),
    /// Opens the start gate.
    Start,
    /// Sends a signal to init, or to all processes of the container.
    Kill {
        /// Signal number.
        signal: i32,
        /// To all processes, not only init.
        #[serde(default)]
        all: bool,
    },
    /// Sends a signal and, after the grace time, SIGKILL; answered with the exit.
    Stop {
        /// Signal number.
        signal: i32,
        /// Milliseconds until SIGKILL; none waits for ever.
        grace_ms: Option<u64>,
    },
    /// Answered with the exit when the container has ended.
    Wait,
    /// Connects the descriptors sent along to the container's stdio.
    Attach(Attach),
    /// Lets go of what this connection attached, without closing the container's stdin.
    Detach,
    /// Runs one more process in the container, on the descriptors sent along.
    Exec(Box<Exec>),
    /// Answered with the end of an exec process.
    ExecWait {
        /// The number that `Exec` answered.
        session: u64,
    },
    /// Sends a signal to an exec process.
    ExecKill {
        /// The number that `Exec` answered.
        session: u64,
        /// Signal number.
        signal: i32,
    },
    /// Sets the size of the container's terminal.
    Resize {
        /// Columns.
        columns: u16,
        /// Rows.
        rows: u16,
    },
    /// Freezes all processes.
    Pause,
    /// Thaws them.
    Resume,
    /// What the shim knows.
    Status,
    /// This connection takes on the cleanup: no exit command while it lives.
    HoldCleanup,
    /// This connection starts the container again when that is due: it sees the shim go. No exit
    /// command then while it lives.
    HoldRestart,
    /// The holder has cleaned up: the shim need not.
    CleanedUp,
    /// The log file was renamed: write to a new one.
    ReopenLog,
    /// Another restart policy from now on.
    SetRestarts(Restarts),
}

/// What a new container needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    /// The container.
    pub id: ContainerId,
    /// Where socket, FIFOs and `shim.json` live; gone at reboot.
    pub state_dir: PathBuf,
    /// Where the exit record and the log live.
    pub record_dir: PathBuf,
    /// Where the runtime keeps its state.
    pub runtime_root: PathBuf,
    /// Directory with `config.json`.
    pub bundle: PathBuf,
    /// A descriptor of the root filesystem's detached mount is sent along.
    pub rootfs_sent: bool,
    /// What the container's stdin is.
    pub stdin: StdinMode,
    /// Where output goes.
    pub log: LogConfig,
    /// Run after the container's end unless a client holds the cleanup; may be empty.
    pub exit_command: Vec<String>,
    /// Use `MS_MOVE` instead of `pivot_root(2)`.
    #[serde(default)]
    pub no_pivot: bool,
    /// Cgroups by systemd.
    #[serde(default)]
    pub systemd_cgroup: bool,
    /// When the exit command is to start the container again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts: Option<Restarts>,
    /// How its health is checked, with the process in `probe.json` of the state directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
}

/// Which container to adopt: the rest stands in its `shim.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdoptSetup {
    /// The state directory given at launch.
    pub state_dir: PathBuf,
}

/// What the container's stdin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StdinMode {
    /// `/dev/null`. With a terminal: the terminal, but nobody types.
    #[default]
    Closed,
    /// Open for ever; what any attached client sends arrives (docker's `OpenStdin`).
    Open,
    /// Open until the first attached client's input ends (docker's `StdinOnce`).
    Once,
}

/// Where a container's output goes besides attached clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// The form.
    pub driver: LogDriver,
    /// The file, with its rotations `.1`, `.2` beside it.
    pub path: PathBuf,
    /// Bytes after which the file is rotated; none never rotates.
    pub max_size: Option<u64>,
    /// Files kept, the current one included; at least 1.
    pub max_file: u32,
    /// What each entry of docker's form carries besides its text: a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<String>,
    /// Command and arguments to run after a rotation: it compresses what was rotated, and ends.
    /// Empty: the files stay as they were written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compress_command: Vec<String>,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// docker's `json-file`.
    #[default]
    JsonFile,
    /// The Container Runtime Interface's: `TIME STREAM F TEXT`, with `P` for a part of a line.
    Cri,
    /// Nothing is kept.
    None,
}

impl LogConfig {
    /// docker's form at `path`, three files of 10 MiB.
    pub fn json_file(path: PathBuf) -> Self {
        Self { max_size: Some(10 << 20), max_file: 3, ..Self::of(LogDriver::JsonFile, path) }
    }

    /// The Container Runtime Interface's form at `path`, rotated by whoever asked for it.
    pub fn cri(path: PathBuf) -> Self {
        Self::of(LogDriver::Cri, path)
    }

    /// No log.
    pub fn none() -> Self {
        Self::of(LogDriver::None, PathBuf::new())
    }

    /// One file, never rotated.
    fn of(driver: LogDriver, path: PathBuf) -> Self {
        Self { driver, path, max_size: None, max_file: 1, attributes: None, compress_command: Vec::new() }
    }
}

/// Which streams descriptors are sent for, in the order stdin, stdout, stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StreamSet {
    /// stdin: the shim reads.
    pub stdin: bool,
    /// stdout (with a terminal: the terminal's output): the shim writes.
    pub stdout: bool,
    /// stderr: the shim writes.
    pub stderr: bool,
}

impl StreamSet {
    /// All three.
    pub const ALL: Self = Self { stdin: true, stdout: true, stderr: true };

    /// How many.
    pub fn count(self) -> usize {
        usize::from(self.stdin) + usize::from(self.stdout) + usize::from(self.stderr)
    }
}

/// An attachment.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Attach {
    /// Which descriptors are sent along.
    pub streams: StreamSet,
}

/// One more process in the container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exec {
    /// OCI `process` object.
    pub process: serde_json::Value,
    /// Which descriptors are sent along; the others are `/dev/null`. With a terminal none
    /// are sent and the answer brings the terminal's master, unless `detached`.
    pub streams: StreamSet,
    /// Nobody listens: a terminal is drained by the shim.
    #[serde(default)]
    pub detached: bool,
    /// What it is called in events; its end is told by the shim. None tells nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec_id: Option<String>,
}

/// Answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Unasked (id 0), first on a launch socket: who serves it.
    Serving {
        /// Process id of the shim.
        shim_pid: i32,
    },
    /// Done.
    Done,
    /// The container is created and waits at the start gate, or was adopted.
    Ready(Started),
    /// The container has ended. Also unasked (id 0), to every client that does not wait: a
    /// request that crosses with the shim's own end is then not left without an answer.
    Exited(Box<Exit>),
    /// The exec process runs; with a terminal its master is sent along.
    Spawned(Spawned),
    /// The exec process has ended.
    ExecEnded(ExecEnd),
    /// What the shim knows.
    Status(Box<Status>),
}

/// A container that was created or adopted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Host process id of init.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`: with the pid it names the process for good.
    pub start_time: u64,
    /// Process id of the shim.
    pub shim_pid: i32,
    /// What did not work but was not needed.
    pub warnings: Vec<String>,
}

/// An exec process that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spawned {
    /// Its number in this shim.
    pub session: u64,
    /// Host process id.
    pub pid: i32,
    /// A terminal's master is sent along.
    #[serde(default)]
    pub console_sent: bool,
}

/// The end of an exec process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecEnd {
    /// Exit status as a shell shows it.
    pub code: i32,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
}

/// How far a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Init waits at the start gate.
    Created,
    /// It runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Init has ended.
    Exited,
}

/// What the shim knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The container.
    pub id: ContainerId,
    /// How far it is.
    pub phase: Phase,
    /// Host process id of init.
    pub pid: i32,
    /// Its start time, field 22 of `/proc/PID/stat`.
    pub start_time: u64,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// Process id of the shim.
    pub shim_pid: i32,
    /// Whether this shim adopted it.
    pub adopted: bool,
    /// Attached clients.
    pub attached: usize,
    /// Exec processes that run.
    pub execs: usize,
    /// Log bytes that could not be written, for example because the disk was full.
    pub log_bytes_lost: u64,
    /// Processes of the container that the OOM killer has taken so far.
    #[serde(default)]
    pub oom_kills: u64,
    /// What is thought of its health, where that is checked.
    #[serde(default)]
    pub health: Option<HealthStatus>,
    /// The end, when it has ended.
    pub exit: Option<Exit>,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What the caller may do about it: the class as a word.
    pub class: String,
    /// The chain of errors, joined with `: `.
    pub message: String,
    /// For a container that could not be made or started: 125, 126 or 127, as docker's.
    #[serde(default)]
    pub exit_code: Option<u8>,
}

const CLASSES: [(ErrorClass, &str); 12] = [
    (ErrorClass::Invalid, "invalid"),
    (ErrorClass::NotFound, "not_found"),
    (ErrorClass::AlreadyExists, "already_exists"),
    (ErrorClass::Conflict, "conflict"),
    (ErrorClass::PermissionDenied, "permission_denied"),
    (ErrorClass::Unauthenticated, "unauthenticated"),
    (ErrorClass::ResourceExhausted, "resource_exhausted"),
    (ErrorClass::Unavailable, "unavailable"),
    (ErrorClass::TimedOut, "timed_out"),
    (ErrorClass::Unsupported, "unsupported"),
    (ErrorClass::Corrupt, "corrupt"),
    (ErrorClass::Internal, "internal"),
];

impl Failure {
    /// A failure with a class and a text.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        let word = CLASSES.iter().find(|(c, _)| *c == class).map_or("internal", |(_, word)| word);
        Self { class: word.to_owned(), message: message.into(), exit_code: None }
    }

    /// A failure that carries `error` and what caused it.
    pub fn of(class: ErrorClass, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            message.push_str(": ");
            message.push_str(&inner.to_string());
            cause = inner.source();
        }
        Self::new(class, message)
    }

    /// What the caller may do about it.
    pub fn error_class(&self) -> ErrorClass {
        CLASSES.iter().find(|(_, word)| *word == self.class).map_or(ErrorClass::Internal, |(class, _)| *class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_survive_the_wire() {
        for (class, word) in CLASSES {
            let failure = Failure::new(class, "x");
            assert_eq!(failure.class, word);
            assert_eq!(failure.error_class(), class);
        }
    }

    #[test]
    fn calls_have_a_stable_form() {
        let stop = Request { v: 1, id: 7, call: Call::Stop { signal: 15, grace_ms: Some(10) } };
        let text = serde_json::to_string(&stop).unwrap();
        assert_eq!(text, r#"{"v":1,"id":7,"call":{"stop":{"signal":15,"grace_ms":10}}}"#);
        let wait: Request = serde_json::from_str(r#"{"v":1,"id":1,"call":"wait","later":true}"#).unwrap();
        assert!(matches!(wait.call, Call::Wait));
    }
}
