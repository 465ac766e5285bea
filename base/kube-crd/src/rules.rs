//! Rules in CEL: `x-kubernetes-validations`.
//!
//! The language comes in through two traits; here is which rule is asked about which
//! part of an object, against which part of the former object, at what cost, and how
//! its answer reads.

use std::collections::BTreeMap;
use std::fmt;

use kube_object::field_error::FieldError;
use serde_json::{Map, Value};

use crate::check::resolve_field_path;
use crate::path::Path;
use crate::schema::{Rule, Structural};
use crate::value::lists::identity;

/// Compiles rules.
pub trait RuleCompiler: Send + Sync {
    /// Compiles a rule of a schema's node. `self` is a value of that schema; for a
    /// node with [`Structural::is_resource`] it also has apiVersion, kind,
    /// metadata.name and metadata.generateName.
    fn compile(&self, rule: &Rule, schema: &Structural) -> CompiledRule;
}

/// A rule, compiled.
#[derive(Debug)]
pub struct CompiledRule {
    /// The rule; its result is a boolean.
    pub program: Result<Box<dyn RuleProgram>, InvalidRule>,
    /// The expression of its message, if it has one; its result is a string.
    pub message: Option<Result<Box<dyn RuleProgram>, InvalidRule>>,
    /// Whether the rule names `oldSelf`.
    pub uses_old_self: bool,
    /// The most that one evaluation of the rule may cost, by estimate.
    pub cost: u64,
    /// The most that one evaluation of the message may cost, by estimate.
    pub message_cost: u64,
    /// How many values of the node a request can hold at most.
    pub max_cardinality: u64,
}

/// A rule is no expression that may stand there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct InvalidRule {
    /// Whether something is missing, rather than wrong.
    pub required: bool,
    /// In the compiler's words.
    pub detail: String,
}

/// An expression that can be evaluated.
pub trait RuleProgram: fmt::Debug + Send + Sync {
    /// Evaluates, and takes what it cost out of the budget.
    fn evaluate(&self, input: &RuleInput<'_>, budget: &mut u64) -> Result<Value, RuleFailure>;
}

/// What a rule sees.
#[derive(Clone, Copy, Debug)]
pub struct RuleInput<'a> {
    /// The value.
    pub this: &'a Value,
    /// What it was before; none if it is new or can't be told.
    pub old: Option<&'a Value>,
    /// Whether `oldSelf` is an optional.
    pub optional_old: bool,
}

/// An evaluation gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleFailure {
    /// The budget of the whole object is used up.
    #[error("validation failed due to running out of cost budget, no further validation rules will be run")]
    Budget,
    /// This one evaluation cost too much.
    #[error("{0}")]
    CallCost(String),
    /// An operator has no meaning for the values' types.
    #[error("{0}")]
    NoOverload(String),
    /// No such key, division by zero and so on.
    #[error("{0}")]
    Other(String),
}

/// The compiled rules of a schema: only the nodes that have some, or lead to some.
#[derive(Debug)]
pub struct Rules {
    own: Vec<Own>,
    /// The node without what lies below it: its kind, and what identifies its items.
    schema: Structural,
    properties: BTreeMap<String, Rules>,
    additional: Option<Box<Rules>>,
    items: Option<Box<Rules>>,
    all_of: Vec<Rules>,
}

/// A node's own rule, and the path of the field that it names.
#[derive(Debug)]
struct Own {
    rule: Rule,
    compiled: CompiledRule,
    field: String,
    /// The type of the values.
    kind: String,
}

impl Own {
    fn compile(rule: &Rule, schema: &Structural, compiler: &dyn RuleCompiler) -> Self {
        let field = match rule.field_path.as_str() {
            "" => String::new(),
            text => resolve_field_path(text, schema, true).map(|(path, _)| path).unwrap_or_default(),
        };
        Self {
            rule: rule.clone(),
            compiled: compiler.compile(rule, schema),
            field,
            kind: schema.kind.clone(),
        }
    }
}

impl Rules {
    /// Compiles the rules of a schema; none if it has none.
    pub fn compile(schema: &Structural, compiler: &dyn RuleCompiler) -> Option<Self> {
        let boxed = |below: Option<&Structural>| Self::compile(below?, compiler).map(Box::new);
        let own: Vec<Own> = schema.rules.iter().map(|rule| Own::compile(rule, schema, compiler)).collect();
        let compiled = Self {
            properties: schema
                .properties
                .iter()
                .filter_map(|(name, below)| Some((name.clone(), Self::compile(below, compiler)?)))
                .collect(),
            additional: boxed(schema.values_schema()),
            items: boxed(schema.items.as_deref()),
            all_of: schema.checks.all_of.iter().filter_map(|one| Self::compile(one, compiler)).collect(),
            schema: head(schema),
            own,
        };
        let useful = !compiled.own.is_empty()
            || !compiled.properties.is_empty()
            || compiled.additional.is_some()
            || compiled.items.is_some()
            || !compiled.all_of.is_empty();
        useful.then_some(compiled)
    }

    /// What the rules say about an object; with the former one, also those that compare,
    /// and what did not change is forgiven.
    pub fn validate(&self, value: &Value, old: Option<&Value>, budget: &mut u64) -> Vec<FieldError> {
        let mut run = Run { budget, found: Vec::new(), ratchets: old.is_some() };
        let now = old.map(|old| (value, old));
        // An empty result of the run is the stop after the budget's end.
        let _ = run.value(self, &Path::Root, value, old, Ratchet { now, above: None });
        run.found
    }
}

fn head(schema: &Structural) -> Structural {
    Structural {
        kind: schema.kind.clone(),
        list_type: schema.list_type.clone(),
        list_keys: schema.list_keys.clone(),
        map_type: schema.map_type.clone(),
        ..Default::default()
    }
}

/// The value and the former one here, or above where they could last be matched.
#[derive(Clone, Copy)]
struct Ratchet<'a> {
    now: Option<(&'a Value, &'a Value)>,
    above: Option<(&'a Value, &'a Value)>,
}

impl<'a> Ratchet<'a> {
    fn below(self, now: Option<(&'a Value, &'a Value)>) -> Self {
        match self.now {
            Some(_) => Self { now, above: self.now },
            None => self,
        }
    }

    fn unchanged(self) -> bool {
        self.now.or(self.above).is_some_and(|(new, old)| new == old)
    }
}

/// The budget is used up: nothing more is asked.
struct Stop;

struct Run<'b> {
    budget: &'b mut u64,
    found: Vec<FieldError>,
    ratchets: bool,
}

impl Run<'_> {
    fn value<'a>(
        &mut self,
        rules: &Rules,
        path: &Path<'_>,
        value: &'a Value,
        old: Option<&'a Value>,
        ratchet: Ratchet<'a>,
    ) -> Result<(), Stop> {
        if value.is_null() {
            return Ok(());
        }
        for own in &rules.own {
            self.rule(own, path, value, old, ratchet)?;
        }
        for one in &rules.all_of {
            self.value(one, path, value, old, Ratchet { now: None, above: ratchet.above })?;
        }
        match value {
            Value::Array(items) => self.items(rules, path, items, old, ratchet),
            Value::Object(fields) => self.fields(rules, path, fields, old, ratchet),
            _ => Ok(()),
        }
    }

    fn fields<'a>(
        &mut self,
        rules: &Rules,
        path: &Path<'_>,
        fields: &'a Map<String, Value>,
        old: Option<&'a Value>,
        ratchet: Ratchet<'a>,
    ) -> Result<(), Stop> {
        let matched = old.filter(|_| rules.schema.map_type.as_deref() != Some("atomic"));
        for (name, value) in fields {
            let old = matched.and_then(|old| old.get(name));
            let (below, path) = match (rules.properties.get(name), rules.additional.as_deref()) {
                (Some(below), _) => (below, path.child(name)),
                (None, Some(below)) => (below, path.key(name)),
                (None, None) => continue,
            };
            let at_root = ratchet.above.is_none() && (name == "kind" || name == "apiVersion");
            let ratchet = if at_root {
                Ratchet { now: None, above: None }
            } else {
                ratchet.below(old.map(|old| (value, old)))
            };
            self.value(below, &path, value, old, ratchet)?;
        }
        Ok(())
    }

    fn items<'a>(
        &mut self,
        rules: &Rules,
        path: &Path<'_>,
        items: &'a [Value],
        old: Option<&'a Value>,
        ratchet: Ratchet<'a>,
    ) -> Result<(), Stop> {
        let Some(below) = rules.items.as_deref() else { return Ok(()) };
        let keys = &rules.schema.list_keys;
        let former = old.and_then(Value::as_array).filter(|_| rules.schema.is_list_map());
        let former: BTreeMap<String, &Value> =
            former.into_iter().flatten().map(|item| (identity(item, keys).to_string(), item)).collect();
        for (at, value) in items.iter().enumerate() {
            let old = if former.is_empty() { None } else { former.get(&identity(value, keys).to_string()) };
            let old = old.copied();
            let ratchet = ratchet.below(old.map(|old| (value, old)));
            self.value(below, &path.index(at), value, old, ratchet)?;
        }
        Ok(())
    }

    fn rule(
        &mut self,
        own: &Own,
        path: &Path<'_>,
        value: &Value,
        old: Option<&Value>,
        ratchet: Ratchet<'_>,
    ) -> Result<(), Stop> {
        let (rule, compiled) = (&own.rule, &own.compiled);
        let wrong = |detail: String| FieldError::invalid(path.to_string(), own.kind.as_str(), detail);
        if *self.budget == 0 {
            self.found.push(wrong(RuleFailure::Budget.to_string()));
            return Err(Stop);
        }
        let program = match &compiled.program {
            Ok(program) => program,
            Err(error) => {
                self.found.push(wrong(format!("rule compile error: {error}")));
                return Ok(());
            }
        };
        let optional_old = rule.optional_old_self == Some(true);
        if compiled.uses_old_self && old.is_none() && !optional_old {
            return Ok(());
        }
        let input = RuleInput { this: value, old, optional_old };
        match program.evaluate(&input, self.budget) {
            Ok(Value::Bool(true)) => return Ok(()),
            Ok(_) => {}
            Err(failure) => {
                let stop = matches!(failure, RuleFailure::Budget | RuleFailure::CallCost(_));
                self.found.push(wrong(failure_text(&failure, rule)));
                return if stop { Err(Stop) } else { Ok(()) };
            }
        }
        let forgiven = !compiled.uses_old_self && self.ratchets && ratchet.unchanged();
        let message = match &compiled.message {
            Some(Ok(program)) => self.message(program.as_ref(), &input, rule),
            _ => Ok(None),
        };
        let error = match &message {
            Ok(message) => denial(own, message.as_deref(), path, value),
            Err(text) => wrong(text.clone()),
        };
        if !forgiven {
            self.found.push(error);
        }
        if message.is_err() { Err(Stop) } else { Ok(()) }
    }

    /// The message that an expression gives; none if it gives no good one.
    fn message(
        &mut self,
        program: &dyn RuleProgram,
        input: &RuleInput<'_>,
        rule: &Rule,
    ) -> Result<Option<String>, String> {
        match program.evaluate(input, self.budget) {
            Ok(Value::String(text)) => {
                let text = text.trim();
                let good = !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains('\n');
                Ok(good.then(|| text.to_owned()))
            }
            Err(RuleFailure::Budget) => {
                Err("messageExpression evaluation failed due to running out of cost \
                                             budget, no further validation rules will be run"
                    .to_owned())
            }
            Err(RuleFailure::CallCost(_)) => Err(format!(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: {:?}",
                rule.message_expression
            )),
            _ => Ok(None),
        }
    }
}

fn denial(own: &Own, message: Option<&str>, path: &Path<'_>, value: &Value) -> FieldError {
    let rule = &own.rule;
    let detail = match message {
        Some(message) => message.to_owned(),
        None if rule.message.is_empty() => format!("failed rule: {}", rule.rule.trim()),
        None => rule.message.trim().to_owned(),
    };
    let above = path.to_string();
    let dot = if above.is_empty() || own.field.is_empty() { "" } else { "." };
    let path = format!("{above}{dot}{}", own.field);
    let shown = !matches!(own.kind.as_str(), "object" | "array");
    let mut error = match rule.reason.as_deref() {
        Some("FieldValueForbidden") => return FieldError::forbidden(path, detail),
        Some("FieldValueRequired") => return FieldError::required(path, detail),
        Some("FieldValueDuplicate") => FieldError::duplicate(path, value.clone()),
        _ => FieldError::invalid(path, value.clone(), detail),
    };
    error.bad_value = error.bad_value.filter(|_| shown);
    error
}

fn failure_text(failure: &RuleFailure, rule: &Rule) -> String {
    let named = if rule.message.is_empty() { rule.rule.trim() } else { rule.message.trim() };
    match failure {
        RuleFailure::Budget => failure.to_string(),
        RuleFailure::CallCost(text) => format!(
            "'{text}': no further validation rules will be run due to call cost exceeds limit for rule: {named}"
        ),
        RuleFailure::NoOverload(text) => format!(
            "'{text}': call arguments did not match a supported operator, function or macro signature for rule: {named}"
        ),
        RuleFailure::Other(text) => format!("{text} evaluating rule: {named}"),
    }
}

/// What all rules over one object may cost together.
pub const OBJECT_BUDGET: u64 = 10_000_000;
/// What one evaluation may cost.
pub const CALL_COST_MAX: u64 = 1_000_000;
/// The longest message that an expression may give.
const MESSAGE_BYTES_MAX: usize = 5 * 1024;

#[cfg(test)]
mod tests;
