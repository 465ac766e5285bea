//! Expressions of policies and match conditions: what they are compiled by.

use std::sync::Arc;

use serde_json::Value;

/// How much all match conditions of one request may cost: as upstream counts.
pub(crate) const MATCH_BUDGET: u64 = 1_000_000;
/// How much all expressions of one policy may cost for one request.
pub(crate) const POLICY_BUDGET: u64 = 10_000_000;

/// Compiles expressions.
pub(crate) trait Compiler: Send + Sync {
    /// An expression over these variables.
    fn compile(&self, text: &str, variables: &[&str]) -> Compiled;
}

/// A compiled expression.
pub(crate) trait Expression: Send + Sync {
    /// Its value, at a cost that is taken off the budget.
    fn evaluate(&self, variables: &[(&str, &Value)], budget: &mut u64) -> Result<Value, CelError>;
}

/// An expression, or why it is none.
pub(crate) type Compiled = Result<Arc<dyn Expression>, CelError>;

/// An expression cannot be read, or has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CelError {
    /// It is no expression.
    #[error("compilation error: {0}")]
    Compile(String),
    /// It has no value for these variables.
    #[error("{0}")]
    Evaluate(String),
    /// Its value is of the wrong type.
    #[error("expected {expected}, got {got}")]
    Type {
        /// What it should be.
        expected: &'static str,
        /// What it is.
        got: &'static str,
    },
}

/// No compiler: every expression is refused, and so is what depends on it, unless its
/// failure policy says otherwise.
pub(crate) struct Absent;

impl Compiler for Absent {
    fn compile(&self, _text: &str, _variables: &[&str]) -> Compiled {
        Err(CelError::Compile("this server evaluates no expressions".to_owned()))
    }
}

/// Named conditions, all of which must hold: `matchConditions`.
#[derive(Clone, Default)]
pub(crate) struct Conditions(Vec<(String, Compiled)>);

impl Conditions {
    /// Compiles a list of `{name, expression}`.
    pub(crate) fn compile(list: &[Value], variables: &[&str], compiler: &dyn Compiler) -> Self {
        let text = |item: &Value, name| crate::read::text(item, &[name]).to_owned();
        let compiled = list
            .iter()
            .map(|item| (text(item, "name"), compiler.compile(&text(item, "expression"), variables)));
        Self(compiled.collect())
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all hold. One that is false decides, whatever errors the others have.
    pub(crate) fn hold(&self, variables: &[(&str, &Value)]) -> Result<bool, Vec<String>> {
        let (mut budget, mut errors) = (MATCH_BUDGET, Vec::new());
        for (name, expression) in &self.0 {
            let value = expression.as_ref().map_err(Clone::clone);
            match value.and_then(|expression| expression.evaluate(variables, &mut budget)) {
                Ok(Value::Bool(false)) => return Ok(false),
                Ok(Value::Bool(true)) => {}
                Ok(other) => {
                    let error = CelError::Type { expected: "bool", got: type_name(&other) };
                    errors.push(format!("match condition {name:?}: {error}"));
                }
                Err(error) => errors.push(format!("match condition {name:?}: {error}")),
            }
        }
        if errors.is_empty() { Ok(true) } else { Err(errors) }
    }
}

/// A value's type, in the words of the language.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null_type",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "double",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "map",
    }
}
