//! The engine: roots on disk, and the stores below them.

use std::path::{Path, PathBuf};

use crate::companions::Companions;
use crate::error::Error;

/// Where everything is. Data survives a reboot, state does not.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The data root.
    pub root: PathBuf,
    /// The state root.
    pub state: PathBuf,
}

impl Paths {
    /// Records of containers.
    pub fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// Named and anonymous volumes.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// Blobs and image tags.
    pub fn content(&self) -> PathBuf {
        self.root.join("content")
    }

    /// Unpacked layers and containers' upper directories.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// State of running containers.
    pub fn running(&self) -> PathBuf {
        self.state.join("containers")
    }
}

/// Containers, images, volumes and networks under one data root.
pub struct Engine {
    paths: Paths,
    companions: Option<Companions>,
    cleanup_command: Vec<String>,
}

impl Engine {
    /// Opens the engine on its two roots, making them when missing.
    ///
    /// Nothing is scanned and no tool is started: recovery of what a dead process
    /// left happens where it is needed, and for all in [`Engine::reconcile`].
    pub fn open(root: &Path, state: &Path) -> Result<Self, Error> {
        let paths = Paths { root: root.to_owned(), state: state.to_owned() };
        Ok(Self { paths, companions: None, cleanup_command: Vec::new() })
    }

    /// The same engine, able to start containers.
    #[must_use]
    pub fn with_companions(mut self, companions: Companions) -> Self {
        self.companions = Some(companions);
        self
    }

    /// The same engine, whose shims run `command ID` when a container has ended.
    #[must_use]
    pub fn with_cleanup_command(mut self, command: Vec<String>) -> Self {
        self.cleanup_command = command;
        self
    }

    /// Where everything is.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }
}
