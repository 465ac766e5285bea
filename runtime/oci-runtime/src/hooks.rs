//! Hooks: programs run at points of the lifecycle with the state on their standard
//! input (OCI runtime-spec `config.md`, "POSIX-platform Hooks").

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use oci_spec::runtime::Hook;
use rustix::event::{PollFd, PollFlags, poll};

/// Why a hook failed.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It could not be run.
    #[error("error running {kind} hook #{at}: run {path}")]
    Run {
        /// Which kind, as `createRuntime`.
        kind: &'static str,
        /// Its place in the list, from 0.
        at: usize,
        /// The program.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ended with an error.
    #[error("error running {kind} hook #{at}: {path} failed with {status}: {output}")]
    Failed {
        /// Which kind.
        kind: &'static str,
        /// Its place in the list, from 0.
        at: usize,
        /// The program.
        path: String,
        /// Its status.
        status: String,
        /// What it printed, the end of it.
        output: String,
    },
    /// It took too long.
    #[error("error running {kind} hook #{at}: {path} did not end within {seconds} s and was killed")]
    TimedOut {
        /// Which kind.
        kind: &'static str,
        /// Its place in the list, from 0.
        at: usize,
        /// The program.
        path: String,
        /// Its timeout.
        seconds: u64,
    },
}

impl HookError {
    /// With its cause.
    pub(crate) fn in_full(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}

/// Runs hooks of the host's side one after the other; the first failure ends it.
pub(crate) fn run_all(kind: &'static str, hooks: &[Hook], state: &[u8]) -> Result<(), HookError> {
    close_for(hooks);
    run_all_with(kind, hooks, state, &[])
}

/// Runs all hooks of `kind`, also after one that failed. Gives why those failed.
pub(crate) fn run_each(kind: &'static str, hooks: &[Hook], state: &[u8]) -> Vec<HookError> {
    close_for(hooks);
    hooks.iter().enumerate().filter_map(|(at, hook)| run((kind, at), hook, state, &[]).err()).collect()
}

/// Hooks get none of the descriptors that our caller has left open.
fn close_for(hooks: &[Hook]) {
    if !hooks.is_empty() {
        // Linux 5.11; what is open otherwise is the caller's own doing.
        let _ = sys::fd::cloexec_from(3);
    }
}

/// As [`run_all`], in init, where only descriptors are left that are passed on; a hook without an
/// environment of its own gets `env`.
pub(crate) fn run_all_with(
    kind: &'static str,
    hooks: &[Hook],
    state: &[u8],
    env: &[String],
) -> Result<(), HookError> {
    hooks.iter().enumerate().try_for_each(|(at, hook)| run((kind, at), hook, state, env))
}

fn run(
    (kind, at): (&'static str, usize),
    hook: &Hook,
    state: &[u8],
    env: &[String],
) -> Result<(), HookError> {
    let path = hook.path().display().to_string();
    let run_error = |source| HookError::Run { kind, at, path: path.clone(), source };
    let mut command = Command::new(hook.path());
    let args = hook.args().as_deref().unwrap_or_default();
    if let Some((first, rest)) = args.split_first() {
        command.arg0(first).args(rest);
    }
    command.env_clear();
    for variable in hook.env().as_deref().filter(|own| !own.is_empty()).unwrap_or(env) {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        command.env(name, value);
    }
    let (output, theirs) = io::pipe().map_err(run_error)?;
    command.stdin(Stdio::piped()).stdout(theirs.try_clone().map_err(run_error)?).stderr(theirs);
    let mut child = command.spawn().map_err(run_error)?;
    drop(command);
    if let Some(mut stdin) = child.stdin.take() {
        // A hook need not read its input: a closed pipe is no error.
        let _ = stdin.write_all(state);
    }
    let deadline = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    let pidfd = sys::pidfd::open(child.id() as i32).map_err(run_error)?;
    let mut text = Vec::new();
    let ended = collect(&pidfd, output, deadline, &mut text).map_err(run_error)?;
    if !ended {
        let _ = child.kill();
        let _ = child.wait();
        let seconds = deadline.unwrap_or_default().as_secs();
        return Err(HookError::TimedOut { kind, at, path, seconds });
    }
    let status = child.wait().map_err(run_error)?;
    if status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&text).trim().to_owned();
    Err(HookError::Failed { kind, at, path, status: text_of(status), output })
}

/// The status in words; signals that need explaining by their meaning, too.
fn text_of(status: std::process::ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    let meaning = match status.signal() {
        Some(6) => "aborted",
        Some(9) => "killed",
        Some(11) => "segmentation fault",
        Some(15) => "terminated",
        Some(31) => "bad system call",
        _ => return status.to_string(),
    };
    format!("{status}, {meaning}")
}

/// Reads what the hook prints until it has ended; false: the deadline passed first.
fn collect(
    pidfd: &std::os::fd::OwnedFd,
    mut output: io::PipeReader,
    timeout: Option<Duration>,
    text: &mut Vec<u8>,
) -> io::Result<bool> {
    let until = timeout.map(|timeout| Instant::now() + timeout);
    let mut open = true;
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.map(|left| rustix::time::Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        });
        let (process, pipe) = (pidfd.as_fd(), output.as_fd());
        let mut set = [PollFd::new(&process, PollFlags::IN), PollFd::new(&pipe, PollFlags::IN)];
        let set = if open { &mut set[..] } else { &mut set[..1] };
        match poll(set, left.as_ref()) {
            Ok(0) => return Ok(false),
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
            Ok(_) => {}
        }
        let ended = !set[0].revents().is_empty();
        if set.get(1).is_some_and(|pipe| !pipe.revents().is_empty()) {
            let mut buffer = [0u8; 4096];
            match output.read(&mut buffer)? {
                0 => open = false,
                count => text.extend_from_slice(&buffer[..count]),
            }
            if text.len() > OUTPUT_MAX {
                text.drain(..text.len() - OUTPUT_MAX);
            }
        } else if ended {
            return Ok(true);
        }
    }
}

// Enough for a message; a hook that prints for ever costs no memory.
const OUTPUT_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(json: &str) -> Hook {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn gets_the_state_and_only_its_own_environment() {
        let ok = hook(
            r#"{"path":"/bin/sh","args":["sh","-c","read x && test \"$x\" = '{}' && test \"$A\" = b && test -z \"$HOME\""],"env":["A=b"]}"#,
        );
        run_all("poststart", &[ok], b"{}\n").unwrap();
    }

    #[test]
    fn says_how_it_failed() {
        let bad = hook(r#"{"path":"/bin/sh","args":["sh","-c","echo no such luck >&2; exit 3"]}"#);
        let error = run_all("prestart", &[bad], b"").unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("no such luck"), "{error}");
        let killed = hook(r#"{"path":"/bin/sh","args":["sh","-c","kill -SYS $$"]}"#);
        let error = run_all("prestart", &[killed], b"").unwrap_err().to_string();
        assert!(error.contains("bad system call"), "{error}");
        let missing = hook(r#"{"path":"/nonexistent"}"#);
        assert!(matches!(run_all("prestart", &[missing], b""), Err(HookError::Run { .. })));
    }

    #[test]
    fn is_killed_after_its_timeout() {
        let slow = hook(r#"{"path":"/bin/sleep","args":["sleep","60"],"timeout":1}"#);
        assert!(matches!(run_all("prestart", &[slow], b""), Err(HookError::TimedOut { seconds: 1, .. })));
    }
}
