//! Expressions in the Common Expression Language.

use std::sync::Arc;

use kube_cel::{Activation, Allowed, Authorizer, Check, Env, Program, Stage};
use kube_object::resource::GroupVersionResource;
use kube_object::user::User;
use serde_json::Value;

use crate::cel::{CelError, Compiled, Compiler, Expression};
use crate::host::{Access, Host};
use crate::request::Request;

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

impl Evaluable {
    fn run<'a>(&'a self, activation: &'a Activation<'a>, budget: &mut u64) -> Result<Value, CelError> {
        let value =
            self.0.evaluate(activation, budget).map_err(|error| CelError::Evaluate(error.to_string()))?;
        value.to_json().ok_or_else(|| {
            CelError::Evaluate(format!("a value of type {} cannot be passed on", value.type_name()))
        })
    }
}

fn seeing<'a>(variables: &[(&'a str, &'a Value)]) -> Activation<'a> {
    variables.iter().fold(Activation::new(), |activation, (name, value)| activation.with(name, value))
}

impl Expression for Evaluable {
    fn evaluate(&self, variables: &[(&str, &Value)], budget: &mut u64) -> Result<Value, CelError> {
        self.run(&seeing(variables), budget)
    }

    fn evaluate_asking(
        &self,
        variables: &[(&str, &Value)],
        asked: &Asked<'_>,
        budget: &mut u64,
    ) -> Result<Value, CelError> {
        let request = asked.request;
        let own = Check {
            stage: Stage::Resource,
            group: request.resource.group.clone(),
            resource: request.resource.resource.clone(),
            subresource: request.subresource.clone(),
            namespace: request.namespace.clone(),
            name: request.name.clone(),
            ..Check::default()
        };
        self.run(&seeing(variables).with_authorizer(asked, Some(own)), budget)
    }
}

/// Whom expressions ask, and about whom.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    host: &'a Host,
    request: &'a Request,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(host: &'a Host, request: &'a Request) -> Self {
        Self { host, request }
    }
}

impl Authorizer for Asked<'_> {
    /// Selectors are not told to the authorizer: who may see all may see a part.
    fn decide(&self, check: &Check) -> Result<Allowed, String> {
        let account = check.service_account.as_ref().map(|(namespace, name)| User {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ],
            ..User::default()
        });
        let access = Access {
            verb: check.verb.clone(),
            resource: GroupVersionResource::new(&check.group, "*", &check.resource),
            subresource: check.subresource.clone(),
            namespace: check.namespace.clone(),
            name: check.name.clone(),
            path: (check.stage == Stage::Path).then(|| check.path.clone()),
        };
        let opinion = self.host.authorizer.authorize(account.as_ref().unwrap_or(&self.request.user), &access);
        Ok(Allowed { allowed: opinion.allowed, reason: opinion.reason })
    }
}

#[cfg(test)]
mod tests;
