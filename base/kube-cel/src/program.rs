//! A compiled expression, and what it is evaluated over.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use regex::Regex;
use serde_json::Value;

use crate::ast::{Expr, Kind, Literal};
use crate::authorizer::{Authorizer, Check};
use crate::check::{Checked, check};
use crate::cost::{CostRange, estimate};
use crate::env::{Decl, Env};
use crate::error::{CompileError, EvalError};
use crate::eval;
use crate::library::text::regex;
use crate::parse::{Syntax, parse};
use crate::types::Type;
use crate::val::Val;

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Program {
    pub(crate) checked: Checked,
    pub(crate) variables: Vec<(Arc<str>, Option<Arc<Decl>>)>,
    /// The regular expressions that are constants.
    pub(crate) regexes: HashMap<Arc<str>, Regex>,
    result: Type,
}

impl Program {
    /// Reads an expression and finds its types.
    pub fn compile(text: &str, env: &Env) -> Result<Self, CompileError> {
        let ast = parse(text, Syntax { bind: env.bind })?;
        let checked = check(ast, env)?;
        let variables = checked.references.iter().map(|name| {
            let decl = env.variables.get(&**name).and_then(|variable| variable.decl.clone());
            (Arc::clone(name), decl)
        });
        let variables = variables.collect();
        let result = checked.types.get(checked.ast.root.id).cloned().unwrap_or(Type::Dyn);
        let mut regexes = HashMap::new();
        checked.ast.root.each(&mut |expr| {
            let Kind::Call { target, function, args } = &expr.kind else { return };
            let at = usize::from(target.is_none());
            if let (
                "matches" | "find" | "findAll",
                Some(Expr { kind: Kind::Literal(Literal::Text(text)), .. }),
            ) = (&**function, args.get(at))
                && let Ok(regex) = regex(text)
            {
                regexes.insert(Arc::clone(text), regex);
            }
        });
        Ok(Self { checked, variables, regexes, result })
    }

    /// The type of its value, as far as it is known before.
    pub fn result_type(&self) -> &Type {
        &self.result
    }

    /// Whether it names a variable.
    pub fn uses(&self, name: &str) -> bool {
        self.variables.iter().any(|(known, _)| **known == *name)
    }

    /// What one evaluation costs, by estimate: sizes are those of the declared
    /// variables.
    pub fn estimate(&self) -> CostRange {
        estimate(self)
    }

    /// Its value. What that cost is taken out of the budget; more than the budget, or
    /// than [`crate::PER_CALL_LIMIT`], is an error.
    pub fn evaluate<'a>(
        &'a self,
        activation: &'a Activation<'a>,
        budget: &mut u64,
    ) -> Result<Val<'a>, EvalError> {
        eval::run(self, activation, budget)
    }

    pub(crate) fn decl(&self, name: &str) -> Option<&Decl> {
        self.variables.iter().find(|(known, _)| **known == *name)?.1.as_deref()
    }
}

/// What the variables of an expression are.
#[derive(Default)]
pub struct Activation<'a> {
    pub(crate) slots: Vec<(&'a str, Slot<'a>)>,
    pub(crate) authorizer: Option<&'a dyn Authorizer>,
    pub(crate) request_resource: Option<Arc<Check>>,
}

#[derive(Debug)]
pub(crate) enum Slot<'a> {
    Json(&'a Value),
    Optional(Option<&'a Value>),
    Val(Val<'a>),
}

impl<'a> Activation<'a> {
    /// Without variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a variable that is JSON.
    #[must_use]
    pub fn with(mut self, name: &'a str, value: &'a Value) -> Self {
        self.slots.push((name, Slot::Json(value)));
        self
    }

    /// With a variable that is an optional of JSON.
    #[must_use]
    pub fn with_optional(mut self, name: &'a str, value: Option<&'a Value>) -> Self {
        self.slots.push((name, Slot::Optional(value)));
        self
    }

    /// With a variable that is a value of the language.
    #[must_use]
    pub fn with_val(mut self, name: &'a str, value: Val<'a>) -> Self {
        self.slots.push((name, Slot::Val(value)));
        self
    }

    /// With an authorizer, and the check that `authorizer.requestResource` begins with.
    #[must_use]
    pub fn with_authorizer(mut self, authorizer: &'a dyn Authorizer, request: Option<Check>) -> Self {
        self.authorizer = Some(authorizer);
        self.request_resource = request.map(Arc::new);
        self
    }
}

impl fmt::Debug for Activation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activation").field("slots", &self.slots).finish_non_exhaustive()
    }
}
