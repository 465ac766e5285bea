//! The program's identity, privileges, limits and environment.

use serde_json::json;
use testkit::isolated;

use crate::bundle::{Bundle, CAPS};

fn status(bundle: Bundle, field: &str) -> String {
    let output = bundle.with(|spec| spec["process"]["args"] = json!(["cat", "/proc/self/status"])).run();
    let text = output.ok().to_owned();
    let prefix = format!("{field}:");
    text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().trim().to_owned()
}

#[test]
fn se_01_the_five_capability_sets() {
    isolated(|| {
        let mask: u64 = sys::capability::parse("CHOWN")
            .map(|_| ())
            .map(|()| CAPS.iter().fold(0, |mask, name| mask | 1 << sys::capability::parse(name).unwrap()))
            .unwrap();
        let hex = format!("{mask:016x}");
        for field in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(status(Bundle::new(), field), hex, "{field}");
        }
        for field in ["CapInh", "CapAmb"] {
            assert_eq!(status(Bundle::new(), field), "0000000000000000", "{field}");
        }
    });
}

#[test]
fn an_ambient_capability_survives_a_change_of_user() {
    isolated(|| {
        let bundle = Bundle::new().with(|spec| {
            spec["process"]["user"] = json!({ "uid": 1000, "gid": 1000, "additionalGids": [5, 6], "umask": 0o027 });
            let caps = json!(["CAP_NET_BIND_SERVICE"]);
            spec["process"]["capabilities"] =
                json!({ "bounding": caps, "effective": caps, "permitted": caps, "inheritable": caps, "ambient": caps });
        });
        let bundle = bundle.script("id; umask; grep CapEff /proc/self/status; echo $HOME");
        let output = bundle.run();
        let text = output.ok();
        assert!(text.contains("uid=1000(u) gid=1000 groups=5,6"), "{text}");
        assert!(text.contains("0027") && text.contains("CapEff:\t0000000000000400"), "{text}");
        assert!(text.ends_with("/home/u"), "{text}");
    });
}

#[test]
fn no_new_privileges_is_on_or_off() {
    isolated(|| {
        assert_eq!(status(Bundle::new(), "NoNewPrivs"), "1");
        let off = Bundle::new().with(|spec| spec["process"]["noNewPrivileges"] = json!(false));
        assert_eq!(status(off, "NoNewPrivs"), "0");
    });
}

#[test]
fn rlimits_are_set_and_those_that_cannot_be_raised_are_told() {
    isolated(|| {
        let bundle = Bundle::new()
            .with(|spec| {
                spec["process"]["rlimits"] = json!([
                    { "type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 },
                    { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 }
                ]);
            })
            .script("ulimit -n; ulimit -Hn; ulimit -c");
        assert_eq!(bundle.run().ok(), "100\n200\n0");
        if sys::capability::has(sys::capability::SYS_RESOURCE) {
            return;
        }
        let high = sys::rlimit::get(7).unwrap().hard + 1;
        let bundle = Bundle::new()
            .with(|spec| {
                spec["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": high, "hard": high }]);
            })
            .script("ulimit -n");
        let output = bundle.run();
        assert_eq!(output.ok(), (high - 1).to_string());
        output.says("CAP_SYS_RESOURCE");
    });
}

#[test]
fn oom_score_adj_is_raised_and_a_refused_lowering_is_told() {
    isolated(|| {
        let bundle = Bundle::new()
            .with(|spec| spec["process"]["oomScoreAdj"] = json!(333))
            .script("cat /proc/self/oom_score_adj");
        assert_eq!(bundle.run().ok(), "333");
        let bundle = Bundle::new()
            .with(|spec| spec["process"]["oomScoreAdj"] = json!(-999))
            .script("cat /proc/self/oom_score_adj");
        let output = bundle.run();
        if !sys::capability::has(sys::capability::SYS_RESOURCE) {
            output.says("CAP_SYS_RESOURCE");
        }
        output.ok();
    });
}

#[test]
fn the_environment_is_the_specs_with_a_home() {
    isolated(|| {
        let bundle = Bundle::new().with(|spec| {
            spec["process"]["env"] = json!(["PATH=/bin", "A=b=c"]);
            spec["process"]["args"] = json!(["env"]);
        });
        let output = bundle.run();
        let mut lines: Vec<&str> = output.ok().lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["A=b=c", "HOME=/root", "PATH=/bin"]);
    });
}

#[test]
fn exit_codes_and_signals_come_through() {
    isolated(|| {
        Bundle::new().script("exit 42").run().exits(42);
        Bundle::new()
            .script("kill -9 $$; sleep 10")
            .with(|spec| {
                // PID 1 is immune to signals from its own namespace: an ordinary process is not.
                spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|entry| entry["type"] != "pid");
            })
            .run()
            .exits(137);
    });
}

#[test]
fn programs_that_cannot_be_executed_are_named_as_others_name_them() {
    isolated(|| {
        for (program, part) in [
            ("nope", "exec: \"nope\": executable file not found in $PATH"),
            ("/nope", "exec: \"/nope\": stat /nope: no such file or directory"),
            ("/etc/passwd", "exec: \"/etc/passwd\": permission denied"),
            ("/etc", "exec: \"/etc\": is a directory"),
        ] {
            let bundle = Bundle::new().with(|spec| spec["process"]["args"] = json!([program]));
            bundle.run().exits(1).says(part);
            bundle.assert_nothing_left();
        }
    });
}

#[test]
fn what_is_no_program_fails_at_start() {
    isolated(|| {
        let bundle = Bundle::new().with(|spec| spec["process"]["args"] = json!(["/bin/text"]));
        std::fs::write(bundle.in_root("bin/text"), "no program").unwrap();
        std::fs::set_permissions(
            bundle.in_root("bin/text"),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        bundle.create().ok();
        bundle.runtime(&["start", "c"]).exits(1).says("exec /bin/text: exec format error");
        assert_eq!(bundle.state()["status"], "stopped");
    });
}

#[test]
fn se_04_a_seccomp_filter_denies_calls() {
    isolated(|| {
        for privileges in [true, false] {
            let bundle = Bundle::new()
                .with(|spec| {
                    spec["process"]["noNewPrivileges"] = json!(privileges);
                    spec["linux"]["seccomp"] = json!({
                        "defaultAction": "SCMP_ACT_ALLOW",
                        "architectures": ["SCMP_ARCH_X86_64"],
                        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122 }]
                    });
                })
                .script("mkdir /tmp/x; grep Seccomp: /proc/self/status");
            let output = bundle.run();
            assert_eq!(output.ok(), "Seccomp:\t2");
            assert!(output.stderr.contains("uota"), "{}", output.stderr);
        }
    });
}

#[test]
fn se_05_a_filter_may_forbid_what_we_do_before_it() {
    isolated(|| {
        for privileges in [true, false] {
            let bundle = Bundle::new().with(|spec| {
                spec["process"]["noNewPrivileges"] = json!(privileges);
                spec["process"]["cwd"] = json!("/tmp");
                spec["linux"]["seccomp"] = json!({
                    "defaultAction": "SCMP_ACT_ALLOW",
                    "syscalls": [{ "names": ["getcwd", "chdir"], "action": "SCMP_ACT_ERRNO" }]
                });
            });
            let bundle = bundle.script("readlink /proc/self/cwd; cd / || echo denied");
            assert_eq!(bundle.run().ok(), "/tmp\ndenied");
        }
    });
}

#[test]
fn se_05_with_a_strict_filter_the_program_still_starts() {
    isolated(|| {
        // What busybox' true and our own last steps need, and no more.
        let bundle = Bundle::new().with(|spec| {
            spec["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ERRNO",
                "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": [{ "names": [
                    "execve", "exit_group", "brk", "arch_prctl", "set_tid_address", "set_robust_list", "rseq",
                    "prlimit64", "readlinkat", "readlink", "getrandom", "mprotect", "mmap", "munmap", "uname",
                    "prctl", "getuid", "setuid", "newfstatat", "fstat", "write", "read"
                ], "action": "SCMP_ACT_ALLOW" }]
            });
        });
        bundle.run().ok();
    });
}

#[test]
fn a_seccomp_listener_gets_the_calls_of_the_container() {
    isolated(|| {
        for privileges in [true, false] {
            let bundle = Bundle::new().script("mkdir /tmp/x || echo answered");
            let path = bundle.dir.join("agent.sock");
            let agent = std::os::unix::net::UnixListener::bind(&path).unwrap();
            let bundle = bundle.with(|spec| {
                spec["process"]["noNewPrivileges"] = json!(privileges);
                spec["linux"]["seccomp"] = json!({
                    "defaultAction": "SCMP_ACT_ALLOW",
                    "listenerPath": path,
                    "listenerMetadata": "who",
                    "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY" }]
                });
            });
            bundle.create().ok();
            let (stream, _) = agent.accept().unwrap();
            let mut buffer = [0; 4096];
            let (count, fds) = sys::fdpass::receive(&stream, &mut buffer, 1).unwrap();
            let state: serde_json::Value = serde_json::from_slice(&buffer[..count]).unwrap();
            assert_eq!((&state["fds"][0], &state["metadata"]), (&json!("seccompFd"), &json!("who")));
            assert_eq!(
                (&state["state"]["id"], state["pid"].as_i64()),
                (&json!("c"), Some(i64::from(bundle.pid())))
            );
            assert_eq!(fds.len(), 1);
            // An agent that goes away: the call fails with ENOSYS.
            drop(fds);
            bundle.runtime(&["start", "c"]).ok();
            let answered = || bundle.printed().contains("answered");
            assert!(testkit::wait_until(std::time::Duration::from_secs(5), answered), "{}", bundle.printed());
        }
    });
}

#[test]
fn cg_limits_are_in_the_containers_cgroup() {
    isolated(|| {
        let bundle = Bundle::new().script("sleep 1000").with(|spec| {
            spec["linux"]["resources"]["memory"] = json!({ "limit": 67_108_864 });
            spec["linux"]["resources"]["pids"] = json!({ "limit": 17 });
        });
        bundle.start();
        let read = |controller: &str, file: &str| {
            std::fs::read_to_string(bundle.cgroup.dir(controller).join("c").join(file))
                .unwrap()
                .trim()
                .to_owned()
        };
        assert_eq!(read("memory", "memory.limit_in_bytes"), "67108864");
        assert_eq!(read("pids", "pids.max"), "17");
        assert!(read("memory", "cgroup.procs").lines().any(|pid| pid == bundle.pid().to_string()));
        bundle.runtime(&["delete", "--force", "c"]).ok();
        bundle.assert_nothing_left();
    });
}

#[test]
fn descriptors_are_passed_only_when_asked_for() {
    isolated(|| {
        let bundle = Bundle::new().script("ls /proc/self/fd | wc -l; cat <&3 2>/dev/null");
        bundle.write_config();
        let file = bundle.dir.join("passed");
        std::fs::write(&file, "through").unwrap();
        let path = bundle.dir.path().display().to_string();
        let runtime = testkit::bin("strake-runtime").display().to_string();
        let state = bundle.state_root().display().to_string();
        for (option, expect) in [("--preserve-fds 1", "5\nthrough"), ("", "4")] {
            let line = format!(
                "exec 3<{} 7</etc/passwd; {runtime} --root {state} run {option} -b {path} c",
                file.display()
            );
            let output = testkit::run(std::process::Command::new("sh").args(["-c", &line]));
            assert_eq!(output.stdout.trim(), expect, "{option}: {}", output.stderr);
        }
    });
}

#[test]
fn init_leads_a_session_of_its_own() {
    isolated(|| {
        let bundle =
            Bundle::new().script("read -r _ _ _ _ group session _ < /proc/self/stat; echo $group $session");
        assert_eq!(bundle.run().ok(), "1 1");
    });
}
