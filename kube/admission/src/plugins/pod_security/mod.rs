//! `PodSecurity`: the pod security standards, as a namespace's labels ask for them.
//!
//! Pods are refused, audited and warned of; what makes pods (deployments, jobs, …) is
//! audited and warned of only; a namespace that becomes stricter is told which of its
//! pods would not pass any more.

mod baseline;
mod checks;
mod policy;
mod restricted;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use kube_object::resource::GroupResource;
use kube_object::status::Status;
use serde_json::Value;

use self::checks::{Pod, Violations, evaluate};
pub use self::policy::{Level, LevelVersion, Policy, Version};
use crate::notes::{Notes, Outcome};
use crate::plugin::{Need, Plugin, Scene};
use crate::read::{at, items, text};
use crate::request::{Operation, Request};

const NAME: &str = "PodSecurity";
/// How many pods of a namespace are looked at when its policy changes: enough to tell what
/// is wrong, and a bound on what one request costs.
const PODS_CHECKED_MAX: usize = 3000;

/// Pod security where a namespace says nothing, and what it does not apply to.
#[derive(Clone, Debug, Default)]
pub struct PodSecurityConfig {
    /// The policy of namespaces without labels.
    pub defaults: Policy,
    /// Namespaces that it is not for.
    pub exempt_namespaces: BTreeSet<String>,
    /// Users that it is not for.
    pub exempt_users: BTreeSet<String>,
    /// Runtime classes that it is not for.
    pub exempt_runtime_classes: BTreeSet<String>,
}

pub(crate) struct PodSecurity {
    config: PodSecurityConfig,
}

impl PodSecurity {
    pub(crate) fn new(config: PodSecurityConfig) -> Self {
        Self { config }
    }

    fn namespace(&self, request: &Request, scene: &Scene<'_>, notes: &mut Notes) -> Result<(), Status> {
        let Some(object) = &request.object else { return Ok(()) };
        if !request.subresource.is_empty() {
            return Ok(());
        }
        let (new, errors) = Policy::of_labels(object, self.config.defaults);
        let name = text(object, &["metadata", "name"]);
        let exempt = self.config.exempt_namespaces.contains(name);
        let (old, old_errors) = match &request.old {
            Some(old) => Policy::of_labels(old, self.config.defaults),
            None => (new, Vec::new()),
        };
        if !errors.is_empty() && (request.old.is_none() || errors != old_errors) {
            return Err(Status::invalid(&request.kind.group_kind(), name, &errors));
        }
        let relaxed = new.enforce.version == old.enforce.version && new.enforce.level <= old.enforce.level;
        let unchanged = new.enforce == old.enforce || new.enforce.level == Level::Privileged || relaxed;
        if request.old.is_some() && unchanged {
            return Ok(());
        }
        if exempt {
            if let Some(warning) = self.exempt_warning(name, &new, object) {
                notes.warn(warning);
            }
        } else if request.old.is_some() {
            self.warn_of_pods(name, new.enforce, scene, notes);
        }
        Ok(())
    }

    /// What is set on a namespace that is exempt, and has no effect there.
    fn exempt_warning(&self, name: &str, policy: &Policy, namespace: &Value) -> Option<String> {
        if policy.is_fully_privileged() || policy.is_equivalent(&self.config.defaults) {
            return None;
        }
        let has = |mode: &str| !at(namespace, &["metadata", "labels", &policy::label(mode)]).is_null();
        let modes = [("enforce", policy.enforce), ("audit", policy.audit), ("warn", policy.warn)];
        let set: Vec<_> = modes
            .iter()
            .filter(|(mode, value)| {
                value.level != Level::Privileged && (has(mode) || has(&format!("{mode}-version")))
            })
            .map(|(mode, value)| format!("{mode}={value}"))
            .collect();
        Some(format!(
            "namespace {name:?} is exempt from Pod Security, and the policy ({}) will be ignored",
            set.join(", ")
        ))
    }

    fn warn_of_pods(&self, namespace: &str, enforce: LevelVersion, scene: &Scene<'_>, notes: &mut Notes) {
        let pods = scene.cluster().list(&GroupResource::new("", "pods"), Some(namespace));
        let (mut first, mut alike, mut controllers) = (Vec::new(), Vec::new(), BTreeSet::new());
        for pod in pods.iter().filter(|pod| !self.is_exempt_class(at(pod, &["spec"]))) {
            let owners = items(pod, &["metadata", "ownerReferences"]);
            let owner = owners.iter().find(|owner| at(owner, &["controller"]).as_bool() == Some(true));
            let new = owner.is_none_or(|owner| controllers.insert(text(owner, &["uid"])));
            if new { first.push(pod) } else { alike.push(pod) }
        }
        let total = first.len() + alike.len();
        let mut found: BTreeMap<String, (&str, usize)> = BTreeMap::new();
        for pod in first.into_iter().chain(alike).take(PODS_CHECKED_MAX) {
            let view = Pod { metadata: at(pod, &["metadata"]), spec: at(pod, &["spec"]) };
            let violations = evaluate(enforce, view);
            if !violations.is_empty() {
                let name = text(pod, &["metadata", "name"]);
                let entry = found.entry(violations.reasons()).or_insert((name, 0));
                *entry = (entry.0.min(name), entry.1 + 1);
            }
        }
        if total > PODS_CHECKED_MAX {
            notes.warn(format!(
                "new PodSecurity enforce level only checked against the first {PODS_CHECKED_MAX} of {total} existing pods"
            ));
        }
        if !found.is_empty() {
            notes.warn(format!(
                "existing pods in namespace {namespace:?} violate the new PodSecurity enforce level \"{enforce}\""
            ));
        }
        let warnings = found.iter().map(|(reasons, (name, count))| match count {
            1 => format!("{name}: {reasons}"),
            2 => format!("{name} (and 1 other pod): {reasons}"),
            count => format!("{name} (and {} other pods): {reasons}", count - 1),
        });
        let mut warnings: Vec<_> = warnings.collect();
        warnings.sort();
        warnings.into_iter().for_each(|warning| notes.warn(warning));
    }

    /// A pod, or with `enforce` off what makes pods.
    fn pod(
        &self,
        request: &Request,
        scene: &Scene<'_>,
        pod: Pod<'_>,
        enforce: bool,
        notes: &mut Notes,
    ) -> Result<(), Status> {
        let exemption = [
            (self.config.exempt_namespaces.contains(&request.namespace), "namespace"),
            (self.config.exempt_users.contains(&request.user.name), "user"),
            (self.is_exempt_class(pod.spec), "runtimeClass"),
        ];
        if let Some((_, reason)) = exemption.iter().find(|(exempt, _)| *exempt) {
            audit(notes, "exempt", (*reason).to_owned());
            return Ok(());
        }
        let Some(namespace) = scene.get(&GroupResource::new("", "namespaces"), "", &request.namespace) else {
            if !enforce {
                audit(notes, "error", format!("failed to lookup namespace {:?}", request.namespace));
                return Ok(());
            }
            return Err(Status::internal(format!("failed to lookup namespace {:?}", request.namespace)));
        };
        let (policy, errors) = Policy::of_labels(&namespace, self.config.defaults);
        if !errors.is_empty() {
            let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
            audit(notes, "error", format!("Failed to parse policy: {}", texts.join(", ")));
        }
        if enforce {
            audit(notes, "enforce-policy", policy.enforce.to_string());
        }
        if policy.is_fully_privileged() {
            return Ok(());
        }
        self.judge(request, &policy, pod, enforce, notes)
    }

    fn judge(
        &self,
        request: &Request,
        policy: &Policy,
        pod: Pod<'_>,
        enforce: bool,
        notes: &mut Notes,
    ) -> Result<(), Status> {
        let mut known: Vec<(LevelVersion, Violations)> = Vec::new();
        let mut of = |mode: LevelVersion| match known.iter().find(|(known, _)| *known == mode) {
            Some((_, violations)) => violations.clone(),
            None => {
                let violations = evaluate(mode, pod);
                known.push((mode, violations.clone()));
                violations
            }
        };
        let mut refusal = None;
        if enforce {
            let violations = of(policy.enforce);
            if !violations.is_empty() {
                let why = format!("violates PodSecurity \"{}\": {}", policy.enforce, violations.details());
                let name = match request.name.as_str() {
                    "" => text(pod.metadata, &["name"]),
                    name => name,
                };
                notes.decide(NAME, Outcome::Refused, policy.enforce.to_string(), violations.reasons());
                refusal = Some(Status::forbidden(&request.resource.group_resource(), name, why));
            }
        }
        let audited = of(policy.audit);
        if !audited.is_empty() {
            let text = format!("would violate PodSecurity \"{}\": {}", policy.audit, audited.details());
            audit(notes, "audit-violations", text);
        }
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let warned = of(policy.warn);
        if !warned.is_empty() {
            notes.warn(format!("would violate PodSecurity \"{}\": {}", policy.warn, warned.details()));
        }
        Ok(())
    }

    fn is_exempt_class(&self, spec: &Value) -> bool {
        self.config.exempt_runtime_classes.contains(text(spec, &["runtimeClassName"]))
    }
}

impl Plugin for PodSecurity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn needs(&self, request: &Request) -> Vec<Need> {
        if template_path(request).is_none() {
            return Vec::new();
        }
        vec![Need::of(GroupResource::new("", "namespaces"), "", &request.namespace)]
    }

    fn validate(&self, request: &Request, scene: &Scene<'_>, notes: &mut Notes) -> Result<(), Status> {
        if request.is_below("", "namespaces") {
            return self.namespace(request, scene, notes);
        }
        let (Some(path), Some(object)) = (template_path(request), &request.object) else { return Ok(()) };
        let holder = at(object, path);
        if !at(holder, &["spec"]).is_object() {
            return Ok(());
        }
        let is_pod = path.is_empty();
        if is_pod
            && request.operation == Operation::Update
            && request.old.as_ref().is_some_and(|old| !is_significant(object, old))
        {
            return Ok(());
        }
        let pod = Pod { metadata: at(holder, &["metadata"]), spec: at(holder, &["spec"]) };
        self.pod(request, scene, pod, is_pod, notes)
    }
}

/// Where the pod stands in an object that is one or makes some.
fn template_path(request: &Request) -> Option<&'static [&'static str]> {
    let resource = (request.resource.group.as_str(), request.resource.resource.as_str());
    if resource == ("", "pods") {
        let ignored = ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];
        return (!ignored.contains(&request.subresource.as_str())).then_some(&[]);
    }
    if !request.subresource.is_empty() {
        return None;
    }
    Some(match resource {
        ("", "podtemplates") => &["template"],
        ("", "replicationcontrollers")
        | ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => &["spec", "template"],
        ("batch", "cronjobs") => &["spec", "jobTemplate", "spec", "template"],
        _ => return None,
    })
}

/// Whether an update of a pod changes anything that is judged here: containers come or
/// change their image.
fn is_significant(new: &Value, old: &Value) -> bool {
    let image = |container: &Value| text(container, &["image"]).to_owned();
    for kind in ["containers", "initContainers"] {
        let (new, old) = (items(new, &["spec", kind]), items(old, &["spec", kind]));
        if new.len() != old.len() || new.iter().zip(old).any(|(new, old)| image(new) != image(old)) {
            return true;
        }
    }
    let before = items(old, &["spec", "ephemeralContainers"]);
    items(new, &["spec", "ephemeralContainers"]).iter().any(|container| {
        let same = |old: &&Value| text(old, &["name"]) == text(container, &["name"]);
        before.iter().find(same).is_none_or(|old| image(old) != image(container))
    })
}

fn audit(notes: &mut Notes, key: &str, value: String) {
    notes.annotate(policy::label(key), value);
}
