//! Row SE-08: SELinux, with a policy of a few lines. Runs in a boot of its own.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Once;

use serde_json::json;
use testkit::{TempDir, run};

use crate::container::Container;

/// Three kinds of processes and files: all may do all, but a container may not read what is secret. What the policy
/// does not know is allowed.
const POLICY: &str = "class process
class process2
class file
class filesystem
SIDS
class process { fork transition dyntransition }
class process2 { nnp_transition }
class file { read }
class filesystem { associate }
type kernel_t;
type container_t;
type container_file_t;
type secret_t;
policycap nnp_nosuid_transition;
role system_r;
role system_r types { kernel_t container_t container_file_t secret_t };
allow { kernel_t container_t } { kernel_t container_t }:process { fork transition dyntransition };
allow kernel_t container_t:process2 nnp_transition;
allow kernel_t { kernel_t container_t container_file_t secret_t }:file read;
allow container_t { kernel_t container_t container_file_t }:file read;
allow { kernel_t container_file_t secret_t } { kernel_t container_file_t secret_t }:filesystem associate;
user system_u roles { system_r };
CONTEXTS
fs_use_xattr ext4 system_u:system_r:kernel_t;
fs_use_trans tmpfs system_u:system_r:kernel_t;
fs_use_trans devtmpfs system_u:system_r:kernel_t;
fs_use_trans devpts system_u:system_r:kernel_t;
genfscon proc / system_u:system_r:kernel_t
genfscon sysfs / system_u:system_r:kernel_t
genfscon cgroup2 / system_u:system_r:kernel_t
genfscon selinuxfs / system_u:system_r:kernel_t
";

/// Initial identifiers in the kernel's order.
const SIDS: &[&str] = &[
    "kernel",
    "security",
    "unlabeled",
    "fs",
    "file",
    "file_labels",
    "init",
    "any_socket",
    "port",
    "netif",
    "netmsg",
    "node",
];

const CONTAINER: &str = "system_u:system_r:container_t";
const FILE: &str = "system_u:system_r:container_file_t";

/// Compiles the policy with Debian's checkpolicy, gives it to the kernel, and has it enforced.
fn enforce() {
    static LOADED: Once = Once::new();
    LOADED.call_once(|| {
        let fs_dir = Path::new("/sys/fs/selinux");
        run(Command::new("mount").args(["-t", "selinuxfs", "selinux"]).arg(fs_dir)).ok();
        let dir = TempDir::new();
        let declared: String = SIDS.iter().map(|sid| format!("sid {sid}\n")).collect();
        let contexts: String =
            SIDS.iter().map(|sid| format!("sid {sid} system_u:system_r:kernel_t\n")).collect();
        let policy = POLICY.replace("SIDS\n", &declared).replace("CONTEXTS\n", &contexts);
        fs::write(dir.join("policy.conf"), policy).unwrap();
        let mut compile = Command::new("/sbin/checkpolicy");
        compile.args(["-U", "allow", "-c", "31", "-o"]).arg(dir.join("policy")).arg(dir.join("policy.conf"));
        run(&mut compile).ok();
        fs::write(fs_dir.join("load"), fs::read(dir.join("policy")).unwrap()).unwrap();
        fs::write(fs_dir.join("enforce"), "1").unwrap();
    });
}

/// Labels a file as `chcon(1)` does.
fn label(path: &Path, label: &str) {
    rustix::fs::setxattr(path, "security.selinux", label.as_bytes(), rustix::fs::XattrFlags::empty())
        .unwrap();
}

#[test]
fn se_08_process_and_mounts_have_the_labels() {
    enforce();
    let script =
        "cat /proc/self/attr/current; echo; grep ' /dev ' /proc/self/mountinfo; echo words >/dev/file";
    let container = Container::new(script).with(|spec| {
        spec["process"]["selinuxLabel"] = json!(CONTAINER);
        spec["linux"]["mountLabel"] = json!(FILE);
    });
    let said = container.run();
    let printed = said.ok().replace('\0', "");
    assert!(printed.starts_with(CONTAINER), "{printed}");
    assert!(printed.contains(&format!("context={FILE}")), "{printed}");
}

#[test]
fn se_08_the_label_confines_the_container_and_exec() {
    enforce();
    let container =
        Container::new("sleep 1000").with(|spec| spec["process"]["selinuxLabel"] = json!(CONTAINER));
    for (file, kind) in [("etc/public", "container_file_t"), ("etc/secret", "secret_t")] {
        fs::write(container.in_root(file), "words\n").unwrap();
        label(&container.in_root(file), &format!("system_u:system_r:{kind}"));
    }
    container.start();
    let cat = |file: &str| container.runtime(&["exec", "--process-label", CONTAINER, "c", "cat", file]);
    assert_eq!(cat("/etc/public").ok(), "words");
    cat("/etc/secret").exits(1).says("Permission denied");
}

#[test]
fn se_08_a_label_that_the_policy_does_not_know_is_an_error() {
    enforce();
    let container = Container::new("true")
        .with(|spec| spec["process"]["selinuxLabel"] = json!("system_u:system_r:missing_t"));
    let said = container.run();
    assert_ne!(said.code, 0);
    said.says("missing_t");
}
