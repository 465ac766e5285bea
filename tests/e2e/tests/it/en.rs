//! Rows EN-02…EN-05: what docker users do first.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use testkit::registry::Registry;
use testkit::{Strake, Terminal, images, isolated};

use crate::{ns_inode, proc_file, sleeper};

/// Every file below `dir` with what would show that it was made or written anew.
fn files(dir: &Path) -> BTreeMap<String, (u64, i64, i64)> {
    let mut all = BTreeMap::new();
    let mut below = vec![dir.to_owned()];
    while let Some(path) = below.pop() {
        for entry in std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap()) {
            let meta = entry.metadata().unwrap();
            match meta.is_dir() {
                true => below.push(entry.path()),
                false => drop(all.insert(
                    entry.path().display().to_string(),
                    (meta.ino(), meta.mtime(), meta.mtime_nsec()),
                )),
            }
        }
    }
    all
}

/// What makes a warm start quick: all of the image is there, unpacked, and neither a registry nor a
/// daemon is asked. `cargo xtask bench run` prints its p50 and p99 beside the goal of 300 ms and 2 s.
#[test]
fn en_02_a_warm_start_makes_only_what_is_the_containers_own() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let run = || strake.ok(&["run", "--rm", "--network", "none", "busybox", "true"]);
        run();
        let lasting = |files: BTreeMap<String, (u64, i64, i64)>| -> BTreeMap<_, _> {
            // The journal of events grows; everything else of a container is gone with it.
            files.into_iter().filter(|(path, _)| !path.contains("/events/")).collect()
        };
        let before = lasting(files(&strake.root()));
        assert!(
            before.keys().any(|path| path.ends_with("/bin/busybox")),
            "the image is unpacked: {before:?}"
        );
        (0..3).for_each(|_| drop(run()));
        assert_eq!(lasting(files(&strake.root())), before, "nothing was pulled, unpacked or written anew");
    });
}

#[test]
fn en_05_an_image_built_from_debian_packages_runs() {
    isolated(|| {
        let registry = Registry::start();
        let debian = registry.push_layout(&images::debian_layout(), "latest", "debian:1");
        let strake = Strake::new();
        let script = ". /etc/os-release; echo $ID; dpkg --version | head -1; perl -e 'print 6*7, qq(\\n)'";
        let said = strake.ok(&["run", "--rm", &debian, "bash", "-c", script]);
        assert!(said.starts_with("debian\n"), "{said}");
        assert!(said.contains("dpkg") && said.ends_with("42"), "{said}");
    });
}

#[test]
fn en_03_inspect_gives_the_hosts_pid() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "one", &["--network", "none"]);
        sleeper(&strake, "two", &["--network", "none"]);
        let pids = strake.ok(&["inspect", "--format", "{{.State.Pid}}", "one", "two"]);
        let pids: Vec<i64> = pids.lines().map(|line| line.parse().unwrap()).collect();
        let [one, two] = pids[..] else { panic!("{pids:?}") };
        assert_ne!(one, two);
        for pid in [one, two] {
            assert_eq!(proc_file(pid, "cmdline"), "sleep\u{0}3600\u{0}");
            assert_ne!(ns_inode(pid, "pid"), ns_inode("self", "pid"));
        }
        strake.ok(&["stop", "-t", "0", "one"]);
        assert_eq!(strake.ok(&["inspect", "-f", "{{.State.Pid}} {{.State.Running}}", "one"]), "0 false");
    });
}

#[test]
fn en_04_exec_is_like_a_login_terminal_resize_signals_exit_code() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "server", &["--network", "none"]);
        let command = strake.command(&["exec", "-it", "-e", "PS1=in> ", "server", "sh"]);
        let mut terminal = Terminal::spawn(&command, 30, 90);
        terminal.expect("in> ");
        terminal.types("tty; stty size\n");
        terminal.expect("/dev/pts/");
        terminal.expect("30 90");
        terminal.resize(41, 101);
        terminal.types("until stty size | grep 41; do :; done\n");
        terminal.expect("41 101");
        terminal.expect("in> ");
        // Control-C reaches the program in front, and not the shell.
        terminal.types("sh -c 'echo sleeping; exec sleep 3600'\n");
        terminal.expect("sleeping\r\n");
        terminal.types("\x03");
        terminal.expect("in> ");
        terminal.types("echo code $?\n");
        terminal.expect("code 130");
        terminal.types("exit 42\n");
        assert_eq!(terminal.wait().1, 42);
        strake.run(&["exec", "server", "sh", "-c", "kill -TERM $$"]).exits(143);
        assert_eq!(strake.ok(&["inspect", "-f", "{{.State.Running}}", "server"]), "true");
    });
}
