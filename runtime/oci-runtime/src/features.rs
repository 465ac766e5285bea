//! What this runtime can do, as data (OCI runtime-spec `features.md`).

use serde_json::{Value, json};
use sys::Namespace;

use crate::plan::{MEMORY_FLAGS, MEMORY_MODES, OPTION_WORDS};

/// The structure that `features` prints.
pub fn features() -> Value {
    let capabilities: Vec<String> = sys::CapSet::up_to(sys::capability::last_cap()).names();
    let namespaces: Vec<&str> = Namespace::ALL.iter().map(|kind| spec_name(*kind)).collect();
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": crate::state::STATE_VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": OPTION_WORDS,
        "linux": {
            "namespaces": namespaces,
            "capabilities": capabilities,
            "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true },
            "seccomp": {
                "enabled": true,
                "actions": [
                    "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
                    "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"
                ],
                "operators": [
                    "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
                    "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"
                ],
                "archs": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"],
                "knownFlags": [
                    "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC",
                    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
                ],
                "supportedFlags": [
                    "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC",
                    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
                ]
            },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": true },
            "intelRdt": { "enabled": true, "schemata": true, "monitoring": true },
            "memoryPolicy": { "modes": MEMORY_MODES, "flags": MEMORY_FLAGS },
            "mountExtensions": { "idmap": { "enabled": true } },
            "netDevices": { "enabled": true }
        },
        "potentiallyUnsafeConfigAnnotations": [crate::create::PROPERTY_ANNOTATION, crate::criu::CONFIG_ANNOTATION]
    })
}

fn spec_name(kind: Namespace) -> &'static str {
    match kind {
        Namespace::Mount => "mount",
        Namespace::Net => "network",
        other => other.proc_name(),
    }
}
