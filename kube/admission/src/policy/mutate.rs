//! Mutating policies: each changes what those before it have left.

use std::collections::BTreeSet;

use kube_object::apply::typed;
use kube_object::json_patch::JsonPatch;
use kube_object::shape::{ListKind, Shape};
use kube_object::status::Status;
use serde_json::{Value, json};

use super::compiled::{Binding, Mutation, MutationKind, Policy};
use super::evaluate::{Evaluation, Sight};
use super::{MUTATING, Policies, binds, namespace_object, params, sees};
use crate::cel_compiler::Asked;
use crate::host::Host;
use crate::matching::{Seen, is_exempt};
use crate::notes::{Notes, Outcome};
use crate::plugin::Scene;
use crate::read::{set, text};
use crate::request::Request;
use crate::webhook::attributes;

/// Which policies have run for a request, and which must run again.
#[derive(Debug, Default)]
pub(crate) struct Mutated {
    run: BTreeSet<String>,
    again: BTreeSet<String>,
    output: Option<Value>,
    /// Whether anything was changed that others must see.
    pub(crate) changed: bool,
}

/// A policy cannot change the object.
#[derive(Debug, thiserror::Error)]
enum MutationError {
    #[error("{0}")]
    Expression(String),
    #[error("error applying patch: {0}")]
    Merge(#[from] typed::ShapeError),
    #[error(
        "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {0}"
    )]
    Atomic(String),
    #[error("invalid return type: {0}")]
    NotAnObject(&'static str),
    #[error("error applying patch: {0}")]
    JsonPatch(#[from] kube_object::json_patch::JsonPatchError),
    #[error(transparent)]
    Status(#[from] Status),
}

impl Policies {
    /// Lets the mutating ones change the object.
    pub(crate) async fn mutate(
        &self,
        request: &mut Request,
        scene: &Scene<'_>,
        mutated: &mut Mutated,
        notes: &mut Notes,
    ) -> Result<(), Status> {
        if is_exempt(request) {
            return Ok(());
        }
        if scene.again && mutated.output != request.object {
            let run = std::mem::take(&mut mutated.run);
            mutated.again.extend(run);
        }
        let policies = self.mutating.current(scene.host);
        let mut errors = Vec::new();
        for policy in policies.iter() {
            let seen = match sees(policy, request, scene) {
                Ok(Some(seen)) => seen,
                Ok(None) => continue,
                Err(why) => {
                    errors.extend(failure(policy, None, &format!("failed to configure policy: {why}")));
                    continue;
                }
            };
            for binding in &policy.bindings {
                let found = match binds(binding, request, scene) {
                    Ok(true) => params(policy, binding, request, scene.host).await.map_err(|e| e.to_string()),
                    Ok(false) => continue,
                    Err(why) => Err(why),
                };
                let found = match found {
                    Ok(found) => found,
                    Err(why) => {
                        let why = format!("failed to configure binding: {why}");
                        errors.extend(failure(policy, Some(binding), &why));
                        continue;
                    }
                };
                for param in found {
                    let id = id(policy, binding, &param);
                    let turn = Turn { policy, binding, seen: &seen, params: &param, id };
                    errors.extend(turn.take(request, scene, mutated, notes).await?);
                }
            }
        }
        mutated.output = request.object.clone();
        refuse(request, &errors, notes)
    }
}

/// One policy's turn with one binding and one parameter.
struct Turn<'a> {
    policy: &'a Policy,
    binding: &'a Binding,
    seen: &'a Seen,
    params: &'a Value,
    id: String,
}

impl Turn<'_> {
    /// Changes the request's object; the words if the policy fails.
    async fn take(
        self,
        request: &mut Request,
        scene: &Scene<'_>,
        mutated: &mut Mutated,
        notes: &mut Notes,
    ) -> Result<Option<String>, Status> {
        if request.object.is_none() || (scene.again && !mutated.again.contains(&self.id)) {
            return Ok(None);
        }
        let (policy, binding) = (self.policy, self.binding);
        let mut error = None;
        match self.changed(request, scene).await {
            Ok(None) => {}
            Ok(Some(object)) => {
                request.object = Some(object);
                mutated.changed = true;
                let run = std::mem::take(&mut mutated.run);
                mutated.again.extend(run);
                let rule = format!("{}/{}", policy.name, binding.name);
                notes.decide(MUTATING, Outcome::Changed, rule, "");
            }
            Err(MutationError::Status(status)) => return Err(status),
            Err(why) => error = failure(policy, Some(binding), &why.to_string()),
        }
        if policy.reinvoke {
            mutated.run.insert(self.id);
        }
        Ok(error)
    }

    /// What the policy makes of the object; none if it stays as it is.
    async fn changed(&self, request: &Request, scene: &Scene<'_>) -> Result<Option<Value>, MutationError> {
        let host = scene.host;
        let before = form(host, request, request.object.as_ref(), self.seen).await?;
        let old = form(host, request, request.old.as_ref(), self.seen).await?;
        let (attributes, namespace) = (attributes(request, self.seen), namespace_object(request, scene)?);
        let mut object = before.clone();
        for mutation in &self.policy.mutations {
            let sight = Sight {
                object: &object,
                old: &old,
                request: &attributes,
                params: self.params,
                namespace: &namespace,
                asked: Asked::new(host, request),
            };
            let mut evaluation = Evaluation::new(self.policy, &sight);
            if !evaluation.applies().map_err(MutationError::Expression)? {
                return Ok(None);
            }
            let value = evaluation.evaluate(&mutation.text, &mutation.expression);
            let value = value.map_err(|why| MutationError::Expression(why.about(&mutation.text)))?;
            let shape = host.kinds.shape(&self.seen.kind);
            object = patched(mutation, &object, value, shape.as_deref())?;
            host.kinds.settle(&self.seen.kind, &mut object)?;
        }
        if object == before {
            return Ok(None);
        }
        if self.seen.kind == request.kind {
            return Ok(Some(object));
        }
        Ok(Some(host.kinds.convert(object, &request.kind).await?))
    }
}

async fn form(host: &Host, request: &Request, own: Option<&Value>, seen: &Seen) -> Result<Value, Status> {
    match own {
        None => Ok(Value::Null),
        Some(own) if seen.kind == request.kind => Ok(own.clone()),
        Some(own) => host.kinds.convert(own.clone(), &seen.kind).await,
    }
}

/// The object with what an expression's value says.
fn patched(
    mutation: &Mutation,
    object: &Value,
    value: Value,
    shape: Option<&dyn Shape>,
) -> Result<Value, MutationError> {
    match mutation.kind {
        MutationKind::JsonPatch => {
            let mut object = object.clone();
            JsonPatch::from_value(value)?.apply(&mut object)?;
            Ok(object)
        }
        MutationKind::Apply => {
            let mut config = value;
            if !config.is_object() {
                return Err(MutationError::NotAnObject(crate::cel::type_name(&config)));
            }
            let mut atomic = Vec::new();
            find_atomic(&config, shape, "", &mut atomic);
            if !atomic.is_empty() {
                return Err(MutationError::Atomic(atomic.join(", ")));
            }
            for name in ["apiVersion", "kind"] {
                set(&mut config, &[], name, text(object, &[name]));
            }
            Ok(typed::merge(object, &config, shape)?)
        }
    }
}

/// The paths of what would be replaced whole, which hardly anyone means.
fn find_atomic(value: &Value, shape: Option<&dyn Shape>, path: &str, found: &mut Vec<String>) {
    let Some(shape) = shape else { return };
    match value {
        Value::Object(members) => {
            if shape.is_atomic_map() {
                found.push(path.to_owned());
            }
            for (name, value) in members {
                find_atomic(value, shape.field(name), &format!("{path}.{name}"), found);
            }
        }
        Value::Array(items) => {
            if shape.list() == ListKind::Atomic {
                found.push(path.to_owned());
            }
            for (index, value) in items.iter().enumerate() {
                find_atomic(value, shape.item(), &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

fn id(policy: &Policy, binding: &Binding, param: &Value) -> String {
    let meta = |name| text(param, &["metadata", name]);
    format!("{}/{}/{}/{}", policy.name, binding.name, meta("namespace"), meta("name"))
}

/// The words of a failure, unless the policy lets requests pass then.
fn failure(policy: &Policy, binding: Option<&Binding>, why: &str) -> Option<String> {
    let name = &policy.name;
    (!policy.ignores_failure).then(|| match binding {
        Some(binding) => format!("policy '{name}' with binding '{}' denied request: {why}", binding.name),
        None => format!("policy {name:?} denied request: {why}"),
    })
}

fn refuse(request: &Request, errors: &[String], notes: &mut Notes) -> Result<(), Status> {
    let Some(first) = errors.first() else { return Ok(()) };
    notes.decide(MUTATING, Outcome::Refused, "", first.as_str());
    let mut status = request.forbidden("admission request denied by policy");
    status.message.clone_from(first);
    status.reason = "Invalid";
    let causes = errors.iter().map(|error| json!({"message": error}));
    status.details.get_or_insert_default().causes.extend(causes);
    Err(status)
}
