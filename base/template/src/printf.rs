//! Go's fmt verbs, for `printf`.

use serde_json::Value;

use super::functions::formatted;

/// Flags, width and precision of one verb.
#[derive(Default)]
struct Directive {
    minus: bool,
    plus: bool,
    zero: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

/// A column wider than this is a mistake, not a table.
const WIDTH_MAX: usize = 1000;

/// Formats as Go's `fmt.Sprintf` does.
pub(super) fn sprintf(format: &str, arguments: &[Value]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut directive = Directive::default();
        while let Some(flag) = chars.next_if(|c| "-+0# ".contains(*c)) {
            match flag {
                '-' => directive.minus = true,
                '+' => directive.plus = true,
                '0' => directive.zero = true,
                '#' => directive.sharp = true,
                _ => {}
            }
        }
        directive.width = number(&mut chars).min(WIDTH_MAX);
        if chars.next_if_eq(&'.').is_some() {
            directive.precision = Some(number(&mut chars).min(WIDTH_MAX));
        }
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match arguments.next() {
                None => out.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => out.push_str(&directive.apply(verb, value)),
            },
        }
    }
    out
}

fn number(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> usize {
    let mut value = 0usize;
    while let Some(digit) = chars.next_if(char::is_ascii_digit).and_then(|c| c.to_digit(10)) {
        value = value.saturating_mul(10).saturating_add(digit as usize);
    }
    value
}

impl Directive {
    fn apply(&self, verb: char, value: &Value) -> String {
        let text = match verb {
            's' | 'v' if self.precision.is_some() && value.is_string() => {
                formatted(value).chars().take(self.precision.unwrap_or(0)).collect()
            }
            'v' if self.sharp => value.to_string(),
            's' | 'v' | 't' => formatted(value),
            'd' => value.as_i64().map_or_else(|| bad(verb, value), |n| n.to_string()),
            'f' | 'F' | 'g' | 'e' => {
                let digits = self.precision.unwrap_or(6);
                value.as_f64().map_or_else(|| bad(verb, value), |n| format!("{n:.digits$}"))
            }
            'x' | 'X' => hex(verb, value),
            'o' => value.as_u64().map_or_else(|| bad(verb, value), |n| format!("{n:o}")),
            'b' => value.as_u64().map_or_else(|| bad(verb, value), |n| format!("{n:b}")),
            'c' => value
                .as_u64()
                .and_then(|n| char::from_u32(u32::try_from(n).ok()?))
                .map_or_else(|| bad(verb, value), String::from),
            'q' => format!("{:?}", formatted(value)),
            verb => bad(verb, value),
        };
        self.pad(text, value.is_number())
    }

    fn pad(&self, text: String, is_number: bool) -> String {
        let text = if self.plus && is_number && !text.starts_with('-') { format!("+{text}") } else { text };
        let missing = self.width.saturating_sub(text.chars().count());
        if self.minus {
            return text + &" ".repeat(missing);
        }
        if !(self.zero && is_number) {
            return " ".repeat(missing) + &text;
        }
        let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+'])));
        format!("{sign}{}{digits}", "0".repeat(missing))
    }
}

fn hex(verb: char, value: &Value) -> String {
    let text = match value {
        Value::Number(n) => n.as_u64().map_or_else(|| bad(verb, value), |n| format!("{n:x}")),
        other => formatted(other).bytes().map(|b| format!("{b:02x}")).collect(),
    };
    if verb == 'X' { text.to_uppercase() } else { text }
}

fn bad(verb: char, value: &Value) -> String {
    format!("%!{verb}({})", formatted(value))
}
