//! One layer's files are exactly what its archive says.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::process::Command;

use archive::compression::{Compression, Encoder};
use archive::tar::{Header, Kind, Timestamp};
use base::Digest;
use snapshot::{LayerSpec, Limits, open_layer};
use testkit::{TempDir, run};

use crate::{add, layer, spec, stage, store, tar};

#[test]
fn everything_that_an_archive_can_say() {
    let (_directory, store) = store();
    let mtime = Timestamp { seconds: 1_234_567_890, nanos: 123_456_789 };
    // A file capability: version 2, cap_net_raw permitted.
    let capability = [1u8, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let long = format!("{}/{}/{}", "a".repeat(255), "b".repeat(255), "c".repeat(255));
    let entries = [
        (Header { mtime, ..Header::directory("d") }.with_mode(0o2775).with_owner(1, 50), &b""[..]),
        (Header { mtime, ..Header::file("d/suid", 0) }.with_mode(0o6755).with_owner(1000, 2000), b"program"),
        (
            Header::file("d/ping", 0)
                .with_mode(0o755)
                .with_owner(3, 4)
                .with_xattr("security.capability", capability),
            b"x",
        ),
        (Header::file("attr", 0).with_xattr("user.one", "1").with_xattr("user.two", vec![0u8, 255]), b""),
        (Header { mtime, ..Header::symlink("link", "/etc/passwd") }.with_owner(9, 9), b""),
        (Header::new("pipe", Kind::Fifo, 0o620, 0), b""),
        (Header::new("null", Kind::CharDevice { major: 1, minor: 3 }, 0o666, 0), b""),
        (
            Header::new("disk", Kind::BlockDevice { major: 259, minor: 70_000 }, 0o660, 0).with_owner(0, 6),
            b"",
        ),
        (Header::file(long.clone(), 0), b"deep"),
        (Header::hard_link("second", "d/suid"), b""),
        (Header::file("big-owner", 0).with_owner(4_000_000_000, 4_294_967_294), b""),
    ];
    let root = add(&store, &tar(&entries), None).unwrap().path;
    let stat = |path: &str| fs::symlink_metadata(root.join(path)).unwrap();
    let what = |path: &str| (stat(path).mode() & 0o7777, stat(path).uid(), stat(path).gid());

    assert_eq!(what("d"), (0o2775, 1, 50));
    assert_eq!(
        (stat("d").mtime(), stat("d").mtime_nsec()),
        (mtime.seconds, 123_456_789),
        "though entries came after it"
    );
    assert_eq!(what("d/suid"), (0o6755, 1000, 2000));
    assert_eq!((stat("d/suid").mtime(), stat("d/suid").mtime_nsec()), (mtime.seconds, 123_456_789));
    assert_eq!((stat("second").ino(), stat("second").nlink()), (stat("d/suid").ino(), 2));
    let attribute = |path: &str, name: &str| {
        let mut value = [0; 64];
        let count = rustix::fs::lgetxattr(root.join(path), name, &mut value).unwrap();
        value[..count].to_vec()
    };
    assert_eq!(attribute("d/ping", "security.capability"), capability);
    assert_eq!(what("d/ping"), (0o755, 3, 4));
    assert_eq!((attribute("attr", "user.one"), attribute("attr", "user.two")), (vec![b'1'], vec![0, 255]));
    assert_eq!(fs::read_link(root.join("link")).unwrap().to_str(), Some("/etc/passwd"));
    assert_eq!((stat("link").uid(), stat("link").gid(), stat("link").mtime()), (9, 9, mtime.seconds));
    assert!(stat("pipe").file_type().is_fifo());
    assert_eq!(what("pipe"), (0o620, 0, 0));
    assert!(stat("null").file_type().is_char_device());
    assert_eq!(stat("null").rdev(), rustix::fs::makedev(1, 3));
    assert!(stat("disk").file_type().is_block_device());
    assert_eq!((stat("disk").rdev(), what("disk")), (rustix::fs::makedev(259, 70_000), (0o660, 0, 6)));
    assert_eq!(fs::read(root.join(&long)).unwrap(), b"deep");
    assert_eq!(what("big-owner"), (0o644, 4_000_000_000, 4_294_967_294));
}

#[test]
fn sparse_files_stay_sparse() {
    let directory = TempDir::new();
    let file = File::create(directory.join("sparse")).unwrap();
    file.set_len(1 << 30).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, b"end", (1 << 30) - 3).unwrap();
    for format in ["--format=gnu", "--format=posix"] {
        let (_directory, store) = store();
        let archive = directory.join("a.tar");
        run(Command::new("tar")
            .args([format, "-S", "-C"])
            .arg(directory.path())
            .arg("-cf")
            .arg(&archive)
            .arg("sparse"))
        .ok();
        let layer = add(&store, &fs::read(&archive).unwrap(), None).unwrap();
        let found = fs::metadata(layer.path.join("sparse")).unwrap();
        assert_eq!(found.len(), 1 << 30);
        assert!(found.blocks() * 512 < 1 << 20, "{format}: {} blocks", found.blocks());
        let mut end = Vec::new();
        let mut file = File::open(layer.path.join("sparse")).unwrap();
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(-4)).unwrap();
        file.read_to_end(&mut end).unwrap();
        assert_eq!(end, b"\0end");
    }
}

#[test]
fn later_entries_replace_earlier_ones() {
    let (_directory, store) = store();
    let layer = add(&store, &layer("a=1 a=22 b=1 b->a c->a c=3 d/ d=4 e=5 e/ e/f=6 g=1 g=>a"), None).unwrap();
    let read = |path: &str| fs::read_to_string(layer.path.join(path)).unwrap();
    assert_eq!(
        (read("a"), read("c"), read("d"), read("e/f"), read("g")),
        ("22".into(), "3".into(), "4".into(), "6".into(), "22".into())
    );
    assert!(fs::symlink_metadata(layer.path.join("b")).unwrap().is_symlink());
    assert_eq!(read("a"), "22", "nothing was written through the link");
}

#[test]
fn the_umask_has_no_say() {
    testkit::isolated(|| {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let (_directory, store) = store();
        let root = add(&store, &layer("d/ d/f=1 implied/f=1"), None).unwrap().path;
        let mode = |path: &str| fs::metadata(root.join(path)).unwrap().mode() & 0o7777;
        assert_eq!((mode("d"), mode("d/f"), mode("implied"), mode("")), (0o755, 0o644, 0o755, 0o755));
    });
}

#[test]
fn compressed_layers_are_taken_by_what_they_are() {
    let archive = layer("a=1 d/ d/b=2");
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let (_directory, store) = store();
        let mut encoder = Encoder::new(Vec::new(), compression).unwrap();
        std::io::Write::write_all(&mut encoder, &archive).unwrap();
        let blob = encoder.finish().unwrap();
        let spec = LayerSpec {
            diff_id: Digest::sha256_of(&archive),
            blob: Some(Digest::sha256_of(&blob)),
            blob_size: Some(blob.len() as u64),
        };
        let stream = open_layer(&blob[..], None, &Limits::default()).unwrap();
        let layer = store.commit(store.stage(&spec, stream, &Limits::default()).unwrap(), None).unwrap();
        assert_eq!((layer.blob, layer.entries, layer.bytes), (spec.blob, 3, 2));
    }
}

#[test]
fn what_follows_the_archive_counts_for_the_diff_id() {
    let (_directory, store) = store();
    let mut archive = layer("a=1");
    archive.extend([0; 10_240]);
    archive.extend(b"anything");
    add(&store, &archive, None).unwrap();
    let shorter = stage(&store, &archive[..archive.len() - 1]).unwrap();
    assert_ne!(*shorter.diff_id(), spec(&archive).diff_id);
}

#[test]
fn an_import_finds_its_own_diff_id() {
    let (_directory, store) = store();
    let archive = layer("a=1");
    let staged = store.stage_import(&archive[..], &Limits::default()).unwrap();
    assert_eq!(*staged.diff_id(), Digest::sha256_of(&archive));
    let layer = store.commit(staged.with_blob(Digest::sha256_of(b"blob"), 4), None).unwrap();
    assert_eq!(layer.blob_size, Some(4));
}

/// Our unpacking of a whole Debian gives what GNU tar's gives.
#[test]
fn a_debian_is_as_tar_unpacks_it() {
    let (directory, store) = store();
    let file = testkit::images::debian_tar();
    let layer = add(&store, &fs::read(&file).unwrap(), None).unwrap();
    let theirs = directory.join("theirs");
    fs::create_dir(&theirs).unwrap();
    run(Command::new("tar")
        .args(["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"])
        .arg(&file)
        .arg("-C")
        .arg(&theirs))
    .ok();
    let list = |root: &std::path::Path| {
        let format = "%P %y %m %U %G %s %n %T@ %l\n";
        let listed = run(Command::new("find").arg(root).args([
            "-type",
            "d",
            "-printf",
            "%P %y %m %U %G %T@\n",
            "-o",
            "-printf",
            format,
        ]));
        let mut lines: Vec<String> = listed.ok().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let (ours, theirs_list) = (list(&layer.path), list(&theirs));
    let differ: Vec<_> = ours.iter().zip(&theirs_list).filter(|(a, b)| a != b).take(5).collect();
    assert!(
        ours == theirs_list,
        "{} and {} entries, first differences {differ:?}",
        ours.len(),
        theirs_list.len()
    );
    // Of device files it only says that there are two.
    run(Command::new("diff").args(["-r", "--no-dereference", "--exclude=dev"]).arg(&layer.path).arg(&theirs))
        .ok();
}
