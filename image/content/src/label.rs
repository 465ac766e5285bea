//! Labels of blobs: small facts beside the content, such as where it came from.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use base::Digest;

use crate::Error;
use crate::files::{read_json, remove, stage_json};
use crate::lock::Lock;
use crate::store::{Store, file_name};

/// Labels by key.
pub type Labels = BTreeMap<String, String>;

impl Store {
    /// The labels of a blob; none when nobody set any.
    pub fn labels(&self, digest: &Digest) -> Result<Labels, Error> {
        Ok(read_json(&self.label_path(digest))?.unwrap_or_default())
    }

    /// Sets labels of a blob beside those it has; an empty value removes one.
    pub fn set_labels(&self, digest: &Digest, labels: &Labels) -> Result<(), Error> {
        let _exclusive = Lock::exclusive(&self.path("labels.lock"))?;
        let _shared = Lock::shared(&self.path("lock"))?;
        let mut all = self.labels(digest)?;
        all.extend(labels.iter().map(|(key, value)| (key.clone(), value.clone())));
        all.retain(|_, value| !value.is_empty());
        let path = self.label_path(digest);
        if all.is_empty() {
            return remove(&path).map(drop);
        }
        let staged = stage_json(&path, &all)?;
        fs::rename(&staged, &path).map_err(Error::io("rename to", path))
    }

    pub(crate) fn label_path(&self, digest: &Digest) -> PathBuf {
        self.path("labels").join(format!("{}.json", file_name(digest)))
    }
}
