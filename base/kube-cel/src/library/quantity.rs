//! Quantities: `quantity('500Mi').isLessThan(quantity('1Gi'))`.

use base::Quantity;

use super::{Opaque, Result, opaque};
use crate::error::EvalError;
use crate::val::Val;

pub(super) fn call<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    let [Val::Text(text)] = args else { return None };
    let read = Quantity::parse(text.as_str());
    Some(match name {
        "quantity" => read
            .map(|amount| opaque(Opaque::Quantity(amount)))
            .map_err(|why| EvalError::said(why.to_string())),
        "isQuantity" => Ok(Val::Bool(read.is_ok())),
        _ => return None,
    })
}

/// A member function.
pub(super) fn member<'a>(own: Quantity, name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    let other = match args {
        [] => None,
        [Val::Opaque(other)] => match &**other {
            Opaque::Quantity(other) => Some(*other),
            _ => return None,
        },
        [Val::Int(whole)] if matches!(name, "add" | "sub") => Some(Quantity::from_int(*whole)),
        _ => return None,
    };
    Some(match (name, other) {
        ("sign", None) => Ok(Val::Int(own.nanos().signum() as i64)),
        ("isInteger", None) => Ok(Val::Bool(own.as_i64().is_some())),
        ("asInteger", None) => {
            own.as_i64().map(Val::Int).ok_or_else(|| EvalError::text("cannot convert value to integer"))
        }
        ("asApproximateFloat", None) => Ok(Val::Double(own.to_f64())),
        ("isGreaterThan", Some(other)) => Ok(Val::Bool(own > other)),
        ("isLessThan", Some(other)) => Ok(Val::Bool(own < other)),
        ("compareTo", Some(other)) => Ok(Val::Int(own.cmp(&other) as i64)),
        ("add", Some(other)) => Ok(opaque(Opaque::Quantity(own.plus(other)))),
        ("sub", Some(other)) => Ok(opaque(Opaque::Quantity(own.minus(other)))),
        _ => return None,
    })
}
