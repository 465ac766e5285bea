//! Label selectors: the text in a URL (`app=web,tier in (a,b),!old`) and the
//! `LabelSelector` object, both turned into one list of requirements.

use std::collections::BTreeMap;
use std::fmt;

use base::{Classified, ErrorClass};
use serde_json::Value;

use crate::names;

/// What labels must be like. Without requirements it matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `key=value`
    Equals,
    /// `key==value`
    DoubleEquals,
    /// `key!=value`; a missing key matches.
    NotEquals,
    /// `key in (a,b)`
    In,
    /// `key notin (a,b)`; a missing key matches.
    NotIn,
    /// `key`
    Exists,
    /// `!key`
    DoesNotExist,
    /// `key>5`
    GreaterThan,
    /// `key<5`
    LessThan,
}

/// The text or object is not a label selector. The words are the API's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabelSelector {
    /// Another token was expected.
    #[error("found '{found}', expected: {expected}")]
    Unexpected {
        /// The token.
        found: String,
        /// What could stand there.
        expected: &'static str,
    },
    /// A set of values must be in parentheses.
    #[error("found '{found}' expected: '('")]
    NoParenthesis {
        /// The token.
        found: String,
    },
    /// One requirement cannot be read.
    #[error("unable to parse requirement: {0}")]
    Requirement(Box<Self>),
    /// A key or value is not allowed.
    #[error("{path}: Invalid value: {value:?}: {why}")]
    Value {
        /// Where.
        path: String,
        /// What was given.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// The object's operator is none of the four.
    #[error("{operator:?} is not a valid label selector operator")]
    Operator {
        /// What was given.
        operator: String,
    },
    /// The object has not the form of a `LabelSelector`.
    #[error("label selector: {field} must be {expected}")]
    Form {
        /// The field.
        field: &'static str,
        /// Its type.
        expected: &'static str,
    },
}

impl Classified for InvalidLabelSelector {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

impl LabelSelector {
    /// Matches everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Matches nothing.
    pub fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// Reads the text of `labelSelector=`.
    pub fn parse(text: &str) -> Result<Self, InvalidLabelSelector> {
        let mut requirements = Parser { tokens: tokens(text), at: 0 }.selector()?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// Reads a `LabelSelector` object; none (null) matches nothing, an empty one everything.
    pub fn from_value(value: &Value) -> Result<Self, InvalidLabelSelector> {
        let form = |field, expected| InvalidLabelSelector::Form { field, expected };
        if value.is_null() {
            return Ok(Self::nothing());
        }
        let object = value.as_object().ok_or_else(|| form("selector", "an object"))?;
        let mut requirements = Vec::new();
        match object.get("matchLabels") {
            None | Some(Value::Null) => {}
            Some(Value::Object(labels)) => {
                for (key, value) in labels {
                    let value = value.as_str().ok_or_else(|| form("matchLabels", "a map of strings"))?;
                    requirements.push(Requirement::new(key, Operator::Equals, vec![value.to_owned()])?);
                }
            }
            Some(_) => return Err(form("matchLabels", "a map of strings")),
        }
        match object.get("matchExpressions") {
            None | Some(Value::Null) => {}
            Some(Value::Array(expressions)) => {
                for expression in expressions {
                    requirements.push(Requirement::from_value(expression)?);
                }
            }
            Some(_) => return Err(form("matchExpressions", "a list of objects")),
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// Matches exactly these labels; nothing is validated.
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let equals = |(key, value): (&str, &str)| Requirement {
            key: key.to_owned(),
            operator: Operator::Equals,
            values: vec![value.to_owned()],
        };
        let mut requirements: Vec<Requirement> = labels.into_iter().map(equals).collect();
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements, nothing: false }
    }

    /// The same with more demands.
    #[must_use]
    pub fn and(mut self, more: impl IntoIterator<Item = Requirement>) -> Self {
        self.requirements.extend(more);
        self.requirements.sort_by(|a, b| a.key.cmp(&b.key));
        self
    }

    /// Whether these labels are selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.matches(labels))
    }

    /// Whether nothing is demanded.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// The requirements, sorted by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// The one value that `key` must have, if exactly one is demanded.
    pub fn exact_value(&self, key: &str) -> Option<&str> {
        let requirement = self.requirements.iter().find(|requirement| requirement.key == key)?;
        let exact = matches!(requirement.operator, Operator::Equals | Operator::DoubleEquals | Operator::In);
        match requirement.values.as_slice() {
            [value] if exact => Some(value),
            _ => None,
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, requirement) in self.requirements.iter().enumerate() {
            write!(f, "{}{requirement}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl Requirement {
    /// A checked requirement.
    pub fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Self, InvalidLabelSelector> {
        check(&names::qualified_name(key), || "key".to_owned(), key)?;
        let fault = match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                "for 'in', 'notin' operators, values set can't be empty"
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
                "exact-match compatibility requires one single value"
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                "values set must be empty for exists and does not exist"
            }
            Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
                "for 'Gt', 'Lt' operators, exactly one value is required"
            }
            _ => "",
        };
        if !fault.is_empty() {
            let value = values.join(",");
            return Err(InvalidLabelSelector::Value {
                path: "values".to_owned(),
                value,
                why: fault.to_owned(),
            });
        }
        for (at, value) in values.iter().enumerate() {
            let numeric = matches!(operator, Operator::GreaterThan | Operator::LessThan);
            if numeric && value.parse::<i64>().is_err() {
                let why = "for 'Gt', 'Lt' operators, the value must be an integer".to_owned();
                return Err(InvalidLabelSelector::Value {
                    path: format!("values[{at}]"),
                    value: value.clone(),
                    why,
                });
            }
            check(&names::label_value(value), || format!("values[{at}][{key}]"), value)?;
        }
        Ok(Self { key: key.to_owned(), operator, values })
    }

    fn from_value(expression: &Value) -> Result<Self, InvalidLabelSelector> {
        let form = |field, expected| InvalidLabelSelector::Form { field, expected };
        let text = |field: &str| expression.get(field).and_then(Value::as_str);
        let key = text("key").ok_or_else(|| form("matchExpressions.key", "a string"))?;
        let name = text("operator").ok_or_else(|| form("matchExpressions.operator", "a string"))?;
        let operator = match name {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => return Err(InvalidLabelSelector::Operator { operator: name.to_owned() }),
        };
        let values = match expression.get("values") {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(Value::Array(values)) => {
                values.iter().map(|value| value.as_str().map(str::to_owned)).collect()
            }
            Some(_) => None,
        };
        Self::new(key, operator, values.ok_or_else(|| form("matchExpressions.values", "a list of strings"))?)
    }

    /// The label's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How it compares.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// What it compares with.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// Whether these labels fulfil it.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            Operator::Equals | Operator::DoubleEquals | Operator::In => listed,
            Operator::NotEquals | Operator::NotIn => !listed,
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => self.numbers(value).is_some_and(|(have, want)| have > want),
            Operator::LessThan => self.numbers(value).is_some_and(|(have, want)| have < want),
        }
    }

    fn numbers(&self, value: Option<&String>) -> Option<(i64, i64)> {
        Some((value?.parse().ok()?, self.values.first()?.parse().ok()?))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut values: Vec<&str> = self.values.iter().map(String::as_str).collect();
        values.sort_unstable();
        let (key, values) = (&self.key, values.join(","));
        match self.operator {
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

fn check(faults: &[String], path: impl Fn() -> String, value: &str) -> Result<(), InvalidLabelSelector> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(InvalidLabelSelector::Value { path: path(), value: value.to_owned(), why: faults.join("; ") })
}

/// Cuts the text into words and operators. `in` and `notin` stay words: they
/// are operators only where one is expected.
fn tokens(text: &str) -> Vec<&str> {
    let special = |c: char| "=!(),><".contains(c);
    let blank = |c: char| " \t\r\n".contains(c);
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches(blank);
    while let Some(first) = rest.chars().next() {
        let len = if special(first) {
            if rest.starts_with("==") || rest.starts_with("!=") { 2 } else { 1 }
        } else {
            rest.find(|c| special(c) || blank(c)).unwrap_or(rest.len())
        };
        let (token, tail) = rest.split_at(len);
        found.push(token);
        rest = tail.trim_start_matches(blank);
    }
    found
}

/// Recursive descent over the tokens; the empty token is the end.
struct Parser<'a> {
    tokens: Vec<&'a str>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> &'a str {
        self.tokens.get(self.at).copied().unwrap_or("")
    }

    fn next(&mut self) -> &'a str {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, InvalidLabelSelector> {
        let mut requirements = Vec::new();
        if self.peek().is_empty() {
            return Ok(requirements);
        }
        if !is_word(self.peek()) && self.peek() != "!" {
            return Err(unexpected(self.peek(), "!, identifier, or 'end of string'"));
        }
        loop {
            requirements.push(
                self.requirement().map_err(|error| InvalidLabelSelector::Requirement(Box::new(error)))?,
            );
            match self.next() {
                "" => return Ok(requirements),
                "," if is_word(self.peek()) || self.peek() == "!" => {}
                "," => return Err(unexpected(self.peek(), "identifier after ','")),
                other => return Err(unexpected(other, "',' or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, InvalidLabelSelector> {
        let absent = self.peek() == "!";
        if absent {
            self.next();
        }
        let key = self.next();
        if !is_word(key) {
            return Err(unexpected(key, "identifier"));
        }
        check(&names::qualified_name(key), || "<nil>".to_owned(), key)?;
        if matches!(self.peek(), "" | ",") {
            let operator = if absent { Operator::DoesNotExist } else { Operator::Exists };
            return Requirement::new(key, operator, Vec::new());
        }
        let token = self.next();
        let operator = match token {
            "in" => Operator::In,
            "notin" => Operator::NotIn,
            "=" => Operator::Equals,
            "==" => Operator::DoubleEquals,
            "!=" => Operator::NotEquals,
            ">" => Operator::GreaterThan,
            "<" => Operator::LessThan,
            _ => return Err(unexpected(token, "in, notin, =, ==, !=, gt, lt")),
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.value()?],
        };
        Requirement::new(key, operator, values)
    }

    fn value(&mut self) -> Result<String, InvalidLabelSelector> {
        match self.peek() {
            "" | "," => Ok(String::new()),
            word if is_word(word) => Ok(self.next().to_owned()),
            other => Err(unexpected(other, "identifier")),
        }
    }

    /// `(a,b)`, where a value may be empty.
    fn values(&mut self) -> Result<Vec<String>, InvalidLabelSelector> {
        let open = self.next();
        if open != "(" {
            return Err(InvalidLabelSelector::NoParenthesis { found: open.to_owned() });
        }
        let mut values = Vec::new();
        loop {
            let value = if is_word(self.peek()) { self.next() } else { "" };
            values.push(value.to_owned());
            match self.next() {
                "," => {}
                ")" => break,
                other if value.is_empty() => return Err(unexpected(other, "',', ')' or identifier")),
                other => return Err(unexpected(other, "',' or ')'")),
            }
        }
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }
}

fn is_word(token: &str) -> bool {
    token.chars().next().is_some_and(|first| !"=!(),><".contains(first))
}

fn unexpected(found: &str, expected: &'static str) -> InvalidLabelSelector {
    InvalidLabelSelector::Unexpected { found: found.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(text: &str) -> BTreeMap<String, String> {
        text.split(',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    }

    #[test]
    fn reads_and_prints() {
        for (text, printed) in [
            ("", ""),
            ("  ", ""),
            ("x=a,y=b,z=c", "x=a,y=b,z=c"),
            ("y=b , x = a", "x=a,y=b"),
            ("x==a,y!=b", "x==a,y!=b"),
            ("x", "x"),
            ("!x", "!x"),
            ("x in (b,a)", "x in (a,b)"),
            ("x notin (a)", "x notin (a)"),
            ("x in ()", "x in ()"),
            ("x in (a,,b)", "x in (,a,b)"),
            ("x in (,)", "x in ()"),
            ("in in (in,notin)", "in in (in,notin)"),
            ("x=", "x="),
            ("x=,y", "x=,y"),
            ("x>1,y<7", "x>1,y<7"),
            ("a.b/c!=d", "a.b/c!=d"),
        ] {
            let selector = LabelSelector::parse(text).unwrap();
            assert_eq!(selector.to_string(), printed, "{text}");
            assert_eq!(LabelSelector::parse(&selector.to_string()).unwrap(), selector, "{text}");
        }
    }

    #[test]
    fn matches_labels() {
        for (text, have, expected) in [
            ("", "", true),
            ("x=a", "x=a", true),
            ("x=a", "x=b", false),
            ("x=a", "", false),
            ("x!=a", "", true),
            ("x!=a", "x=a", false),
            ("x in (a,b)", "x=b", true),
            ("x notin (a,b)", "x=b", false),
            ("x notin (a,b)", "y=b", true),
            ("x", "x=", true),
            ("!x", "x=", false),
            ("x>5", "x=6", true),
            ("x>5", "x=six", false),
            ("x<5", "x=4", true),
            ("x=", "x=", true),
            ("x=", "", false),
            ("x=a,y", "x=a", false),
        ] {
            assert_eq!(LabelSelector::parse(text).unwrap().matches(&labels(have)), expected, "{text} {have}");
        }
    }

    #[test]
    fn refuses_in_the_known_words() {
        for (text, message) in [
            (
                "x=a||y",
                "unable to parse requirement: values[0][x]: Invalid value: \"a||y\": a valid label must be",
            ),
            ("x==a==b", "found '==', expected: ',' or 'end of string'"),
            ("x,", "found '', expected: identifier after ','"),
            (",x", "found ',', expected: !, identifier, or 'end of string'"),
            ("x in a", "unable to parse requirement: found 'a' expected: '('"),
            ("x in (a", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("x y", "unable to parse requirement: found 'y', expected: in, notin, =, ==, !=, gt, lt"),
            ("x>a", "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators"),
            ("-x=a", "unable to parse requirement: <nil>: Invalid value: \"-x\": name part must consist"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
        ] {
            let error = LabelSelector::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(message), "{text}: {error}");
        }
    }

    #[test]
    fn reads_the_object() {
        let check = |value: Value, printed: &str| {
            let shown =
                LabelSelector::from_value(&value).map_or_else(|error| error.to_string(), |s| s.to_string());
            assert_eq!(shown, printed);
        };
        check(json!({}), "");
        check(json!({"matchLabels": {"b": "1", "a": "2"}}), "a=2,b=1");
        check(
            json!({"matchExpressions": [{"key": "k", "operator": "NotIn", "values": ["b", "a"]}]}),
            "k notin (a,b)",
        );
        check(
            json!({"matchExpressions": [{"key": "k", "operator": "Exists"}, {"key": "d", "operator": "DoesNotExist"}]}),
            "!d,k",
        );
        check(
            json!({"matchExpressions": [{"key": "k", "operator": "Gt", "values": ["1"]}]}),
            "\"Gt\" is not a valid label selector operator",
        );
        check(
            json!({"matchExpressions": [{"key": "k", "operator": "In"}]}),
            "values: Invalid value: \"\": for 'in', 'notin' operators, values set can't be empty",
        );
        check(json!([]), "label selector: selector must be an object");
        assert!(!LabelSelector::from_value(&Value::Null).unwrap().matches(&labels("a=b")));
        assert!(LabelSelector::from_value(&json!({})).unwrap().is_everything());
    }

    #[test]
    fn knows_an_exact_value() {
        let selector = LabelSelector::parse("a=1,b in (2),c in (3,4),d!=5").unwrap();
        let of = |key| selector.exact_value(key);
        assert_eq!((of("a"), of("b"), of("c"), of("d"), of("e")), (Some("1"), Some("2"), None, None, None));
        assert_eq!(LabelSelector::from_labels([("b", "1"), ("a", "2")]).to_string(), "a=2,b=1");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[ab!=<>(), \\PC]{0,30}|[a-c !=<>(),]{0,30}|[a-c]( in | notin )\\([a-c,]{0,6}\\)") {
            if let Ok(selector) = LabelSelector::parse(&text) {
                let again = LabelSelector::parse(&selector.to_string());
                proptest::prop_assert_eq!(again, Ok(selector));
            }
        }
    }
}
