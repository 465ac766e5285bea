//! Numbers that may be a share of a whole: `3` or `25%`.

use kube_object::field_error::FieldError;
use serde_json::Value;

use crate::validation::pod::words;
use crate::validation::{Errors, PathRef};

/// The value must be a number that is not negative, or a percentage.
pub(super) fn check(value: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    match value {
        Value::String(text) if percent(text).is_none() => {
            let why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', \
                       regex used for validation is '[0-9]+%')";
            errors.push(FieldError::invalid(path, text.as_str(), why));
        }
        _ => words::nonnegative(value, path, errors),
    }
}

/// A share must not be more than all.
pub(super) fn not_over_all(value: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if value.as_str().and_then(percent).is_some_and(|share| share > 100) {
        errors.push(FieldError::invalid(path, value.clone(), "must not be greater than 100%"));
    }
}

/// The number, or the number before the sign; 0 for what is neither.
pub(super) fn number(value: &Value) -> u64 {
    match value {
        Value::String(text) => percent(text).unwrap_or(0),
        _ => value.as_i64().map_or(0, i64::unsigned_abs),
    }
}

fn percent(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('%')?;
    let sound = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    sound.then(|| digits.parse().unwrap_or(u64::MAX))
}
