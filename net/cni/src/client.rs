//! The runtime's side: section 3, "Execution of Network Configurations".
//!
//! ```text
//!            add                                            del
//!   nothing ─────▶ intended ── plugins, first to last ──▶ made ─────▶ nothing
//!                     └──────────────── del, also of what was killed ──▲
//! ```

use std::path::PathBuf;

use base::failpoint;
use serde_json::Value;

use crate::attachment::Attachment;
use crate::chain;
use crate::error::Error;
use crate::list::{NetworkList, Plugin};
use crate::names::{ContainerId, InterfaceName};
use crate::plugins::{Call, Plugins};
use crate::result::NetworkResult;
use crate::results::{Entry, Results};

/// Where a crash must be survivable.
pub const FAILPOINTS: &[&str] =
    &["cni.intent-written", "cni.plugin-added", "cni.added", "cni-del.plugin-deleted", "cni-del.deleted"];

/// Calls plugins and keeps what they gave.
///
/// It takes no lock: the caller sees to it that no two calls are about one container.
#[derive(Clone, Debug)]
pub struct Client {
    plugins: Plugins,
    results: Results,
}

impl Client {
    /// A client that keeps results below `directory`.
    pub fn new(plugins: Plugins, directory: impl Into<PathBuf>) -> Self {
        Self { plugins, results: Results::new(directory) }
    }

    /// What is attached.
    pub fn results(&self) -> &Results {
        &self.results
    }

    /// Whether all plugins of the list are there and speak its version.
    pub fn validate(&self, list: &NetworkList) -> Result<(), Error> {
        for plugin in &list.plugins {
            let has = self.plugins.versions(&plugin.kind, &list.name)?;
            if !has.iter().any(|version| version == list.version.as_str()) {
                let (kind, network) = (plugin.kind.clone(), list.name.clone());
                return Err(Error::Version { kind, network, wanted: list.version, has });
            }
        }
        Ok(())
    }

    /// Runs the chain's `ADD`. When a plugin fails, what the others did is undone.
    pub fn add(&self, list: &NetworkList, attachment: &Attachment) -> Result<NetworkResult, Error> {
        let known = self.results.get(&list.name, &attachment.container, &attachment.interface)?;
        match known {
            Some(known) if known.result.is_some() => {
                return Err(Error::AlreadyAttached {
                    container: attachment.container.to_string(),
                    interface: attachment.interface.to_string(),
                    network: list.name.clone(),
                });
            }
            // Killed in the middle.
            Some(known) => self.del(&known)?,
            None => {}
        }
        for plugin in &list.plugins {
            self.plugins.find(&plugin.kind)?;
        }
        let mut entry = Entry::intended(list, attachment, self.plugins.directories());
        self.results.put(&entry)?;
        failpoint::hit("cni.intent-written");
        match self.add_chain(list, attachment) {
            Ok((raw, result)) => {
                entry.result = Some(raw);
                self.results.put(&entry)?;
                failpoint::hit("cni.added");
                Ok(result)
            }
            Err(error) => {
                // The first error is the one to tell; what the undoing leaves, the entry knows.
                let _ = self.del(&entry);
                Err(error)
            }
        }
    }

    fn add_chain(
        &self,
        list: &NetworkList,
        attachment: &Attachment,
    ) -> Result<(Value, NetworkResult), Error> {
        let mut previous: Option<Value> = None;
        for plugin in &list.plugins {
            let config = chain::for_attachment(list, plugin, attachment, previous.as_ref());
            let stdout = self.plugins.call(&call(list, plugin, "ADD", Some(attachment), &config))?;
            failpoint::hit("cni.plugin-added");
            previous = Some(serde_json::from_slice(&stdout).map_err(answer(list, plugin))?);
        }
        let raw = previous.unwrap_or_default();
        let last = list.plugins.last();
        let result: NetworkResult = match (serde_json::from_value(raw.clone()), last) {
            (Ok(result), _) => result,
            (Err(source), Some(plugin)) => return Err(answer(list, plugin)(source)),
            (Err(_), None) => NetworkResult::empty(),
        };
        Ok((raw, result))
    }

    /// Runs the chain's `DEL`, last to first, as it was added, and forgets the entry. An
    /// attachment of which nothing is left is no error: section 2, "DEL".
    pub fn del(&self, entry: &Entry) -> Result<(), Error> {
        let Some(list) = entry.list() else { return self.results.remove(entry) };
        let attachment = entry.attachment();
        let plugins = match entry.plugin_directories.is_empty() {
            true => self.plugins.clone(),
            false => self.plugins.in_directories(entry.plugin_directories.clone()),
        };
        let previous = entry.result.as_ref().filter(|_| list.version.has_check());
        for plugin in list.plugins.iter().rev() {
            let config = chain::for_attachment(&list, plugin, &attachment, previous);
            plugins.call(&call(&list, plugin, "DEL", Some(&attachment), &config))?;
            failpoint::hit("cni-del.plugin-deleted");
        }
        self.results.remove(entry)?;
        failpoint::hit("cni-del.deleted");
        Ok(())
    }

    /// Runs the chain's `CHECK` on what was added.
    pub fn check(
        &self,
        list: &NetworkList,
        container: &ContainerId,
        interface: &InterfaceName,
    ) -> Result<(), Error> {
        let (network, version) = (list.name.clone(), list.version);
        if !version.has_check() {
            return Err(Error::NotInVersion { network, version, command: "CHECK" });
        }
        if list.disable_check {
            return Ok(());
        }
        let entry = self.results.get(&list.name, container, interface)?;
        let Some(entry) = entry.filter(|entry| entry.result.is_some()) else {
            let (container, interface) = (container.to_string(), interface.to_string());
            return Err(Error::NotAttached { container, interface, network });
        };
        let attachment = entry.attachment();
        for plugin in &list.plugins {
            let config = chain::for_attachment(list, plugin, &attachment, entry.result.as_ref());
            self.plugins.call(&call(list, plugin, "CHECK", Some(&attachment), &config))?;
        }
        Ok(())
    }

    /// Undoes all attachments of the network but the `valid` ones, then lets the plugins collect
    /// what they have beside: section 2, "GC". All are tried; the first error is told.
    pub fn gc(&self, list: &NetworkList, valid: &[(ContainerId, InterfaceName)]) -> Result<(), Error> {
        let mut outcome = Ok(());
        for entry in self.results.all()? {
            let stays = valid
                .iter()
                .any(|(id, interface)| *id == entry.container_id && *interface == entry.interface);
            if entry.network == list.name && !stays {
                outcome = outcome.and(self.del(&entry));
            }
        }
        if list.version.has_gc() && !list.disable_gc {
            for plugin in &list.plugins {
                let config = chain::for_gc(list, plugin, valid);
                outcome = outcome.and(self.plugins.call(&call(list, plugin, "GC", None, &config)).map(drop));
            }
        }
        outcome
    }

    /// Asks all plugins whether a container can be added now: section 2, "STATUS". A version
    /// without it is always ready.
    pub fn status(&self, list: &NetworkList) -> Result<(), Error> {
        if !list.version.has_gc() {
            return Ok(());
        }
        for plugin in &list.plugins {
            let config = chain::for_status(list, plugin);
            self.plugins.call(&call(list, plugin, "STATUS", None, &config))?;
        }
        Ok(())
    }
}

fn call<'a>(
    list: &'a NetworkList,
    plugin: &'a Plugin,
    command: &'static str,
    attachment: Option<&'a Attachment>,
    config: &'a [u8],
) -> Call<'a> {
    Call { kind: &plugin.kind, command, network: &list.name, attachment, config }
}

fn answer(list: &NetworkList, plugin: &Plugin) -> impl FnOnce(serde_json::Error) -> Error {
    let (kind, network) = (plugin.kind.clone(), list.name.clone());
    move |source| Error::Answer { kind, command: "ADD", network, source }
}
