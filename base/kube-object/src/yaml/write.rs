//! A tree to YAML in block style, as kubectl and the API server print it.

use std::fmt::Write as _;

use serde_json::Value;

use super::scalar::resolve;

/// Prints a tree; what comes out reads back as the same tree.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => map(&mut out, value, 0),
        Value::Array(items) if !items.is_empty() => list(&mut out, value, 0),
        scalar => {
            inline(&mut out, scalar, 0);
            out.push('\n');
        }
    }
    out
}

fn map(out: &mut String, value: &Value, indent: usize) {
    for (at, (name, value)) in value.as_object().into_iter().flatten().enumerate() {
        if at > 0 {
            pad(out, indent);
        }
        // A key that spans lines is never plain; a block scalar cannot be a key.
        out.push_str(&quoted(name));
        out.push(':');
        member(out, value, indent);
    }
}

fn member(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            out.push('\n');
            pad(out, indent + 2);
            map(out, value, indent + 2);
        }
        // A list stands as deep as its key.
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            pad(out, indent);
            list(out, value, indent);
        }
        scalar => {
            out.push(' ');
            inline(out, scalar, indent + 2);
            out.push('\n');
        }
    }
}

fn list(out: &mut String, value: &Value, indent: usize) {
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        if at > 0 {
            pad(out, indent);
        }
        out.push_str("- ");
        match item {
            Value::Object(fields) if !fields.is_empty() => map(out, item, indent + 2),
            Value::Array(items) if !items.is_empty() => list(out, item, indent + 2),
            scalar => {
                inline(out, scalar, indent + 2);
                out.push('\n');
            }
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn inline(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(text) => match block(text) {
            Some(header) => lines(out, text, header, indent),
            None => out.push_str(&quoted(text)),
        },
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            // Writing to a string does not fail.
            let _ = write!(out, "{value}");
        }
    }
}

/// The header of a literal block, where the text can stand in one unchanged.
fn block(text: &str) -> Option<&'static str> {
    let body = text.trim_end_matches('\n');
    let plain = |c: char| c == '\n' || (c >= ' ' && c != '\u{7f}' && !is_strange(c));
    let fits = body.contains('\n') || text.ends_with('\n');
    // A first line that begins with a blank would need an explicit indentation.
    let begins_well = !text.starts_with([' ', '\n', '\t']);
    if !fits || body.is_empty() || !begins_well || !text.chars().all(plain) {
        return None;
    }
    if body.lines().any(|line| line.ends_with(' ')) {
        return None;
    }
    match text.len() - body.len() {
        0 => Some("|-"),
        1 => Some("|"),
        _ => Some("|+"),
    }
}

fn lines(out: &mut String, text: &str, header: &str, indent: usize) {
    out.push_str(header);
    let body = text.strip_suffix('\n').unwrap_or(text);
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
    }
}

/// Characters that YAML takes for line breaks or not at all.
fn is_strange(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn quoted(text: &str) -> String {
    let is_text = resolve(text).is_some_and(|value| value.is_string());
    let printable = text.chars().all(|c| c >= ' ' && c != '\u{7f}' && !is_strange(c));
    if !is_text || !printable || text == "<<" || text == "=" || is_date(text) {
        return escaped(text);
    }
    let ends_badly = text.ends_with([' ', ':']) || text.starts_with(' ');
    let special = text.starts_with([
        '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`', ',', '[', ']', '{', '}', '?', '-', ':', '.',
    ]);
    if special || ends_badly || text.contains(": ") || text.contains(" #") || text.starts_with("---") {
        return format!("'{}'", text.replace('\'', "''"));
    }
    text.to_owned()
}

/// What YAML 1.1 takes for a time.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    parts.next().is_some_and(|part| part.len() == 4 && part.parse::<u16>().is_ok())
        && parts.next().is_some_and(|part| matches!(part.len(), 1 | 2) && part.parse::<u8>().is_ok())
        && parts.next().is_some_and(|part| part.starts_with(|c: char| c.is_ascii_digit()))
}

fn escaped(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' || c == '\u{7f}' || is_strange(c) => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
