//! A sandbox's life.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::ContainerId;
use engine::request::Signal;
use engine::{ImageSource, RemoveOptions, StartOptions};
use rpc::cri::*;

use super::{Cri, Inner, lists};
use crate::error::status;
use crate::kept::{Kept, Sandbox, note_of_sandbox};
use crate::{plan, status as words};

impl Inner {
    pub(super) fn run_sandbox(
        &self,
        request: &RunPodSandboxRequest,
    ) -> Result<RunPodSandboxResponse, Status> {
        let mut holder = plan::sandbox(request, self.network).map_err(status)?;
        holder.front = Some(note_of_sandbox(request));
        let log_directory = request.config.as_ref().map(|config| config.log_directory.as_str());
        if let Some(directory) = log_directory.filter(|directory| !directory.is_empty()) {
            std::fs::create_dir_all(directory)
                .map_err(|error| Status::unknown(format!("make the log directory {directory}: {error}")))?;
        }
        let record = self.engine.create(holder, ImageSource::holder()).map_err(status)?;
        let id = record.id;
        self.tell(&id, ContainerEventType::ContainerCreatedEvent);
        if let Err(error) = self.engine.start(&id, &StartOptions::default()) {
            // The first error is the one to tell.
            let _ = self.engine.remove(&id, RemoveOptions { force: true, volumes: true });
            return Err(status(error));
        }
        self.events.watch(id.clone());
        self.tell(&id, ContainerEventType::ContainerStartedEvent);
        Ok(RunPodSandboxResponse { pod_sandbox_id: id.to_string() })
    }

    /// Ends all of a sandbox. One that is not there is stopped.
    pub(super) fn stop_sandbox(&self, id: &str) -> Result<StopPodSandboxResponse, Status> {
        let sandbox = match self.sandbox(id) {
            Err(error) if error.code() == Code::NotFound => return Ok(StopPodSandboxResponse {}),
            found => found?,
        };
        for container in self.members(&sandbox.record.id)? {
            self.kill(&container.record.id)?;
        }
        self.kill(&sandbox.record.id)?;
        Ok(StopPodSandboxResponse {})
    }

    /// Ends a container at once; one that is gone or has ended has ended.
    pub(super) fn kill(&self, id: &ContainerId) -> Result<(), Status> {
        match self.engine.stop(id, Some(Signal::KILL), None) {
            Err(error) if error.is_not_found() => Ok(()),
            done => done.map_err(status),
        }
    }

    pub(super) fn ready_sandbox(&self, id: &str) -> Result<Sandbox, Status> {
        let sandbox = self.sandbox(id)?;
        match sandbox.record.lifecycle.is_running() {
            true => Ok(sandbox),
            false => Err(Status::failed_precondition(format!("sandbox container \"{id}\" is not running"))),
        }
    }

    pub(super) fn sandbox_status(
        &self,
        request: &PodSandboxStatusRequest,
    ) -> Result<PodSandboxStatusResponse, Status> {
        let sandbox = self.sandbox(&request.pod_sandbox_id)?;
        let members = self.members(&sandbox.record.id)?;
        let containers_statuses =
            members.iter().map(|member| lists::status_of(&self.engine, member)).collect();
        let mut info = BTreeMap::new();
        if request.verbose {
            let pid = sandbox.record.lifecycle.pid().unwrap_or(0);
            let address = format!(
                "{{\"pid\":{pid},\"processStatus\":\"{}\"}}",
                sandbox.record.lifecycle.docker_status()
            );
            info.insert("info".to_owned(), address);
        }
        Ok(PodSandboxStatusResponse {
            status: Some(words::sandbox(&sandbox, &lists::addresses(&self.engine, &sandbox))),
            info,
            containers_statuses,
            timestamp: words::now(),
        })
    }

    /// Tells those who listen what has happened to one of ours.
    pub(super) fn tell(&self, id: &ContainerId, kind: ContainerEventType) {
        if let Some(kept) = self.engine.look(id).ok().and_then(Kept::of) {
            self.events.tell(&kept, kind);
        }
    }
}

/// Removes a sandbox with its containers. One that is not there is removed.
pub(super) async fn remove(cri: &Cri, id: String) -> Result<RemovePodSandboxResponse, Status> {
    let asked = id.clone();
    let found = cri.does(move |inner| {
        inner.stop_sandbox(&asked)?;
        let sandbox = inner.sandbox(&asked)?;
        let members = inner.members(&sandbox.record.id)?;
        Ok((sandbox, members))
    });
    let (sandbox, members) = match found.await {
        Err(error) if error.code() == Code::NotFound => return Ok(RemovePodSandboxResponse {}),
        found => found?,
    };
    for member in members {
        super::containers::remove(cri, member.record.id.to_string()).await?;
    }
    let id = sandbox.record.id.clone();
    cri.inner.events.settle(&id).await;
    let inner = Arc::clone(&cri.inner);
    crate::work::blocking(move || {
        inner.remove_record(&id)?;
        inner.events.tell(&Kept::Sandbox(Box::new(sandbox)), ContainerEventType::ContainerDeletedEvent);
        Ok(RemovePodSandboxResponse {})
    })
    .await
}
