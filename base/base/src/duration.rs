//! Spans of time as Go writes them: `1h30m`, `90s`, `-1.5h`.

use std::time::Duration;

/// A span of time as Go has it: nanoseconds, of either sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(pub i64);

/// The text is not a duration; said as Go says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// Not a number where one belongs, or a number too large.
    #[error("time: invalid duration {raw:?}")]
    Form {
        /// What was given.
        raw: String,
    },
    /// A number with nothing behind it.
    #[error("time: missing unit in duration {raw:?}")]
    NoUnit {
        /// What was given.
        raw: String,
    },
    /// A unit that is none.
    #[error("time: unknown unit {unit:?} in duration {raw:?}")]
    Unit {
        /// The unit.
        unit: String,
        /// What was given.
        raw: String,
    },
}

impl GoDuration {
    /// Reads `[+-]` and numbers with their units (`h m s ms us µs ns`), or a bare `0`.
    pub fn parse(raw: &str) -> Result<Self, InvalidDuration> {
        let form = || InvalidDuration::Form { raw: raw.to_owned() };
        let mut rest = raw.strip_prefix(['-', '+']).unwrap_or(raw);
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(form());
        }
        let mut total: i128 = 0;
        while !rest.is_empty() {
            let number = before(rest, |c| !c.is_ascii_digit() && c != '.');
            let after = rest.get(number.len()..).unwrap_or_default();
            let unit = before(after, |c| c.is_ascii_digit() || c == '.');
            let (whole, fraction) = decimal(number).ok_or_else(form)?;
            if unit.is_empty() {
                return Err(InvalidDuration::NoUnit { raw: raw.to_owned() });
            }
            let scale = UNITS.iter().find_map(|(name, scale)| (*name == unit).then_some(*scale));
            let unknown = || InvalidDuration::Unit { unit: unit.to_owned(), raw: raw.to_owned() };
            let scale = scale.ok_or_else(unknown)?;
            total += whole * scale + fraction.0 * scale / 10i128.pow(fraction.1);
            if total > 1 << 63 {
                return Err(form());
            }
            rest = after.get(unit.len()..).unwrap_or_default();
        }
        i64::try_from(if raw.starts_with('-') { -total } else { total }).map(Self).map_err(|_| form())
    }

    /// The span, unless it leads back.
    pub fn forward(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }
}

/// Reads a span that does not lead back; `None` for anything else.
pub fn parse_duration(raw: &str) -> Option<Duration> {
    GoDuration::parse(raw).ok()?.forward()
}

fn before(text: &str, ends: impl Fn(char) -> bool) -> &str {
    text.find(ends).and_then(|end| text.get(..end)).unwrap_or(text)
}

/// The whole part, and the digits of the fraction with their number.
fn decimal(number: &str) -> Option<(i128, (i128, u32))> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > WHOLE_DIGITS_MAX {
        return None;
    }
    let digits = fraction.get(..FRACTION_DIGITS).unwrap_or(fraction);
    let value = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse().ok() };
    Some((value(whole)?, (value(digits)?, digits.len() as u32)))
}

/// More do not fit into nanoseconds.
const WHOLE_DIGITS_MAX: usize = 19;
/// Further ones are less than a nanosecond of an hour.
const FRACTION_DIGITS: usize = 15;

const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, nanos) in [
            ("0", 0),
            ("5s", 5_000_000_000),
            ("100ms", 100_000_000),
            ("1m30s", 90_000_000_000),
            (".5s", 500_000_000),
            ("1.5h", 5_400_000_000_000),
            ("-1us", -1_000),
            ("+2µs3ns", 2_003),
            ("9223372036854775807ns", i64::MAX),
        ] {
            assert_eq!(GoDuration::parse(text), Ok(GoDuration(nanos)), "{text}");
        }
        for (text, why) in [
            ("", "time: invalid duration \"\""),
            ("-", "time: invalid duration \"-\""),
            ("s", "time: invalid duration \"s\""),
            (".s", "time: invalid duration \".s\""),
            ("1.2.3s", "time: invalid duration \"1.2.3s\""),
            ("9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\""),
            ("3000000h", "time: invalid duration \"3000000h\""),
            ("5", "time: missing unit in duration \"5\""),
            ("5x", "time: unknown unit \"x\" in duration \"5x\""),
            ("5€1s", "time: unknown unit \"€\" in duration \"5€1s\""),
        ] {
            assert_eq!(GoDuration::parse(text).unwrap_err().to_string(), why, "{text}");
        }
        assert_eq!(parse_duration("-1s"), None);
        assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1500)));
    }
}
