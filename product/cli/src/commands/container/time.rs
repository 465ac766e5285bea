//! Moments as docker's `--since` and `--until` take them.

use std::time::SystemTime;

use shim::Timestamp;

use crate::error::CliError;

/// Reads RFC 3339 (date alone or without zone too), seconds since 1970, or a duration before now.
pub(crate) fn parse(option: &str, text: &str, now: SystemTime) -> Result<Timestamp, CliError> {
    // A bare 0 is the year 1970.
    if text != "0"
        && let Some(before) = base::parse_duration(text)
    {
        return Ok(now.checked_sub(before).unwrap_or(SystemTime::UNIX_EPOCH).into());
    }
    if let Some((seconds, nanos)) = unix(text) {
        return Ok(Timestamp::from_unix(seconds, nanos));
    }
    let zoned = [text.to_owned(), format!("{text}Z"), format!("{text}T00:00:00Z"), format!("{text}:00Z")];
    let parsed = zoned.iter().find_map(|text| text.parse::<jiff::Timestamp>().ok());
    let stamp = parsed.ok_or_else(|| {
        CliError::message(format!(
            "{option} {text:?} is not a time: use 2026-01-02T13:23:37Z, or 42m for 42 minutes ago"
        ))
    })?;
    Ok(SystemTime::from(stamp).into())
}

fn unix(text: &str) -> Option<(i64, u32)> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) || fraction.len() > 9 {
        return None;
    }
    Some((seconds.parse().ok()?, format!("{fraction:0<9}").parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_moments() {
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(10_000);
        for (text, seconds) in [
            ("90s", 9910),
            ("1h30m", 4600),
            ("1.5h", 4600),
            ("77", 77),
            ("77.5", 77),
            ("1970-01-01T00:01:00Z", 60),
            ("1970-01-01T00:01:00", 60),
            ("1970-01-02", 86400),
            ("1970-01-01T01:00:00+01:00", 0),
        ] {
            assert_eq!(parse("--since", text, now).unwrap().seconds(), seconds, "{text}");
        }
        assert!(parse("--since", "soon", now).is_err());
        assert!(parse("--since", "", now).is_err());
    }
}
