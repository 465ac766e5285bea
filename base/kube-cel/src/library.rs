//! The functions of the libraries, by their names and the values that they get.

mod auth;
mod convert;
mod format;
mod lists;
mod maths;
mod net;
mod print;
mod quantity;
mod semver;
mod strings;
pub(crate) mod text;
pub(crate) mod time;
mod url;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base::Quantity;

use crate::error::EvalError;
use crate::eval::Machine;
use crate::val::{Map, Val};

use format::Format;
use net::Cidr;
use semver::Semver;
use url::Url;

/// A value of a library's type.
#[derive(Debug)]
pub enum Opaque {
    #[doc(hidden)]
    Quantity(Quantity),
    #[doc(hidden)]
    Url(Url),
    #[doc(hidden)]
    Ip(IpAddr),
    #[doc(hidden)]
    Cidr(Cidr),
    #[doc(hidden)]
    Semver(Semver),
    #[doc(hidden)]
    Format(&'static Format),
}

impl Opaque {
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Url(_) => "kubernetes.URL",
            Self::Ip(_) => "net.IP",
            Self::Cidr(_) => "net.CIDR",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Format(_) => "kubernetes.NamedFormat",
        }
    }

    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Ip(IpAddr::V4(_)) => 4,
            Self::Ip(IpAddr::V6(_)) => 16,
            Self::Cidr(cidr) => u64::from(cidr.bits()).div_ceil(8),
            _ => 1,
        }
    }

    pub(crate) fn regex_size(&self) -> u64 {
        match self {
            Self::Format(format) => format.regex_size,
            _ => 1,
        }
    }

    pub(crate) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Quantity(a), Self::Quantity(b)) => a == b,
            (Self::Url(a), Self::Url(b)) => a == b,
            (Self::Ip(a), Self::Ip(b)) => a == b,
            (Self::Cidr(a), Self::Cidr(b)) => a == b,
            (Self::Semver(a), Self::Semver(b)) => a.order(b).is_eq(),
            (Self::Format(a), Self::Format(b)) => a.name == b.name,
            _ => false,
        }
    }
}

impl fmt::Display for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quantity(quantity) => quantity.fmt(f),
            Self::Url(url) => f.write_str(url.text()),
            Self::Ip(ip) => ip.fmt(f),
            Self::Cidr(cidr) => cidr.fmt(f),
            Self::Semver(semver) => semver.fmt(f),
            Self::Format(format) => f.write_str(format.name),
        }
    }
}

type Result<'a> = std::result::Result<Val<'a>, EvalError>;

pub(crate) fn opaque<'a>(value: Opaque) -> Val<'a> {
    Val::Opaque(Arc::new(value))
}

/// Calls a function. What it looks at and what it makes is counted, for the cost of
/// many functions does not depend on it.
pub(crate) fn call<'a>(machine: &mut Machine<'a>, name: &str, args: &[Val<'a>]) -> Result<'a> {
    let seen = match args.first() {
        Some(Val::Text(text)) => text.as_str().len() / TEXT_STEP,
        Some(Val::List(list)) if !matches!(name, "size" | "first" | "last") => list.len(),
        Some(Val::Int(count)) if name == "lists.range" => usize::try_from(*count).unwrap_or(0),
        _ => 0,
    };
    machine.work.spend(seen)?;
    let result = dispatch(machine, name, args)?;
    if let Val::Text(text) = &result {
        machine.work.spend(text.as_str().len() / TEXT_MADE_STEP)?;
    }
    Ok(result)
}

fn dispatch<'a>(machine: &mut Machine<'a>, name: &str, args: &[Val<'a>]) -> Result<'a> {
    if let Some(result) = general(name, args) {
        return result;
    }
    if let Some(result) = optional(name, args) {
        return result;
    }
    let found = match args.first() {
        Some(Val::Text(text)) => strings::call(machine, name, text.as_str(), &args[1..]),
        Some(Val::List(list)) => lists::call(machine, name, list, args),
        Some(Val::Opaque(value)) => of_opaque(name, value, &args[1..]),
        Some(Val::Check(check)) => auth::call(machine, name, check, &args[1..]),
        Some(Val::Decision(decision)) => auth::answer(name, decision),
        Some(Val::Timestamp(at)) => time::of_timestamp(name, *at, &args[1..]),
        Some(Val::Duration(span)) => time::of_duration(name, *span),
        _ => None,
    };
    found
        .or_else(|| convert::call(name, args))
        .or_else(|| net::call(name, args))
        .or_else(|| quantity::call(name, args))
        .or_else(|| semver::call(name, args))
        .or_else(|| url::call(name, args))
        .or_else(|| format::call(name, args))
        .or_else(|| maths::call(name, args))
        .unwrap_or_else(|| Err(EvalError::no_overload()))
}

fn of_opaque<'a>(name: &str, value: &Opaque, args: &[Val<'a>]) -> Option<Result<'a>> {
    match value {
        Opaque::Quantity(own) => quantity::member(*own, name, args),
        Opaque::Url(url) => url.call(name),
        Opaque::Ip(ip) => net::of_ip(name, *ip),
        Opaque::Cidr(cidr) => cidr.call(name, args),
        Opaque::Semver(semver) => semver.call(name, args),
        Opaque::Format(format) => format.call(name, args),
    }
}

fn general<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    Some(Ok(match (name, args) {
        ("size", [value @ (Val::Text(_) | Val::Bytes(_) | Val::List(_) | Val::Map(_))]) => {
            Val::Int(i64::try_from(value.size()).unwrap_or(i64::MAX))
        }
        ("type", [value]) => Val::Type(value.type_name()),
        ("dyn", [value]) => value.clone(),
        ("cel.@mapInsert", [Val::Map(map), rest @ ..]) => return Some(with_entry(map, rest)),
        _ => return None,
    }))
}

fn with_entry<'a>(map: &Map<'a>, rest: &[Val<'a>]) -> Result<'a> {
    let mut entries = crate::val::Entries::new();
    for (key, value) in map.entries() {
        crate::eval::insert(&mut entries, key, value)?;
    }
    match rest {
        [key, value] => crate::eval::insert(&mut entries, key.clone(), value.clone())?,
        [Val::Map(more)] => {
            for (key, value) in more.entries() {
                crate::eval::insert(&mut entries, key, value)?;
            }
        }
        _ => return Err(EvalError::no_overload()),
    }
    Ok(Val::Map(Map::Entries(Arc::new(entries))))
}

fn optional<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    Some(Ok(match (name, args) {
        ("optional.of", [value]) => Val::some(value.clone()),
        ("optional.ofNonZeroValue", [value]) if value.is_zero() => Val::Optional(None),
        ("optional.ofNonZeroValue", [value]) => Val::some(value.clone()),
        ("optional.none", []) => Val::Optional(None),
        ("hasValue", [Val::Optional(value)]) => Val::Bool(value.is_some()),
        ("value", [Val::Optional(Some(value))]) => value.as_ref().clone(),
        ("value", [Val::Optional(None)]) => {
            return Some(Err(EvalError::text("optional.none() dereference")));
        }
        ("or", [value @ Val::Optional(Some(_)), _]) => value.clone(),
        ("or", [Val::Optional(None), other]) => other.clone(),
        ("orValue", [Val::Optional(Some(value)), _]) => value.as_ref().clone(),
        ("orValue", [Val::Optional(None), other]) => other.clone(),
        ("optional.unwrap" | "unwrapOpt", [Val::List(list)]) => {
            let some = list.iter().filter_map(|item| match item {
                Val::Optional(value) => value.map(Arc::unwrap_or_clone),
                other => Some(other),
            });
            Val::list(some.collect())
        }
        ("first", [Val::List(list)]) => Val::Optional(list.get(0).map(Arc::new)),
        ("last", [Val::List(list)]) => {
            Val::Optional(list.len().checked_sub(1).and_then(|at| list.get(at)).map(Arc::new))
        }
        _ => return None,
    }))
}

/// So many bytes of a text that is looked at count as one step,
const TEXT_STEP: usize = 64;
/// and so many of one that is made.
const TEXT_MADE_STEP: usize = 16;
