//! Why Go cannot read a text as a time of RFC 3339.

use crate::time::{MicroTime, Time};

/// The error of Go's `time.Parse`; none if it is a time.
pub(super) fn error(text: &str, micro: bool) -> Option<String> {
    let is_time = if micro { MicroTime::parse(text).is_ok() } else { Time::parse(text).is_ok() };
    if is_time && (!micro || has_six_digits(text)) {
        return None;
    }
    let layout = if micro { MICRO } else { SECONDS };
    Some(format!("parsing time {text:?}{}", reason(text, layout, micro)))
}

fn has_six_digits(text: &str) -> bool {
    let fraction = text.get(19..).and_then(|rest| rest.strip_prefix('.'));
    fraction.is_some_and(|rest| rest.bytes().take_while(u8::is_ascii_digit).count() == 6)
}

fn reason(text: &str, layout: &str, micro: bool) -> String {
    let bad = |rest: &str, want: &str| format!(" as {layout:?}: cannot parse {rest:?} as {want:?}");
    let mut rest = text;
    let mut day = (0, 0, 0);
    for (width, element, literal, name) in PARTS {
        let digits = rest.bytes().take(width).take_while(u8::is_ascii_digit).count();
        if digits < width {
            return bad(rest, element);
        }
        let number: i32 = rest[..width].parse().unwrap_or_default();
        rest = &rest[width..];
        let too_big = match name {
            "month" => !(1..=12).contains(&number),
            "hour" => number > 23,
            "minute" | "second" => number > 59,
            _ => false,
        };
        if too_big {
            return format!(": {name} out of range");
        }
        match name {
            "year" => day.0 = number,
            "month" => day.1 = number,
            "day" => day.2 = number,
            _ => {}
        }
        match rest.strip_prefix(literal) {
            Some(after) => rest = after,
            None => return bad(rest, literal),
        }
    }
    rest = match fraction(rest, micro) {
        Some(rest) => rest,
        None => return bad(rest, ".000000"),
    };
    zone(rest, bad)
        .unwrap_or_else(|| if day_exists(day) { "".to_owned() } else { ": day out of range".to_owned() })
}

fn fraction(rest: &str, micro: bool) -> Option<&str> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    match rest.strip_prefix('.') {
        Some(after) if micro => (digits(after) == 6).then(|| &after[6..]),
        Some(after) if digits(after) > 0 => Some(&after[digits(after)..]),
        _ => (!micro).then_some(rest),
    }
}

fn zone(rest: &str, bad: impl Fn(&str, &str) -> String) -> Option<String> {
    let after = match rest.strip_prefix('Z') {
        Some(after) => after,
        None => {
            let form = rest.as_bytes().get(..6).is_some_and(|zone| {
                matches!(zone[0], b'+' | b'-')
                    && zone[3] == b':'
                    && [1, 2, 4, 5].iter().all(|at| zone[*at].is_ascii_digit())
            });
            if !form {
                return Some(bad(rest, "Z07:00"));
            }
            &rest[6..]
        }
    };
    (!after.is_empty()).then(|| format!(": extra text: {after:?}"))
}

fn day_exists((year, month, day): (i32, i32, i32)) -> bool {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    (1..=days).contains(&day)
}

const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
const MICRO: &str = "2006-01-02T15:04:05.000000Z07:00";
/// Digits, how the layout writes them, what follows, and what they are.
const PARTS: [(usize, &str, &str, &str); 6] = [
    (4, "2006", "-", "year"),
    (2, "01", "-", "month"),
    (2, "02", "T", "day"),
    (2, "15", ":", "hour"),
    (2, "04", ":", "minute"),
    (2, "05", "", "second"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_why_as_go_does() {
        let layout = "as \"2006-01-02T15:04:05Z07:00\": cannot parse";
        for (text, expected) in [
            ("abc", format!("parsing time \"abc\" {layout} \"abc\" as \"2006\"")),
            ("2020", format!("parsing time \"2020\" {layout} \"\" as \"-\"")),
            ("2020-1-01", format!("parsing time \"2020-1-01\" {layout} \"1-01\" as \"01\"")),
            ("2020-13-01T00:00:00Z", "parsing time \"2020-13-01T00:00:00Z\": month out of range".to_owned()),
            ("2021-02-29T00:00:00Z", "parsing time \"2021-02-29T00:00:00Z\": day out of range".to_owned()),
            (
                "2021-02-28T00:00:00",
                format!("parsing time \"2021-02-28T00:00:00\" {layout} \"\" as \"Z07:00\""),
            ),
            ("2021-02-28T00:00:00Zé", "parsing time \"2021-02-28T00:00:00Zé\": extra text: \"é\"".to_owned()),
        ] {
            assert_eq!(error(text, false), Some(expected));
        }
        assert_eq!(error("2021-02-28T00:00:00.5+01:00", false), None);
        assert_eq!(error("2021-02-28T00:00:00.123456Z", true), None);
        assert!(error("2021-02-28T00:00:00Z", true).is_some_and(|text| text.ends_with("as \".000000\"")));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[-0-9TZ:.+é]{0,30}", micro in proptest::bool::ANY) {
            let _ = error(&text, micro);
        }
    }
}
