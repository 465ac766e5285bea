//! Amounts of resources as the Kubernetes API writes them: `100m`, `1.5Gi`, `2e3`.
//!
//! A quantity is a decimal number with an exponent in one of three notations.
//! It is kept in billionths and printed in the notation in which it was given, in canonical form:
//! no fraction, the largest suffix that loses nothing.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An exact amount and the notation in which it is printed.
///
/// Two quantities are equal if their amounts are: `1` is `1000m`.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: QuantityFormat,
}

/// A notation of quantities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuantityFormat {
    /// Powers of ten by suffix: `n u m k M G T P E`.
    DecimalSi,
    /// Powers of 1024 by suffix: `Ki Mi Gi Ti Pi Ei`.
    BinarySi,
    /// Powers of ten by exponent: `1e6`.
    DecimalExponent,
}

/// The text is not a quantity. The messages are the ones that clients know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuantity {
    /// It has not the form of a number with a suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The suffix is none of the known ones.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

impl Quantity {
    /// Nothing at all.
    pub const ZERO: Self = Self { nanos: 0, format: QuantityFormat::DecimalSi };

    /// Reads a quantity. What is finer than a billionth is rounded away from zero; a binary amount is
    /// cut at 2^63-1, any other at 1e29.
    pub fn parse(raw: &str) -> Result<Self, InvalidQuantity> {
        let parts = Parts::split(raw)?;
        let (base, exponent, mut format) = suffix_meaning(parts.suffix).ok_or(InvalidQuantity::Suffix)?;
        let magnitude = match base {
            Base::Ten => nanos_decimal(&parts, exponent).unwrap_or(NANOS_MAX),
            Base::Two => nanos_binary(&parts, exponent).min(i128::from(i64::MAX) * NANO),
        };
        let magnitude = magnitude.min(NANOS_MAX);
        if format == QuantityFormat::BinarySi && magnitude > 0 && magnitude < NANO {
            format = QuantityFormat::DecimalSi;
        }
        Ok(Self { nanos: if parts.negative { -magnitude } else { magnitude }, format })
    }

    /// A whole number in the given notation.
    pub fn from_units(units: i64, format: QuantityFormat) -> Self {
        Self { nanos: i128::from(units) * NANO, format }
    }

    /// A whole number.
    pub fn from_int(units: i64) -> Self {
        Self::from_units(units, QuantityFormat::DecimalSi)
    }

    /// Thousandths, as CPU time is counted.
    pub fn from_milli(milli: i64) -> Self {
        Self { nanos: i128::from(milli) * MILLI, format: QuantityFormat::DecimalSi }
    }

    /// Whole units, rounded away from zero, at most what an `i64` holds.
    pub fn value(self) -> i64 {
        saturate(round_away(self.nanos, NANO))
    }

    /// Thousandths, rounded away from zero, at most what an `i64` holds.
    pub fn milli_value(self) -> i64 {
        saturate(round_away(self.nanos, MILLI))
    }

    /// Billionths.
    pub fn nanos(self) -> i128 {
        self.nanos
    }

    /// The value if it is a whole number that an `i64` holds.
    pub fn as_i64(self) -> Option<i64> {
        self.is_integer().then(|| i64::try_from(self.nanos / NANO).ok()).flatten()
    }

    /// The nearest floating-point number.
    pub fn to_f64(self) -> f64 {
        self.nanos as f64 / NANO as f64
    }

    /// The sum; a zero takes the notation of what is added.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let format = if self.nanos == 0 { other.format } else { self.format };
        Self { nanos: (self.nanos + other.nanos).clamp(-NANOS_MAX, NANOS_MAX), format }
    }

    /// The difference; a zero takes the notation of what is subtracted.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.plus(Self { nanos: -other.nanos, ..other })
    }

    /// Rounded away from zero to a whole number.
    #[must_use]
    pub fn rounded(self) -> Self {
        Self { nanos: round_away(self.nanos, NANO) * NANO, ..self }
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
        self.nanos % NANO == 0
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let small = self.nanos.abs() < 1024 * NANO;
        if self.format == QuantityFormat::BinarySi && !small && self.is_integer() {
            let mut number = self.nanos / NANO;
            let mut power = 0;
            while number % 1024 == 0 && power + 1 < BINARY.len() {
                number /= 1024;
                power += 1;
            }
            return write!(f, "{number}{}", BINARY[power]);
        }
        let (number, exponent) = decimal_parts(self.nanos);
        let suffix = DECIMAL.iter().find(|(_, e)| *e == exponent).map(|(suffix, _)| *suffix);
        match suffix {
            Some(suffix) if exponent == 0 || self.format != QuantityFormat::DecimalExponent => {
                write!(f, "{number}{suffix}")
            }
            _ => write!(f, "{number}e{exponent}"),
        }
    }
}

impl std::str::FromStr for Quantity {
    type Err = InvalidQuantity;

    fn from_str(raw: &str) -> Result<Self, InvalidQuantity> {
        Self::parse(raw)
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

impl Hash for Quantity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.nanos.hash(state);
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    /// A string or a number, as the API takes both.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity")
            }
            fn visit_str<E: de::Error>(self, raw: &str) -> Result<Quantity, E> {
                Quantity::parse(raw.trim()).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, units: i64) -> Result<Quantity, E> {
                self.visit_str(&units.to_string())
            }
            fn visit_u64<E: de::Error>(self, units: u64) -> Result<Quantity, E> {
                self.visit_str(&units.to_string())
            }
            fn visit_f64<E: de::Error>(self, units: f64) -> Result<Quantity, E> {
                self.visit_str(&units.to_string())
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    Ten,
    Two,
}

/// A quantity's text taken apart; `number` has no leading zeros.
struct Parts<'a> {
    negative: bool,
    number: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

impl<'a> Parts<'a> {
    fn split(raw: &'a str) -> Result<Self, InvalidQuantity> {
        let (negative, unsigned) = match raw.as_bytes().first() {
            Some(b'-') => (true, &raw[1..]),
            Some(b'+') => (false, &raw[1..]),
            Some(_) => (false, raw),
            None => return Err(InvalidQuantity::Format),
        };
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = unsigned.split_at(digits(unsigned));
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(digits(rest)),
            None => ("", rest),
        };
        if number.is_empty() && fraction.is_empty() {
            return Err(InvalidQuantity::Format);
        }
        let letters = suffix.bytes().take_while(|b| b"eEinumkKMGTP".contains(b)).count();
        let exponent = suffix[letters..].strip_prefix(['+', '-']).unwrap_or(&suffix[letters..]);
        if digits(exponent) != exponent.len() {
            return Err(InvalidQuantity::Format);
        }
        Ok(Self { negative, number: number.trim_start_matches('0'), fraction, suffix })
    }
}

fn suffix_meaning(suffix: &str) -> Option<(Base, i32, QuantityFormat)> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(text, _)| *text == suffix) {
        return Some((Base::Ten, *exponent, QuantityFormat::DecimalSi));
    }
    if let Some(power) = BINARY.iter().skip(1).position(|text| *text == suffix) {
        return Some((Base::Two, 10 * (power as i32 + 1), QuantityFormat::BinarySi));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    Some((Base::Ten, exponent.parse().ok()?, QuantityFormat::DecimalExponent))
}

/// Number and fraction times 10^exponent, in billionths, rounded up; none if that is too much.
fn nanos_decimal(parts: &Parts<'_>, exponent: i32) -> Option<i128> {
    let digits = [parts.number, parts.fraction].concat();
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    // The power of ten of the last digit, counted in billionths.
    let last = i64::from(exponent) + 9 - parts.fraction.len() as i64;
    let keep = if last >= 0 { digits.len() } else { (digits.len() as i64 + last).max(0) as usize };
    if keep > 39 || (last > 0 && digits.len() as i64 + last > 39) {
        return None;
    }
    let mut value: i128 = if keep == 0 { 0 } else { digits[..keep].parse().ok()? };
    if last > 0 {
        value = value.checked_mul(10i128.checked_pow(last as u32)?)?;
    }
    let lost = digits[keep..].bytes().any(|digit| digit != b'0');
    value.checked_add(i128::from(lost))
}

/// Number and fraction times 2^exponent, in billionths, rounded up; saturates.
fn nanos_binary(parts: &Parts<'_>, exponent: i32) -> i128 {
    // 2^60 is below 1e19: beyond 19 digits the amount is cut anyway, and a
    // digit of the fraction beyond the 18th weighs less than what is kept.
    let digits =
        |text: &str| text.bytes().fold(0, |value: i128, digit| value * 10 + i128::from(digit - b'0'));
    if parts.number.len() > 19 {
        return i128::MAX;
    }
    let whole = (digits(parts.number) << exponent).saturating_mul(NANO);
    let (kept, lost) = parts.fraction.split_at(parts.fraction.len().min(18));
    if kept.is_empty() {
        return whole;
    }
    let denominator = 10i128.pow(kept.len() as u32);
    // The numerator is below 1e18 and 2^60 below 1.2e18: the product fits; the billion comes in two steps.
    let scaled = digits(kept) << exponent;
    let (quotient, remainder) = (scaled / denominator, scaled % denominator);
    let rest = remainder * NANO;
    let inexact = rest % denominator != 0 || lost.bytes().any(|digit| digit != b'0');
    let fraction = quotient * NANO + rest / denominator + i128::from(inexact);
    whole.saturating_add(fraction)
}

/// A mantissa without trailing zeros and an exponent that is a multiple of three.
fn decimal_parts(nanos: i128) -> (i128, i32) {
    let (mut number, mut exponent) = (nanos, -9);
    while number % 1000 == 0 {
        number /= 1000;
        exponent += 3;
    }
    (number, exponent)
}

fn round_away(value: i128, step: i128) -> i128 {
    value / step + if value % step == 0 { 0 } else { value.signum() }
}

fn saturate(value: i128) -> i64 {
    value.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

const NANO: i128 = 1_000_000_000;
const MILLI: i128 = 1_000_000;
const NANOS_MAX: i128 = 100_000_000_000_000_000_000_000_000_000_000_000_000;
const DECIMAL: [(&str, i32); 10] =
    [("", 0), ("n", -9), ("u", -6), ("m", -3), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(raw: &str) -> String {
        Quantity::parse(raw).map_or_else(|error| format!("{error:?}"), |quantity| quantity.to_string())
    }

    #[test]
    fn prints_canonically() {
        for (raw, text) in [
            ("0", "0"),
            ("0Ki", "0"),
            ("-0", "0"),
            ("100m", "100m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("5.", "5"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("1025Mi", "1025Mi"),
            ("1023Mi", "1023Mi"),
            ("0.5Mi", "512Ki"),
            ("-5", "-5"),
            ("12e2", "1200"),
            ("1e-3", "1e-3"),
            ("0e999999", "0"),
            ("2Ei", "2Ei"),
            ("1023", "1023"),
            ("512Ki", "512Ki"),
            ("0.5Ki", "512"),
            ("0.0001Ki", "102400u"),
            ("1000k", "1M"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("100e2", "10e3"),
            ("0.1m", "100u"),
            ("0.1n", "1n"),
            ("-0.1n", "-1n"),
            ("1000E", "1e21"),
            ("12E", "12E"),
            ("9Ei", "9223372036854775807"),
            ("99999999999999999999Ki", "9223372036854775807"),
            ("1E", "1E"),
            ("+5", "5"),
            ("1.500", "1500m"),
            ("000100m", "100m"),
            ("1e99", "100e27"),
            ("3.0000000001", "3000000001n"),
        ] {
            assert_eq!(shown(raw), text, "{raw}");
        }
    }

    #[test]
    fn refuses_with_the_known_messages() {
        for (raw, error) in [
            ("", InvalidQuantity::Format),
            (" 1", InvalidQuantity::Format),
            ("1 ", InvalidQuantity::Format),
            ("aoeu", InvalidQuantity::Format),
            (".", InvalidQuantity::Format),
            ("1.1.M", InvalidQuantity::Format),
            ("1+1.0M", InvalidQuantity::Format),
            ("0.1mi", InvalidQuantity::Suffix),
            ("1i", InvalidQuantity::Suffix),
            ("1e", InvalidQuantity::Suffix),
            ("-3.01e-", InvalidQuantity::Suffix),
            ("1K", InvalidQuantity::Suffix),
            ("1e99999999999", InvalidQuantity::Suffix),
        ] {
            assert_eq!(Quantity::parse(raw), Err(error), "{raw}");
        }
        assert_eq!(Quantity::parse("1e-2147483648").map(|q| q.to_string()), Ok("1e-9".to_owned()));
    }

    #[test]
    fn counts_rounds_and_compares() {
        let of = |raw| Quantity::parse(raw).unwrap();
        for (raw, value, milli) in [
            ("1", 1, 1000),
            ("1m", 1, 1),
            ("1u", 1, 1),
            ("-1500m", -2, -1500),
            ("1Ki", 1024, 1_024_000),
            ("9e18", 9_000_000_000_000_000_000, i64::MAX),
        ] {
            assert_eq!((of(raw).value(), of(raw).milli_value()), (value, milli), "{raw}");
        }
        assert_eq!(of("1"), of("1000m"));
        assert!(of("1Ki") > of("1k"));
        assert_eq!((of("5").as_i64(), of("5m").as_i64()), (Some(5), None));
    }

    #[test]
    fn adds_and_subtracts_exactly() {
        let check = |left: &str, right: &str, sum: &str, difference: &str| {
            let (a, b) = (Quantity::parse(left).unwrap(), Quantity::parse(right).unwrap());
            let found = (a.plus(b).to_string(), a.minus(b).to_string());
            assert_eq!(found, (sum.to_owned(), difference.to_owned()), "{left} {right}");
        };
        check("1Gi", "512Mi", "1536Mi", "512Mi");
        check("0", "1Ki", "1Ki", "-1Ki");
        check("100m", "1", "1100m", "-900m");
        check("1Ki", "1m", "1024001m", "1023999m");
        check("1e3", "1", "1001", "999");
    }

    #[test]
    fn travels_as_string_and_number() {
        for (json, text) in [("\" 1Gi \"", "1Gi"), ("2", "2"), ("0.5", "500m"), ("-3", "-3")] {
            let quantity: Quantity = serde_json::from_str(json).unwrap();
            assert_eq!(quantity.to_string(), text);
        }
        assert_eq!(serde_json::to_string(&Quantity::from_milli(250)).unwrap(), "\"250m\"");
        assert_eq!(Quantity::from_units(2048, QuantityFormat::BinarySi).to_string(), "2Ki");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(raw in "[-+]?[0-9.]{0,45}[eEinumkKMGTP]{0,2}[-+]?[0-9]{0,4}") {
            if let Ok(quantity) = Quantity::parse(&raw) {
                let again = Quantity::parse(&quantity.to_string()).unwrap();
                proptest::prop_assert_eq!(again, quantity);
                proptest::prop_assert_eq!(again.to_string(), quantity.to_string());
            }
        }
    }
}
