//! Whether a container that has ended is started again, and when.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::model::{Backoff, Role, StartFailure, Wanted, doubled};
use crate::read::{at, items, long_name, number, text};

/// Whether a container that ended with this code is to be started again.
///
/// `restartPolicyRules` come first, then the container's own policy, then the pod's.
pub fn restarts(pod: &Value, wanted: &Wanted<'_>, exit_code: i32) -> bool {
    match wanted.role {
        Role::Sidecar => return true,
        Role::Ephemeral => return false,
        Role::Init | Role::Main => {}
    }
    if items(wanted.spec, &["restartPolicyRules"]).iter().any(|rule| matches(rule, exit_code)) {
        return true;
    }
    let own = text(wanted.spec, &["restartPolicy"]);
    let policy = if own.is_empty() { text(pod, &["spec", "restartPolicy"]) } else { own };
    match (policy, wanted.role) {
        ("Never", _) => false,
        // Init containers run to their end: `Always` means `OnFailure` for them.
        ("OnFailure", _) | (_, Role::Init) => exit_code != 0,
        _ => true,
    }
}

fn matches(rule: &Value, exit_code: i32) -> bool {
    let codes = items(rule, &["exitCodes", "values"]);
    let is_listed = codes.iter().any(|code| code.as_i64() == Some(i64::from(exit_code)));
    match text(rule, &["exitCodes", "operator"]) {
        "In" => is_listed,
        "NotIn" => !is_listed,
        _ => false,
    }
}

/// Until when a crashed container has to wait; if it has not, what holds after its start.
///
/// The first restart comes at once, then 10 s that double up to 5 minutes; ten quiet minutes
/// forgive everything.
pub(crate) fn crash_backoff(
    before: Option<Backoff>,
    ended_at: Option<Timestamp>,
    now: Timestamp,
) -> (Option<Timestamp>, Option<Backoff>) {
    let Some(ended_at) = ended_at else { return (None, before) };
    let first = Backoff { seconds: CRASH_FIRST, at: now };
    let Some(before) = before else { return (None, Some(first)) };
    if ended_at.duration_since(before.at).as_secs() > CRASH_FORGIVEN {
        return (None, Some(first));
    }
    let until = later(ended_at, before.seconds);
    if until > now {
        return (Some(until), None);
    }
    let seconds = doubled(before.seconds, 1, CRASH_MOST);
    (None, Some(Backoff { seconds, at: now }))
}

/// What `state.waiting.message` of a container says that has to wait.
pub(crate) fn backoff_message(pod: &Value, container: &str, seconds: i64) -> String {
    let wait = go_duration(seconds);
    format!("back-off {wait} restarting failed container={container} pod={}", long_name(pod))
}

/// `10s`, `1m20s`, as Go prints durations.
fn go_duration(seconds: i64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, minutes) => format!("{minutes}m{rest}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
    }
}

/// When a container that could not be started may be tried again.
pub fn start_backoff(failure: &StartFailure) -> Timestamp {
    let first = if is_image_failure(&failure.reason) { PULL_FIRST } else { CREATE_FIRST };
    let seconds = match failure.reason.as_str() {
        // Only a person can mend it; what changes the pod wakes its worker.
        "InvalidImageName" | "ErrImageNeverPull" => PULL_MOST,
        _ => doubled(first, failure.times.saturating_sub(1), PULL_MOST),
    };
    later(failure.at, seconds)
}

/// Whether the image was the reason.
pub(crate) fn is_image_failure(reason: &str) -> bool {
    matches!(
        reason,
        "ErrImagePull" | "ImageInspectError" | "RegistryUnavailable" | "SignatureValidationFailed"
    )
}

/// When the pod has run for as long as it may.
pub(super) fn deadline(pod: &Value) -> Option<Timestamp> {
    let seconds = number(pod, &["spec", "activeDeadlineSeconds"])?;
    let started = at(pod, &["status", "startTime"])?.as_str()?.parse::<Timestamp>().ok()?;
    Some(later(started, seconds))
}

pub(super) fn later(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// Seconds that a container waits after its second crash.
pub(crate) const CRASH_FIRST: i64 = 10;
/// The most that it waits.
const CRASH_MOST: i64 = 300;
/// After so many quiet seconds crashes are forgotten.
const CRASH_FORGIVEN: i64 = 600;
/// Seconds before an image is pulled again, and the most.
const PULL_FIRST: i64 = 10;
const PULL_MOST: i64 = 300;
/// Seconds before a container is made again.
const CREATE_FIRST: i64 = 2;
