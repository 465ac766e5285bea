//! Member functions of strings.

use regex::Regex;

use super::{Result, print};
use crate::error::EvalError;
use crate::eval::Machine;
use crate::val::Val;

pub(super) fn call<'a>(
    machine: &mut Machine<'a>,
    name: &str,
    text: &str,
    args: &[Val<'a>],
) -> Option<Result<'a>> {
    let plain = match (name, args) {
        ("matches" | "find" | "findAll", [Val::Text(pattern), ..]) => {
            let pattern = pattern.as_str().to_owned();
            let compiled = match machine.regex(&pattern) {
                Ok(compiled) => compiled,
                Err(error) => return Some(Err(error)),
            };
            return with_regex(name, text, &compiled, args);
        }
        ("contains", [Val::Text(part)]) => Val::Bool(text.contains(part.as_str())),
        ("startsWith", [Val::Text(part)]) => Val::Bool(text.starts_with(part.as_str())),
        ("endsWith", [Val::Text(part)]) => Val::Bool(text.ends_with(part.as_str())),
        ("lowerAscii", []) => Val::string(text.to_ascii_lowercase()),
        ("upperAscii", []) => Val::string(text.to_ascii_uppercase()),
        ("trim", []) => Val::text(text.trim()),
        ("strings.quote", []) => Val::string(print::quoted(text)),
        ("jsonpatch.escapeKey", []) => Val::string(text.replace('~', "~0").replace('/', "~1")),
        ("replace", [Val::Text(old), Val::Text(new)]) => {
            Val::string(text.replace(old.as_str(), new.as_str()))
        }
        ("replace", [Val::Text(old), Val::Text(new), Val::Int(count)]) => match usize::try_from(*count) {
            Ok(count) => Val::string(text.replacen(old.as_str(), new.as_str(), count)),
            Err(_) => Val::string(text.replace(old.as_str(), new.as_str())),
        },
        ("split", [Val::Text(separator)]) => split(text, separator.as_str(), -1),
        ("split", [Val::Text(separator), Val::Int(count)]) => split(text, separator.as_str(), *count),
        ("charAt", [Val::Int(at)]) => return Some(char_at(text, *at)),
        ("substring", [Val::Int(from)]) => return Some(substring(text, *from, None)),
        ("substring", [Val::Int(from), Val::Int(to)]) => return Some(substring(text, *from, Some(*to))),
        ("indexOf", [Val::Text(part)]) => return Some(index_of(text, part.as_str(), 0)),
        ("indexOf", [Val::Text(part), Val::Int(from)]) => return Some(index_of(text, part.as_str(), *from)),
        ("lastIndexOf", [Val::Text(part)]) => return Some(last_index_of(text, part.as_str(), None)),
        ("lastIndexOf", [Val::Text(part), Val::Int(from)]) => {
            return Some(last_index_of(text, part.as_str(), Some(*from)));
        }
        ("format", [Val::List(values)]) => return Some(print::format(text, values)),
        _ => return None,
    };
    Some(Ok(plain))
}

fn with_regex<'a>(name: &str, text: &str, regex: &Regex, args: &[Val<'a>]) -> Option<Result<'a>> {
    let found = || regex.find_iter(text).map(|found| Val::text(found.as_str()));
    Some(Ok(match (name, args) {
        ("matches", [_]) => Val::Bool(regex.is_match(text)),
        ("find", [_]) => Val::text(regex.find(text).map_or("", |found| found.as_str())),
        ("findAll", [_]) => Val::list(found().collect()),
        ("findAll", [_, Val::Int(limit)]) => match usize::try_from(*limit) {
            Ok(limit) => Val::list(found().take(limit).collect()),
            Err(_) => Val::list(found().collect()),
        },
        _ => return None,
    }))
}

fn out_of_range(at: i64) -> EvalError {
    EvalError::said(format!("index out of range: {at}"))
}

fn char_at<'a>(text: &str, at: i64) -> Result<'a> {
    let count = text.chars().count();
    match usize::try_from(at) {
        Ok(at) if at < count => Ok(Val::string(text.chars().skip(at).take(1).collect())),
        Ok(at) if at == count => Ok(Val::text("")),
        _ => Err(out_of_range(at)),
    }
}

fn substring<'a>(text: &str, from: i64, to: Option<i64>) -> Result<'a> {
    let count = text.chars().count() as i64;
    if let Some(to) = to
        && from > to
    {
        return Err(EvalError::said(format!("invalid substring range. start: {from}, end: {to}")));
    }
    let to = to.unwrap_or(count);
    for at in [from, to] {
        if !(0..=count).contains(&at) {
            return Err(out_of_range(at));
        }
    }
    Ok(Val::string(text.chars().skip(from as usize).take((to - from) as usize).collect()))
}

fn index_of<'a>(text: &str, part: &str, from: i64) -> Result<'a> {
    let count = text.chars().count() as i64;
    if part.is_empty() && from == 0 {
        return Ok(Val::Int(0));
    }
    if from < 0 || from > count {
        return Err(out_of_range(from));
    }
    let start = text.char_indices().nth(from as usize).map_or(text.len(), |(at, _)| at);
    let found = text[start..].find(part);
    Ok(Val::Int(found.map_or(-1, |at| from + text[start..start + at].chars().count() as i64)))
}

fn last_index_of<'a>(text: &str, part: &str, from: Option<i64>) -> Result<'a> {
    let count = text.chars().count() as i64;
    if let Some(from) = from
        && (from < 0 || from > count)
    {
        return Err(out_of_range(from));
    }
    let from = from.unwrap_or(count);
    if part.is_empty() {
        return Ok(Val::Int(from));
    }
    let start = text.char_indices().nth(from as usize).map_or(text.len(), |(at, _)| at);
    let end = (start + part.len()).min(text.len());
    let end = (end..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
    let found = text[..end].rfind(part);
    Ok(Val::Int(found.map_or(-1, |at| text[..at].chars().count() as i64)))
}

fn split<'a>(text: &str, separator: &str, count: i64) -> Val<'a> {
    let parts: Vec<Val<'a>> = match (usize::try_from(count), separator.is_empty()) {
        (Ok(0), _) => Vec::new(),
        (Ok(count), true) => {
            let mut parts: Vec<String> = text.chars().take(count - 1).map(String::from).collect();
            let rest: String = text.chars().skip(count - 1).collect();
            if !rest.is_empty() {
                parts.push(rest);
            }
            parts.into_iter().map(Val::string).collect()
        }
        (Err(_), true) => text.chars().map(|c| Val::string(c.into())).collect(),
        (Ok(count), false) => text.splitn(count, separator).map(Val::text).collect(),
        (Err(_), false) => text.split(separator).map(Val::text).collect(),
    };
    Val::list(parts)
}
