//! What a health check found, and what follows from it. Pure; the rules are docker's.
//!
//! ```text
//! starting ──ok──▶ healthy ◀──ok── unhealthy
//!     └───────`retries` failures in a row──▶┘     failures in the start period do not count
//! ```

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Name of the record in the record directory.
pub const HEALTH_FILE: &str = "health.json";
/// The process that checks, as the OCI runtime takes it, in the state directory.
pub const PROBE_FILE: &str = "probe.json";
const HEALTH_TEMP: &str = ".health.json.new";

/// How often and how long is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Milliseconds from one check to the next.
    pub interval_ms: u64,
    /// Milliseconds that a check may take.
    pub timeout_ms: u64,
    /// Milliseconds after the start in which failures do not count.
    pub start_period_ms: u64,
    /// Milliseconds between checks in that time, until the first that is good.
    pub start_interval_ms: u64,
    /// So many failures in a row make it unhealthy.
    pub retries: u32,
}

/// What is thought of a container's health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// No check was good yet.
    #[default]
    Starting,
    /// The last checks were good.
    Healthy,
    /// Too many in a row were not, or nobody checks any more.
    Unhealthy,
}

impl HealthStatus {
    /// Docker's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What one check gave. Field names are docker's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthResult {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// 0 is healthy; -1 could not be run, or took too long.
    pub exit_code: i32,
    /// What it wrote.
    pub output: String,
}

/// A container's health. Field names are docker's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Health {
    /// What is thought of it.
    pub status: HealthStatus,
    /// Failures since the last good check.
    pub failing_streak: u32,
    /// The last checks, the newest last.
    pub log: Vec<HealthResult>,
}

impl Health {
    /// Takes note of a check of a container that was started at `started`. True: it became
    /// unhealthy by this one.
    pub fn note(&mut self, result: HealthResult, check: &HealthCheck, started: Timestamp) -> bool {
        let before = self.status;
        if result.exit_code == 0 {
            self.failing_streak = 0;
            self.status = HealthStatus::Healthy;
        } else if before != HealthStatus::Starting || result.start.since(started) >= check.start_period() {
            self.failing_streak = self.failing_streak.saturating_add(1);
            if self.failing_streak >= check.retries {
                self.status = HealthStatus::Unhealthy;
            }
        }
        if self.log.len() >= LOG_KEPT {
            self.log.drain(..=self.log.len() - LOG_KEPT);
        }
        self.log.push(result);
        self.status == HealthStatus::Unhealthy && before != HealthStatus::Unhealthy
    }

    /// How long after now the next check is, in a container that has run for `ran`.
    pub fn next_in(&self, check: &HealthCheck, ran: Duration) -> Duration {
        let is_starting = ran < check.start_period() && self.status == HealthStatus::Starting;
        Duration::from_millis(if is_starting { check.start_interval_ms } else { check.interval_ms })
    }

    /// Reads the record in `record_dir`; `None` when there is none that makes sense.
    pub fn read(record_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(record_dir.join(HEALTH_FILE)).ok()?).ok()
    }

    /// Writes the record into `record_dir` so that it appears whole or not at all.
    pub fn write(&self, record_dir: &Path) -> io::Result<()> {
        let temp = record_dir.join(HEALTH_TEMP);
        fs::write(&temp, serde_json::to_vec(self)?)?;
        fs::rename(&temp, record_dir.join(HEALTH_FILE))
    }

    /// Removes the record, before a run that is not checked.
    pub fn forget(record_dir: &Path) -> io::Result<()> {
        match fs::remove_file(record_dir.join(HEALTH_FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl HealthCheck {
    fn start_period(&self) -> Duration {
        Duration::from_millis(self.start_period_ms)
    }
}

/// What a check wrote: so much of it is kept, and that there was more is shown by dots.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    truncated: bool,
}

impl Output {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let room = OUTPUT_MAX - self.bytes.len();
        self.truncated |= bytes.len() > room;
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.bytes).into_owned();
        if self.truncated {
            text.push_str("...");
        }
        text
    }
}

/// Docker's words for a check that took too long.
pub(crate) fn timed_out(timeout_ms: u64, output: &Output) -> String {
    let after = go_duration(timeout_ms);
    match output.text() {
        said if said.is_empty() => format!("Health check exceeded timeout ({after})"),
        said => format!("Health check exceeded timeout ({after}): {said}"),
    }
}

/// Milliseconds in Go's form: `1m30s`, `500ms`, `1.5s`.
fn go_duration(millis: u64) -> String {
    let (seconds, rest) = (millis / 1000, millis % 1000);
    if seconds == 0 {
        return if rest == 0 { "0s".to_owned() } else { format!("{rest}ms") };
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let mut text = String::new();
    if hours > 0 {
        text.push_str(&format!("{hours}h"));
    }
    if hours > 0 || minutes > 0 {
        text.push_str(&format!("{minutes}m"));
    }
    text.push_str(&(seconds % 60).to_string());
    if rest > 0 {
        text.push_str(format!(".{rest:03}").trim_end_matches('0'));
    }
    text.push('s');
    text
}

/// Results that are kept.
const LOG_KEPT: usize = 5;
/// Bytes of a check's output that are kept.
const OUTPUT_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: HealthCheck = HealthCheck {
        interval_ms: 30_000,
        timeout_ms: 30_000,
        start_period_ms: 10_000,
        start_interval_ms: 5_000,
        retries: 3,
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds, 0)
    }

    fn result(second: i64, exit_code: i32) -> HealthResult {
        HealthResult { start: at(second), end: at(second), exit_code, output: String::new() }
    }

    #[track_caller]
    fn check(results: &[(i64, i32)], status: HealthStatus, streak: u32, turned: usize) {
        let mut health = Health::default();
        let became: Vec<bool> =
            results.iter().map(|(second, code)| health.note(result(*second, *code), &CHECK, at(0))).collect();
        assert_eq!((health.status, health.failing_streak), (status, streak), "{results:?}");
        assert_eq!(became.iter().filter(|became| **became).count(), turned, "{results:?}");
        assert!(health.log.len() <= LOG_KEPT);
    }

    #[test]
    fn states_are_dockers() {
        use HealthStatus::{Healthy, Starting, Unhealthy};
        check(&[], Starting, 0, 0);
        check(&[(1, 0)], Healthy, 0, 0);
        check(&[(1, 1), (2, 1), (3, 1), (9, 1)], Starting, 0, 0);
        check(&[(11, 1), (12, 1)], Starting, 2, 0);
        check(&[(11, 1), (12, -1), (13, 2)], Unhealthy, 3, 1);
        // One that was well once is held to account also in its start period.
        check(&[(1, 0), (2, 1), (3, 1), (4, 1)], Unhealthy, 3, 1);
        check(&[(1, 0), (2, 1), (3, 1), (4, 0), (5, 1)], Healthy, 1, 0);
        check(&[(11, 1), (12, 1), (13, 1), (14, 1), (15, 0), (16, 0)], Healthy, 0, 1);
    }

    #[test]
    fn the_last_five_results_are_kept() {
        let mut health = Health::default();
        for second in 0..9 {
            health.note(result(second, 0), &CHECK, at(0));
        }
        let kept: Vec<i64> = health.log.iter().map(|result| result.start.seconds()).collect();
        assert_eq!(kept, [4, 5, 6, 7, 8]);
    }

    #[test]
    fn checks_come_sooner_in_the_start_period() {
        let mut health = Health::default();
        let next = |health: &Health, ran| health.next_in(&CHECK, Duration::from_secs(ran)).as_secs();
        assert_eq!((next(&health, 0), next(&health, 9), next(&health, 10)), (5, 5, 30));
        health.status = HealthStatus::Healthy;
        assert_eq!(next(&health, 0), 30);
    }

    #[test]
    fn output_is_cut_and_says_so() {
        let mut output = Output::default();
        output.push(&[b'x'; OUTPUT_MAX]);
        assert_eq!(output.text().len(), OUTPUT_MAX);
        output.push(b"y");
        assert!(output.text().ends_with("x...") && output.text().len() == OUTPUT_MAX + 3);
        assert_eq!(timed_out(1500, &Output::default()), "Health check exceeded timeout (1.5s)");
        let mut said = Output::default();
        said.push(b"hm");
        assert_eq!(timed_out(90_000, &said), "Health check exceeded timeout (1m30s): hm");
    }

    #[test]
    fn durations_are_gos() {
        for (millis, text) in
            [(0, "0s"), (5, "5ms"), (1000, "1s"), (30_000, "30s"), (60_000, "1m0s"), (3_600_500, "1h0m0.5s")]
        {
            assert_eq!(go_duration(millis), text);
        }
    }

    #[test]
    fn the_record_is_in_dockers_form() {
        let mut health = Health::default();
        health.note(result(1, 0), &CHECK, at(0));
        let text = serde_json::to_string(&health).unwrap();
        assert_eq!(
            text,
            r#"{"Status":"healthy","FailingStreak":0,"Log":[{"Start":"1970-01-01T00:00:01Z","End":"1970-01-01T00:00:01Z","ExitCode":0,"Output":""}]}"#
        );
    }
}
