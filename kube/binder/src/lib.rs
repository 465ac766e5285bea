//! The scheduler's hands: it watches the cluster, has the pure `scheduler` decide, and carries that out.
//!
//! ```text
//! Mirror ──changes──▶ World (snapshot, selectors, budgets) ──▶ Queue ──▶ schedule ─▶ assume ─▶ volumes ─▶ bind
//!                                                                │          └▶ preempt ─▶ evict, nominate
//!                                                                └── what happened wakes whom it may help
//! ```
//!
//! [`World`] is what is known of the cluster, kept up change by change; it does no I/O and also answers
//! `why pending` and `capacity`. [`run`] is the shell around it: one task owns the world and the queue, and calls
//! of the API are jobs beside it, many at a time. A decision is assumed at once, so that the next pod sees it; a
//! binding that the API refuses is taken back. All state can be rebuilt from the API: nothing is written down, and
//! a restart goes on where the API says that it is.
//!
//! Words of conditions and events are those of the upstream scheduler: clients compare them.

mod act;
mod lead;
mod pods;
mod run;
mod tell;
mod volumes;
mod world;

use std::sync::Arc;

use client::{Api, Mirror};
use controller::{Clock, Election};
use kube_object::resource::GroupVersionResource;

pub use run::run;
pub use world::{Kind, Missing, World, look};

/// What the binder works with.
pub struct Config {
    /// The API as the scheduler may use it.
    pub api: Arc<dyn Api>,
    /// What it sees: at least [`resources`].
    pub mirror: Arc<dyn Mirror>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The `schedulerName`s that it answers to.
    pub names: Vec<String>,
    /// What it calls itself in events, such as the host's name.
    pub instance: String,
    /// How it gets to act beside others; alone it acts at once.
    pub election: Option<Election>,
}

/// The resources that the binder watches.
pub fn resources() -> Vec<GroupVersionResource> {
    Kind::ALL.into_iter().map(|kind| kind.resource().clone()).collect()
}

/// The scheduler of pods that name none.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";
