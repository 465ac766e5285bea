//! Types, strings and numbers.

use kube_object::field_error::FieldError;
use serde_json::{Number, Value};

use super::{Validator, formats};
use crate::schema::{Checks, Structural};

/// The type that was wanted and the one that was found, if they differ.
pub(super) fn wrong_type(value: &Value, schema: &Structural) -> Option<(String, &'static str)> {
    let kinds: &[&str] = match schema.kind.as_str() {
        _ if schema.int_or_string => &["integer", "string"],
        "" => &[],
        kind => &[kind],
    };
    let wanted = |kind: &str| kinds.contains(&kind);
    if value.is_null() {
        let fits = kinds.is_empty() || wanted("null") || schema.nullable;
        return (!fits).then(|| (kinds.join(","), "null"));
    }
    let format = formats::effective(schema);
    if kinds.is_empty() && format.is_empty() {
        return None;
    }
    let (kind, own_format) = kind_of(value);
    let whole = kind == "number" && wanted("integer") && value.as_f64().is_some_and(is_whole);
    let widened = kind == "integer" && wanted("number");
    let fits = wanted(kind) || whole || widened;
    let is_text = value.is_string() || value.is_array();
    if !format.is_empty() {
        if !is_text && !fits && own_format != format {
            return Some((format.to_owned(), own_format));
        }
        if is_text && !wanted("number") && !wanted("integer") {
            return None;
        }
    }
    (!fits).then(|| (kinds.join(","), kind))
}

fn kind_of(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
        Value::Number(number) if number.is_i64() => ("integer", "int64"),
        Value::Number(_) => ("number", "double"),
    }
}

fn is_whole(number: f64) -> bool {
    number.fract() == 0.0 && number.abs() <= MAX_WHOLE
}

/// Whether a value is one of an enumeration, where 1 and 1.0 are the same.
pub(super) fn same(one: &Value, value: &Value) -> bool {
    match (one, value) {
        (Value::Number(one), Value::Number(value)) => one == value || one.as_f64() == value.as_f64(),
        _ => one == value,
    }
}

impl Validator<'_> {
    /// The first of a string's restrictions that does not hold.
    pub(super) fn string(&self, text: &str, checks: &Checks) -> Option<FieldError> {
        let path = &self.path;
        if checks.max_length.is_some() || checks.min_length.is_some() {
            let chars = text.chars().count() as i64;
            if let Some(max) = checks.max_length.filter(|max| chars > *max) {
                let max = usize::try_from(max).unwrap_or_default();
                return Some(FieldError::too_long(self.field(""), max));
            }
            if let Some(min) = checks.min_length.filter(|min| chars < *min) {
                let detail = format!("{path} in body should be at least {min} chars long");
                return Some(FieldError::invalid(self.field(""), text, detail));
            }
        }
        let pattern = checks.pattern.as_ref()?;
        let shown = match pattern.is_match(text) {
            Ok(true) => return None,
            Ok(false) => pattern.text().to_owned(),
            Err(error) => format!("{}, but pattern is invalid: {error}", pattern.text()),
        };
        Some(FieldError::invalid(self.field(""), text, format!("{path} in body should match '{shown}'")))
    }

    pub(super) fn format(&self, text: &str, schema: &Structural) -> Option<FieldError> {
        let format = formats::effective(schema);
        if format.is_empty() || formats::fits(format, text) {
            return None;
        }
        let detail = format!("{} in body must be of type {format}: {text:?}", self.path);
        Some(FieldError::type_invalid(self.field(""), text, detail))
    }

    pub(super) fn number(&self, number: &Number, checks: &Checks) -> Vec<FieldError> {
        let mut found = Vec::new();
        let mut wrong = |detail: String| {
            let detail = format!("{} in body should be {detail}", self.path);
            found.push(FieldError::invalid(self.field(""), Value::Number(number.clone()), detail));
        };
        let value = number.as_f64().unwrap_or_default();
        // Whole numbers are compared as such, with the bound's fraction dropped.
        let whole = number.as_i64();
        let shown = |bound: f64| match whole {
            Some(_) => (bound as i64).to_string(),
            None => bound.to_string(),
        };
        let compare = |bound: f64| match whole {
            Some(whole) => whole.cmp(&(bound as i64)),
            None => value.total_cmp(&bound),
        };
        if let Some(factor) = checks.multiple_of {
            let fits = match whole {
                Some(whole) => whole.checked_rem(factor as i64).is_none_or(|rest| rest == 0),
                None if factor < 1.0 => is_whole(1.0 / factor * value),
                None => is_whole(value / factor),
            };
            if !fits {
                wrong(format!("a multiple of {}", shown(factor)));
            }
        }
        if let Some(min) = checks.minimum {
            let order = compare(min);
            if order.is_lt() && !checks.exclusive_minimum {
                wrong(format!("greater than or equal to {}", shown(min)));
            } else if order.is_le() && checks.exclusive_minimum {
                wrong(format!("greater than {}", shown(min)));
            }
        }
        if let Some(max) = checks.maximum {
            let order = compare(max);
            if order.is_gt() && !checks.exclusive_maximum {
                wrong(format!("less than or equal to {}", shown(max)));
            } else if order.is_ge() && checks.exclusive_maximum {
                wrong(format!("less than {}", shown(max)));
            }
        }
        found
    }
}

/// The largest whole number that a double holds exactly, with all smaller ones.
const MAX_WHOLE: f64 = 9_007_199_254_740_991.0;
