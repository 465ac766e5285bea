//! Bad input: one clear sentence with the object and the fix, the right exit code, nothing left.

use std::process::Command;

use testkit::registry::{Registry, free_port};
use testkit::{Output, Strake, TempDir, bin, images, isolated, run};

use crate::chaos::Traces;
use crate::sleeper;

/// One sentence: a single line that is not a debug dump.
fn one_sentence(said: &Output) {
    let lines: Vec<&str> = said.stderr.trim().lines().collect();
    assert!(!lines.is_empty() && lines.len() <= 3, "{}", said.stderr);
    assert!(!said.stderr.contains("Error {") && !said.stderr.contains("panicked"), "{}", said.stderr);
}

#[test]
fn unknown_image_unreachable_registry_and_bad_names() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        strake.run(&["run", "--rm", "--network", "none", "busybox", "true"]).exits(0);
        let before = Traces::settled(&strake);
        let nobody = format!("127.0.0.1:{}/some/image:1", free_port());
        let said = strake.run(&["run", "--rm", &nobody, "true"]);
        one_sentence(said.exits(125).says(&nobody[..14]));
        let registry = Registry::start();
        let unknown = registry.reference("no/such:image");
        one_sentence(strake.run(&["run", &unknown, "true"]).exits(125).says("no/such"));
        one_sentence(strake.run(&["pull", &unknown]).exits(1).says("no/such"));
        one_sentence(strake.run(&["run", "--pull", "never", &unknown, "true"]).exits(125).says("no/such"));
        one_sentence(strake.run(&["run", "UPPER/Case", "true"]).exits(125).says("UPPER/Case"));
        one_sentence(strake.run(&["rmi", "never-seen"]).exits(1).says("never-seen"));
        drop(registry);
        before.assert_same(&strake);
    });
}

#[test]
fn a_wrong_digest_is_refused() {
    isolated(|| {
        let strake = Strake::new();
        let layout = strake.home().join("layout");
        run(Command::new("cp").arg("-a").arg(images::debian_layout()).arg(&layout)).ok();
        let blobs = layout.join("blobs/sha256");
        let largest = std::fs::read_dir(&blobs)
            .unwrap()
            .flatten()
            .max_by_key(|entry| entry.metadata().unwrap().len())
            .unwrap();
        let mut bytes = std::fs::read(largest.path()).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(largest.path(), bytes).unwrap();
        let archive = strake.home().join("bad.tar");
        run(Command::new("tar").arg("-C").arg(&layout).arg("-cf").arg(&archive).arg(".")).ok();
        let said = strake.run(&["load", "-i", &archive.to_string_lossy()]);
        one_sentence(said.exits(1).says(&largest.file_name().to_string_lossy()));
        assert_eq!(strake.ok(&["images", "-q"]), "");
    });
}

#[test]
fn names_and_ports_in_use_name_their_owner() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "owner", &["-p", "8080:80"]);
        let before = Traces::settled(&strake);
        let again = ["run", "-d", "--name", "owner", "busybox", "true"];
        one_sentence(strake.run(&again).exits(125).says("owner"));
        let port = ["run", "-d", "--name", "second", "-p", "8080:80", "busybox", "true"];
        one_sentence(strake.run(&port).exits(125).says("owner").says("8080"));
        strake.run(&["rm", "-f", "second"]);
        let listener = std::net::TcpListener::bind("0.0.0.0:8081").unwrap();
        let port = ["run", "-d", "--name", "third", "-p", "8081:80", "busybox", "true"];
        one_sentence(strake.run(&port).exits(125).says("8081"));
        drop(listener);
        strake.run(&["rm", "-f", "third"]);
        before.assert_same(&strake);
    });
}

#[test]
fn bad_flags_and_files() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        strake.ok(&["run", "--rm", "--network", "none", "busybox", "true"]);
        let before = Traces::settled(&strake);
        let run = |options: &[&str]| {
            strake.run(&[&["run", "--rm", "--network", "none"], options, &["busybox", "true"]].concat())
        };
        one_sentence(run(&["--env-file", "/no/such/file"]).exits(125).says("/no/such/file"));
        one_sentence(run(&["-m", "lots"]).exits(125).says("lots"));
        one_sentence(run(&["-m", "1k"]).exits(125).says("6"));
        one_sentence(run(&["--cap-add", "NO_SUCH"]).exits(125).says("NO_SUCH"));
        one_sentence(run(&["-p", "99999:1"]).exits(125).says("99999"));
        one_sentence(run(&["-v", "relative/../path:"]).exits(125));
        one_sentence(run(&["--security-opt", "seccomp=/no/such"]).exits(125).says("/no/such"));
        one_sentence(run(&["-u", "nobody-here"]).exits(125).says("nobody-here"));
        one_sentence(strake.run(&["stop", "ghost"]).exits(1).says("ghost"));
        one_sentence(strake.run(&["explain", "ghost"]).exits(1).says("ghost"));
        assert_eq!(strake.ok(&["ps", "-aq"]), "");
        before.assert_same(&strake);
    });
}

#[test]
fn a_bundle_without_a_rootfs() {
    isolated(|| {
        let bundle = TempDir::new();
        let runtime = || {
            let mut command = Command::new(bin("strake-runtime"));
            command.arg("--root").arg(bundle.join("state"));
            command
        };
        run(runtime().arg("spec").arg("--bundle").arg(bundle.path())).ok();
        let config = std::fs::read_to_string(bundle.join("config.json")).unwrap();
        let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
        config["process"]["terminal"] = false.into();
        std::fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        let said = run(runtime().arg("create").arg("--bundle").arg(bundle.path()).arg("lonely"));
        assert_ne!(said.code, 0);
        one_sentence(said.says("rootfs"));
        let state = run(runtime().args(["state", "lonely"]));
        assert_ne!(state.code, 0, "nothing is left: {state:?}");
    });
}

#[test]
fn a_full_disk_is_said_and_nothing_is_left() {
    isolated(|| {
        let registry = Registry::start();
        let debian = registry.push_layout(&images::debian_layout(), "latest", "debian:1");
        let strake = Strake::new();
        std::fs::create_dir_all(strake.root()).unwrap();
        let size = ["-t", "tmpfs", "-o", "size=60m,mode=0700", "tmpfs"];
        run(Command::new("mount").args(size).arg(strake.root())).ok();
        let said = strake.run(&["run", "--rm", "--network", "none", &debian, "true"]);
        one_sentence(said.exits(125).says("No space left"));
        assert_eq!(strake.ok(&["images", "-q"]), "");
        strake.ok(&["image", "prune", "-f"]);
        let used = run(Command::new("du").args(["-sk"]).arg(strake.root()));
        let used: u64 = used.ok().split_whitespace().next().unwrap().parse().unwrap();
        assert!(used < 1024, "{used} KiB are left");
    });
}
