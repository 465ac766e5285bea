//! Image names: what an image is called, and the descriptor it stands for.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use base::{Digest, failpoint};
use oci_spec::image::Descriptor;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::files::{self, list, read_json, remove, stage_json};
use crate::label::Labels;
use crate::lock::Lock;
use crate::store::Store;

/// A name and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageName {
    /// The name, such as `docker.io/library/nginx:latest`.
    pub name: String,
    /// The manifest or index that it stands for.
    pub target: Descriptor,
    /// Seconds since 1970 when the name was first set.
    pub created: u64,
    /// Seconds since 1970 when it was last set to another target.
    pub updated: u64,
    /// Labels of the name.
    #[serde(default)]
    pub labels: Labels,
}

impl Store {
    /// Sets `name` to stand for `target`, which must be in the store.
    ///
    /// This is the point from which an image survives a crash of the machine: the disk
    /// has everything that was committed before, once this returns.
    pub fn set_name(&self, name: &str, target: &Descriptor, labels: &Labels) -> Result<ImageName, Error> {
        let _shared = Lock::shared(&self.path("lock"))?;
        if !self.contains(&target.digest)? {
            return Err(Error::BlobNotFound { digest: target.digest.clone() });
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let path = self.name_path(name);
        let old: Option<ImageName> = read_json(&path)?;
        let created = old.as_ref().map_or(now, |old| old.created);
        let updated = old.filter(|old| old.target.digest == target.digest).map_or(now, |old| old.updated);
        let record = ImageName {
            name: name.to_owned(),
            target: target.clone(),
            created,
            updated,
            labels: labels.clone(),
        };
        let staged = stage_json(&path, &record)?;
        failpoint::hit("content.name-staged");
        self.settle()?;
        failpoint::hit("content.name-synced");
        fs::rename(&staged, &path).map_err(Error::io("rename to", path))?;
        failpoint::hit("content.name-set");
        Ok(record)
    }

    /// What `name` stands for.
    pub fn name(&self, name: &str) -> Result<ImageName, Error> {
        self.find_name(name)?.ok_or_else(|| Error::NameNotFound { name: name.to_owned() })
    }

    /// What `name` stands for, if it is known.
    pub fn find_name(&self, name: &str) -> Result<Option<ImageName>, Error> {
        read_json(&self.name_path(name))
    }

    /// All names in order.
    pub fn names(&self) -> Result<Vec<ImageName>, Error> {
        let directory = self.path("names");
        let mut names: Vec<ImageName> = Vec::new();
        for file in list(&directory)?.iter().filter(|file| !file.starts_with(files::TEMPORARY)) {
            names.extend(read_json::<ImageName>(&directory.join(file))?);
        }
        names.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(names)
    }

    /// Removes a name; whether it was known. The content stays until [`Store::gc`].
    pub fn remove_name(&self, name: &str) -> Result<bool, Error> {
        let removed = remove(&self.name_path(name))?;
        failpoint::hit("content.name-removed");
        Ok(removed)
    }

    /// A name may hold any character and be long; its digest is a file name.
    fn name_path(&self, name: &str) -> PathBuf {
        self.path("names").join(format!("{}.json", Digest::sha256_of(name.as_bytes()).hex()))
    }
}
