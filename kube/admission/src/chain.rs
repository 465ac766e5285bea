//! All steps in their order.

use kube_object::status::Status;

use crate::config::Config;
use crate::host::Host;
use crate::notes::{Notes, Outcome};
use crate::plugin::{Plugin, Scene};
use crate::plugins;
use crate::request::{Operation, Request};

/// The steps that every write passes.
pub struct Chain {
    host: Host,
    plugins: Vec<Box<dyn Plugin>>,
}

impl Chain {
    /// The chain that a configuration asks for.
    pub fn new(config: &Config, host: Host) -> Self {
        Self { plugins: plugins::all(config, &host), host }
    }

    /// Lets every step change the object. Whatever comes out, `notes` hold what was said.
    ///
    /// Cancelling it leaves nothing behind.
    pub async fn mutate(&self, request: &mut Request, notes: &mut Notes) -> Result<(), Status> {
        let scene = self.scene(request).await?;
        for plugin in self.plugins_for(request.operation) {
            let result = plugin.mutate(request, &scene, notes);
            settled(plugin.name(), result, notes)?;
        }
        Ok(())
    }

    /// Asks every step whether the object may be stored. Quota is reserved last: a request
    /// that is not stored after this leaves its reservation to the quota controller.
    pub async fn validate(&self, request: &Request, notes: &mut Notes) -> Result<(), Status> {
        let scene = self.scene(request).await?;
        for plugin in self.plugins_for(request.operation) {
            let result = plugin.validate(request, &scene, notes);
            settled(plugin.name(), result, notes)?;
        }
        Ok(())
    }

    async fn scene(&self, request: &Request) -> Result<Scene<'_>, Status> {
        let mut scene = Scene::new(&self.host);
        for plugin in self.plugins_for(request.operation) {
            scene.fetch(plugin.needs(request)).await?;
        }
        Ok(scene)
    }

    fn plugins_for(&self, operation: Operation) -> impl Iterator<Item = &dyn Plugin> {
        self.plugins.iter().map(Box::as_ref).filter(move |plugin| plugin.handles(operation))
    }
}

/// Keeps the refusal of a step that has not explained itself.
fn settled(plugin: &'static str, result: Result<(), Status>, notes: &mut Notes) -> Result<(), Status> {
    if let Err(status) = &result
        && !notes.has_refusal_of(plugin)
    {
        notes.decide(plugin, Outcome::Refused, "", status.message.clone());
    }
    result
}
