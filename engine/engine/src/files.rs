//! Files of containers, in and out as tar archives.
//!
//! Nothing below a container's root is reached by joining paths: every name is resolved by
//! the kernel inside that root, to descriptors, and only those are used afterwards. A process
//! in the container that swaps a directory for a symbolic link meanwhile (CVE-2018-15664)
//! leads us to another place in its own files, or to an error, and never to the host's.

mod error;
mod pack;
mod unpack;
mod view;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use archive::tar::Writer;
use base::ContainerId;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use shim::Timestamp;
use sys::root::RootDir;

use crate::engine::Engine;
use crate::error::Error;

pub use error::FilesError;
pub use pack::{PackOptions, Packer};
pub use unpack::{Owner, Rename, UnpackOptions, unpack};

/// What is at a path of a container, a symbolic link itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStat {
    /// Its last name.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// Type and permission bits, as `stat(2)` has them.
    pub mode: u32,
    /// When it was changed.
    pub modified: Timestamp,
    /// Where a symbolic link leads to, as a path of the container.
    pub link_target: Option<PathBuf>,
}

impl PathStat {
    /// What it is.
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    fn of(name: &str, stat: &Stat, link_target: Option<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mode: stat.st_mode,
            modified: Timestamp::from_unix(stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
            link_target,
        }
    }
}

impl Engine {
    /// What is at `path` of a container.
    pub fn stat_path(&self, id: &ContainerId, path: &str) -> Result<PathStat, Error> {
        self.view(id, view::Access::Read, |view| {
            let place = place(&view.root, path).map_err(view.not_found(path))?;
            let stat = place.stat().map_err(view.not_found(path))?;
            let link = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => Some(place.link().map_err(view.not_found(path))?),
                _ => None,
            };
            Ok(PathStat::of(&place.shown, &stat, link))
        })
    }

    /// Writes what is at `path` of a container as an archive: a directory with everything in
    /// it, a symbolic link itself. The entries are named by the last name of `path`; `path/.`
    /// is what is in a directory.
    pub fn copy_from(
        &self,
        id: &ContainerId,
        path: &str,
        archive: &mut (dyn Write + Send),
    ) -> Result<(), Error> {
        self.view(id, view::Access::Read, |view| {
            let place = place(&view.root, path).map_err(view.not_found(path))?;
            place.stat().map_err(view.not_found(path))?;
            let options = PackOptions { id_base: view.id_base, mounts: Some(view.mounts.clone()) };
            let mut packer = Packer::new(Writer::new(archive), options);
            packer.add(&place.directory, &place.name, &place.at, place.shown.as_bytes())?;
            packer.finish()?;
            self.tell(&view.record, "archive-path", &[]);
            Ok(())
        })
    }

    /// Unpacks an archive in the directory `path` of a container. A directory is not replaced
    /// by something else, nor something else by a directory. Files get the ids that the archive has
    /// for them.
    pub fn copy_to(
        &self,
        id: &ContainerId,
        path: &str,
        archive: &mut (dyn Read + Send),
    ) -> Result<(), Error> {
        self.view(id, view::Access::Write, |view| {
            let directory = OFlags::PATH | OFlags::DIRECTORY;
            let opened = view.root.open_at(Path::new(path), directory, Mode::empty());
            opened.map_err(|error| match error.kind() {
                std::io::ErrorKind::NotADirectory => FilesError::NotADirectory { path: path.to_owned() },
                _ => view.not_found(path)(error),
            })?;
            let options = UnpackOptions { owner: Owner::Archive, id_base: view.id_base, rename: None };
            unpack(archive, &view.root, Path::new(path), &options)?;
            self.tell(&view.record, "extract-to-dir", &[]);
            Ok(())
        })
    }

    /// Writes all files of a container as an archive, without what is mounted in it.
    pub fn export(&self, id: &ContainerId, archive: &mut (dyn Write + Send)) -> Result<(), Error> {
        self.bare_view(id, |view| {
            let options = PackOptions { id_base: view.id_base, mounts: None };
            let mut packer = Packer::new(Writer::new(archive), options);
            packer.add_below(&view.root)?;
            packer.finish()?;
            self.tell(&view.record, "export", &[]);
            Ok(())
        })
    }
}

/// A name in an open directory of a tree that is not trusted.
struct Place {
    directory: std::os::fd::OwnedFd,
    /// `.` for the directory itself.
    name: std::ffi::OsString,
    /// What its entries are called in an archive.
    shown: String,
    /// The path of `directory`, as it was asked for.
    at: PathBuf,
}

impl Place {
    fn stat(&self) -> std::io::Result<Stat> {
        Ok(rustix::fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn link(&self) -> std::io::Result<PathBuf> {
        use std::os::unix::ffi::OsStringExt as _;
        let target = rustix::fs::readlinkat(&self.directory, &self.name, Vec::new())?.into_bytes();
        let target = PathBuf::from(std::ffi::OsString::from_vec(target));
        Ok(if target.is_absolute() { target } else { self.at.join(target) })
    }
}

/// The last name of `path` is not followed; what leads to it is, inside the root.
fn place(root: &RootDir, path: &str) -> std::io::Result<Place> {
    let (parent, name) = split(path);
    let directory = root.open_at(Path::new(&parent), OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    let shown = if name == "." && parent == "/" && !path.ends_with('.') { "/" } else { &name };
    Ok(Place { directory, shown: shown.to_owned(), name: name.clone().into(), at: parent.into() })
}

/// The directory and the last name of a path of a container; `.` for a directory's content
/// and for the root.
fn split(path: &str) -> (String, String) {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let content = matches!(path.rsplit('/').next(), Some("." | ".."));
    let name = match content {
        true => ".",
        false => parts.pop().unwrap_or("."),
    };
    (format!("/{}", parts.join("/")), name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_docker_does() {
        for (path, directory, name) in [
            ("/a/b", "/a", "b"),
            ("a/b/", "/a", "b"),
            ("/a/b/.", "/a/b", "."),
            ("/a/./b//", "/a", "b"),
            ("/a/../b", "/", "b"),
            ("/", "/", "."),
            ("", "/", "."),
            (".", "/", "."),
            ("../..", "/", "."),
        ] {
            assert_eq!(split(path), (directory.to_owned(), name.to_owned()), "{path}");
        }
    }
}
