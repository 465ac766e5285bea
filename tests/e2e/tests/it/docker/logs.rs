//! Rotated logs that are compressed: the same to whoever reads them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use testkit::{Strake, isolated, run, wait_for};

use super::room::disk;
use crate::inspect;

/// The files of a container's log: their endings after its name, in order.
fn endings(log: &Path) -> Vec<String> {
    let name = log.file_name().unwrap().to_string_lossy().into_owned();
    let beside = fs::read_dir(log.parent().unwrap()).unwrap().flatten();
    let names = beside.map(|file| file.file_name().to_string_lossy().into_owned());
    let mut endings: Vec<String> =
        names.filter_map(|file| file.strip_prefix(&name).map(str::to_owned)).collect();
    endings.retain(|ending| ending != ".lock");
    endings.sort();
    endings
}

fn log(strake: &Strake, name: &str) -> PathBuf {
    PathBuf::from(inspect(strake, name)["LogPath"].as_str().unwrap())
}

fn seq(first: u32, last: u32) -> String {
    (first..=last).map(|number| number.to_string()).collect::<Vec<_>>().join("\n")
}

#[test]
fn compressed_files_are_read_followed_counted_and_removed_like_others() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let options = ["--log-opt", "compress=true", "--log-opt", "max-size=16k", "--log-opt", "max-file=50"];
        let script = "seq 3000; read next; seq 3001 4000";
        let run_it = ["run", "-di", "--name", "much", "--network", "none"];
        strake.ok(&[&run_it[..], &options[..], &["busybox", "sh", "-c", script]].concat());
        let path = log(&strake, "much");
        let all_compressed = |count| {
            let endings = endings(&path);
            let compressed = endings.iter().filter(|ending| ending.ends_with(".gz")).count();
            (compressed >= count && compressed + 1 == endings.len()).then_some(compressed)
        };
        wait_for("the first lines", || {
            strake.ok(&["logs", "--tail", "1", "much"]).ends_with("3000").then_some(())
        });
        let before = wait_for("what is rotated to be compressed", || all_compressed(2));
        // gzip itself reads them.
        let first = format!("{}.{before}.gz", path.display());
        let oldest = run(Command::new("gzip").args(["-dc", &first]));
        assert!(oldest.ok().starts_with("{\"log\":\"1\\n\""), "{}", oldest.stdout);
        assert_eq!(strake.ok(&["logs", "much"]), seq(1, 3000));
        assert_eq!(strake.ok(&["logs", "--tail", "2500", "much"]), seq(501, 3000));
        let stamps = strake.ok(&["logs", "-t", "--tail", "2990", "much"]);
        let since = stamps.split_whitespace().next().unwrap();
        let said = strake.ok(&["logs", "--since", since, "much"]);
        assert!(said.ends_with(&seq(11, 3000)), "since {since}: {} lines", said.lines().count());

        // Followed through rotations and compressions until it ends.
        let follower = strake.background(&["logs", "-f", "--tail", "10", "much"]);
        let mut attached = strake.command(&["attach", "much"]);
        let mut attached = attached.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        attached.stdin.take().unwrap().write_all(b"go\n").unwrap();
        attached.wait().unwrap();
        let followed = follower.wait();
        assert_eq!(String::from_utf8_lossy(&followed.stdout).trim_end(), seq(2991, 4000));
        wait_for("the rest to be compressed", || all_compressed(before + 1));
        assert_eq!(strake.ok(&["logs", "much"]), seq(1, 4000));

        let (sum, du) = disk(&strake);
        assert_eq!(sum, du, "compressed files are counted");
        let shown = &inspect(&strake, "much")["HostConfig"]["LogConfig"]["Config"];
        assert_eq!(shown["compress"], "true");
        strake.ok(&["rm", "much"]);
        assert!(!path.parent().unwrap().exists(), "nothing is left");
    });
}

#[test]
fn local_compresses_unless_it_is_told_not_to() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let fill = |name: &str, more: &[&str]| {
            let options = ["--log-driver", "local", "--log-opt", "max-size=16k", "--log-opt", "max-file=3"];
            let start = ["run", "--name", name, "--network", "none"];
            strake.run(&[&start[..], &options[..], more, &["busybox", "seq", "3000"]].concat()).ok();
            log(&strake, name)
        };
        let compressed = fill("small", &[]);
        wait_for("compressed files", || (endings(&compressed) == ["", ".1.gz", ".2.gz"]).then_some(()));
        assert!(strake.ok(&["logs", "small"]).ends_with("\n3000"));
        let plain = fill("plain", &["--log-opt", "compress=false"]);
        assert_eq!(endings(&plain), ["", ".1", ".2"]);
        let refused =
            ["run", "--rm", "--log-opt", "compress=true", "--log-opt", "max-file=1", "busybox", "true"];
        strake.run(&refused).exits(125).says("compress cannot be true when max-file is less than 2");
    });
}
