//! What is done with containers, a file an operation.

mod attachments;
mod changes;
mod create;
mod exec;
mod fsck;
mod health;
mod inspect;
mod list;
mod logs;
mod networks;
mod outside;
mod ports;
mod prune;
mod reach;
mod reconcile;
mod remains;
mod remove;
mod resources;
mod restart;
mod sample;
mod settle;
mod signal;
mod start;
mod top;
mod update;
mod usage;

pub use create::ImageSource;
pub use exec::{ExecRequest, RunningExec};
pub use fsck::{Flaw, FlawKind, Fsck};
pub use inspect::{InspectOptions, exposed_ports};
pub use list::Listed;
pub use networks::Network;
pub use outside::host_ports;
pub use ports::ReachedPort;
pub use prune::{PruneFilter, Pruned};
pub use reach::{Attachment, Identity};
pub use reconcile::Reconciled;
pub use remove::RemoveOptions;
pub(crate) use resources::need_cgroups;
pub use restart::BroughtBack;
pub use sample::{NetCounters, Sample};
pub use start::{StartOptions, Started};
pub(crate) use start::{id_base, still_there};
pub use top::Top;
pub use update::ResourceUpdate;
pub(crate) use usage::allocated;
pub use usage::{DiskUsage, Part};

/// Where a crash must be survivable, beside those of the crates below.
pub const FAILPOINTS: &[&str] = &[
    "create.reserved",
    "create.named",
    "create.snapshot-prepared",
    "create.volumes-made",
    "record.staged",
    "create.recorded",
    "start.marked",
    "start.mounted",
    "start.bundle-written",
    "start.launched",
    "start.attached",
    "start.opened",
    "start.recorded",
    "settle.detached",
    "settle.recorded",
    "remove.marked",
    "remove.detached",
    "remove.snapshot-removed",
    "remove.volumes-removed",
    "remove.record-removed",
];

/// All of them, those of the crates below included.
pub fn all_failpoints() -> impl Iterator<Item = &'static str> {
    let below = [crate::images::FAILPOINTS, content::FAILPOINTS, snapshot::FAILPOINTS, attach::FAILPOINTS];
    FAILPOINTS.iter().chain(below.into_iter().flatten()).copied()
}
