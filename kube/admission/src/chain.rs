//! All steps in their order.

use std::sync::Arc;

use kube_object::status::Status;

use crate::cel::Compiler;
use crate::cel_compiler::Cel;
use crate::config::Config;
use crate::host::Host;
use crate::matching::needs_namespace;
use crate::notes::{Notes, Outcome};
use crate::plugin::{Plugin, Scene};
use crate::plugins;
use crate::policy::{self, Mutated, Policies};
use crate::quota::{self, Quota};
use crate::request::{Operation, Request};
use crate::webhook::{self, Calls, Webhooks};

/// The steps that every write passes.
pub struct Chain {
    host: Host,
    plugins: Vec<Box<dyn Plugin>>,
    policies: Policies,
    webhooks: Webhooks,
    quota: Quota,
    on: Steps,
}

/// Which of the steps run that are no plugins.
struct Steps {
    mutating_policies: bool,
    mutating_webhooks: bool,
    validating_policies: bool,
    validating_webhooks: bool,
    quota: bool,
}

/// What the first round leaves to the second.
#[derive(Default)]
struct Memory {
    mutated: Mutated,
    calls: Calls,
}

impl Chain {
    /// The chain that a configuration asks for.
    pub fn new(config: &Config, host: Host) -> Self {
        let compiler: Arc<dyn Compiler> = Arc::new(Cel);
        let on = Steps {
            mutating_policies: config.runs(policy::MUTATING, true),
            validating_policies: config.runs(policy::VALIDATING, true),
            mutating_webhooks: config.runs(webhook::MUTATING, true),
            validating_webhooks: config.runs(webhook::VALIDATING, true),
            quota: config.runs(quota::NAME, true),
        };
        Self {
            plugins: plugins::all(config, &host),
            policies: Policies::new(&compiler),
            webhooks: Webhooks::new(&config.trusted_roots, &compiler),
            quota: Quota::new(config.limited_resources.clone()),
            host,
            on,
        }
    }

    /// Lets every step change the object. Whatever comes out, `notes` hold what was said.
    ///
    /// Cancelling it leaves nothing behind.
    pub async fn mutate(&self, request: &mut Request, notes: &mut Notes) -> Result<(), Status> {
        let mut memory = Memory::default();
        self.round(request, false, &mut memory, notes).await?;
        if memory.mutated.changed || memory.calls.changed {
            self.round(request, true, &mut memory, notes).await?;
        }
        Ok(())
    }

    /// Asks every step whether the object may be stored. Quota is reserved last: a request
    /// that is not stored after this leaves its reservation to the quota controller.
    pub async fn validate(&self, request: &Request, notes: &mut Notes) -> Result<(), Status> {
        self.check(request, notes).await?;
        if self.on.quota {
            let result = self.quota.reserve(&self.host, request, notes).await;
            explained(quota::NAME, result, notes)?;
        }
        Ok(())
    }

    /// [`Chain::validate`] without quota, for a request whose share has been reserved already.
    pub async fn check(&self, request: &Request, notes: &mut Notes) -> Result<(), Status> {
        let mut scene = Scene::new(&self.host);
        for plugin in self.plugins_for(request.operation) {
            scene.fetch(plugin.needs(request)).await?;
            let result = plugin.validate(request, &scene, notes);
            explained(plugin.name(), result, notes)?;
        }
        let policies = self.on.validating_policies && self.policies.any(&self.host, false);
        let hooks = self.on.validating_webhooks && self.webhooks.any(&self.host, false);
        if policies || hooks {
            scene.fetch(needs_namespace(request).into_iter().collect()).await?;
        }
        if policies {
            let result = self.policies.validate(request, &scene, notes).await;
            explained(policy::VALIDATING, result, notes)?;
        }
        if hooks {
            let result = self.webhooks.validate(request, &scene, notes).await;
            explained(webhook::VALIDATING, result, notes)?;
        }
        Ok(())
    }

    /// All that may change the object, once.
    async fn round(
        &self,
        request: &mut Request,
        again: bool,
        memory: &mut Memory,
        notes: &mut Notes,
    ) -> Result<(), Status> {
        let mut scene = Scene::new(&self.host);
        scene.again = again;
        for plugin in self.plugins_for(request.operation) {
            // One after the other: what is refused early waits for nothing that is needed late.
            scene.fetch(plugin.needs(request)).await?;
            let result = plugin.mutate(request, &scene, notes);
            explained(plugin.name(), result, notes)?;
        }
        let policies = self.on.mutating_policies && self.policies.any(&self.host, true);
        let hooks = self.on.mutating_webhooks && self.webhooks.any(&self.host, true);
        if policies || hooks {
            scene.fetch(needs_namespace(request).into_iter().collect()).await?;
        }
        if policies {
            let result = self.policies.mutate(request, &scene, &mut memory.mutated, notes).await;
            explained(policy::MUTATING, result, notes)?;
        }
        if hooks {
            let result = self.webhooks.mutate(request, &scene, &mut memory.calls, notes).await;
            explained(webhook::MUTATING, result, notes)?;
        }
        Ok(())
    }

    fn plugins_for(&self, operation: Operation) -> impl Iterator<Item = &dyn Plugin> {
        self.plugins.iter().map(Box::as_ref).filter(move |plugin| plugin.handles(operation))
    }
}

/// Keeps the refusal of a step that has not explained itself.
fn explained(plugin: &'static str, result: Result<(), Status>, notes: &mut Notes) -> Result<(), Status> {
    if let Err(status) = &result
        && !notes.has_refusal_of(plugin)
    {
        notes.decide(plugin, Outcome::Refused, "", status.message.clone());
    }
    result
}
