//! Snapshots: written to, kept apart, shifted into a user namespace, removed.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use archive::tar::Header;
use base::{Classified, Digest, ErrorClass};
use rustix::fs::{AtFlags, Mode, OFlags};
use snapshot::{IdMap, Kind, MountOptions, Snapshots};

use crate::tree::show;
use crate::{add, chain, key, store, tar};

fn write(mount: &OwnedFd, path: &str, text: &str) {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    let file = rustix::fs::openat(mount, path, flags, Mode::from_raw_mode(0o644)).unwrap();
    File::from(file).write_all(text.as_bytes()).unwrap();
}

fn mounted(store: &Snapshots, name: &str, chain: Option<&Digest>) -> OwnedFd {
    store.prepare(&key(name), chain, None).unwrap();
    store.mount(&key(name), MountOptions::default()).unwrap()
}

#[test]
fn containers_of_one_image_do_not_see_each_other() {
    let (_directory, store) = store();
    let chain = chain(&store, &["a=1 b=1", "c=1"]);
    let (first, second) = (mounted(&store, "first", Some(&chain)), mounted(&store, "second", Some(&chain)));
    write(&first, "a", "changed");
    rustix::fs::unlinkat(&first, "b", AtFlags::empty()).unwrap();
    assert_eq!(show(&first), "a=changed c=1");
    assert_eq!(show(&second), "a=1 b=1 c=1");
    // The changes outlive the mount.
    drop(first);
    let again = store.mount(&key("first"), MountOptions::default()).unwrap();
    assert_eq!(show(&again), "a=changed c=1");
}

/// FS-05, FS-07: the upper directory is searched first; a deletion is a character device
/// 0:0 there, and the file below is untouched.
#[test]
fn fs_05_07_upper_first_and_whiteouts() {
    let (_directory, store) = store();
    let chain = chain(&store, &["a=lower b=lower"]);
    let mount = mounted(&store, "c", Some(&chain));
    write(&mount, "a", "upper");
    rustix::fs::unlinkat(&mount, "b", AtFlags::empty()).unwrap();
    assert_eq!(show(&mount), "a=upper");
    let upper = store.snapshot(&key("c")).unwrap().upper.unwrap();
    let whiteout = fs::symlink_metadata(upper.join("b")).unwrap();
    assert_eq!((whiteout.mode() & 0o170000, whiteout.rdev()), (0o020000, 0));
    let lower = &store.layers(&chain).unwrap()[0].path;
    assert_eq!(fs::read(lower.join("b")).unwrap(), b"lower");
}

#[test]
fn a_view_cannot_be_written() {
    let (_directory, store) = store();
    for (name, layers) in [("one", &["a=1"][..]), ("two", &["a=1", "b=2"])] {
        let chain = chain(&store, layers);
        assert_eq!(store.view(&key(name), &chain, None).unwrap().kind, Kind::View);
        let mount = store.mount(&key(name), MountOptions::default()).unwrap();
        let made = rustix::fs::mkdirat(&mount, "new", Mode::RWXU);
        assert_eq!(made, Err(rustix::io::Errno::ROFS));
        assert!(store.copied_up(&key(name), 1).is_err());
    }
}

#[test]
fn an_active_snapshot_may_be_mounted_read_only() {
    let (_directory, store) = store();
    let chain = chain(&store, &["a=1"]);
    store.prepare(&key("c"), Some(&chain), None).unwrap();
    let options = MountOptions { read_only: true, ..MountOptions::default() };
    let mount = store.mount(&key("c"), options).unwrap();
    assert_eq!(rustix::fs::mkdirat(&mount, "new", Mode::RWXU), Err(rustix::io::Errno::ROFS));
}

#[test]
fn a_volatile_snapshot_can_be_mounted_again() {
    let (_directory, store) = store();
    let chain = chain(&store, &["a=1"]);
    store.prepare(&key("c"), Some(&chain), None).unwrap();
    let options = MountOptions { volatile: true, ..MountOptions::default() };
    for _ in 0..3 {
        let mount = store.mount(&key("c"), options.clone()).unwrap();
        write(&mount, "b", "2");
        assert_eq!(show(&mount), "a=1 b=2");
    }
}

#[test]
fn a_snapshot_without_an_image_is_empty_and_writable() {
    let (_directory, store) = store();
    let mount = mounted(&store, "c", None);
    assert_eq!(show(&mount), "");
    write(&mount, "a", "1");
    assert_eq!(show(&mount), "a=1");
}

#[test]
fn keys_are_taken_once_and_free_again() {
    let (_directory, store) = store();
    let chain = chain(&store, &["a=1"]);
    store.prepare(&key("c"), Some(&chain), None).unwrap();
    let error = store.prepare(&key("c"), Some(&chain), None).unwrap_err();
    assert_eq!(error.class(), ErrorClass::AlreadyExists);
    assert!(error.to_string().contains("snapshot c exists already"), "{error}");
    assert!(store.remove(&key("c")).unwrap());
    assert!(!store.remove(&key("c")).unwrap());
    store.prepare(&key("c"), Some(&chain), None).unwrap();
    store.empty_trash().unwrap();
    assert_eq!(store.snapshots().unwrap().len(), 1);
    assert_eq!(store.usage().unwrap().other_bytes, 0);
}

#[test]
fn what_is_not_there_is_said_to_be_so() {
    let (_directory, store) = store();
    let absent = Digest::sha256_of(b"absent");
    for error in [
        store.prepare(&key("c"), Some(&absent), None).unwrap_err(),
        store.mount(&key("c"), MountOptions::default()).unwrap_err(),
        store.layers(&absent).unwrap_err(),
    ] {
        assert_eq!(error.class(), ErrorClass::NotFound, "{error}");
    }
    assert_eq!(store.snapshots().unwrap(), []);
}

/// A tree that is deeper than paths are long, as a container may make it.
#[test]
fn very_deep_trees_are_removed() {
    let (_directory, store) = store();
    let mount = mounted(&store, "c", None);
    let mut here = rustix::fs::openat(&mount, ".", OFlags::RDONLY, Mode::empty()).unwrap();
    for _ in 0..3000 {
        rustix::fs::mkdirat(&here, "d", Mode::RWXU).unwrap();
        here = rustix::fs::openat(&here, "d", OFlags::RDONLY, Mode::empty()).unwrap();
    }
    drop((here, mount));
    store.remove(&key("c")).unwrap();
    store.empty_trash().unwrap();
    assert_eq!(store.usage().unwrap().other_bytes, 0);
}

/// What root of the container writes belongs to BASE on disk; what root owns in the image
/// appears as BASE outside, and so as root inside.
#[test]
fn private_user_namespaces_see_their_own_ids() {
    testkit::isolated(|| {
        let (_directory, store) = store();
        let file = Header::file("f", 0).with_owner(0, 0);
        let user = Header::file("u", 0).with_owner(1000, 1000).with_mode(0o4755);
        let root = Header::directory("./").with_mode(0o755);
        let base = add(&store, &tar(&[(root, b""), (file, b"x"), (user, b"y")]), None).unwrap();
        let top = add(&store, &crate::layer("top=1"), Some(&base.chain_id)).unwrap();
        for chain in [&base.chain_id, &top.chain_id] {
            let id_map = IdMap::contiguous(200_000, 65_536);
            let active = store.prepare(&key("c"), Some(chain), Some(&id_map)).unwrap();
            assert_eq!(fs::metadata(active.upper.as_ref().unwrap()).unwrap().uid(), 200_000);
            let mount = store.mount(&key("c"), MountOptions::default()).unwrap();
            let owner = |path: &str| {
                let stat = rustix::fs::statat(&mount, path, AtFlags::SYMLINK_NOFOLLOW).unwrap();
                (stat.st_uid, stat.st_gid)
            };
            assert_eq!(
                [owner("f"), owner("u"), owner(".")],
                [(200_000, 200_000), (201_000, 201_000), (200_000, 200_000)]
            );
            // A change copies the file up with the shifted owner.
            rustix::fs::chmodat(&mount, "u", Mode::from_raw_mode(0o700), AtFlags::empty()).unwrap();
            let upper = active.upper.unwrap();
            assert_eq!(fs::metadata(upper.join("u")).unwrap().uid(), 201_000);
            // On disk the layer is as it was.
            assert_eq!(fs::metadata(base.path.join("u")).unwrap().uid(), 1000);
            // A commit says ids as they are inside.
            let mut archive = Vec::new();
            store.diff(&key("c"), &mut archive).unwrap();
            let mut reader = archive::tar::Reader::new(&archive[..]);
            let entry = reader.next_entry().unwrap().unwrap();
            assert_eq!((entry.header().trimmed_path(), entry.header().uid), (&b"u"[..], 1000));
            store.remove(&key("c")).unwrap();
        }
        let view = key("view");
        store.view(&view, &base.chain_id, Some(&IdMap::contiguous(300_000, 65_536))).unwrap();
        let mount = store.mount(&view, MountOptions::default()).unwrap();
        assert_eq!(rustix::fs::statat(&mount, "u", AtFlags::empty()).unwrap().st_uid, 301_000);
    });
}
