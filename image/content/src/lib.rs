//! Content by digest: blobs, image names, labels and leases as files under one
//! directory; garbage collection, check and repair.
//!
//! ```text
//! <root>/lock              flock: shared by every change, exclusive for collection and repair
//! <root>/blobs/sha256/<hex>    committed content, read-only, verified before it got its name
//! <root>/ingest/<key>          content on its way in; flocked by its writer, resumable after it
//! <root>/names/<hex>.json      image name -> descriptor
//! <root>/labels/<alg>-<hex>.json   labels of a blob
//! <root>/leases/<id>           digests that must stay, one a line; flocked while held
//! <root>/unsynced/<alg>-<hex>  committed, but the disk may not have it yet (see [`Journal`])
//! ```
//!
//! There is no database: a file appears under its final name by `rename(2)` only when
//! it is complete, so a process killed anywhere leaves either the old state or the new
//! one, plus litter that [`Store::recover`] and [`Store::gc`] clear away. A crash of
//! the machine is covered by the journal.
//!
//! This crate knows no network and no tar; it prints nothing and reads no environment.

mod error;
mod examine;
mod files;
mod gc;
mod ingest;
mod journal;
mod label;
mod lease;
mod lock;
mod name;
mod store;

pub use error::Error;
pub use examine::Flaw;
pub use files::unique;
pub use gc::{Collected, mark, references};
pub use ingest::{Expected, Ingest, Writer};
pub use journal::{Journal, Pending, boot_id};
pub use label::Labels;
pub use lease::{Lease, LeaseInfo, LeaseKind, Leases};
pub use lock::Lock;
pub use name::ImageName;
pub use store::{Blob, Store, Usage};

/// Where a crash must be survivable (see `base::failpoint`).
pub const FAILPOINTS: &[&str] = &[
    "content.ingest-opened",
    "content.ingest-written",
    "content.ingest-verified",
    "content.blob-committed",
    "content.lease-created",
    "content.lease-added",
    "content.name-staged",
    "content.name-synced",
    "content.name-set",
    "content.name-removed",
    "content.gc-marked",
    "content.gc-swept-one",
    "content.mend-removed-one",
];
