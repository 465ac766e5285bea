//! A container's life.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base::ContainerId;
use engine::request::{CreateRequest, MountKind};
use engine::{ImageSource, Lifecycle, RemoveOptions, StartOptions};
use rpc::cri::*;

use super::{Cri, Inner, lists};
use crate::error::status;
use crate::kept::{Kept, note_of_container};
use crate::plan;

impl Inner {
    pub(super) fn create_container(
        &self,
        request: &CreateContainerRequest,
    ) -> Result<CreateContainerResponse, Status> {
        let sandbox = self.ready_sandbox(&request.pod_sandbox_id)?;
        let config = request.config.clone();
        let mut config =
            config.ok_or_else(|| Status::invalid_argument("the request has no container config"))?;
        let mut wanted = self.planned_container(&config, &sandbox)?;
        follow_links(&mut wanted);
        let images = self.engine.images().map_err(status)?;
        let image = images.find(&wanted.image, None).map_err(status)?;
        images.unpack(&image, &mut engine::images::Silent).map_err(status)?;
        if let Some(directory) = wanted.log.cri_file.as_deref().and_then(Path::parent) {
            std::fs::create_dir_all(directory).map_err(|error| {
                Status::unknown(format!("make the log directory {}: {error}", directory.display()))
            })?;
        }
        // Found once: a status must not look through all names of images.
        let reference = crate::images::reference_of(&images, &image);
        config.image.get_or_insert_default().image_ref = reference;
        wanted.front = Some(note_of_container(sandbox.record.id.as_str(), &config));
        let record = self.engine.create(wanted, ImageSource::from(&image)).map_err(status)?;
        self.tell(&record.id, ContainerEventType::ContainerCreatedEvent);
        Ok(CreateContainerResponse { container_id: record.id.to_string() })
    }

    pub(super) fn start_container(&self, id: &str) -> Result<StartContainerResponse, Status> {
        let container = self.container(id)?;
        if !matches!(container.record.lifecycle, Lifecycle::Created { failure: None }) {
            let state = crate::status::Progress::of(&container.record.lifecycle).state.as_str_name();
            return Err(Status::failed_precondition(format!("container is in {state} state")));
        }
        self.ready_sandbox(&container.sandbox_id)?;
        let id = container.record.id;
        self.engine.start(&id, &StartOptions::default()).map_err(status)?;
        self.events.watch(id.clone());
        self.tell(&id, ContainerEventType::ContainerStartedEvent);
        Ok(StartContainerResponse {})
    }

    /// Ends a container within its grace time. One that is not there has ended.
    pub(super) fn stop_container(
        &self,
        request: &StopContainerRequest,
    ) -> Result<StopContainerResponse, Status> {
        let container = match self.container(&request.container_id) {
            Err(error) if error.code() == Code::NotFound => return Ok(StopContainerResponse {}),
            found => found?,
        };
        let id = &container.record.id;
        if request.timeout <= 0 {
            self.kill(id)?;
            return Ok(StopContainerResponse {});
        }
        match self.engine.stop(id, None, Some(request.timeout)) {
            Err(error) if error.is_not_found() => Ok(StopContainerResponse {}),
            done => done.map(|()| StopContainerResponse {}).map_err(status),
        }
    }

    pub(super) fn container_status(
        &self,
        request: &ContainerStatusRequest,
    ) -> Result<ContainerStatusResponse, Status> {
        let container = self.container(&request.container_id)?;
        let mut info = BTreeMap::new();
        if request.verbose {
            let pid = container.record.lifecycle.pid().unwrap_or(0);
            let text = format!("{{\"pid\":{pid},\"sandboxID\":\"{}\"}}", container.sandbox_id);
            info.insert("info".to_owned(), text);
        }
        Ok(ContainerStatusResponse { status: Some(lists::status_of(&self.engine, &container)), info })
    }

    pub(super) fn update_container(
        &self,
        request: &UpdateContainerResourcesRequest,
    ) -> Result<UpdateContainerResourcesResponse, Status> {
        let container = self.container(&request.container_id)?;
        let Some(resources) = &request.linux else { return Ok(UpdateContainerResourcesResponse {}) };
        let wanted = plan::merged(&container.record.request.resources, resources, self.has_hugetlb());
        self.engine.update_resources(&container.record.id, wanted).map_err(status)?;
        Ok(UpdateContainerResourcesResponse {})
    }

    pub(super) fn reopen_log(&self, id: &str) -> Result<ReopenContainerLogResponse, Status> {
        let record = self.running_container(id).map_err(|error| match error.code() {
            Code::FailedPrecondition => Status::failed_precondition("container is not running"),
            _ => error,
        })?;
        self.engine.reopen_log(&record.id).map_err(status)?;
        Ok(ReopenContainerLogResponse {})
    }

    /// Removes one of ours that has ended, or kills it first.
    pub(super) fn remove_record(&self, id: &ContainerId) -> Result<(), Status> {
        match self.engine.remove(id, RemoveOptions { force: true, volumes: true }) {
            Err(error) if error.is_not_found() => Ok(()),
            done => done.map_err(status),
        }
    }
}

/// Removes a container, killing it if it runs. One that is not there is removed.
pub(super) async fn remove(cri: &Cri, id: String) -> Result<RemoveContainerResponse, Status> {
    let found = cri.does(move |inner| {
        let container = inner.container(&id)?;
        inner.kill(&container.record.id)?;
        Ok(container)
    });
    let container = match found.await {
        Err(error) if error.code() == Code::NotFound => return Ok(RemoveContainerResponse {}),
        found => found?,
    };
    let id = container.record.id.clone();
    cri.inner.events.settle(&id).await;
    let inner = Arc::clone(&cri.inner);
    crate::work::blocking(move || {
        inner.remove_record(&id)?;
        inner.forget_sample(&id);
        inner.events.tell(&Kept::Container(Box::new(container)), ContainerEventType::ContainerDeletedEvent);
        Ok(RemoveContainerResponse {})
    })
    .await
}

/// Sources of mounts as they are now: a link may show elsewhere by the time of the start.
fn follow_links(request: &mut CreateRequest) {
    for mount in &mut request.files.mounts {
        if let MountKind::Bind { source, .. } = &mut mount.kind
            && let Ok(real) = source.canonicalize()
        {
            *source = real;
        }
    }
}
