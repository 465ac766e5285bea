//! Rows SE-01…06, SE-09, SE-10: capabilities, seccomp, read-only root, user namespaces.

use std::os::unix::fs::FileTypeExt as _;
use std::process::Command;

use testkit::{Strake, TempDir, isolated, run};

use crate::{pid, sleeper, status};

/// Bits of capability sets by number, `capability.h`.
const NET_BIND_SERVICE: u64 = 1 << 10;
const NET_ADMIN: u64 = 1 << 12;
const SYS_MODULE: u64 = 1 << 16;
const SYS_ADMIN: u64 = 1 << 21;
const CHOWN: u64 = 1;
const KILL: u64 = 1 << 5;

fn effective(strake: &Strake, container: &str) -> u64 {
    u64::from_str_radix(&status(pid(strake, container), "CapEff"), 16).unwrap()
}

#[test]
fn se_01_root_inside_is_not_true_root() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "default", &[]);
        let effective = effective(&strake, "default");
        assert_eq!(effective & (SYS_ADMIN | NET_ADMIN | SYS_MODULE), 0, "{effective:x}");
        assert_eq!(effective.count_ones(), 14);
        for forbidden in [
            ["mount", "-t", "tmpfs", "none", "/tmp"].as_slice(),
            &["ip", "link", "add", "x", "type", "dummy"],
            &["ip", "link", "set", "eth0", "down"],
            &["mknod", "/dev/kmem0", "c", "1", "2", "--fail"],
        ] {
            let said = strake.run(&[&["exec", "default"], forbidden].concat());
            assert_ne!(said.code, 0, "{forbidden:?}");
        }
    });
}

#[test]
fn se_02_chown_low_ports_and_kill_work() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "default", &["--network", "none"]);
        let effective = effective(&strake, "default");
        assert_eq!(effective & (CHOWN | NET_BIND_SERVICE | KILL), CHOWN | NET_BIND_SERVICE | KILL);
        let script = "touch /tmp/f && chown 1000 /tmp/f && sleep 60 & p=$!; kill -9 $p; wait $p; echo killed; \
                      (nc -l -p 80 & n=$!; kill $n); echo bound";
        assert_eq!(strake.ok(&["exec", "default", "sh", "-c", script]).lines().last(), Some("bound"));
        strake.ok(&["exec", "default", "sh", "-c", "touch /tmp/g; chown 1000 /tmp/g"]);
        assert_eq!(strake.ok(&["exec", "default", "stat", "-c", "%u", "/tmp/g"]), "1000");
    });
}

#[test]
fn se_03_privileged_has_all_capabilities_and_devices() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "all", &["--network", "none", "--privileged"]);
        let bounding = std::fs::read_to_string("/proc/self/status").unwrap();
        let own = bounding.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap().trim();
        assert_eq!(
            effective(&strake, "all"),
            u64::from_str_radix(own, 16).unwrap(),
            "all that the host's root has"
        );
        // All of the host's device nodes; the console is a terminal of the container's own.
        for device in std::fs::read_dir("/dev").unwrap().map(|entry| entry.unwrap()) {
            let kind = device.file_type().unwrap();
            if device.file_name() == "console" {
                continue;
            }
            if kind.is_char_device() || kind.is_block_device() {
                strake.ok(&["exec", "all", "test", "-e", &device.path().display().to_string()]);
            }
        }
        strake.ok(&["exec", "all", "mount", "-t", "tmpfs", "none", "/tmp"]);
        let explained = strake.ok(&["explain", "all"]);
        assert!(explained.contains("privileged"), "said in plain words:\n{explained}");
        // The warning is kept, also over a restart, and once.
        strake.ok(&["restart", "-t", "0", "all"]);
        let warnings = crate::inspect(&strake, "all")["Warnings"].clone();
        let kept = warnings.as_array().unwrap().iter().filter(|one| one.to_string().contains("--privileged"));
        assert_eq!(kept.count(), 1, "{warnings}");
        let explained = strake.ok(&["explain", "all"]);
        assert!(
            explained.lines().any(|line| line.trim().starts_with("warning") && line.contains("--privileged")),
            "{explained}"
        );
    });
}

/// Calls every system call number it is given, and prints the errno of each: with impossible
/// arguments, a call that is allowed never has an effect.
const PROBE: &str = r#"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/syscall.h>
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        errno = 0;
        long rc = syscall(atol(argv[i]), -1L, -1L, -1L, -1L, -1L, -1L);
        printf("%s %d\n", argv[i], rc == -1 ? errno : 0);
    }
    return 0;
}
"#;

/// Compiles the probe statically.
fn probe(dir: &TempDir) {
    std::fs::write(dir.join("probe.c"), PROBE).unwrap();
    run(Command::new("musl-gcc")
        .args(["-static", "-O1", "-o"])
        .arg(dir.join("probe"))
        .arg(dir.join("probe.c")))
    .ok();
}

#[test]
fn se_04_the_default_policy_denies_what_dockers_denies() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let dir = TempDir::new();
        probe(&dir);
        let volume = format!("{}:/probe:ro", dir.path().display());
        // x86-64 numbers: calls that need no privilege checks before they fail with EINVAL or EBADF.
        let denied = [
            "135", "155", "163", "165", "166", "167", "168", "169", "172", "173", "175", "176", "246", "248",
            "249", "250", "256", "279", "298", "304", "308", "321", "323",
        ];
        let allowed =
            ["0", "1", "3", "8", "9", "16", "32", "39", "63", "72", "82", "96", "186", "228", "257", "262"];
        let numbers = [&denied[..], &allowed].concat();
        let head = ["run", "--rm", "--network", "none", "-v", &volume, "busybox", "/probe/probe"];
        let said = strake.ok(&[&head[..], &numbers].concat());
        for number in allowed {
            assert!(
                !said.lines().any(|line| line == format!("{number} 1")),
                "call {number} is allowed:\n{said}"
            );
        }
        let unconfined =
            strake
                .ok(&[&head[..6], &["--security-opt", "seccomp=unconfined"], &head[6..], &["135"]].concat());
        for number in &denied[1..] {
            assert!(
                said.lines().any(|line| line == format!("{number} 1")),
                "call {number} is denied:\n{said}"
            );
        }
        assert_eq!(unconfined, "135 0", "personality(-1) asks and changes nothing");
        assert!(
            strake
                .ok(&["run", "--rm", "--network", "none", "busybox", "grep", "Seccomp:", "/proc/1/status"])
                .ends_with('2')
        );
    });
}

#[test]
fn se_05_reboot_swapoff_and_sysctl_are_blocked() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let dir = TempDir::new();
        probe(&dir);
        let volume = format!("{}:/probe:ro", dir.path().display());
        // reboot, swapoff, _sysctl
        let head = ["run", "--rm", "--network", "none", "-v", &volume, "busybox", "/probe/probe"];
        let said = strake.ok(&[&head[..], &["169", "168", "156"]].concat());
        for line in said.lines() {
            assert!(line.ends_with(" 1") || line.ends_with(" 38"), "EPERM or ENOSYS: {line}");
        }
        let sysctl =
            ["run", "--rm", "--network", "none", "busybox", "sh", "-c", "echo 1 > /proc/sys/kernel/panic"];
        assert_ne!(strake.run(&sysctl).code, 0);
    });
}

#[test]
fn se_06_default_unconfined_and_own_policy() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let mode = |options: &[&str]| {
            let command = ["busybox", "grep", "Seccomp:", "/proc/1/status"];
            let said = strake.ok(&[&["run", "--rm", "--network", "none"], options, &command].concat());
            said.split_whitespace().last().unwrap().to_owned()
        };
        assert_eq!(mode(&[]), "2");
        assert_eq!(mode(&["--security-opt", "seccomp=unconfined"]), "0");
        let policy = strake.home().join("policy.json");
        std::fs::write(&policy, r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":1}]}"#).unwrap();
        let own = format!("seccomp={}", policy.display());
        assert_eq!(mode(&["--security-opt", &own]), "2");
        let head = ["run", "--rm", "--network", "none", "--security-opt", &own, "busybox"];
        assert_ne!(strake.run(&[&head[..], &["mkdir", "/x"]].concat()).code, 0);
        strake.ok(&[&head[..], &["touch", "/x"]].concat());
    });
}

#[test]
fn se_09_a_read_only_root_leaves_only_volumes_writable() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let head = [
            "run",
            "--rm",
            "--network",
            "none",
            "--read-only",
            "-v",
            "data:/data",
            "--tmpfs",
            "/scratch",
            "busybox",
        ];
        let said = strake.run(&[&head[..], &["touch", "/x"]].concat());
        assert!(said.stderr.contains("Read-only file system"), "{said:?}");
        strake.ok(&[&head[..], &["touch", "/data/x", "/scratch/x"]].concat());
    });
}

#[test]
fn se_10_an_escaped_container_root_is_nobody_on_the_host() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let secret = strake.home().join("secret");
        std::fs::write(&secret, "secret").unwrap();
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        // The escape: the host's directory is handed in, as a leaked descriptor would be.
        let volume = format!("{}:/escaped", strake.home().display());
        let read = ["busybox", "cat", "/escaped/secret"];
        let head = ["run", "--rm", "--network", "none", "-v", &volume];
        assert_eq!(strake.ok(&[&head[..], &read].concat()), "secret", "without a user namespace it is root");
        let said = strake.run(&[&head[..], &["--userns", "private"], &read].concat());
        assert!(said.code != 0 && said.stderr.contains("Permission denied"), "{said:?}");
    });
}
