//! `why dead`: how a container ended, sent by whom, and what is not known.

use inspect::kmsg::OomKill;
use inspect::signals;
use shim::{Exit, ExitCause, OomKill as Taken, Requester, RestartPolicy, Victim};

use crate::report::{Report, Section, Subject};
use crate::view::Seen;
use crate::words;

/// What is known of a container's end.
#[derive(Debug)]
pub struct Ended<'a> {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The engine's record of it.
    pub record: String,
    /// The shim's record of its end.
    pub exit_record: String,
    /// Its init, if that lives.
    pub alive: Option<i32>,
    /// Was it ever started?
    pub started: bool,
    /// Why the last start failed, as the engine recorded it.
    pub start_error: Option<String>,
    /// What the shim recorded of its last end.
    pub exit: Option<&'a Exit>,
    /// What it wrote last before that.
    pub last_lines: Vec<String>,
    /// The ends before that one, the newest first, each with the last lines.
    pub earlier: Vec<(&'a Exit, Vec<String>)>,
    /// When it is started again.
    pub policy: RestartPolicy,
    /// It has ended, and is started again by its policy.
    pub restarting: bool,
    /// Its group in the cgroup trees.
    pub cgroup: Option<String>,
    /// What the kernel's log still holds.
    pub oom_kills: Seen<Vec<OomKill>>,
}

/// Says why a container is dead, or that it is not.
pub fn why_dead(ended: &Ended<'_>) -> Report {
    let mut section = Section::new("why_dead", "Why it ended");
    let headline = match (ended.alive, ended.exit) {
        (Some(pid), _) => alive(&mut section, pid),
        (None, Some(exit)) => {
            let headline = dead(&mut section, ended, exit);
            if ended.restarting { format!("{headline}; it is started again") } else { headline }
        }
        (None, None) => unrecorded(&mut section, ended),
    };
    let subject = Subject {
        pid: ended.alive,
        container_id: Some(ended.id.clone()),
        container_name: Some(ended.name.clone()),
        headline,
    };
    let mut sections = vec![section];
    if let (Some(_), Some(exit)) = (ended.alive, ended.exit) {
        let mut section = Section::new("last_end", "Its end before it was started again");
        section.verdict = Some(exit.at.to_string());
        dead(&mut section, ended, exit);
        sections.push(section);
    }
    sections.extend(last_words("last_words", "Its last words", &ended.last_lines));
    for (exit, lines) in &ended.earlier {
        let mut section = Section::new("earlier_end", "An end before that");
        section.verdict = Some(exit.at.to_string());
        dead(&mut section, ended, exit);
        // The shim's record is of the last end only; the engine keeps those before.
        for line in section.lines.iter_mut().filter(|line| line.source == ended.exit_record) {
            line.source.clone_from(&ended.record);
        }
        sections.push(section);
        sections.extend(last_words("earlier_last_words", "Its last words then", lines));
    }
    Report::new(subject, sections, Vec::new())
}

/// What a run wrote last.
fn last_words(id: &'static str, title: &'static str, lines: &[String]) -> Option<Section> {
    let mut section = Section::new(id, title);
    for (at, line) in lines.iter().enumerate() {
        let meaning = if at + 1 == lines.len() { "The last that it wrote." } else { "Written before that." };
        section.line(format!("{}", at + 1), words::printable(line), "its log", meaning);
    }
    (!lines.is_empty()).then_some(section)
}

fn alive(section: &mut Section, pid: i32) -> String {
    let meaning = "Its init is there, so there is no death to explain; `strake explain` shows what it does.";
    section.title = "State";
    section.line("state", format!("running, as PID {pid}"), format!("/proc/{pid}"), meaning);
    "it is alive and running".to_owned()
}

fn unrecorded(section: &mut Section, ended: &Ended<'_>) -> String {
    if let Some(error) = &ended.start_error {
        let meaning = "It never ran: making or starting it failed.";
        section.line("start", words::printable(error), &ended.record, meaning);
        return "it could not be started".to_owned();
    }
    if !ended.started {
        let meaning = "It was made and never started; `strake start` starts it.";
        section.line("state", "never started", &ended.record, meaning);
        return "it was never started".to_owned();
    }
    let meaning = "It was started and its end was recorded by nobody: the host went down, or its shim was \
                   killed and the container ended before it was adopted.";
    section.line("end", "not recorded", &ended.exit_record, meaning);
    kernel_log(section, ended, None);
    "it ended and nobody could record how".to_owned()
}

fn dead(section: &mut Section, ended: &Ended<'_>, exit: &Exit) -> String {
    section.line("ended with", status(exit), &ended.exit_record, status_meaning(exit));
    let headline = cause(section, ended, exit);
    if let Some(stopped) = exit.stopped {
        let took = words::micros(stopped.took_ms.saturating_mul(1000));
        let value = match stopped.grace_ms {
            Some(grace) => format!("{took} of {}", words::micros(grace.saturating_mul(1000))),
            None => format!("{took}, with no limit"),
        };
        section.line("grace used", value, &ended.exit_record, "From the stop signal to its end.");
    }
    if exit.pid1_no_sigterm_handler {
        let meaning = "As PID 1 of its namespace it gets only signals that it has a handler for, so the kernel \
                       dropped the stop signal. Start it with --init, or handle the signal in the program.";
        section.line("PID 1", "had no handler for the stop signal", &ended.exit_record, meaning);
    }
    if exit.oom_killed && !matches!(exit.cause, ExitCause::OomKilled { .. }) {
        let meaning = "Another of its processes was ended for want of memory; that may be why it gave up.";
        section.line("memory", "the OOM killer took a process", &ended.exit_record, meaning);
        kernel_log(section, ended, None);
    }
    for taken in &exit.oom_kills {
        let meaning =
            "A process that the kernel ended for want of memory; its oom_score_adj and its size chose it.";
        section.line(
            "OOM kill",
            format!("{}, at {}", oom_kill(taken), taken.at),
            &ended.exit_record,
            meaning,
        );
    }
    if exit.core_dumped {
        let meaning = "The kernel wrote a core where kernel.core_pattern says; a debugger reads it.";
        section.line("core", "dumped", &ended.exit_record, meaning);
    }
    if let Some(started) = exit.started_at {
        let value = format!("{started} to {}", exit.at);
        section.line("lived", value, &ended.exit_record, "From its start to its end.");
    } else {
        section.line("at", exit.at.to_string(), &ended.exit_record, "When its end was seen.");
    }
    health(section, ended, exit);
    restarts(section, ended, exit);
    if exit.adopted {
        let meaning = "Its first shim was gone; a second one had taken over, asked the kernel through a pidfd \
                       and wrote this.";
        section.line("seen by", "an adopting shim", &ended.exit_record, meaning);
    }
    headline
}

fn health(section: &mut Section, ended: &Ended<'_>, exit: &Exit) {
    let Some(health) = &exit.health else { return };
    let record = ended.exit_record.as_str();
    let meaning = "What its health check had found when it ended.";
    let streak = match health.failing_streak {
        0 => String::new(),
        streak => format!(", {streak} checks failed in a row"),
    };
    section.line("health", format!("{}{streak}", health.status.word()), record, meaning);
    if let Some(last) = &health.last {
        let said = last.output.trim_end();
        let said = if said.is_empty() { String::new() } else { format!(": {}", words::printable(said)) };
        let value = format!("exit code {}{said}", last.exit_code);
        section.line("last check", value, record, "What the health check gave last.");
    }
}

fn restarts(section: &mut Section, ended: &Ended<'_>, exit: &Exit) {
    if ended.policy == RestartPolicy::No && exit.restarts == 0 {
        return;
    }
    let value = format!("{} before this end, policy {}", exit.restarts, ended.policy);
    let meaning = match (&exit.restart, exit.by_hand) {
        (Some(_), _) => "Its policy has it started again after this end.",
        (None, true) => "It was stopped or killed through strake, so its policy leaves it ended.",
        (None, false) => "Its policy asks for no restart after such an end.",
    };
    section.line("restarts", value, &ended.record, meaning);
    if let Some(plan) = exit.restart {
        let wait = words::micros(plan.after_ms.saturating_mul(1000));
        let value = format!("after {wait}, at {}", plan.at);
        let meaning = "100ms at first, twice that each time, a minute at most; from the beginning after 10s \
                       of running.";
        section.line("next start", value, &ended.exit_record, meaning);
    }
}

fn cause(section: &mut Section, ended: &Ended<'_>, exit: &Exit) -> String {
    let record = ended.exit_record.as_str();
    match &exit.cause {
        ExitCause::Itself => itself(section, record, exit),
        ExitCause::NotExecuted { why } => {
            let meaning = "The container was ready, and its program could not be executed in it.";
            section.line("cause", words::printable(why), record, meaning);
            "its program could not be executed".to_owned()
        }
        ExitCause::Stop { signal, by } => {
            let signal = signals::name(*signal);
            let meaning = "It was asked to stop and did so within its grace time.";
            section.line("sent by", format!("stop, with {signal}{}", asked_by(by.as_ref())), record, meaning);
            format!("it was stopped with {signal} and ended in time")
        }
        ExitCause::GraceRanOut { signal, grace_ms, by } => {
            let signal = signals::name(*signal);
            let value = format!("stop, with {signal}, then SIGKILL{}", asked_by(by.as_ref()));
            let meaning =
                "It did not end within its grace time, so it was killed; what it had not saved is lost.";
            section.line("sent by", value, record, meaning);
            let grace = words::micros(grace_ms.saturating_mul(1000));
            section.line(
                "grace time",
                &grace,
                record,
                "How long a stop waits; -t and --stop-timeout set it.",
            );
            format!("it did not end within {grace} after {signal} and was killed")
        }
        ExitCause::Unhealthy { signal, failures } => {
            let signal = signals::name(*signal);
            let meaning = "Its health check failed too often in a row, and its policy is on-unhealthy.";
            let value = format!("its shim, with {signal}, after {failures} failed health checks");
            section.line("sent by", value, record, meaning);
            format!("it was stopped because it was unhealthy ({failures} health checks failed)")
        }
        ExitCause::Killed { signal, by } => {
            let signal = signals::name(*signal);
            let meaning = "Somebody asked strake to send it this signal.";
            section.line("sent by", format!("kill, with {signal}{}", asked_by(by.as_ref())), record, meaning);
            format!("it was killed with {signal} on request")
        }
        ExitCause::OomKilled { victim, limit, peak } => {
            out_of_memory(section, ended, victim.as_ref(), *limit, *peak)
        }
        ExitCause::Outside { signal } => {
            let signal = signals::name(*signal);
            let meaning = "Not sent through strake and not by the OOM killer: another process of the host or \
                           one of its own did it; the kernel does not keep who.";
            section.line("sent by", format!("somebody else, with {signal}"), record, meaning);
            kernel_log(section, ended, None);
            format!("it was ended by {signal} from outside of strake")
        }
        ExitCause::Unknown { why } => {
            let meaning =
                "The kernel gives a process's status to its parent only, and nobody of ours was that.";
            section.line("cause", words::printable(why), record, meaning);
            kernel_log(section, ended, None);
            "it ended, and how is not known".to_owned()
        }
    }
}

fn itself(section: &mut Section, record: &str, exit: &Exit) -> String {
    match (exit.signal, exit.code) {
        (Some(signal), _) => {
            let name = signals::name(signal);
            let meaning = match signal {
                4 | 5 | 7 | 8 | 11 => {
                    "A fault in the program: the kernel raised the signal where it went wrong."
                }
                6 => "The program gave itself up with abort(), mostly after a failed check.",
                31 => "A system call that the filter answers with death.",
                _ => "The program sent itself the signal.",
            };
            section.line("sent by", format!("itself, with {name}"), record, meaning);
            format!("it ended itself with {name}")
        }
        (None, Some(0)) => {
            section.line("sent by", "nobody", record, "Its program came to its end and reported success.");
            "it finished".to_owned()
        }
        (None, Some(code)) => {
            let meaning =
                "Its program ended by its own decision and reported a failure; its log may say why.";
            section.line("sent by", "nobody", record, meaning);
            format!("it ended by itself with exit code {code}")
        }
        (None, None) => {
            section.line(
                "sent by",
                "nobody that is known",
                record,
                "Its program ended; the code was not learned.",
            );
            "it ended by itself".to_owned()
        }
    }
}

fn out_of_memory(
    section: &mut Section,
    ended: &Ended<'_>,
    victim: Option<&Victim>,
    limit: Option<u64>,
    peak: Option<u64>,
) -> String {
    let record = ended.exit_record.as_str();
    let meaning =
        "The kernel had no page left to give within the limit, so it ended a process to get some back.";
    section.line("sent by", "the kernel's OOM killer, with SIGKILL", record, meaning);
    if let Some(victim) = victim {
        let value = format!("{} (PID {} on the host)", words::printable(&victim.command), victim.pid);
        section.line("victim", value, record, "Chosen by its share of memory and its oom_score_adj.");
    }
    if let Some(limit) = limit {
        section.line(
            "memory limit",
            words::bytes(limit),
            record,
            "Set with --memory; raise it, or make the program need less.",
        );
    }
    if let Some(peak) = peak {
        section.line("memory peak", words::bytes(peak), record, "The most that the container ever held.");
    }
    kernel_log(section, ended, victim);
    match limit {
        Some(limit) => format!("the OOM killer ended it at its limit of {}", words::bytes(limit)),
        None => "the OOM killer ended it".to_owned(),
    }
}

/// Who was killed for want of memory, with its score, and at which use of which limit: of what processes had made
/// (anon) and what was cache of files (file).
pub fn oom_kill(taken: &Taken) -> String {
    let mut text = match &taken.victim {
        None => "a process that the kernel's log does not name".to_owned(),
        Some(victim) => {
            let score =
                victim.oom_score_adj.map(|adjust| format!(", oom_score_adj {adjust}")).unwrap_or_default();
            format!("{} (PID {}){score}", words::printable(&victim.command), victim.pid)
        }
    };
    if taken.whole_group {
        text.push_str(", with its whole group");
    }
    if let Some(usage) = taken.usage {
        text.push_str(&format!(", {} held", words::bytes(usage)));
    }
    if let (Some(anon), Some(file)) = (taken.anon, taken.file) {
        text.push_str(&format!(" ({} anon, {} file)", words::bytes(anon), words::bytes(file)));
    }
    if let Some(limit) = taken.limit {
        text.push_str(&format!(", limit {}", words::bytes(limit)));
    }
    text
}

/// What the kernel's log says of kills in this container.
fn kernel_log(section: &mut Section, ended: &Ended<'_>, victim: Option<&Victim>) {
    let kills = match &ended.oom_kills {
        Ok(kills) => kills,
        Err(error) => return section.unread("kernel log", error),
    };
    let ours = |kill: &&OomKill| {
        let named = |path: &Option<String>| {
            let (Some(path), Some(group)) = (path, &ended.cgroup) else { return false };
            path == group || path.strip_prefix(group.as_str()).is_some_and(|rest| rest.starts_with('/'))
        };
        // A PID alone may have been another process's.
        named(&kill.task_cgroup) || named(&kill.limited_cgroup)
    };
    let found =
        kills.value.iter().filter(ours).rfind(|kill| victim.is_none_or(|victim| victim.pid == kill.pid));
    let Some(kill) = found else { return };
    let held = match (kill.anon_bytes, kill.file_bytes) {
        (Some(anon), Some(file)) => {
            format!(", held {} anon, {} file", words::bytes(anon), words::bytes(file))
        }
        (Some(anon), None) => format!(", held {} anon", words::bytes(anon)),
        (None, _) => String::new(),
    };
    let adjust = kill.oom_score_adj.map(|adjust| format!(", oom_score_adj {adjust}")).unwrap_or_default();
    let value = format!("killed {} (PID {}){held}{adjust}", words::printable(&kill.name), kill.pid);
    let meaning = match kill.constraint.as_deref() {
        Some("CONSTRAINT_MEMCG") => "The limit of a cgroup was met, not that of the host.",
        _ => "The host itself was out of memory.",
    };
    section.line("kernel log", value, &kills.source, meaning);
}

fn status(exit: &Exit) -> String {
    match (exit.code, exit.signal) {
        (Some(code), Some(signal)) => format!("exit code {code} ({})", signals::name(signal)),
        (Some(code), None) => format!("exit code {code}"),
        (None, Some(signal)) => signals::name(signal),
        (None, None) => "an unknown status".to_owned(),
    }
}

fn status_meaning(exit: &Exit) -> &'static str {
    match (exit.code, exit.signal) {
        (Some(0), _) => "0 means success.",
        (_, Some(_)) => "128 and the number of the signal that ended it, as a shell counts.",
        (Some(126), _) => "By custom: the command was found and could not be executed.",
        (Some(127), _) => "By custom: the command was not found.",
        (Some(_), _) => "The number that its program ended with; what it means is the program's own affair.",
        (None, None) => "Nobody could ask the kernel in time.",
    }
}

fn asked_by(by: Option<&Requester>) -> String {
    let Some(by) = by else { return String::new() };
    let command = by.command.as_deref().map_or_else(|| "a process".to_owned(), words::printable);
    format!(", asked by {command} (PID {}, user {})", by.pid, by.uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use inspect::Sourced;
    use shim::{HealthAtEnd, HealthResult, HealthStatus, RestartPlan, Stopped, Timestamp};

    fn exit(code: Option<i32>, signal: Option<i32>, cause: ExitCause) -> Exit {
        Exit { code, signal, ..Exit::of(cause, Timestamp::from_unix(0, 0)) }
    }

    fn ended(exit: Option<&Exit>) -> Ended<'_> {
        let kill = OomKill {
            pid: 77,
            name: "stress".to_owned(),
            task_cgroup: Some("/strake/abc".to_owned()),
            constraint: Some("CONSTRAINT_MEMCG".to_owned()),
            anon_bytes: Some(63 << 20),
            oom_score_adj: Some(0),
            ..OomKill::default()
        };
        let stranger = OomKill { pid: 78, task_cgroup: Some("/strake/abcd".to_owned()), ..kill.clone() };
        Ended {
            id: "abc".to_owned(),
            name: "web".to_owned(),
            record: "container.json".to_owned(),
            exit_record: "exit.json".to_owned(),
            alive: None,
            started: true,
            start_error: None,
            exit,
            last_lines: Vec::new(),
            earlier: Vec::new(),
            policy: RestartPolicy::No,
            restarting: false,
            cgroup: Some("/strake/abc".to_owned()),
            oom_kills: Ok(Sourced::new(vec![kill, stranger], "/dev/kmsg")),
        }
    }

    #[track_caller]
    fn check(exit: &Exit, headline: &str, said: &[&str]) {
        let report = why_dead(&ended(Some(exit)));
        assert_eq!(report.subject.headline, headline);
        let text = crate::render(&report, crate::Style::default());
        for words in said {
            assert!(text.contains(words), "{words:?} is not in\n{text}");
        }
    }

    fn requester() -> Option<Requester> {
        Some(Requester { pid: 5, uid: 1000, command: Some("strake".to_owned()) })
    }

    #[test]
    fn finished() {
        check(&exit(Some(0), None, ExitCause::Itself), "it finished", &["exit code 0", "nobody"]);
    }

    #[test]
    fn failed_by_itself() {
        check(
            &exit(Some(3), None, ExitCause::Itself),
            "it ended by itself with exit code 3",
            &["exit code 3"],
        );
        check(
            &exit(Some(127), None, ExitCause::Itself),
            "it ended by itself with exit code 127",
            &["was not found"],
        );
    }

    #[test]
    fn faulted() {
        let mut exit = exit(Some(139), Some(11), ExitCause::Itself);
        exit.core_dumped = true;
        check(
            &exit,
            "it ended itself with SIGSEGV",
            &["exit code 139 (SIGSEGV)", "A fault in the program", "core"],
        );
    }

    #[test]
    fn stopped_in_time() {
        let cause = ExitCause::Stop { signal: 15, by: requester() };
        let said = ["stop, with SIGTERM, asked by strake (PID 5, user 1000)", "within its grace time"];
        check(&exit(Some(0), None, cause), "it was stopped with SIGTERM and ended in time", &said);
    }

    #[test]
    fn grace_ran_out_of_a_deaf_pid_1() {
        let cause = ExitCause::GraceRanOut { signal: 15, grace_ms: 10_000, by: None };
        let mut exit = exit(Some(137), Some(9), cause);
        exit.pid1_no_sigterm_handler = true;
        let said = ["then SIGKILL", "grace time", "had no handler for the stop signal", "--init"];
        check(&exit, "it did not end within 10.00s after SIGTERM and was killed", &said);
    }

    #[test]
    fn a_certificate_has_grace_health_restarts_and_last_words() {
        let last = HealthResult {
            start: Timestamp::from_unix(0, 0),
            end: Timestamp::from_unix(0, 0),
            exit_code: 1,
            output: "no answer\n".to_owned(),
        };
        let mut sick = exit(Some(143), Some(15), ExitCause::Unhealthy { signal: 15, failures: 3 });
        sick.health =
            Some(HealthAtEnd { status: HealthStatus::Unhealthy, failing_streak: 3, last: Some(last) });
        sick.stopped = Some(Stopped { took_ms: 250, grace_ms: Some(10_000) });
        sick.restart = Some(RestartPlan { after_ms: 200, at: Timestamp::from_unix(1, 0) });
        sick.restarts = 1;
        let crash = exit(Some(3), None, ExitCause::Itself);
        let report = why_dead(&Ended {
            last_lines: vec!["one".to_owned(), "two".to_owned()],
            earlier: vec![(&crash, vec!["before".to_owned()])],
            policy: RestartPolicy::OnUnhealthy,
            restarting: true,
            ..ended(Some(&sick))
        });
        let text = crate::render(&report, crate::Style::default());
        for said in [
            "unhealthy (3 health checks failed); it is started again",
            "250ms of 10.00s",
            "unhealthy, 3 checks failed in a row",
            "exit code 1: no answer",
            "1 before this end, policy on-unhealthy",
            "after 200ms, at 1970-01-01T00:00:01Z",
            "two",
            "An end before that",
            "exit code 3",
            "before",
        ] {
            assert!(text.contains(said), "{said:?} is not in\n{text}");
        }
    }

    #[test]
    fn the_form_is_the_documented_one() {
        let crash = exit(Some(3), None, ExitCause::Itself);
        let lines = || vec!["one".to_owned()];
        let again = Ended {
            alive: Some(42),
            last_lines: lines(),
            earlier: vec![(&crash, lines())],
            ..ended(Some(&crash))
        };
        let documents =
            [&again, &ended(Some(&crash))].map(|ended| serde_json::to_value(why_dead(ended)).unwrap());
        testkit::Documented::read("json-why-dead").check_all(&documents);
        let sections = documents[0]["sections"].as_array().unwrap();
        let ids: Vec<&str> = sections.iter().map(|section| section["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["why_dead", "last_end", "last_words", "earlier_end", "earlier_last_words"]);
    }

    #[test]
    fn killed_on_request() {
        let cause = ExitCause::Killed { signal: 9, by: None };
        check(
            &exit(Some(137), Some(9), cause),
            "it was killed with SIGKILL on request",
            &["kill, with SIGKILL"],
        );
    }

    #[test]
    fn out_of_memory() {
        let victim = Some(Victim { pid: 77, command: "stress".to_owned(), oom_score_adj: None });
        let cause = ExitCause::OomKilled { victim, limit: Some(64 << 20), peak: Some(64 << 20) };
        let mut exit = exit(Some(137), Some(9), cause);
        exit.oom_killed = true;
        let said =
            ["stress (PID 77 on the host)", "64MiB", "held 63MiB anon", "limit of a cgroup", "exit code 137"];
        check(&exit, "the OOM killer ended it at its limit of 64MiB", &said);
    }

    #[test]
    fn cg_03_a_child_was_taken_by_the_oom_killer() {
        let mut exit = exit(Some(1), None, ExitCause::Itself);
        exit.oom_killed = true;
        let victim = Victim { pid: 77, command: "stress".to_owned(), oom_score_adj: Some(-5) };
        let at = Timestamp::from_unix(0, 0);
        exit.oom_kills = vec![Taken {
            victim: Some(victim),
            limit: Some(64 << 20),
            usage: Some(63 << 20),
            anon: Some(62 << 20),
            file: Some(1 << 20),
            ..Taken::at(at)
        }];
        let said = [
            "the OOM killer took a process",
            "killed stress (PID 77)",
            "stress (PID 77), oom_score_adj -5, 63MiB held (62MiB anon, 1MiB file), limit 64MiB, \
             at 1970-01-01T00:00:00Z",
        ];
        check(&exit, "it ended by itself with exit code 1", &said);
    }

    #[test]
    fn killed_from_outside() {
        let cause = ExitCause::Outside { signal: 9 };
        let said = ["somebody else, with SIGKILL", "does not keep who"];
        check(&exit(Some(137), Some(9), cause), "it was ended by SIGKILL from outside of strake", &said);
    }

    #[test]
    fn unknown_says_what_is_known() {
        let cause = ExitCause::Unknown { why: "the kernel is older than 6.15".to_owned() };
        let mut exit = exit(None, None, cause);
        exit.adopted = true;
        let said = ["an unknown status", "the kernel is older than 6.15", "adopting shim"];
        check(&exit, "it ended, and how is not known", &said);
    }

    #[test]
    fn alive_never_started_failed_and_unrecorded() {
        let text = |ended: &Ended<'_>| {
            let report = why_dead(ended);
            (report.subject.headline.clone(), crate::render(&report, crate::Style::default()))
        };
        let (headline, said) = text(&Ended { alive: Some(42), ..ended(None) });
        assert!(headline == "it is alive and running" && said.contains("/proc/42"), "{said}");
        let sick = exit(Some(143), Some(15), ExitCause::Unhealthy { signal: 15, failures: 3 });
        let (headline, said) = text(&Ended { alive: Some(42), ..ended(Some(&sick)) });
        assert!(headline == "it is alive and running" && said.contains("3 failed health checks"), "{said}");
        let (headline, _) = text(&Ended { started: false, ..ended(None) });
        assert_eq!(headline, "it was never started");
        let (headline, said) = text(&Ended { start_error: Some("no such file".to_owned()), ..ended(None) });
        assert!(headline == "it could not be started" && said.contains("no such file"), "{said}");
        let (headline, said) = text(&ended(None));
        assert!(
            headline == "it ended and nobody could record how" && said.contains("killed stress"),
            "{said}"
        );
    }
}
