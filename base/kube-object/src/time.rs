//! Times as the API writes them: RFC 3339 in UTC, whole seconds (`metav1.Time`)
//! or six digits of a second (`metav1.MicroTime`). Data only: nobody asks the clock.

use std::fmt;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimeParser;

/// A time in whole seconds: `2026-01-02T03:04:05Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

/// A time in microseconds: `2026-01-02T03:04:05.000006Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MicroTime(i64);

/// The text is not a time of RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("time {raw:?} is not of RFC 3339, as in 2006-01-02T15:04:05Z")]
pub struct InvalidTime {
    /// What was given.
    pub raw: String,
}

impl Time {
    /// Reads RFC 3339 with any offset; parts of a second are dropped.
    pub fn parse(raw: &str) -> Result<Self, InvalidTime> {
        read(raw).map(|at| Self(at.as_second() - i64::from(at.subsec_nanosecond() < 0)))
    }

    /// Seconds since 1970, if the year has four digits.
    pub fn from_unix(seconds: i64) -> Option<Self> {
        printable(Timestamp::from_second(seconds).ok()?).then_some(Self(seconds))
    }

    /// Seconds since 1970.
    pub fn unix(self) -> i64 {
        self.0
    }
}

impl MicroTime {
    /// Reads RFC 3339 with any offset; what is finer than a microsecond is dropped.
    pub fn parse(raw: &str) -> Result<Self, InvalidTime> {
        read(raw).map(|at| Self(at.as_nanosecond().div_euclid(1000) as i64))
    }

    /// Microseconds since 1970, if the year has four digits.
    pub fn from_unix_micros(micros: i64) -> Option<Self> {
        printable(Timestamp::from_microsecond(micros).ok()?).then_some(Self(micros))
    }

    /// Microseconds since 1970.
    pub fn unix_micros(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Timestamp::from_second(self.0).map_err(|_| fmt::Error)?;
        write!(f, "{at:.0}")
    }
}

impl fmt::Display for MicroTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Timestamp::from_microsecond(self.0).map_err(|_| fmt::Error)?;
        write!(f, "{at:.6}")
    }
}

fn read(raw: &str) -> Result<Timestamp, InvalidTime> {
    let invalid = || InvalidTime { raw: raw.to_owned() };
    if !has_rfc3339_form(raw.as_bytes()) {
        return Err(invalid());
    }
    let at = PARSER.parse_timestamp(raw).map_err(|_| invalid())?;
    if printable(at) { Ok(at) } else { Err(invalid()) }
}

/// The grammar of RFC 3339 section 5.6, stricter than what jiff takes.
fn has_rfc3339_form(raw: &[u8]) -> bool {
    let fits = |text: &[u8], form: &[u8]| {
        text.len() == form.len()
            && text
                .iter()
                .zip(form)
                .all(|(byte, want)| byte == want || (*want == b'0' && byte.is_ascii_digit()))
    };
    if raw.len() < 20 || !fits(&raw[..19], b"0000-00-00T00:00:00") {
        return false;
    }
    let mut rest = &raw[19..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || digits > 9 {
            return false;
        }
        rest = &fraction[digits..];
    }
    // A leap second has no place on the line of seconds.
    raw[17] != b'6' && (rest == b"Z" || fits(rest, b"+00:00") || fits(rest, b"-00:00"))
}

/// Whether the year has four digits, as RFC 3339 has it.
fn printable(at: Timestamp) -> bool {
    (YEAR_0000..YEAR_10000).contains(&at.as_second())
}

const PARSER: DateTimeParser = DateTimeParser::new();
const YEAR_0000: i64 = -62_167_219_200;
const YEAR_10000: i64 = 253_402_300_800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_seconds() {
        for (raw, text, unix) in [
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", 0),
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z", 1_767_323_045),
            ("2026-01-02T03:04:05.999Z", "2026-01-02T03:04:05Z", 1_767_323_045),
            ("2026-01-02T05:04:05+02:00", "2026-01-02T03:04:05Z", 1_767_323_045),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59Z", -1),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", -62_135_596_800),
        ] {
            let time = Time::parse(raw).unwrap();
            assert_eq!((time.to_string().as_str(), time.unix()), (text, unix), "{raw}");
        }
    }

    #[test]
    fn reads_and_prints_microseconds() {
        for (raw, text) in [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000Z"),
            ("2026-01-02T03:04:05.1234567Z", "2026-01-02T03:04:05.123456Z"),
            ("1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(MicroTime::parse(raw).unwrap().to_string(), text, "{raw}");
        }
    }

    #[test]
    fn refuses_what_is_not_rfc3339() {
        for raw in [
            "",
            "2026-01-02",
            "2026-01-02 03:04:05Z",
            "2026-01-02T03:04:05",
            "2026-13-02T03:04:05Z",
            "2026-02-30T03:04:05Z",
            "2026-01-02T24:04:05Z",
            "2026-01-02T03:04:60Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05Z[UTC]",
            "20260102T030405Z",
            "+002026-01-02T03:04:05Z",
        ] {
            assert!(Time::parse(raw).is_err(), "{raw}");
        }
        assert_eq!(Time::from_unix(YEAR_10000), None);
        assert_eq!(MicroTime::from_unix_micros(i64::MAX), None);
    }

    proptest::proptest! {
        #[test]
        fn round_trips(unix in YEAR_0000..YEAR_10000, raw in "\\PC{0,40}") {
            let time = Time::from_unix(unix).unwrap();
            proptest::prop_assert_eq!(Time::parse(&time.to_string()).unwrap(), time);
            let _ = MicroTime::parse(&raw);
        }
    }
}
