//! Garbage collection: mark (pure) and sweep.

use std::collections::BTreeSet;
use std::fs::{self, File};

use base::{Digest, failpoint};
use oci_spec::image::{Descriptor, Document};

use crate::Error;
use crate::files::{self, list, present, remove};
use crate::lock::{Lock, try_exclusive};
use crate::store::{Store, file_name};

/// What a collection has removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// The blobs.
    pub blobs: Vec<Digest>,
    /// Their lengths and those of left-over partial content, in bytes.
    pub bytes: u64,
    /// How many pieces of partial content went.
    pub partials: u64,
}

/// Everything that can be reached from `roots`; `references` says what an object refers
/// to. Pure when `references` is: same input, same set. Cycles end.
pub fn mark(
    roots: impl IntoIterator<Item = Digest>,
    mut references: impl FnMut(&Digest) -> Vec<Digest>,
) -> BTreeSet<Digest> {
    let mut marked = BTreeSet::new();
    let mut open: Vec<Digest> = roots.into_iter().collect();
    while let Some(digest) = open.pop() {
        if !marked.contains(&digest) {
            open.extend(references(&digest));
            marked.insert(digest);
        }
    }
    marked
}

/// What a manifest or an index refers to.
pub fn references(document: &Document) -> Vec<Digest> {
    let digest = |descriptor: &Descriptor| descriptor.digest.clone();
    match document {
        Document::Manifest { manifest, .. } => [&manifest.config]
            .into_iter()
            .chain(&manifest.layers)
            .chain(&manifest.subject)
            .map(digest)
            .collect(),
        Document::Index { index, .. } => index.manifests.iter().chain(&index.subject).map(digest).collect(),
    }
}

impl Store {
    /// Removes blobs that no name and no live lease reaches, and partial content that
    /// nobody is writing.
    pub fn gc(&self) -> Result<Collected, Error> {
        let _exclusive = Lock::exclusive(&self.path("lock"))?;
        let reachable = self.reachable()?;
        failpoint::hit("content.gc-marked");
        let mut collected = Collected::default();
        for digest in self.blobs()? {
            if reachable.contains(&digest) {
                continue;
            }
            let path = self.blob_path(&digest);
            let size =
                present(fs::metadata(&path)).map_err(Error::io("look at", &path))?.map_or(0, |m| m.len());
            remove(&path)?;
            remove(&self.label_path(&digest))?;
            self.journal().settle_one(&file_name(&digest))?;
            failpoint::hit("content.gc-swept-one");
            collected.blobs.push(digest);
            collected.bytes += size;
        }
        let (partials, bytes) = self.remove_partials()?;
        collected.partials = partials;
        collected.bytes += bytes;
        Ok(collected)
    }

    /// All digests that names and live leases reach, present or not.
    pub fn reachable(&self) -> Result<BTreeSet<Digest>, Error> {
        let mut roots: Vec<Digest> = self.names()?.into_iter().map(|name| name.target.digest).collect();
        let leased = self.leases().list()?.into_iter().filter(|lease| lease.live);
        roots.extend(leased.flat_map(|lease| lease.objects).filter_map(|text| Digest::parse(&text).ok()));
        Ok(mark(roots, |digest| self.references_of(digest)))
    }

    /// What a blob refers to: nothing when it is missing or no document.
    fn references_of(&self, digest: &Digest) -> Vec<Digest> {
        if !self.looks_like_document(digest) {
            return Vec::new();
        }
        match self.document(digest) {
            Ok(Ok(document)) => references(&document),
            _ => Vec::new(),
        }
    }

    /// Layers are large and do not begin with a brace: they are not read.
    fn looks_like_document(&self, digest: &Digest) -> bool {
        use std::io::Read as _;
        let mut first = [0; 64];
        let Ok(mut blob) = self.open_blob(digest) else { return false };
        let count = blob.file.read(&mut first).unwrap_or(0);
        first[..count].trim_ascii_start().first() == Some(&b'{')
    }

    /// Removes partial content that nobody is writing; how many and how many bytes.
    pub(crate) fn remove_partials(&self) -> Result<(u64, u64), Error> {
        let directory = self.path("ingest");
        let (mut count, mut bytes) = (0, 0);
        for name in list(&directory)? {
            let path = directory.join(&name);
            let Some(file) = present(File::open(&path)).map_err(Error::io("open", &path))? else { continue };
            if try_exclusive(&file).map_err(Error::io("lock", &path))? && remove(&path)? {
                count += 1;
                bytes += file.metadata().map_err(Error::io("look at", &path))?.len();
            }
        }
        for name in list(&self.path("labels"))?.iter().filter(|name| name.starts_with(files::TEMPORARY)) {
            remove(&self.path("labels").join(name))?;
        }
        Ok((count, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::sha256_of(name.as_bytes())
    }

    /// `graph` is `a:bc d:` for "a refers to b and c, d to nothing".
    #[track_caller]
    fn check(graph: &str, roots: &str, marked: &str) {
        let of = |names: &str| names.chars().map(|c| digest(&c.to_string())).collect::<Vec<_>>();
        let edges: Vec<_> = graph.split(' ').filter_map(|edge| edge.split_once(':')).collect();
        let found = mark(of(roots), |from| {
            let edge = edges.iter().find(|(name, _)| digest(name) == *from);
            edge.map(|(_, to)| of(to)).unwrap_or_default()
        });
        assert_eq!(found, of(marked).into_iter().collect(), "{graph}");
    }

    #[test]
    fn marks_what_is_reached() {
        check("a:bc d:e", "a", "abc");
        check("a:b b:c c:", "ab", "abc");
        check("a:b", "", "");
    }

    #[test]
    fn ends_on_cycles_and_on_what_is_missing() {
        check("a:b b:a", "a", "ab");
        check("a:a", "a", "a");
        check("", "z", "z");
    }
}
