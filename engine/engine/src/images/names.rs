//! Names: given last, taken first; an image that loses its name to another keeps a digest.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use base::failpoint;
use content::{ImageName, Labels};
use oci_spec::Reference;
use oci_spec::image::Descriptor;

use super::image::{Name, REPO_DIGEST_LABEL};
use super::{Error, Images};

impl Images {
    /// Makes `name` stand for `target`. Everything that was committed before is on
    /// the disk when this returns.
    ///
    /// An image that had the name stays, under its digest, until it is removed or
    /// pruned: docker's dangling images.
    pub(super) fn give_name(&self, name: &str, target: &Descriptor, labels: &Labels) -> Result<(), Error> {
        let former = self.store.find_name(name)?.filter(|former| former.target.digest != target.digest);
        if let Some(former) = former {
            self.keep_nameless(&former)?;
        }
        let chains = self.snapshots.journal();
        let pending = chains.pending()?;
        if !self.one_file_system() {
            self.snapshots.sync().map_err(Error::snapshot(name))?;
        }
        self.store.set_name(name, target, labels)?;
        // The name's sync was of the same file system.
        chains.settle(pending)?;
        failpoint::hit("pull.named");
        let nameless = target.digest.to_string();
        if name != nameless {
            self.store.remove_name(&nameless)?;
        }
        Ok(())
    }

    /// Gives the image behind `former` a name of its own if no other name keeps it.
    fn keep_nameless(&self, former: &ImageName) -> Result<(), Error> {
        let others = self.store.names()?;
        let kept = others
            .iter()
            .any(|other| other.name != former.name && other.target.digest == former.target.digest);
        if kept || !self.store.contains(&former.target.digest)? {
            return Ok(());
        }
        let nameless = former.target.digest.to_string();
        let name = former.labels.get(REPO_DIGEST_LABEL).unwrap_or(&nameless);
        self.store.set_name(name, &former.target, &former.labels)?;
        Ok(())
    }

    fn one_file_system(&self) -> bool {
        let device = |path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
        let content = device(self.store.root());
        content.is_some() && content == device(self.snapshots.root())
    }

    /// Gives `image` one more name: `strake tag`.
    pub fn tag(&self, source: &str, target: &Reference) -> Result<(), Error> {
        let image = self.find(source, None)?;
        let leases = self.leases("tag")?;
        leases.content.add(&image.target.digest)?;
        let _naming = self.naming()?;
        let mut labels = self.find_record(source)?.map(|record| record.labels).unwrap_or_default();
        // The new name has come from nowhere yet.
        labels.remove(REPO_DIGEST_LABEL);
        self.give_name(&target.to_string(), &image.target, &labels)?;
        let name = target.familiar();
        self.tell("tag", &image.id.to_string(), &name, &image.config.config.labels);
        Ok(())
    }

    /// Every name of the store with what it means.
    pub(super) fn named(&self) -> Result<Vec<(Name, ImageName)>, Error> {
        let names = self.store.names()?;
        Ok(names.into_iter().filter_map(|record| Some((Name::of(&record)?, record))).collect())
    }
}
