//! The group that a pod's volumes belong to.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use serde_json::Value;

use crate::read::{number, text};

/// `fsGroup` of a pod.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Owner {
    group: Option<u32>,
    /// `OnRootMismatch`: a volume whose top is right is right.
    only_on_mismatch: bool,
}

impl Owner {
    pub(crate) fn of(pod: &Value) -> Self {
        let context = &pod["spec"]["securityContext"];
        Self {
            group: number(context, &["fsGroup"]).and_then(|group| u32::try_from(group).ok()),
            only_on_mismatch: text(context, &["fsGroupChangePolicy"]) == "OnRootMismatch",
        }
    }

    /// Gives a volume to the group: what is below inherits it.
    pub(crate) fn take(&self, top: &Path, is_read_only: bool) -> io::Result<()> {
        let Some(group) = self.group else { return Ok(()) };
        if self.only_on_mismatch && !is_read_only {
            let found = fs::metadata(top)?;
            let wanted = READ_WRITE | EXECUTE | SET_GROUP;
            if found.gid() == group && found.mode() & wanted == wanted {
                return Ok(());
            }
        }
        take_all(top, group, is_read_only)
    }
}

fn take_all(path: &Path, group: u32, is_read_only: bool) -> io::Result<()> {
    let found = path.symlink_metadata()?;
    // A link leads who knows where.
    if found.file_type().is_symlink() {
        return lchown(path, None, Some(group));
    }
    lchown(path, None, Some(group))?;
    let mut mask = if is_read_only { READ } else { READ_WRITE };
    if found.is_dir() {
        mask |= EXECUTE | SET_GROUP;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(found.mode() & 0o7777 | mask))?;
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            take_all(&entry?.path(), group, is_read_only)?;
        }
    }
    Ok(())
}

const READ: u32 = 0o440;
const READ_WRITE: u32 = 0o660;
const EXECUTE: u32 = 0o110;
const SET_GROUP: u32 = 0o2000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn gives_files_to_the_group() {
        let dir = testkit::TempDir::new();
        let (file, link) = (dir.path().join("f"), dir.path().join("l"));
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        let before = fs::metadata("/etc/passwd").unwrap().gid();
        let owner = Owner::of(&json!({"spec": {"securityContext": {"fsGroup": 123}}}));
        owner.take(dir.path(), true).unwrap();
        let (found, top) = (fs::metadata(&file).unwrap(), fs::metadata(dir.path()).unwrap());
        assert_eq!((found.gid(), found.mode() & 0o7777), (123, 0o440));
        assert_eq!((top.gid(), top.mode() & SET_GROUP), (123, SET_GROUP));
        assert_eq!(fs::metadata("/etc/passwd").unwrap().gid(), before);
        owner.take(dir.path(), false).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o660);
    }
}
