//! The record of a container: what was asked, what was decided, where it is in its life.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base::{ContainerId, Digest};
use oci_spec::image::ContainerConfig;
use serde::{Deserialize, Serialize};
use shim::{Exit, Timestamp};

use super::{Lifecycle, StartFailure};
use crate::request::CreateRequest;

/// Version of the record's form.
pub const RECORD_VERSION: u32 = 1;

/// Everything that is kept of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Form of this record: [`RECORD_VERSION`].
    pub version: u32,
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// What it was made of.
    pub image: ImageRef,
    /// What was asked.
    pub request: CreateRequest,
    /// The image's defaults, as they were then.
    pub config: ContainerConfig,
    /// Volumes, bind mounts and tmpfs, as they were decided.
    pub mounts: Vec<MountRecord>,
    /// Where it is in its life.
    pub lifecycle: Lifecycle,
    /// What the user was warned of.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The AppArmor profile of its last start, `unconfined` for none; missing where AppArmor is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apparmor: Option<String>,
    /// The control group of its last start, of an ordinary user's container that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// How often it was started.
    #[serde(default)]
    pub starts: u32,
    /// How often its policy started it again since somebody started it.
    #[serde(default)]
    pub restarts: u32,
    /// Somebody stopped or killed it, and nobody has started it since.
    #[serde(default)]
    pub stopped_by_hand: bool,
    /// Whoever started it again by its policy was killed in the middle: that is still to be done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restart_interrupted: bool,
    /// Why the last start failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_failure: Option<StartFailure>,
    /// How its last runs ended, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exits: Vec<Exit>,
}

/// An image at the time when a container was made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRef {
    /// As people write it.
    pub name: String,
    /// The image's id: the digest of its configuration.
    pub id: Digest,
    /// The manifest's digest.
    pub manifest: Digest,
    /// The topmost layer's chain; none for an empty image.
    pub chain: Option<Digest>,
    /// `os/architecture`.
    pub platform: String,
}

/// A mount that was decided on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRecord {
    /// Where in the container.
    pub target: PathBuf,
    /// What.
    pub source: MountSource,
    /// Whether nothing can be written through it.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum MountSource {
    /// A path of the host.
    Bind {
        /// The path.
        path: PathBuf,
        /// Propagation of mounts; `rprivate` when missing.
        propagation: Option<String>,
        /// Whether mounts below it stay out.
        non_recursive: bool,
        /// Whether mounts below it are read-only too.
        #[serde(default)]
        recursive_read_only: bool,
    },
    /// A volume.
    Volume {
        /// Its name.
        name: String,
        /// Its directory.
        path: PathBuf,
        /// Whether it was made for this container alone.
        anonymous: bool,
        /// Whether it gets what the image has at the target, while it is empty.
        copy_up: bool,
        /// The file system that it is, if it is no directory.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<crate::volumes::DeviceMount>,
        /// A part of it that is mounted instead of all of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        part: Option<PathBuf>,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Options as `mount(8)` knows them.
        options: Vec<String>,
    },
    /// The layers of an image, read-only.
    Image {
        /// The image's name.
        name: String,
        /// The directories of its layers, the topmost first; of a part of it, what makes that.
        layers: Vec<PathBuf>,
    },
}

impl Record {
    /// Takes note of the end of a run.
    pub(crate) fn note_exit(&mut self, exit: &Exit) {
        if self.exits.len() >= EXITS_KEPT {
            self.exits.drain(..=self.exits.len() - EXITS_KEPT);
        }
        self.exits.push(exit.clone());
    }

    /// Its control group below another.
    pub(crate) fn cgroup_below(&self, parent: &str) -> String {
        format!("/{}/{}", parent.trim_matches('/'), self.id).replace("//", "/")
    }

    /// The labels: the image's, and over them those that were asked for.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.config.labels.clone();
        labels.extend(self.request.labels.clone());
        labels
    }

    /// The program and its arguments.
    pub fn command_line(&self) -> Vec<String> {
        crate::spec::command_line(&self.config, &self.request.process)
    }

    /// Names of its anonymous volumes.
    pub fn anonymous_volumes(&self) -> impl Iterator<Item = &str> {
        self.mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::Volume { name, anonymous: true, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    /// Names of all its volumes.
    pub fn volumes(&self) -> impl Iterator<Item = &str> {
        self.mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::Volume { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }
}

/// Ends that are kept.
const EXITS_KEPT: usize = 5;
