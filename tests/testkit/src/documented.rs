//! What a page of `docs/reference` promises of a JSON document, held against one.
//!
//! The page has a table of fields: a row is a path in backquotes, its type, and what it means.
//!
//! ```text
//! | `sections[].verdict` | string, optional | the answer in a word |
//! ```
//!
//! Types are `string`, `integer`, `number`, `boolean`, `object` and `array`; `or null` and
//! `, optional` may follow.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

/// The fields that a page names.
#[derive(Debug)]
pub struct Documented {
    page: String,
    fields: BTreeMap<String, Field>,
}

#[derive(Debug)]
struct Field {
    kinds: BTreeSet<String>,
    optional: bool,
}

impl Documented {
    /// Reads the page `docs/reference/NAME.md`.
    pub fn read(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(format!("{name}.md"));
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()));
        Self::parse(name, &text)
    }

    fn parse(name: &str, text: &str) -> Self {
        let row = |line: &str| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
            let path = cells.next()?.strip_suffix('`')?.to_owned();
            let kinds = cells.next()?;
            let optional = kinds.ends_with(OPTIONAL);
            let kinds: BTreeSet<String> =
                kinds.trim_end_matches(OPTIONAL).split(" or ").map(str::to_owned).collect();
            kinds
                .iter()
                .all(|kind| KINDS.contains(&kind.as_str()))
                .then_some((path, Field { kinds, optional }))
        };
        let fields: BTreeMap<_, _> = text.lines().filter_map(row).collect();
        assert!(!fields.is_empty(), "{name}.md has no table of fields");
        Self { page: name.to_owned(), fields }
    }

    /// Panics unless `document` has each field that is not optional, and none but those named.
    #[track_caller]
    pub fn check(&self, document: &Value) {
        let mut seen = BTreeSet::new();
        let mut wrong = Vec::new();
        self.walk("", document, &mut seen, &mut wrong);
        assert!(wrong.is_empty(), "{}.md promises otherwise: {}\n{document:#}", self.page, wrong.join("; "));
    }

    /// The same for several, in which together each field that is named occurs.
    #[track_caller]
    pub fn check_all(&self, documents: &[Value]) {
        let mut seen = BTreeSet::new();
        for document in documents {
            self.check(document);
            self.walk("", document, &mut seen, &mut Vec::new());
        }
        let unseen: Vec<&String> = self.fields.keys().filter(|path| !seen.contains(*path)).collect();
        assert!(unseen.is_empty(), "{}.md names fields that are not there: {unseen:?}", self.page);
    }

    fn walk(&self, path: &str, value: &Value, seen: &mut BTreeSet<String>, wrong: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                let below =
                    |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                for (key, value) in map {
                    self.compare(&below(key), value, wrong);
                    seen.insert(below(key));
                    self.walk(&below(key), value, seen, wrong);
                }
                let wanted =
                    self.fields.iter().filter(|(field, promise)| !promise.optional && parent(field) == path);
                for (field, _) in wanted {
                    let key = field.rsplit('.').next().unwrap_or(field);
                    if !map.contains_key(key.trim_end_matches("[]")) {
                        wrong.push(format!("{field} is missing"));
                    }
                }
            }
            Value::Array(items) => {
                let path = format!("{path}[]");
                for item in items {
                    if !item.is_object() {
                        self.compare(&path, item, wrong);
                        seen.insert(path.clone());
                    }
                    self.walk(&path, item, seen, wrong);
                }
            }
            _ => {}
        }
    }

    fn compare(&self, path: &str, value: &Value, wrong: &mut Vec<String>) {
        let found = kind(value);
        match self.fields.get(path) {
            None => wrong.push(format!("{path} is not named there")),
            Some(field) if !field.kinds.contains(found) => wrong.push(format!("{path} is {found}")),
            Some(_) => {}
        }
    }
}

/// The object that a field is in.
fn parent(field: &str) -> &str {
    field.rsplit_once('.').map_or("", |(parent, _)| parent)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

const OPTIONAL: &str = ", optional";
const KINDS: [&str; 7] = ["null", "boolean", "number", "integer", "string", "array", "object"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page() -> Documented {
        Documented::parse(
            "page",
            "| field | type | what |\n|---|---|---|\n\
             | `version` | integer | 1 |\n\
             | `lines` | array | lines |\n\
             | `lines[].name` | string or null | its name |\n\
             | `lines[].note` | string, optional | more |\n\
             | `words` | array | words |\n\
             | `words[]` | string | a word |\n",
        )
    }

    #[test]
    fn what_is_promised_passes() {
        page().check_all(&[
            json!({"version": 1, "lines": [{"name": null}, {"name": "a", "note": "b"}], "words": ["x"]}),
            json!({"version": 1, "lines": [], "words": []}),
        ]);
    }

    fn fails(document: &Value) -> bool {
        let mut wrong = Vec::new();
        page().walk("", document, &mut BTreeSet::new(), &mut wrong);
        !wrong.is_empty()
    }

    #[test]
    fn what_is_missing_renamed_added_or_of_another_type_does_not() {
        assert!(!fails(&json!({"version": 1, "lines": [], "words": []})));
        assert!(fails(&json!({"lines": [], "words": []})));
        assert!(fails(&json!({"version": 1, "line": [], "words": []})));
        assert!(fails(&json!({"version": 1, "lines": [{"title": "a"}], "words": []})));
        assert!(fails(&json!({"version": 1, "lines": [], "words": [], "more": 1})));
        assert!(fails(&json!({"version": "1", "lines": [], "words": []})));
        assert!(fails(&json!({"version": 1, "lines": [], "words": [1]})));
    }

    #[test]
    #[should_panic(expected = "names fields that are not there")]
    fn a_field_that_never_occurs_is_told() {
        page().check_all(&[json!({"version": 1, "lines": [{"name": "a"}], "words": ["x"]})]);
    }
}
