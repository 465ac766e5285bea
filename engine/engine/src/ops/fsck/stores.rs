//! Flaws of images' content, of layers and of networks.

use attach::{Leftover, Rewritten};
use content::Flaw as InContent;
use snapshot::Flaw as InSnapshots;

use super::{Cure, Flaw, FlawKind};
use crate::engine::Engine;
use crate::error::Error;

impl Engine {
    pub(super) fn examine_content(&self, flaws: &mut Vec<Flaw>) -> Result<(), Error> {
        let images = self.images()?;
        for flaw in images.store().examine().map_err(crate::images::Error::from)? {
            let (kind, object, detail) = match &flaw {
                InContent::Damaged { digest, actual } => {
                    (FlawKind::BlobDamaged, digest.to_string(), format!("its content is {actual}"))
                }
                InContent::Missing { name, digest } => (
                    FlawKind::BlobMissing,
                    name.clone(),
                    format!("{digest} is not there: the image is not whole, a pull brings it back"),
                ),
                InContent::Unreachable { digest, bytes } => (
                    FlawKind::BlobUnreferenced,
                    digest.to_string(),
                    format!("{bytes} bytes that no image needs"),
                ),
                InContent::Labels { file } => (
                    FlawKind::LabelsWithoutBlob,
                    file.clone(),
                    "labels of a blob that is not there".to_owned(),
                ),
                InContent::Partial { file } => {
                    (FlawKind::IngestAbandoned, file.clone(), "a fetch that nobody goes on with".to_owned())
                }
                InContent::Lease { id } => {
                    (FlawKind::LeaseExpired, id.clone(), "its holder is gone".to_owned())
                }
                InContent::Temporary { directory, file } => (
                    FlawKind::TemporaryFile,
                    format!("content/{directory}/{file}"),
                    "its writer is gone".to_owned(),
                ),
            };
            flaws.push(Flaw::new(kind, object, detail, Cure::Content(flaw)));
        }
        Ok(())
    }

    pub(super) fn mend_content(&self, flaw: &InContent) -> Result<(), Error> {
        Ok(self.images()?.store().mend(flaw).map_err(crate::images::Error::from)?)
    }

    pub(super) fn examine_snapshots(&self, flaws: &mut Vec<Flaw>) -> Result<(), Error> {
        // Without it when a manifest is damaged: that is told of, and removed first.
        let keep = self.images()?.chains_of_images().ok();
        // Only keys of containers: others may belong to somebody else.
        let owned =
            |key: &base::ContainerId| key.as_str().len() != ID_DIGITS || self.containers().exists(key);
        let found = self.snapshots()?.examine(keep.as_deref(), owned).map_err(Error::snapshot("store"))?;
        for flaw in found {
            let (kind, object, detail) = match &flaw {
                InSnapshots::Staging { name } => {
                    (FlawKind::StagingAbandoned, name.clone(), "its maker is gone".to_owned())
                }
                InSnapshots::Chain { file } => (
                    FlawKind::ChainBroken,
                    file.clone(),
                    "its layer, or the chain below, is not there".to_owned(),
                ),
                InSnapshots::Layer { name } => {
                    (FlawKind::LayerWithoutChain, name.clone(), "a layer that no chain names".to_owned())
                }
                InSnapshots::Unneeded { chain, bytes } => (
                    FlawKind::LayerUnneeded,
                    chain.to_string(),
                    format!("{bytes} bytes that no image and no container needs"),
                ),
                InSnapshots::Trash { name } => {
                    (FlawKind::TrashLeft, name.clone(), "removed and not yet deleted".to_owned())
                }
                InSnapshots::Temporary { path } => {
                    (FlawKind::TemporaryFile, format!("snapshots/{path}"), "its writer is gone".to_owned())
                }
                InSnapshots::Lease { id } => {
                    (FlawKind::LeaseExpired, format!("snapshots/{id}"), "its holder is gone".to_owned())
                }
                InSnapshots::Halved { name, lacks } => {
                    (FlawKind::SnapshotDamaged, name.clone(), format!("a writable layer without {lacks}"))
                }
                InSnapshots::Orphan { key } => (
                    FlawKind::SnapshotWithoutContainer,
                    key.to_string(),
                    "the writable layer of a container that is not there".to_owned(),
                ),
            };
            flaws.push(Flaw::new(kind, object, detail, Cure::Snapshot(flaw)));
        }
        Ok(())
    }

    pub(super) fn mend_snapshot(&self, flaw: &InSnapshots) -> Result<(), Error> {
        let snapshots = self.snapshots()?;
        let failed = || Error::snapshot("store");
        match flaw {
            InSnapshots::Orphan { key } if !self.containers().exists(key) => {
                snapshots.remove(key).map_err(failed())?;
            }
            InSnapshots::Orphan { .. } => {}
            InSnapshots::Halved { name, .. } => snapshots.remove_halved(name).map_err(failed())?,
            InSnapshots::Unneeded { .. } => {
                snapshots.prune(&self.images()?.chains_of_images()?).map_err(failed())?;
            }
            _ => snapshots.recover().map_err(failed())?,
        }
        snapshots.empty_trash().map_err(failed())
    }

    pub(super) fn examine_networks(&self, flaws: &mut Vec<Flaw>) -> Result<(), Error> {
        let networks = self.networks()?;
        let found = networks.examine(|id| self.holds_network(id)).map_err(Error::network("store"))?;
        for left in found {
            let (kind, object, detail) = match left {
                Leftover::Holder { id, network, address, ports } => (
                    FlawKind::AddressWithoutContainer,
                    id.to_string(),
                    format!("holds {address} and {ports} ports in {network}, and does not run"),
                ),
                Leftover::Link { name } => {
                    (FlawKind::LinkWithoutContainer, name, "a cable that leads to nobody".to_owned())
                }
                Leftover::Chain { id, network, link } => (
                    FlawKind::PluginsWithoutContainer,
                    id,
                    format!("what plugins made as {link} in {network}, for a container that is not there"),
                ),
                Leftover::Pin { path } => (
                    FlawKind::NamespacePinned,
                    path.display().to_string(),
                    "a network namespace that is kept for no plugin's sake".to_owned(),
                ),
                Leftover::Rules { table, why } => {
                    let detail = match why {
                        Rewritten::Missing => "is gone, and containers are attached",
                        _ => "has rules or ports of nobody, or lacks some of ours",
                    };
                    (FlawKind::RulesChanged, format!("table {table}"), detail.to_owned())
                }
                Leftover::Record { id } => (
                    FlawKind::AttachmentWithoutAddress,
                    id.to_string(),
                    "a network's record of a container that has no address".to_owned(),
                ),
            };
            flaws.push(Flaw::new(kind, object, detail, Cure::Network));
        }
        Ok(())
    }
}

const ID_DIGITS: usize = 64;
