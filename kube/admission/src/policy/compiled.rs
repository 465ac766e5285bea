//! Policies and their bindings, compiled once for each change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube_object::resource::{GroupResource, GroupVersionKind};
use serde_json::Value;

use crate::cel::{Compiled, Compiler, Conditions};
use crate::host::Host;
use crate::matching::Match;
use crate::read::{at, items, text};

/// The variables of an expression of a policy.
pub(crate) const VARIABLES: &[&str] =
    &["object", "oldObject", "request", "params", "namespaceObject", "variables", "authorizer"];

/// One policy with all that bind it.
pub(super) struct Policy {
    pub(super) name: String,
    /// Which requests it is for; the words against it if that cannot be read.
    pub(super) wanted: Result<Match, String>,
    /// The kind of its parameters, if it has any.
    pub(super) param_kind: Option<GroupVersionKind>,
    /// Whether a request passes if the policy itself is wrong.
    pub(super) ignores_failure: bool,
    /// Whether it wants to see what later ones have changed.
    pub(super) reinvoke: bool,
    pub(super) conditions: Conditions,
    pub(super) variables: Vec<Variable>,
    pub(super) validations: Vec<Validation>,
    pub(super) audit_annotations: Vec<AuditAnnotation>,
    pub(super) mutations: Vec<Mutation>,
    pub(super) bindings: Vec<Binding>,
}

/// A name for an expression, for other expressions.
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) expression: Compiled,
}

/// What must hold.
pub(super) struct Validation {
    pub(super) text: String,
    pub(super) expression: Compiled,
    pub(super) message: String,
    pub(super) message_expression: Option<(String, Compiled)>,
    pub(super) reason: String,
}

/// What the audit log gets to know.
pub(super) struct AuditAnnotation {
    pub(super) key: String,
    pub(super) text: String,
    pub(super) expression: Compiled,
}

/// What is changed.
pub(super) struct Mutation {
    pub(super) kind: MutationKind,
    pub(super) text: String,
    pub(super) expression: Compiled,
}

/// In which form a change is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MutationKind {
    /// Fields that are merged in, as by server-side apply.
    Apply,
    /// A list of operations.
    JsonPatch,
}

/// Where a policy is in force, and how.
pub(super) struct Binding {
    pub(super) name: String,
    pub(super) wanted: Result<Match, String>,
    pub(super) param_ref: Value,
    pub(super) actions: Vec<String>,
}

/// The policies of one kind.
pub(super) struct Source {
    policies: GroupResource,
    bindings: GroupResource,
    compiler: Arc<dyn Compiler>,
    cached: Mutex<Cached>,
}

/// What was compiled, and of which revisions of policies and bindings.
struct Cached {
    changed: (u64, u64),
    policies: Arc<[Policy]>,
}

impl Source {
    /// The policies of a resource, such as `validatingadmissionpolicies`.
    pub(super) fn new(policies: &str, bindings: &str, compiler: Arc<dyn Compiler>) -> Self {
        let resource = |name| GroupResource::new("admissionregistration.k8s.io", name);
        let cached = Mutex::new(Cached { changed: (0, 0), policies: Arc::from([]) });
        Self { policies: resource(policies), bindings: resource(bindings), compiler, cached }
    }

    /// The policies that anything binds, by name.
    pub(super) fn current(&self, host: &Host) -> Arc<[Policy]> {
        let changed = (host.cluster.changed(&self.policies), host.cluster.changed(&self.bindings));
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.changed != changed {
            let mut bound: BTreeMap<String, Vec<Binding>> = BTreeMap::new();
            let mut bindings = host.cluster.list(&self.bindings, None);
            bindings.sort_by(|a, b| name(a).cmp(name(b)));
            for binding in &bindings {
                let policy = text(binding, &["spec", "policyName"]).to_owned();
                bound.entry(policy).or_default().push(Binding::read(binding));
            }
            let mut policies = host.cluster.list(&self.policies, None);
            policies.sort_by(|a, b| name(a).cmp(name(b)));
            let policies = policies.iter().filter_map(|policy| {
                let bindings = bound.remove(name(policy))?;
                Some(Policy::compile(policy, bindings, self.compiler.as_ref()))
            });
            *cached = Cached { changed, policies: policies.collect() };
        }
        cached.policies.clone()
    }
}

fn name(object: &Value) -> &str {
    text(object, &["metadata", "name"])
}

impl Binding {
    fn read(binding: &Value) -> Self {
        let spec = at(binding, &["spec"]);
        let actions = items(spec, &["validationActions"]).iter().filter_map(Value::as_str);
        Self {
            name: name(binding).to_owned(),
            wanted: Match::of_policy(at(spec, &["matchResources"])).map_err(|error| error.to_string()),
            param_ref: at(spec, &["paramRef"]).clone(),
            actions: actions.map(str::to_owned).collect(),
        }
    }
}

impl Policy {
    fn compile(policy: &Value, bindings: Vec<Binding>, compiler: &dyn Compiler) -> Self {
        let spec = at(policy, &["spec"]);
        let param = at(spec, &["paramKind"]);
        let compile = |text: &str| compiler.compile(text, VARIABLES);
        let own = |value: &Value, path: &[&str]| text(value, path).to_owned();
        Self {
            name: name(policy).to_owned(),
            wanted: Match::of_policy(at(spec, &["matchConstraints"])).map_err(|error| error.to_string()),
            param_kind: param
                .is_object()
                .then(|| GroupVersionKind::of(text(param, &["apiVersion"]), text(param, &["kind"]))),
            ignores_failure: text(spec, &["failurePolicy"]) == "Ignore",
            reinvoke: text(spec, &["reinvocationPolicy"]) == "IfNeeded",
            conditions: Conditions::compile(items(spec, &["matchConditions"]), VARIABLES, compiler),
            variables: items(spec, &["variables"])
                .iter()
                .map(|variable| Variable {
                    name: own(variable, &["name"]),
                    text: own(variable, &["expression"]),
                    expression: compile(text(variable, &["expression"])),
                })
                .collect(),
            validations: items(spec, &["validations"])
                .iter()
                .map(|validation| Validation::compile(validation, &compile))
                .collect(),
            audit_annotations: items(spec, &["auditAnnotations"])
                .iter()
                .map(|annotation| AuditAnnotation {
                    key: own(annotation, &["key"]),
                    text: own(annotation, &["valueExpression"]),
                    expression: compile(text(annotation, &["valueExpression"])),
                })
                .collect(),
            mutations: items(spec, &["mutations"]).iter().map(|m| Mutation::compile(m, &compile)).collect(),
            bindings,
        }
    }
}

impl Validation {
    fn compile(validation: &Value, compile: &dyn Fn(&str) -> Compiled) -> Self {
        let own = |name| text(validation, &[name]).to_owned();
        let message = own("messageExpression");
        Self {
            text: own("expression"),
            expression: compile(text(validation, &["expression"])),
            message: own("message"),
            message_expression: (!message.is_empty()).then(|| {
                let compiled = compile(&message);
                (message, compiled)
            }),
            reason: own("reason"),
        }
    }
}

impl Mutation {
    fn compile(mutation: &Value, compile: &dyn Fn(&str) -> Compiled) -> Self {
        let (kind, member) = match text(mutation, &["patchType"]) {
            "JSONPatch" => (MutationKind::JsonPatch, "jsonPatch"),
            _ => (MutationKind::Apply, "applyConfiguration"),
        };
        let text = text(mutation, &[member, "expression"]).to_owned();
        let expression = compile(&text);
        Self { kind, text, expression }
    }
}
