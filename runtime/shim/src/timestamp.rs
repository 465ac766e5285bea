//! A moment in UTC to the nanosecond, written as RFC 3339.
//!
//! Own arithmetic, because the shim pays for every kilobyte per container: the
//! calendar is the proleptic Gregorian one, days counted in 400-year eras.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SECONDS_A_DAY: i64 = 86_400;
const DAYS_AN_ERA: i64 = 146_097;
const NANOS_A_SECOND: u32 = 1_000_000_000;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// A moment: seconds since the epoch and nanoseconds within that second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

/// The text is not an RFC 3339 time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("time {raw:?} is not valid: use RFC 3339, as in 2026-11-21T07:30:00.5Z")]
pub struct InvalidTimestamp {
    /// What was given.
    pub raw: String,
}

impl Timestamp {
    /// The host's clock now.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// From seconds since the epoch and nanoseconds (below 1,000,000,000).
    pub fn from_unix(seconds: i64, nanos: u32) -> Self {
        debug_assert!(nanos < 1_000_000_000);
        Self { seconds, nanos }
    }

    /// Seconds since the epoch.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds within the second.
    pub fn nanos(self) -> u32 {
        self.nanos
    }

    /// How long after `earlier` this is; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        let nanos = |t: Self| i128::from(t.seconds) * 1_000_000_000 + i128::from(t.nanos);
        let difference = (nanos(self) - nanos(earlier)).max(0);
        Duration::from_nanos(u64::try_from(difference).unwrap_or(u64::MAX))
    }

    /// So long after this.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        let nanos = self.nanos + time.subsec_nanos();
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let seconds = self.seconds.saturating_add(seconds).saturating_add(i64::from(nanos / NANOS_A_SECOND));
        Self { seconds, nanos: nanos % NANOS_A_SECOND }
    }

    /// Reads RFC 3339 with any fraction and either `Z` or a numeric offset.
    pub fn parse(raw: &str) -> Result<Self, InvalidTimestamp> {
        parse(raw.as_bytes()).ok_or_else(|| InvalidTimestamp { raw: raw.to_owned() })
    }

    /// Nine digits of fraction always, as `docker logs --timestamps` prints.
    pub fn fixed(self) -> String {
        let (year, month, day, clock) = self.civil();
        let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z", self.nanos)
    }

    /// Appends Go's RFC3339Nano form (no trailing zeros) without allocating.
    pub fn write_nano(self, out: &mut Vec<u8>) {
        let (year, month, day, clock) = self.civil();
        push_padded(out, year.unsigned_abs(), 4);
        for (separator, value) in
            [(b'-', month), (b'-', day), (b'T', clock / 3600), (b':', clock / 60 % 60), (b':', clock % 60)]
        {
            out.push(separator);
            push_padded(out, u64::from(value), 2);
        }
        if self.nanos > 0 {
            out.push(b'.');
            push_padded(out, u64::from(self.nanos), 9);
            while out.last() == Some(&b'0') {
                out.pop();
            }
        }
        out.push(b'Z');
    }

    /// Year, month, day and second of the day.
    fn civil(self) -> (i64, u32, u32, u32) {
        let days = self.seconds.div_euclid(SECONDS_A_DAY) + EPOCH_DAYS;
        let clock = self.seconds.rem_euclid(SECONDS_A_DAY) as u32;
        let era = days.div_euclid(DAYS_AN_ERA);
        let day_of_era = days.rem_euclid(DAYS_AN_ERA);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u32;
        (year_of_era + era * 400 + i64::from(month <= 2), month, day, clock)
    }
}

fn push_padded(out: &mut Vec<u8>, value: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut left = value;
    let mut at = digits.len();
    while left > 0 || digits.len() - at < width {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let year_of_era = year.rem_euclid(400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    year.div_euclid(400) * DAYS_AN_ERA + day_of_era - EPOCH_DAYS
}

fn parse(raw: &[u8]) -> Option<Timestamp> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        raw.get(range)?
            .iter()
            .try_fold(0i64, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
    };
    let separators = [(4, b"--"), (7, b"--"), (10, b"Tt"), (13, b"::"), (16, b"::")];
    if separators.iter().any(|(at, allowed)| !raw.get(*at).is_some_and(|b| allowed.contains(b))) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !in_range || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanos, rest) = fraction(raw.get(19..)?)?;
    let offset = offset_seconds(rest)?;
    let seconds = days_from_civil(year, month, day) * SECONDS_A_DAY + hour * 3600 + minute * 60 + second;
    Some(Timestamp { seconds: seconds - offset, nanos })
}

/// Takes `.digits` if there; digits past the ninth are cut.
fn fraction(raw: &[u8]) -> Option<(u32, &[u8])> {
    let Some(digits) = raw.strip_prefix(b".") else { return Some((0, raw)) };
    let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let nanos = (0..9).fold(0u32, |sum, i| {
        sum * 10 + digits.get(i).filter(|_| i < count).map_or(0, |b| u32::from(b - b'0'))
    });
    Some((nanos, &digits[count..]))
}

fn offset_seconds(raw: &[u8]) -> Option<i64> {
    let [sign, h1, h2, b':', m1, m2] = raw else {
        return matches!(raw, b"Z" | b"z").then_some(0);
    };
    if ![h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let two = |a: &u8, b: &u8| i64::from(a - b'0') * 10 + i64::from(b - b'0');
    let seconds = two(h1, h2) * 3600 + two(m1, m2) * 60;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self { seconds: after.as_secs() as i64, nanos: after.subsec_nanos() },
            Err(before) => {
                let before = before.duration();
                let borrow = i64::from(before.subsec_nanos() > 0);
                let nanos = (1_000_000_000 - before.subsec_nanos()) % 1_000_000_000;
                Self { seconds: -(before.as_secs() as i64) - borrow, nanos }
            }
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(at: Timestamp) -> Self {
        let whole = Duration::from_secs(at.seconds.unsigned_abs());
        let base = if at.seconds < 0 { UNIX_EPOCH - whole } else { UNIX_EPOCH + whole };
        base + Duration::from_nanos(u64::from(at.nanos))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(32);
        self.write_nano(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = String::deserialize(deserializer)?;
        Self::parse(&raw).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(seconds: i64, nanos: u32, text: &str) {
        let at = Timestamp::from_unix(seconds, nanos);
        assert_eq!(at.to_string(), text);
        assert_eq!(Timestamp::parse(text), Ok(at));
        assert_eq!(Timestamp::from(SystemTime::from(at)), at);
    }

    #[test]
    fn writes_and_reads() {
        check(0, 0, "1970-01-01T00:00:00Z");
        check(951_782_400, 500_000_000, "2000-02-29T00:00:00.5Z");
        check(1_795_246_200, 1, "2026-11-21T07:30:00.000000001Z");
        check(-1, 999_999_999, "1969-12-31T23:59:59.999999999Z");
        check(4_107_542_399, 0, "2100-02-28T23:59:59Z");
    }

    #[test]
    fn reads_offsets_and_pads_fixed() {
        let noon = Timestamp::parse("2026-11-21T12:00:00+04:30").unwrap();
        assert_eq!(noon, Timestamp::parse("2026-11-21T07:30:00Z").unwrap());
        assert_eq!(noon.fixed(), "2026-11-21T07:30:00.000000000Z");
    }

    #[test]
    fn refuses_the_rest() {
        for raw in [
            "",
            "now",
            "2026-11-21",
            "2026-13-01T00:00:00Z",
            "2026-11-21T00:00:00",
            "2026-11-21T00:00:00.Z",
            "2026-11-21T00:00:00+0430",
            "2026-11-21T0a:00:00Z",
            "2026-11-21T00:00:00Zx",
        ] {
            assert!(Timestamp::parse(raw).is_err(), "{raw}");
        }
    }
}
