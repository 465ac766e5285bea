//! Images: names, pull and push, unpacking, archives.
//!
//! [`Images`] is synchronous; a runtime exists only while a registry is spoken to.
//! An image is a name in the content store, its manifest, configuration and layer
//! blobs there, and its layers unpacked in the snapshot store. A name appears last
//! and goes first, and a lease keeps everything in between from collection: a
//! process that is killed leaves a store that works, and content that the next pull
//! takes up or the next prune removes.

mod archive_out;
mod change;
mod commit;
mod error;
mod fetch;
mod image;
mod import;
mod inspect;
mod list;
mod load;
mod login;
mod lookup;
mod names;
mod progress;
mod prune;
mod pull;
mod push;
mod remote;
mod remove;
mod unpack;

use std::collections::BTreeMap;
use std::path::PathBuf;

use content::{Lease, LeaseKind, Lock, Store};
use oci_spec::image::Platform;
use shim::events::{Journal, Subject};
use snapshot::Snapshots;

use crate::engine::{Engine, Paths};
use crate::events::tell;

pub use archive_out::{SaveFormat, SaveTarget};
pub use change::Change;
pub use commit::{CommitRequest, Committed};
pub use error::Error;
pub use image::{Image, Layer};
pub use import::ImportOptions;
pub use list::{HistoryStep, ListFilter, Summary};
pub use load::{LoadSource, Loaded};
pub use login::LoginOutcome;
pub use progress::{Event, LayerState, Progress, Silent};
pub use prune::PruneReport;
pub use pull::{InvalidPullPolicy, PullOptions, PullPolicy, Pulled};
pub use push::Pushed;
pub use remote::Remote;
pub use remove::{ImageUse, Removed};

/// Where a crash must be survivable, beside those of `content` and `snapshot`.
pub const FAILPOINTS: &[&str] = &[
    "pull.leased",
    "pull.manifest-stored",
    "pull.config-stored",
    "pull.layer-half",
    "pull.blob-committed",
    "pull.layer-staged",
    "pull.layers-committed",
    "pull.named",
    "images.name-removed",
    "images.content-collected",
    "images.pruned",
    "load.blob-committed",
    "load.named",
];

/// The images under one data root.
pub struct Images {
    store: Store,
    snapshots: Snapshots,
    remote: Remote,
    platform: Option<Platform>,
    lock: PathBuf,
    journal: Journal,
}

impl Engine {
    /// The images of this engine, without a way to any registry but anonymous ones.
    pub fn images(&self) -> Result<Images, Error> {
        Images::open(self.paths())
    }
}

impl Images {
    /// Opens the stores below the data root, making them when missing.
    pub fn open(paths: &Paths) -> Result<Self, Error> {
        let store = Store::open(&paths.content())?;
        let snapshots = Snapshots::open(&paths.snapshots()).map_err(Error::snapshot("store"))?;
        let lock = paths.content().join("images.lock");
        let journal = Journal::new(&paths.root);
        Ok(Self { store, snapshots, remote: Remote::default(), platform: None, lock, journal })
    }

    /// The same images; what is saved, pushed and removed is that of `platform` alone.
    #[must_use]
    pub fn of_platform(mut self, platform: Option<Platform>) -> Self {
        self.platform = platform;
        self
    }

    /// The same images, with a way to registries.
    #[must_use]
    pub fn with_remote(mut self, remote: Remote) -> Self {
        self.remote = remote;
        self
    }

    /// The blobs and names.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The unpacked layers.
    pub fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    /// Clears away what killed processes and a crash of the machine left half done. Idempotent.
    pub fn recover(&self) -> Result<(), Error> {
        self.store.recover()?;
        self.snapshots.recover().map_err(Error::snapshot("store"))
    }

    /// Tells of something that has happened to an image; `name` is what people call it.
    fn tell(&self, action: &str, id: &str, name: &str, labels: &BTreeMap<String, String>) {
        let mut attributes = labels.clone();
        attributes.insert("name".to_owned(), name.to_owned());
        tell(&self.journal, shim::events::Event::new(Subject::Image, action, id, attributes));
    }

    /// Leases in both stores for one operation.
    fn leases(&self, operation: &str) -> Result<Leases, Error> {
        let id = format!("{operation}-{}-{}", std::process::id(), unique());
        let content = self.store.lease(&id, LeaseKind::WhileHeld)?;
        let chains = self.snapshots.leases().take(&id, LeaseKind::WhileHeld)?;
        Ok(Leases { content, chains })
    }

    /// A file without a name on the disk of the store: whatever happens, it leaves nothing.
    pub(crate) fn spool_file(&self) -> std::io::Result<std::fs::File> {
        let path = self.store.root().join(format!("ingest/spool-{}-{}", std::process::id(), unique()));
        let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(file)
    }

    /// Held while an image gets its name: a collection sees its lease or its name.
    fn naming(&self) -> Result<Lock, Error> {
        Ok(Lock::shared(&self.lock)?)
    }

    /// Held while it is decided what no name needs any more, and that is removed.
    fn collecting(&self) -> Result<Lock, Error> {
        Ok(Lock::exclusive(&self.lock)?)
    }
}

/// Keeps blobs and chains from collection until an image has its name.
struct Leases {
    content: Lease,
    chains: Lease,
}

/// A number that no other call in this process gets.
fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
