//! Expressions of policies and match conditions: what they are compiled by.

use std::sync::Arc;

use serde_json::Value;

use crate::cel_compiler::Asked;

/// How much all match conditions of one request may cost: as upstream counts.
pub(crate) const MATCH_BUDGET: u64 = kube_cel::MATCH_CONDITIONS_BUDGET;
/// How much all expressions of one policy may cost for one request.
pub(crate) const POLICY_BUDGET: u64 = kube_cel::RUNTIME_BUDGET;

/// Compiles expressions.
pub(crate) trait Compiler: Send + Sync {
    /// An expression over these variables.
    fn compile(&self, text: &str, variables: &[&str]) -> Compiled;
}

/// A compiled expression.
pub(crate) trait Expression: Send + Sync {
    /// Its value, at a cost that is taken off the budget.
    fn evaluate(&self, variables: &[(&str, &Value)], budget: &mut u64) -> Result<Value, CelError>;

    /// The same, for expressions that may ask who may do what.
    fn evaluate_asking(
        &self,
        variables: &[(&str, &Value)],
        _asked: &Asked<'_>,
        budget: &mut u64,
    ) -> Result<Value, CelError> {
        self.evaluate(variables, budget)
    }
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
    #[error("must evaluate to {expected} but got {got}")]
    Type {
        /// What it should be.
        expected: &'static str,
        /// What it is.
        got: &'static str,
    },
}

impl CelError {
    /// The words about the expression with this text.
    pub(crate) fn about(&self, text: &str) -> String {
        match self {
            Self::Compile(_) => self.to_string(),
            _ => format!("expression '{text}' resulted in error: {self}"),
        }
    }
}

/// Conditions with their texts, all of which must hold: `matchConditions`.
#[derive(Clone, Default)]
pub(crate) struct Conditions(Vec<(String, Compiled)>);

impl Conditions {
    /// Compiles a list of `{name, expression}`.
    pub(crate) fn compile(list: &[Value], variables: &[&str], compiler: &dyn Compiler) -> Self {
        let texts = list.iter().map(|item| crate::read::text(item, &["expression"]));
        Self(texts.map(|text| (text.to_owned(), compiler.compile(text, variables))).collect())
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all hold; the words if that cannot be said. One that is false decides,
    /// whatever errors the others have.
    pub(crate) fn hold(
        &self,
        mut evaluate: impl FnMut(&str, &Compiled) -> Result<Value, CelError>,
    ) -> Result<bool, String> {
        let mut errors = Vec::new();
        for (text, expression) in &self.0 {
            match evaluate(text, expression) {
                Ok(Value::Bool(false)) => return Ok(false),
                Ok(Value::Bool(true)) => {}
                Ok(other) => {
                    let error = CelError::Type { expected: "bool", got: type_name(&other) };
                    errors.push(error.about(text));
                }
                Err(error) => errors.push(error.about(text)),
            }
        }
        match errors.as_slice() {
            [] => Ok(true),
            [error] => Err(error.clone()),
            errors => Err(format!("[{}]", errors.join(", "))),
        }
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
