//! Quantities of resources: `resource.Quantity`, such as `500m` and `1.5Gi`.
//!
//! A number with a suffix of one of three formats. Read and printed in its
//! canonical form, as the API stores it; not a type for arithmetic.

pub use base::InvalidQuantity;

/// The form in which the API prints a quantity: `1000m` is `1`, `0.5` is `500m`,
/// `1.5Gi` is `1536Mi`.
///
/// A text that has that form in the API's eyes stays as it is, with its leading
/// zeros and its sign.
pub fn canonical(text: &str) -> Result<String, InvalidQuantity> {
    let text = text.trim();
    if text.is_empty() {
        return Err(InvalidQuantity::Format);
    }
    let parts = split(text)?;
    let unit = Unit::of(parts.suffix).ok_or(InvalidQuantity::Suffix)?;
    if is_canonical(&parts, unit) {
        return Ok(text.to_owned());
    }
    let mut amount = Amount::of(&parts);
    match unit {
        Unit::Decimal(exponent) | Unit::Exponent(exponent) => amount.exponent += i64::from(exponent),
        Unit::Binary(power) => (0..power).for_each(|_| amount.double()),
    }
    amount.round_up(NANO);
    let sign = if parts.negative { "-" } else { "" };
    let plain = match unit {
        Unit::Binary(_) => match amount.capped() {
            Some(whole) if whole >= 1024 => return Ok(format!("{sign}{}", binary(whole))),
            _ => amount.decimal(false),
        },
        Unit::Decimal(_) => amount.decimal(false),
        Unit::Exponent(_) => amount.decimal(true),
    };
    Ok(if plain == "0" { plain } else { format!("{sign}{plain}") })
}

struct Parts<'a> {
    negative: bool,
    numerator: &'a str,
    denominator: &'a str,
    suffix: &'a str,
}

#[derive(Clone, Copy)]
enum Unit {
    /// A power of ten by its letter.
    Decimal(i32),
    /// A power of ten by its number.
    Exponent(i32),
    /// A power of two.
    Binary(u32),
}

impl Unit {
    fn of(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "" => Self::Decimal(0),
            "n" => Self::Decimal(-9),
            "u" => Self::Decimal(-6),
            "m" => Self::Decimal(-3),
            "k" => Self::Decimal(3),
            "M" => Self::Decimal(6),
            "G" => Self::Decimal(9),
            "T" => Self::Decimal(12),
            "P" => Self::Decimal(15),
            "E" => Self::Decimal(18),
            "Ki" => Self::Binary(10),
            "Mi" => Self::Binary(20),
            "Gi" => Self::Binary(30),
            "Ti" => Self::Binary(40),
            "Pi" => Self::Binary(50),
            "Ei" => Self::Binary(60),
            _ => Self::Exponent(suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
        })
    }
}

fn split(text: &str) -> Result<Parts<'_>, InvalidQuantity> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (numerator, rest) = unsigned.split_at(digits(unsigned));
    let (denominator, suffix) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    let tail = suffix.trim_start_matches(|letter| "eEinumkKMGTP".contains(letter));
    let tail = tail.strip_prefix(['-', '+']).unwrap_or(tail);
    if digits(tail) != tail.len() {
        return Err(InvalidQuantity::Format);
    }
    // Without any digit the number is zero, as in `k`: the API takes that.
    let numerator = numerator.trim_start_matches('0');
    Ok(Parts { negative: text.starts_with('-'), numerator, denominator, suffix })
}

/// Whether the API keeps the text instead of printing the number anew.
fn is_canonical(parts: &Parts<'_>, unit: Unit) -> bool {
    let numerator = if parts.numerator.is_empty() { "0" } else { parts.numerator };
    let digits = (numerator.len() + parts.denominator.len()) as i64;
    match unit {
        Unit::Decimal(exponent) | Unit::Exponent(exponent) => {
            let scale = i64::from(exponent) - parts.denominator.len() as i64;
            let last = parts.denominator.chars().rev().chain(numerator.chars().rev()).take(3);
            let zeros = last.filter(|digit| *digit == '0').count();
            digits <= 18 && scale >= NANO && scale % 3 == 0 && zeros < 3 && !numerator.starts_with('0')
        }
        Unit::Binary(power) => {
            let fits = 15 - digits - i64::from(power) * 3 / 10 > 0;
            let odd = numerator.parse::<u64>().is_ok_and(|value| value & 7 != 0);
            fits && parts.denominator.is_empty() && odd
        }
    }
}

/// Digits, most significant first and without leading zeros, times a power of ten.
struct Amount {
    digits: Vec<u8>,
    exponent: i64,
}

impl Amount {
    fn of(parts: &Parts<'_>) -> Self {
        let digits = parts.numerator.bytes().chain(parts.denominator.bytes());
        let digits = digits.skip_while(|digit| *digit == b'0').map(|digit| digit - b'0').collect();
        Self { digits, exponent: -(parts.denominator.len() as i64) }
    }

    fn double(&mut self) {
        let mut carry = 0;
        for digit in self.digits.iter_mut().rev() {
            let twice = *digit * 2 + carry;
            (*digit, carry) = (twice % 10, twice / 10);
        }
        if carry > 0 {
            self.digits.insert(0, carry);
        }
    }

    /// Nothing finer than ten to this exponent; what is dropped counts as one more.
    fn round_up(&mut self, exponent: i64) {
        let Ok(surplus) = usize::try_from(exponent - self.exponent) else { return };
        let kept = self.digits.len().saturating_sub(surplus);
        let lossy = self.digits.drain(kept..).any(|digit| digit != 0);
        self.exponent = exponent;
        if !lossy {
            return;
        }
        for digit in self.digits.iter_mut().rev() {
            *digit = (*digit + 1) % 10;
            if *digit != 0 {
                return;
            }
        }
        self.digits.insert(0, 1);
    }

    /// The whole number, at most that of 63 bits; none if it has a fraction.
    fn capped(&mut self) -> Option<u64> {
        while self.exponent < 0 && self.digits.last() == Some(&0) {
            self.digits.pop();
            self.exponent += 1;
        }
        let whole = (self.digits.len() as i64 + self.exponent).max(0) as usize;
        if whole > 19 {
            return Some(i64::MAX as u64);
        }
        let digits = self.digits.iter().copied().chain(std::iter::repeat(0)).take(whole);
        let value = digits.fold(0u64, |value, digit| value * 10 + u64::from(digit));
        if value >= i64::MAX as u64 {
            return Some(i64::MAX as u64);
        }
        (self.exponent >= 0 || self.digits.is_empty()).then_some(value)
    }

    fn decimal(&mut self, as_exponent: bool) -> String {
        while self.digits.last() == Some(&0) {
            self.digits.pop();
            self.exponent += 1;
        }
        if self.digits.is_empty() {
            return "0".to_owned();
        }
        while self.exponent % 3 != 0 {
            self.digits.push(0);
            self.exponent -= 1;
        }
        let mut text: String = self.digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        if as_exponent && self.exponent != 0 {
            text.push_str(&format!("e{}", self.exponent));
            return text;
        }
        let letter = DECIMALS.iter().find(|(exponent, _)| *exponent == self.exponent);
        text.push_str(letter.map_or("", |(_, letter)| letter));
        text
    }
}

fn binary(mut whole: u64) -> String {
    let mut power = 0;
    while whole != 0 && whole.is_multiple_of(1024) && power + 1 < BINARIES.len() {
        whole /= 1024;
        power += 1;
    }
    format!("{whole}{}", BINARIES[power])
}

/// The finest exponent that is kept.
const NANO: i64 = -9;
const DECIMALS: [(i64, &str); 10] =
    [(-9, "n"), (-6, "u"), (-3, "m"), (0, ""), (3, "k"), (6, "M"), (9, "G"), (12, "T"), (15, "P"), (18, "E")];
const BINARIES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_the_api_stores() {
        for (text, expected) in [
            ("0", "0"),
            ("1", "1"),
            ("100m", "100m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("1.5", "1500m"),
            ("0.001", "1m"),
            ("1Gi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("512Ki", "512Ki"),
            ("1024", "1024"),
            ("1000", "1k"),
            ("1000000", "1M"),
            ("128974848", "128974848"),
            ("129e6", "129e6"),
            ("129M", "129M"),
            ("1e3", "1e3"),
            ("1000e3", "1e6"),
            ("0Gi", "0"),
            ("k", "0"),
            ("-1", "-1"),
            ("-0.5", "-500m"),
            ("+5", "+5"),
            ("0.0000000001", "1n"),
            ("1.0000000001", "1000000001n"),
            ("0.5Ki", "512"),
            ("0.1Gi", "107374182400m"),
            ("9999999999999999999Ei", "9223372036854775807"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_in_the_api_s_words() {
        for (text, error) in [
            ("", InvalidQuantity::Format),
            ("abc", InvalidQuantity::Format),
            ("1 Gi", InvalidQuantity::Format),
            ("{}", InvalidQuantity::Format),
            ("1.2.3", InvalidQuantity::Format),
            ("1Kib", InvalidQuantity::Format),
            ("1KiM", InvalidQuantity::Suffix),
            ("1ee3", InvalidQuantity::Suffix),
        ] {
            assert_eq!(canonical(text), Err(error), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn is_idempotent(text in "[+-]?[0-9.]{0,30}(e-?[0-9]{1,9}|[numkMGTPE]|[KMGTPE]i|.{0,3})") {
            if let Ok(once) = canonical(&text) {
                proptest::prop_assert_eq!(canonical(&once), Ok(once));
            }
        }
    }
}
