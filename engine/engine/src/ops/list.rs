//! All containers.

use attach::Attachment;
use shim::HealthStatus;

use crate::container::Record;
use crate::engine::Engine;
use crate::error::Error;

/// A container in a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its record, as it is now.
    pub record: Record,
    /// Its network, while it runs.
    pub attachment: Option<Attachment>,
    /// What is thought of its health, where that is checked.
    pub health: Option<HealthStatus>,
}

impl Engine {
    /// All containers, the newest first. One that is being made or removed meanwhile may be
    /// missing; one whose record is damaged is left out.
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        let ids = self.containers().ids()?;
        let mut list = Vec::with_capacity(ids.len());
        for id in ids {
            let Ok(record) = self.look(&id).or_else(|_| self.containers().read(&id).map_err(Error::from))
            else {
                continue;
            };
            let attachment = self.attachment(&record)?;
            let health = self.health(&record).map(|health| health.status);
            list.push(Listed { record, attachment, health });
        }
        list.sort_by(|a, b| {
            b.record.created.cmp(&a.record.created).then_with(|| a.record.id.cmp(&b.record.id))
        });
        Ok(list)
    }

    /// The network of a running container.
    pub fn attachment(&self, record: &Record) -> Result<Option<Attachment>, Error> {
        if !record.lifecycle.is_running() || !record.request.network.mode.is_bridged() {
            return Ok(None);
        }
        self.networks()?.describe(&record.id).map_err(Error::network(&record.name))
    }

    /// All networks of a running container.
    pub fn attachments(&self, record: &Record) -> Result<Vec<Attachment>, Error> {
        if !record.lifecycle.is_running() || !record.request.network.mode.is_bridged() {
            return Ok(Vec::new());
        }
        self.networks()?.describe_all(&record.id).map_err(Error::network(&record.name))
    }

    /// Bytes in a container's writable layer.
    pub fn size_rw(&self, record: &Record) -> Result<u64, Error> {
        let report = self.snapshots()?.copied_up(&record.id, 0).map_err(Error::snapshot(&record.name))?;
        Ok(report.bytes)
    }

    /// Bytes in the layers below it.
    pub fn size_image(&self, record: &Record) -> Result<u64, Error> {
        let Some(chain) = &record.image.chain else { return Ok(0) };
        let layers = self.snapshots()?.layers(chain).map_err(Error::snapshot(&record.name))?;
        Ok(layers.iter().map(|layer| layer.bytes).sum())
    }

    /// What containers are made of, for those who remove images.
    pub fn image_uses(&self) -> Result<Vec<crate::images::ImageUse>, Error> {
        let uses = self.list()?.into_iter().map(|listed| crate::images::ImageUse {
            image: listed.record.image.id.clone(),
            container: listed.record.name.clone(),
            running: listed.record.lifecycle.is_running(),
        });
        Ok(uses.collect())
    }
}
