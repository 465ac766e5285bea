//! What the API takes of OpenAPI in schemas, beside their structure.

use kube_object::field_error::FieldError;
use serde_json::{Value, json};

use super::field_path;
use super::rule_costs::{EXPRESSION_COST_MAX, Total, exceeds};
use crate::path::Path;
use crate::rules::{CompiledRule, RuleCompiler};
use crate::schema::{Additional, Rule, Structural, is_meta_field};

/// Errors of the schema, and of the rules in it.
pub(super) fn errors(
    schema: &Structural,
    path: &Path<'_>,
    compiler: Option<&dyn RuleCompiler>,
    costs: &mut Total,
) -> (Vec<FieldError>, Vec<FieldError>) {
    let mut walk = Walk { found: Vec::new(), rule_errors: Vec::new(), costs };
    let context = Context { compiler, cardinality: Some(1), ..Context::default() };
    walk.node(schema, path, &context);
    (walk.found, walk.rule_errors)
}

/// With a status subresource the root says only what status does not lose.
pub(super) fn root_words(raw: &Value, path: &str) -> Vec<FieldError> {
    let kind = raw.get("type").and_then(Value::as_str).unwrap_or_default();
    if !kind.is_empty() && kind != "object" {
        let detail = "only \"object\" is allowed as the type at the root of the schema if the status subresource is \
                      enabled";
        return vec![FieldError::invalid(format!("{path}.type"), kind, detail)];
    }
    let said = |name: &str| match raw.get(name) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    };
    if !ROOT_REFUSED.iter().any(|name| said(name)) {
        return Vec::new();
    }
    let detail = format!(
        "only {ROOT_ALLOWED} fields are allowed at the root of the schema if the status subresource is enabled"
    );
    vec![FieldError::invalid(path, raw.clone(), detail)]
}

/// What is known of the places above a node.
#[derive(Clone, Default)]
struct Context<'a> {
    /// Why there may be no defaults; empty if there may.
    no_defaults: String,
    /// Whether this is inside of apiVersion, kind or metadata.
    in_meta: bool,
    /// The first place above whose parts cannot be told apart over time.
    uncorrelatable: Option<String>,
    /// How many values of this node an object may have; none if that has no limit.
    cardinality: Option<u64>,
    compiler: Option<&'a dyn RuleCompiler>,
    below_root: bool,
}

struct Walk<'a> {
    found: Vec<FieldError>,
    rule_errors: Vec<FieldError>,
    costs: &'a mut Total,
}

impl Walk<'_> {
    fn node(&mut self, schema: &Structural, path: &Path<'_>, context: &Context<'_>) {
        let start = self.found.len();
        self.words(schema, path, context);
        self.below(schema, path, context);
        self.extensions(schema, path);
        self.list_map(schema, path);
        self.keys(schema, path);
        for (at, rule) in schema.rules.iter().enumerate() {
            self.rule_words(rule, schema, path, at);
        }
        // Rules over a schema that is wrong itself would only confuse.
        if let Some(compiler) = context.compiler.filter(|_| self.found.len() == start) {
            for (at, rule) in schema.rules.iter().enumerate() {
                let compiled = compiler.compile(rule, schema);
                self.rule(rule, &compiled, path, at, context);
            }
        }
    }

    fn forbid(&mut self, path: &Path<'_>, name: &str, detail: impl Into<String>) {
        self.found.push(FieldError::forbidden(path.child(name).to_string(), detail));
    }

    fn words(&mut self, schema: &Structural, path: &Path<'_>, context: &Context<'_>) {
        let kind = schema.kind.as_str();
        if !kind.is_empty() && !TYPES.contains(&kind) {
            self.found.push(FieldError::not_supported(path.child("type").to_string(), kind, &TYPES));
        }
        if schema.default.is_some() && !context.no_defaults.is_empty() {
            self.forbid(path, "default", format!("must not be set {}", context.no_defaults));
        }
        for name in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
            if schema.unsupported.contains(&name) {
                self.forbid(path, name, format!("{name} is not supported"));
            }
        }
        if kind == "null" {
            self.forbid(path, "type", "type cannot be set to null, use nullable as an alternative");
        }
        if schema.extras.items_is_list {
            self.forbid(path, "items", "items must be a schema object and not an array");
        }
        if context.in_meta && schema.embedded {
            self.forbid(path, "x-kubernetes-embedded-resource", "must not be used inside of resource meta");
        }
        if schema.checks.unique_items {
            let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.forbid(path, "uniqueItems", detail);
        }
        let closed_or_typed = !matches!(schema.additional, None | Some(Additional::Any(true)));
        if closed_or_typed && !schema.properties.is_empty() {
            let detail = "additionalProperties and properties are mutual exclusive";
            self.forbid(path, "additionalProperties", detail);
        }
    }

    fn below(&mut self, schema: &Structural, path: &Path<'_>, context: &Context<'_>) {
        let checks = &schema.checks;
        let times = |limit: Option<i64>| {
            let limit = limit.and_then(|limit| u64::try_from(limit).ok())?;
            Some(context.cardinality?.saturating_mul(limit))
        };
        if let Some(below) = schema.values_schema() {
            let mut inner =
                Context { below_root: true, cardinality: times(checks.max_properties), ..context.clone() };
            if context.in_meta {
                inner.no_defaults = "inside additionalProperties applying to object metadata".to_owned();
            }
            self.node(below, &path.child("additionalProperties"), &inner);
        }
        let properties = path.child("properties");
        for (name, below) in &schema.properties {
            let mut inner = Context { below_root: true, ..context.clone() };
            if schema.map_type.as_deref() == Some("atomic") {
                inner.uncorrelatable.get_or_insert_with(|| path.to_string());
            }
            let at_root = !context.below_root;
            if (at_root || schema.embedded) && is_meta_field(name) {
                inner.in_meta = true;
                if at_root {
                    inner.no_defaults = format!("in top-level {name}");
                }
            }
            self.node(below, &properties.key(name), &inner);
        }
        let plain = Context { below_root: true, compiler: None, ..context.clone() };
        if let Some(not) = &checks.not {
            self.node(not, &path.child("not"), &plain);
        }
        for (name, all) in [("allOf", &checks.all_of), ("oneOf", &checks.one_of), ("anyOf", &checks.any_of)] {
            let above = path.child(name);
            for (at, one) in all.iter().enumerate() {
                self.node(one, &above.index(at), &plain);
            }
        }
        if let Some(items) = &schema.items {
            let mut inner =
                Context { below_root: true, cardinality: times(checks.max_items), ..context.clone() };
            if !schema.is_list_map() {
                inner.uncorrelatable.get_or_insert_with(|| path.to_string());
            }
            self.node(items, &path.child("items"), &inner);
        }
    }

    fn extensions(&mut self, schema: &Structural, path: &Path<'_>) {
        if schema.extras.preserve_is_false {
            let path = path.child("x-kubernetes-preserve-unknown-fields").to_string();
            self.found.push(FieldError::invalid(path, false, "must be true or undefined"));
        }
        let kinds = [
            (&schema.map_type, "object", "x-kubernetes-map-type", &["atomic", "granular"][..]),
            (&schema.list_type, "array", "x-kubernetes-list-type", &["atomic", "map", "set"][..]),
        ];
        for (said, kind, name, known) in kinds {
            let Some(said) = said else { continue };
            if schema.kind != kind {
                let detail = format!("must be {kind} if {name} is specified");
                let path = path.child("type").to_string();
                self.found.push(match schema.kind.as_str() {
                    "" => FieldError::required(path, detail),
                    other => FieldError::invalid(path, other, detail),
                });
            } else if said == "set" && kind == "array" {
                self.set_items(schema, path);
            }
            if !known.contains(&said.as_str()) {
                let path = path.child(name).to_string();
                self.found.push(FieldError::not_supported(path, said.as_str(), known));
            }
        }
    }

    /// The items of a set are one value each.
    fn set_items(&mut self, schema: &Structural, path: &Path<'_>) {
        let Some(items) = &schema.items else { return };
        let wrong = match items.kind.as_str() {
            "array" => items.list_type.as_deref().is_some_and(|kind| kind != "atomic"),
            "object" => items.map_type.as_deref() != Some("atomic"),
            _ => false,
        };
        if wrong {
            let name = if items.kind == "array" { "x-kubernetes-list-type" } else { "x-kubernetes-map-type" };
            let at = path.child("items");
            let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
            self.found.push(FieldError::invalid(at.child(name).to_string(), json!(items.list_type), detail));
        }
    }

    fn list_map(&mut self, schema: &Structural, path: &Path<'_>) {
        let at = path.child("x-kubernetes-list-type").to_string();
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        match schema.list_type.as_deref() {
            None if !schema.list_keys.is_empty() => self.found.push(FieldError::required(at, detail)),
            Some(kind) if kind != "map" && !schema.list_keys.is_empty() => {
                self.found.push(FieldError::invalid(at, kind, detail));
            }
            _ => {}
        }
        if !schema.is_list_map() {
            return;
        }
        let at = path.child("x-kubernetes-list-map-keys").to_string();
        if schema.list_keys.is_empty() {
            let detail = "must not be empty if x-kubernetes-list-type is map";
            self.found.push(FieldError::required(at.clone(), detail));
        }
        let Some(items) = &schema.items else {
            let detail = "must have a schema if x-kubernetes-list-type is map";
            self.found.push(FieldError::required(path.child("items").to_string(), detail));
            return;
        };
        let items_path = path.child("items");
        if items.kind != "object" {
            let detail = "must be object if parent array's x-kubernetes-list-type is map";
            let path = items_path.child("type").to_string();
            self.found.push(FieldError::invalid(path, items.kind.as_str(), detail));
            return;
        }
        for (index, key) in schema.list_keys.iter().enumerate() {
            match items.properties.get(key) {
                Some(below) if matches!(below.kind.as_str(), "array" | "object") => {
                    let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                    let properties = items_path.child("properties");
                    let path = properties.key(key);
                    let path = path.child("type").to_string();
                    self.found.push(FieldError::invalid(path, items.kind.as_str(), detail));
                }
                Some(_) => {}
                None => {
                    let detail = "entries must all be names of item properties";
                    self.found.push(FieldError::invalid(at.clone(), json!(schema.list_keys), detail));
                }
            }
            if schema.list_keys[..index].contains(key) {
                let detail = "must not contain duplicate entries";
                self.found.push(FieldError::invalid(at.clone(), json!(schema.list_keys), detail));
            }
        }
    }

    /// What identifies an item is always there.
    fn keys(&mut self, schema: &Structural, path: &Path<'_>) {
        let kind = schema.list_type.as_deref().unwrap_or_default();
        let Some(items) = schema.items.as_deref().filter(|_| kind == "set" || kind == "map") else { return };
        let at = path.child("items");
        if items.nullable {
            self.forbid(&at, "nullable", format!("cannot be nullable when x-kubernetes-list-type is {kind}"));
        }
        let properties = at.child("properties");
        for key in schema.list_keys.iter().filter(|_| kind == "map") {
            let Some(below) = items.properties.get(key) else { continue };
            let at = properties.key(key);
            if below.default.is_none() && !items.checks.required.contains(key) {
                let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a \
                              required property";
                self.found.push(FieldError::required(at.child("default").to_string(), detail));
            }
            if below.nullable {
                let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
                self.forbid(&at, "nullable", detail);
            }
        }
    }

    fn rule_words(&mut self, rule: &Rule, schema: &Structural, path: &Path<'_>, index: usize) {
        let all = path.child("x-kubernetes-validations");
        let at = all.index(index);
        let field = |name: &str| at.child(name).to_string();
        let breaks = |text: &str| text.contains(['\n', '\r']);
        let (text, message) = (rule.rule.trim(), rule.message.trim());
        if text.is_empty() {
            self.found.push(FieldError::required(field("rule"), "rule is not specified"));
        } else if !rule.message.is_empty() && message.is_empty() {
            let detail = "must be non-empty if specified";
            self.found.push(FieldError::invalid(field("message"), rule.message.as_str(), detail));
        } else if breaks(message) {
            let detail = "must not contain line breaks";
            self.found.push(FieldError::invalid(field("message"), rule.message.as_str(), detail));
        } else if breaks(text) && message.is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            self.found.push(FieldError::required(field("message"), detail));
        }
        if !rule.message_expression.is_empty() && rule.message_expression.trim().is_empty() {
            let detail = "messageExpression must be non-empty if specified";
            self.found.push(FieldError::required(field("messageExpression"), detail));
        }
        if let Some(reason) = rule.reason.as_deref().filter(|reason| !REASONS.contains(reason)) {
            self.found.push(FieldError::not_supported(field("reason"), reason, &REASONS));
        }
        let field_path = rule.field_path.as_str();
        if field_path.is_empty() {
            return;
        }
        let mut wrong = |detail: &str| {
            self.found.push(FieldError::invalid(field("fieldPath"), field_path, detail));
        };
        if field_path.trim().is_empty() {
            wrong("must be non-empty if specified");
        }
        if breaks(field_path) {
            wrong("must not contain line breaks");
        }
        if field_path::resolve(field_path, schema, true).is_err() {
            wrong("must be a valid path");
        }
    }

    fn rule(
        &mut self,
        rule: &Rule,
        compiled: &CompiledRule,
        path: &Path<'_>,
        index: usize,
        context: &Context<'_>,
    ) {
        let all = path.child("x-kubernetes-validations");
        let at = all.index(index);
        let field = |name: &str| at.child(name).to_string();
        let cost = compiled.cost.saturating_mul(context.cardinality.unwrap_or(compiled.max_cardinality));
        if cost > EXPRESSION_COST_MAX {
            let detail = exceeds("estimated rule cost", cost, EXPRESSION_COST_MAX);
            self.rule_errors.push(FieldError::forbidden(field("rule"), detail));
        }
        self.costs.add(cost, || field("rule"));
        if let Err(error) = &compiled.program {
            self.rule_errors.push(match error.required {
                true => FieldError::required(field("rule"), error.detail.as_str()),
                false => FieldError::invalid(field("rule"), shown(rule), error.detail.as_str()),
            });
        }
        match &compiled.message {
            Some(Err(error)) => {
                let detail = error.detail.as_str();
                self.rule_errors.push(FieldError::invalid(field("messageExpression"), shown(rule), detail));
            }
            Some(Ok(_)) => {
                let cost = compiled.message_cost;
                if cost > EXPRESSION_COST_MAX {
                    let detail = exceeds("estimated messageExpression cost", cost, EXPRESSION_COST_MAX);
                    self.rule_errors.push(FieldError::forbidden(field("messageExpression"), detail));
                }
                self.costs.add(cost, || field("messageExpression"));
            }
            None => {}
        }
        match (&context.uncorrelatable, rule.optional_old_self) {
            (Some(place), _) if compiled.uses_old_self => {
                let detail = format!(
                    "oldSelf cannot be used on the uncorrelatable portion of the schema within {place}"
                );
                self.rule_errors.push(FieldError::invalid(field("rule"), rule.rule.as_str(), detail));
            }
            (_, Some(optional)) if !compiled.uses_old_self => {
                let detail = "may not be set if oldSelf is not used in rule";
                self.rule_errors.push(FieldError::invalid(field("optionalOldSelf"), optional, detail));
            }
            _ => {}
        }
    }
}

/// A rule as errors show it.
fn shown(rule: &Rule) -> Value {
    json!({
        "Rule": rule.rule, "Message": rule.message, "MessageExpression": rule.message_expression,
        "Reason": rule.reason, "FieldPath": rule.field_path, "OptionalOldSelf": rule.optional_old_self,
    })
}

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
const ROOT_ALLOWED: &str = "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum \
                            MaxLength MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items \
                            Properties ExternalDocs Example XPreserveUnknownFields XValidations]";
const ROOT_REFUSED: [&str; 22] = [
    "id",
    "$schema",
    "$ref",
    "nullable",
    "default",
    "enum",
    "maxProperties",
    "minProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "additionalProperties",
    "patternProperties",
    "dependencies",
    "additionalItems",
    "definitions",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
];
