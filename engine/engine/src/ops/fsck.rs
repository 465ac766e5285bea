//! What crashes, full disks and strangers' hands have left: found, and on request removed.
//!
//! ```text
//! look at everything → flaws → (repair: one by one) → look again, until nothing new is found
//! ```
//!
//! Looking changes nothing. Repairing goes flaw by flaw, each checked once more under its own
//! lock, so that nothing else is touched: what is being made or removed at the moment is
//! locked by who does it and is no flaw. Removing one thing may leave another without an owner
//! (a damaged blob's image), hence the rounds.

mod books;
mod helpers;
mod kernel;
mod stores;

use std::collections::BTreeSet;

use base::ContainerId;

use crate::engine::Engine;
use crate::error::{Error, chain};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// What kind of thing.
    pub kind: FlawKind,
    /// Which: an id, a name, a path.
    pub object: String,
    /// A sentence for people.
    pub detail: String,
    /// What became of it; none when repair was not asked for.
    pub repaired: Option<Result<(), String>>,
    cure: Cure,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fsck {
    /// In the order in which they were found.
    pub flaws: Vec<Flaw>,
}

impl Fsck {
    /// Whether nothing is wrong any more.
    pub fn is_clean(&self) -> bool {
        self.flaws.iter().all(|flaw| flaw.repaired == Some(Ok(())))
    }
}

/// How a flaw is repaired.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cure {
    Content(content::Flaw),
    Snapshot(snapshot::Flaw),
    Network,
    Pod(std::path::PathBuf, ContainerId),
    Companion,
    Container(ContainerId, OfContainer),
    Names,
    State(String),
    Runtime(ContainerId),
    Volume(String),
    VolumeRecord(String),
    File(std::path::PathBuf),
    Cgroup(std::path::PathBuf),
    Mount(std::path::PathBuf),
    /// Not by us.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfContainer {
    Unfinished,
    Removing,
    Behind,
    Stale,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What kind of thing is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum FlawKind {
            $($(#[$doc])* $kind,)*
        }

        impl FlawKind {
            /// All.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The stable name for programs.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    /// A blob has another content than its name says.
    BlobDamaged = "blob-damaged",
    /// An image's content is not there.
    BlobMissing = "blob-missing",
    /// A blob that no image needs.
    BlobUnreferenced = "blob-unreferenced",
    /// Labels of a blob that is not there.
    LabelsWithoutBlob = "labels-without-blob",
    /// Content that somebody began to fetch.
    IngestAbandoned = "ingest-abandoned",
    /// A lease whose holder is gone.
    LeaseExpired = "lease-expired",
    /// A file that was being written.
    TemporaryFile = "temporary-file",
    /// A layer that was being unpacked.
    StagingAbandoned = "staging-abandoned",
    /// A chain without its layer.
    ChainBroken = "chain-broken",
    /// A layer that no chain names.
    LayerWithoutChain = "layer-without-chain",
    /// A layer that nothing needs.
    LayerUnneeded = "layer-unneeded",
    /// What was removed and not yet deleted.
    TrashLeft = "trash-left",
    /// Upper and work directories that are no snapshot.
    SnapshotDamaged = "snapshot-damaged",
    /// A writable layer without a container.
    SnapshotWithoutContainer = "snapshot-without-container",
    /// A container whose creation was cut off.
    ContainerUnfinished = "container-unfinished",
    /// A container whose removal was cut off.
    ContainerRemoving = "container-removing",
    /// A record that cannot be read.
    ContainerDamaged = "container-damaged",
    /// A container whose supervisor, or whose end, nobody saw.
    ContainerUnwatched = "container-unwatched",
    /// A name of a container that is not there.
    NameWithoutContainer = "name-without-container",
    /// A state directory of a container that is not there.
    StateWithoutContainer = "state-without-container",
    /// Sockets and files of a supervisor that is gone, of a container that has ended.
    StateStale = "state-stale",
    /// The runtime's record of a container that is not there.
    RuntimeWithoutContainer = "runtime-without-container",
    /// A log in the directory of another container.
    LogStray = "log-stray",
    /// A volume's record without its files.
    VolumeWithoutData = "volume-without-data",
    /// A volume's files without a record.
    VolumeWithoutRecord = "volume-without-record",
    /// A container names a volume that is not there.
    VolumeMissing = "volume-missing",
    /// Address and ports of a container that is not there.
    AddressWithoutContainer = "address-without-container",
    /// A cable to nobody.
    LinkWithoutContainer = "link-without-container",
    /// Our nftables table is not as we left it.
    RulesChanged = "rules-changed",
    /// A network's record of a container that has no network.
    AttachmentWithoutAddress = "attachment-without-address",
    /// What CNI plugins made for a container that is not there.
    PluginsWithoutContainer = "plugins-without-container",
    /// A network namespace that is kept for no plugin's sake.
    NamespacePinned = "namespace-pinned",
    /// The address of a pod that is not there.
    PodWithoutSandbox = "pod-without-sandbox",
    /// Nobody answers for names and watches over published ports, though containers need it.
    CompanionMissing = "companion-missing",
    /// The socket of a companion that was killed.
    CompanionStale = "companion-stale",
    /// Nothing leads in or out of an ordinary user's network, though containers run.
    UserNetworkEnded = "user-network-ended",
    /// A control group of a container that is not there.
    CgroupWithoutContainer = "cgroup-without-container",
    /// A mount at a place of a container that is not there.
    MountDead = "mount-dead",
}

impl Engine {
    /// Looks for everything that is wrong or belongs to nobody; with `repair` it is put right.
    /// Running containers are not disturbed.
    pub fn fsck(&self, repair: bool) -> Result<Fsck, Error> {
        let mut report = Fsck { flaws: self.flaws()? };
        if !repair {
            return Ok(report);
        }
        let mut seen: BTreeSet<(FlawKind, String)> = BTreeSet::new();
        let mut round = std::mem::take(&mut report.flaws);
        for _ in 0..ROUNDS_MAX {
            for flaw in &mut round {
                flaw.repaired = Some(self.cure(&flaw.cure).map_err(|error| chain(&error)));
                seen.insert((flaw.kind, flaw.object.clone()));
            }
            report.flaws.append(&mut round);
            round = self.flaws()?;
            for flaw in &mut report.flaws {
                let still = round.iter().any(|new| new.kind == flaw.kind && new.object == flaw.object);
                if still && flaw.repaired == Some(Ok(())) {
                    flaw.repaired = Some(Err(flaw.remedy()));
                }
            }
            round.retain(|flaw| !seen.contains(&(flaw.kind, flaw.object.clone())));
            if round.is_empty() {
                break;
            }
        }
        report.flaws.append(&mut round);
        Ok(report)
    }

    fn flaws(&self) -> Result<Vec<Flaw>, Error> {
        let mut flaws = Vec::new();
        // First: nothing can be removed from under a mount.
        self.examine_mounts(&mut flaws);
        self.examine_containers(&mut flaws)?;
        self.examine_states(&mut flaws);
        self.examine_volumes(&mut flaws)?;
        self.examine_content(&mut flaws)?;
        self.examine_snapshots(&mut flaws)?;
        self.examine_networks(&mut flaws)?;
        self.examine_pods(&mut flaws)?;
        self.examine_companion(&mut flaws)?;
        self.examine_user_network(&mut flaws)?;
        self.examine_cgroups(&mut flaws);
        Ok(flaws)
    }

    fn cure(&self, cure: &Cure) -> Result<(), Error> {
        match cure {
            Cure::Content(flaw) => self.mend_content(flaw),
            Cure::Snapshot(flaw) => self.mend_snapshot(flaw),
            Cure::Network => {
                let networks = self.networks()?;
                networks.reconcile(|id| self.holds_network(id)).map_err(Error::network("store")).map(drop)
            }
            Cure::Pod(state, id) => match self.holds_network(id) {
                true => Ok(()),
                false => attach::forget_in(state, id).map_err(Error::network(id.short())),
            },
            Cure::Companion => self.remind_warden().map(drop),
            Cure::Container(id, what) => self.mend_container(id, *what),
            Cure::Names => Ok(self.containers().remove_stale_names()?),
            Cure::State(name) => self.remove_state(name),
            Cure::Runtime(id) => self.remove_remains(id),
            Cure::Volume(name) => self.remove_half_volume(name),
            Cure::VolumeRecord(name) => self.write_volume_record(name),
            Cure::File(path) => remove_file(path),
            Cure::Cgroup(path) => kernel::remove_cgroup(path),
            Cure::Mount(path) => kernel::unmount(path),
            Cure::None => Ok(()),
        }
    }
}

impl Flaw {
    fn new(kind: FlawKind, object: impl Into<String>, detail: impl Into<String>, cure: Cure) -> Self {
        Self { kind, object: object.into(), detail: detail.into(), repaired: None, cure }
    }

    /// What somebody must do where we do not.
    fn remedy(&self) -> String {
        match self.kind {
            FlawKind::ContainerDamaged => format!("`strake rm -f {}` removes the container", self.object),
            FlawKind::VolumeMissing => "remove the container, or make the volume anew".to_owned(),
            FlawKind::CgroupWithoutContainer => "there are processes in it: end them and repeat".to_owned(),
            FlawKind::PluginsWithoutContainer => {
                "its plugins cannot undo it: `strake system reconcile` says why".to_owned()
            }
            FlawKind::UserNetworkEnded => "`strake restart` of any container starts it again".to_owned(),
            FlawKind::RuntimeWithoutContainer => "its process lives: end it and repeat".to_owned(),
            _ => "it is still there".to_owned(),
        }
    }
}

fn remove_file(path: &std::path::Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", path)(error)),
        _ => Ok(()),
    }
}

/// What a repair leaves without an owner is found by the next round.
const ROUNDS_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_distinct_names() {
        let names: BTreeSet<&str> = FlawKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), FlawKind::ALL.len());
    }
}
