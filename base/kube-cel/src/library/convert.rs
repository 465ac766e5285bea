//! Conversions between types: `int('5')`, `string(1.5)` and so on.

use super::{Opaque, Result, time};
use crate::error::EvalError;
use crate::val::Val;

pub(super) fn call<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    let [value] = args else { return None };
    Some(match name {
        "int" => to_int(value),
        "uint" => to_uint(value),
        "double" => to_double(value),
        "string" => to_string(value),
        "bytes" => match value {
            Val::Bytes(_) => Ok(value.clone()),
            Val::Text(text) => Ok(Val::Bytes(text.as_str().as_bytes().into())),
            _ => Err(EvalError::no_overload()),
        },
        "bool" => match value {
            Val::Bool(_) => Ok(value.clone()),
            Val::Text(text) => match text.as_str() {
                "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Val::Bool(true)),
                "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Val::Bool(false)),
                _ => Err(failed(value, "bool")),
            },
            _ => Err(EvalError::no_overload()),
        },
        "duration" => match value {
            Val::Duration(_) => Ok(value.clone()),
            Val::Text(text) => time::parse_duration(text.as_str())
                .map(Val::Duration)
                .ok_or_else(|| failed(value, "google.protobuf.Duration")),
            _ => Err(EvalError::no_overload()),
        },
        "timestamp" => match value {
            Val::Timestamp(_) => Ok(value.clone()),
            Val::Int(seconds) => time::from_seconds(*seconds).map(Val::Timestamp),
            Val::Text(text) => time::parse_timestamp(text.as_str())
                .map(Val::Timestamp)
                .ok_or_else(|| failed(value, "google.protobuf.Timestamp")),
            _ => Err(EvalError::no_overload()),
        },
        _ => return None,
    })
}

fn failed(value: &Val<'_>, to: &str) -> EvalError {
    EvalError::said(format!("type conversion error from '{}' to '{to}'", value.type_name()))
}

fn to_int<'a>(value: &Val<'a>) -> Result<'a> {
    let overflow = || EvalError::text("integer overflow");
    match value {
        Val::Int(_) => Ok(value.clone()),
        Val::Uint(whole) => i64::try_from(*whole).map(Val::Int).map_err(|_| overflow()),
        Val::Double(real) if *real > -9.223_372_036_854_775e18 && *real < 9.223_372_036_854_775e18 => {
            Ok(Val::Int(*real as i64))
        }
        Val::Double(_) => Err(overflow()),
        Val::Text(text) => text.as_str().parse().map(Val::Int).map_err(|_| failed(value, "int")),
        Val::Timestamp(at) => Ok(Val::Int(at.as_nanosecond().div_euclid(1_000_000_000) as i64)),
        Val::Duration(span) => Ok(Val::Int(*span)),
        _ => Err(EvalError::no_overload()),
    }
}

fn to_uint<'a>(value: &Val<'a>) -> Result<'a> {
    let overflow = || EvalError::text("unsigned integer overflow");
    match value {
        Val::Uint(_) => Ok(value.clone()),
        Val::Int(whole) => u64::try_from(*whole).map(Val::Uint).map_err(|_| overflow()),
        Val::Double(real) if *real >= 0.0 && *real < 18_446_744_073_709_549_568.0 => {
            Ok(Val::Uint(*real as u64))
        }
        Val::Double(_) => Err(overflow()),
        Val::Text(text) => text.as_str().parse().map(Val::Uint).map_err(|_| failed(value, "uint")),
        _ => Err(EvalError::no_overload()),
    }
}

fn to_double<'a>(value: &Val<'a>) -> Result<'a> {
    match value {
        Val::Double(_) => Ok(value.clone()),
        Val::Int(whole) => Ok(Val::Double(*whole as f64)),
        Val::Uint(whole) => Ok(Val::Double(*whole as f64)),
        Val::Text(text) => text.as_str().parse().map(Val::Double).map_err(|_| failed(value, "double")),
        _ => Err(EvalError::no_overload()),
    }
}

fn to_string<'a>(value: &Val<'a>) -> Result<'a> {
    Ok(match value {
        Val::Text(_) => value.clone(),
        Val::Bool(value) => Val::string(value.to_string()),
        Val::Int(value) => Val::string(value.to_string()),
        Val::Uint(value) => Val::string(value.to_string()),
        Val::Double(value) => Val::string(print_double(*value)),
        Val::Timestamp(at) => Val::string(time::print_timestamp(*at)),
        Val::Duration(span) => Val::string(time::print_duration(*span)),
        Val::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Val::text(text),
            Err(_) => {
                return Err(EvalError::text("invalid UTF-8 in bytes, cannot convert to string"));
            }
        },
        Val::Opaque(value) if matches!(&**value, Opaque::Ip(_) | Opaque::Cidr(_)) => {
            Val::string(value.to_string())
        }
        _ => return Err(EvalError::no_overload()),
    })
}

/// The shortest form, with an exponent where Go's `%g` has one.
pub(super) fn print_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..21).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{value}")
}
