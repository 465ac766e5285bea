//! Layers that are made to do harm: refused with the entry named, nothing outside
//! touched, nothing partial visible.

use std::fs;
use std::path::Path;
use std::process::Command;

use archive::compression::{Compression, Encoder};
use archive::tar::{Header, Kind};
use base::{Classified, Digest, ErrorClass};
use proptest::prelude::*;
use snapshot::{Error, LayerSpec, Limits, Snapshots, open_layer};
use testkit::{TempDir, run};

use crate::{add, chain, layer, spec, stage, store, tar};

/// What is around the store: nothing of it may change.
fn canary(directory: &TempDir) {
    fs::create_dir_all(directory.join("outside/dir")).unwrap();
    fs::write(directory.join("outside/file"), "canary").unwrap();
}

/// Everything below a directory but the store's lock, with times.
fn picture(directory: &Path) -> String {
    let listed = run(Command::new("find").arg(directory).args([
        "!",
        "-name",
        "lock",
        "-type",
        "f",
        "-printf",
        "%p %m %U %s %n %C@\n",
        "-o",
        "!",
        "-type",
        "f",
        "-printf",
        "%p %y %m %U %l\n",
    ]));
    let mut lines: Vec<&str> = listed.ok().lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

fn chain_of_messages(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

/// Unpacks `archive` on top of `below`; it must be refused with all of `says` in the error.
#[track_caller]
fn refused_on(below: &[&str], archive: &[u8], says: &[&str]) {
    let (directory, store) = store();
    canary(&directory);
    let parent = (!below.is_empty()).then(|| chain(&store, below));
    let before = picture(directory.path());
    let error = match add(&store, archive, parent.as_ref()) {
        Ok(layer) => panic!("was unpacked at {}", layer.path.display()),
        Err(error) => error,
    };
    let text = chain_of_messages(&error);
    says.iter().for_each(|part| assert!(text.contains(part), "{text:?} does not say {part:?}"));
    assert_eq!(picture(directory.path()), before, "{text}");
    assert!(matches!(error, Error::Apply { .. }), "{text}");
}

#[track_caller]
fn refused(archive: &[u8], says: &[&str]) {
    refused_on(&[], archive, says);
}

/// One entry after a harmless one.
fn with(header: Header) -> Vec<u8> {
    tar(&[(Header::file("harmless", 0), b"x"), (header, b"")])
}

#[test]
fn names_that_climb() {
    for name in [
        "..",
        "../x",
        "../../../../outside/file",
        "a/../../x",
        "a/..",
        "./../x",
        "a/../b",
        "../",
        "x/../../outside/file",
    ] {
        refused(&layer(&format!("{name}=evil")), &[&format!("{name:?}"), "climbs out by `..`"]);
        refused(&with(Header::directory(name)), &["climbs out by `..`"]);
        refused(&with(Header::symlink(name, "x")), &["climbs out by `..`"]);
        refused(&with(Header::hard_link(name, "harmless")), &["climbs out by `..`"]);
    }
}

#[test]
fn names_that_are_absolute() {
    for name in ["/etc/passwd", "/", "//x", "/../x"] {
        refused(&layer(&format!("{name}=evil")), &[&format!("{name:?}"), "absolute"]);
    }
}

#[test]
fn absolute_names_are_taken_as_relative_on_demand() {
    let (_directory, store) = store();
    let archive = layer("/cnb/ /cnb/a=1");
    let limits = Limits { absolute_names: true, ..Limits::default() };
    let staged = store.stage(&spec(&archive), snapshot::Hashing::new(&archive[..]), &limits).unwrap();
    let layer = store.commit(staged, None).unwrap();
    assert_eq!(fs::read(layer.path.join("cnb/a")).unwrap(), b"1");
}

#[test]
fn names_that_are_no_names() {
    let long = "x".repeat(256);
    refused(&layer(&format!("{long}=1")), &["longer than 255"]);
    refused(&layer(&format!("d/{long}/f=1")), &["longer than 255"]);
    refused(&layer(&format!("{}=1", "ab/".repeat(1400) + "f")), &["4095"]);
    refused(&with(Header::hard_link("l", format!("d/{long}"))), &["\"l\"", "hard link"]);
}

#[test]
fn paths_through_symbolic_links_of_the_layer() {
    for (entries, through) in [
        ("l->/outside l/file=evil", "l"),
        ("l->../../../../outside l/file=evil", "l"),
        ("l->. l/x=1", "l"),
        ("d/ d/l->.. d/l/x=1", "d/l"),
        ("a->b b->/ a/x=1", "a"),
        ("l->/ l/x/y/z=1", "l"),
        ("l->/outside l/new/ ", "l"),
        ("l->/outside l/link->x", "l"),
        ("f=1 l->/outside l/hard=>f", "l"),
        ("l->/outside l/.wh.file", "l"),
        ("l->/outside l/.wh..wh..opq", "l"),
        ("l->/proc/self/fd/0 l/x=1", "l"),
        // A directory made a link, then written through.
        ("d/ d->/outside d/file=evil", "d"),
        ("d->/outside d/file=evil", "d"),
    ] {
        refused(&layer(entries), &["symbolic link", &format!("{through:?}")]);
    }
}

#[test]
fn hard_links_that_reach_out() {
    for (entries, says) in [
        ("l=>../outside/file", "outside the layer"),
        ("l=>../../etc/passwd", "outside the layer"),
        ("l=>l", "the link itself"),
        ("l=>.", "outside the layer"),
        ("l=>/", "outside the layer"),
        ("l=>./l", "the link itself"),
        ("l=>a/../../x", "outside the layer"),
        ("s->/outside l=>s/file", "symbolic link"),
        ("f=1 l=>f/x", "not a directory"),
        ("d/ l=>d", "cannot be linked"),
        ("l=>/etc/passwd", "neither in this layer nor in those below"),
        ("l=>missing", "neither in this layer nor in those below"),
        (".wh.gone l=>gone", "cannot be linked"),
        ("a=>b b=>a", "neither in this layer nor in those below"),
    ] {
        refused(&layer(entries), &[says]);
    }
}

/// A hard link to a symbolic link is one to the link: nobody follows it.
#[test]
fn a_hard_link_to_a_symbolic_link_is_not_followed() {
    let (directory, store) = store();
    canary(&directory);
    let outside = directory.join("outside/file");
    let archive = layer(&format!("s->{} l=>s l=evil", outside.display()));
    let layer = add(&store, &archive, None).unwrap();
    assert_eq!(fs::read_to_string(&outside).unwrap(), "canary");
    assert_eq!(fs::read_to_string(layer.path.join("l")).unwrap(), "evil");
}

#[test]
fn whiteouts_with_a_trick() {
    for (entries, says) in [
        (".wh.", "whiteout of nothing"),
        ("d/.wh.", "whiteout of nothing"),
        (".wh..", "of `.`"),
        (".wh...", "of `..`"),
        ("d/.wh...", "of `..`"),
        (".wh.d/f=1", "inside its path"),
        (".wh..wh..opq/f=1", "inside its path"),
        ("a/.wh.b/c/ ", "inside its path"),
        (".wh.f=content", "not an empty file"),
        (".wh.d/", "not an empty file"),
        (".wh.l->/outside", "not an empty file"),
        ("d/.wh..wh..opq->x", "not an empty file"),
        ("../.wh.outside", "climbs out"),
        ("f=1 f/.wh.x", "not a directory"),
    ] {
        refused(&layer(entries), &[says]);
    }
    refused(
        &with(Header::new(".wh.x", Kind::CharDevice { major: 1, minor: 3 }, 0o600, 0)),
        &["not an empty file"],
    );
}

#[test]
fn marks_of_overlayfs() {
    refused(
        &with(Header::new("x", Kind::CharDevice { major: 0, minor: 0 }, 0, 0)),
        &["\"x\"", "0:0", "deletion"],
    );
    for name in [
        "trusted.overlay.opaque",
        "trusted.overlay.redirect",
        "trusted.overlay.metacopy",
        "trusted.overlay.overlay.opaque",
        "user.overlay.whiteout",
    ] {
        refused(&with(Header::directory("d").with_xattr(name, "y")), &["\"d/\"", name]);
        refused(&with(Header::file("f", 0).with_xattr(name, "/etc")), &["\"f\"", name]);
        refused(&with(Header::directory("./").with_xattr(name, "y")), &[name]);
    }
}

#[test]
fn kinds_that_do_not_fit() {
    refused(&with(Header::symlink("./", "/outside")), &["root directory"]);
    refused(&layer("./=file"), &["root directory"]);
    refused(&with(Header::hard_link(".", "harmless")), &["root directory"]);
    refused(&with(Header::new("x", Kind::Other(b'Z'), 0o644, 0)), &["\"x\"", "'Z'"]);
    refused(&with(Header::new("x", Kind::Other(b'M'), 0o644, 0)), &["'M'"]);
    refused(&layer("f=1 f/x=1"), &["\"f/x\"", "not a directory"]);
    refused(&layer("d/x=1 d=file"), &["\"d\"", "has filled"]);
    refused(&layer("d/x=1 d->/outside"), &["\"d\"", "has filled"]);
    refused(&with(Header::symlink("s", "")), &["empty target"]);
    refused(&with(Header::symlink("s", "x".repeat(4096))), &["beyond 4095"]);
}

#[test]
fn numbers_that_wrap() {
    for id in [u64::from(u32::MAX), 1 << 32, 1 << 33] {
        refused(&with(Header::file("f", 0).with_owner(id, 0)), &["\"f\"", "owner"]);
        refused(&with(Header::file("f", 0).with_owner(0, id)), &["\"f\"", "owner"]);
    }
    refused(
        &with(Header::new("c", Kind::CharDevice { major: 5000, minor: 1 }, 0o600, 0)),
        &["device number"],
    );
    refused(
        &with(Header::new("b", Kind::BlockDevice { major: 8, minor: 1 << 20 }, 0o600, 0)),
        &["device number"],
    );
}

#[test]
fn tricks_with_what_is_below() {
    refused_on(&["f=1"], &layer("f/x=1"), &["\"f\"", "not a directory"]);
    refused_on(&["l->nowhere"], &layer("l/x=1"), &["\"l\"", "symbolic link"]);
    refused_on(&["l->l"], &layer("l/x=1"), &["\"l\"", "symbolic link"]);
    refused_on(&["f=1 l->f"], &layer("l/x=1"), &["\"l\"", "symbolic link"]);
    refused_on(&["d/ d/x=1"], &layer("l=>d"), &["cannot be linked"]);
    refused_on(&["f=1"], &layer(".wh.f l=>f"), &["cannot be linked"]);
    refused_on(&["d/ d/f=1"], &layer("d/.wh..wh..opq l=>d/f"), &["neither"]);
    refused_on(&["t/ l->t"], &layer("t/ t/x=1 l/x=2"), &["\"l/x\"", "symbolic link"]);
    refused_on(&["t/ l->t"], &layer("t=file l/x=2"), &["not a directory"]);
    // The host's /etc/passwd is no file of the layers below.
    refused_on(&["l->/etc"], &layer("x=>l/passwd"), &["neither"]);
    refused_on(&["l->../../../../../../etc"], &layer("x=>l/passwd"), &["neither"]);
}

/// Where a link below leads is taken within the image, however it is written.
#[test]
fn a_link_below_cannot_lead_out() {
    let (directory, store) = store();
    canary(&directory);
    let outside = directory.join("outside");
    let base = add(&store, &tar(&[(Header::symlink("l", outside.to_str().unwrap()), b"")]), None).unwrap();
    let before = picture(&outside);
    add(&store, &layer("l/file=evil"), Some(&base.chain_id)).unwrap_err();
    assert_eq!(picture(&outside), before);
}

#[track_caller]
fn beyond(archive: &[u8], limits: Limits, says: &str) {
    let (directory, store) = store();
    let before = picture(directory.path());
    let error = store.stage(&spec(archive), snapshot::Hashing::new(archive), &limits).unwrap_err();
    let text = chain_of_messages(&error);
    assert!(text.contains(says), "{text}");
    assert_eq!(error.class(), ErrorClass::ResourceExhausted, "{text}");
    assert_eq!(picture(directory.path()), before);
}

#[test]
fn bombs_of_entries_and_bytes() {
    let limits = Limits { entries: 10, file_bytes: 100, file_length: 1000, ..Limits::default() };
    beyond(&layer(&"f=1 ".repeat(11)), limits, "10 entries");
    beyond(
        &tar(&[(Header::file("a", 0), &[0; 60]), (Header::file("b", 0), &[0; 60])]),
        limits,
        "100 bytes of file content",
    );
    beyond(&tar(&[(Header::file("a", 0), &[0; 1001])]), limits, "1000 bytes of one file");
}

fn packed(content: &[u8], compression: Compression) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), compression).unwrap();
    std::io::Write::write_all(&mut encoder, content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn bombs_that_inflate() {
    let archive = tar(&[(Header::file("zeros", 0), &vec![0; 8 << 20])]);
    for compression in [Compression::Gzip, Compression::Zstd] {
        let blob = packed(&archive, compression);
        for (limits, says) in [
            (Limits { archive_bytes: 1 << 20, ..Limits::default() }, "beyond the limit of 1048576 bytes"),
            (Limits { ratio: 100, ratio_from: 1 << 20, ..Limits::default() }, "inflates more than 100 times"),
        ] {
            let (directory, store) = store();
            let before = picture(directory.path());
            let stream = open_layer(&blob[..], Some(compression), &limits).unwrap();
            let error = store.stage(&spec(&archive), stream, &limits).unwrap_err();
            assert!(chain_of_messages(&error).contains(says), "{}", chain_of_messages(&error));
            assert_eq!(error.class(), ErrorClass::ResourceExhausted);
            assert_eq!(picture(directory.path()), before);
        }
    }
}

/// A sparse file of a petabyte in a kilobyte of archive.
#[test]
fn bombs_of_holes() {
    let record = |text: &str| {
        let length = (1..100).find(|n: &usize| n.to_string().len() + text.len() + 2 == *n).unwrap();
        format!("{length} {text}\n")
    };
    let records = ["GNU.sparse.map=0,1", "GNU.sparse.size=1125899906842624"].map(record).concat();
    let mut archive = tar(&[(Header::file("pax", 0), records.as_bytes()), (Header::file("hole", 0), b"x")]);
    archive[156] = b'x';
    let sum: u32 = archive[..512]
        .iter()
        .enumerate()
        .map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) })
        .sum();
    archive[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    beyond(&archive, Limits::default(), "bytes of one file");
}

/// Names of very many directories and deletions do not fill the memory.
#[test]
fn bombs_of_names() {
    let mut archive = archive::tar::Writer::new(Vec::new());
    let deep = "d/".repeat(500);
    for n in 0..60_000 {
        archive.append_empty(&Header::file(format!("{deep}.wh.{n}"), 0)).unwrap();
    }
    beyond(&archive.finish().unwrap(), Limits::default(), "bytes of names");
}

#[test]
fn a_wrong_diff_id_is_refused_with_both_named() {
    let (directory, store) = store();
    let before = picture(directory.path());
    let archive = layer("a=1");
    let wrong = LayerSpec { diff_id: Digest::sha256_of(b"other"), blob: None, blob_size: None };
    let error = store.stage(&wrong, snapshot::Hashing::new(&archive[..]), &Limits::default()).unwrap_err();
    let text = chain_of_messages(&error);
    assert!(
        text.contains(&wrong.diff_id.to_string()) && text.contains(&Digest::sha256_of(&archive).to_string()),
        "{text}"
    );
    assert_eq!(error.class(), ErrorClass::Corrupt);
    assert_eq!(picture(directory.path()), before);
}

#[test]
fn cut_and_damaged_archives_leave_nothing() {
    let whole = layer("a=1 d/ d/b=2 l->a");
    for length in (0..whole.len()).step_by(700) {
        let (directory, store) = store();
        let before = picture(directory.path());
        let spec = spec(&whole);
        store.stage(&spec, snapshot::Hashing::new(&whole[..length]), &Limits::default()).unwrap_err();
        assert_eq!(picture(directory.path()), before, "{length}");
    }
    let blob = packed(&whole, Compression::Gzip);
    let (directory, store) = store();
    let before = picture(directory.path());
    let stream = open_layer(&blob[..blob.len() - 9], None, &Limits::default()).unwrap();
    store.stage(&spec(&whole), stream, &Limits::default()).unwrap_err();
    assert_eq!(picture(directory.path()), before);
}

/// A full disk: the entry and the reason are named, and the space is free again.
#[test]
fn a_full_disk_leaves_nothing() {
    testkit::isolated(|| {
        let directory = TempDir::new();
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m,nr_inodes=200", "tmpfs"])
            .arg(directory.path()))
        .ok();
        let store = Snapshots::open(&directory.join("snapshots")).unwrap();
        let small = chain(&store, &["a=1"]);
        let free = || rustix::fs::statfs(directory.path()).map(|stat| (stat.f_bfree, stat.f_ffree)).unwrap();
        let before = free();
        let large = tar(&[(Header::file("large", 0), &vec![1; 6 << 20])]);
        let error = stage(&store, &large).unwrap_err();
        let text = chain_of_messages(&error);
        assert!(text.contains("create \"large\": write: No space left on device"), "{text}");
        assert_eq!((error.class(), free()), (ErrorClass::ResourceExhausted, before));
        let many: String = (0..300).map(|n| format!("f{n}= ")).collect();
        let error = stage(&store, &layer(&many)).unwrap_err();
        assert!(chain_of_messages(&error).contains("No space left on device"));
        assert_eq!((error.class(), free()), (ErrorClass::ResourceExhausted, before));
        assert_eq!(crate::tree::show_chain(&store, &small), "a=1");
    });
}

/// Something that a process with the store's lock could see of a staged layer.
#[test]
fn a_staged_layer_is_not_visible() {
    let (_directory, store) = store();
    let archive = layer("a=1");
    let staged = stage(&store, &archive).unwrap();
    assert!(!store.contains(&spec(&archive).diff_id).unwrap());
    assert_eq!(store.chains().unwrap(), []);
    drop(staged);
    assert_eq!(store.usage().unwrap().other_bytes, 0);
}

fn word() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("a"),
        Just("b"),
        Just("c"),
        Just(".."),
        Just("."),
        Just(""),
        Just(".wh.a"),
        Just(".wh.b"),
        Just(".wh..wh..opq"),
        Just(".wh...")
    ];
    proptest::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"))
}

fn entries() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![Just("="), Just("/"), Just("->"), Just("=>"), Just("")];
    let target = prop_oneof![word(), Just("/outside".to_owned()), Just("../../outside/file".to_owned())];
    let entry = (word(), kind, target).prop_filter_map("a name", |(path, kind, target)| {
        let (path, target) = (path.as_bytes(), target.as_bytes());
        if path.is_empty() {
            return None;
        }
        Some(match kind {
            "/" => Header::directory(path),
            "->" => Header::symlink(path, target),
            "=>" => Header::hard_link(path, target),
            _ => Header::file(path, 0),
        })
    });
    proptest::collection::vec(entry, 1..10)
        .prop_map(|headers| tar(&headers.into_iter().map(|header| (header, &b""[..])).collect::<Vec<_>>()))
}

fn unpack_all(store: &Snapshots, layers: &[Vec<u8>]) -> Result<(), Error> {
    let mut parent = None;
    for layer in layers {
        parent = Some(add(store, layer, parent.as_ref())?.chain_id);
        crate::tree::show_chain(store, parent.as_ref().unwrap());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever entries come in whatever order on whatever layers: nothing outside changes,
    /// and what was taken can be mounted and shows no whiteouts.
    #[test]
    fn nothing_gets_out(layers in proptest::collection::vec(entries(), 1..4)) {
        let (directory, store) = store();
        canary(&directory);
        let outside = directory.join("outside");
        let before = picture(&outside);
        let _ = unpack_all(&store, &layers);
        prop_assert_eq!(picture(&outside), before);
        store.empty_trash().unwrap();
        let usage = store.usage().unwrap();
        prop_assert_eq!((usage.other_bytes, usage.snapshots), (0, 0));
    }
}
