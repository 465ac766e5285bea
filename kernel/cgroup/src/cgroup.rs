//! A cgroup: one path in every hierarchy. Where it is, making it, and moving into it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::layout::{Layout, own_path};
use crate::path::CgroupPath;
use crate::setting::Place;

/// A cgroup's directories. It is plain data: made with the layout of now, kept with a
/// container's state, and used by later processes as it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// Its path from the mount points, as asked for. In messages.
    path: String,
    /// Its directory in each v1 hierarchy.
    v1: Vec<V1Dir>,
    /// Its directory in v2.
    v2: Option<V2Dir>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct V1Dir {
    /// As in [`crate::Hierarchy::controllers`].
    pub(crate) controllers: Vec<String>,
    pub(crate) dir: PathBuf,
    /// The hierarchy's mount point.
    pub(crate) mount_point: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct V2Dir {
    pub(crate) dir: PathBuf,
    /// The hierarchy's mount point.
    pub(crate) mount_point: PathBuf,
    /// Controllers that the hierarchy had when this was made.
    pub(crate) controllers: Vec<String>,
}

impl Cgroup {
    /// Where `path` is in `layout`. Makes nothing.
    pub fn locate(path: &CgroupPath, layout: &Layout) -> Self {
        let v1 = layout.v1.iter().map(|hierarchy| V1Dir {
            controllers: hierarchy.controllers.clone(),
            dir: hierarchy.dir(&path.below(hierarchy.own_below_mount())),
            mount_point: hierarchy.mount_point.clone(),
        });
        let v2 = layout.v2.as_ref().map(|v2| {
            // In pure v2 our own cgroup has processes, so it cannot give controllers to
            // children: a relative path starts from its parent, as with runc.
            let own = v2.own_below_mount();
            let base = if layout.v1.is_empty() {
                own.rsplit_once('/').map_or("", |(parent, _)| parent)
            } else {
                own
            };
            V2Dir {
                dir: v2.dir(&path.below(base)),
                mount_point: v2.mount_point.clone(),
                controllers: v2.controllers.clone(),
            }
        });
        Self { path: path.to_string(), v1: v1.collect(), v2 }
    }

    /// The cgroup that a process is in, from the text of its `/proc/PID/cgroup`. Its paths
    /// in the hierarchies may differ; `path()` is the memory controller's, or v2's.
    pub fn of_process(proc_cgroup: &str, layout: &Layout) -> Self {
        let below = |path: &str, root: &str| {
            let rest = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path);
            if rest.is_empty() { "/".to_owned() } else { rest.to_owned() }
        };
        let v1 = layout.v1.iter().filter_map(|hierarchy| {
            let path = own_path(proc_cgroup, hierarchy.controllers.first()?)?;
            Some(V1Dir {
                controllers: hierarchy.controllers.clone(),
                dir: hierarchy.dir(&below(&path, &hierarchy.root)),
                mount_point: hierarchy.mount_point.clone(),
            })
        });
        let unified = own_path(proc_cgroup, "");
        let v2 = layout.v2.as_ref().zip(unified.as_ref()).map(|(v2, path)| V2Dir {
            dir: v2.dir(&below(path, &v2.root)),
            mount_point: v2.mount_point.clone(),
            controllers: v2.controllers.clone(),
        });
        let path = own_path(proc_cgroup, "memory").or(unified).unwrap_or_else(|| "/".to_owned());
        Self { path, v1: v1.collect(), v2 }
    }

    /// The cgroup `path` below this one: in every hierarchy, or in those of `controllers` (v1's) with
    /// the others as they are. Makes nothing.
    pub fn below(&self, controllers: &[&str], path: &str) -> Result<Self, Error> {
        let parts = || path.split('/').filter(|part| !part.is_empty() && *part != ".");
        if parts().any(|part| part == "..") || path.contains('\0') {
            return Err(Error::SubPath { path: path.to_owned() });
        }
        for controller in controllers {
            if self.v1_dir(controller).is_none() {
                let known = self.v1.iter().flat_map(|v1| v1.controllers.iter().map(String::as_str));
                let known = known.collect::<Vec<_>>().join(", ");
                return Err(Error::UnknownController { controller: (*controller).to_owned(), known });
            }
        }
        let mut below = self.clone();
        let moved = |v1: &&mut V1Dir| {
            controllers.is_empty() || v1.controllers.iter().any(|name| controllers.contains(&name.as_str()))
        };
        below.v1.iter_mut().filter(moved).for_each(|v1| v1.dir.extend(parts()));
        if let Some(v2) = below.v2.as_mut().filter(|_| controllers.is_empty()) {
            v2.dir.extend(parts());
        }
        let missing = below.dirs().find(|dir| !dir.is_dir()).map(Path::to_owned);
        match missing {
            Some(path) => {
                Err(Error::Join { pid: std::process::id() as i32, path, source: Errno::NOENT.into() })
            }
            None => Ok(below),
        }
    }

    /// Makes the directories, and on v2 enables the controllers on the way.
    ///
    /// It may exist already when nobody is in it. What was made is removed again when a
    /// later step fails.
    pub fn create(path: &CgroupPath, layout: &Layout) -> Result<Self, Error> {
        let cgroup = Self::locate(path, layout);
        cgroup.undo_on_error(|made| {
            cgroup.make_v2(made)?;
            cgroup.make_v1(made)
        })?;
        Ok(cgroup)
    }

    /// The first half of [`Cgroup::create`]: v2's directory alone, which a process can be
    /// born into. With [`Cgroup::create_v1`] the other half is made while that one works.
    pub fn create_v2(path: &CgroupPath, layout: &Layout) -> Result<Self, Error> {
        let cgroup = Self::locate(path, layout);
        cgroup.undo_on_error(|made| cgroup.make_v2(made))?;
        Ok(cgroup)
    }

    /// The second half of [`Cgroup::create`]: v1's directories.
    pub fn create_v1(&self) -> Result<(), Error> {
        self.undo_on_error(|made| self.make_v1(made))
    }

    /// It without v1's directories: what is ours when those turn out to be another's.
    #[must_use]
    pub fn without_v1(self) -> Self {
        Self { v1: Vec::new(), ..self }
    }

    /// Refuses one that has processes of others.
    pub fn refuse_others(&self) -> Result<(), Error> {
        self.dirs().filter(|dir| dir.is_dir()).try_for_each(refuse_others)
    }

    /// Makes what systemd has not made of it: it makes the hierarchies only that it accounts in.
    pub fn complete(&self) -> Result<(), Error> {
        for v1 in &self.v1 {
            let is_new = make_dirs(&v1.dir)?;
            if v1.controllers.iter().any(|name| name == "cpuset") {
                inherit_cpuset(&v1.dir, &v1.mount_point, is_new)?;
            }
        }
        let Some(v2) = &self.v2 else { return Ok(()) };
        make_dirs(&v2.dir)?;
        if self.v1.is_empty() {
            v2.enable(None);
        }
        Ok(())
    }

    /// What was made goes again when a later step fails, and nothing else.
    fn undo_on_error<'a>(
        &'a self,
        make: impl FnOnce(&mut Vec<&'a Path>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut made = Vec::new();
        make(&mut made).inspect_err(|_| {
            for dir in made.into_iter().rev() {
                // The first error is the one to tell.
                let _ = fs::remove_dir(dir);
            }
        })
    }

    fn make_v1<'a>(&'a self, made: &mut Vec<&'a Path>) -> Result<(), Error> {
        for v1 in &self.v1 {
            let is_new = make_one(&v1.dir, made)?;
            if v1.controllers.iter().any(|name| name == "cpuset") {
                inherit_cpuset(&v1.dir, &v1.mount_point, is_new)?;
            }
        }
        Ok(())
    }

    fn make_v2<'a>(&'a self, made: &mut Vec<&'a Path>) -> Result<(), Error> {
        if let Some(v2) = &self.v2 {
            make_one(&v2.dir, made)?;
            // Beside v1 nothing is given away on the host before a setting needs it.
            if self.v1.is_empty() {
                v2.enable(None);
            }
        }
        Ok(())
    }

    /// Its path, as asked for.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// All its directories.
    pub fn dirs(&self) -> impl Iterator<Item = &Path> {
        self.v1.iter().map(|v1| v1.dir.as_path()).chain(self.v2.iter().map(|v2| v2.dir.as_path()))
    }

    /// The directory that has the files of `controller`, v1 or v2.
    pub fn dir_of(&self, controller: &str) -> Option<&Path> {
        self.v1_dir(controller).or_else(|| self.v2.as_ref().map(|v2| v2.dir.as_path()))
    }

    /// The directory of a v1 hierarchy. Also takes `name=systemd`.
    pub fn v1_dir(&self, controller: &str) -> Option<&Path> {
        let has = |v1: &&V1Dir| v1.controllers.iter().any(|name| name == controller);
        self.v1.iter().find(has).map(|v1| v1.dir.as_path())
    }

    /// The directory in v2, also when it has no controllers.
    pub fn v2_dir(&self) -> Option<&Path> {
        self.v2.as_ref().map(|v2| v2.dir.as_path())
    }

    /// The mount point of the hierarchy that one of its directories is in.
    pub(crate) fn mount_point_of(&self, dir: &Path) -> Option<&Path> {
        let v1 = self.v1.iter().find(|v1| v1.dir == dir).map(|v1| v1.mount_point.as_path());
        v1.or_else(|| self.v2.as_ref().filter(|v2| v2.dir == dir).map(|v2| v2.mount_point.as_path()))
    }

    /// Whether it exists in any hierarchy.
    pub fn exists(&self) -> bool {
        self.dirs().any(Path::exists)
    }

    pub(crate) fn v1(&self) -> &[V1Dir] {
        &self.v1
    }

    /// Gives one of v2's controllers to every cgroup on the way, in a hybrid layout.
    pub(crate) fn need_v2(&self, controller: &str) {
        if let (Some(v2), false) = (&self.v2, self.v1.is_empty()) {
            v2.enable(Some(controller));
        }
    }

    pub(crate) fn place(&self, place: &Place) -> Result<&Path, Error> {
        let (found, name) = match place {
            Place::V1(controller) => (self.v1_dir(controller), controller.as_str()),
            Place::V2 => (self.v2_dir(), "v2"),
        };
        found.ok_or_else(|| Error::NoPlace { cgroup: self.path.clone(), place: name.to_owned() })
    }

    /// The v2 directory for `CLONE_INTO_CGROUP` of clone3(2), which saves the move. v1's
    /// hierarchies still have to be joined: [`Cgroup::join_v1`].
    pub fn fd_for_clone_into(&self) -> Result<Option<OwnedFd>, Error> {
        let Some(dir) = self.v2_dir() else { return Ok(None) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(dir, flags, Mode::empty())
            .map(Some)
            .map_err(|errno| Error::Read { path: dir.to_owned(), source: errno.into() })
    }

    /// Moves a process (all its threads) in, in every hierarchy: cgroups(7).
    ///
    /// Move it before it unshares its cgroup namespace: the namespace's root is where the
    /// process is at that moment.
    pub fn join(&self, pid: i32) -> Result<(), Error> {
        self.join_v1(pid)?;
        self.v2_dir().map_or(Ok(()), |dir| move_into(dir, pid))
    }

    /// Moves a process in, in v1's hierarchies only: for one that was cloned into v2's.
    pub fn join_v1(&self, pid: i32) -> Result<(), Error> {
        self.v1.iter().try_for_each(|v1| move_into(&v1.dir, pid))
    }
}

impl V2Dir {
    /// Gives the controllers, or one of them, to every cgroup from the mount point down to
    /// our parent. A controller that a parent does not have, or cannot give because
    /// processes are in it, is left out: a setting that needs it says so.
    fn enable(&self, only: Option<&str>) {
        if self.controllers.is_empty() {
            return;
        }
        let Ok(below) = self.dir.strip_prefix(&self.mount_point) else { return };
        let mut parent = self.mount_point.clone();
        for part in below.components() {
            enable_in(&parent, only);
            parent.push(part);
        }
    }
}

fn enable_in(dir: &Path, only: Option<&str>) {
    let read = |file: &str| fs::read_to_string(dir.join(file)).unwrap_or_default();
    let enabled = read("cgroup.subtree_control");
    let missing: Vec<String> = read("cgroup.controllers")
        .split_whitespace()
        .filter(|name| only.is_none_or(|only| only == *name))
        .filter(|name| !enabled.split_whitespace().any(|have| have == *name))
        .map(|name| format!("+{name}"))
        .collect();
    if missing.is_empty() {
        return;
    }
    let file = dir.join("cgroup.subtree_control");
    if fs::write(&file, missing.join(" ")).is_err() {
        // One that cannot be given must not keep the others back.
        for one in missing {
            let _ = fs::write(&file, one);
        }
    }
}

/// Makes a directory, or takes one that nobody is in. True when it is new.
fn make_one<'a>(dir: &'a Path, made: &mut Vec<&'a Path>) -> Result<bool, Error> {
    if make_dirs(dir)? {
        made.push(dir);
        return Ok(true);
    }
    refuse_others(dir)?;
    Ok(false)
}

/// One that exists may have others in it, or be frozen: init would stand still in it for ever.
fn refuse_others(dir: &Path) -> Result<(), Error> {
    let reads =
        |file: &str, value: &str| fs::read_to_string(dir.join(file)).is_ok_and(|text| text.trim() == value);
    match crate::processes::count_below(dir) {
        0 if reads("freezer.state", "FROZEN") || reads("cgroup.freeze", "1") => {
            Err(Error::Frozen { path: dir.to_owned() })
        }
        0 => Ok(()),
        processes => Err(Error::InUse { path: dir.to_owned(), processes }),
    }
}

/// mkdir -p, tolerant of another process that prunes or makes the parents at the same
/// time. False when it exists.
fn make_dirs(dir: &Path) -> Result<bool, Error> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for _ in 0..MAKE_TRIES {
        match fs::create_dir(dir) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = dir.parent().unwrap_or(dir);
                last = fs::create_dir_all(parent).err().unwrap_or(error);
            }
            Err(source) => return Err(Error::Create { path: dir.to_owned(), source }),
        }
    }
    Err(Error::Create { path: dir.to_owned(), source: last })
}

/// A v1 cpuset takes no process before it has CPUs and memory nodes: cpuset(7). An empty
/// one gets its parent's, as far up as they are empty.
fn inherit_cpuset(dir: &Path, mount_point: &Path, is_new: bool) -> Result<(), Error> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        fill_cpuset(dir, mount_point, file, is_new)?;
    }
    Ok(())
}

/// Returns what `file` holds in the end. A new cpuset is empty and need not be read.
fn fill_cpuset(dir: &Path, mount_point: &Path, file: &str, is_new: bool) -> Result<String, Error> {
    let path = dir.join(file);
    let own = if is_new { String::new() } else { read_trimmed(&path)? };
    let parent = dir.parent().filter(|_| dir != mount_point);
    let (true, Some(parent)) = (own.is_empty(), parent) else { return Ok(own) };
    let value = fill_cpuset(parent, mount_point, file, false)?;
    crate::write::write_file(&path, &value)?;
    Ok(value)
}

pub(crate) fn read_trimmed(path: &Path) -> Result<String, Error> {
    let text =
        sys::file::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok(text.trim().to_owned())
}

fn move_into(dir: &Path, pid: i32) -> Result<(), Error> {
    fs::write(dir.join("cgroup.procs"), pid.to_string()).map_err(|source| Error::Join {
        pid,
        path: dir.to_owned(),
        source,
    })
}

/// How often the parents may vanish while a directory is made.
const MAKE_TRIES: usize = 16;
