//! From a schema's JSON to its nodes. What has the wrong type is passed over: the
//! definition's own validation has refused it before.

use std::collections::HashMap;
use std::sync::Arc;

use base::{Classified, ErrorClass};
use serde_json::Value;

use super::{Additional, Checks, Extras, Pattern, Rule, Structural};

/// A schema is nested deeper than any that is read from a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("schema nested deeper than {DEPTH_MAX} levels")]
pub struct SchemaTooDeep;

impl Classified for SchemaTooDeep {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

pub(super) fn parse(schema: &Value) -> Result<Structural, SchemaTooDeep> {
    Parser { patterns: HashMap::new() }.node(schema, 0)
}

/// Patterns recur many times in generated schemas, so each is held once.
struct Parser {
    patterns: HashMap<String, Arc<Pattern>>,
}

impl Parser {
    fn node(&mut self, schema: &Value, depth: usize) -> Result<Structural, SchemaTooDeep> {
        if depth > DEPTH_MAX {
            return Err(SchemaTooDeep);
        }
        let preserve = schema.get("x-kubernetes-preserve-unknown-fields").and_then(Value::as_bool);
        Ok(Structural {
            kind: text(schema, "type"),
            nullable: flag(schema, "nullable"),
            default: schema.get("default").filter(|value| !value.is_null()).cloned(),
            preserve: preserve == Some(true),
            embedded: flag(schema, "x-kubernetes-embedded-resource"),
            root: false,
            int_or_string: flag(schema, "x-kubernetes-int-or-string"),
            list_type: word(schema, "x-kubernetes-list-type"),
            list_keys: texts(schema, "x-kubernetes-list-map-keys"),
            map_type: word(schema, "x-kubernetes-map-type"),
            items: match schema.get("items") {
                Some(items) if items.is_object() => Some(Box::new(self.node(items, depth + 1)?)),
                _ => None,
            },
            properties: members(schema, "properties")
                .filter(|(_, schema)| schema.is_object())
                .map(|(name, schema)| Ok((name.clone(), self.node(schema, depth + 1)?)))
                .collect::<Result<_, SchemaTooDeep>>()?,
            additional: match schema.get("additionalProperties") {
                Some(Value::Bool(allowed)) => Some(Additional::Any(*allowed)),
                Some(below) if below.is_object() => {
                    Some(Additional::Schema(Box::new(self.node(below, depth + 1)?)))
                }
                _ => None,
            },
            checks: self.checks(schema, depth)?,
            rules: items(schema, "x-kubernetes-validations").map(rule).collect(),
            unsupported: UNSUPPORTED.into_iter().filter(|name| is_said(schema, name)).collect(),
            extras: Extras {
                has_title: !text(schema, "title").is_empty(),
                has_description: !text(schema, "description").is_empty(),
                items_is_list: schema.get("items").is_some_and(Value::is_array),
                preserve_is_false: preserve == Some(false),
            },
        })
    }

    fn checks(&mut self, schema: &Value, depth: usize) -> Result<Checks, SchemaTooDeep> {
        let number = |name: &str| schema.get(name).and_then(Value::as_f64);
        let count = |name: &str| schema.get(name).and_then(Value::as_i64);
        Ok(Checks {
            format: text(schema, "format"),
            maximum: number("maximum"),
            exclusive_maximum: flag(schema, "exclusiveMaximum"),
            minimum: number("minimum"),
            exclusive_minimum: flag(schema, "exclusiveMinimum"),
            multiple_of: number("multipleOf"),
            max_length: count("maxLength"),
            min_length: count("minLength"),
            pattern: word(schema, "pattern").filter(|text| !text.is_empty()).map(|text| self.pattern(text)),
            max_items: count("maxItems"),
            min_items: count("minItems"),
            unique_items: flag(schema, "uniqueItems"),
            max_properties: count("maxProperties"),
            min_properties: count("minProperties"),
            required: texts(schema, "required"),
            values: items(schema, "enum").cloned().collect(),
            all_of: self.nodes(schema, "allOf", depth)?,
            any_of: self.nodes(schema, "anyOf", depth)?,
            one_of: self.nodes(schema, "oneOf", depth)?,
            not: match schema.get("not") {
                Some(not) if not.is_object() => Some(Box::new(self.node(not, depth + 1)?)),
                _ => None,
            },
        })
    }

    fn nodes(&mut self, schema: &Value, name: &str, depth: usize) -> Result<Vec<Structural>, SchemaTooDeep> {
        items(schema, name).map(|schema| self.node(schema, depth + 1)).collect()
    }

    fn pattern(&mut self, text: String) -> Arc<Pattern> {
        self.patterns.entry(text).or_insert_with_key(|text| Arc::new(Pattern::new(text))).clone()
    }
}

fn rule(rule: &Value) -> Rule {
    Rule {
        rule: text(rule, "rule"),
        message: text(rule, "message"),
        message_expression: text(rule, "messageExpression"),
        reason: word(rule, "reason"),
        field_path: text(rule, "fieldPath"),
        optional_old_self: rule.get("optionalOldSelf").and_then(Value::as_bool),
    }
}

fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool).unwrap_or_default()
}

fn word(schema: &Value, name: &str) -> Option<String> {
    schema.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn text(schema: &Value, name: &str) -> String {
    word(schema, name).unwrap_or_default()
}

fn items<'a>(schema: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    schema.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn texts(schema: &Value, name: &str) -> Vec<String> {
    items(schema, name).filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn members<'a>(schema: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    schema.get(name).and_then(Value::as_object).into_iter().flatten()
}

/// Whether a word stands there with a value that means something.
fn is_said(schema: &Value, name: &str) -> bool {
    match schema.get(name) {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => name == "$ref" || !text.is_empty(),
        Some(Value::Object(fields)) => name == "additionalItems" || !fields.is_empty(),
        Some(_) => true,
    }
}

/// Deeper than JSON is read, so that only made-up schemas meet it.
const DEPTH_MAX: usize = 128;
/// In the order in which their errors stand.
const UNSUPPORTED: [&str; 7] =
    ["id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions"];
