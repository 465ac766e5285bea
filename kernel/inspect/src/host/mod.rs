//! What this host can do, found out by doing it.
//!
//! A kernel's version says nothing: features are configured out, modules are missing, and
//! whoever runs us may be forbidden what root elsewhere may. So each [`Feature`] is tried, in a
//! process of its own that is thrown away ([`trial`]), in namespaces and directories of its own.
//! What cannot be tried (limits, the clock, other people's firewall tables) is read.
//!
//! This is the only part of the crate that makes anything; all of it is gone when
//! [`HostFacts::gather`] returns. What a missing feature means is not said here.

mod cgroups;
mod features;
mod filesystems;
mod firewall;
mod limits;
mod network;
mod process;
mod rootless;
mod storage;
pub mod trial;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::lsm::AppArmorFacts;

pub use cgroups::{CgroupFacts, ControllerFacts};
pub use features::Feature;
pub use firewall::{FirewallFacts, TableFacts};
pub use limits::{ClockFacts, LimitFact};
pub use rootless::RootlessFacts;
pub use storage::StorageFacts;
pub use trial::Trial;

/// A feature and what came of trying it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Which.
    pub feature: Feature,
    /// What came of it.
    pub trial: Trial,
}

/// All that was found out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostFacts {
    /// `6.1.0-18-amd64`.
    pub kernel: String,
    /// `x86_64`.
    pub machine: String,
    /// Who asked.
    pub uid: u32,
    /// Whether that is root of a user namespace only.
    pub in_user_namespace: bool,
    /// Capabilities of this kernel that we lack, as `CAP_CHOWN`.
    pub missing_capabilities: Vec<String>,
    /// Features, each tried.
    pub tried: Vec<Tried>,
    /// Control groups.
    pub cgroups: CgroupFacts,
    /// Active security modules, in their order; none where securityfs is not mounted.
    pub security_modules: Option<Vec<String>>,
    /// AppArmor, where it is on.
    pub apparmor: Option<AppArmorFacts>,
    /// The firewall, ours and others'.
    pub firewall: FirewallFacts,
    /// Limits of this process and of the kernel.
    pub limits: Vec<LimitFact>,
    /// Time and randomness.
    pub clock: ClockFacts,
    /// Where images and containers are kept.
    pub storage: StorageFacts,
    /// What an ordinary user needs.
    pub rootless: RootlessFacts,
}

impl HostFacts {
    /// Finds everything out. The process must have one thread only: it forks.
    ///
    /// `data_root` need not be there yet; then its nearest parent that is there is tried.
    pub fn gather(data_root: &Path) -> Self {
        let kernel = crate::kernel::running().value;
        let storage = StorageFacts::of(data_root);
        Self {
            kernel: kernel.release,
            machine: kernel.machine,
            uid: sys::user::effective_uid(),
            in_user_namespace: process::in_user_namespace(),
            missing_capabilities: process::missing_capabilities(),
            tried: features::try_all(Path::new(&storage.tried_in)),
            cgroups: CgroupFacts::gather(),
            security_modules: crate::lsm::active().map(|active| active.value),
            apparmor: AppArmorFacts::gather(),
            firewall: FirewallFacts::gather(),
            limits: limits::all(),
            clock: ClockFacts::gather(),
            storage,
            rootless: RootlessFacts::gather(),
        }
    }

    /// What came of trying `feature`.
    pub fn trial(&self, feature: Feature) -> Option<&Trial> {
        self.tried.iter().find(|tried| tried.feature == feature).map(|tried| &tried.trial)
    }

    /// Whether `feature` was tried and works.
    pub fn works(&self, feature: Feature) -> bool {
        self.trial(feature).is_some_and(Trial::works)
    }
}
