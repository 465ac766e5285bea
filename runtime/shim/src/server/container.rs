//! The container itself: the runtime's operations on it, and its init process.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use base::{Classified, ContainerId, ErrorClass};
use cgroup::Cgroup;
use oci_runtime::{ContainerStatus, CreateOptions, ExecOptions, Rootfs, Runtime, Stdio};
use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};
use sys::{ExitStatus, Signal};

use super::state_file::ShimState;
use super::stdio::TheirEnds;
use crate::protocol::{Exec, Failure, Phase, Setup};

/// A container and its init.
#[derive(Debug)]
pub(super) struct Container {
    runtime: Runtime,
    pub(super) id: ContainerId,
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
    /// Our child. Not so after an adoption.
    pub(super) is_child: bool,
    pub(super) own_pid_namespace: bool,
}

/// What creating gave besides the container.
#[derive(Debug)]
pub(super) struct CreatedParts {
    pub(super) start_time: u64,
    pub(super) console: Option<OwnedFd>,
    pub(super) warnings: Vec<String>,
}

/// What is known about the bundle before anything is made.
#[derive(Debug)]
pub(super) struct Bundle {
    spec: Spec,
    pub(super) terminal: bool,
}

impl Bundle {
    pub(super) fn read(setup: &Setup) -> Result<Self, Failure> {
        let path = setup.bundle.join("config.json");
        let bytes =
            fs::read(&path).map_err(|e| Failure::new(e.class(), format!("read {}: {e}", path.display())))?;
        let spec: Spec = serde_json::from_slice(&bytes).map_err(|e| {
            Failure::new(ErrorClass::Invalid, format!("{} is not an OCI configuration: {e}", path.display()))
        })?;
        let terminal = spec.process().as_ref().and_then(Process::terminal).unwrap_or(false);
        Ok(Self { spec, terminal })
    }

    fn has_own_pid_namespace(&self) -> bool {
        let linux = self.spec.linux().as_ref();
        let namespaces = linux.and_then(|linux| linux.namespaces().as_ref());
        namespaces
            .into_iter()
            .flatten()
            .any(|namespace| namespace.typ() == LinuxNamespaceType::Pid && namespace.path().is_none())
    }
}

fn runtime_of(setup: &Setup) -> Runtime {
    Runtime::new(setup.runtime_root.clone()).with_systemd_cgroup(setup.systemd_cgroup)
}

impl Container {
    /// Makes the container; its init waits at the start gate.
    pub(super) fn create(
        setup: &Setup,
        bundle: &Bundle,
        rootfs: Option<OwnedFd>,
        stdio: Option<TheirEnds>,
    ) -> Result<(Self, CreatedParts), Failure> {
        let runtime = runtime_of(setup);
        let options = CreateOptions {
            bundle: setup.bundle.clone(),
            rootfs: rootfs.map_or(Rootfs::Path, Rootfs::Mount),
            stdio: stdio.map_or(Stdio::Inherit, TheirEnds::into_stdio),
            no_pivot: setup.no_pivot,
            ..CreateOptions::default()
        };
        let created = runtime.create(&setup.id, &bundle.spec, options).map_err(|e| failed(&e))?;
        let container = Self {
            runtime,
            id: setup.id.clone(),
            pid: created.pid,
            pidfd: created.pidfd,
            is_child: true,
            own_pid_namespace: bundle.has_own_pid_namespace(),
        };
        let parts = CreatedParts {
            start_time: created.start_time,
            console: created.console,
            warnings: created.warnings,
        };
        Ok((container, parts))
    }

    /// Finds the container of a shim that is gone; `None` when init is gone too.
    pub(super) fn find(state: &ShimState) -> Option<Self> {
        let pidfd = sys::pidfd::open(state.pid).ok()?;
        // After opening: from here on the pid in the descriptor cannot become another's.
        let stat = sys::process::ProcStat::read(state.pid).ok()?;
        if stat.start_time != state.start_time {
            return None;
        }
        Some(Self {
            runtime: runtime_of(&state.setup),
            id: state.setup.id.clone(),
            pid: state.pid,
            pidfd,
            is_child: false,
            own_pid_namespace: state.own_pid_namespace,
        })
    }

    /// Removes what the runtime keeps of a container whose init is gone.
    pub(super) fn delete_remains(setup: &Setup) -> Result<(), Failure> {
        runtime_of(setup).delete(&setup.id, true).map(drop).map_err(|e| failed(&e))
    }

    /// The cgroup that the runtime made, if it did.
    pub(super) fn cgroup_of(setup: &Setup) -> Option<Cgroup> {
        runtime_of(setup).state(&setup.id).ok()?.0.cgroup
    }

    /// How far the runtime says it is.
    pub(super) fn phase(&self) -> Option<Phase> {
        match self.runtime.state(&self.id).ok()?.1 {
            ContainerStatus::Creating | ContainerStatus::Created => Some(Phase::Created),
            ContainerStatus::Running => Some(Phase::Running),
            ContainerStatus::Paused => Some(Phase::Paused),
            ContainerStatus::Stopped => None,
        }
    }

    pub(super) fn start(&self) -> Result<(), Failure> {
        self.runtime.start(&self.id).map_err(|e| failed(&e))
    }

    /// Sends a signal to init, or to every process.
    pub(super) fn kill(&self, signal: Signal, all: bool) -> Result<(), Failure> {
        if all {
            return self.runtime.kill(&self.id, signal, true).map_err(|e| failed(&e));
        }
        match sys::pidfd::send_signal(&self.pidfd, signal) {
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                Err(Failure::new(ErrorClass::Conflict, format!("container {} has ended", self.id)))
            }
            other => other
                .map_err(|e| Failure::new(e.class(), format!("send {signal} to container {}: {e}", self.id))),
        }
    }

    /// Kills init, and where that does not end the others, them too.
    pub(super) fn kill_hard(&self) -> Result<(), Failure> {
        let killed = self.kill(Signal::KILL, false);
        if !self.own_pid_namespace {
            return self.kill(Signal::KILL, true);
        }
        killed
    }

    /// Ends what may outlive an init that shared its PID namespace.
    pub(super) fn kill_left_over(&self) {
        if !self.own_pid_namespace {
            let _ = self.runtime.kill(&self.id, Signal::KILL, true);
        }
    }

    pub(super) fn pause(&self) -> Result<(), Failure> {
        self.runtime.pause(&self.id).map_err(|e| failed(&e))
    }

    pub(super) fn resume(&self) -> Result<(), Failure> {
        self.runtime.resume(&self.id).map_err(|e| failed(&e))
    }

    /// Gives what went wrong after it was removed.
    pub(super) fn delete(&self) -> Result<Vec<String>, Failure> {
        // The end is known already: it may have been started again, with another init.
        if self.runtime.state(&self.id).is_ok_and(|(record, _)| record.pid != self.pid) {
            return Ok(Vec::new());
        }
        self.runtime.delete(&self.id, true).map_err(|e| failed(&e))
    }

    /// Runs one more process.
    pub(super) fn exec(&self, exec: Exec, stdio: Option<TheirEnds>) -> Result<oci_runtime::Created, Failure> {
        let Exec { process, .. } = exec;
        // Read as the bundle's is, by the same code.
        let process = serde_json::to_vec(&process).and_then(|text| serde_json::from_slice(&text));
        let process: Process = process.map_err(|e| {
            Failure::new(ErrorClass::Invalid, format!("the process to execute is not an OCI process: {e}"))
        })?;
        let options = ExecOptions {
            process,
            stdio: stdio.map_or(Stdio::Inherit, TheirEnds::into_stdio),
            console_size: None,
            preserve_fds: 0,
            cgroups: Vec::new(),
            relayed: false,
            ignore_paused: false,
        };
        self.runtime.exec(&self.id, &options).map_err(|e| failed(&e))
    }

    /// How init ended, if it has; it stays a zombie where we are its parent. `Err`: it has
    /// ended, but how cannot be learned (yet).
    pub(super) fn ended(&self) -> io::Result<Option<ExitStatus>> {
        if self.is_child {
            return sys::process::peek_pidfd(&self.pidfd);
        }
        if !sys::pidfd::has_ended(&self.pidfd)? {
            return Ok(None);
        }
        // A zombie tells it in /proc, one that its parent has reaped in PIDFD_GET_INFO
        // (Linux 6.15). It may be reaped between two looks, so look again.
        for _ in 0..2 {
            if let Ok(status) = zombie_status(self.pid) {
                return Ok(Some(status));
            }
            if let Some(status) = sys::pidfd::info(&self.pidfd)?.exit {
                return Ok(Some(status));
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Field 52 of `/proc/PID/stat` of a zombie: the word that `wait(2)` would give.
fn zombie_status(pid: i32) -> io::Result<ExitStatus> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_zombie(&text).ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn parse_zombie(stat: &str) -> Option<ExitStatus> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split_ascii_whitespace();
    if fields.next()? != "Z" {
        return None;
    }
    // "Z" was field 3; the exit code is field 52.
    let raw = fields.nth(52 - 4)?.parse().ok()?;
    Some(ExitStatus::from_wait_status(raw))
}

impl TheirEnds {
    fn into_stdio(self) -> Stdio {
        Stdio::Fds { stdin: self.stdin, stdout: self.stdout, stderr: self.stderr }
    }
}

/// A runtime error as the client gets it, with docker's exit status.
fn failed(error: &oci_runtime::Error) -> Failure {
    let mut failure = Failure::of(error.class(), error);
    failure.exit_code = Some(match error.first() {
        oci_runtime::Error::Init { reason, .. } => exit_code(reason),
        _ => 125,
    });
    failure
}

/// 127 when the command is not there, 126 when it cannot be executed, 125 for all else. The
/// runtime words these failures so that callers of any OCI runtime can tell them apart.
fn exit_code(reason: &str) -> u8 {
    const MISSING: [&str; 2] = ["executable file not found", "no such file or directory"];
    if !reason.starts_with("exec") {
        125
    } else if MISSING.iter().any(|text| reason.contains(text)) {
        127
    } else {
        126
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_dockers() {
        for (reason, code) in [
            ("exec: \"x\": executable file not found in $PATH", 127),
            ("exec: \"/x\": stat /x: no such file or directory", 127),
            ("exec: \"x\": permission denied", 126),
            ("exec /x: exec format error", 126),
            ("mount proc on /proc: no such file or directory", 125),
        ] {
            assert_eq!(exit_code(reason), code, "{reason}");
        }
    }

    #[test]
    fn reads_the_status_of_a_zombie() {
        let middle = "0 ".repeat(48);
        let zombie = format!("7 (a) Z b) Z {middle}768");
        assert_eq!(parse_zombie(&zombie).and_then(ExitStatus::code), Some(3));
        let alive = format!("7 (cat) S {middle}768");
        assert_eq!(parse_zombie(&alive), None);
        assert_eq!(parse_zombie(""), None);
    }
}
