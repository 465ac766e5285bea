//! `image prune`: images that have lost their names, or all that no container uses.

use std::collections::{BTreeMap, BTreeSet};

use base::{Digest, failpoint};
use content::ImageName;

use shim::events::Subject;

use super::image::Name;
use super::remove::{ImageUse, Removed};
use super::{Error, Images, ListFilter};
use crate::events::tell;

/// What a prune has removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// What, in docker's words.
    pub removed: Vec<Removed>,
    /// Bytes on disk that are free again.
    pub reclaimed_bytes: u64,
}

impl Images {
    /// Removes images without a tag; with `all`, every image that no container uses.
    /// `filters` (`label`, `until`) narrow it. What broken transfers left goes too.
    pub fn prune(&self, all: bool, filters: &[ListFilter], uses: &[ImageUse]) -> Result<PruneReport, Error> {
        let (report, images) = self.prune_locked(all, filters, uses)?;
        self.tell_removed(&report.removed, &images);
        self.delete_collected()?;
        let reclaimed = [("reclaimed".to_owned(), report.reclaimed_bytes.to_string())];
        let event = shim::events::Event::new(Subject::Image, "prune", "", BTreeMap::from(reclaimed));
        tell(&self.journal, event);
        Ok(report)
    }

    /// What was removed, and which images lost their names.
    fn prune_locked(
        &self,
        all: bool,
        filters: &[ListFilter],
        uses: &[ImageUse],
    ) -> Result<(PruneReport, Vec<Digest>), Error> {
        let _collecting = self.collecting()?;
        let used: BTreeSet<&Digest> = uses.iter().map(|one| &one.image).collect();
        let mut by_target: BTreeMap<Digest, Vec<(Name, ImageName)>> = BTreeMap::new();
        for (name, record) in self.named()? {
            by_target.entry(record.target.digest.clone()).or_default().push((name, record));
        }
        let mut report = PruneReport::default();
        let mut gone = Vec::new();
        for names in by_target.values() {
            let has_tag = names.iter().any(|(name, _)| matches!(name, Name::Tag(_)));
            if has_tag && !all {
                continue;
            }
            let Some((_, first)) = names.first() else { continue };
            let images = self.images_of(first)?;
            let fits = images.iter().all(|image| filters.iter().all(|filter| filter.takes_image(image)));
            if !fits || images.iter().any(|image| used.contains(&image.id)) {
                continue;
            }
            gone.extend(images.into_iter().map(|image| image.id));
            for (name, record) in names {
                self.store.remove_name(&record.name)?;
                failpoint::hit("images.name-removed");
                if let Name::Tag(reference) | Name::Digest(reference) = name {
                    report.removed.push(Removed::Untagged(reference.familiar()));
                }
            }
        }
        let (removed, bytes) = self.collect_counted()?;
        report.removed.extend(removed);
        report.reclaimed_bytes = bytes;
        Ok((report, gone))
    }
}
