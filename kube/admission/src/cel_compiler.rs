//! Expressions in the Common Expression Language.

use std::sync::Arc;

use kube_cel::{Activation, Env, Program};
use serde_json::Value;

use crate::cel::{CelError, Compiled, Compiler, Expression};

/// Compiles with Kubernetes' libraries.
pub(crate) struct Cel;

struct Evaluable(Program);

impl Compiler for Cel {
    fn compile(&self, text: &str, variables: &[&str]) -> Compiled {
        let env = variables.iter().fold(Env::new().with_mutation(), |env, name| match *name {
            "authorizer" => env.with_authorizer(),
            name => env.with_any(name),
        });
        match Program::compile(text, &env) {
            Ok(program) => Ok(Arc::new(Evaluable(program))),
            Err(error) => Err(CelError::Compile(error.to_string())),
        }
    }
}

impl Expression for Evaluable {
    fn evaluate(&self, variables: &[(&str, &Value)], budget: &mut u64) -> Result<Value, CelError> {
        let activation = variables
            .iter()
            .fold(Activation::new(), |activation, (name, value)| activation.with(name, value));
        let value =
            self.0.evaluate(&activation, budget).map_err(|error| CelError::Evaluate(error.to_string()))?;
        value.to_json().ok_or_else(|| {
            CelError::Evaluate(format!("a value of type {} cannot be passed on", value.type_name()))
        })
    }
}

#[cfg(test)]
mod tests;
