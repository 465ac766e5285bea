//! Mounts and their options (OCI runtime-spec `config.md`, "Mounts" and "Linux mount options").

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::Mount;
use sys::idmap::IdMaps;
use sys::mount::{Propagation, attr};

use super::SpecError;
use super::namespaces::ranges;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPlan {
    /// Where, in the container.
    pub destination: PathBuf,
    /// What.
    pub kind: MountKind,
    /// Whether options name any attribute of this mount: then it has those and no others.
    pub named: bool,
    /// Attributes of this mount to set.
    pub set: u64,
    /// And to clear.
    pub clear: u64,
    /// Attributes of this mount and all below (`rro`, `rnosuid` …) to set.
    pub set_all: u64,
    /// And to clear.
    pub clear_all: u64,
    /// Propagation, in the order given; with `true` for all mounts below.
    pub propagation: Vec<(Propagation, bool)>,
    /// Owners are mapped.
    pub idmap: Option<IdmapPlan>,
}

/// How owners are mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdmapPlan {
    /// The map; `None` is that of the user namespace that is joined.
    pub maps: Option<IdMaps>,
    /// Also for the mounts below.
    pub recursive: bool,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// A file or directory of the host.
    Bind {
        /// Which.
        source: PathBuf,
        /// With the mounts below it.
        recursive: bool,
    },
    /// The cgroups that the container is in, whatever their version.
    Cgroup,
    /// A new file system.
    Filesystem {
        /// `proc`, `tmpfs`, `overlay` …
        kind: String,
        /// Its source, as the mount table shows it.
        source: String,
        /// Its options.
        options: Vec<FsOption>,
        /// What the image has at the destination is copied into it (`tmpcopyup`).
        copy_up: bool,
    },
}

/// An option for the file system itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FsOption {
    /// A word.
    Flag(String),
    /// A key with a value.
    Value(String, String),
}

pub(super) fn mounts(
    mounts: &[Mount],
    root: &Path,
    container_maps: (Option<&IdMaps>, bool),
    warnings: &mut Vec<String>,
) -> Result<Vec<MountPlan>, SpecError> {
    mounts.iter().map(|mount| one(mount, root, container_maps, warnings)).collect()
}

/// Gives new file systems the label of `linux.mountLabel`, where their options name none.
pub(super) fn label(mounts: &mut [MountPlan], label: &str) {
    for mount in mounts {
        let MountKind::Filesystem { kind, options, .. } = &mut mount.kind else { continue };
        let named = |option: &FsOption| matches!(option, FsOption::Value(key, _) if key.ends_with("context"));
        if !LABELLED_BY_POLICY.contains(&kind.as_str()) && !options.iter().any(named) {
            options.push(FsOption::Value("context".to_owned(), label.to_owned()));
        }
    }
}

/// Kinds whose labels are the policy's alone.
const LABELLED_BY_POLICY: &[&str] = &["proc", "sysfs", "mqueue"];

fn one(
    mount: &Mount,
    root: &Path,
    container_maps: (Option<&IdMaps>, bool),
    warnings: &mut Vec<String>,
) -> Result<MountPlan, SpecError> {
    let destination = destination(mount.destination(), root, warnings)?;
    let mut options = Options::default();
    for option in mount.options().as_deref().unwrap_or_default() {
        options.take(option);
    }
    let given = mount.typ().as_deref().unwrap_or("");
    let is_bind = options.bind.is_some() || given == "bind";
    let source = mount.source().clone().unwrap_or_default();
    let kind = if is_bind {
        if source.as_os_str().is_empty() {
            return Err(SpecError::invalid("mounts source", "", "a bind mount needs a source"));
        }
        warn_of_ignored(&options, &destination, warnings);
        MountKind::Bind { source, recursive: options.bind.unwrap_or(false) }
    } else if given == "cgroup" || given == "cgroup2" {
        MountKind::Cgroup
    } else if given.is_empty() {
        let hint = "give each mount a type, or the option bind";
        return Err(SpecError::invalid("mounts type of", destination.display(), hint));
    } else {
        MountKind::Filesystem {
            kind: given.to_owned(),
            source: if source.as_os_str().is_empty() {
                given.to_owned()
            } else {
                source.display().to_string()
            },
            options: std::mem::take(&mut options.filesystem),
            copy_up: options.copy_up,
        }
    };
    let idmap = idmap(mount, &options, is_bind, container_maps)?;
    Ok(MountPlan {
        destination,
        kind,
        named: options.named,
        set: options.set,
        clear: options.clear,
        set_all: options.set_all,
        clear_all: options.clear_all,
        propagation: options.propagation,
        idmap,
    })
}

/// Absolute and clean. Older bundles have relative ones: they count from the root. Some write the
/// host's path of what lies in the root: its part inside is meant.
fn destination(raw: &Path, root: &Path, warnings: &mut Vec<String>) -> Result<PathBuf, SpecError> {
    let invalid =
        || SpecError::invalid("mounts destination", raw.display(), "use an absolute path in the container");
    if raw.as_os_str().is_empty() {
        return Err(invalid());
    }
    if !raw.is_absolute() {
        warnings.push(format!("mount destination {} is not absolute: taken from the root", raw.display()));
    }
    let mut clean = PathBuf::from("/");
    for part in raw.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    if root != Path::new("/")
        && let Ok(inside) = clean.strip_prefix(root)
    {
        clean = Path::new("/").join(inside);
    }
    if clean == Path::new("/") { Err(invalid()) } else { Ok(clean) }
}

fn warn_of_ignored(options: &Options, destination: &Path, warnings: &mut Vec<String>) {
    for option in &options.filesystem {
        let word = match option {
            FsOption::Flag(word) | FsOption::Value(word, _) => word,
        };
        warnings.push(format!(
            "option {word} means nothing for the bind mount on {}: left out",
            destination.display()
        ));
    }
}

fn idmap(
    mount: &Mount,
    options: &Options,
    is_bind: bool,
    (container_maps, joins_user): (Option<&IdMaps>, bool),
) -> Result<Option<IdmapPlan>, SpecError> {
    let uids = ranges("mounts uidMappings", mount.uid_mappings().as_deref())?;
    let gids = ranges("mounts gidMappings", mount.gid_mappings().as_deref())?;
    let given = !uids.is_empty() || !gids.is_empty();
    if !given && options.idmap.is_none() {
        return Ok(None);
    }
    if !is_bind {
        return Err(SpecError::Conflict {
            what: format!("an idmapped mount on {}", mount.destination().display()),
            hint: "only bind mounts can be idmapped",
        });
    }
    if uids.is_empty() != gids.is_empty() {
        return Err(SpecError::Missing { field: "uidMappings or gidMappings of a mount", hint: "give both" });
    }
    let maps = match (given, container_maps) {
        (true, _) => Some(IdMaps { uids, gids }),
        (false, Some(maps)) => Some(maps.clone()),
        (false, None) if joins_user => None,
        (false, None) => {
            return Err(SpecError::Conflict {
                what: format!("an idmapped mount on {}", mount.destination().display()),
                hint: "neither the mount nor linux has id mappings: give uidMappings and gidMappings",
            });
        }
    };
    Ok(Some(IdmapPlan { maps, recursive: options.idmap.unwrap_or(false) }))
}

/// Whether a bind of the host or a filled filesystem takes the place of `/dev`, so that
/// nothing may be made there.
pub(super) fn brings_own_dev(mounts: &[MountPlan]) -> bool {
    let last = mounts.iter().rev().find(|mount| mount.destination == Path::new("/dev"));
    last.is_some_and(|mount| matches!(mount.kind, MountKind::Bind { .. }))
}

#[derive(Default)]
struct Options {
    bind: Option<bool>,
    named: bool,
    set: u64,
    clear: u64,
    set_all: u64,
    clear_all: u64,
    propagation: Vec<(Propagation, bool)>,
    idmap: Option<bool>,
    copy_up: bool,
    filesystem: Vec<FsOption>,
}

impl Options {
    /// Later options win over earlier ones, as in mount(8).
    fn take(&mut self, option: &str) {
        match option {
            "" | "defaults" | "remount" => {}
            "bind" => self.bind = Some(self.bind.unwrap_or(false)),
            "rbind" => self.bind = Some(true),
            "idmap" => self.idmap = Some(self.idmap.unwrap_or(false)),
            "ridmap" => self.idmap = Some(true),
            "tmpcopyup" => self.copy_up = true,
            // As mount(8): not naming a mode of access times is what leaves the source's.
            "atime" | "norelatime" | "nostrictatime" | "diratime" => self.named = true,
            _ => {
                if let Some(propagation) = propagation(option) {
                    self.propagation.push(propagation);
                } else if let Some((set, clear)) = attribute(option) {
                    self.named = true;
                    (self.set, self.clear) = (self.set & !clear | set, self.clear & !set | clear);
                } else if let Some((set, clear)) = option.strip_prefix('r').and_then(attribute) {
                    (self.set_all, self.clear_all) =
                        (self.set_all & !clear | set, self.clear_all & !set | clear);
                } else {
                    self.filesystem.push(match option.split_once('=') {
                        Some((key, value)) => FsOption::Value(key.to_owned(), value.to_owned()),
                        None => FsOption::Flag(option.to_owned()),
                    });
                }
            }
        }
    }
}

/// The bits that an option sets and clears.
fn attribute(option: &str) -> Option<(u64, u64)> {
    Some(match option {
        "ro" => (attr::RDONLY, 0),
        "rw" => (0, attr::RDONLY),
        "nosuid" => (attr::NOSUID, 0),
        "suid" => (0, attr::NOSUID),
        "nodev" => (attr::NODEV, 0),
        "dev" => (0, attr::NODEV),
        "noexec" => (attr::NOEXEC, 0),
        "exec" => (0, attr::NOEXEC),
        "nosymfollow" => (attr::NOSYMFOLLOW, 0),
        "symfollow" => (0, attr::NOSYMFOLLOW),
        "nodiratime" => (attr::NODIRATIME, 0),
        "diratime" => (0, attr::NODIRATIME),
        // The atime modes are one field: choosing one clears the others.
        "noatime" => (attr::NOATIME, attr::ATIME & !attr::NOATIME),
        "strictatime" => (attr::STRICTATIME, attr::ATIME & !attr::STRICTATIME),
        "relatime" | "atime" | "norelatime" | "nostrictatime" => (0, attr::ATIME),
        _ => return None,
    })
}

/// `private`, `rslave` and the like; the flag says: all mounts below, too.
pub(super) fn propagation(word: &str) -> Option<(Propagation, bool)> {
    Some(match word {
        "private" => (Propagation::Private, false),
        "rprivate" => (Propagation::Private, true),
        "slave" => (Propagation::Slave, false),
        "rslave" => (Propagation::Slave, true),
        "shared" => (Propagation::Shared, false),
        "rshared" => (Propagation::Shared, true),
        "unbindable" => (Propagation::Unbindable, false),
        "runbindable" => (Propagation::Unbindable, true),
        _ => return None,
    })
}

/// The words that [`Options`] knows, for `features`.
pub(crate) const OPTION_WORDS: &[&str] = &[
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "idmap",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "remount",
    "rexec",
    "ridmap",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "symfollow",
    "sync",
    "tmpcopyup",
    "unbindable",
];
