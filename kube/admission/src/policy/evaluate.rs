//! A policy's expressions for one request: pure, but for the compiled expressions.

use serde_json::{Map, Value};

use super::compiled::{AuditAnnotation, Policy, Validation, Variable};
use crate::cel::{CelError, Compiled, MATCH_BUDGET, POLICY_BUDGET, type_name};
use crate::cel_compiler::Asked;

/// A message of an expression may have at most so many bytes.
const MESSAGE_BYTES_MAX: usize = 5 * 1024;

/// What the expressions see.
pub(super) struct Sight<'a> {
    pub(super) object: &'a Value,
    pub(super) old: &'a Value,
    pub(super) request: &'a Value,
    pub(super) params: &'a Value,
    pub(super) namespace: &'a Value,
    pub(super) asked: Asked<'a>,
}

/// What a policy says to a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What does not hold: in the order of the validations.
    pub(super) failures: Vec<Failed>,
    /// For the audit log.
    pub(super) annotations: Vec<(String, String)>,
    /// Annotations that failed, which refuses the request whatever the binding says.
    pub(super) annotation_errors: Vec<String>,
}

/// One thing that does not hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failed {
    /// The validation's place.
    pub(super) index: usize,
    /// What to say.
    pub(super) message: String,
    /// The API's word for it; empty if the expression failed itself.
    pub(super) reason: String,
}

/// The expressions of one policy for one sight, with one budget.
pub(super) struct Evaluation<'a> {
    policy: &'a Policy,
    sight: &'a Sight<'a>,
    budget: u64,
    variables: Map<String, Value>,
    failed: Vec<(String, CelError)>,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(policy: &'a Policy, sight: &'a Sight<'a>) -> Self {
        Self { policy, sight, budget: POLICY_BUDGET, variables: Map::new(), failed: Vec::new() }
    }

    /// Whether the policy's conditions hold; the words if they have no value.
    pub(super) fn applies(&mut self) -> Result<bool, String> {
        let policy = self.policy;
        let rest = std::mem::replace(&mut self.budget, MATCH_BUDGET);
        let held = policy.conditions.hold(|text, expression| self.evaluate(text, expression));
        self.budget = rest;
        held
    }

    /// Judges the request.
    pub(super) fn judge(&mut self) -> Verdict {
        let mut verdict = Verdict::default();
        let policy = self.policy;
        match self.applies() {
            Ok(true) => {}
            Ok(false) => return verdict,
            Err(message) => {
                verdict.failures.extend(self.own_failure(0, message));
                return verdict;
            }
        }
        for (index, validation) in policy.validations.iter().enumerate() {
            match self.evaluate(&validation.text, &validation.expression) {
                Ok(Value::Bool(true)) => {}
                Ok(_) => {
                    let message = self.message(validation);
                    let reason = if validation.reason.is_empty() { "Invalid" } else { &validation.reason };
                    verdict.failures.push(Failed { index, message, reason: reason.to_owned() });
                }
                Err(error) => {
                    verdict.failures.extend(self.own_failure(index, error.about(&validation.text)));
                }
            }
        }
        for annotation in &policy.audit_annotations {
            self.annotate(annotation, &mut verdict);
        }
        verdict
    }

    /// A failure of the policy itself, unless such are ignored.
    fn own_failure(&self, index: usize, message: String) -> Option<Failed> {
        (!self.policy.ignores_failure).then(|| Failed { index, message, reason: String::new() })
    }

    fn message(&mut self, validation: &Validation) -> String {
        if let Some((text, expression)) = &validation.message_expression
            && let Ok(Value::String(message)) = self.evaluate(text, expression)
        {
            let message = message.trim();
            if !message.is_empty() && message.len() <= MESSAGE_BYTES_MAX && !message.contains('\n') {
                return message.to_owned();
            }
        }
        match validation.message.trim() {
            "" => format!("failed expression: {}", validation.text.trim()),
            message => message.to_owned(),
        }
    }

    fn annotate(&mut self, annotation: &AuditAnnotation, verdict: &mut Verdict) {
        match self.evaluate(&annotation.text, &annotation.expression) {
            Ok(Value::String(value)) if value.trim().is_empty() => {}
            Ok(Value::String(value)) => {
                verdict.annotations.push((annotation.key.clone(), value.trim().to_owned()));
            }
            Ok(Value::Null) => {}
            Ok(other) => verdict.annotation_errors.push(format!(
                "valueExpression '{}' resulted in unsupported return type: {}. \
                 Return type must be either string or null.",
                annotation.text,
                type_name(&other)
            )),
            Err(_) if self.policy.ignores_failure => {}
            Err(error) => verdict.annotation_errors.push(error.about(&annotation.text)),
        }
    }

    /// The value of an expression, with the variables that it names.
    pub(super) fn evaluate(&mut self, text: &str, expression: &Compiled) -> Result<Value, CelError> {
        let expression = expression.as_ref().map_err(Clone::clone)?;
        self.compose(text);
        let variables = Value::Object(self.variables.clone());
        let result = expression.evaluate_asking(
            &self.sight.variables(&variables),
            &self.sight.asked,
            &mut self.budget,
        );
        // A variable without a value matters only to who needs it.
        let named = |(name, _): &&(String, CelError)| names(text, name);
        match (result, self.failed.iter().find(named)) {
            (Err(CelError::Evaluate(_)), Some((name, error))) => {
                Err(CelError::Evaluate(format!("composited variable {name:?} fails to evaluate: {error}")))
            }
            (result, _) => result,
        }
    }

    /// Evaluates the variables that an expression names, and those that these name, which
    /// stand before them.
    fn compose(&mut self, text: &str) {
        let policy = self.policy;
        let mut wanted: Vec<&Variable> = Vec::new();
        let texts = |wanted: &[&Variable], name: &str| {
            names(text, name) || wanted.iter().any(|variable| names(&variable.text, name))
        };
        for variable in policy.variables.iter().rev() {
            if texts(&wanted, &variable.name) {
                wanted.push(variable);
            }
        }
        for variable in wanted.into_iter().rev() {
            let known = self.variables.contains_key(&variable.name)
                || self.failed.iter().any(|(name, _)| *name == variable.name);
            if known {
                continue;
            }
            let variables = Value::Object(self.variables.clone());
            let seen = self.sight.variables(&variables);
            let value = variable.expression.as_ref().map_err(Clone::clone);
            match value
                .and_then(|expression| expression.evaluate_asking(&seen, &self.sight.asked, &mut self.budget))
            {
                Ok(value) => drop(self.variables.insert(variable.name.clone(), value)),
                Err(error) => self.failed.push((variable.name.clone(), error)),
            }
        }
    }
}

/// Whether an expression may use a variable of this name.
pub(super) fn names(text: &str, variable: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(variable).any(|(at, _)| {
        let rest = &text[at + variable.len()..];
        text[..at].trim_end().ends_with('.') && !rest.starts_with(word)
    })
}

impl<'a> Sight<'a> {
    fn variables(&self, variables: &'a Value) -> [(&'static str, &'a Value); 6] {
        [
            ("object", self.object),
            ("oldObject", self.old),
            ("request", self.request),
            ("params", self.params),
            ("namespaceObject", self.namespace),
            ("variables", variables),
        ]
    }
}
