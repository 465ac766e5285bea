//! Times and sizes as docker's users read them.

use std::time::{Duration, SystemTime};

/// How long, in words: `About a minute`, `3 weeks`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    let hours = (duration.as_secs_f64() / 3600.0 + 0.5) as u64;
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// How long ago `then` was: `3 weeks ago`.
pub fn ago(now: SystemTime, then: SystemTime) -> String {
    format!("{} ago", duration(now.duration_since(then).unwrap_or_default()))
}

/// A size in units of 1000 with three significant digits: `1.09kB`, `117MB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = match value {
        v if unit == 0 || v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", UNITS[unit])
}

/// A size in units of 1024 with four significant digits: `5.012MiB`, `64MiB`.
pub fn binary_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = match value {
        v if v >= 1000.0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 10.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", UNITS[unit])
}

/// The time in UTC as docker's `CreatedAt` has it: `2026-01-02 15:04:05 +0000 UTC`.
pub fn created_at(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map(|stamp| stamp.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string())
        .unwrap_or_default()
}

/// RFC 3339 in UTC with nanoseconds.
pub fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map(|stamp| format!("{stamp:.9}")).unwrap_or_default()
}

/// A duration on the command line: Go's form, or 0.
pub fn duration_argument(text: &str) -> Result<Duration, String> {
    base::parse_duration(text).ok_or_else(|| "not a duration such as 10m or 1h30m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        assert_eq!(duration_argument("0"), Ok(Duration::ZERO));
        assert_eq!(duration_argument("1m30s"), Ok(Duration::from_secs(90)));
        assert!(duration_argument("5").is_err());
    }

    #[test]
    fn durations_are_dockers() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (15 * 86400, "2 weeks"),
            (61 * 86400, "2 months"),
            (800 * 86400, "2 years"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), text, "{seconds}");
        }
    }

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1092, "1.09kB"),
            (117_000_000, "117MB"),
            (1_500_000_000, "1.5GB"),
            (999_900, "1MB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn binary_sizes_have_four_digits() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (5_255_463, "5.012MiB"),
            (64 << 20, "64MiB"),
            (1 << 30, "1GiB"),
            (123_456_789, "117.7MiB"),
        ] {
            assert_eq!(binary_size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn times_are_utc() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_005);
        assert_eq!(created_at(time), "2023-11-14 22:13:20 +0000 UTC");
        assert_eq!(rfc3339(time), "2023-11-14T22:13:20.000000005Z");
    }
}
