//! Groups of the resource control file system: shares of cache and memory bandwidth
//! (config-linux.md, "IntelRdt"; the kernel's `arch/x86/resctrl.rst`).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base::{Classified, ErrorClass};
use serde::{Deserialize, Serialize};

use crate::plan::RdtPlan;

/// A group could not be had.
#[derive(Debug, thiserror::Error)]
pub enum RdtError {
    /// No such file system.
    #[error(
        "intelRdt is specified in config, but Intel RDT is not enabled: mount resctrl on /sys/fs/resctrl, or leave linux.intelRdt out"
    )]
    NotMounted,
    /// The hardware has no such resource.
    #[error(
        "intelRdt asks for {resource}, which this machine cannot share out: {} does not exist",
        path.display()
    )]
    NoResource {
        /// `L3`, `MB`.
        resource: String,
        /// Where it would be.
        path: PathBuf,
    },
    /// The class has to be there, and is not.
    #[error(
        "clos dir not accessible (must be pre-created when schemata, l3CacheSchema and memBwSchema are empty): {}",
        path.display()
    )]
    NoClos {
        /// Its directory.
        path: PathBuf,
    },
    /// The class is there, with other shares.
    #[error("intelRdt: class {} has other shares than {wanted:?}: change them, or choose another closID", path.display())]
    Mismatch {
        /// Its directory.
        path: PathBuf,
        /// The line.
        wanted: String,
    },
    /// The container has no group.
    #[error("updating a non-existent Intel RDT configuration is not supported")]
    NoGroup,
    /// A file could not be used.
    #[error("intelrdt: {what} {}{status}", path.display())]
    File {
        /// What was being done.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the kernel says to it.
        status: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Classified for RdtError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotMounted | Self::NoResource { .. } => ErrorClass::Unsupported,
            Self::NoClos { .. } => ErrorClass::NotFound,
            Self::Mismatch { .. } | Self::NoGroup => ErrorClass::Conflict,
            Self::File { source, .. } => source.class(),
        }
    }
}

/// The mounted file system.
#[derive(Clone, Debug)]
pub(crate) struct Resctrl {
    root: PathBuf,
}

/// A container's group, as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RdtGroup {
    root: PathBuf,
    dir: PathBuf,
    /// It is removed with the container.
    own: bool,
    monitoring: Option<PathBuf>,
}

impl Resctrl {
    /// Where this machine has it.
    pub(crate) fn find() -> Result<Self, RdtError> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        mounted_in(&mounts).map(Self::at).ok_or(RdtError::NotMounted)
    }

    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Which group a container gets; makes nothing.
    pub(crate) fn locate(&self, plan: &RdtPlan, id: &str) -> Result<RdtGroup, RdtError> {
        for resource in plan.schemata.iter().filter_map(|line| Some(line.split_once(':')?.0.trim())) {
            let path = self.root.join("info").join(resource);
            if matches!(resource, "L3" | "MB") && !path.is_dir() {
                return Err(RdtError::NoResource { resource: resource.to_owned(), path });
            }
        }
        let dir = match plan.clos.as_deref() {
            Some("/") => self.root.clone(),
            Some(name) => self.root.join(name),
            None => self.root.join(id),
        };
        let monitoring = plan.monitoring.then(|| dir.join("mon_groups").join(id));
        let exists = dir.is_dir();
        if plan.clos.is_some() && plan.schemata.is_empty() && !exists {
            return Err(RdtError::NoClos { path: dir });
        }
        if plan.clos.is_some() && exists {
            compare(&dir, &plan.schemata)?;
        }
        Ok(RdtGroup { root: self.root.clone(), own: plan.clos.is_none() && !exists, dir, monitoring })
    }
}

impl RdtGroup {
    /// Makes what is missing of it, and puts the process into it. What fails leaves [`Self::remove`]
    /// to undo it.
    pub(crate) fn enter(&self, plan: &RdtPlan, pid: i32) -> Result<(), RdtError> {
        self.make(&self.dir)?;
        self.share(&plan.schemata)?;
        if let Some(monitoring) = &self.monitoring {
            self.make(monitoring)?;
        }
        self.join(pid)
    }

    /// Puts a process into it.
    pub(crate) fn join(&self, pid: i32) -> Result<(), RdtError> {
        for dir in std::iter::once(&self.dir).chain(&self.monitoring) {
            self.write("add the process to", &dir.join("tasks"), &pid.to_string())?;
        }
        Ok(())
    }

    /// Writes lines of its shares.
    pub(crate) fn share(&self, schemata: &[String]) -> Result<(), RdtError> {
        if schemata.is_empty() {
            return Ok(());
        }
        let text: String = schemata.iter().map(|line| format!("{line}\n")).collect();
        self.write("write the shares to", &self.dir.join("schemata"), &text)
    }

    /// Its shares, as the kernel has them.
    pub fn shares(&self) -> String {
        fs::read_to_string(self.dir.join("schemata")).unwrap_or_default()
    }

    /// Removes what was made for the container.
    pub(crate) fn remove(&self) -> Result<(), RdtError> {
        let gone = |path: &Path| match fs::remove_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("remove the group", path)(error))
            }
            _ => Ok(()),
        };
        // Its monitoring group goes with the class.
        match &self.monitoring {
            _ if self.own => gone(&self.dir),
            Some(monitoring) => gone(monitoring),
            None => Ok(()),
        }
    }

    fn make(&self, dir: &Path) -> Result<(), RdtError> {
        match fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(self.failed("make the group", dir)(error))
            }
            _ => Ok(()),
        }
    }

    /// One write: the kernel takes each as a whole.
    fn write(&self, what: &'static str, path: &Path, text: &str) -> Result<(), RdtError> {
        let file = fs::OpenOptions::new().write(true).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(self.failed(what, path))
    }

    fn failed(&self, what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RdtError {
        let status = fs::read_to_string(self.root.join("info/last_cmd_status")).unwrap_or_default();
        let status = match status.trim() {
            "" | "ok" => String::new(),
            said => format!(", last_cmd_status: {said}"),
        };
        let path = path.to_owned();
        move |source| RdtError::File { what, path, status, source }
    }
}

/// A class that is there must have the shares that are asked for.
fn compare(dir: &Path, wanted: &[String]) -> Result<(), RdtError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let text = fs::read_to_string(dir.join("schemata")).unwrap_or_default();
    let there: BTreeMap<_, _> =
        text.lines().filter_map(Shares::parse).map(|s| (s.resource, s.values)).collect();
    for line in wanted {
        let same = Shares::parse(line).is_some_and(|asked| {
            there.get(asked.resource).is_some_and(|have| {
                asked.values.iter().all(|(domain, value)| have.get(domain) == Some(value))
            })
        });
        if !same {
            return Err(RdtError::Mismatch { path: dir.to_owned(), wanted: line.clone() });
        }
    }
    Ok(())
}

/// A line of `schemata`: leading zeros and the order of domains mean nothing.
struct Shares<'a> {
    resource: &'a str,
    values: BTreeMap<&'a str, &'a str>,
}

impl<'a> Shares<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        fn bare(number: &str) -> &str {
            match number.trim().trim_start_matches('0') {
                "" => "0",
                number => number,
            }
        }
        let (resource, rest) = line.split_once(':')?;
        let value = |part: &'a str| part.split_once('=').map(|(domain, value)| (bare(domain), bare(value)));
        let values = rest.trim().split(';').map(value).collect::<Option<_>>()?;
        Some(Self { resource: resource.trim(), values })
    }
}

/// The mount point in the text of `/proc/self/mountinfo`.
fn mounted_in(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        (right.split(' ').next() == Some("resctrl")).then(|| left.split(' ').nth(4).map(PathBuf::from))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::TempDir;

    /// A directory that stands for the file system: the kernel's files are made by hand.
    fn resctrl() -> (TempDir, Resctrl) {
        let dir = TempDir::new();
        for group in ["", "gold", "info", "info/L3", "gold/mon_groups"] {
            fs::create_dir_all(dir.join(group)).unwrap();
        }
        for group in ["", "gold"] {
            fs::write(dir.join(group).join("tasks"), "").unwrap();
            fs::write(dir.join(group).join("schemata"), "    L3:0=00ff;1=c0\n    L2:0=f\n").unwrap();
        }
        fs::write(dir.join("info/last_cmd_status"), "ok\n").unwrap();
        let resctrl = Resctrl::at(dir.path().to_owned());
        (dir, resctrl)
    }

    fn plan(clos: Option<&str>, schemata: &[&str], monitoring: bool) -> RdtPlan {
        let schemata = schemata.iter().map(|line| (*line).to_owned()).collect();
        RdtPlan { clos: clos.map(str::to_owned), schemata, monitoring }
    }

    fn read(dir: &TempDir, path: &str) -> String {
        fs::read_to_string(dir.join(path)).unwrap()
    }

    /// What the kernel does at once.
    fn fill(dir: &Path) {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join("tasks"), "").unwrap();
        fs::write(dir.join("schemata"), "").unwrap();
    }

    #[test]
    fn a_class_of_its_own_is_made_filled_and_removed() {
        let (dir, resctrl) = resctrl();
        let plan = plan(None, &["L3:0=7f", "L2:0=1"], false);
        let group = resctrl.locate(&plan, "web").unwrap();
        assert!(group.own && !dir.join("web").exists(), "nothing is made before it is recorded");
        fill(&dir.join("web"));
        group.enter(&plan, 42).unwrap();
        assert_eq!(read(&dir, "web/schemata"), "L3:0=7f\nL2:0=1\n");
        assert_eq!(read(&dir, "web/tasks"), "42");
        for file in ["tasks", "schemata"] {
            fs::remove_file(dir.join("web").join(file)).unwrap();
        }
        group.remove().unwrap();
        assert!(!dir.join("web").exists());
        group.remove().unwrap();
    }

    #[test]
    fn a_named_class_stays_and_must_agree() {
        let (dir, resctrl) = resctrl();
        let agreed = plan(Some("gold"), &["L3:1=0c0;00=ff"], true);
        let group = resctrl.locate(&agreed, "web").unwrap();
        assert!(!group.own);
        fill(&dir.join("gold/mon_groups/web"));
        group.enter(&agreed, 7).unwrap();
        assert_eq!(
            (read(&dir, "gold/tasks"), read(&dir, "gold/mon_groups/web/tasks")),
            ("7".into(), "7".into())
        );
        for file in ["tasks", "schemata"] {
            fs::remove_file(dir.join("gold/mon_groups/web").join(file)).unwrap();
        }
        group.remove().unwrap();
        assert!(dir.join("gold").is_dir() && !dir.join("gold/mon_groups/web").exists());
        let other = resctrl.locate(&plan(Some("gold"), &["L3:0=1"], false), "web");
        assert!(matches!(other, Err(RdtError::Mismatch { .. })), "{other:?}");
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let (dir, resctrl) = resctrl();
        let missing = resctrl.locate(&plan(Some("silver"), &[], false), "web");
        assert!(matches!(missing, Err(RdtError::NoClos { .. })), "{missing:?}");
        let bandwidth = resctrl.locate(&plan(None, &["MB:0=10"], false), "web");
        assert!(matches!(bandwidth, Err(RdtError::NoResource { .. })), "{bandwidth:?}");
        let root = resctrl.locate(&plan(Some("/"), &[], false), "web").unwrap();
        assert_eq!(root.dir, dir.path());
        // What the kernel says of a refusal is told.
        fs::write(dir.join("info/last_cmd_status"), "out of CLOSIDs\n").unwrap();
        fs::remove_file(dir.join("tasks")).unwrap();
        let error = root.join(1).unwrap_err().to_string();
        assert!(error.ends_with("last_cmd_status: out of CLOSIDs"), "{error}");
    }

    #[test]
    fn the_mount_is_found_wherever_it_is() {
        let line = "36 35 0:30 / /mnt/rdt rw,relatime - resctrl resctrl rw";
        assert_eq!(
            mounted_in(&format!("1 2 0:3 / / rw - ext4 /dev/x rw\n{line}\n")),
            Some("/mnt/rdt".into())
        );
        assert_eq!(mounted_in("1 2 0:3 / / rw - ext4 resctrl rw\n"), None);
    }
}
