//! Equality and order. Each step is counted, for values may be large.

use std::cmp::Ordering;

use super::{List, Map, Val};
use crate::env::ListKind;
use crate::error::EvalError;

/// Counts what an evaluation does besides its cost, so that it ends in time.
#[derive(Debug)]
pub(crate) struct Work(pub(crate) u64);

impl Work {
    pub(crate) fn spend(&mut self, steps: usize) -> Result<(), EvalError> {
        self.0 = self.0.checked_sub(steps as u64).ok_or(EvalError::Cost)?;
        Ok(())
    }
}

/// Whether two values are equal; values of different types are not.
pub(crate) fn equal(a: &Val<'_>, b: &Val<'_>, work: &mut Work) -> Result<bool, EvalError> {
    work.spend(1)?;
    Ok(match (a, b) {
        (Val::Null, Val::Null) => true,
        (Val::Bool(a), Val::Bool(b)) => a == b,
        (Val::Text(a), Val::Text(b)) => {
            work.spend(a.as_str().len().min(b.as_str().len()) / 64)?;
            a.as_str() == b.as_str()
        }
        (Val::Bytes(a), Val::Bytes(b)) => {
            work.spend(a.len().min(b.len()) / 64)?;
            a == b
        }
        (Val::Timestamp(a), Val::Timestamp(b)) => a == b,
        (Val::Duration(a), Val::Duration(b)) => a == b,
        (Val::Type(a), Val::Type(b)) => a == b,
        (Val::Optional(None), Val::Optional(None)) => true,
        (Val::Optional(Some(a)), Val::Optional(Some(b))) => equal(a, b, work)?,
        (Val::Opaque(a), Val::Opaque(b)) => a.equals(b),
        (Val::Check(a), Val::Check(b)) => a == b,
        (Val::Decision(a), Val::Decision(b)) => a == b,
        (Val::List(a), Val::List(b)) => lists(a, b, work)?,
        (Val::Map(a), Val::Map(b)) => maps(a, b, work)?,
        (a, b) => numbers(a, b) == Some(Ordering::Equal),
    })
}

fn lists(a: &List<'_>, b: &List<'_>, work: &mut Work) -> Result<bool, EvalError> {
    if a.len() != b.len() {
        return Ok(false);
    }
    match a.kind() {
        ListKind::Atomic => {
            for (a, b) in a.iter().zip(b.iter()) {
                if !equal(&a, &b, work)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        ListKind::Set => {
            for a in a.iter() {
                let mut found = false;
                for b in b.iter() {
                    found = found || equal(&a, &b, work)?;
                }
                if !found {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        ListKind::Map(keys) => {
            for a in a.iter() {
                let mut found = false;
                for b in b.iter() {
                    if !found && same_item(&a, &b, keys, work)? {
                        found = equal(&a, &b, work)?;
                    }
                }
                if !found {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

/// Whether two items of a map list have the same key.
pub(crate) fn same_item(
    a: &Val<'_>,
    b: &Val<'_>,
    keys: &[String],
    work: &mut Work,
) -> Result<bool, EvalError> {
    let (Val::Map(a), Val::Map(b)) = (a, b) else { return Ok(false) };
    let value = |map: &Map<'_>, key: &str| match map {
        // The key is a field of JSON, whatever its name in expressions.
        Map::Json { object, .. } | Map::Object { object, .. } => {
            object.get(key).map(serde_json::Value::to_string)
        }
        other => other.field(key).and_then(|value| value.to_json()).map(|value| value.to_string()),
    };
    for key in keys {
        work.spend(1)?;
        if value(a, key) != value(b, key) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn maps(a: &Map<'_>, b: &Map<'_>, work: &mut Work) -> Result<bool, EvalError> {
    if let (Map::Struct { name: a, .. }, Map::Struct { name: b, .. }) = (a, b)
        && a != b
    {
        return Ok(false);
    }
    if a.len() != b.len() {
        return Ok(false);
    }
    work.spend(a.len())?;
    for (key, value) in a.entries() {
        match b.get(&key) {
            Some(other) if equal(&value, &other, work)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// The order of two numbers of any types.
fn numbers(a: &Val<'_>, b: &Val<'_>) -> Option<Ordering> {
    match (a, b) {
        (Val::Int(a), Val::Int(b)) => Some(a.cmp(b)),
        (Val::Uint(a), Val::Uint(b)) => Some(a.cmp(b)),
        (Val::Int(a), Val::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Val::Uint(a), Val::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Val::Double(a), Val::Double(b)) => a.partial_cmp(b),
        (Val::Double(a), Val::Int(b)) => real_and_whole(*a, i128::from(*b)),
        (Val::Double(a), Val::Uint(b)) => real_and_whole(*a, i128::from(*b)),
        (Val::Int(a), Val::Double(b)) => real_and_whole(*b, i128::from(*a)).map(Ordering::reverse),
        (Val::Uint(a), Val::Double(b)) => real_and_whole(*b, i128::from(*a)).map(Ordering::reverse),
        _ => None,
    }
}

fn real_and_whole(real: f64, whole: i128) -> Option<Ordering> {
    if real.is_nan() {
        return None;
    }
    if real >= 1e30 {
        return Some(Ordering::Greater);
    }
    if real <= -1e30 {
        return Some(Ordering::Less);
    }
    let floor = real.floor();
    let fraction = if real > floor { Ordering::Greater } else { Ordering::Equal };
    Some((floor as i128).cmp(&whole).then(fraction))
}

/// The order of two values that have one; the inner none is that of NaN.
pub(crate) fn compare(a: &Val<'_>, b: &Val<'_>) -> Result<Option<Ordering>, EvalError> {
    Ok(Some(match (a, b) {
        (Val::Bool(a), Val::Bool(b)) => a.cmp(b),
        (Val::Text(a), Val::Text(b)) => a.as_str().cmp(b.as_str()),
        (Val::Bytes(a), Val::Bytes(b)) => a.cmp(b),
        (Val::Timestamp(a), Val::Timestamp(b)) => a.cmp(b),
        (Val::Duration(a), Val::Duration(b)) => a.cmp(b),
        (Val::Int(_) | Val::Uint(_) | Val::Double(_), Val::Int(_) | Val::Uint(_) | Val::Double(_)) => {
            return Ok(numbers(a, b));
        }
        _ => return Err(EvalError::no_overload()),
    }))
}
