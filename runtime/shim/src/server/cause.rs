//! Why a container ended, decided from what was seen. Pure.

use sys::{ExitStatus, Signal};

use crate::{ExitCause, OomKill, Requester, Timestamp, Victim};

/// A stop that was asked for.
#[derive(Clone, Debug)]
pub(super) struct StopRequest {
    pub(super) signal: i32,
    pub(super) grace_ms: Option<u64>,
    pub(super) by: Option<Requester>,
    /// The grace time is over and SIGKILL was sent.
    pub(super) ran_out: bool,
    /// Nobody asked: so many health checks had failed in a row.
    pub(super) failures: Option<u32>,
    /// When.
    pub(super) asked_at: Timestamp,
}

/// A signal that a client had sent.
#[derive(Clone, Debug)]
pub(super) struct KillRequest {
    pub(super) signal: i32,
    pub(super) by: Option<Requester>,
}

/// What the cgroup tells about memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// Processes of the container that the OOM killer took.
    pub(super) oom_kills: u64,
    pub(super) limit: Option<u64>,
    pub(super) peak: Option<u64>,
    /// Those whom the kernel log names, oldest first.
    pub(super) victims: Vec<Victim>,
    /// All that is known of the last kills.
    pub(super) kills: Vec<OomKill>,
}

/// All that was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    pub(super) pid: i32,
    /// Init's command, for a victim that the kernel log does not name.
    pub(super) command: String,
    /// Init's inclination to be chosen by the OOM killer.
    pub(super) oom_score_adj: Option<i32>,
    /// None: could not be learned, for this reason.
    pub(super) status: Option<ExitStatus>,
    pub(super) why_unknown: String,
    /// Why the command was never executed.
    pub(super) not_executed: Option<String>,
    pub(super) stop: Option<StopRequest>,
    pub(super) kill: Option<KillRequest>,
    pub(super) memory: Memory,
}

/// The cause.
pub(super) fn cause(observed: &Observed) -> ExitCause {
    let Some(status) = observed.status else {
        return ExitCause::Unknown { why: observed.why_unknown.clone() };
    };
    if let Some(why) = &observed.not_executed {
        return ExitCause::NotExecuted { why: why.clone() };
    }
    let signal = status.signal().map(Signal::number);
    let sigkill = Signal::KILL.number();
    let killed_by_us = observed.stop.as_ref().is_some_and(|stop| stop.ran_out)
        || observed.kill.as_ref().is_some_and(|kill| kill.signal == sigkill);
    if !killed_by_us
        && status.shell_code() == 128 + sigkill
        && let Some(cause) = oom(observed, signal == Some(sigkill))
    {
        return cause;
    }
    if let Some(StopRequest { signal, failures: Some(failures), .. }) = observed.stop {
        return ExitCause::Unhealthy { signal, failures };
    }
    if let Some(stop) = &observed.stop {
        return match (stop.ran_out && signal == Some(sigkill), stop.grace_ms) {
            (true, Some(grace_ms)) => {
                ExitCause::GraceRanOut { signal: stop.signal, grace_ms, by: stop.by.clone() }
            }
            _ => ExitCause::Stop { signal: stop.signal, by: stop.by.clone() },
        };
    }
    if let Some(kill) = &observed.kill
        && status.shell_code() == 128 + kill.signal
    {
        return ExitCause::Killed { signal: kill.signal, by: kill.by.clone() };
    }
    match signal {
        Some(signal) if !FAULTS.contains(&signal) => ExitCause::Outside { signal },
        _ => ExitCause::Itself,
    }
}

/// Init was killed, or ended with 137 as a shell does whose child was killed: for lack of
/// memory? The kernel log, where it can be read, has the victims; its process ids are those
/// of the host's first PID namespace, which need not be ours.
fn oom(observed: &Observed, init_was_killed: bool) -> Option<ExitCause> {
    let memory = &observed.memory;
    let is_init = |victim: &&Victim| victim.pid == observed.pid || victim.command == observed.command;
    let victim = match (init_was_killed, memory.victims.last()) {
        _ if memory.oom_kills == 0 => return None,
        (true, None) => Some(init_as_victim(observed, &observed.command)),
        (true, Some(_)) => {
            let init = memory.victims.iter().find(is_init)?;
            Some(init_as_victim(observed, &init.command))
        }
        (false, last) => last.cloned(),
    };
    Some(ExitCause::OomKilled { victim, limit: memory.limit, peak: memory.peak })
}

fn init_as_victim(observed: &Observed, command: &str) -> Victim {
    Victim { pid: observed.pid, command: command.to_owned(), oom_score_adj: observed.oom_score_adj }
}

/// Signals that a process brings on itself: ILL, TRAP, ABRT, BUS, FPE, SEGV, PIPE, ALRM,
/// XCPU, XFSZ, SYS.
const FAULTS: [i32; 11] = [4, 5, 6, 7, 8, 11, 13, 14, 24, 25, 31];

#[cfg(test)]
mod tests {
    use super::*;

    fn code(code: i32) -> Option<ExitStatus> {
        Some(ExitStatus::from_wait_status(code << 8))
    }

    fn signal(signal: i32) -> Option<ExitStatus> {
        Some(ExitStatus::from_wait_status(signal))
    }

    fn stop(ran_out: bool) -> Option<StopRequest> {
        let asked_at = Timestamp::from_unix(0, 0);
        Some(StopRequest { signal: 15, grace_ms: Some(10), by: None, ran_out, failures: None, asked_at })
    }

    fn kill(signal: i32) -> Option<KillRequest> {
        Some(KillRequest { signal, by: None })
    }

    fn oomed(pids: &[i32]) -> Memory {
        let victims = pids
            .iter()
            .map(|pid| Victim { pid: *pid, command: format!("v{pid}"), oom_score_adj: None })
            .collect();
        Memory { oom_kills: 1, limit: Some(16), peak: Some(15), victims, kills: Vec::new() }
    }

    #[track_caller]
    fn check(observed: Observed, expected: &str) {
        let observed = Observed { pid: 7, command: "init".into(), ..observed };
        let text = match cause(&observed) {
            ExitCause::Itself => "itself".into(),
            ExitCause::NotExecuted { why } => format!("not executed: {why}"),
            ExitCause::Stop { signal, .. } => format!("stop {signal}"),
            ExitCause::GraceRanOut { signal, grace_ms, .. } => format!("grace {signal} {grace_ms}"),
            ExitCause::Unhealthy { signal, failures } => format!("unhealthy {signal} {failures}"),
            ExitCause::Killed { signal, .. } => format!("killed {signal}"),
            ExitCause::OomKilled { victim, .. } => {
                format!("oom {}", victim.map_or("?".into(), |v| format!("{} {}", v.pid, v.command)))
            }
            ExitCause::Outside { signal } => format!("outside {signal}"),
            ExitCause::Unknown { why } => format!("unknown: {why}"),
        };
        assert_eq!(text, expected);
    }

    #[test]
    fn by_itself() {
        check(Observed { status: code(0), ..Observed::default() }, "itself");
        check(Observed { status: signal(11), ..Observed::default() }, "itself");
        check(Observed { status: code(3), kill: kill(1), ..Observed::default() }, "itself");
        check(Observed { status: code(1), memory: oomed(&[9]), ..Observed::default() }, "itself");
    }

    #[test]
    fn by_a_stop() {
        check(Observed { status: code(0), stop: stop(false), ..Observed::default() }, "stop 15");
        check(Observed { status: signal(15), stop: stop(false), ..Observed::default() }, "stop 15");
        check(Observed { status: signal(9), stop: stop(true), ..Observed::default() }, "grace 15 10");
        check(Observed { status: code(0), stop: stop(true), ..Observed::default() }, "stop 15");
    }

    #[test]
    fn by_its_health() {
        for ran_out in [false, true] {
            let stop = stop(ran_out).map(|stop| StopRequest { failures: Some(3), ..stop });
            check(Observed { status: signal(9), stop, ..Observed::default() }, "unhealthy 15 3");
        }
    }

    #[test]
    fn by_a_signal() {
        check(Observed { status: signal(9), kill: kill(9), ..Observed::default() }, "killed 9");
        check(Observed { status: code(143), kill: kill(15), ..Observed::default() }, "killed 15");
        check(Observed { status: signal(9), ..Observed::default() }, "outside 9");
        check(Observed { status: signal(2), kill: kill(15), ..Observed::default() }, "outside 2");
    }

    #[test]
    fn by_the_oom_killer() {
        check(Observed { status: signal(9), memory: oomed(&[]), ..Observed::default() }, "oom 7 init");
        check(Observed { status: signal(9), memory: oomed(&[9, 7]), ..Observed::default() }, "oom 7 v7");
        check(Observed { status: code(137), memory: oomed(&[9]), ..Observed::default() }, "oom 9 v9");
        check(Observed { status: code(137), memory: oomed(&[]), ..Observed::default() }, "oom ?");
        check(Observed { status: signal(9), memory: oomed(&[9]), ..Observed::default() }, "outside 9");
        let ours = Observed { status: signal(9), memory: oomed(&[]), kill: kill(9), ..Observed::default() };
        check(ours, "killed 9");
    }

    #[test]
    fn unknown_or_never_begun() {
        check(Observed { why_unknown: "gone".into(), ..Observed::default() }, "unknown: gone");
        let missing = Some("no such file".to_owned());
        check(
            Observed { status: code(127), not_executed: missing, ..Observed::default() },
            "not executed: no such file",
        );
    }
}
