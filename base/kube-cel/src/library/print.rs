//! `'…'.format([…])` and `strings.quote`.

use super::Result;
use super::convert::print_double;
use super::time;
use crate::error::EvalError;
use crate::val::{List, Val};

/// As a literal of the language would stand for it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A text with its clauses (`%s`, `%.2f` and so on) replaced.
pub(super) fn format<'a>(text: &str, values: &List<'a>) -> Result<'a> {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    let mut at = 0;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if chars.peek() == Some(&'%') {
            chars.next();
            out.push('%');
            continue;
        }
        let mut precision = None;
        if chars.peek() == Some(&'.') {
            chars.next();
            let mut digits = String::new();
            while let Some(digit) = chars.peek().filter(|c| c.is_ascii_digit()) {
                digits.push(*digit);
                chars.next();
            }
            let parsed = digits.parse::<usize>().ok().filter(|precision| *precision <= PRECISION_MAX);
            precision = Some(parsed.ok_or_else(|| {
                EvalError::text("could not parse formatting clause: error while parsing precision")
            })?);
        }
        let clause = chars.next().ok_or_else(|| {
            EvalError::text("could not parse formatting clause: unexpected end of format string")
        })?;
        let value = values.get(at).ok_or_else(|| EvalError::said(format!("index {at} out of range")))?;
        at += 1;
        out.push_str(&one(clause, precision, &value)?);
        if out.len() > OUTPUT_MAX {
            return Err(EvalError::Cost);
        }
    }
    Ok(Val::string(out))
}

fn one(clause: char, precision: Option<usize>, value: &Val<'_>) -> std::result::Result<String, EvalError> {
    let precision = precision.unwrap_or(6);
    let real = match value {
        Val::Double(value) => Some(*value),
        Val::Int(value) => Some(*value as f64),
        Val::Uint(value) => Some(*value as f64),
        _ => None,
    };
    let wrong = |what: &str, which: &str| {
        let name = value.type_name();
        EvalError::said(format!(
            "error during formatting: {what} clause can only be used on {which}, was given {name}"
        ))
    };
    Ok(match clause {
        's' => plain(value),
        'd' => match value {
            Val::Int(value) => value.to_string(),
            Val::Uint(value) => value.to_string(),
            Val::Double(value) if value.is_nan() || value.is_infinite() => print_double(*value),
            _ => return Err(wrong("decimal", "integers")),
        },
        'f' => match real {
            Some(real) if real.is_finite() => format!("{real:.precision$}"),
            Some(real) => special(real),
            None => return Err(wrong("fixed-point", "doubles")),
        },
        'e' => match real {
            Some(real) if real.is_finite() => {
                let text = format!("{real:.precision$e}");
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let exponent: i32 = exponent.parse().unwrap_or(0);
                let sign = if exponent < 0 { '-' } else { '+' };
                format!("{digits}e{sign}{:02}", exponent.abs())
            }
            Some(real) => special(real),
            None => return Err(wrong("scientific", "doubles")),
        },
        'b' => match value {
            Val::Bool(value) => u8::from(*value).to_string(),
            Val::Int(value) => signed(*value, |value| format!("{value:b}")),
            Val::Uint(value) => format!("{value:b}"),
            _ => return Err(wrong("binary", "integers and bools")),
        },
        'o' => match value {
            Val::Int(value) => signed(*value, |value| format!("{value:o}")),
            Val::Uint(value) => format!("{value:o}"),
            _ => return Err(wrong("octal", "integers")),
        },
        'x' | 'X' => {
            let text = match value {
                Val::Int(value) => signed(*value, |value| format!("{value:x}")),
                Val::Uint(value) => format!("{value:x}"),
                Val::Text(text) => text.as_str().bytes().map(|byte| format!("{byte:02x}")).collect(),
                Val::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
                _ => return Err(wrong("hex", "integers, byte buffers, and strings")),
            };
            if clause == 'X' { text.to_uppercase() } else { text }
        }
        other => {
            return Err(EvalError::said(format!(
                "could not parse formatting clause: unrecognized formatting clause \"{other}\""
            )));
        }
    })
}

fn special(real: f64) -> String {
    match real {
        real if real.is_nan() => "NaN",
        real if real > 0.0 => "Infinity",
        _ => "-Infinity",
    }
    .to_owned()
}

fn signed(value: i64, print: impl Fn(u64) -> String) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", print(value.unsigned_abs()))
}

/// As `%s` shows it.
fn plain(value: &Val<'_>) -> String {
    match value {
        Val::Text(text) => text.as_str().to_owned(),
        Val::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Val::Null => "null".to_owned(),
        Val::Bool(value) => value.to_string(),
        Val::Int(value) => value.to_string(),
        Val::Uint(value) => value.to_string(),
        Val::Double(value) => print_double(*value),
        Val::Timestamp(at) => time::print_timestamp(*at),
        Val::Duration(span) => time::print_duration(*span),
        Val::Type(name) => name.to_string(),
        Val::Opaque(value) => value.to_string(),
        Val::List(list) => {
            let items: Vec<String> = list.iter().map(|item| plain(&item)).collect();
            format!("[{}]", items.join(", "))
        }
        Val::Map(map) => {
            let mut entries: Vec<String> = map
                .entries()
                .iter()
                .map(|(key, value)| format!("{}: {}", plain(key), plain(value)))
                .collect();
            entries.sort();
            format!("{{{}}}", entries.join(", "))
        }
        Val::Optional(Some(value)) => plain(value),
        Val::Optional(None) | Val::Check(_) | Val::Decision(_) => String::new(),
    }
}

/// The most digits after the point.
const PRECISION_MAX: usize = 1000;
/// The longest text that is made.
const OUTPUT_MAX: usize = 16 << 20;
