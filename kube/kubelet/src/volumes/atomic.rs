//! Files that change together or not at all.
//!
//! ```text
//! name ─▶ ..data/name        ..data ─▶ ..2026_01_02_03_04_05.678/
//! ```
//!
//! A change writes a folder beside the old one and renames the link `..data`: who reads through it
//! sees all old or all new.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path};

use jiff::Timestamp;

/// A file to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mode: u32,
    /// Whom it belongs to, if not root.
    pub(crate) owner: Option<u32>,
}

/// Files by their paths in the volume.
pub(crate) type Payload = BTreeMap<String, File>;

/// Brings a folder to hold exactly these files. Tells whether anything changed.
pub(crate) fn write(
    folder: &Path,
    payload: &Payload,
    own: impl Fn(&Path) -> io::Result<()>,
) -> io::Result<bool> {
    for path in payload.keys() {
        check(path)?;
    }
    let data = folder.join(DATA);
    let old = fs::read_link(&data).ok();
    if old.as_ref().is_some_and(|old| is_same(&folder.join(old), payload)) {
        link(folder, payload)?;
        return Ok(false);
    }
    let stamp = Timestamp::now().strftime("..%Y_%m_%d_%H_%M_%S.%N").to_string();
    let fresh = folder.join(&stamp);
    fs::create_dir(&fresh)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755))?;
    for (path, file) in payload {
        let path = fresh.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, &file.bytes)?;
        // The process's mask must not take bits away.
        fs::set_permissions(&path, fs::Permissions::from_mode(file.mode & 0o7777))?;
        if let Some(owner) = file.owner {
            std::os::unix::fs::chown(&path, Some(owner), None)?;
        }
    }
    own(&fresh)?;
    let next = folder.join(DATA_NEXT);
    if next.symlink_metadata().is_ok() {
        fs::remove_file(&next)?;
    }
    symlink(&stamp, &next)?;
    fs::rename(&next, &data)?;
    link(folder, payload)?;
    sweep(folder, &stamp)?;
    Ok(true)
}

/// Paths come from users: none may leave the volume or hide in our own names.
fn check(path: &str) -> io::Result<()> {
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || path.is_empty() || path.starts_with("..") {
        let why = format!("{path:?} is not a path inside a volume: leave out '..' and a leading '/'");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    Ok(())
}

fn is_same(folder: &Path, payload: &Payload) -> bool {
    let mut found = BTreeSet::new();
    if walk(folder, folder, &mut found).is_err() || found.len() != payload.len() {
        return false;
    }
    payload.iter().all(|(path, file)| {
        found.contains(path) && fs::read(folder.join(path)).is_ok_and(|bytes| bytes == file.bytes)
    })
}

fn walk(top: &Path, folder: &Path, found: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.symlink_metadata()?.is_dir() {
            walk(top, &path, found)?;
        } else if let Ok(inside) = path.strip_prefix(top) {
            found.insert(inside.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// Makes the links that users see, and removes those of files that are gone.
fn link(folder: &Path, payload: &Payload) -> io::Result<()> {
    let first = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
    let wanted: BTreeSet<String> = payload.keys().map(|path| first(path)).collect();
    for name in &wanted {
        let path = folder.join(name);
        if path.symlink_metadata().is_err() {
            symlink(Path::new(DATA).join(name), &path)?;
        }
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("..") && !wanted.contains(&name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes folders of earlier contents, also those that a crash left.
fn sweep(folder: &Path, keep: &str) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("..") && name != keep && name != DATA && entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

const DATA: &str = "..data";
const DATA_NEXT: &str = "..data_tmp";

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(files: &[(&str, &str)]) -> Payload {
        let file = |text: &str| File { bytes: text.as_bytes().to_vec(), mode: 0o640, owner: None };
        files.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect()
    }

    #[test]
    fn changes_all_at_once() {
        let dir = testkit::TempDir::new();
        let own = |_: &Path| Ok(());
        assert!(write(dir.path(), &payload(&[("a", "1"), ("d/b", "2")]), own).unwrap());
        let read = |path: &str| fs::read_to_string(dir.path().join(path)).unwrap();
        assert_eq!((read("a"), read("d/b")), ("1".to_owned(), "2".to_owned()));
        let mode = fs::metadata(dir.path().join("a")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(fs::read_link(dir.path().join("a")).unwrap(), Path::new("..data/a"));
        let before = fs::read_link(dir.path().join("..data")).unwrap();
        assert!(!write(dir.path(), &payload(&[("a", "1"), ("d/b", "2")]), own).unwrap());
        assert_eq!(fs::read_link(dir.path().join("..data")).unwrap(), before);
        assert!(write(dir.path(), &payload(&[("a", "3"), ("c", "4")]), own).unwrap());
        assert_eq!((read("a"), read("c")), ("3".to_owned(), "4".to_owned()));
        assert!(dir.path().join("d").symlink_metadata().is_err());
        assert!(!dir.path().join(before).exists());
    }

    #[test]
    fn stays_in_the_volume() {
        let dir = testkit::TempDir::new();
        for bad in ["../x", "/x", "a/../../x", "..x", ""] {
            assert!(write(dir.path(), &payload(&[(bad, "1")]), |_| Ok(())).is_err(), "{bad}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
