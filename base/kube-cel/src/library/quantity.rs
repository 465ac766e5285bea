//! Quantities: `quantity('500Mi').isLessThan(quantity('1Gi'))`.

use std::fmt;

use super::{Opaque, Result, opaque};
use crate::error::EvalError;
use crate::val::Val;

/// A number of billionths.
#[derive(Debug)]
pub struct Quantity {
    pub(super) value: i128,
    text: Option<String>,
}

pub(super) fn call<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    let [Val::Text(text)] = args else { return None };
    Some(match name {
        "quantity" => {
            parse(text.as_str()).map(|quantity| opaque(Opaque::Quantity(quantity))).ok_or_else(|| {
                EvalError::text(
                    "quantities must match the regular expression \
                 '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
                )
            })
        }
        "isQuantity" => Ok(Val::Bool(parse(text.as_str()).is_some())),
        _ => return None,
    })
}

fn parse(text: &str) -> Option<Quantity> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let (base, power) = scale(suffix)?;
    let digits: String = [whole, fraction].concat();
    let digits = digits.trim_start_matches('0');
    let mantissa: i128 = match digits {
        "" => 0,
        digits if digits.len() > 30 => LARGEST,
        digits => digits.parse().ok()?,
    };
    let tens = i64::from(NANO) - fraction.len() as i64 + if base == 10 { power } else { 0 };
    let twos = if base == 2 { power as u32 } else { 0 };
    let mut value = mantissa.checked_mul(1i128 << twos).unwrap_or(LARGEST);
    if tens >= 0 {
        let factor = u32::try_from(tens).ok().and_then(|tens| 10i128.checked_pow(tens));
        value = match (value, factor) {
            (0, _) => 0,
            (value, Some(factor)) => value.checked_mul(factor).unwrap_or(LARGEST),
            _ => LARGEST,
        };
    } else {
        let factor = u32::try_from(-tens).ok().and_then(|tens| 10i128.checked_pow(tens));
        // What is finer than a billionth is rounded up.
        value =
            factor.map_or(i128::from(value > 0), |factor| value / factor + i128::from(value % factor != 0));
    }
    let value = value.min(LARGEST);
    Some(Quantity { value: if negative { -value } else { value }, text: Some(text.to_owned()) })
}

fn scale(suffix: &str) -> Option<(u32, i64)> {
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if let Some(at) = binary.iter().position(|known| *known == suffix) {
        return Some((2, 10 * (at as i64 + 1)));
    }
    let decimal = [
        ("n", -9),
        ("u", -6),
        ("m", -3),
        ("", 0),
        ("k", 3),
        ("M", 6),
        ("G", 9),
        ("T", 12),
        ("P", 15),
        ("E", 18),
    ];
    if let Some((_, power)) = decimal.iter().find(|(known, _)| *known == suffix) {
        return Some((10, *power));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    exponent.parse::<i32>().ok().map(|power| (10, i64::from(power)))
}

impl Quantity {
    fn made<'a>(value: Option<i128>) -> Result<'a> {
        let value = value.ok_or_else(|| EvalError::text("quantity overflow"))?;
        Ok(opaque(Opaque::Quantity(Quantity { value, text: None })))
    }

    fn whole(&self) -> Option<i64> {
        (self.value % BILLION == 0).then(|| i64::try_from(self.value / BILLION).ok()).flatten()
    }

    /// A member function.
    pub(super) fn call<'a>(&self, name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
        let other = match args {
            [] => None,
            [Val::Opaque(other)] => match &**other {
                Opaque::Quantity(other) => Some(other.value),
                _ => return None,
            },
            [Val::Int(whole)] if matches!(name, "add" | "sub") => Some(i128::from(*whole) * BILLION),
            _ => return None,
        };
        Some(match (name, other) {
            ("sign", None) => Ok(Val::Int(self.value.signum() as i64)),
            ("isInteger", None) => Ok(Val::Bool(self.whole().is_some())),
            ("asInteger", None) => {
                self.whole().map(Val::Int).ok_or_else(|| EvalError::text("cannot convert value to integer"))
            }
            ("asApproximateFloat", None) => Ok(Val::Double(self.value as f64 / BILLION as f64)),
            ("isGreaterThan", Some(other)) => Ok(Val::Bool(self.value > other)),
            ("isLessThan", Some(other)) => Ok(Val::Bool(self.value < other)),
            ("compareTo", Some(other)) => Ok(Val::Int(self.value.cmp(&other) as i64)),
            ("add", Some(other)) => Self::made(self.value.checked_add(other)),
            ("sub", Some(other)) => Self::made(self.value.checked_sub(other)),
            _ => return None,
        })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match &self.text {
            Some(text) => text.clone(),
            None if self.value % BILLION == 0 => (self.value / BILLION).to_string(),
            None => format!("{}n", self.value),
        };
        f.write_str(&kube_object::quantity::canonical(&text).unwrap_or(text))
    }
}

const NANO: i32 = 9;
const BILLION: i128 = 1_000_000_000;
/// Where larger numbers end.
const LARGEST: i128 = 1_000_000_000_000_000_000_000_000_000_000_000_000;
