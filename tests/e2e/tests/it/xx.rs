//! Rows XX-01, XX-02 and the rest of clarity: explain, why, the hand tools.

use std::process::Command;

use serde_json::Value;
use testkit::registry::Registry;
use testkit::{Strake, images, isolated, run};

use crate::{ns_inode, pid, sleeper};

#[test]
fn xx_01_where_the_os_is() {
    isolated(|| {
        let registry = Registry::start();
        let debian = registry.push_layout(&images::debian_layout(), "latest", "debian:1");
        let strake = Strake::new();
        strake.ok(&["run", "-d", "--name", "os", "--network", "none", &debian, "sleep", "3600"]);
        let explained = strake.ok(&["explain", "os"]);
        let kernel = run(Command::new("uname").arg("-r"));
        assert!(explained.contains(kernel.ok()), "the kernel:\n{explained}");
        assert!(explained.contains("Debian GNU/Linux"), "the user space:\n{explained}");
        assert!(
            explained.contains("shared") || explained.contains("same kernel"),
            "what is shared:\n{explained}"
        );
    });
}

#[test]
fn xx_02_the_isolated_four_come_first() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "four", &[]);
        let explained = strake.ok(&["explain", "four"]);
        let at = |word: &str| {
            explained.to_lowercase().find(word).unwrap_or_else(|| panic!("no {word}:\n{explained}"))
        };
        for four in ["filesystem", "process tree", "network", "users"] {
            assert!(at(four) < at("cgroup"), "{four} stands before the rest:\n{explained}");
        }
        let pid = pid(&strake, "four");
        for kind in ["mnt", "pid", "net", "uts", "ipc"] {
            let inode = ns_inode(pid, kind);
            let inode = inode.trim_start_matches(|c: char| !c.is_ascii_digit()).trim_end_matches(']');
            assert!(explained.contains(inode), "{kind} {inode}:\n{explained}");
        }
    });
}

#[test]
fn explain_json_has_value_source_and_sentence_on_each_line() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "json", &["-m", "64m", "-p", "8081:80"]);
        for subject in ["json".to_owned(), pid(&strake, "json").to_string(), "1".to_owned()] {
            let explained: Value =
                serde_json::from_str(&strake.ok(&["explain", &subject, "--json"])).unwrap();
            let mut lines = 0;
            each_line(&explained, &mut |line| {
                lines += 1;
                for part in ["value", "source", "meaning"] {
                    assert!(line[part].as_str().is_some_and(|text| !text.is_empty()), "{part} of {line}");
                }
            });
            assert!(lines > 20, "{subject}: {lines} lines");
        }
    });
}

fn each_line(value: &Value, visit: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(map) if map.contains_key("value") => visit(value),
        Value::Object(map) => map.values().for_each(|value| each_line(value, visit)),
        Value::Array(items) => items.iter().for_each(|value| each_line(value, visit)),
        _ => {}
    }
}

#[test]
fn why_dead_names_who_sent_the_signal() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let run = |name: &str, command: &[&str]| {
            strake.ok(&[&["run", "-d", "--name", name, "--network", "none", "busybox"], command].concat());
        };
        run("itself", &["sh", "-c", "exit 3"]);
        strake.run(&["wait", "itself"]);
        let why = strake.ok(&["why", "dead", "itself"]);
        assert!(why.contains('3') && why.contains("itself"), "{why}");

        run("deaf", &["sleep", "3600"]);
        strake.ok(&["stop", "--time", "1", "deaf"]);
        let why = strake.ok(&["why", "dead", "deaf"]);
        assert!(why.contains("137") && why.contains("grace") && why.contains("SIGTERM"), "{why}");
        assert!(why.contains("handler"), "PID 1 without a handler is said: {why}");

        run("polite", &["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]);
        strake.ok(&["stop", "polite"]);
        let why = strake.ok(&["why", "dead", "polite"]);
        assert!(why.contains("stop") && !why.contains("grace ran out"), "{why}");

        run("killed", &["sleep", "3600"]);
        strake.ok(&["kill", "killed"]);
        strake.run(&["wait", "killed"]);
        let why = strake.ok(&["why", "dead", "killed"]);
        assert!(why.contains("SIGKILL") || why.contains("signal 9"), "{why}");

        run("alive", &["sleep", "3600"]);
        let why = strake.run(&["why", "dead", "alive"]);
        assert!(why.stdout.contains("running") || why.stderr.contains("running"), "{why:?}");
    });
}

#[test]
fn cgroup_tree_shows_the_container_with_its_limit() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "tree", &["--network", "none", "-m", "64m"]);
        let tree = strake.ok(&["cgroup", "tree", "tree"]);
        assert!(tree.contains("memory") && (tree.contains("64") || tree.contains("67108864")), "{tree}");
    });
}
