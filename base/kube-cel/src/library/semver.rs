//! Semantic versions: `semver('1.2.3').isLessThan(semver('2.0.0'))`.

use std::cmp::Ordering;
use std::fmt;

use super::{Opaque, Result, opaque};
use crate::error::EvalError;
use crate::val::Val;

/// A version.
#[derive(Debug)]
pub struct Semver {
    parts: [u64; 3],
    pre: Vec<String>,
    text: String,
}

pub(super) fn call<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    let (text, lenient) = match args {
        [Val::Text(text)] => (text.as_str(), false),
        [Val::Text(text), Val::Bool(lenient)] => (text.as_str(), *lenient),
        _ => return None,
    };
    let parsed = || if lenient { parse(&normal(text)) } else { parse(text) };
    Some(match name {
        "semver" => parsed()
            .map(|version| opaque(Opaque::Semver(version)))
            .map_err(|why| EvalError::said(why.to_owned())),
        "isSemver" => Ok(Val::Bool(parsed().is_ok())),
        _ => return None,
    })
}

/// With all three numbers, without a leading `v` and leading zeros.
fn normal(text: &str) -> String {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let mut parts: Vec<&str> = numbers
        .split('.')
        .map(|part| {
            let short = part.trim_start_matches('0');
            if short.is_empty() && !part.is_empty() { "0" } else { short }
        })
        .collect();
    while parts.len() < 3 {
        parts.push("0");
    }
    format!("{}{rest}", parts.join("."))
}

fn parse(text: &str) -> std::result::Result<Semver, &'static str> {
    if text.is_empty() {
        return Err("Version string empty");
    }
    let (front, build) = text.split_once('+').map_or((text, None), |(front, build)| (front, Some(build)));
    let (numbers, pre) = front.split_once('-').map_or((front, None), |(front, pre)| (front, Some(pre)));
    let parts: Vec<&str> = numbers.split('.').collect();
    let [major, minor, patch] = parts.as_slice() else { return Err("No Major.Minor.Patch elements found") };
    let number = |part: &str| {
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return Err("Invalid character(s) found in version number");
        }
        if part.len() > 1 && part.starts_with('0') {
            return Err("Version number must not contain leading zeroes");
        }
        part.parse::<u64>().map_err(|_| "Version number out of range")
    };
    let fits = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let pre: Vec<String> = pre.map(|pre| pre.split('.').map(str::to_owned).collect()).unwrap_or_default();
    for part in &pre {
        let numeric = part.bytes().all(|b| b.is_ascii_digit());
        if !fits(&part.as_str()) || (numeric && part.len() > 1 && part.starts_with('0')) {
            return Err("Invalid character(s) found in prerelease");
        }
    }
    if build.is_some_and(|build| !build.split('.').all(|part| fits(&part))) {
        return Err("Invalid character(s) found in build meta data");
    }
    Ok(Semver { parts: [number(major)?, number(minor)?, number(patch)?], pre, text: text.to_owned() })
}

impl Semver {
    /// The order of precedence: what is built from it does not count.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        self.parts.cmp(&other.parts).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let parts = self.pre.iter().zip(&other.pre);
                let order = parts.map(|(a, b)| identifier(a, b)).find(|order| order.is_ne());
                order.unwrap_or_else(|| self.pre.len().cmp(&other.pre.len()))
            }
        })
    }

    /// A member function.
    pub(super) fn call<'a>(&self, name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
        let other = match args {
            [] => None,
            [Val::Opaque(other)] => match &**other {
                Opaque::Semver(other) => Some(self.order(other)),
                _ => return None,
            },
            _ => return None,
        };
        let part = |at: usize| Val::Int(i64::try_from(self.parts[at]).unwrap_or(i64::MAX));
        Some(Ok(match (name, other) {
            ("major", None) => part(0),
            ("minor", None) => part(1),
            ("patch", None) => part(2),
            ("isGreaterThan", Some(order)) => Val::Bool(order.is_gt()),
            ("isLessThan", Some(order)) => Val::Bool(order.is_lt()),
            ("compareTo", Some(order)) => Val::Int(order as i64),
            _ => return None,
        }))
    }
}

fn identifier(a: &str, b: &str) -> Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        _ => a.cmp(b),
    }
}

impl fmt::Display for Semver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
