//! Operators: arithmetic, order, membership, index.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Evaluated, Machine, optional_select};
use crate::env::ListKind;
use crate::error::EvalError;
use crate::library::time;
use crate::val::compare::{Work, same_item};
use crate::val::{List, Map, Val, compare, equal};

/// The result of an operator; none if the function is none.
pub(super) fn apply<'a>(machine: &mut Machine<'a>, name: &str, args: &[Val<'a>]) -> Option<Evaluated<'a>> {
    let work = &mut machine.work;
    let ordered = |fits: fn(Ordering) -> bool| match args {
        [a, b] => compare(a, b).map(|order| Val::Bool(order.is_some_and(fits))),
        _ => Err(EvalError::no_overload()),
    };
    Some(match (name, args) {
        ("_==_", [a, b]) => equal(a, b, work).map(Val::Bool),
        ("_!=_", [a, b]) => equal(a, b, work).map(|same| Val::Bool(!same)),
        ("_<_", _) => ordered(Ordering::is_lt),
        ("_<=_", _) => ordered(Ordering::is_le),
        ("_>_", _) => ordered(Ordering::is_gt),
        ("_>=_", _) => ordered(Ordering::is_ge),
        ("_+_", [a, b]) => add(a, b, work),
        ("_-_", [a, b]) => subtract(a, b),
        ("_*_", [a, b]) => multiply(a, b),
        ("_/_", [a, b]) => divide(a, b),
        ("_%_", [a, b]) => modulo(a, b),
        ("!_", [Val::Bool(value)]) => Ok(Val::Bool(!value)),
        ("-_", [Val::Int(value)]) => value.checked_neg().map(Val::Int).ok_or_else(overflow),
        ("-_", [Val::Double(value)]) => Ok(Val::Double(-value)),
        ("@in", [item, container]) => contains(item, container, work).map(Val::Bool),
        ("_[_]", [target, index]) => at(target, index),
        ("_[?_]", [target, index]) => optional_at(target, index),
        ("_?._", [target, Val::Text(field)]) => optional_select(target, field.as_str()),
        ("!_" | "-_" | "_[_]" | "_[?_]" | "_?._", _) => Err(EvalError::no_overload()),
        _ => return None,
    })
}

fn overflow() -> EvalError {
    EvalError::text("integer overflow")
}

fn unsigned_overflow() -> EvalError {
    EvalError::text("unsigned integer overflow")
}

fn add<'a>(a: &Val<'a>, b: &Val<'a>, work: &mut Work) -> Evaluated<'a> {
    Ok(match (a, b) {
        (Val::Int(a), Val::Int(b)) => Val::Int(a.checked_add(*b).ok_or_else(overflow)?),
        (Val::Uint(a), Val::Uint(b)) => Val::Uint(a.checked_add(*b).ok_or_else(unsigned_overflow)?),
        (Val::Double(a), Val::Double(b)) => Val::Double(a + b),
        (Val::Text(a), Val::Text(b)) => Val::string([a.as_str(), b.as_str()].concat()),
        (Val::Bytes(a), Val::Bytes(b)) => Val::Bytes([a.as_ref(), b.as_ref()].concat().into()),
        (Val::List(a), Val::List(b)) => Val::List(joined(a, b, work)?),
        (Val::Duration(a), Val::Duration(b)) => {
            Val::Duration(a.checked_add(*b).ok_or_else(time::duration_overflow)?)
        }
        (Val::Timestamp(at), Val::Duration(span)) | (Val::Duration(span), Val::Timestamp(at)) => {
            Val::Timestamp(time::moved(*at, i128::from(*span))?)
        }
        _ => return Err(EvalError::no_overload()),
    })
}

/// Two lists as one; sets and map lists stay such.
fn joined<'a>(a: &List<'a>, b: &List<'a>, work: &mut Work) -> Result<List<'a>, EvalError> {
    work.spend(a.len() + b.len())?;
    let mut items: Vec<Val<'a>> = a.iter().collect();
    let kind = a.kind();
    for item in b.iter() {
        let mut place = None;
        for (at, known) in items.iter().enumerate() {
            let same = match kind {
                ListKind::Atomic => break,
                ListKind::Set => equal(known, &item, work)?,
                ListKind::Map(keys) => same_item(known, &item, keys, work)?,
            };
            if same {
                place = Some(at);
                break;
            }
        }
        match place {
            Some(at) => items[at] = item,
            None => items.push(item),
        }
    }
    Ok(List::Items(Arc::new(items), kind))
}

fn subtract<'a>(a: &Val<'a>, b: &Val<'a>) -> Evaluated<'a> {
    Ok(match (a, b) {
        (Val::Int(a), Val::Int(b)) => Val::Int(a.checked_sub(*b).ok_or_else(overflow)?),
        (Val::Uint(a), Val::Uint(b)) => Val::Uint(a.checked_sub(*b).ok_or_else(unsigned_overflow)?),
        (Val::Double(a), Val::Double(b)) => Val::Double(a - b),
        (Val::Duration(a), Val::Duration(b)) => {
            Val::Duration(a.checked_sub(*b).ok_or_else(time::duration_overflow)?)
        }
        (Val::Timestamp(at), Val::Duration(span)) => Val::Timestamp(time::moved(*at, -i128::from(*span))?),
        (Val::Timestamp(a), Val::Timestamp(b)) => {
            let span = a.as_nanosecond() - b.as_nanosecond();
            Val::Duration(i64::try_from(span).map_err(|_| time::duration_overflow())?)
        }
        _ => return Err(EvalError::no_overload()),
    })
}

fn multiply<'a>(a: &Val<'a>, b: &Val<'a>) -> Evaluated<'a> {
    Ok(match (a, b) {
        (Val::Int(a), Val::Int(b)) => Val::Int(a.checked_mul(*b).ok_or_else(overflow)?),
        (Val::Uint(a), Val::Uint(b)) => Val::Uint(a.checked_mul(*b).ok_or_else(unsigned_overflow)?),
        (Val::Double(a), Val::Double(b)) => Val::Double(a * b),
        _ => return Err(EvalError::no_overload()),
    })
}

fn divide<'a>(a: &Val<'a>, b: &Val<'a>) -> Evaluated<'a> {
    Ok(match (a, b) {
        (Val::Int(_), Val::Int(0)) | (Val::Uint(_), Val::Uint(0)) => {
            return Err(EvalError::text("division by zero"));
        }
        (Val::Int(a), Val::Int(b)) => Val::Int(a.checked_div(*b).ok_or_else(overflow)?),
        (Val::Uint(a), Val::Uint(b)) => Val::Uint(a / b),
        (Val::Double(a), Val::Double(b)) => Val::Double(a / b),
        _ => return Err(EvalError::no_overload()),
    })
}

fn modulo<'a>(a: &Val<'a>, b: &Val<'a>) -> Evaluated<'a> {
    Ok(match (a, b) {
        (Val::Int(_), Val::Int(0)) | (Val::Uint(_), Val::Uint(0)) => {
            return Err(EvalError::text("modulus by zero"));
        }
        (Val::Int(a), Val::Int(b)) => Val::Int(a.checked_rem(*b).ok_or_else(overflow)?),
        (Val::Uint(a), Val::Uint(b)) => Val::Uint(a % b),
        _ => return Err(EvalError::no_overload()),
    })
}

fn contains(item: &Val<'_>, container: &Val<'_>, work: &mut Work) -> Result<bool, EvalError> {
    match container {
        Val::List(list) => {
            for known in list.iter() {
                if equal(&known, item, work)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Val::Map(map) => Ok(map.get(item).is_some()),
        _ => Err(EvalError::no_overload()),
    }
}

/// The whole number that a value is as an index.
fn index_of(index: &Val<'_>) -> Option<i128> {
    match index {
        Val::Int(at) => Some(i128::from(*at)),
        Val::Uint(at) => Some(i128::from(*at)),
        Val::Double(at) if at.fract() == 0.0 && at.abs() < 1e18 => Some(*at as i128),
        _ => None,
    }
}

fn shown(key: &Val<'_>) -> String {
    match key {
        Val::Text(text) => text.as_str().to_owned(),
        other => other.to_json().map(|json| json.to_string()).unwrap_or_default(),
    }
}

fn find<'a>(target: &Val<'a>, index: &Val<'a>) -> Result<Option<Val<'a>>, EvalError> {
    match target {
        Val::List(list) => {
            let Some(at) = index_of(index) else {
                let name = index.type_name();
                return Err(EvalError::said(format!("unsupported index type '{name}' in list")));
            };
            Ok(usize::try_from(at).ok().and_then(|at| list.get(at)))
        }
        Val::Map(Map::Struct { .. } | Map::Object { .. }) if !matches!(index, Val::Text(_)) => {
            Err(EvalError::no_overload())
        }
        Val::Map(map) => Ok(map.get(index)),
        _ => Err(EvalError::no_overload()),
    }
}

fn at<'a>(target: &Val<'a>, index: &Val<'a>) -> Evaluated<'a> {
    match target {
        Val::Optional(None) => Ok(Val::Optional(None)),
        Val::Optional(Some(_)) => optional_at(target, index),
        _ => find(target, index)?.ok_or_else(|| match target {
            Val::List(_) => EvalError::said(format!("index out of bounds: {}", shown(index))),
            _ => EvalError::no_key(&shown(index)),
        }),
    }
}

fn optional_at<'a>(target: &Val<'a>, index: &Val<'a>) -> Evaluated<'a> {
    match target {
        Val::Optional(None) => Ok(Val::Optional(None)),
        Val::Optional(Some(inner)) => optional_at(inner, index),
        _ => Ok(Val::Optional(find(target, index)?.map(Arc::new))),
    }
}
