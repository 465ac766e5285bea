//! What the container writes, in docker's form.

use std::fs;

use shim::{LogConfig, LogOptions, LogReader, LogStream};
use testkit::isolated;

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
