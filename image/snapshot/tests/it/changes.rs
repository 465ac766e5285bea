//! What a container has changed: shown, and written as a layer.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use archive::tar::Header;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, XattrFlags};
use snapshot::{ChangeKind, MountOptions, UpperFile};

use crate::tree::{show, show_chain};
use crate::{add, chain, key, store, tar};

fn write(mount: &OwnedFd, path: &str, bytes: &[u8], flags: OFlags) {
    let file = rustix::fs::openat(mount, path, OFlags::WRONLY | flags, Mode::from_raw_mode(0o644)).unwrap();
    File::from(file).write_all(bytes).unwrap();
}

#[test]
fn copied_up_files_are_told_from_new_ones() {
    let (_directory, store) = store();
    let base = add(
        &store,
        &tar(&[
            (Header::file("big", 0), &[1; 5000]),
            (Header::directory("d"), b""),
            (Header::file("d/gone", 0), b"x"),
        ]),
        None,
    );
    let chain = base.unwrap().chain_id;
    store.prepare(&key("c"), Some(&chain), None).unwrap();
    let mount = store.mount(&key("c"), MountOptions::default()).unwrap();
    write(&mount, "big", b"y", OFlags::APPEND);
    write(&mount, "new", &[0; 100], OFlags::CREATE);
    write(&mount, "d/small", &[0; 10], OFlags::CREATE);
    rustix::fs::unlinkat(&mount, "d/gone", AtFlags::empty()).unwrap();
    let report = store.copied_up(&key("c"), 2).unwrap();
    let file = |path: &str, bytes, copied_up| UpperFile { path: PathBuf::from(path), bytes, copied_up };
    assert_eq!(report.largest, [file("/big", 5001, true), file("/new", 100, false)]);
    assert_eq!(report.whiteouts, [PathBuf::from("/d/gone")]);
    assert_eq!((report.bytes, report.entries), (5111, 4));
    assert!(store.changes_bytes(&key("c")).unwrap() >= 5111);
}

/// What docker's `diff` lists: added, changed, deleted, by path.
#[test]
fn changes_are_told_by_path() {
    let (_directory, store) = store();
    let chain = chain(&store, &["a=1 b=1 d/ d/x=1 d/y=1 e/ e/x=1 f=1", "k/ k/z=1 .wh.f"]);
    store.prepare(&key("c"), Some(&chain), None).unwrap();
    assert!(store.changes(&key("c")).unwrap().is_empty());
    let mount = store.mount(&key("c"), MountOptions::default()).unwrap();
    write(&mount, "a", b"changed", OFlags::TRUNC);
    write(&mount, "f", b"again", OFlags::CREATE);
    for name in ["b", "d/x", "d/y"] {
        rustix::fs::unlinkat(&mount, name, AtFlags::empty()).unwrap();
    }
    // A directory that hides the one below.
    rustix::fs::unlinkat(&mount, "d", AtFlags::REMOVEDIR).unwrap();
    rustix::fs::mkdirat(&mount, "d", Mode::from_raw_mode(0o700)).unwrap();
    write(&mount, "d/x", b"n", OFlags::CREATE);
    rustix::fs::mkdirat(&mount, "new", Mode::from_raw_mode(0o700)).unwrap();
    write(&mount, "new/file", b"n", OFlags::CREATE);
    let shown: Vec<String> = store
        .changes(&key("c"))
        .unwrap()
        .iter()
        .map(|change| {
            let kind = match change.kind {
                ChangeKind::Added => 'A',
                ChangeKind::Modified => 'C',
                ChangeKind::Deleted => 'D',
            };
            format!("{kind} {}", change.path.display())
        })
        .collect();
    assert_eq!(shown, ["C /a", "D /b", "C /d", "C /d/x", "D /d/y", "A /f", "A /new", "A /new/file"]);
}

/// All kinds of changes, written as a layer, committed on the same chain: the container's
/// view again.
#[test]
fn a_diff_on_its_own_chain_is_the_containers_view() {
    let (_directory, store) = store();
    let chain = chain(&store, &["a=1 b=1 d/ d/x=1 d/y=1 e/ e/x=1 l->a", "k/ k/z=1"]);
    store.prepare(&key("c"), Some(&chain), None).unwrap();
    let mount = store.mount(&key("c"), MountOptions::default()).unwrap();
    write(&mount, "a", b"changed", OFlags::TRUNC);
    rustix::fs::unlinkat(&mount, "b", AtFlags::empty()).unwrap();
    for name in ["d/x", "d/y"] {
        rustix::fs::unlinkat(&mount, name, AtFlags::empty()).unwrap();
    }
    rustix::fs::unlinkat(&mount, "d", AtFlags::REMOVEDIR).unwrap();
    rustix::fs::mkdirat(&mount, "d", Mode::from_raw_mode(0o700)).unwrap();
    write(&mount, "d/new", b"n", OFlags::CREATE);
    rustix::fs::unlinkat(&mount, "e/x", AtFlags::empty()).unwrap();
    rustix::fs::linkat(&mount, "d/new", &mount, "hard", AtFlags::empty()).unwrap();
    rustix::fs::symlinkat("target", &mount, "s").unwrap();
    rustix::fs::mknodat(&mount, "pipe", FileType::Fifo, Mode::RUSR, 0).unwrap();
    rustix::fs::mknodat(&mount, "socket", FileType::Socket, Mode::RUSR, 0).unwrap();
    let file = rustix::fs::openat(&mount, "a", OFlags::RDONLY, Mode::empty()).unwrap();
    rustix::fs::fsetxattr(&file, "user.key", b"value", XattrFlags::empty()).unwrap();
    drop(file);

    let mut archive = Vec::new();
    let summary = store.diff(&key("c"), &mut archive).unwrap();
    // b, e/x, and the directory d that hides the one below.
    assert_eq!(summary.whiteouts, 3);
    let mut again = Vec::new();
    store.diff(&key("c"), &mut again).unwrap();
    assert!(archive == again, "equal changes give equal bytes");

    let top = add(&store, &archive, Some(&chain)).unwrap();
    rustix::fs::unlinkat(&mount, "socket", AtFlags::empty()).unwrap();
    assert_eq!(show_chain(&store, &top.chain_id), show(&mount));
    assert_eq!(show(&mount), "a=changed d/ d/new=n e/ hard=n k/ k/z=1 l->a pipe? s->target");
    let mut value = [0; 8];
    let count = rustix::fs::getxattr(top.path.join("a"), "user.key", &mut value).unwrap();
    assert_eq!(&value[..count], b"value");
    use std::os::unix::fs::MetadataExt;
    let stat = |path: &str| std::fs::metadata(top.path.join(path)).unwrap();
    assert_eq!(stat("hard").ino(), stat("d/new").ino());
    assert_eq!(stat("d").mode() & 0o7777, 0o700);
}

#[test]
fn no_changes_give_an_empty_layer() {
    let (_directory, store) = store();
    let chain = chain(&store, &["a=1"]);
    store.prepare(&key("c"), Some(&chain), None).unwrap();
    let mut archive = Vec::new();
    assert_eq!(store.diff(&key("c"), &mut archive).unwrap().entries, 0);
    assert_eq!(archive, vec![0; 1024]);
}
