//! From a schema's JSON to its nodes. What has the wrong type is passed over: the
//! definition's own validation has refused it before.

use std::collections::{BTreeMap, HashMap};
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
    Parser { patterns: HashMap::new() }.node(schema, 0).map(|node| *node)
}

/// Patterns recur many times in generated schemas, so each is held once.
struct Parser {
    patterns: HashMap<String, Arc<Pattern>>,
}

impl Parser {
    /// Recursion goes through this and what it calls last; their frames stay small.
    fn node(&mut self, schema: &Value, depth: usize) -> Result<Box<Structural>, SchemaTooDeep> {
        if depth > DEPTH_MAX {
            return Err(SchemaTooDeep);
        }
        let mut node = Box::<Structural>::default();
        words(&mut node, schema);
        self.checks(&mut node.checks, schema);
        self.below(&mut node, schema, depth + 1)?;
        self.junctors(&mut node.checks, schema, depth + 1)?;
        Ok(node)
    }

    fn below(&mut self, node: &mut Structural, schema: &Value, depth: usize) -> Result<(), SchemaTooDeep> {
        if let Some(items) = schema.get("items").filter(|items| items.is_object()) {
            node.items = Some(self.node(items, depth)?);
        }
        for (name, below) in members(schema, "properties").filter(|(_, below)| below.is_object()) {
            let below = self.node(below, depth)?;
            put(&mut node.properties, name, below);
        }
        node.additional = match schema.get("additionalProperties") {
            Some(Value::Bool(allowed)) => Some(Additional::Any(*allowed)),
            Some(below) if below.is_object() => Some(Additional::Schema(self.node(below, depth)?)),
            _ => None,
        };
        Ok(())
    }

    fn junctors(&mut self, checks: &mut Checks, schema: &Value, depth: usize) -> Result<(), SchemaTooDeep> {
        let all =
            [("allOf", &mut checks.all_of), ("anyOf", &mut checks.any_of), ("oneOf", &mut checks.one_of)];
        for (name, nodes) in all {
            for schema in items(schema, name) {
                let node = self.node(schema, depth)?;
                push(nodes, node);
            }
        }
        if let Some(not) = schema.get("not").filter(|not| not.is_object()) {
            checks.not = Some(self.node(not, depth)?);
        }
        Ok(())
    }

    #[inline(never)]
    fn checks(&mut self, checks: &mut Checks, schema: &Value) {
        let number = |name: &str| schema.get(name).and_then(Value::as_f64);
        let count = |name: &str| schema.get(name).and_then(Value::as_i64);
        let pattern = word(schema, "pattern").filter(|text| !text.is_empty());
        checks.format = text(schema, "format");
        checks.maximum = number("maximum");
        checks.exclusive_maximum = flag(schema, "exclusiveMaximum");
        checks.minimum = number("minimum");
        checks.exclusive_minimum = flag(schema, "exclusiveMinimum");
        checks.multiple_of = number("multipleOf");
        checks.max_length = count("maxLength");
        checks.min_length = count("minLength");
        checks.pattern = pattern.map(|text| self.pattern(text));
        checks.max_items = count("maxItems");
        checks.min_items = count("minItems");
        checks.unique_items = flag(schema, "uniqueItems");
        checks.max_properties = count("maxProperties");
        checks.min_properties = count("minProperties");
        checks.required = texts(schema, "required");
        checks.values = items(schema, "enum").cloned().collect();
    }

    fn pattern(&mut self, text: String) -> Arc<Pattern> {
        self.patterns.entry(text).or_insert_with_key(|text| Arc::new(Pattern::new(text))).clone()
    }
}

/// What a node says itself.
#[inline(never)]
fn words(node: &mut Structural, schema: &Value) {
    let preserve = schema.get("x-kubernetes-preserve-unknown-fields").and_then(Value::as_bool);
    node.kind = text(schema, "type");
    node.nullable = flag(schema, "nullable");
    node.default = schema.get("default").filter(|value| !value.is_null()).cloned();
    node.preserve = preserve == Some(true);
    node.embedded = flag(schema, "x-kubernetes-embedded-resource");
    node.int_or_string = flag(schema, "x-kubernetes-int-or-string");
    node.list_type = word(schema, "x-kubernetes-list-type");
    node.list_keys = texts(schema, "x-kubernetes-list-map-keys");
    node.map_type = word(schema, "x-kubernetes-map-type");
    node.rules = items(schema, "x-kubernetes-validations").map(rule).collect();
    node.unsupported = UNSUPPORTED.into_iter().filter(|name| is_said(schema, name)).collect();
    node.extras = Extras {
        has_title: !text(schema, "title").is_empty(),
        has_description: !text(schema, "description").is_empty(),
        items_is_list: schema.get("items").is_some_and(Value::is_array),
        preserve_is_false: preserve == Some(false),
    };
}

#[inline(never)]
fn put(properties: &mut BTreeMap<String, Structural>, name: &str, node: Box<Structural>) {
    properties.insert(name.to_owned(), *node);
}

#[inline(never)]
fn push(nodes: &mut Vec<Structural>, node: Box<Structural>) {
    nodes.push(*node);
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

/// Far deeper than any schema in use. Each level costs stack here and wherever values
/// are walked, and a request's JSON alone would let some more through.
const DEPTH_MAX: usize = 64;
/// In the order in which their errors stand.
const UNSUPPORTED: [&str; 7] =
    ["id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions"];
