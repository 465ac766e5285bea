//! Revisioned keys, transactions, watches and leases, with the semantics of etcd.
//!
//! Knows nothing of Kubernetes. [`Store`] is the trait that callers use, [`Machine`] the pure
//! core, [`Embedded`] the store on a log of its own, [`Etcd`] the one on a cluster. Format and promises: `docs/design/store.md`.

mod api;
mod embedded;
mod error;
mod etcd;
mod index;
mod lease;
mod machine;
mod migrate;
mod online;
mod record;
mod reply;
mod retention;
mod txn;
mod types;

pub use api::{Batch, Store, Watch, WatchRequest};
pub use embedded::{
    Change, Disk, Embedded, FAILPOINTS, Maintained, Options, Report, Storage, StorageFile, check, history,
    restore,
};
pub use error::Error;
pub use etcd::{Etcd, EtcdConfig};
pub use lease::LeaseInfo;
pub use machine::{Applied, Machine, Values};
pub use migrate::{Migrated, migrate};
pub use online::{Control, Online, SOCKET_NAME};
pub use record::Record;
pub use reply::BoxFuture;
pub use retention::Retention;
pub use txn::{
    Compare, Is, Op, OpResponse, Put, PutLease, RangeRequest, RangeResponse, TXN_BYTES_MAX, TXN_OPS_MAX,
    Target, Txn, TxnResponse, Want,
};
pub use types::{Event, EventKind, KeyRange, KeyValue, LeaseId, Place, Position, Revision};

/// The embedded store's directory in a server's data directory.
pub const DIRECTORY_NAME: &str = "store";
