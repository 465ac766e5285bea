//! `MutatingAdmissionWebhook` and `ValidatingAdmissionWebhook`: others' HTTP servers have a
//! say in every write that they ask for.
//!
//! Mutating ones are called one after the other, each with what those before it made of the
//! object; validating ones all at once.

mod hooks;
mod review;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use kube_object::json_patch::JsonPatch;
use kube_object::resource::GroupVersionKind;
use kube_object::status::Status;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

pub(crate) use self::hooks::VARIABLES;
use self::hooks::{Hook, Hooks};
pub(crate) use self::review::attributes;
use self::review::{Answer, answer, question, refusal};
use crate::cel::{Compiler, MATCH_BUDGET};
use crate::cel_compiler::Asked;
use crate::host::Host;
use crate::matching::{Seen, is_exempt};
use crate::notes::{Notes, Outcome};
use crate::plugin::Scene;
use crate::random;
use crate::request::Request;

pub(crate) const MUTATING: &str = "MutatingAdmissionWebhook";
pub(crate) const VALIDATING: &str = "ValidatingAdmissionWebhook";

/// Both kinds of webhooks.
pub(crate) struct Webhooks {
    mutating: Hooks,
    validating: Hooks,
}

/// Which webhooks were called for a request, and which must be called again.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// Called once, and want to see what later ones have changed.
    called: BTreeSet<String>,
    /// To be called in the second round.
    again: BTreeSet<String>,
    /// The object as the last webhook left it.
    output: Option<Value>,
    /// Whether anything was changed that others must see.
    pub(crate) changed: bool,
}

/// Why a call does not let a request pass.
enum Failure {
    /// The webhook cannot be called, or answers nonsense.
    Call(String),
    /// It refuses.
    Refused(Status),
}

impl Webhooks {
    pub(crate) fn new(roots: &[CertificateDer<'static>], compiler: &Arc<dyn Compiler>) -> Self {
        let hooks = |resource| Hooks::new(resource, roots.to_vec(), compiler.clone());
        Self {
            mutating: hooks("mutatingwebhookconfigurations"),
            validating: hooks("validatingwebhookconfigurations"),
        }
    }

    /// Whether any webhook is configured.
    pub(crate) fn any(&self, host: &Host, mutating: bool) -> bool {
        !if mutating { &self.mutating } else { &self.validating }.current(host).is_empty()
    }

    /// Lets the mutating ones change the object.
    pub(crate) async fn mutate(
        &self,
        request: &mut Request,
        scene: &Scene<'_>,
        calls: &mut Calls,
        notes: &mut Notes,
    ) -> Result<(), Status> {
        let hooks = self.mutating.current(scene.host);
        if hooks.is_empty() || is_exempt(request) {
            return Ok(());
        }
        if scene.again && calls.output != request.object {
            let called = std::mem::take(&mut calls.called);
            calls.again.extend(called);
        }
        for (index, hook) in hooks.iter().enumerate() {
            let mut forms = Forms::new(scene.host, request);
            let Some(seen) = wanted(hook, request, scene, &mut forms).await? else { continue };
            if scene.again && !calls.again.contains(&hook.id) {
                continue;
            }
            forms.prepare(&seen.kind).await?;
            let objects = forms.of(&seen.kind);
            let call = Call { hook, request, host: scene.host, seen: &seen, objects };
            let outcome = match call.ask(true).await {
                Ok(answer) => call.take_over(&answer, notes).await,
                Err(failure) => Err(failure),
            };
            let round = usize::from(scene.again);
            let changed = matches!(outcome, Ok(Some(_)));
            let told = json!({"configuration": hook.configuration, "webhook": hook.name, "mutated": changed});
            notes.annotate(
                format!("mutation.webhook.admission.k8s.io/round_{round}_index_{index}"),
                told.to_string(),
            );
            if changed {
                calls.changed = true;
                let called = std::mem::take(&mut calls.called);
                calls.again.extend(called);
                notes.decide(MUTATING, Outcome::Changed, rule(hook), "");
            }
            if hook.reinvoke {
                calls.called.insert(hook.id.clone());
            }
            match outcome {
                Ok(None) => {}
                Ok(changed) => request.object = changed,
                Err(failure) => {
                    let open =
                        format!("failed-open.mutation.webhook.admission.k8s.io/round_{round}_index_{index}");
                    settle(MUTATING, hook, failure, &open, notes)?;
                }
            }
        }
        calls.output = request.object.clone();
        Ok(())
    }

    /// Asks the validating ones, all at once. The first that refuses, in the order of the
    /// configurations, decides what is said.
    pub(crate) async fn validate(
        &self,
        request: &Request,
        scene: &Scene<'_>,
        notes: &mut Notes,
    ) -> Result<(), Status> {
        let hooks = self.validating.current(scene.host);
        if hooks.is_empty() || is_exempt(request) {
            return Ok(());
        }
        let mut forms = Forms::new(scene.host, request);
        let mut relevant = Vec::new();
        for hook in hooks.iter() {
            if let Some(seen) = wanted(hook, request, scene, &mut forms).await? {
                forms.prepare(&seen.kind).await?;
                relevant.push((hook, seen));
            }
        }
        let forms = &forms;
        let ask = |hook, seen| async move {
            Call { hook, request, host: scene.host, seen, objects: forms.of(&seen.kind) }.ask(false).await
        };
        let answers = join_all(relevant.iter().map(|(hook, seen): &(&Hook, Seen)| ask(hook, seen))).await;
        let mut result = Ok(());
        for (index, (answer, (hook, _))) in answers.into_iter().zip(&relevant).enumerate() {
            let failure = match answer {
                Ok(answer) => {
                    take_notes(hook, &answer, notes);
                    if answer.allowed {
                        continue;
                    }
                    Failure::Refused(refusal(&hook.name, &answer.result))
                }
                Err(failure) => failure,
            };
            let open = format!("failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}");
            result = result.and(settle(VALIDATING, hook, failure, &open, notes));
        }
        result
    }
}

/// In which form a webhook wants to see a request, if it does.
async fn wanted(
    hook: &Hook,
    request: &Request,
    scene: &Scene<'_>,
    forms: &mut Forms<'_>,
) -> Result<Option<Seen>, Status> {
    let wanted = hook.wanted.as_ref().map_err(Status::internal)?;
    let Some(seen) = wanted.sees(request, scene) else { return Ok(None) };
    if !wanted.selects(request, scene)? {
        return Ok(None);
    }
    if hook.conditions.is_empty() {
        return Ok(Some(seen));
    }
    forms.prepare(&seen.kind).await?;
    let (object, old) = forms.of(&seen.kind);
    let attributes = attributes(request, &seen);
    let variables = [("object", object), ("oldObject", old), ("request", &attributes)];
    let mut budget = MATCH_BUDGET;
    let held = hook.conditions.hold(|_, expression| {
        let asked = Asked::new(scene.host, request);
        expression.as_ref().map_err(Clone::clone)?.evaluate_asking(&variables, &asked, &mut budget)
    });
    match held {
        Ok(true) => Ok(Some(seen)),
        Ok(false) => Ok(None),
        Err(_) if hook.ignores_failure => Ok(None),
        Err(why) => Err(Status::forbidden(&request.resource.group_resource(), &request.name, why)),
    }
}

/// One webhook's turn with one request.
struct Call<'a> {
    hook: &'a Hook,
    request: &'a Request,
    host: &'a Host,
    seen: &'a Seen,
    /// The object as it would be and as it is, in the form in which it is seen.
    objects: (&'a Value, &'a Value),
}

impl Call<'_> {
    /// Asks the webhook.
    async fn ask(&self, mutating: bool) -> Result<Answer, Failure> {
        let Self { hook, request, .. } = self;
        if request.dry_run {
            match hook.allows_dry_run {
                Some(true) => {}
                Some(false) => {
                    let why = format!("admission webhook {:?} does not support dry run", hook.name);
                    return Err(Failure::Refused(Status::bad_request(why)));
                }
                None => return Err(Failure::Call("Webhook SideEffects is nil".to_owned())),
            }
        }
        let Some(version) = hook.review_version else {
            let why = "could not create admission objects: \
                       webhook does not accept known AdmissionReview versions (v1, v1beta1)";
            return Err(Failure::Call(why.to_owned()));
        };
        let callout = hook.callout.as_ref();
        let callout = callout.map_err(|why| Failure::Call(format!("could not get REST client: {why}")))?;
        let uid = random::uid();
        let body = question(version, &uid, request, self.seen, self.objects.0, self.objects.1);
        let body = callout.post(self.host.cluster.as_ref(), body.into(), hook.timeout).await;
        let body = body.map_err(|error| Failure::Call(format!("failed to call webhook: {error}")))?;
        answer(&body, version, &uid, mutating)
            .map_err(|error| Failure::Call(format!("received invalid webhook response: {error}")))
    }

    /// What a mutating webhook's answer makes of the object; none if it stays as it is.
    async fn take_over(&self, answer: &Answer, notes: &mut Notes) -> Result<Option<Value>, Failure> {
        take_notes(self.hook, answer, notes);
        if !answer.allowed {
            return Err(Failure::Refused(refusal(&self.hook.name, &answer.result)));
        }
        let Some(patch) = &answer.patch else { return Ok(None) };
        let undecodable =
            |why: String| Failure::Call(format!("received undecodable patch in webhook response: {why}"));
        let internal = |why: String| Failure::Refused(Status::internal(why));
        let value: Value =
            serde_json::from_slice(&patch.bytes).map_err(|error| undecodable(error.to_string()))?;
        if value.as_array().is_some_and(Vec::is_empty) {
            return Ok(None);
        }
        let before = self.objects.0;
        if before.is_null() {
            return Err(internal(format!(
                "admission webhook {:?} attempted to modify the object, \
                 which is not supported for this operation",
                self.hook.name
            )));
        }
        if patch.kind != "JSONPatch" {
            return Err(Failure::Call(format!("unsupported patch type {:?}", patch.kind)));
        }
        let patch = JsonPatch::from_value(value).map_err(|error| undecodable(error.to_string()))?;
        let mut object = before.clone();
        patch.apply(&mut object).map_err(|error| internal(error.to_string()))?;
        self.host.kinds.settle(&self.seen.kind, &mut object).map_err(Failure::Refused)?;
        if object == *before {
            return Ok(None);
        }
        if self.seen.kind == self.request.kind {
            return Ok(Some(object));
        }
        self.host.kinds.convert(object, &self.request.kind).await.map(Some).map_err(Failure::Refused)
    }
}

fn take_notes(hook: &Hook, answer: &Answer, notes: &mut Notes) {
    answer.warnings.iter().for_each(|warning| notes.warn(warning.as_str()));
    for (key, value) in &answer.audit_annotations {
        notes.annotate(format!("{}/{key}", hook.name), value.as_str());
    }
}

/// Refuses the request, unless the webhook lets its own failures pass.
fn settle(
    plugin: &'static str,
    hook: &Hook,
    failure: Failure,
    open: &str,
    notes: &mut Notes,
) -> Result<(), Status> {
    match failure {
        Failure::Call(why) if hook.ignores_failure => {
            notes.annotate(open, hook.name.as_str());
            notes.decide(plugin, Outcome::Ignored, rule(hook), why);
            Ok(())
        }
        Failure::Call(why) => {
            notes.decide(plugin, Outcome::Refused, rule(hook), why.as_str());
            Err(Status::internal(format!("failed calling webhook {:?}: {why}", hook.name)))
        }
        Failure::Refused(status) => {
            notes.decide(plugin, Outcome::Refused, rule(hook), status.message.as_str());
            Err(status)
        }
    }
}

fn rule(hook: &Hook) -> String {
    format!("{}/{}", hook.configuration, hook.name)
}

/// The request's objects in the versions that are asked for, each converted once.
pub(crate) struct Forms<'a> {
    host: &'a Host,
    request: &'a Request,
    converted: BTreeMap<GroupVersionKind, (Value, Value)>,
}

impl<'a> Forms<'a> {
    pub(crate) fn new(host: &'a Host, request: &'a Request) -> Self {
        Self { host, request, converted: BTreeMap::new() }
    }

    /// Converts the objects, if they are not of this kind already.
    pub(crate) async fn prepare(&mut self, kind: &GroupVersionKind) -> Result<(), Status> {
        if *kind == self.request.kind || self.converted.contains_key(kind) {
            return Ok(());
        }
        let mut forms = (Value::Null, Value::Null);
        for (own, form) in [(&self.request.object, &mut forms.0), (&self.request.old, &mut forms.1)] {
            if let Some(own) = own {
                *form = self.host.kinds.convert(own.clone(), kind).await?;
            }
        }
        self.converted.insert(kind.clone(), forms);
        Ok(())
    }

    /// The object as it would be and as it is, of a kind that was prepared; null if there
    /// is none.
    pub(crate) fn of(&self, kind: &GroupVersionKind) -> (&Value, &Value) {
        match self.converted.get(kind) {
            Some((object, old)) => (object, old),
            None => {
                let request = self.request;
                (
                    request.object.as_ref().unwrap_or(&Value::Null),
                    request.old.as_ref().unwrap_or(&Value::Null),
                )
            }
        }
    }
}
