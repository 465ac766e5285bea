//! Printer columns of custom resources: what tables show.

use kube_object::time::Time;
use serde_json::{Value, json};

use crate::json_path::JsonPath;

/// A column of a version.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The heading.
    pub name: String,
    /// `integer`, `number`, `string`, `boolean` or `date`.
    pub kind: String,
    /// The OpenAPI format.
    pub format: String,
    /// What it shows.
    pub description: String,
    /// Columns above 0 are shown on wide tables only.
    pub priority: i64,
    path: Option<JsonPath>,
}

impl Column {
    /// The cell of an object.
    pub fn cell(&self, object: &Value, now: Time) -> Value {
        let Some(value) = self.path.as_ref().and_then(|path| path.first(object)) else { return Value::Null };
        match (self.kind.as_str(), value) {
            (_, Value::Null) => Value::Null,
            ("string", Value::String(text)) => json!(text),
            ("string", other) => json!(other.to_string()),
            ("integer", Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => json!(whole),
                (None, Some(number)) => json!(number as i64),
                (None, None) => Value::Null,
            },
            ("number", Value::Number(number)) => json!(number.as_f64()),
            ("boolean", Value::Bool(flag)) => json!(flag),
            ("date", Value::String(text)) => match Time::parse(text) {
                Ok(time) => json!(age(now.unix().saturating_sub(time.unix()))),
                Err(_) => json!("<invalid>"),
            },
            _ => Value::Null,
        }
    }

    /// `metav1.TableColumnDefinition`.
    pub fn definition(&self) -> Value {
        json!({
            "name": self.name, "type": self.kind, "format": self.format,
            "description": self.description, "priority": self.priority,
        })
    }
}

pub(crate) fn of_version(version: &Value) -> Vec<Column> {
    let columns = version.get("additionalPrinterColumns").and_then(Value::as_array);
    let columns: Vec<Column> = columns.into_iter().flatten().map(column).collect();
    if columns.is_empty() {
        let age = json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"});
        return vec![column(&age)];
    }
    columns
}

fn column(column: &Value) -> Column {
    let text = |name: &str| column.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let path = text("jsonPath");
    let description = match text("description") {
        none if none.is_empty() => format!("Custom resource definition column (in JSONPath format): {path}"),
        description => description,
    };
    Column {
        name: text("name"),
        kind: text("type"),
        format: text("format"),
        description,
        priority: column.get("priority").and_then(Value::as_i64).unwrap_or_default(),
        path: JsonPath::parse(&path).ok(),
    }
}

/// How long ago, with at most two units: `5d3h`.
fn age(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |big: i64, small: i64, letters: [char; 2]| {
        let (whole, rest) = (seconds / big, seconds % big / small);
        if rest == 0 {
            format!("{whole}{}", letters[0])
        } else {
            format!("{whole}{}{rest}{}", letters[0], letters[1])
        }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        _ if seconds < 2 * MINUTE => format!("{seconds}s"),
        _ if seconds < 10 * MINUTE => two(MINUTE, 1, ['m', 's']),
        _ if seconds < 3 * HOUR => format!("{}m", seconds / MINUTE),
        _ if seconds < 8 * HOUR => two(HOUR, MINUTE, ['h', 'm']),
        _ if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        _ if seconds < 8 * DAY => two(DAY, HOUR, ['d', 'h']),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => two(YEAR, DAY, ['y', 'd']),
        _ => format!("{}y", seconds / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_by_their_type() {
        let now = Time::parse("2026-01-02T00:00:00Z").unwrap();
        let object = json!({"s": "x", "i": 3, "f": 2.5, "b": true, "m": {"a": 1}, "n": null,
            "t": "2026-01-01T23:58:30Z", "bad": "x"});
        for (kind, path, expected) in [
            ("string", ".s", json!("x")),
            ("string", ".i", json!("3")),
            ("string", ".m", json!("{\"a\":1}")),
            ("string", ".n", json!(null)),
            ("string", ".absent", json!(null)),
            ("integer", ".i", json!(3)),
            ("integer", ".f", json!(2)),
            ("integer", ".s", json!(null)),
            ("number", ".i", json!(3.0)),
            ("boolean", ".b", json!(true)),
            ("date", ".t", json!("90s")),
            ("date", ".bad", json!("<invalid>")),
        ] {
            let column = column(&json!({"name": "C", "type": kind, "jsonPath": path}));
            assert_eq!(column.cell(&object, now), expected, "{kind} {path}");
        }
    }

    #[test]
    fn ages_have_two_units_at_most() {
        for (seconds, expected) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (119, "119s"),
            (120, "2m"),
            (599, "9m59s"),
            (10_799, "179m"),
            (10_860, "3h1m"),
            (172_799, "47h"),
            (172_800, "2d"),
            (190_800, "2d5h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (63_158_400, "2y1d"),
            (252_288_000, "8y"),
        ] {
            assert_eq!(age(seconds), expected);
        }
    }
}
