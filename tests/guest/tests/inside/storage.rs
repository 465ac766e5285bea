//! `--storage-opt size`: a container's layer limited by the project quotas of xfs and of ext4.

use std::fs::{self, File};
use std::process::Command;

use serde_json::Value;
use sys::quota::{Quota, quota};
use testkit::{Strake, run, wait_for};

const LIMITED: [&str; 4] = ["--network", "none", "--storage-opt", "size=4m"];
const COPY: [&str; 4] = ["dd", "if=/big", "of=/more", "bs=1M"];
const KEEP: [&str; 3] = ["busybox", "sleep", "inf"];

/// A host whose data is on this disk.
fn host(disk: &str, kind: &str, options: &str) -> Strake {
    let strake = Strake::new();
    fs::create_dir(strake.root()).unwrap();
    run(Command::new("/bin/busybox").args(["mount", "-t", kind, "-o", options, disk]).arg(strake.root()))
        .ok();
    strake.with_busybox()
}

fn inspect(strake: &Strake, container: &str) -> Value {
    let all: Value = serde_json::from_str(&strake.ok(&["inspect", container])).unwrap();
    all[0].clone()
}

/// The number that the container's files are counted to.
fn project(strake: &Strake, container: &str) -> u32 {
    let id = inspect(strake, container)["Id"].as_str().unwrap().to_owned();
    let file = strake.root().join("snapshots/active").join(id).join("snapshot.json");
    let snapshot: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    snapshot["limit"]["project"].as_u64().unwrap().try_into().unwrap()
}

/// A layer of 4 MiB is a disk of 4 MiB: for what is new and what is copied up, at run time and by `cp`.
fn limits(strake: &Strake, full: &str) {
    strake.ok(&[&["run", "-d", "--name", "small"], &LIMITED[..], &KEEP[..]].concat());
    strake.ok(&[&["run", "-d", "--name", "free"], &LIMITED[..2], &KEEP[..]].concat());
    let write = ["dd", "if=/dev/zero", "of=/big", "bs=1M", "count=8"];
    strake.ok(&[&["exec", "free"], &write[..]].concat());
    let shown = strake.ok(&["exec", "small", "df", "-k", "/"]);
    assert_eq!(shown.lines().last().and_then(|line| line.split_whitespace().nth(1)), Some("4096"), "{shown}");
    strake.run(&[&["exec", "small"], &write[..]].concat()).exits(1).says(full);
    let written: u64 = strake.ok(&["exec", "small", "stat", "-c", "%s", "/big"]).parse().unwrap();
    assert!((2 << 20..=4 << 20).contains(&written), "{written}");
    let big = strake.home().join("more");
    fs::write(&big, vec![1; 3 << 20]).unwrap();
    strake.run(&["cp", &big.to_string_lossy(), "small:/more"]).exits(1).says(full);

    // It says so, and its neighbour has none of it.
    assert_eq!(inspect(strake, "small")["HostConfig"]["StorageOpt"]["size"], "4194304");
    assert!(inspect(strake, "free")["HostConfig"].get("StorageOpt").is_none());
    let told = strake.ok(&["explain", "small"]);
    let line = told.lines().find(|line| line.trim_start().starts_with("limit ") && line.contains("quota"));
    assert!(line.is_some_and(|line| line.contains("4")), "{told}");

    // The same after a restart; and room that is freed is there again.
    strake.ok(&["restart", "-t", "0", "small"]);
    strake.run(&[&["exec", "small"], &write[..]].concat()).exits(1).says(full);
    strake.ok(&["exec", "small", "rm", "/big"]);
    strake.ok(&["exec", "small", "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=3"]);
    // What is made of it has no limit of its own.
    strake.ok(&["commit", "small", "made"]);
    strake.ok(&[&["run", "--rm"], &LIMITED[..2], &["made"], &COPY].concat());
    strake.run(&[&["run", "--rm"], &LIMITED[..], &["made"], &COPY].concat()).exits(0);
}

/// Two have a project each, and it is given back.
fn projects(strake: &Strake) {
    strake.ok(&[&["create", "--name", "other"], &LIMITED[..], &KEEP[..]].concat());
    let (small, other) = (project(strake, "small"), project(strake, "other"));
    assert_ne!(small, other);
    let disk = File::open(strake.root()).unwrap();
    for project in [small, other] {
        assert_eq!(quota(&disk, project).unwrap().limit_bytes, Some(4 << 20));
    }
    strake.ok(&["rm", "-f", "small", "other"]);
    for project in [small, other] {
        // xfs gives the room of deleted files back a little later.
        wait_for("nothing is counted", || (quota(&disk, project).unwrap() == Quota::default()).then_some(()));
    }
    strake.run(&["system", "fsck"]).exits(0);
}

#[test]
fn storage_opt_size_limits_a_layer_on_xfs() {
    let strake = host("/dev/vde", "xfs", "pquota");
    limits(&strake, "No space left on device");
    projects(&strake);
}

#[test]
fn storage_opt_size_limits_a_layer_on_ext4() {
    let strake = host("/dev/vdd", "ext4", "prjquota");
    limits(&strake, "uota exceeded");
    projects(&strake);
}

#[test]
fn a_limit_that_is_not_enforced_is_refused() {
    for (disk, kind, options) in
        [("/dev/vde", "xfs", "noquota"), ("/dev/vde", "xfs", "pqnoenforce"), ("/dev/vdd", "ext4", "noquota")]
    {
        let strake = host(disk, kind, options);
        let said = strake.run(&[&["run", "--rm"], &LIMITED[..], &KEEP[..]].concat());
        said.exits(125).says("supported only for overlay over xfs with 'pquota' mount option");
        assert_eq!(strake.ok(&["ps", "-aq"]), "");
        strake
            .ok(&[&["run", "--rm", "--storage-opt", "size=0"], &LIMITED[..2], &["busybox", "true"]].concat());
    }
}
