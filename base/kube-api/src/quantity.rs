//! Quantities: `resource.Quantity`, an exact decimal with a suffix, such as `500m` or `1Gi`.
//!
//! A quantity is kept in billionths, the finest unit that the API knows; what is finer
//! is rounded away from zero, what is larger than 2^63-1 is cut to that.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

/// One, in the unit that is counted.
const ONE: i128 = 1_000_000_000;
/// The largest amount.
const MAX: i128 = (i64::MAX as i128) * ONE;

/// An amount and how it likes to be written.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    form: Form,
}

/// How a quantity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `n`, `u`, `m`, none, `k`, `M`, `G`, `T`, `P`, `E`.
    Decimal,
    /// `Ki`, `Mi`, `Gi`, `Ti`, `Pi`, `Ei`.
    Binary,
    /// `e3`.
    Exponent,
}

/// The text is not a quantity; the message is the API's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuantity {
    /// It has not the form of one.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Form,
    /// Nobody knows the suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self { nanos: 0, form: Form::Decimal };

    /// A whole number.
    pub fn from_int(value: i64) -> Self {
        Self { nanos: i128::from(value) * ONE, form: Form::Decimal }
    }

    /// Reads `500m`, `1.5Gi`, `1e3`.
    pub fn parse(text: &str) -> Result<Self, InvalidQuantity> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, rest) = rest.split_at(digits(rest));
        let (part, suffix) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(digits(rest)),
            None => ("", rest),
        };
        if whole.is_empty() && part.is_empty() {
            return Err(InvalidQuantity::Form);
        }
        let (form, scale) = suffix_scale(suffix)?;
        let nanos = scaled(whole, part, scale);
        Ok(Self { nanos: if negative { -nanos } else { nanos }, form })
    }

    /// Reads a JSON string or number; none where anything else stands or it is malformed.
    pub fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text.trim()).ok(),
            Value::Number(number) => Self::parse(&number.to_string()).ok(),
            _ => None,
        }
    }

    /// Billionths of one.
    pub fn nanos(self) -> i128 {
        self.nanos
    }

    /// Thousandths of one, rounded away from zero.
    pub fn milli_value(self) -> i64 {
        clamp(round_up(self.nanos, ONE / 1000))
    }

    /// The whole number, rounded away from zero.
    pub fn value(self) -> i64 {
        clamp(round_up(self.nanos, ONE))
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Whether it is less than nothing.
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Whether it is a whole number.
    pub fn is_integer(self) -> bool {
        self.nanos % ONE == 0
    }

    /// The sum, written as the first is, or as the second where the first is nothing.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let form = if self.nanos == 0 { other.form } else { self.form };
        Self { nanos: (self.nanos + other.nanos).clamp(-MAX, MAX), form }
    }

    /// The difference, written as the first is, or as the second where the first is nothing.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.plus(Self { nanos: -other.nanos, form: other.form })
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

/// The canonical text: no fraction, the largest suffix that keeps the number whole.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let small = self.nanos.abs() < 1024 * ONE;
        match self.form {
            Form::Binary if !small => binary(f, round_up(self.nanos, ONE)),
            Form::Exponent => decimal(f, self.nanos, &|exponent| match exponent {
                0 => String::new(),
                exponent => format!("e{exponent}"),
            }),
            Form::Binary | Form::Decimal => decimal(f, self.nanos, &|exponent| {
                let at = usize::try_from((exponent + 9) / 3).unwrap_or(0);
                DECIMAL.get(at).copied().unwrap_or_default().to_owned()
            }),
        }
    }
}

/// Suffixes of 10^-9, 10^-6, … 10^18.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
/// Suffixes of 2^10, 2^20, … 2^60.
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

fn decimal(f: &mut fmt::Formatter<'_>, nanos: i128, suffix: &dyn Fn(i32) -> String) -> fmt::Result {
    let (mut number, mut exponent) = (nanos, -9);
    if number == 0 {
        return f.write_str("0");
    }
    while number % 1000 == 0 && exponent < 18 {
        number /= 1000;
        exponent += 3;
    }
    write!(f, "{number}{}", suffix(exponent))
}

fn binary(f: &mut fmt::Formatter<'_>, mut number: i128) -> fmt::Result {
    let mut suffix = "";
    let mut suffixes = BINARY.iter();
    while number % 1024 == 0 {
        let Some(next) = suffixes.next() else { break };
        number /= 1024;
        suffix = next;
    }
    write!(f, "{number}{suffix}")
}

/// What a suffix multiplies by.
#[derive(Clone, Copy)]
enum Scale {
    Ten(i32),
    Two(u32),
}

fn suffix_scale(suffix: &str) -> Result<(Form, Scale), InvalidQuantity> {
    if let Some(at) = DECIMAL.iter().position(|known| *known == suffix) {
        return Ok((Form::Decimal, Scale::Ten(at as i32 * 3 - 9)));
    }
    if let Some(at) = BINARY.iter().position(|known| *known == suffix) {
        return Ok((Form::Binary, Scale::Two((at as u32 + 1) * 10)));
    }
    let letters = |byte: u8| b"eEinumkKMGTP".contains(&byte);
    let rest = suffix.trim_start_matches(|letter: char| letter.is_ascii() && letters(letter as u8));
    let number = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidQuantity::Form);
    }
    let exponent = suffix.strip_prefix(['e', 'E']).and_then(|text| text.parse().ok());
    exponent.map(|exponent: i32| (Form::Exponent, Scale::Ten(exponent))).ok_or(InvalidQuantity::Suffix)
}

/// The number's billionths, rounded up and cut at the largest amount.
fn scaled(whole: &str, part: &str, scale: Scale) -> i128 {
    // Digits before the point after all shifting; what is behind nine more only rounds up.
    let (shift, factor) = match scale {
        Scale::Ten(exponent) => (i64::from(exponent), 1),
        Scale::Two(bits) => (0, 1i128 << bits),
    };
    let digits = whole.bytes().chain(part.bytes()).map(|byte| i128::from(byte - b'0'));
    let point = whole.len() as i64 + shift + 9;
    // A binary factor can bring digits behind the ninth back before it: keep nine more.
    let spare: i64 = if factor == 1 { 0 } else { 9 };
    let mut amount: i128 = 0;
    let mut lost = false;
    for (at, digit) in digits.clone().enumerate() {
        if (at as i64) < point + spare {
            amount = amount.saturating_mul(10).saturating_add(digit);
        } else {
            lost |= digit != 0;
        }
        if amount > MAX.saturating_mul(ONE) {
            return MAX;
        }
    }
    let missing = (point + spare) - (whole.len() + part.len()) as i64;
    for _ in 0..missing.clamp(0, 64) {
        if amount == 0 {
            break;
        }
        amount = amount.saturating_mul(10);
    }
    amount = amount.saturating_mul(factor);
    let unit = if spare == 0 { 1 } else { ONE };
    let rounded = round_up(amount, unit).saturating_add(i128::from(lost && amount % unit == 0));
    rounded.min(MAX)
}

fn round_up(nanos: i128, unit: i128) -> i128 {
    let rest = nanos % unit;
    nanos / unit + rest.signum()
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_canonical_form() {
        for (text, canonical) in [
            ("0", "0"),
            ("0.5", "500m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("1000", "1k"),
            ("1024Ki", "1Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Mi", "512Ki"),
            ("1023Mi", "1023Mi"),
            ("0.5Ki", "512"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("12e2", "1200"),
            ("1E", "1E"),
            ("100m", "100m"),
            ("-5", "-5"),
            ("+5", "5"),
            (".5", "500m"),
            ("5.", "5"),
            ("1n", "1n"),
            ("0.1n", "1n"),
            ("100Ei", "9223372036854775807"),
            ("99999999999999999999999999999999999999999999999999", "9223372036854775807"),
            ("1e-3", "1e-3"),
            ("0e999999", "0"),
            ("2Ei", "2Ei"),
        ] {
            assert_eq!(Quantity::parse(text).unwrap().to_string(), canonical, "{text}");
        }
        for (text, error) in [
            ("", InvalidQuantity::Form),
            ("abc", InvalidQuantity::Form),
            ("1 Gi", InvalidQuantity::Form),
            ("1x", InvalidQuantity::Form),
            ("1ki", InvalidQuantity::Suffix),
            ("1mm", InvalidQuantity::Suffix),
            ("1.2.3", InvalidQuantity::Form),
            ("ä", InvalidQuantity::Form),
        ] {
            assert_eq!(Quantity::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn counts() {
        let parse = |text| Quantity::parse(text).unwrap();
        assert_eq!(parse("1001m").value(), 2);
        assert_eq!(parse("0.1m").milli_value(), 1);
        assert_eq!(parse("1Gi"), parse("1024Mi"));
        assert!(parse("1G") < parse("1Gi"));
        assert_eq!(parse("1Gi").plus(parse("512Mi")).to_string(), "1536Mi");
        assert_eq!(parse("1").minus(parse("250m")).to_string(), "750m");
    }

    proptest::proptest! {
        #[test]
        fn canonical_text_reads_back(text in "[+-]?[0-9]{0,12}\\.?[0-9]{0,12}(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e-?[0-9]{1,2})?") {
            if let Ok(quantity) = Quantity::parse(&text) {
                let canonical = quantity.to_string();
                let again = Quantity::parse(&canonical).unwrap();
                proptest::prop_assert_eq!(again.to_string(), canonical);
            }
        }

        #[test]
        fn never_panics(text in ".{0,20}") {
            let _ = Quantity::parse(&text);
        }
    }
}
