//! Parts of volumes.
//!
//! A volume is written by containers, so that a path in it may be a link to anywhere, or become one
//! while it is looked at. It is resolved once, in the kernel, inside the volume
//! (`openat2` with `RESOLVE_IN_ROOT`), to a descriptor; what is mounted is that descriptor, and
//! never the path again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

use rustix::fs::FileType;
use rustix::mount::UnmountFlags;
use serde_json::Value;
use sys::root::RootDir;

use crate::read::{items, text};
use crate::spec::{Mounted, expand};

/// Mounts the parts that a container wants below `folder`; where each is, by its place in the list.
pub(crate) fn sub_paths(
    folder: &Path,
    container: &Value,
    volumes: &BTreeMap<String, Mounted>,
    known: &BTreeMap<String, String>,
) -> Result<BTreeMap<usize, String>, String> {
    let mut found = BTreeMap::new();
    for (at, mount) in items(container, &["volumeMounts"]).iter().enumerate() {
        let (plain, with_variables) = (text(mount, &["subPath"]), text(mount, &["subPathExpr"]));
        let path =
            if with_variables.is_empty() { plain.to_owned() } else { expanded(with_variables, known)? };
        let Some(volume) = volumes.get(text(mount, &["name"])).filter(|volume| volume.image.is_none()) else {
            continue;
        };
        if path.is_empty() {
            continue;
        }
        let target = folder
            .join("volume-subpaths")
            .join(text(mount, &["name"]))
            .join(text(container, &["name"]))
            .join(at.to_string());
        let failed = |error: io::Error| {
            format!("failed to prepare subPath for volumeMount {:?}: {error}", text(mount, &["name"]))
        };
        prepare(Path::new(&volume.path), &path, &target).map_err(failed)?;
        found.insert(at, target.to_string_lossy().into_owned());
    }
    Ok(found)
}

fn expanded(path: &str, known: &BTreeMap<String, String>) -> Result<String, String> {
    let out = expand(path, known);
    if out.contains("$(") {
        return Err(format!("subPathExpr {path:?} names a variable that the container does not have"));
    }
    Ok(out)
}

fn prepare(volume: &Path, path: &str, target: &Path) -> io::Result<()> {
    let wanted = Path::new(path);
    if !wanted.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        let why = format!("subPath {path:?} must be relative and without '..'");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let root = RootDir::open(volume)?;
    let part = match root.resolve(wanted) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mode = fs::metadata(volume)?.permissions().mode() & 0o7777;
            root.mkdir_all(wanted, mode)?
        }
        found => found?,
    };
    let is_dir = sys::root::file_type(&part)? == FileType::Directory;
    // What an earlier container had mounted there.
    while target.symlink_metadata().is_ok() && sys::mount::unmount(target, UnmountFlags::DETACH).is_ok() {}
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    let is_right = target.symlink_metadata().is_ok_and(|found| found.is_dir() == is_dir);
    if !is_right {
        if target.is_dir() {
            fs::remove_dir(target)?;
        } else if target.exists() {
            fs::remove_file(target)?;
        }
        if is_dir { fs::create_dir(target)? } else { drop(fs::File::create(target)?) }
    }
    let mount = sys::mount::clone_fd(&part, true)?;
    sys::mount::attach_path(mount, target)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::*;

    #[test]
    fn links_do_not_lead_out() {
        let dir = testkit::TempDir::new();
        let (volume, pod) = (dir.path().join("volume"), dir.path().join("pod"));
        fs::create_dir_all(volume.join("etc")).unwrap();
        fs::write(volume.join("etc/passwd"), "inside").unwrap();
        symlink("/etc", volume.join("out")).unwrap();
        symlink("../../../../etc/passwd", volume.join("up")).unwrap();
        let mounted = Mounted { path: volume.to_string_lossy().into_owned(), ..Mounted::default() };
        let volumes = BTreeMap::from([("v".to_owned(), mounted)]);
        let known = BTreeMap::from([("NAME".to_owned(), "etc".to_owned())]);
        let container = |mount: Value| json!({"name": "c", "volumeMounts": [mount]});
        let read = |mount: Value, file: &str| {
            let found = sub_paths(&pod, &container(mount), &volumes, &known)?;
            let path = Path::new(&found[&0]).join(file);
            fs::read_to_string(if file.is_empty() { Path::new(&found[&0]).to_owned() } else { path })
                .map_err(|error| error.to_string())
        };
        for (mount, file) in [
            (json!({"name": "v", "subPath": "etc"}), "passwd"),
            (json!({"name": "v", "subPathExpr": "$(NAME)"}), "passwd"),
            (json!({"name": "v", "subPath": "out"}), "passwd"),
            (json!({"name": "v", "subPath": "up"}), ""),
        ] {
            assert_eq!(read(mount.clone(), file).as_deref(), Ok("inside"), "{mount}");
        }
        assert!(read(json!({"name": "v", "subPath": "../volume/etc"}), "passwd").is_err());
        assert!(read(json!({"name": "v", "subPathExpr": "$(NO)"}), "").is_err());
        let made =
            sub_paths(&pod, &container(json!({"name": "v", "subPath": "a/b"})), &volumes, &known).unwrap();
        assert!(Path::new(&made[&0]).is_dir() && volume.join("a/b").is_dir());
        super::super::remove(&pod).unwrap();
        assert_eq!(fs::read_to_string(volume.join("etc/passwd")).unwrap(), "inside");
    }
}
