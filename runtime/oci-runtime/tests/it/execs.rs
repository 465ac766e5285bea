//! Further processes in a running container.

use serde_json::json;
use testkit::{isolated, wait_until};

use crate::bundle::{Bundle, ns};

const SHORTLY: std::time::Duration = std::time::Duration::from_secs(5);

fn running() -> Bundle {
    let bundle = Bundle::new().script("sleep 1000");
    bundle.start();
    bundle
}

#[test]
fn ns_13_exec_is_in_all_namespaces_and_cgroups() {
    isolated(|| {
        let bundle = running();
        let pid_file = bundle.dir.join("pid").display().to_string();
        bundle.detached(&["exec", "--detach", "--pid-file", &pid_file, "c", "sleep", "1000"]);
        let pid = std::fs::read_to_string(&pid_file).unwrap();
        let init = bundle.pid().to_string();
        for kind in ["cgroup", "ipc", "mnt", "net", "pid", "uts", "user", "time"] {
            assert_eq!(ns(&pid, kind), ns(&init, kind), "{kind}");
        }
        let cgroups = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        assert_eq!(cgroups(&pid), cgroups(&init));
        let root =
            |pid: &str| sys::root::RootDir::open(std::path::Path::new(&format!("/proc/{pid}/root"))).unwrap();
        let stat = |pid: &str| {
            let s = rustix::fs::fstat(root(pid)).unwrap();
            (s.st_dev, s.st_ino)
        };
        assert_eq!(stat(&pid), stat(&init));
    });
}

#[test]
fn the_flags_change_the_process() {
    isolated(|| {
        let bundle = running();
        let output = bundle.runtime(&[
            "exec",
            "-u",
            "1000:7",
            "-g",
            "8",
            "--cwd",
            "/tmp",
            "-e",
            "A=b",
            "--env",
            "C=d",
            "c",
            "sh",
            "-c",
            "id; pwd; echo $A$C; grep NoNewPrivs /proc/self/status",
        ]);
        let text = output.ok();
        assert!(text.starts_with("uid=1000(u) gid=7 groups=8\n/tmp\nbd\nNoNewPrivs:\t1"), "{text}");
        let output =
            bundle.runtime(&["exec", "--cap", "CAP_SYS_PTRACE", "c", "grep", "CapEff", "/proc/self/status"]);
        let mask = u64::from_str_radix(output.ok().rsplit('\t').next().unwrap(), 16).unwrap();
        assert!(mask & 1 << 19 != 0, "{mask:x}");
        bundle
            .runtime(&["exec", "--cwd", "/missing", "c", "pwd"])
            .exits(255)
            .says("directory \"/missing\": no such");
        bundle.runtime(&["exec", "--cap", "CAP_NOPE", "c", "true"]).exits(255).says("CAP_NOPE");
    });
}

#[test]
fn a_process_file_says_everything() {
    isolated(|| {
        let bundle = running();
        let file = bundle.dir.join("process.json");
        let process = json!({
            "user": { "uid": 5, "gid": 6, "umask": 0o77 }, "args": ["sh", "-c", "id -u; umask; pwd; exit 3"],
            "env": ["PATH=/bin"], "cwd": "/etc"
        });
        std::fs::write(&file, process.to_string()).unwrap();
        let output = bundle.runtime(&["exec", "--process", file.to_str().unwrap(), "c"]);
        output.exits(3);
        assert_eq!(output.stdout, "5\n0077\n/etc\n");
    });
}

#[test]
fn exit_codes_come_through_and_failures_are_255() {
    isolated(|| {
        let bundle = running();
        bundle.runtime(&["exec", "c", "sh", "-c", "exit 42"]).exits(42);
        bundle.runtime(&["exec", "c", "sh", "-c", "kill -15 $$"]).exits(143);
        bundle.runtime(&["exec", "c", "nope"]).exits(255).says("executable file not found in $PATH");
        bundle.runtime(&["exec", "--cwd", "/nope", "c", "true"]).exits(255).says("/nope");
        bundle.runtime(&["exec", "c"]).exits(255).says("process args cannot be empty");
        bundle.runtime(&["kill", "c", "KILL"]).ok();
        assert!(wait_until(SHORTLY, || bundle.state()["status"] == "stopped"));
        bundle.runtime(&["exec", "c", "true"]).exits(255).says("stopped container");
    });
}

#[test]
fn exec_works_with_a_user_namespace() {
    isolated(|| {
        let bundle = Bundle::new().script("sleep 1000").with(|spec| {
            spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
            spec["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": 10_000, "size": 65_536 }]);
            spec["linux"]["gidMappings"] = json!([{ "containerID": 0, "hostID": 10_000, "size": 65_536 }]);
        });
        bundle.start();
        let output = bundle.runtime(&["exec", "-u", "3:4", "c", "sh", "-c", "id; cat /proc/self/uid_map"]);
        let text = output.ok();
        assert!(text.starts_with("uid=3 gid=4"), "{text}");
        assert!(text.contains("10000"), "{text}");
    });
}

#[test]
fn the_containers_filter_holds_for_exec_too() {
    isolated(|| {
        let bundle = Bundle::new().script("sleep 1000").with(|spec| {
            spec["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122 }]
            });
        });
        bundle.start();
        let check = |bundle: &Bundle| {
            let output =
                bundle.runtime(&["exec", "c", "sh", "-c", "grep Seccomp: /proc/self/status; mkdir /tmp/x"]);
            output.exits(1);
            assert_eq!(output.stdout, "Seccomp:\t2\n");
        };
        check(&bundle);
        // It is the one that the container was made with, whatever the bundle says since.
        let bundle =
            bundle.with(|spec| spec["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW" }));
        bundle.write_config();
        check(&bundle);
    });
}
