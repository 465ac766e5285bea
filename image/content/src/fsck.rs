//! Check and repair: every blob is read again, litter is removed.

use base::{Digest, failpoint};

use crate::Error;
use crate::files::remove;
use crate::lock::Lock;
use crate::store::{Store, file_name};

/// What a check has found and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fsck {
    /// How many blobs are intact.
    pub intact: u64,
    /// How many pieces of partial content were removed.
    pub partials_removed: u64,
    /// What was wrong.
    pub problems: Vec<Problem>,
}

/// One thing that was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A blob's content had another digest; it was removed, a pull brings it again.
    Damaged {
        /// The digest that it should have.
        digest: Digest,
        /// The digest that it had.
        actual: Digest,
    },
    /// A name or lease reaches a blob that is not there. An index may name images of
    /// other platforms that were never pulled: those are not reported.
    Missing {
        /// The name that reaches it.
        name: String,
        /// Which blob.
        digest: Digest,
    },
}

impl Store {
    /// Reads every blob again, removes damaged ones and partial content, and reports
    /// names that stand for content that is not whole. Idempotent.
    pub fn fsck(&self) -> Result<Fsck, Error> {
        self.recover()?;
        let _exclusive = Lock::exclusive(&self.path("lock"))?;
        let mut report = Fsck::default();
        (report.partials_removed, _) = self.remove_partials()?;
        for digest in self.blobs()? {
            match self.verify(&digest)? {
                Some(actual) if actual != digest => {
                    remove(&self.blob_path(&digest))?;
                    failpoint::hit("content.fsck-removed-one");
                    report.problems.push(Problem::Damaged { digest: digest.clone(), actual });
                }
                Some(_) => report.intact += 1,
                None => {}
            }
            self.journal().settle_one(&file_name(&digest))?;
        }
        for name in self.names()? {
            let missing = self.missing(&name.target.digest)?;
            report.problems.extend(
                missing.into_iter().map(|digest| Problem::Missing { name: name.name.clone(), digest }),
            );
        }
        Ok(report)
    }

    /// What an image lacks to be whole: its document, or parts of a present manifest.
    pub fn missing(&self, root: &Digest) -> Result<Vec<Digest>, Error> {
        if !self.contains(root)? {
            return Ok(vec![root.clone()]);
        }
        let Ok(document) = self.document(root)? else { return Ok(Vec::new()) };
        let is_index = matches!(document, oci_spec::image::Document::Index { .. });
        let mut missing = Vec::new();
        for digest in crate::references(&document) {
            match (self.contains(&digest)?, is_index) {
                (true, true) => missing.extend(self.missing(&digest)?),
                (true, false) | (false, true) => {}
                (false, false) => missing.push(digest),
            }
        }
        Ok(missing)
    }
}
