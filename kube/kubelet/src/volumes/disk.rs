//! Volumes as folders and mounts.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::mount::UnmountFlags;

use super::owner::Owner;
use super::{Owned, Source, atomic, place};
use crate::spec::Mounted;

/// Makes one volume.
pub(super) fn make(folder: &Path, volume: &str, source: Source, owner: &Owner) -> Result<Mounted, String> {
    let text = |error: io::Error| error.to_string();
    match source {
        Source::Empty { in_memory, size } => {
            let path = place(folder, "kubernetes.io~empty-dir", volume);
            let was_there = path.exists();
            make_dir(&path, 0o777).map_err(text)?;
            // After the machine's restart the folder is there, and what was in memory is not.
            let is_mounted = in_memory && mount_memory(&path, size).map_err(text)?;
            if is_mounted || !was_there {
                owner.take(&path, false).map_err(text)?;
            }
            Ok(mounted(&path, false))
        }
        Source::Files { payload, kind } => {
            let path = place(folder, kind.folder(), volume);
            make_dir(&path, 0o777).map_err(text)?;
            if kind.is_in_memory() {
                mount_memory(&path, None).map_err(text)?;
            }
            atomic::write(&path, &payload, |fresh| owner.take(fresh, true)).map_err(text)?;
            Ok(mounted(&path, true))
        }
        Source::Host { path, kind, owned } => {
            host(Path::new(&path), &kind, if owned == Owned::All { 0o777 } else { 0o755 })?;
            if owned != Owned::No {
                owner.take(Path::new(&path), false).map_err(text)?;
            }
            Ok(mounted(Path::new(&path), false))
        }
        Source::Image(image) => Ok(Mounted { path: String::new(), is_read_only: true, image: Some(image) }),
    }
}

fn mounted(path: &Path, is_read_only: bool) -> Mounted {
    Mounted { path: path.to_string_lossy().into_owned(), is_read_only, image: None }
}

fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Mounts memory on a folder, unless that has happened; tells whether it did.
fn mount_memory(path: &Path, size: Option<i64>) -> io::Result<bool> {
    if is_mount(path)? {
        return Ok(false);
    }
    let tmpfs = sys::mount::FsContext::open("tmpfs")?;
    tmpfs.set("mode", "0777")?;
    if let Some(size) = size {
        tmpfs.set("size", &size.to_string())?;
    }
    let mount = tmpfs.mount(0)?;
    sys::mount::attach_path(mount, path)?;
    Ok(true)
}

fn is_mount(path: &Path) -> io::Result<bool> {
    let parent = path.parent().unwrap_or(path);
    Ok(fs::metadata(path)?.dev() != fs::metadata(parent)?.dev())
}

/// Checks what is at a place of the node, or makes it with a mode, in the words of `hostPath.type`.
fn host(path: &Path, kind: &str, mode: u32) -> Result<(), String> {
    let found = fs::metadata(path);
    let is = |what: &str, test: fn(&fs::FileType) -> bool| match &found {
        Ok(found) if test(&found.file_type()) => Ok(()),
        _ => Err(format!("hostPath type check failed: {} is not a {what}", path.display())),
    };
    match kind {
        "Directory" => is("directory", fs::FileType::is_dir),
        "File" => is("file", fs::FileType::is_file),
        "Socket" => is("socket file", fs::FileType::is_socket),
        "CharDevice" => is("character device", fs::FileType::is_char_device),
        "BlockDevice" => is("block device", fs::FileType::is_block_device),
        "DirectoryOrCreate" if found.is_err() => make_dir(path, mode).map_err(|error| error.to_string()),
        "DirectoryOrCreate" => is("directory", fs::FileType::is_dir),
        "FileOrCreate" if found.is_err() => {
            let made = fs::File::create_new(path).map_err(|error| error.to_string())?;
            made.set_permissions(fs::Permissions::from_mode(0o644)).map_err(|error| error.to_string())
        }
        "FileOrCreate" => is("file", fs::FileType::is_file),
        // Nothing is asked for; the folder is made as runtimes always did.
        _ if found.is_err() => make_dir(path, mode).map_err(|error| error.to_string()),
        _ => Ok(()),
    }
}

/// Takes away all of a pod's folder. Mounts below are detached first, so that nothing of the node
/// is ever deleted through one.
pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let mut below: Vec<String> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4).map(unescape))
        .filter(|path| Path::new(path).starts_with(folder))
        .collect();
    below.sort_by_key(|path| std::cmp::Reverse(path.len()));
    for path in below {
        sys::mount::unmount(Path::new(&path), UnmountFlags::DETACH)?;
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A path as mountinfo writes it: blanks and the like in octal.
fn unescape(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// Bytes that a folder holds on its own file system.
pub(crate) fn used_bytes(folder: &Path) -> u64 {
    fn below(folder: &Path, device: u64) -> u64 {
        let Ok(entries) = fs::read_dir(folder) else { return 0 };
        let mut sum = 0;
        for entry in entries.flatten() {
            let Ok(found) = entry.path().symlink_metadata() else { continue };
            if found.dev() != device {
                continue;
            }
            sum += found.blocks() * 512;
            if found.is_dir() {
                sum += below(&entry.path(), device);
            }
        }
        sum
    }
    fs::metadata(folder).map_or(0, |found| below(folder, found.dev()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_paths_by_type() {
        let dir = testkit::TempDir::new();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("f"), "x").unwrap();
        for (name, kind, holds) in [
            ("f", "File", true),
            ("f", "Directory", false),
            ("none", "Directory", false),
            ("none", "Socket", false),
            ("new", "DirectoryOrCreate", true),
            ("new", "DirectoryOrCreate", true),
            ("f", "DirectoryOrCreate", false),
            ("file", "FileOrCreate", true),
            ("no/parent", "FileOrCreate", false),
            ("any", "", true),
        ] {
            assert_eq!(host(&at(name), kind, 0o755).is_ok(), holds, "{name} {kind}");
        }
        let error = host(&at("f"), "Directory", 0o755).unwrap_err();
        assert!(error.ends_with("is not a directory"), "{error}");
    }

    #[test]
    fn memory_belongs_to_the_group_whenever_it_is_mounted() {
        let dir = testkit::TempDir::new();
        let context = serde_json::json!({"spec": {"securityContext": {"fsGroup": 123}}});
        let make = || {
            let source = Source::Empty { in_memory: true, size: Some(1 << 20) };
            let made = make(dir.path(), "v", source, &Owner::of(&context)).unwrap();
            let found = fs::metadata(&made.path).unwrap();
            (made.path, found.gid(), found.mode() & 0o7777)
        };
        let (path, group, mode) = make();
        assert_eq!((group, mode), (123, 0o2777));
        fs::write(Path::new(&path).join("f"), "kept").unwrap();
        make();
        assert!(Path::new(&path).join("f").exists());
        // As a restart of the machine leaves it.
        sys::mount::unmount(Path::new(&path), UnmountFlags::DETACH).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!((make().1, make().2), (123, 0o2777));
        remove(dir.path()).unwrap();
    }

    #[test]
    fn counts_what_is_used() {
        let dir = testkit::TempDir::new();
        assert_eq!(used_bytes(&dir.path().join("none")), 0);
        fs::write(dir.path().join("f"), vec![1; 100_000]).unwrap();
        assert!(used_bytes(dir.path()) >= 100_000);
        remove(dir.path()).unwrap();
        assert!(!dir.path().exists());
        remove(dir.path()).unwrap();
    }
}
