//! GNU tar writes what we read, and reads what we write.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

use archive::tar::{Header, Kind, Reader, Timestamp, Writer};
use testkit::{TempDir, run};

fn tree(root: &Path) -> String {
    let long = format!("{}/{}", "d".repeat(120), "n".repeat(150));
    fs::create_dir_all(root.join("d".repeat(120))).unwrap();
    fs::write(root.join(&long), "long").unwrap();
    fs::write(root.join("plain"), "hello").unwrap();
    fs::hard_link(root.join("plain"), root.join("second")).unwrap();
    symlink("t".repeat(140), root.join("symlink")).unwrap();
    run(Command::new("mkfifo").arg(root.join("pipe"))).ok();
    long
}

fn read(file: &Path) -> Vec<(Header, Vec<u8>)> {
    let mut reader = Reader::new(File::open(file).unwrap());
    let mut found = Vec::new();
    while let Some(mut entry) = reader.next_entry().unwrap() {
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        found.push((entry.into_header(), content));
    }
    found
}

#[track_caller]
fn check(format: &str) {
    let directory = TempDir::new();
    let root = directory.join("root");
    let long = tree(&root);
    let file = directory.join("a.tar");
    let args = ["--sort=name", "--mtime=@1234567890", "--owner=1000", "--group=2000", "-C"];
    run(Command::new("tar").arg(format).args(args).arg(&root).arg("-cf").arg(&file).arg(".")).ok();
    let entries = read(&file);
    let find = |path: &str| {
        let found = entries.iter().find(|(header, _)| header.trimmed_path() == path.as_bytes());
        found.unwrap_or_else(|| panic!("{format}: {path} is missing"))
    };
    assert_eq!(find("plain").1, b"hello");
    assert_eq!(find("plain").0.mtime, Timestamp { seconds: 1_234_567_890, nanos: 0 });
    assert_eq!((find("plain").0.uid, find("plain").0.gid), (1000, 2000));
    assert_eq!((find("second").0.kind, &find("second").0.link[..]), (Kind::HardLink, &b"./plain"[..]));
    assert_eq!(find("").0.kind, Kind::Directory);
    assert_eq!(find(&long).1, b"long");
    assert_eq!(find("symlink").0.link, "t".repeat(140).as_bytes());
    assert_eq!(find("pipe").0.kind, Kind::Fifo);
}

#[test]
fn reads_gnu() {
    check("--format=gnu");
    check("--format=oldgnu");
}

#[test]
fn reads_pax() {
    check("--format=posix");
}

#[test]
fn reads_ustar() {
    let directory = TempDir::new();
    let root = directory.join("root");
    let deep = format!("{}/{}", "d".repeat(90), "n".repeat(90));
    fs::create_dir_all(root.join("d".repeat(90))).unwrap();
    fs::write(root.join(&deep), "prefix").unwrap();
    let file = directory.join("a.tar");
    run(Command::new("tar")
        .args(["--format=ustar", "-C"])
        .arg(&root)
        .arg("-cf")
        .arg(&file)
        .arg("d".repeat(90)))
    .ok();
    let entries = read(&file);
    assert!(entries.iter().any(|(header, content)| header.path == deep.as_bytes() && content == b"prefix"));
}

/// A file with 1 byte at 1 MiB, 4 KiB at 3 MiB and a hole at its end.
fn sparse(path: &Path) -> Vec<u8> {
    let mut file = File::create(path).unwrap();
    file.write_at(b"x", 1 << 20).unwrap();
    file.seek(SeekFrom::Start(3 << 20)).unwrap();
    file.write_all(&[7; 4096]).unwrap();
    file.set_len(5 << 20).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn reads_sparse_files_of_all_formats() {
    let directory = TempDir::new();
    let whole = sparse(&directory.join("sparse"));
    for args in [
        &["--format=gnu", "-S"][..],
        &["--format=oldgnu", "-S"],
        &["--format=posix", "-S", "--sparse-version=0.0"],
        &["--format=posix", "-S", "--sparse-version=0.1"],
        &["--format=posix", "-S", "--sparse-version=1.0"],
    ] {
        let file = directory.join("a.tar");
        run(Command::new("tar")
            .args(args)
            .arg("-C")
            .arg(directory.path())
            .arg("-cf")
            .arg(&file)
            .arg("sparse"))
        .ok();
        let archived = fs::metadata(&file).unwrap().len();
        assert!(archived < 1 << 20, "{args:?}: tar found no holes: {archived}");
        let entries = read(&file);
        let [(header, content)] = &entries[..] else { panic!("{args:?}: {entries:?}") };
        assert_eq!((&header.path[..], header.size), (&b"sparse"[..], 5 << 20), "{args:?}");
        assert!(header.extents.is_some(), "{args:?}");
        assert!(*content == whole, "{args:?}: other content");
    }
}

#[test]
fn reads_sparse_files_of_many_pieces() {
    let directory = TempDir::new();
    let file = File::create(directory.join("sparse")).unwrap();
    for piece in 0..300u64 {
        file.write_at(&[piece as u8; 100], piece * 16384).unwrap();
    }
    drop(file);
    let whole = fs::read(directory.join("sparse")).unwrap();
    for format in ["--format=gnu", "--format=posix"] {
        let archive = directory.join("a.tar");
        run(Command::new("tar")
            .args([format, "-S", "-C"])
            .arg(directory.path())
            .arg("-cf")
            .arg(&archive)
            .arg("sparse"))
        .ok();
        assert!(read(&archive)[0].1 == whole, "{format}");
    }
}

#[test]
fn gnu_tar_reads_ours() {
    let directory = TempDir::new();
    let mut writer = Writer::new(File::create(directory.join("a.tar")).unwrap());
    let long = format!("{}/{}", "d".repeat(120), "n".repeat(150));
    let mtime = Timestamp { seconds: 1_234_567_890, nanos: 500_000_000 };
    writer.append_empty(&Header::directory("d".repeat(120))).unwrap();
    writer.append_bytes(&Header { mtime, ..Header::file(long.clone(), 5) }, b"hello").unwrap();
    writer.append_empty(&Header::hard_link("second", long.clone())).unwrap();
    writer.append_empty(&Header::symlink("ümlaut", "t".repeat(140))).unwrap();
    writer
        .append_bytes(&Header::file("owned", 1).with_owner(5_000_000, 70_000).with_mode(0o4755), b"x")
        .unwrap();
    writer.finish().unwrap();
    let out = directory.join("out");
    fs::create_dir(&out).unwrap();
    run(Command::new("tar").args(["-xpf"]).arg(directory.join("a.tar")).arg("-C").arg(&out)).ok();
    let file = fs::metadata(out.join(&long)).unwrap();
    assert_eq!((file.mtime(), file.mtime_nsec(), file.nlink()), (1_234_567_890, 500_000_000, 2));
    assert_eq!(fs::read(out.join("second")).unwrap(), b"hello");
    assert_eq!(fs::read_link(out.join("ümlaut")).unwrap().as_os_str().len(), 140);
    let owned = fs::metadata(out.join("owned")).unwrap();
    assert_eq!((owned.uid(), owned.gid(), owned.mode() & 0o7777), (5_000_000, 70_000, 0o4755));
}
