//! Layers and snapshots on a real file system, mounted by a real kernel.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

mod active;
mod chains;
mod changes;
mod concurrent;
mod crash;
mod hostile;
mod layering;
mod model;
mod tree;
mod unpack;

use archive::tar::{Header, Writer};
use base::{ContainerId, Digest};
use snapshot::{Error, Hashing, LayerInfo, LayerSpec, Limits, Snapshots, Staged};
use testkit::TempDir;

/// A fresh store.
fn store() -> (TempDir, Snapshots) {
    let directory = TempDir::new();
    let store = Snapshots::open(&directory.join("snapshots")).unwrap();
    (directory, store)
}

/// An archive of entries with their content.
fn tar(entries: &[(Header, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (header, content) in entries {
        let header = Header { size: content.len() as u64, ..header.clone() };
        writer.append_bytes(&header, content).unwrap();
    }
    writer.finish().unwrap()
}

/// An archive in one line: `d/` a directory, `f=text` a file, `l->t` a symbolic link,
/// `h=>t` a hard link; whiteouts by their names. Separated by spaces.
fn layer(text: &str) -> Vec<u8> {
    let entry = |word: &'static str| -> (Header, &'static [u8]) {
        if let Some((path, target)) = word.split_once("=>") {
            (Header::hard_link(path, target), b"")
        } else if let Some((path, target)) = word.split_once("->") {
            (Header::symlink(path, target), b"")
        } else if let Some((path, content)) = word.split_once('=') {
            (Header::file(path, 0), content.as_bytes())
        } else if word.ends_with('/') {
            (Header::directory(word), b"")
        } else {
            (Header::file(word, 0), b"")
        }
    };
    let text: &'static str = text.to_owned().leak();
    tar(&text.split(' ').filter(|word| !word.is_empty()).map(entry).collect::<Vec<_>>())
}

fn spec(archive: &[u8]) -> LayerSpec {
    LayerSpec { diff_id: Digest::sha256_of(archive), blob: None, blob_size: None }
}

fn stage(store: &Snapshots, archive: &[u8]) -> Result<Staged, Error> {
    store.stage(&spec(archive), Hashing::new(archive), &Limits::default())
}

/// Unpacks and commits one layer.
fn add(store: &Snapshots, archive: &[u8], parent: Option<&Digest>) -> Result<LayerInfo, Error> {
    store.commit(stage(store, archive)?, parent)
}

/// Unpacks and commits layers, the base first; the chain's id.
fn chain(store: &Snapshots, layers: &[&str]) -> Digest {
    let mut parent = None;
    for text in layers {
        parent = Some(add(store, &layer(text), parent.as_ref()).unwrap().chain_id);
    }
    parent.unwrap()
}

fn key(text: &str) -> ContainerId {
    ContainerId::parse(text).unwrap()
}
