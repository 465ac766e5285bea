//! A container's life as docker's users know it: options, formats, exit codes.

use std::io::Write;
use std::process::{Command, Stdio};

use testkit::{Strake, isolated, run, wait_for};

use crate::{inspect, sleeper};

/// Runs a command in a fresh busybox container without network.
fn once(strake: &Strake, options: &[&str], command: &[&str]) -> testkit::Output {
    strake.run(&[&["run", "--rm", "--network", "none"], options, &["busybox"], command].concat())
}

#[test]
fn the_first_container_needs_no_registry() {
    isolated(|| {
        let strake = Strake::new();
        assert!(
            strake.ok(&["run", "--rm", "--network", "none", "strake.local/tools", "id"]).contains("uid=0")
        );
        assert!(strake.ok(&["images"]).contains("strake.local/tools"));
    });
}

#[test]
fn exit_codes_are_dockers() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        once(&strake, &[], &["true"]).exits(0);
        once(&strake, &[], &["sh", "-c", "exit 42"]).exits(42);
        once(&strake, &[], &["sh", "-c", "sh -c 'kill -9 $$'; exit $?"]).exits(137);
        // PID 1 takes no signal from inside that it has no handler for.
        once(&strake, &[], &["sh", "-c", "kill -9 $$"]).exits(0);
        once(&strake, &[], &["/no/such/command"]).exits(127).says("/no/such/command");
        once(&strake, &[], &["/etc/passwd"]).exits(126).says("/etc/passwd");
        once(&strake, &["--no-such-flag"], &["true"]).exits(125).says("--no-such-flag");
        sleeper(&strake, "up", &["--network", "none"]);
        strake.run(&["exec", "up", "sh", "-c", "exit 9"]).exits(9);
        strake.run(&["exec", "up", "/no/such/command"]).exits(127);
        strake.ok(&["kill", "-s", "KILL", "up"]);
        assert_eq!(strake.ok(&["wait", "up"]), "137");
    });
}

#[test]
fn environment_user_workdir_entrypoint_and_labels() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let file = strake.home().join("env");
        std::fs::write(&file, "# comment\nFROM_FILE=1\nHOST_VALUE\n").unwrap();
        let file = file.to_string_lossy().into_owned();
        let options =
            ["-e", "A=b c", "--env-file", &file, "-w", "/work/dir", "-u", "app:2000", "--hostname", "box"];
        let mut command = strake.command(
            &[
                &["run", "--rm", "--network", "none"],
                &options[..],
                &["busybox", "sh", "-c"],
                &["echo $A:$FROM_FILE:$HOST_VALUE:$HOME; pwd; id -u; id -g; hostname"],
            ]
            .concat(),
        );
        let said = run(command.env("HOST_VALUE", "from the host"));
        assert_eq!(said.ok(), "b c:1:from the host:/home/app\n/work/dir\n1000\n2000\nbox");
        let said = once(&strake, &["--entrypoint", "echo"], &["from", "entrypoint"]);
        assert_eq!(said.ok(), "from entrypoint");
        sleeper(&strake, "labelled", &["--network", "none", "-l", "a=b", "--label", "c"]);
        let labels = inspect(&strake, "labelled")["Config"]["Labels"].clone();
        assert_eq!((labels["a"].as_str(), labels["c"].as_str()), (Some("b"), Some("")));
        assert_eq!(strake.ok(&["ps", "-q", "--no-trunc", "--filter", "label=a=b"]).len(), 64);
        assert_eq!(strake.ok(&["ps", "-q", "--filter", "label=a=x"]), "");
    });
}

#[test]
fn standard_input_goes_in_and_streams_come_out_apart() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let mut command = strake.command(&[
            "run",
            "-i",
            "--rm",
            "--network",
            "none",
            "busybox",
            "sh",
            "-c",
            "cat; echo error >&2",
        ]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let sent = "x".repeat(300_000);
        let writer = std::thread::spawn(move || stdin.write_all(sent.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert_eq!(output.stdout.len(), 300_000);
        assert_eq!(output.stderr, b"error\n");
    });
}

#[test]
fn logs_are_kept_followed_and_cut() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let script = "for i in 1 2 3; do echo out $i; done; echo err >&2; read line < /go; echo last";
        let options = ["run", "-d", "--name", "talks", "--network", "none", "--entrypoint", "sh"];
        strake.ok(&[&options[..], &["busybox", "-c", &format!("mkfifo /go; {script}")]].concat());
        wait_for("its lines", || strake.run(&["logs", "talks"]).stderr.contains("err").then_some(()));
        let logs = strake.run(&["logs", "talks"]);
        assert_eq!((logs.stdout.as_str(), logs.stderr.as_str()), ("out 1\nout 2\nout 3\n", "err\n"));
        assert_eq!(strake.run(&["logs", "--tail", "2", "talks"]).stdout, "out 3\n");
        assert!(strake.ok(&["logs", "-t", "--tail", "3", "talks"]).contains("T"));
        let follower = strake.background(&["logs", "-f", "talks"]);
        strake.ok(&["exec", "talks", "sh", "-c", "echo > /go"]);
        let followed = follower.wait();
        assert!(String::from_utf8_lossy(&followed.stdout).ends_with("last\n"));
        let file = inspect(&strake, "talks")["LogPath"].as_str().unwrap().to_owned();
        let first = std::fs::read_to_string(file).unwrap();
        let first: serde_json::Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
        assert_eq!((first["log"].as_str(), first["stream"].as_str()), (Some("out 1\n"), Some("stdout")));
        assert!(first["time"].as_str().unwrap().ends_with('Z'));
    });
}

#[test]
fn create_start_stop_restart_rm_and_names() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let id = strake.ok(&["create", "--name", "life", "--network", "none", "busybox", "sleep", "3600"]);
        assert_eq!(id.len(), 64);
        assert_eq!(inspect(&strake, "life")["State"]["Status"], "created");
        assert_eq!(strake.ok(&["wait", "life"]), "0", "what does not run is not waited for");
        assert_eq!(strake.ok(&["start", "life"]), "life");
        assert_eq!(inspect(&strake, &id[..12])["State"]["Status"], "running");
        strake.run(&["rm", "life"]).exits(1).says("running");
        assert_eq!(strake.ok(&["stop", "-t", "1", "life"]), "life");
        assert_eq!(inspect(&strake, "life")["State"]["ExitCode"], 137);
        strake.ok(&["start", "life"]);
        strake.ok(&["kill", "life"]);
        strake.run(&["wait", "life"]);
        let table = strake.ok(&["ps", "-a"]);
        assert!(table.starts_with("CONTAINER ID   IMAGE     COMMAND"), "{table}");
        assert!(table.contains("Exited (137)") && table.contains("life"), "{table}");
        assert_eq!(strake.ok(&["rm", "life"]), "life");
        strake.run(&["rm", "life"]).exits(1).says("life");
        strake.run(&["start", "life"]).exits(1).says("life");
    });
}

#[test]
fn init_reaps_and_forwards_signals() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "init", &["--network", "none", "--init"]);
        strake.ok(&["exec", "init", "sh", "-c", "(sleep 0.05 &) ; exit 0"]);
        wait_for("the orphan to be reaped", || {
            let states = strake.ok(&["exec", "init", "sh", "-c", "grep -h State /proc/[0-9]*/status"]);
            (!states.contains("zombie")).then_some(())
        });
        strake.ok(&["stop", "-t", "10", "init"]);
        assert_eq!(inspect(&strake, "init")["State"]["ExitCode"], 143, "SIGTERM reached the child");
    });
}

#[test]
fn mounts_volumes_tmpfs_and_their_options() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let dir = strake.home().join("bound");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("file"), "bound").unwrap();
        let dir = dir.to_string_lossy().into_owned();
        let ro = format!("type=bind,source={dir},target=/b,readonly");
        once(&strake, &["--mount", &ro], &["cat", "/b/file"]).exits(0);
        once(&strake, &["--mount", &ro], &["touch", "/b/new"]).exits(1);
        once(&strake, &["-v", &format!("{dir}:/b")], &["touch", "/b/new"]).exits(0);
        let missing = format!("type=bind,source={dir}/missing,target=/b");
        once(&strake, &["--mount", &missing], &["true"]).exits(125).says("missing");
        once(&strake, &["-v", &format!("{dir}/made:/b")], &["true"]).exits(0);
        assert!(strake.home().join("bound/made").is_dir());
        let size = once(
            &strake,
            &["--tmpfs", "/t:size=1m,mode=700"],
            &["sh", "-c", "df -k /t | tail -1; stat -c %a /t"],
        );
        assert!(size.ok().contains("1024") && size.ok().ends_with("700"), "{size:?}");
        let copied = once(&strake, &["-v", "fresh:/etc"], &["cat", "/etc/passwd"]);
        assert!(copied.ok().contains("app:x:1000"), "a new volume gets the image's content");
        let shm = once(&strake, &["--shm-size", "8m"], &["df", "-k", "/dev/shm"]);
        assert!(shm.ok().contains("8192"), "{shm:?}");
    });
}

#[test]
fn namespaces_are_shared_on_demand() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "first", &["--network", "none", "--ipc", "shareable"]);
        let pid = crate::pid(&strake, "first");
        for (option, kind) in [("--pid", "pid"), ("--ipc", "ipc"), ("--network", "net")] {
            let command = ["busybox", "readlink", &format!("/proc/self/ns/{kind}")].map(str::to_owned);
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            let joined = strake.ok(&[&["run", "--rm", option, "container:first"], &command[..]].concat());
            assert_eq!(joined, crate::ns_inode(pid, kind), "{option} container:first");
            let host = strake.ok(&[&["run", "--rm", option, "host"], &command[..]].concat());
            assert_eq!(host, crate::ns_inode("self", kind), "{option} host");
        }
        let host = strake.ok(&["run", "--rm", "--uts", "host", "busybox", "readlink", "/proc/self/ns/uts"]);
        assert_eq!(host, crate::ns_inode("self", "uts"));
    });
}

#[test]
fn ps_formats_and_filters() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "one", &["--network", "none"]);
        strake.ok(&["create", "--name", "two", "--network", "none", "busybox"]);
        assert_eq!(strake.ok(&["ps", "--format", "{{.Names}} {{.Image}} {{.State}}"]), "one busybox running");
        assert_eq!(strake.ok(&["ps", "-a", "--filter", "status=created", "--format", "{{.Names}}"]), "two");
        let json = strake.ok(&["ps", "-a", "--format", "json"]);
        let names: Vec<serde_json::Value> =
            json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(names.len(), 2);
        assert_eq!(names[0]["Names"], "two", "newest first");
    });
}

#[test]
fn small_binaries_are_carried_by_the_big_one() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let alone = strake.home().join("strake");
        std::fs::copy(strake.exe(), &alone).unwrap();
        let mut command = Command::new(&alone);
        command.arg("--root").arg(strake.root()).arg("--state").arg(strake.state());
        command.args(["run", "--rm", "--network", "none", "--cgroup-parent", strake.cgroup().path()]);
        assert_eq!(run(command.args(["busybox", "echo", "alone"])).ok(), "alone");
    });
}

#[test]
fn many_are_stopped_together_and_a_paused_one_is_killed() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let names = ["aa", "bb", "cc", "dd", "ee", "ff", "gg", "hh"];
        for name in names {
            sleeper(&strake, name, &["--network", "none"]);
        }
        // PID 1 without a handler is deaf to SIGTERM, so each takes its whole grace time.
        let before = std::time::Instant::now();
        let said = strake.run(&[&["stop", "-t", "2"], &names[..], &["nobody"]].concat());
        said.exits(1).says("nobody");
        assert_eq!(said.stdout.lines().collect::<Vec<_>>(), names);
        assert!(before.elapsed().as_secs() < 14, "one after the other: {:?}", before.elapsed());
        strake.ok(&["start", "aa"]);
        strake.ok(&["pause", "aa"]);
        strake.run(&["pause", "aa"]).exits(1).says("strake unpause aa");
        strake.ok(&["kill", "aa"]);
        assert_eq!(inspect(&strake, "aa")["State"]["ExitCode"], 137);
    });
}

#[test]
fn what_is_refused_leaves_no_container() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        once(&strake, &["--cidfile", "/nowhere/cid"], &["true"]).exits(125).says("/nowhere/cid");
        strake.run(&["run", "-d", "-a", "stdout", "busybox", "true"]).exits(1).says("exclude each other");
        strake.run(&["run", "-it", "busybox", "true"]).exits(1).says("not a TTY");
        strake.run(&["run", "--bogus", "busybox"]).exits(125).says("unknown option --bogus");
        let cid = strake.home().join("cid");
        let cid = cid.to_str().unwrap();
        once(&strake, &["--cidfile", cid, "--cpus", "-1"], &["true"]).exits(125).says("--cpus \"-1\"");
        assert!(!std::path::Path::new(cid).exists());
        assert_eq!(strake.ok(&["ps", "-aq"]), "");
        once(&strake, &["--cidfile", cid, "--cpus", "0"], &["true"]).exits(0);
        assert_eq!(std::fs::read_to_string(cid).unwrap().len(), 64);
    });
}
