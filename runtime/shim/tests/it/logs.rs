//! What the container writes, in docker's form.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use shim::{LogConfig, LogOptions, LogReader, LogStream, StdinMode};
use testkit::{Dying, TempDir, isolated, wait_until};

use crate::rig::Rig;

#[test]
fn lines_of_both_streams_in_dockers_form() {
    isolated(|| {
        let rig = Rig::shell("echo out; echo err >&2; printf 'no newline'");
        rig.finish();
        let raw = fs::read_to_string(&rig.log.path).unwrap();
        let first = raw.lines().find(|line| line.contains("out")).unwrap();
        let value: serde_json::Value = serde_json::from_str(first).unwrap();
        assert_eq!((&value["log"], &value["stream"]), (&"out\n".into(), &"stdout".into()));
        assert!(shim::Timestamp::parse(value["time"].as_str().unwrap()).is_ok());
        let of = |stream| -> Vec<String> {
            rig.log_entries().into_iter().filter(|e| e.stream == stream).map(|e| e.text).collect()
        };
        assert_eq!(of(LogStream::Stdout), ["out\n", "no newline"]);
        assert_eq!(of(LogStream::Stderr), ["err\n"]);
    });
}

#[test]
fn a_long_line_is_cut_at_16_kib() {
    isolated(|| {
        let rig = Rig::shell("head -c 40000 /dev/zero | tr '\\0' x; echo");
        rig.finish();
        let lengths: Vec<usize> = rig.log_entries().iter().map(|entry| entry.text.len()).collect();
        assert_eq!(lengths, [16384, 16384, 40000 - 2 * 16384 + 1]);
    });
}

#[test]
fn a_flood_is_kept_whole_and_rotated() {
    isolated(|| {
        let mut rig = Rig::shell("seq 1 30000");
        rig.log = LogConfig { max_size: Some(500_000), max_file: 20, ..rig.log };
        rig.finish();
        let expected: String = (1..=30000).map(|n| format!("{n}\n")).collect();
        assert!(rig.log_text() == expected, "every line, in order");
        let first = rig.log.path.with_file_name("log.json.1");
        assert!(fs::metadata(first).unwrap().len() >= 500_000);
    });
}

/// The process that the shim starts to compress. As a test of its own it has nothing to do.
#[test]
fn compressor() {
    if let Some(dying) = Dying::here() {
        shim::compress_rotated(Path::new(&dying.work)).unwrap();
    }
}

/// Its command line; a shim hands on no environment.
fn compress_command(log: &Path) -> Vec<String> {
    let command = Dying::at("nowhere", 0, log.to_str().unwrap()).command("logs::compressor");
    let text = |text: &OsStr| text.to_str().unwrap().to_owned();
    let variables =
        command.get_envs().map(|(name, value)| format!("{}={}", text(name), text(value.unwrap())));
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(text);
    std::iter::once("/usr/bin/env".to_owned()).chain(variables).chain(words).collect()
}

#[test]
fn what_is_rotated_is_compressed_while_it_runs() {
    isolated(|| {
        let mut rig = Rig::shell("seq 1 3000; read end");
        rig.stdin = StdinMode::Open;
        let compress_command = compress_command(&rig.log.path);
        rig.log = LogConfig { max_size: Some(10_000), max_file: 40, compress_command, ..rig.log };
        let (mut client, _) = rig.run();
        let files = || {
            let names = fs::read_dir(rig.record_dir()).unwrap().map(|e| e.unwrap().file_name());
            let names = names
                .map(|name| name.into_string().unwrap())
                .filter(|name| name.starts_with("log.") && !name.ends_with(".lock"));
            names.partition::<Vec<_>, _>(|name| name.ends_with(".gz"))
        };
        let done = || {
            let (packed, plain) = files();
            packed.len() > 3 && plain == ["log.json"]
        };
        rig.wait_for_log("3000\n");
        assert!(wait_until(Duration::from_secs(60), done), "{:?}", files());
        let expected: String = (1..=3000).map(|n| format!("{n}\n")).collect();
        assert!(rig.log_text() == expected, "every line, in order");
        client.kill(9).unwrap();
        client.wait().unwrap();
    });
}

#[test]
fn a_compressor_that_is_killed_costs_nothing() {
    for point in ["log.compressed", "log.linked"] {
        let dir = TempDir::new();
        let path = dir.join("log");
        for index in 1..4 {
            let entry =
                json!({"log": format!("{index}\n"), "stream": "stdout", "time": "2026-01-01T00:00:00Z"});
            fs::write(dir.join(format!("log.{index}")), format!("{entry}\n")).unwrap();
        }
        let read = || {
            let mut reader = LogReader::open(&path, dir.path(), LogOptions::default()).unwrap();
            std::iter::from_fn(|| reader.next_entry().unwrap()).map(|entry| entry.text).collect::<String>()
        };
        for skip in 0..3 {
            let killed = Dying::at(point, skip, path.to_str().unwrap()).is_killed("logs::compressor");
            assert_eq!((killed, read().as_str()), (skip < 2, "3\n2\n1\n"), "{point} {skip}");
        }
        let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["log.1.gz", "log.2.gz", "log.3.gz", "log.lock"], "{point}");
    }
}

#[test]
fn the_driver_none_keeps_nothing() {
    isolated(|| {
        let mut rig = Rig::shell("echo out");
        rig.log = LogConfig::none();
        assert_eq!(rig.finish().code, Some(0));
        let names: Vec<_> =
            fs::read_dir(rig.record_dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["exit.json"]);
    });
}

#[test]
fn following_ends_with_the_container() {
    isolated(|| {
        let rig = Rig::shell("for i in 1 2 3; do echo $i; sleep 0.05; done");
        let (mut client, _) = rig.launch().unwrap();
        let options = LogOptions { follow: true, ..LogOptions::default() };
        let mut reader = LogReader::open(&rig.log.path, &rig.record_dir(), options).unwrap();
        client.start().unwrap();
        let text: String = std::iter::from_fn(|| reader.next_entry().unwrap()).map(|e| e.text).collect();
        assert_eq!(text, "1\n2\n3\n");
    });
}

#[test]
fn a_user_without_rights_may_open_dev_stdout() {
    isolated(|| {
        let mut rig = Rig::shell("echo again > /dev/stdout");
        rig.config["process"]["user"] = serde_json::json!({ "uid": 1000, "gid": 1000 });
        assert_eq!(rig.finish().code, Some(0), "{}", rig.log_text());
        assert_eq!(rig.log_text(), "again\n");
    });
}
