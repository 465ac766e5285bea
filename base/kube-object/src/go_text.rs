//! Values as Go's `fmt` prints them: some of the API's messages carry them.

use std::fmt::Write as _;

use serde_json::{Number, Value};

/// As `%v` prints a value: `map[spec:map[replicas:many]]`.
pub fn plain(value: &Value) -> String {
    let mut out = String::new();
    print(&mut out, value, false);
    out
}

/// As `%#v` prints a value: `map[string]interface {}{"a":1}`.
pub fn syntax(value: &Value) -> String {
    let mut out = String::new();
    print(&mut out, value, true);
    out
}

/// As `%g` prints a floating-point number.
pub fn float(number: f64) -> String {
    if number == 0.0 {
        return if number.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
    }
    let text = format!("{number:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    match exponent.parse::<i32>() {
        Ok(exponent) if (EXPONENT_MIN..EXPONENT_END).contains(&exponent) => number.to_string(),
        Ok(exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        Err(_) => text,
    }
}

fn print(out: &mut String, value: &Value, syntax: bool) {
    match value {
        Value::Null => out.push_str(if syntax { "interface {}(nil)" } else { "<nil>" }),
        Value::Bool(flag) => {
            // Writing to a string does not fail.
            let _ = write!(out, "{flag}");
        }
        Value::Number(number) => out.push_str(&of_number(number)),
        Value::String(text) if syntax => {
            let _ = write!(out, "{text:?}");
        }
        Value::String(text) => out.push_str(text),
        Value::Array(items) => {
            out.push_str(if syntax { "[]interface {}{" } else { "[" });
            for (at, item) in items.iter().enumerate() {
                separate(out, at, syntax);
                print(out, item, syntax);
            }
            out.push(if syntax { '}' } else { ']' });
        }
        Value::Object(fields) => {
            out.push_str(if syntax { "map[string]interface {}{" } else { "map[" });
            for (at, (name, value)) in fields.iter().enumerate() {
                separate(out, at, syntax);
                if syntax {
                    let _ = write!(out, "{name:?}");
                } else {
                    out.push_str(name);
                }
                out.push(':');
                print(out, value, syntax);
            }
            out.push(if syntax { '}' } else { ']' });
        }
    }
}

fn separate(out: &mut String, at: usize, syntax: bool) {
    if at > 0 {
        out.push_str(if syntax { ", " } else { " " });
    }
}

fn of_number(number: &Number) -> String {
    match number.as_f64() {
        Some(real) if !number.is_i64() && !number.is_u64() => float(real),
        _ => number.to_string(),
    }
}

/// `%g` writes smaller and larger numbers with an exponent.
const EXPONENT_MIN: i32 = -4;
const EXPONENT_END: i32 = 6;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prints_as_go_does() {
        let value = json!({"b": [1, "x y", null, 1.5], "a": {"t": true}});
        assert_eq!(plain(&value), "map[a:map[t:true] b:[1 x y <nil> 1.5]]");
        assert_eq!(
            syntax(&value),
            "map[string]interface {}{\"a\":map[string]interface {}{\"t\":true}, \
             \"b\":[]interface {}{1, \"x y\", interface {}(nil), 1.5}}"
        );
        for (number, text) in [
            (0.0, "0"),
            (-2.5, "-2.5"),
            (1e6, "1e+06"),
            (123_456.0, "123456"),
            (1e21, "1e+21"),
            (0.000_01, "1e-05"),
            (1.25e100, "1.25e+100"),
        ] {
            assert_eq!(float(number), text);
        }
    }
}
