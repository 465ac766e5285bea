//! Webhooks as they are configured, compiled once for each change of a configuration.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube_object::resource::GroupResource;
use rustls::pki_types::CertificateDer;
use serde_json::Value;

use crate::callout::Callout;
use crate::cel::{Compiler, Conditions};
use crate::host::Host;
use crate::matching::Match;
use crate::read::{at, items, text};

/// How long a webhook may take if it does not say.
const TIMEOUT_SECONDS: u64 = 10;

/// One webhook of one configuration.
pub(crate) struct Hook {
    /// The configuration's name.
    pub(crate) configuration: String,
    /// Its own name.
    pub(crate) name: String,
    /// What tells it from the others.
    pub(crate) id: String,
    /// Which requests it is for; the words against it if that cannot be read.
    pub(crate) wanted: Result<Match, String>,
    /// Further conditions.
    pub(crate) conditions: Conditions,
    /// Whether a request passes if it cannot be called.
    pub(crate) ignores_failure: bool,
    /// Whether it wants to see what later ones have changed.
    pub(crate) reinvoke: bool,
    /// Whether a dry run may reach it; none if it does not say.
    pub(crate) allows_dry_run: Option<bool>,
    /// How long it may take.
    pub(crate) timeout: Duration,
    /// Which version of the review it reads.
    pub(crate) review_version: Option<&'static str>,
    /// Whom to call; the words against it if that cannot be read.
    pub(crate) callout: Result<Arc<Callout>, String>,
    /// The configuration of `callout`.
    client: Value,
}

/// The variables of a match condition.
pub(crate) const VARIABLES: &[&str] = &["object", "oldObject", "request", "authorizer"];

/// The webhooks of one kind of configuration.
pub(crate) struct Hooks {
    resource: GroupResource,
    roots: Vec<CertificateDer<'static>>,
    compiler: Arc<dyn Compiler>,
    compiled: Mutex<(u64, Arc<[Hook]>)>,
}

impl Hooks {
    pub(crate) fn new(
        resource: &str,
        roots: Vec<CertificateDer<'static>>,
        compiler: Arc<dyn Compiler>,
    ) -> Self {
        let resource = GroupResource::new("admissionregistration.k8s.io", resource);
        Self { resource, roots, compiler, compiled: Mutex::new((0, Arc::from([]))) }
    }

    /// The webhooks as configured now, by the names of their configurations.
    pub(crate) fn current(&self, host: &Host) -> Arc<[Hook]> {
        let changed = host.cluster.changed(&self.resource);
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if compiled.0 != changed {
            let mut configurations = host.cluster.list(&self.resource, None);
            configurations.sort_by(|a, b| name(a).cmp(name(b)));
            let known = compiled.1.clone();
            let hooks = configurations.iter().flat_map(|configuration| self.compile(configuration, &known));
            *compiled = (changed, hooks.collect());
        }
        compiled.1.clone()
    }

    fn compile(&self, configuration: &Value, known: &[Hook]) -> Vec<Hook> {
        let configuration_name = name(configuration);
        let hooks = items(configuration, &["webhooks"]).iter().enumerate();
        hooks
            .map(|(index, hook)| {
                let client = at(hook, &["clientConfig"]).clone();
                // Connections outlive changes that do not concern them.
                let same = known.iter().find(|known| known.client == client);
                let callout = same.map(|known| known.callout.clone());
                let fresh = || Callout::new(&client, &self.roots).map(Arc::new).map_err(|e| e.to_string());
                Hook {
                    configuration: configuration_name.to_owned(),
                    name: text(hook, &["name"]).to_owned(),
                    id: format!("{configuration_name}/{index}/{}", text(hook, &["name"])),
                    wanted: Match::of_webhook(hook).map_err(|error| error.to_string()),
                    conditions: Conditions::compile(
                        items(hook, &["matchConditions"]),
                        VARIABLES,
                        self.compiler.as_ref(),
                    ),
                    ignores_failure: text(hook, &["failurePolicy"]) == "Ignore",
                    reinvoke: text(hook, &["reinvocationPolicy"]) == "IfNeeded",
                    allows_dry_run: at(hook, &["sideEffects"])
                        .as_str()
                        .map(|effects| matches!(effects, "None" | "NoneOnDryRun")),
                    timeout: Duration::from_secs(
                        at(hook, &["timeoutSeconds"]).as_u64().unwrap_or(TIMEOUT_SECONDS).clamp(1, 30),
                    ),
                    review_version: review_version(hook),
                    callout: callout.unwrap_or_else(fresh),
                    client,
                }
            })
            .collect()
    }
}

fn name(configuration: &Value) -> &str {
    text(configuration, &["metadata", "name"])
}

/// The first version of the review that both sides know.
fn review_version(hook: &Value) -> Option<&'static str> {
    let versions = items(hook, &["admissionReviewVersions"]).iter().filter_map(Value::as_str);
    versions.into_iter().find_map(|version| match version {
        "v1" => Some("v1"),
        "v1beta1" => Some("v1beta1"),
        _ => None,
    })
}
