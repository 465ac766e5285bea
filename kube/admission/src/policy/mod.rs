//! `ValidatingAdmissionPolicy` and `MutatingAdmissionPolicy`: rules that stand in the
//! cluster as objects, written as expressions.

mod compiled;
mod evaluate;
mod mutate;
mod params;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use kube_object::resource::GroupResource;
use kube_object::status::{Status, known_reason};
use serde_json::{Value, json};

pub(crate) use self::compiled::VARIABLES;
use self::compiled::{Binding, Policy, Source};
use self::evaluate::{Evaluation, Failed, Sight, Verdict};
pub(crate) use self::mutate::Mutated;
use self::params::params;
use crate::cel::Compiler;
use crate::cel_compiler::Asked;
use crate::host::Host;
use crate::matching::{Seen, is_exempt};
use crate::notes::{Notes, Outcome};
use crate::plugin::Scene;
use crate::read::{at, set};
use crate::request::Request;
use crate::webhook::{Forms, attributes};

pub(crate) const MUTATING: &str = "MutatingAdmissionPolicy";
pub(crate) const VALIDATING: &str = "ValidatingAdmissionPolicy";
/// An annotation of the audit log may have at most so many bytes.
const ANNOTATION_BYTES_MAX: usize = 10 * 1024;
/// So many failures are told to the audit log.
const FAILURES_MAX: usize = 50;

/// Both kinds of policies.
pub(crate) struct Policies {
    mutating: Source,
    validating: Source,
}

/// A refusal that is not yet said: the words, and the API's word for them.
struct Denial {
    message: String,
    reason: String,
    rule: String,
}

/// What the validating policies have to say so far.
#[derive(Default)]
struct Findings {
    denials: Vec<Denial>,
    failures: Vec<Value>,
    annotations: BTreeMap<(String, String), Vec<String>>,
}

impl Policies {
    pub(crate) fn new(compiler: &Arc<dyn Compiler>) -> Self {
        let source = |kind: &str| {
            let bindings = format!("{kind}admissionpolicybindings");
            Source::new(&format!("{kind}admissionpolicies"), &bindings, compiler.clone())
        };
        Self { mutating: source("mutating"), validating: source("validating") }
    }

    /// Whether any policy is bound.
    pub(crate) fn any(&self, host: &Host, mutating: bool) -> bool {
        !if mutating { &self.mutating } else { &self.validating }.current(host).is_empty()
    }

    /// Asks the validating ones.
    pub(crate) async fn validate(
        &self,
        request: &Request,
        scene: &Scene<'_>,
        notes: &mut Notes,
    ) -> Result<(), Status> {
        if is_exempt(request) {
            return Ok(());
        }
        let policies = self.validating.current(scene.host);
        let mut forms = Forms::new(scene.host, request);
        let mut findings = Findings::default();
        for policy in policies.iter() {
            let seen = match sees(policy, request, scene) {
                Ok(Some(seen)) => seen,
                Ok(None) => continue,
                Err(why) => {
                    findings.misconfigured(policy, None, &why);
                    continue;
                }
            };
            for binding in &policy.bindings {
                match binds(binding, request, scene) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(why) => {
                        findings.misconfigured(policy, Some(binding), &why);
                        continue;
                    }
                }
                judge(policy, binding, &seen, request, scene, (&mut forms, &mut findings, notes)).await?;
            }
        }
        findings.publish(request, notes)
    }
}

/// Evaluates a policy for one of its bindings.
async fn judge(
    policy: &Policy,
    binding: &Binding,
    seen: &Seen,
    request: &Request,
    scene: &Scene<'_>,
    (forms, findings, notes): (&mut Forms<'_>, &mut Findings, &mut Notes),
) -> Result<(), Status> {
    let params = match params(policy, binding, request, scene.host).await {
        Ok(params) => params,
        Err(why) => {
            findings.misconfigured(policy, Some(binding), &why.to_string());
            return Ok(());
        }
    };
    if params.is_empty() {
        return Ok(());
    }
    if let Err(why) = forms.prepare(&seen.kind).await {
        findings.misconfigured(policy, Some(binding), &format!("failed to convert object version: {why}"));
        return Ok(());
    }
    let (object, old) = forms.of(&seen.kind);
    let (attributes, namespace) = (attributes(request, seen), namespace_object(request, scene)?);
    for params in &params {
        let asked = Asked::new(scene.host, request);
        let sight = Sight { object, old, request: &attributes, params, namespace: &namespace, asked };
        let verdict = Evaluation::new(policy, &sight).judge();
        findings.take(policy, binding, verdict, notes);
    }
    Ok(())
}

/// In which form a policy sees a request.
fn sees(policy: &Policy, request: &Request, scene: &Scene<'_>) -> Result<Option<Seen>, String> {
    let wanted = policy.wanted.as_ref().map_err(Clone::clone)?;
    let Some(seen) = wanted.sees(request, scene) else { return Ok(None) };
    let selected = wanted.selects(request, scene).map_err(|status| status.message)?;
    Ok(selected.then_some(seen))
}

/// Whether a binding puts its policy in force for a request.
fn binds(binding: &Binding, request: &Request, scene: &Scene<'_>) -> Result<bool, String> {
    let wanted = binding.wanted.as_ref().map_err(Clone::clone)?;
    if wanted.sees(request, scene).is_none() {
        return Ok(false);
    }
    wanted.selects(request, scene).map_err(|status| status.message)
}

/// The request's namespace as expressions see it; null for objects of the cluster.
fn namespace_object(request: &Request, scene: &Scene<'_>) -> Result<Value, Status> {
    if request.namespace.is_empty() || request.is_below("", "namespaces") {
        return Ok(Value::Null);
    }
    let resource = GroupResource::new("", "namespaces");
    let found = scene.get(&resource, "", &request.namespace);
    let found = found.ok_or_else(|| Status::not_found(&resource, &request.namespace))?;
    let mut seen = json!({"metadata": {}, "spec": {}, "status": {}});
    let parts: [(&str, &[&str]); 3] = [
        (
            "metadata",
            &[
                "name",
                "generateName",
                "namespace",
                "labels",
                "annotations",
                "uid",
                "creationTimestamp",
                "deletionGracePeriodSeconds",
                "deletionTimestamp",
                "generation",
                "resourceVersion",
                "finalizers",
            ],
        ),
        ("spec", &["finalizers"]),
        ("status", &["phase", "conditions"]),
    ];
    for (part, names) in parts {
        for name in names {
            let value = at(&found, &[part, name]);
            if !value.is_null() {
                set(&mut seen, &[part], name, value.clone());
            }
        }
    }
    Ok(seen)
}

impl Findings {
    /// A policy or binding makes no sense: that refuses, unless the policy lets it pass.
    fn misconfigured(&mut self, policy: &Policy, binding: Option<&Binding>, why: &str) {
        if policy.ignores_failure {
            return;
        }
        let what = if binding.is_some() { "binding" } else { "policy" };
        self.deny(policy, binding, &format!("failed to configure {what}: {why}"), "");
    }

    fn deny(&mut self, policy: &Policy, binding: Option<&Binding>, message: &str, reason: &str) {
        let name = &policy.name;
        let who = match binding {
            Some(binding) => format!("ValidatingAdmissionPolicy '{name}' with binding '{}'", binding.name),
            None => format!("ValidatingAdmissionPolicy '{name}'"),
        };
        let rule = binding.map_or_else(|| name.clone(), |binding| format!("{name}/{}", binding.name));
        let message = format!("{who} denied request: {message}");
        self.denials.push(Denial { message, reason: reason.to_owned(), rule });
    }

    fn take(&mut self, policy: &Policy, binding: &Binding, verdict: Verdict, notes: &mut Notes) {
        for Failed { index, message, reason } in verdict.failures {
            for action in &binding.actions {
                match action.as_str() {
                    "Deny" => self.deny(policy, Some(binding), &message, &reason),
                    "Audit" => self.failures.push(json!({
                        "message": message, "policy": policy.name, "binding": binding.name,
                        "expressionIndex": index, "validationActions": binding.actions,
                    })),
                    "Warn" => notes.warn(format!(
                        "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {message}",
                        policy.name, binding.name
                    )),
                    _ => {}
                }
            }
        }
        for error in verdict.annotation_errors {
            self.deny(policy, Some(binding), &error, "");
        }
        for (key, mut value) in verdict.annotations {
            let mut end = value.len().min(ANNOTATION_BYTES_MAX);
            while !value.is_char_boundary(end) {
                end -= 1;
            }
            value.truncate(end);
            let values = self.annotations.entry((policy.name.clone(), key)).or_default();
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }

    fn publish(mut self, request: &Request, notes: &mut Notes) -> Result<(), Status> {
        for ((policy, key), values) in &self.annotations {
            notes.annotate(format!("{policy}/{key}"), values.join(", "));
        }
        if !self.failures.is_empty() {
            self.failures.truncate(FAILURES_MAX);
            let text = Value::Array(self.failures).to_string();
            notes.annotate("validation.policy.admission.k8s.io/validation_failure", text);
        }
        let Some(first) = self.denials.first() else { return Ok(()) };
        notes.decide(VALIDATING, Outcome::Refused, first.rule.as_str(), first.message.as_str());
        let mut status = request.forbidden(&first.message);
        status.reason = match known_reason(&first.reason) {
            "" => "Invalid",
            reason => reason,
        };
        status.code = match status.reason {
            "Unauthorized" => 401,
            "Forbidden" => 403,
            "RequestEntityTooLarge" => 413,
            _ => 422,
        };
        status.details.get_or_insert_default().causes.push(json!({"message": first.message}));
        Err(status)
    }
}
