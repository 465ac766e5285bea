//! A path in merged layers, without mounting them.
//!
//! What overlayfs would show is worked out as overlayfs does: the topmost layer that has a name
//! decides, directories of all layers are merged down to one that is opaque, and a whiteout hides what
//! is below it. Symbolic links are followed as if the layers were the root.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::CWD;
use rustix::io::Errno;

use crate::tree;

/// What a path of merged layers is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A directory: those that make it together, the topmost first.
    Directory(Vec<PathBuf>),
    /// Anything else.
    File(PathBuf),
}

/// Finds `path` in layers, the topmost first, which nobody changes meanwhile.
pub fn part_of(layers: &[PathBuf], path: &Path) -> io::Result<Part> {
    let mut left: VecDeque<OsString> = names(path).collect();
    // The directories from the root to where we are.
    let mut way = vec![layers.to_vec()];
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            way.truncate((way.len() - 1).max(1));
            continue;
        }
        let here = way.last().map(Vec::as_slice).unwrap_or_default();
        match lookup(here, Path::new(&name))? {
            Part::Directory(found) => way.push(found),
            Part::File(found) => {
                let Ok(target) = fs::read_link(&found) else {
                    let is_last = left.is_empty();
                    return if is_last { Ok(Part::File(found)) } else { Err(Errno::NOTDIR.into()) };
                };
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP.into());
                }
                if target.is_absolute() {
                    way.truncate(1);
                }
                for name in names(&target).rev() {
                    left.push_front(name);
                }
            }
        }
    }
    Ok(Part::Directory(way.pop().unwrap_or_default()))
}

fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    })
}

/// A name in merged directories.
fn lookup(directories: &[PathBuf], name: &Path) -> io::Result<Part> {
    let mut found = Vec::new();
    for directory in directories {
        let path = directory.join(name);
        let Some(stat) = tree::lookup(CWD, path.as_os_str().as_bytes())? else { continue };
        if tree::is_whiteout(&stat) {
            break;
        }
        if tree::kind(&stat) != rustix::fs::FileType::Directory {
            if found.is_empty() {
                return Ok(Part::File(path));
            }
            break;
        }
        let opaque = tree::xattr_of_path(&path, tree::opaque())?;
        found.push(path);
        if opaque.as_deref() == Some(b"y") {
            break;
        }
    }
    if found.is_empty() { Err(Errno::NOENT.into()) } else { Ok(Part::Directory(found)) }
}

/// As the kernel's own limit, `path_resolution(7)`.
const LINKS_MAX: u32 = 40;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Two layers: `a/{lower,both}`, `gone/x`, `hidden/x` and links below; `a/{upper,both}`, no `gone`, and
    /// another `hidden` above.
    fn layers(dir: &Path) -> Vec<PathBuf> {
        let (upper, lower) = (dir.join("upper"), dir.join("lower"));
        for path in ["lower/a", "lower/gone", "lower/hidden", "upper/a", "upper/hidden"] {
            fs::create_dir_all(dir.join(path)).unwrap();
        }
        for path in ["lower/a/lower", "lower/a/both", "lower/gone/x", "lower/hidden/x", "upper/a/both"] {
            fs::write(dir.join(path), path).unwrap();
        }
        let whiteout = rustix::fs::makedev(0, 0);
        let mode = rustix::fs::Mode::empty();
        rustix::fs::mknodat(CWD, upper.join("gone"), rustix::fs::FileType::CharacterDevice, mode, whiteout)
            .unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(upper.join("hidden"), "trusted.overlay.opaque", b"y", flags).unwrap();
        for (target, name) in [("/a", "abs"), ("../../../a/lower", "up"), ("loop", "loop")] {
            symlink(target, lower.join(name)).unwrap();
        }
        vec![upper, lower]
    }

    #[test]
    fn shows_what_overlayfs_would() {
        let dir = testkit::TempDir::new();
        let layers = layers(dir.path());
        let show = |path: &str| match part_of(&layers, Path::new(path)) {
            Ok(Part::Directory(found)) => {
                let short = |path: &PathBuf| path.strip_prefix(dir.path()).unwrap().display().to_string();
                found.iter().map(short).collect::<Vec<_>>().join(" ")
            }
            Ok(Part::File(found)) => format!("= {}", found.strip_prefix(dir.path()).unwrap().display()),
            Err(error) => error.kind().to_string(),
        };
        for (path, expected) in [
            (".", "upper lower"),
            ("a", "upper/a lower/a"),
            ("abs", "upper/a lower/a"),
            ("abs/../a/both", "= upper/a/both"),
            ("up", "= lower/a/lower"),
            ("../../a/lower", "= lower/a/lower"),
            ("hidden", "upper/hidden"),
            ("hidden/x", "entity not found"),
            ("gone", "entity not found"),
            ("gone/x", "entity not found"),
            ("a/both/x", "not a directory"),
            ("loop", "filesystem loop or indirection limit (e.g. symlink loop)"),
        ] {
            assert_eq!(show(path), expected, "{path}");
        }
    }
}
