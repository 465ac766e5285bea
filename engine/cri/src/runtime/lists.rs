//! Lists with their filters, and what is told of one.

use std::collections::BTreeMap;

use engine::Engine;
use rpc::cri::*;

use super::Inner;
use crate::index::Index;
use crate::kept::{Container, Kept, Sandbox};
use crate::status as words;

/// A container's status with all that has to be looked up.
pub(super) fn status_of(engine: &Engine, container: &Container) -> ContainerStatus {
    let user = engine.identity(&container.record).ok().flatten().map(|identity| ContainerUser {
        linux: Some(LinuxContainerUser {
            uid: identity.uid.into(),
            gid: identity.gid.into(),
            supplemental_groups: identity.groups.into_iter().map(i64::from).collect(),
        }),
    });
    words::container(container, &image_ref(container), user)
}

fn image_ref(container: &Container) -> String {
    container.config.image.as_ref().map(|image| image.image_ref.clone()).unwrap_or_default()
}

/// The addresses of a sandbox's own network.
pub(super) fn addresses(engine: &Engine, sandbox: &Sandbox) -> Vec<String> {
    if !sandbox.record.lifecycle.is_running() {
        return Vec::new();
    }
    let addresses = engine.addresses(&sandbox.record).unwrap_or_default();
    addresses.iter().map(ToString::to_string).collect()
}

/// What those who listen are told.
pub(super) fn event(
    engine: &Engine,
    index: &Index,
    kept: &Kept,
    kind: ContainerEventType,
) -> ContainerEventResponse {
    let sandbox = match kept {
        Kept::Sandbox(sandbox) => Some(sandbox.as_ref().clone()),
        Kept::Container(container) => {
            let record = engine.resolve(&container.sandbox_id).and_then(|id| engine.look(&id));
            match record.ok().and_then(Kept::of) {
                Some(Kept::Sandbox(sandbox)) => Some(*sandbox),
                _ => None,
            }
        }
    };
    let id = sandbox.as_ref().map(|sandbox| sandbox.record.id.clone());
    let members = id.map(|id| index.members(&id).unwrap_or_default()).unwrap_or_default();
    ContainerEventResponse {
        container_id: kept.record().id.to_string(),
        container_event_type: kind.into(),
        created_at: words::now(),
        pod_sandbox_status: sandbox.map(|sandbox| words::sandbox(&sandbox, &addresses(engine, &sandbox))),
        containers_statuses: members.iter().map(|member| status_of(engine, member)).collect(),
    }
}

/// Whether all labels that are asked for are there.
pub(crate) fn selected(wanted: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

impl Inner {
    pub(super) fn list_sandboxes(&self, filter: Option<PodSandboxFilter>) -> Result<Vec<PodSandbox>, Status> {
        let filter = filter.unwrap_or_default();
        let found = self
            .index
            .sandboxes(|id, labels| id.starts_with(&filter.id) && selected(&filter.label_selector, labels))?;
        let listed = found.iter().map(words::listed_sandbox);
        Ok(listed
            .filter(|sandbox| filter.state.as_ref().is_none_or(|wanted| wanted.state == sandbox.state))
            .collect())
    }

    pub(super) fn list_containers(
        &self,
        filter: Option<ContainerFilter>,
    ) -> Result<Vec<rpc::cri::Container>, Status> {
        let filter = filter.unwrap_or_default();
        let found = self.index.containers(|id, sandbox, labels| {
            id.starts_with(&filter.id)
                && sandbox.starts_with(&filter.pod_sandbox_id)
                && selected(&filter.label_selector, labels)
        })?;
        let listed = found.iter().map(|container| words::listed_container(container, &image_ref(container)));
        Ok(listed
            .filter(|container| filter.state.as_ref().is_none_or(|wanted| wanted.state == container.state))
            .collect())
    }
}
