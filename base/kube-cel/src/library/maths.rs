//! `math`, `base64` and `lists.range`.

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::Result;
use crate::error::EvalError;
use crate::val::{Val, compare};

pub(super) fn call<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    Some(match (name, args) {
        ("lists.range", [Val::Int(count)]) if *count > RANGE_MAX => Err(EvalError::Cost),
        ("lists.range", [Val::Int(count)]) => Ok(Val::list((0..*count).map(Val::Int).collect())),
        ("math.greatest", _) => extreme(args, Ordering::Greater),
        ("math.least", _) => extreme(args, Ordering::Less),
        ("math.abs", [Val::Int(value)]) => {
            value.checked_abs().map(Val::Int).ok_or_else(|| EvalError::text("integer overflow"))
        }
        ("math.abs", [Val::Double(value)]) => Ok(Val::Double(value.abs())),
        ("math.ceil", [Val::Double(value)]) => Ok(Val::Double(value.ceil())),
        ("math.floor", [Val::Double(value)]) => Ok(Val::Double(value.floor())),
        ("math.round", [Val::Double(value)]) => Ok(Val::Double(value.round())),
        ("math.trunc", [Val::Double(value)]) => Ok(Val::Double(value.trunc())),
        ("math.sign", [Val::Int(value)]) => Ok(Val::Int(value.signum())),
        ("math.sign", [Val::Double(value)]) => {
            Ok(Val::Double(if *value == 0.0 { 0.0 } else { value.signum() }))
        }
        ("base64.encode", [Val::Bytes(bytes)]) => Ok(Val::string(STANDARD.encode(bytes))),
        ("base64.decode", [Val::Text(text)]) => {
            let text = text.as_str();
            let decoded = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text));
            decoded
                .map(|bytes| Val::Bytes(bytes.into()))
                .map_err(|error| EvalError::said(format!("illegal base64 data: {error}")))
        }
        _ => return None,
    })
}

fn extreme<'a>(args: &[Val<'a>], wanted: Ordering) -> Result<'a> {
    let items: Vec<Val<'a>> = match args {
        [Val::List(list)] => list.iter().collect(),
        args => args.to_vec(),
    };
    let mut items = items.into_iter();
    let mut best = items.next().ok_or_else(|| EvalError::text("argument must not be empty"))?;
    for item in items {
        if compare(&item, &best)? == Some(wanted) {
            best = item;
        }
    }
    Ok(best)
}

/// The longest list that is made at once.
const RANGE_MAX: i64 = 1_000_000;
