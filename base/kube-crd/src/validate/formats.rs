//! The formats of strings and numbers that are checked; others are only said.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use kube_object::names;
use regex::Regex;

use crate::schema::Structural;

/// Whether a format is checked for values of this type (empty: of any).
pub fn is_known(kind: &str, format: &str) -> bool {
    match kind {
        "" | "string" => STRINGS.contains(&normal(format).as_str()),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    }
}

/// The format of a node, if it is one that is checked; else empty.
pub(super) fn effective(schema: &Structural) -> &str {
    let format = schema.checks.format.as_str();
    let kind = if schema.int_or_string { "" } else { schema.kind.as_str() };
    if format.is_empty() || !is_known(kind, format) { "" } else { format }
}

/// Whether a string has the format. What is no format of strings fits.
pub(super) fn fits(format: &str, text: &str) -> bool {
    match normal(format).as_str() {
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "uri" => is_uri(text),
        "email" => is_email(text),
        "hostname" => is_hostname(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "uuid" => is_uuid(text, None, false),
        "uuid3" => is_uuid(text, Some('3'), false),
        "uuid4" => is_uuid(text, Some('4'), true),
        "uuid5" => is_uuid(text, Some('5'), true),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        "creditcard" => is_credit_card(text),
        "ssn" => SSN.is_match(text),
        "hexcolor" => HEX_COLOR.is_match(text),
        "rgbcolor" => RGB_COLOR.is_match(text),
        "byte" => is_base64(text),
        "date" => is_date(text),
        "duration" => is_duration(text),
        "datetime" => is_date_time(text),
        "k8sshortname" => names::dns1123_label(text).is_empty(),
        "k8slongname" => names::dns1123_subdomain(text).is_empty(),
        _ => true,
    }
}

fn normal(format: &str) -> String {
    format.replace('-', "")
}

/// An absolute URI, or an absolute path.
fn is_uri(text: &str) -> bool {
    if text.is_empty() || text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let mut letters = scheme.bytes();
    let named = letters.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    named && !rest.split(['?', '#']).next().unwrap_or_default().contains(' ')
}

/// `local@domain`, also as `Name <local@domain>`.
fn is_email(text: &str) -> bool {
    let address = match text.trim().strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((_, address)) => address,
        None => text.trim(),
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let atom = |text: &str| {
        let fine = |letter: char| {
            letter.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(letter) || !letter.is_ascii()
        };
        !text.is_empty() && text.split('.').all(|part| !part.is_empty() && part.chars().all(fine))
    };
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let literal = domain.starts_with('[') && domain.ends_with(']');
    (quoted || atom(local)) && (literal || atom(domain))
}

fn is_hostname(text: &str) -> bool {
    let letter =
        |letter: char| letter.is_ascii_alphanumeric() || (!letter.is_ascii() && !letter.is_control());
    let label = |label: &str| {
        let ends = label.starts_with(letter) && label.ends_with(letter);
        label.len() <= 63 && ends && label.chars().all(|one| one == '-' || letter(one))
    };
    text.len() <= 255 && !text.is_empty() && text.split('.').all(label)
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let plain = !bits.is_empty() && bits.len() <= 3 && bits.bytes().all(|byte| byte.is_ascii_digit());
    let within = |most: u16| plain && bits.parse::<u16>().is_ok_and(|bits| bits <= most);
    (address.parse::<Ipv4Addr>().is_ok() && within(32))
        || (address.parse::<Ipv6Addr>().is_ok() && within(128))
}

fn is_mac(text: &str) -> bool {
    let hex = |part: &str, len: usize| part.len() == len && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let of = |separator: char, len: usize, counts: [usize; 3]| {
        let parts: Vec<&str> = text.split(separator).collect();
        counts.contains(&parts.len()) && parts.iter().all(|part| hex(part, len))
    };
    of(':', 2, [6, 8, 20]) || of('-', 2, [6, 8, 20]) || of('.', 4, [3, 4, 10])
}

/// Dashes may be left out.
fn is_uuid(text: &str, version: Option<char>, variant: bool) -> bool {
    let mut rest = text;
    for (at, len) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if at > 0 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        let Some((group, after)) = rest.split_at_checked(len) else { return false };
        let first = group.chars().next().map(|letter| letter.to_ascii_lowercase());
        let fits = match at {
            2 => version.is_none() || first == version,
            3 => !variant || first.is_some_and(|letter| "89ab".contains(letter)),
            _ => true,
        };
        if !fits || !group.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

fn digits_of(text: &str) -> Vec<u32> {
    text.chars().filter_map(|letter| letter.to_digit(10)).collect()
}

fn is_isbn10(text: &str) -> bool {
    let plain: String = text.chars().filter(|letter| !matches!(letter, '-' | ' ')).collect();
    let (Some(body), Some(last)) = (plain.get(..9), plain.get(9..)) else { return false };
    let check = match last {
        "X" => 10,
        one if one.len() == 1 => match one.parse() {
            Ok(digit) => digit,
            Err(_) => return false,
        },
        _ => return false,
    };
    let digits = digits_of(body);
    let sum: u32 = digits.iter().zip(1..).map(|(digit, weight)| digit * weight).sum();
    digits.len() == 9 && (sum + 10 * check).is_multiple_of(11)
}

fn is_isbn13(text: &str) -> bool {
    let plain: String = text.chars().filter(|letter| !matches!(letter, '-' | ' ')).collect();
    let digits = digits_of(&plain);
    let sum: u32 =
        digits.iter().enumerate().map(|(at, digit)| if at % 2 == 0 { *digit } else { digit * 3 }).sum();
    digits.len() == 13 && plain.len() == 13 && sum.is_multiple_of(10)
}

fn is_credit_card(text: &str) -> bool {
    let plain: String = text.chars().filter(char::is_ascii_digit).collect();
    if !CREDIT_CARD.is_match(&plain) {
        return false;
    }
    let luhn = |(at, digit): (usize, &u32)| match (at % 2, digit * 2) {
        (0, _) => *digit,
        (_, twice) if twice > 9 => twice - 9,
        (_, twice) => twice,
    };
    let digits: Vec<u32> = digits_of(&plain).into_iter().rev().collect();
    digits.iter().enumerate().map(luhn).sum::<u32>().is_multiple_of(10)
}

fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    !text.is_empty() && text.len().is_multiple_of(4) && padding <= 2 && body.bytes().all(alphabet)
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return false;
    }
    let number = |from: usize, to: usize| {
        let part = text.get(from..to).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        part.and_then(|part| part.parse::<u32>().ok())
    };
    let (Some(year), Some(month), Some(day)) = (number(0, 4), number(5, 7), number(8, 10)) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once(['T', 't']) else { return false };
    let Some(parts) = TIME.captures(time) else { return false };
    let below = |at: usize, end: u32| parts[at].parse::<u32>().is_ok_and(|number| number < end);
    is_date(date) && below(1, 24) && below(2, 60) && below(3, 60)
}

/// Go's `1h30m`, or numbers with words, as in `22 ns` or `3 weeks`.
fn is_duration(text: &str) -> bool {
    GO_DURATION.is_match(text) || WORD_DURATION.is_match(text)
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the tests compile every pattern of this file")
}

static SSN: LazyLock<Regex> = LazyLock::new(|| regex(r"^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$"));
static HEX_COLOR: LazyLock<Regex> = LazyLock::new(|| regex(r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"));
static RGB_COLOR: LazyLock<Regex> = LazyLock::new(|| {
    let byte = r"\s*(0|[1-9][0-9]?|1[0-9][0-9]|2[0-4][0-9]|25[0-5])\s*";
    regex(&format!(r"^rgb\({byte},{byte},{byte}\)$"))
});
static CREDIT_CARD: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^(4[0-9]{12}([0-9]{3})?|5[1-5][0-9]{14}|6(011|5[0-9]{2})[0-9]{12}|3[47][0-9]{13}|3(0[0-5]|[68][0-9])[0-9]{11}|(2131|1800|35[0-9]{3})[0-9]{11})$",
    )
});
static TIME: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?([zZ]|[+-][0-9]{2}:[0-9]{2})$"));
static GO_DURATION: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^[+-]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$"));
static WORD_DURATION: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^([0-9]+(\.[0-9]+)?)\s*(ns|nanos?|nanoseconds?|us|µs|micros?|microseconds?|ms|millis?|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hr|hrs|hours?|d|days?|w|wk|weeks?)$",
    )
});

/// Formats of strings, without their dashes.
const STRINGS: [&str; 26] = [
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "datetime",
    "k8sshortname",
    "k8slongname",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_of_strings() {
        for (format, good, bad) in [
            ("bsonobjectid", "507f1f77bcf86cd799439011", "507f"),
            ("uri", "https://example.com/a?b", "example.com"),
            ("uri", "/path", "a b"),
            ("email", "a.b@example.com", "a@"),
            ("hostname", "a-1.example.com", "-a"),
            ("ipv4", "10.0.0.1", "10.0.0"),
            ("ipv6", "::1", "10.0.0.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("mac", "01:23:45:67:89:ab", "01:23"),
            ("uuid", "A98B7C6D-1234-1234-1234-1234567890ab", "a98b"),
            ("uuid4", "a98b7c6d-1234-4234-8234-1234567890ab", "a98b7c6d-1234-3234-8234-1234567890ab"),
            ("isbn10", "0321751043", "0321751044"),
            ("isbn13", "978-0321751041", "9780321751042"),
            ("creditcard", "4111 1111 1111 1111", "4111111111111112"),
            ("ssn", "123-45-6789", "12-34"),
            ("hexcolor", "#FFF", "#FF"),
            ("rgbcolor", "rgb(255, 0,1)", "rgb(256,0,0)"),
            ("byte", "YQ==", "YQ="),
            ("date", "2024-02-29", "2023-02-29"),
            ("date-time", "2014-12-15T19:30:20.000Z", "2014-12-15"),
            ("datetime", "2014-12-15t19:30:20+01:00", "2014-12-15T25:30:20Z"),
            ("duration", "1h30m", "1x"),
            ("duration", "22 ns", "h"),
            ("k8s-short-name", "abc", "A.b"),
            ("k8s-long-name", "a.b", "a..b"),
            ("password", "x", "\u{0}\u{0}never"),
        ] {
            assert!(is_known("string", format), "{format}");
            assert!(fits(format, good), "{format} {good}");
            assert!(!fits(format, bad) || format == "password", "{format} {bad}");
        }
        assert!(!is_known("string", "quantity") && !is_known("boolean", "date"));
        assert!(is_known("integer", "int32") && is_known("number", "double"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[-0-9a-zA-Z:.@/<>\\[\\]\" é=+T]{0,40}") {
            for format in STRINGS {
                let _ = fits(format, &text);
            }
        }
    }
}
