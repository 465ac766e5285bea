//! Layers and what containers see of them: unpacking into overlayfs diffs, snapshots,
//! detached mounts, and the way back from a writable layer to a tar archive.
//!
//! ```text
//! <root>/lock               flock: shared by prepare and stage, exclusive by commit and prune
//! <root>/layers/<n>/fs          the diff of one layer, as overlayfs wants it
//! <root>/chains/<hex>.json      chainID -> parent chain, diffID, layer number, sizes
//! <root>/staging/<n>/           layers and snapshots being made; flocked by their maker
//! <root>/active/<key>/          fs (upper), work, snapshot.json
//! <root>/projects               flock: who chooses a quota project for a limited snapshot
//! <root>/leases/, unsynced/     as in the content store
//! <root>/trash/<n>              what is to be deleted: a rename is all that waits
//! ```
//!
//! A layer is unpacked without its parent ([`Snapshots::stage`]), so all layers of an
//! image can be unpacked at the same time; [`Snapshots::commit`] then goes bottom up,
//! and corrects what depends on the parent: the metadata of directories that the layer
//! did not list, hard links to files of lower layers, whiteouts of what was never there.
//!
//! Below a root file system there are only descriptors; a mount is never attached in
//! the caller's mount namespace. The crate makes no thread and prints nothing.

mod active;
mod apply;
mod chain;
mod changes;
mod commit;
mod diff;
mod error;
mod examine;
mod files;
mod finalize;
mod idmap;
mod limited;
mod limits;
mod mount;
mod overlay;
mod part;
mod path;
mod prune;
mod recover;
mod stage;
mod store;
mod stream;
mod tree;
mod upper;

pub use active::{Active, Kind};
pub use chain::LayerInfo;
pub use changes::{Change, ChangeKind};
pub use diff::{DiffSummary, entry_kind};
pub use error::{ApplyError, EntryError, Error, Refusal};
pub use examine::Flaw;
pub use idmap::{IdMap, IdRange};
pub use limited::Limit;
pub use limits::Limits;
pub use mount::MountOptions;
pub use part::{Part, part_of};
pub use prune::{Pruned, Usage, mark};
pub use stage::{LayerSpec, Staged};
pub use store::Snapshots;
pub use stream::{DiffStream, Hashing, LayerReader, open_layer};
pub use upper::{UpperFile, UpperReport};

/// Where a crash must be survivable (see `base::failpoint`).
pub const FAILPOINTS: &[&str] = &[
    "snapshot.stage-created",
    "snapshot.stage-entry",
    "snapshot.staged",
    "snapshot.finalized",
    "snapshot.layer-renamed",
    "snapshot.chain-recorded",
    "snapshot.active-staged",
    "snapshot.active-prepared",
    "snapshot.removed",
    "snapshot.trash-half",
    "snapshot.prune-record-removed",
    "snapshot.prune-layer-removed",
];
