//! The health check: a process in the container every so often, its result in `health.json`.
//!
//! One timer: between two checks it waits for the next, during one for its time to be over.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use base::{Classified, ErrorClass};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use sys::{ExitStatus, Signal};

use super::container::Container;
use super::poller::{Poller, Source};
use super::stdio::{TheirEnds, set_nonblocking};
use super::supervisor::Supervisor;
use super::timer;
use crate::Timestamp;
use crate::health::{Health, HealthCheck, HealthResult, HealthStatus, Output, PROBE_FILE, timed_out};
use crate::protocol::{Exec, Failure, Phase, Setup, StreamSet};
use crate::restart::RestartPolicy;

/// What a container's health is watched with.
#[derive(Debug)]
pub(super) struct Monitor {
    check: HealthCheck,
    pub(super) health: Health,
    timer: Option<OwnedFd>,
    probe: Option<Probe>,
}

/// A check that runs.
#[derive(Debug)]
struct Probe {
    pid: i32,
    pidfd: OwnedFd,
    /// What it writes; none once that is at its end.
    reader: Option<OwnedFd>,
    output: Output,
    start: Timestamp,
    timed_out: bool,
    /// Nobody wants its result any more.
    moot: bool,
}

impl Monitor {
    /// One for a container whose health is to be checked. An adopted one goes on where it was.
    pub(super) fn of(setup: &Setup, adopted: bool) -> Option<Self> {
        let check = setup.health?;
        let mut health = Health::read(&setup.record_dir).unwrap_or_default();
        if !adopted {
            health.status = HealthStatus::Starting;
            health.failing_streak = 0;
        }
        Some(Self { check, health, timer: None, probe: None })
    }

    /// Reads what the check has written so far.
    fn read_output(&mut self, poller: &Poller) {
        let Some(probe) = &mut self.probe else { return };
        let mut bytes = [0; 4096];
        while let Some(reader) = &probe.reader {
            match rustix::io::read(reader, &mut bytes) {
                Ok(count) if count > 0 => probe.output.push(&bytes[..count]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                _ => {
                    poller.remove(reader);
                    probe.reader = None;
                }
            }
        }
    }

    /// Takes note of the end of a process, if it was the check.
    fn ended(&mut self, status: ExitStatus, poller: &Poller) -> Option<HealthResult> {
        self.read_output(poller);
        let probe = self.probe.take()?;
        if let Some(reader) = &probe.reader {
            poller.remove(reader);
        }
        let (exit_code, output) = match probe.timed_out {
            true => (-1, timed_out(self.check.timeout_ms, &probe.output)),
            false => (status.shell_code(), probe.output.text()),
        };
        let result = HealthResult { start: probe.start, end: Timestamp::now(), exit_code, output };
        (!probe.moot).then_some(result)
    }

    /// Ends the check that runs; its result is not wanted.
    fn give_up_probe(&mut self) {
        if let Some(probe) = &mut self.probe {
            probe.moot = true;
            let _ = sys::pidfd::send_signal(&probe.pidfd, Signal::KILL);
        }
    }
}

impl Supervisor {
    /// Begins to check the health of a container that runs now.
    pub(super) fn begin_monitor(&mut self) {
        let Some(monitor) = &self.monitor else { return };
        if let Err(error) = monitor.health.write(&self.state.setup.record_dir) {
            self.note(&format!("record the health of container {}: {error}", self.container.id));
        }
        self.await_next_probe();
    }

    fn await_next_probe(&mut self) {
        let Some(monitor) = &mut self.monitor else { return };
        if self.phase != Phase::Running {
            return;
        }
        let now = Timestamp::now();
        let ran = now.since(self.state.started_at.unwrap_or(now));
        let wait = monitor.health.next_in(&monitor.check, ran);
        match timer::after(wait, Source::Probe, &self.poller) {
            Ok(timer) => monitor.timer = Some(timer),
            Err(error) => self.note(&format!("set the timer of the health check, which ends: {error}")),
        }
    }

    /// Time for a check, or the time of one is over.
    pub(super) fn on_probe_timer(&mut self) {
        let Some(monitor) = &mut self.monitor else { return };
        monitor.timer = None;
        match &mut monitor.probe {
            Some(probe) if probe.moot => self.await_next_probe(),
            Some(probe) => {
                probe.timed_out = true;
                // Its end is noted when it is seen: no second one is begun before.
                let _ = sys::pidfd::send_signal(&probe.pidfd, Signal::KILL);
            }
            None => self.begin_probe(),
        }
    }

    fn begin_probe(&mut self) {
        let start = Timestamp::now();
        let Some(monitor) = &mut self.monitor else { return };
        let begun = run(&self.container, &self.state.setup, start, &self.poller).and_then(|probe| {
            monitor.probe = Some(probe);
            let timeout = std::time::Duration::from_millis(monitor.check.timeout_ms);
            timer::after(timeout, Source::Probe, &self.poller).map_err(|e| failure("set its timer", &e))
        });
        match begun {
            Ok(timer) => monitor.timer = Some(timer),
            Err(failure) => {
                monitor.give_up_probe();
                let end = Timestamp::now();
                self.note_health(HealthResult { start, end, exit_code: -1, output: failure.message });
            }
        }
    }

    /// The check wrote something.
    pub(super) fn on_probe_output(&mut self) {
        if let Some(monitor) = &mut self.monitor {
            monitor.read_output(&self.poller);
        }
    }

    /// Looks whether the check has ended.
    pub(super) fn reap_probe(&mut self) {
        let probe = self.monitor.as_ref().and_then(|monitor| monitor.probe.as_ref());
        if let Some(probe) = probe
            && let Ok(Some(status)) = sys::process::try_wait_pidfd(&probe.pidfd)
        {
            self.on_probe_end(status);
        }
    }

    /// Whether this process is the check.
    pub(super) fn is_probe(&self, pid: i32) -> bool {
        let probe = self.monitor.as_ref().and_then(|monitor| monitor.probe.as_ref());
        probe.is_some_and(|probe| probe.pid == pid)
    }

    pub(super) fn on_probe_end(&mut self, status: ExitStatus) {
        let Some(monitor) = &mut self.monitor else { return };
        if let Some(result) = monitor.ended(status, &self.poller) {
            monitor.timer = None;
            self.note_health(result);
        }
    }

    fn note_health(&mut self, result: HealthResult) {
        let started = self.state.started_at.unwrap_or(result.start);
        let Some(monitor) = &mut self.monitor else { return };
        let before = monitor.health.status;
        let became_unhealthy = monitor.health.note(result, &monitor.check, started);
        let (after, failures) = (monitor.health.status, monitor.health.failing_streak);
        if let Err(error) = monitor.health.write(&self.state.setup.record_dir) {
            self.note(&format!("record the health of container {}: {error}", self.container.id));
        }
        if after != before {
            self.tell(&format!("health_status: {}", after.word()), &[]);
        }
        if became_unhealthy {
            self.on_unhealthy(failures);
        }
        self.await_next_probe();
    }

    /// Under `on-unhealthy` the container is stopped; its end is followed by a restart.
    fn on_unhealthy(&mut self, failures: u32) {
        let Some(restarts) = self.state.setup.restarts else { return };
        if restarts.policy != RestartPolicy::OnUnhealthy || self.stop.is_some() {
            return;
        }
        let signal = restarts.stop_signal.unwrap_or(Signal::TERM.number());
        if let Err(failure) = self.stop_for(signal, restarts.grace_ms, None, Some(failures)) {
            self.note(&format!("stop container {}, which is unhealthy: {failure}", self.container.id));
        }
    }

    /// The container was frozen: as docker has it, who is not checked is not healthy.
    pub(super) fn pause_monitor(&mut self) {
        let Some(monitor) = &mut self.monitor else { return };
        monitor.timer = None;
        monitor.give_up_probe();
        monitor.health.status = HealthStatus::Unhealthy;
        let _ = monitor.health.write(&self.state.setup.record_dir);
    }

    /// It goes on.
    pub(super) fn resume_monitor(&mut self) {
        self.await_next_probe();
    }
}

fn failure(what: &str, error: &io::Error) -> Failure {
    Failure::new(error.class(), format!("health check: {what}: {error}"))
}

/// Runs the check.
fn run(container: &Container, setup: &Setup, start: Timestamp, poller: &Poller) -> Result<Probe, Failure> {
    let path = setup.state_dir.join(PROBE_FILE);
    let bytes = fs::read(&path).map_err(|e| failure(&format!("read {}", path.display()), &e))?;
    let process = serde_json::from_slice(&bytes).map_err(|e| {
        Failure::new(ErrorClass::Corrupt, format!("health check: {} is damaged: {e}", path.display()))
    })?;
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|e| failure("make a pipe", &e.into()))?;
    let theirs = || -> io::Result<TheirEnds> {
        set_nonblocking(&reader)?;
        let null = fs::File::open("/dev/null")?;
        Ok(TheirEnds { stdin: null.into(), stdout: writer.try_clone()?, stderr: writer })
    };
    let theirs = theirs().map_err(|e| failure("prepare its streams", &e))?;
    let exec = Exec { process, streams: StreamSet::default(), detached: false, exec_id: None };
    let created = container.exec(exec, Some(theirs))?;
    let _ = poller.add(&reader, Source::ProbeOutput, EventFlags::IN);
    Ok(Probe {
        pid: created.pid,
        pidfd: created.pidfd,
        reader: Some(reader),
        output: Output::default(),
        start,
        timed_out: false,
        moot: false,
    })
}
