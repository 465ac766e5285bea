//! When a cron job runs: five fields, or a descriptor such as `@daily`.

use super::time_zones;

/// What is wrong with a schedule, in the words of the parser that upstream uses.
pub(super) fn fault(schedule: &str) -> Option<String> {
    let mut rest = schedule;
    if schedule.starts_with("TZ=") || schedule.starts_with("CRON_TZ=") {
        let (zone, fields) = schedule.split_once(' ').unwrap_or((schedule, ""));
        let zone = zone.split_once('=').map_or("", |(_, zone)| zone);
        // An empty name is UTC there.
        if !zone.is_empty() && zone != "Local" && !time_zones::is_known(zone) {
            return Some(format!("provided bad location {zone}: unknown time zone {zone}"));
        }
        rest = fields.trim();
    }
    if rest.is_empty() && schedule.is_empty() {
        return Some("empty spec string".to_owned());
    }
    if rest.starts_with('@') {
        return descriptor(rest);
    }
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        let shown = fields.join(" ");
        return Some(format!("expected exactly 5 fields, found {}: [{shown}]", fields.len()));
    }
    let mut pairs = fields.into_iter().zip(&FIELDS);
    pairs.find_map(|(field, bounds)| {
        let mut ranges = field.split(',').filter(|part| !part.is_empty());
        ranges.find_map(|part| range(part, bounds).err())
    })
}

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
fn range(range: &str, bounds: &Bounds) -> Result<(), String> {
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
    Ok(())
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

fn descriptor(text: &str) -> Option<String> {
    const KNOWN: [&str; 7] =
        ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
    if KNOWN.contains(&text) {
        return None;
    }
    match text.strip_prefix("@every ") {
        Some(duration) => duration_fault(duration)
            .map(|why| format!("failed to parse duration {text}: time: {why} duration {duration:?}")),
        None => Some(format!("unrecognized descriptor: {text}")),
    }
}

/// What is wrong with a duration such as `1h30m`.
fn duration_fault(text: &str) -> Option<String> {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return None;
    }
    if rest.is_empty() {
        return Some("invalid".to_owned());
    }
    while !rest.is_empty() {
        let (number, after) =
            rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len()));
        let digits = number.bytes().filter(u8::is_ascii_digit).count();
        if digits == 0 || number.len() > digits + 1 {
            return Some("invalid".to_owned());
        }
        let (unit, after) =
            after.split_at(after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len()));
        if unit.is_empty() {
            return Some("missing unit in".to_owned());
        }
        if !["ns", "us", "µs", "μs", "ms", "s", "m", "h"].contains(&unit) {
            return Some(format!("unknown unit {unit:?} in"));
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::fault;

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
            assert_eq!(fault(schedule).as_deref(), want, "{schedule}");
        }
    }
}
