//! The functions that a template may call: Go's own, and docker's.

use std::cmp::Ordering;

use serde_json::Value;

use super::printf::sprintf;
use super::{TemplateError, types};

pub(super) fn wrong(function: &str, why: String) -> TemplateError {
    TemplateError::Function { function: function.to_owned(), why }
}

/// Go's truth: not false, zero, empty or nil.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// As Go's `%v` has it.
pub(super) fn formatted(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(list) => format!("[{}]", list.iter().map(formatted).collect::<Vec<_>>().join(" ")),
        Value::Object(object) => types::printed(object).unwrap_or_else(|| {
            let entry = |(key, value): (&String, &Value)| match value {
                // A set: Go's `map[string]struct{}`.
                Value::Object(none) if none.is_empty() && !types::is_map(key) => format!("{key}:{{}}"),
                value => format!("{key}:{}", formatted(value)),
            };
            format!("map[{}]", object.iter().map(entry).collect::<Vec<_>>().join(" "))
        }),
    }
}

/// Calls `name`.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, TemplateError> {
    let argument = |at: usize| {
        arguments.get(at).ok_or_else(|| {
            wrong(name, format!("it needs {} arguments, {} were given", at + 1, arguments.len()))
        })
    };
    let text = |at: usize| argument(at).map(formatted);
    let count = |at: usize| {
        let value = argument(at)?;
        value
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| wrong(name, format!("{value} is not a count")))
    };
    Ok(match name {
        "not" => (!is_true(argument(0)?)).into(),
        "len" => length(argument(0)?)?.into(),
        "index" => index(argument(0)?, &arguments[1..])?,
        "slice" => slice(arguments)?,
        "print" => print(arguments).into(),
        "println" => (arguments.iter().map(formatted).collect::<Vec<_>>().join(" ") + "\n").into(),
        "printf" => sprintf(&text(0)?, &arguments[1..]).into(),
        "eq" => {
            argument(1)?;
            arguments[1..].iter().any(|other| compare(&arguments[0], other) == Some(Ordering::Equal)).into()
        }
        "ne" | "lt" | "le" | "gt" | "ge" => ordered(name, argument(0)?, argument(1)?)?.into(),
        "json" => argument(0)?.to_string().into(),
        "join" => join(argument(0)?, &text(1)?)?.into(),
        "split" => text(0)?.split(text(1)?.as_str()).map(Value::from).collect(),
        "upper" => text(0)?.to_uppercase().into(),
        "lower" => text(0)?.to_lowercase().into(),
        "title" => title(&text(0)?).into(),
        "trim" => text(0)?.trim().into(),
        "truncate" => text(0)?.chars().take(count(1)?).collect::<String>().into(),
        "pad" => {
            let text = text(0)?;
            if text.is_empty() { text } else { " ".repeat(count(1)?) + &text + &" ".repeat(count(2)?) }.into()
        }
        "html" => html(&text(0)?).into(),
        "urlquery" => urlquery(&text(0)?).into(),
        "js" => {
            let quoted = Value::from(text(0)?).to_string();
            quoted[1..quoted.len() - 1].to_owned().into()
        }
        _ => return Err(super::lex::syntax(format!("there is no function {name:?}"))),
    })
}

static EMPTY: Value = Value::String(String::new());

fn length(value: &Value) -> Result<usize, TemplateError> {
    match value {
        Value::String(text) => Ok(text.len()),
        Value::Array(list) => Ok(list.len()),
        Value::Object(map) => Ok(map.len()),
        Value::Null => Ok(0),
        other => Err(wrong("len", format!("{other} has no length"))),
    }
}

fn index(value: &Value, keys: &[Value]) -> Result<Value, TemplateError> {
    let mut here = value.clone();
    for key in keys {
        let next = match (&here, key) {
            (Value::Array(list), key) => {
                let at = key.as_u64().and_then(|at| usize::try_from(at).ok());
                let element = at.and_then(|at| list.get(at));
                Some(element.ok_or_else(|| {
                    wrong("index", format!("{key} is out of range, there are {}", list.len()))
                })?)
            }
            // A map of strings gives the empty string for what it has not.
            (Value::Object(map), Value::String(key)) if map.values().all(Value::is_string) => {
                Some(map.get(key).unwrap_or(&EMPTY))
            }
            (Value::Object(map), Value::String(key)) => map.get(key),
            (Value::Null, _) => Some(&EMPTY),
            (other, key) => return Err(wrong("index", format!("{} has no element {key}", formatted(other)))),
        };
        here = next.cloned().unwrap_or(Value::Null);
    }
    Ok(here)
}

fn slice(arguments: &[Value]) -> Result<Value, TemplateError> {
    let bound = |at: usize| arguments.get(at).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let start = bound(1).unwrap_or(0);
    let out_of_range = || wrong("slice", "the bounds are out of range".to_owned());
    match arguments.first() {
        Some(Value::String(text)) => {
            let end = bound(2).unwrap_or(text.len());
            text.get(start..end).map(Value::from).ok_or_else(out_of_range)
        }
        Some(Value::Array(list)) => {
            let end = bound(2).unwrap_or(list.len());
            list.get(start..end).map(|part| part.to_vec().into()).ok_or_else(out_of_range)
        }
        _ => Err(wrong("slice", "only strings and lists can be cut".to_owned())),
    }
}

/// Go's Sprint: a space between operands when neither is a string.
fn print(arguments: &[Value]) -> String {
    let mut out = String::new();
    for (at, value) in arguments.iter().enumerate() {
        if at > 0 && !value.is_string() && !arguments[at - 1].is_string() {
            out.push(' ');
        }
        out.push_str(&formatted(value));
    }
    out
}

fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (a, b) if a == b => Some(Ordering::Equal),
        _ => None,
    }
}

fn ordered(name: &str, a: &Value, b: &Value) -> Result<bool, TemplateError> {
    let ordering = compare(a, b);
    if name == "ne" {
        return Ok(ordering != Some(Ordering::Equal));
    }
    let ordering = ordering.ok_or_else(|| wrong(name, format!("{a} and {b} cannot be compared")))?;
    Ok(match name {
        "lt" => ordering.is_lt(),
        "le" => ordering.is_le(),
        "gt" => ordering.is_gt(),
        _ => ordering.is_ge(),
    })
}

fn join(value: &Value, separator: &str) -> Result<String, TemplateError> {
    match value {
        Value::Array(list) => Ok(list.iter().map(formatted).collect::<Vec<_>>().join(separator)),
        Value::Null => Ok(String::new()),
        _ => Err(wrong("join", "it needs a list".to_owned())),
    }
}

fn title(text: &str) -> String {
    let mut start = true;
    text.chars()
        .flat_map(|c| {
            let upper: Vec<char> = if start { c.to_uppercase().collect() } else { vec![c] };
            start = !c.is_alphanumeric();
            upper
        })
        .collect()
}

fn html(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn urlquery(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b' ' => "+".to_owned(),
            b if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}
