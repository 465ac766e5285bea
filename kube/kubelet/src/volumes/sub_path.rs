//! Parts of volumes.
//!
//! A volume is written by containers, so that a path in it may be a link to anywhere, or become one
//! while it is looked at. It is resolved once, by the kernel (`openat2` with `RESOLVE_BENEATH`), to a
//! descriptor, which is refused where it would lie outside; what is mounted is that descriptor, and
//! never the path again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use rustix::mount::UnmountFlags;
use serde_json::Value;
use sys::root::RootDir;

use crate::read::{items, text};
use crate::spec::{Mounted, expand};

/// Mounts the parts that a container wants below `folder`; where each is, by its place in the list. Of an image's
/// part it is the path in the image: the runtime mounts that.
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
        let name = text(mount, &["name"]);
        let Some(volume) = volumes.get(name).filter(|_| !path.is_empty()) else { continue };
        check(&path)?;
        if volume.image.is_some() {
            found.insert(at, path);
            continue;
        }
        let owner = text(container, &["name"]);
        let target = folder.join("volume-subpaths").join(name).join(owner).join(at.to_string());
        // What exactly is wrong tells of the node's files, which is not the pod's business.
        let failed = |what: &str| format!("failed to {what} for volumeMount {name:?} of container {owner:?}");
        let part = part(Path::new(&volume.path), Path::new(&path));
        let part = part.map_err(|error| match error {
            PartError::Make => failed("create subPath directory"),
            PartError::Open => failed("prepare subPath"),
        })?;
        show(&part, &target).map_err(|_| failed("prepare subPath"))?;
        found.insert(at, target.to_string_lossy().into_owned());
    }
    Ok(found)
}

fn expanded(path: &str, known: &BTreeMap<String, String>) -> Result<String, String> {
    let known: BTreeMap<String, String> = known
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let out = expand(path, &known);
    let missing: BTreeSet<&str> =
        out.split("$(").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)).collect();
    if missing.is_empty() {
        return Ok(out);
    }
    let names: Vec<String> = missing.into_iter().map(|name| format!("{name:?}")).collect();
    Err(format!("missing value for {}", names.join(", ")))
}

fn check(path: &str) -> Result<(), String> {
    if path.starts_with('/') {
        return Err(format!("error SubPath `{path}` must not be an absolute path"));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(format!("unable to provision SubPath `{path}`: must not contain '..'"));
    }
    Ok(())
}

/// Why there is no such part.
#[derive(Debug)]
enum PartError {
    Make,
    Open,
}

/// A part of a volume, held; folders that are missing are made.
fn part(volume: &Path, path: &Path) -> Result<OwnedFd, PartError> {
    let root = RootDir::open(volume).map_err(|_| PartError::Open)?;
    match root.resolve_beneath(path) {
        Ok(part) => Ok(part),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(&root, volume, path).map_err(|_| PartError::Make)
        }
        // An absolute link may lead back into the volume. What is opened then has no links any more.
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let real = |path: &Path| fs::canonicalize(path).map_err(|_| PartError::Open);
            let (volume, wanted) = (real(volume)?, real(&volume.join(path))?);
            let inside = wanted.strip_prefix(&volume).map_err(|_| PartError::Open)?;
            root.resolve_plain(inside).map_err(|_| PartError::Open)
        }
        Err(_) => Err(PartError::Open),
    }
}

/// Makes the folders of a path, each with the volume's own mode, whatever mask this process has.
fn make(root: &RootDir, volume: &Path, path: &Path) -> io::Result<OwnedFd> {
    let mode = fs::metadata(volume)?.permissions().mode() & 0o7777;
    let mut here = PathBuf::new();
    for name in path.components() {
        here.push(name);
        match root.resolve_beneath(&here) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = root.mkdir_all(&here, mode)?;
                let by_descriptor = format!("/proc/self/fd/{}", made.as_raw_fd());
                fs::set_permissions(by_descriptor, fs::Permissions::from_mode(mode))?;
            }
            found => drop(found?),
        }
    }
    root.resolve_beneath(path)
}

/// Mounts what is held on a place of ours.
fn show(part: &OwnedFd, target: &Path) -> io::Result<()> {
    let is_dir = sys::root::file_type(part)? == FileType::Directory;
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
    let mount = sys::mount::clone_fd(part, true)?;
    sys::mount::attach_path(mount, target)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    use serde_json::json;

    use super::*;

    /// A volume and a pod's folder; mounts below the latter go with it.
    struct Rig {
        dir: testkit::TempDir,
        volume: PathBuf,
        pod: PathBuf,
        volumes: BTreeMap<String, Mounted>,
    }

    impl Rig {
        fn new() -> Self {
            let dir = testkit::TempDir::new();
            let (volume, pod) = (dir.path().join("volume"), dir.path().join("pod"));
            fs::create_dir_all(volume.join("etc")).unwrap();
            fs::write(volume.join("etc/passwd"), "inside").unwrap();
            let mounted = Mounted { path: volume.to_string_lossy().into_owned(), ..Mounted::default() };
            let image = Mounted { image: Some("image".to_owned()), ..Mounted::default() };
            let volumes = BTreeMap::from([("v".to_owned(), mounted), ("i".to_owned(), image)]);
            Self { dir, volume, pod, volumes }
        }

        fn mount(&self, mount: &Value) -> Result<PathBuf, String> {
            let known = ["NAME=etc", "EMPTY="].map(|text| text.split_once('=').unwrap());
            let known = known.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            let container = json!({"name": "c", "volumeMounts": [mount]});
            let found = sub_paths(&self.pod, &container, &self.volumes, &known)?;
            Ok(PathBuf::from(&found[&0]))
        }
    }

    impl Drop for Rig {
        fn drop(&mut self) {
            super::super::remove(&self.pod).unwrap();
            assert_eq!(fs::read_to_string(self.volume.join("etc/passwd")).unwrap(), "inside");
        }
    }

    #[test]
    fn links_do_not_lead_out() {
        let rig = Rig::new();
        for (name, target) in [
            ("out", "/etc"),
            ("up", "../../../../etc/passwd"),
            ("sibling", "../pod"),
            ("link", "etc"),
            ("round", "etc/../etc/passwd"),
            ("nowhere", "/none"),
        ] {
            symlink(target, rig.volume.join(name)).unwrap();
        }
        symlink(rig.volume.join("etc"), rig.volume.join("home")).unwrap();
        for (mount, file) in [
            (json!({"name": "v", "subPath": "etc"}), "passwd"),
            (json!({"name": "v", "subPath": "./etc/passwd"}), ""),
            (json!({"name": "v", "subPathExpr": "$(NAME)"}), "passwd"),
            (json!({"name": "v", "subPath": "link"}), "passwd"),
            (json!({"name": "v", "subPath": "round"}), ""),
            (json!({"name": "v", "subPath": "home"}), "passwd"),
        ] {
            let place = rig.mount(&mount).unwrap();
            let place = if file.is_empty() { place } else { place.join(file) };
            assert_eq!(fs::read_to_string(place).unwrap(), "inside", "{mount}");
        }
        for bad in ["out", "out/new", "up", "sibling", "nowhere"] {
            let error = rig.mount(&json!({"name": "v", "subPath": bad})).unwrap_err();
            assert_eq!(error, "failed to prepare subPath for volumeMount \"v\" of container \"c\"", "{bad}");
        }
        for (bad, why) in [
            (json!({"name": "v", "subPath": "../volume/etc"}), "must not contain '..'"),
            (json!({"name": "v", "subPath": "/etc"}), "must not be an absolute path"),
            (json!({"name": "v", "subPathExpr": "$(NO)/$(EMPTY)"}), "missing value for \"EMPTY\", \"NO\""),
        ] {
            let error = rig.mount(&bad).unwrap_err();
            assert!(error.ends_with(why), "{error}");
        }
    }

    #[test]
    fn what_is_missing_is_made_as_the_volume_is() {
        let rig = Rig::new();
        fs::set_permissions(&rig.volume, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(rig.mount(&json!({"name": "v", "subPath": "a/b"})).unwrap().is_dir());
        for made in ["a", "a/b"] {
            let found = fs::metadata(rig.volume.join(made)).unwrap();
            assert_eq!(found.permissions().mode() & 0o7777, 0o777, "{made}");
        }
        let image = rig.mount(&json!({"name": "i", "subPathExpr": "x/$(NAME)"})).unwrap();
        assert_eq!(image, Path::new("x/etc"));
    }

    /// A container swaps a folder for a link out, again and again, while the node mounts it.
    #[test]
    fn a_link_that_is_swapped_in_does_not_lead_out() {
        let rig = Rig::new();
        let outside = rig.dir.path().join("outside");
        fs::create_dir_all(outside.join("deep")).unwrap();
        fs::write(outside.join("deep/secret"), "outside").unwrap();
        fs::create_dir_all(rig.volume.join("folder/deep")).unwrap();
        symlink(&outside, rig.volume.join("link")).unwrap();
        let (folder, link) = (rig.volume.join("folder"), rig.volume.join("link"));
        let ends = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                while !ends.load(Ordering::Relaxed) {
                    rustix::fs::renameat_with(rustix::fs::CWD, &folder, rustix::fs::CWD, &link, flags)
                        .unwrap();
                }
            });
            let mut mounted = 0;
            for path in ["folder/deep", "folder/deep/new", "link/deep"].iter().cycle().take(600) {
                let Ok(place) = rig.mount(&json!({"name": "v", "subPath": path})) else { continue };
                mounted += 1;
                assert!(!place.join("secret").exists(), "{path}");
            }
            ends.store(true, Ordering::Relaxed);
            assert!(mounted > 0);
        });
        let left: Vec<_> =
            fs::read_dir(outside.join("deep")).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, ["secret"]);
    }
}
