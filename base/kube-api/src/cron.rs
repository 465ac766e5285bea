//! When a cron job runs: five fields, or a descriptor such as `@daily`.

use base::GoDuration;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use crate::time_zones;

/// When a cron job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    zone: Option<String>,
    times: Times,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Times {
    /// Whenever all fields fit.
    Fields(Box<[Field; 5]>),
    /// So many seconds after the last time.
    Every(i64),
}

/// The numbers that a field allows, one a bit, and whether it allows all of them without saying so one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Field {
    bits: u64,
    any: bool,
}

impl Field {
    fn has(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|number| self.bits & 1_u64.checked_shl(number).unwrap_or(0) != 0)
    }
}

impl Schedule {
    /// Reads a schedule. The error is in the words of the parser that upstream uses.
    pub fn parse(schedule: &str) -> Result<Self, String> {
        let (mut rest, mut zone) = (schedule, None);
        if schedule.starts_with("TZ=") || schedule.starts_with("CRON_TZ=") {
            let (named, fields) = schedule.split_once(' ').unwrap_or((schedule, ""));
            let named = named.split_once('=').map_or("", |(_, zone)| zone);
            // An empty name is UTC there.
            if !named.is_empty() && named != "Local" && !time_zones::is_known(named) {
                return Err(format!("provided bad location {named}: unknown time zone {named}"));
            }
            zone = Some(named.to_owned());
            rest = fields.trim();
        }
        if rest.is_empty() && schedule.is_empty() {
            return Err("empty spec string".to_owned());
        }
        if rest.starts_with('@') {
            return Ok(Self { zone, times: descriptor(rest)? });
        }
        Ok(Self { zone, times: fields(rest)? })
    }

    /// The zone that the schedule itself names; an empty name is UTC.
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// The first time after another, both in seconds since 1970; none if there is none in five years.
    pub fn next(&self, after: i64, zone: &TimeZone) -> Option<i64> {
        match &self.times {
            Times::Every(seconds) => after.checked_add(*seconds),
            Times::Fields(fields) => {
                let start = Timestamp::from_second(after.checked_add(1)?).ok()?;
                next(fields, start.to_zoned(zone.clone())).ok()?.map(|found| found.timestamp().as_second())
            }
        }
    }
}

/// Goes up from field to field, and begins again whenever one runs over.
fn next(fields: &[Field; 5], mut at: Zoned) -> Result<Option<Zoned>, jiff::Error> {
    let [minutes, hours, days, months, weekdays] = *fields;
    let last = at.year().saturating_add(YEARS_MAX);
    let fits_day = |at: &Zoned| {
        let (day, weekday) = (days.has(at.day()), weekdays.has(at.weekday().to_sunday_zero_offset()));
        if days.any || weekdays.any { day && weekday } else { day || weekday }
    };
    while at.year() <= last {
        if !months.has(at.month()) {
            at = at.first_of_month()?.start_of_day()?.checked_add(1.month())?.start_of_day()?;
        } else if !fits_day(&at) {
            at = at.checked_add(1.day())?.start_of_day()?;
        } else if !hours.has(at.hour()) {
            // By the clock's own hours: one that a change of time skips does not come.
            let passed = i64::from(at.minute()) * 60 + i64::from(at.second());
            at = at.checked_add((3600 - passed).seconds())?;
        } else if !minutes.has(at.minute()) || at.second() != 0 {
            at = at.checked_add((60 - i64::from(at.second())).seconds())?;
        } else {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

fn fields(text: &str) -> Result<Times, String> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    if parts.len() != FIELDS.len() {
        let shown = parts.join(" ");
        return Err(format!("expected exactly 5 fields, found {}: [{shown}]", parts.len()));
    }
    let mut all = [Field::default(); 5];
    for ((field, part), bounds) in all.iter_mut().zip(parts).zip(&FIELDS) {
        for part in part.split(',').filter(|part| !part.is_empty()) {
            let found = range(part, bounds)?;
            field.bits |= found.bits;
            field.any |= found.any;
        }
    }
    Ok(Times::Fields(Box::new(all)))
}

/// After so many years without a time there is none.
const YEARS_MAX: i16 = 5;

/// The smallest and the largest number of a field, and names for some.
struct Bounds {
    low: u64,
    high: u64,
    names: &'static [&'static str],
}

const FIELDS: [Bounds; 5] = [
    Bounds { low: 0, high: 59, names: &[] },
    Bounds { low: 0, high: 23, names: &[] },
    Bounds { low: 1, high: 31, names: &[] },
    Bounds {
        low: 1,
        high: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    Bounds { low: 0, high: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

/// `*`, `3`, `1-5`, each with an optional `/2`.
fn range(range: &str, bounds: &Bounds) -> Result<Field, String> {
    let (ends, step) = match range.split_once('/') {
        Some((_, rest)) if rest.contains('/') => {
            // The span is read first, so its faults come first.
            span(range.split('/').next().unwrap_or_default(), range, bounds)?;
            return Err(format!("too many slashes: {range}"));
        }
        Some((ends, step)) => (ends, Some(step)),
        None => (range, None),
    };
    let (start, mut end, single) = span(ends, range, bounds)?;
    let step = match step {
        None => 1,
        Some(step) => {
            if single {
                end = bounds.high;
            }
            number(step)?
        }
    };
    if start < bounds.low {
        return Err(format!("beginning of range ({start}) below minimum ({}): {range}", bounds.low));
    }
    if end > bounds.high {
        return Err(format!("end of range ({end}) above maximum ({}): {range}", bounds.high));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {range}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {range}"));
    }
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    let bits = (start..=end).step_by(step).fold(0, |bits, number| bits | 1 << number);
    Ok(Field { bits, any: step == 1 && (ends.starts_with('*') || ends.starts_with('?')) })
}

/// Both ends, and whether only one was said.
fn span(ends: &str, range: &str, bounds: &Bounds) -> Result<(u64, u64, bool), String> {
    let mut parts = ends.split('-');
    let first = parts.next().unwrap_or_default();
    let (second, third) = (parts.next(), parts.next());
    if first == "*" || first == "?" {
        return Ok((bounds.low, bounds.high, second.is_none()));
    }
    let start = number_or_name(first, bounds)?;
    match (second, third) {
        (None, _) => Ok((start, start, true)),
        (Some(second), None) => Ok((start, number_or_name(second, bounds)?, false)),
        (Some(_), Some(_)) => Err(format!("too many hyphens: {range}")),
    }
}

fn number_or_name(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let name = text.to_lowercase();
    match bounds.names.iter().position(|known| *known == name) {
        Some(at) => Ok(bounds.low + at as u64),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax"
        ));
    }
    let Ok(number) = text.parse::<i64>() else {
        return Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {text:?}: value out of range"
        ));
    };
    u64::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}"))
}

fn descriptor(text: &str) -> Result<Times, String> {
    let known = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other => {
            let Some(duration) = other.strip_prefix("@every ") else {
                return Err(format!("unrecognized descriptor: {other}"));
            };
            let every = GoDuration::parse(duration)
                .map_err(|error| format!("failed to parse duration {text}: {error}"))?;
            return Ok(Times::Every((every.0 / NANOS_A_SECOND).max(1)));
        }
    };
    fields(known)
}

const NANOS_A_SECOND: i64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        for (schedule, want) in [
            ("* * * * *", None),
            ("*/5 0-6 1,15 jan-mar MON", None),
            ("0/15 * ? * *", None),
            ("@daily", None),
            ("@every 1h30m", None),
            ("TZ=Europe/Berlin 0 0 * * *", None),
            ("", Some("empty spec string")),
            ("error", Some("expected exactly 5 fields, found 1: [error]")),
            ("* * * *", Some("expected exactly 5 fields, found 4: [* * * *]")),
            ("60 * * * *", Some("end of range (60) above maximum (59): 60")),
            ("* * 0 * *", Some("beginning of range (0) below minimum (1): 0")),
            ("5-1 * * * *", Some("beginning of range (5) beyond end of range (1): 5-1")),
            ("*/0 * * * *", Some("step of range should be a positive number: */0")),
            ("1-2-3 * * * *", Some("too many hyphens: 1-2-3")),
            ("1/2/3 * * * *", Some("too many slashes: 1/2/3")),
            ("x * * * *", Some("failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax")),
            ("* * * * 7", Some("end of range (7) above maximum (6): 7")),
            ("@never", Some("unrecognized descriptor: @never")),
            ("@every x", Some("failed to parse duration @every x: time: invalid duration \"x\"")),
            ("@every 5", Some("failed to parse duration @every 5: time: missing unit in duration \"5\"")),
            ("TZ=Nowhere * * * * *", Some("provided bad location Nowhere: unknown time zone Nowhere")),
        ] {
            assert_eq!(Schedule::parse(schedule).err().as_deref(), want, "{schedule}");
        }
    }

    fn check(schedule: &str, zone: &str, after: &str, expected: &[&str]) {
        let zone = TimeZone::posix(zone).unwrap();
        let found = Schedule::parse(schedule).unwrap();
        let mut at = after.parse::<Timestamp>().unwrap().as_second();
        for expected in expected {
            at = found.next(at, &zone).unwrap();
            assert_eq!(Timestamp::from_second(at).unwrap().to_string(), *expected, "{schedule}");
        }
    }

    #[test]
    fn times() {
        check(
            "*/15 * * * *",
            "UTC0",
            "2026-01-01T10:14:59Z",
            &["2026-01-01T10:15:00Z", "2026-01-01T10:30:00Z"],
        );
        check(
            "30 6-16/4 * * 1-5",
            "UTC0",
            "2026-01-02T14:30:00Z",
            &["2026-01-05T06:30:00Z", "2026-01-05T10:30:00Z"],
        );
        check("0 0 29 2 *", "UTC0", "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z"]);
        // Either day will do if both are said, and both must fit if one is open.
        check(
            "0 0 13 * 5",
            "UTC0",
            "2026-01-01T00:00:00Z",
            &["2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z"],
        );
        check("0 0 * * 5", "UTC0", "2026-01-01T00:00:00Z", &["2026-01-02T00:00:00Z"]);
        check("@every 90s", "UTC0", "2026-01-01T00:00:00Z", &["2026-01-01T00:01:30Z"]);
        check("@monthly", "UTC0", "2026-01-01T00:00:00Z", &["2026-02-01T00:00:00Z"]);
        assert_eq!(Schedule::parse("0 0 31 2 *").unwrap().next(0, &TimeZone::UTC), None);
    }

    #[test]
    fn zones_and_changes_of_time() {
        let berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
        check("0 9 * * *", berlin, "2026-01-01T00:00:00Z", &["2026-01-01T08:00:00Z"]);
        check("0 9 * * *", berlin, "2026-07-01T00:00:00Z", &["2026-07-01T07:00:00Z"]);
        // 02:30 does not come on the day on which the clock skips it.
        check("30 2 * * *", berlin, "2026-03-28T12:00:00Z", &["2026-03-30T00:30:00Z"]);
    }
}
