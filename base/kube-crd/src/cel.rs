//! Rules in the Common Expression Language: what `self` is to an expression, and what
//! the language's words are to a rule.

use std::sync::Arc;

use kube_cel::{Activation, Decl, Env, EvalError, Form, ListKind, Program, REQUEST_BYTES_MAX, Type};
use serde_json::Value;

use crate::rules::{CompiledRule, InvalidRule, RuleCompiler, RuleFailure, RuleInput, RuleProgram};
use crate::schema::{Rule, Structural};

/// Compiles rules with Kubernetes' libraries.
#[derive(Clone, Copy, Debug, Default)]
pub struct CelCompiler;

impl RuleCompiler for CelCompiler {
    fn compile(&self, rule: &Rule, schema: &Structural) -> CompiledRule {
        let mut compiled = CompiledRule {
            program: Err(invalid("failed to convert to declType for CEL validation rules".to_owned())),
            message: None,
            uses_old_self: false,
            cost: 0,
            message_cost: 0,
            max_cardinality: 0,
        };
        let Some(decl) = declared(schema, schema.is_resource()) else { return compiled };
        compiled.max_cardinality = REQUEST_BYTES_MAX / (decl.min_size + 1);
        if rule.rule.trim().is_empty() {
            compiled.program =
                Err(InvalidRule { required: true, detail: "rule is not specified".to_owned() });
            return compiled;
        }
        let decl = Arc::new(decl.named("selfType"));
        let env = Env::new().with_decl("self", &decl);
        let env = match rule.optional_old_self {
            Some(true) => env.with_optional_decl("oldSelf", &decl),
            _ => env.with_decl("oldSelf", &decl),
        };
        let program = match program(
            &rule.rule,
            &env,
            &Type::Bool,
            ["compilation failed", "cel expression must evaluate to a bool"],
        ) {
            Ok(program) => program,
            Err(error) => {
                compiled.program = Err(error);
                return compiled;
            }
        };
        compiled.uses_old_self = program.uses("oldSelf");
        compiled.cost = program.estimate().max;
        compiled.program = Ok(Box::new(Compiled(program)));
        if !rule.message_expression.is_empty() {
            let words =
                ["messageExpression compilation failed", "messageExpression must evaluate to a string"];
            let message = self::program(&rule.message_expression, &env, &Type::String, words);
            compiled.message_cost = message.as_ref().map_or(0, |program| program.estimate().max);
            compiled.message =
                Some(message.map(|program| Box::new(Compiled(program)) as Box<dyn RuleProgram>));
        }
        compiled
    }
}

fn invalid(detail: String) -> InvalidRule {
    InvalidRule { required: false, detail }
}

fn program(text: &str, env: &Env, wanted: &Type, words: [&str; 2]) -> Result<Program, InvalidRule> {
    let program = Program::compile(text, env).map_err(|error| invalid(format!("{}: {error}", words[0])))?;
    if program.result_type() == wanted { Ok(program) } else { Err(invalid(words[1].to_owned())) }
}

#[derive(Debug)]
struct Compiled(Program);

impl RuleProgram for Compiled {
    fn evaluate(&self, input: &RuleInput<'_>, budget: &mut u64) -> Result<Value, RuleFailure> {
        let activation = Activation::new().with("self", input.this);
        let activation = match (input.optional_old, input.old) {
            (true, old) => activation.with_optional("oldSelf", old),
            (false, Some(old)) => activation.with("oldSelf", old),
            (false, None) => activation,
        };
        match self.0.evaluate(&activation, budget) {
            Ok(value) => Ok(value.to_json().unwrap_or_default()),
            Err(EvalError::Cost) if *budget == 0 => Err(RuleFailure::Budget),
            Err(error @ EvalError::Cost) => Err(RuleFailure::CallCost(error.to_string())),
            Err(error @ EvalError::NoOverload(_)) => Err(RuleFailure::NoOverload(error.to_string())),
            Err(error) => Err(RuleFailure::Other(error.to_string())),
        }
    }
}

/// What values of a schema are to expressions; none if they cannot be seen.
pub(crate) fn declared(schema: &Structural, is_resource: bool) -> Option<Decl> {
    if schema.int_or_string {
        let most = schema.checks.max_length.map_or(REQUEST_BYTES_MAX - 2, in_bytes);
        return Some(Decl { max_elements: most, ..Decl::any() });
    }
    let limit = |most: Option<i64>| most.map(|most| u64::try_from(most).unwrap_or(0));
    Some(match schema.kind.as_str() {
        "boolean" => Decl::plain(Type::Bool, 0, 4),
        "integer" => Decl::plain(Type::Int, 0, 1),
        "number" => Decl::plain(Type::Double, 0, 1),
        "string" => text(schema),
        "array" => {
            let item = schema.items.as_deref()?;
            let kind = match schema.list_type.as_deref() {
                Some("set") => ListKind::Set,
                Some("map") => ListKind::Map(schema.list_keys.clone().into()),
                _ => ListKind::Atomic,
            };
            Decl::list(declared(item, item.embedded)?, limit(schema.checks.max_items), kind)
        }
        "object" => match schema.values_schema() {
            Some(values) => {
                Decl::map(declared(values, values.embedded)?, limit(schema.checks.max_properties))
            }
            None => object(schema, is_resource),
        },
        _ if is_resource => object(schema, is_resource),
        _ => return None,
    })
}

fn object(schema: &Structural, is_resource: bool) -> Decl {
    let mut size = 2;
    let mut fields = Vec::new();
    for (name, below) in &schema.properties {
        if is_resource && crate::schema::is_meta_field(name) {
            continue;
        }
        let Some(decl) = declared(below, below.embedded) else { continue };
        if schema.checks.required.contains(name) && below.default.is_none() {
            size += name.len() as u64 + decl.min_size + 4;
        }
        fields.push((name.clone(), decl));
    }
    if is_resource {
        let names = ["name", "generateName"].map(|name| (name.to_owned(), Decl::string()));
        let metadata = Decl::object("", names, 2);
        fields.push(("metadata".to_owned(), metadata));
        fields.extend(["apiVersion", "kind"].map(|name| (name.to_owned(), Decl::string())));
    }
    Decl::object("", fields, size)
}

fn text(schema: &Structural) -> Decl {
    let plain = |ty: Type, form: Form, most: u64, least: u64| Decl { form, ..Decl::plain(ty, most, least) };
    let checks = &schema.checks;
    match checks.format.as_str() {
        "byte" => {
            let most =
                checks.max_length.map_or(REQUEST_BYTES_MAX - 2, |most| u64::try_from(most).unwrap_or(0));
            plain(Type::Bytes, Form::Bytes, most, 2)
        }
        "duration" => plain(Type::Duration, Form::Duration, 32, 3),
        "date" => plain(Type::Timestamp, Form::Date, 12, 12),
        "date-time" => plain(Type::Timestamp, Form::DateTime, 32, 21),
        _ => {
            let named = checks.values.iter().filter_map(Value::as_str).map(|text| text.len() as u64).max();
            let most = match (checks.max_length, checks.values.is_empty()) {
                (Some(most), _) => in_bytes(most),
                (None, false) => named.unwrap_or(0),
                (None, true) => REQUEST_BYTES_MAX - 2,
            };
            Decl::plain(Type::String, most, 2)
        }
    }
}

/// A character has at most four bytes.
fn in_bytes(characters: i64) -> u64 {
    u64::try_from(characters).unwrap_or(0).saturating_mul(4)
}

#[cfg(test)]
mod tests;
