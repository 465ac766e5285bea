//! Points and spans of time.

use jiff::civil::Weekday;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

use super::Result;
use crate::error::EvalError;
use crate::val::Val;

/// RFC 3339.
pub(crate) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() >= 20
        && bytes[10].eq_ignore_ascii_case(&b'T')
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[16] == b':'
        && !text.contains('[');
    let at: Timestamp = if shaped { text.parse().ok()? } else { return None };
    in_range(at.as_nanosecond()).then_some(at)
}

fn in_range(nanoseconds: i128) -> bool {
    (FIRST_SECOND * BILLION..(LAST_SECOND + 1) * BILLION).contains(&nanoseconds)
}

/// A point in time, so many nanoseconds later.
pub(crate) fn moved(at: Timestamp, by: i128) -> std::result::Result<Timestamp, EvalError> {
    let nanoseconds = at.as_nanosecond() + by;
    let overflow = || EvalError::text("timestamp overflow");
    if !in_range(nanoseconds) {
        return Err(overflow());
    }
    Timestamp::from_nanosecond(nanoseconds).map_err(|_| overflow())
}

/// So many seconds after 1970.
pub(crate) fn from_seconds(seconds: i64) -> std::result::Result<Timestamp, EvalError> {
    moved(Timestamp::UNIX_EPOCH, i128::from(seconds) * BILLION)
}

pub(crate) fn print_timestamp(at: Timestamp) -> String {
    at.to_string()
}

/// Go's form: `-1.5h`, `1h30m`, `100ms`. Nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    base::GoDuration::parse(text).ok().map(|span| span.0)
}

/// Seconds: `5400s`.
pub(crate) fn print_duration(span: i64) -> String {
    let (seconds, rest) = (span / 1_000_000_000, (span % 1_000_000_000).unsigned_abs());
    let sign = if span < 0 { "-" } else { "" };
    let seconds = seconds.unsigned_abs();
    if rest == 0 {
        return format!("{sign}{seconds}s");
    }
    let fraction = format!("{rest:09}");
    format!("{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
}

pub(crate) fn duration_overflow() -> EvalError {
    EvalError::text("duration overflow")
}

/// A member function of a point in time.
pub(super) fn of_timestamp<'a>(name: &str, at: Timestamp, args: &[Val<'a>]) -> Option<Result<'a>> {
    let part: fn(&Zoned) -> i64 = match name {
        "getFullYear" => |at| i64::from(at.year()),
        "getMonth" => |at| i64::from(at.month()) - 1,
        "getDayOfYear" => |at| i64::from(at.day_of_year()) - 1,
        "getDayOfMonth" => |at| i64::from(at.day()) - 1,
        "getDate" => |at| i64::from(at.day()),
        "getDayOfWeek" => |at| i64::from(Weekday::to_sunday_zero_offset(at.weekday())),
        "getHours" => |at| i64::from(at.hour()),
        "getMinutes" => |at| i64::from(at.minute()),
        "getSeconds" => |at| i64::from(at.second()),
        "getMilliseconds" => |at| i64::from(at.millisecond()),
        _ => return None,
    };
    let zone = match args {
        [] => Ok(TimeZone::UTC),
        [Val::Text(zone)] => zone_named(zone.as_str()),
        _ => return None,
    };
    Some(zone.map(|zone| Val::Int(part(&at.to_zoned(zone)))))
}

/// UTC, or a fixed offset; the names of places need data that is not here.
fn zone_named(name: &str) -> std::result::Result<TimeZone, EvalError> {
    if name.is_empty() || name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    let offset = || {
        let (sign, rest) = match name.as_bytes().first()? {
            b'-' => (-1, &name[1..]),
            b'+' => (1, &name[1..]),
            _ => (1, name),
        };
        let (hours, minutes) = rest.split_once(':')?;
        let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
        Offset::from_seconds(sign * (hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?)).ok()
    };
    offset().map(TimeZone::fixed).ok_or_else(|| EvalError::said(format!("unknown time zone {name}")))
}

/// A member function of a span of time.
pub(super) fn of_duration<'a>(name: &str, span: i64) -> Option<Result<'a>> {
    let unit = match name {
        "getHours" => 3_600_000_000_000,
        "getMinutes" => 60_000_000_000,
        "getSeconds" => 1_000_000_000,
        "getMilliseconds" => 1_000_000,
        _ => return None,
    };
    Some(Ok(Val::Int(span / unit)))
}

const BILLION: i128 = 1_000_000_000;
/// 0001-01-01T00:00:00Z.
const FIRST_SECOND: i128 = -62_135_596_800;
/// 9999-12-31T23:59:59Z; the clock's library ends a day before.
const LAST_SECOND: i128 = 253_402_300_799;
