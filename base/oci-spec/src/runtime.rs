//! The OCI runtime-spec's `config.json`, for Linux.
//!
//! Own types rather than the `oci-spec` crate's: they are read by a program that starts for each
//! container, and that crate brings a regular expression engine for one field. What they have no
//! field for is skipped when read; nothing is checked here but the form.

mod capability;
mod forms;
mod linux;
mod process;
mod resources;
mod seccomp;

use std::collections::HashMap;
use std::path::PathBuf;

pub use capability::{Capabilities, Capability};
pub use linux::{
    Linux, LinuxDevice, LinuxDeviceType, LinuxIntelRdt, LinuxMemoryPolicy, LinuxNamespace,
    LinuxNamespaceType, LinuxNetDevice, LinuxPersonality, LinuxPersonalityDomain, LinuxTimeOffset,
    MemoryPolicyFlagType, MemoryPolicyModeType,
};
pub use process::{
    Box, ExecCPUAffinity, IOPriorityClass, LinuxCapabilities, LinuxIOPriority, LinuxSchedulerFlag,
    LinuxSchedulerPolicy, PosixRlimit, PosixRlimitType, Process, Scheduler, User,
};
pub use resources::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxHugepageLimit, LinuxInterfacePriority, LinuxMemory,
    LinuxNetwork, LinuxPids, LinuxRdma, LinuxResources, LinuxThrottleDevice, LinuxWeightDevice,
};
pub use seccomp::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator,
    LinuxSyscall,
};

use forms::record;

record! {
    /// A `config.json`: `config.md`.
    Spec
    fills {
        /// The specification's version.
        by version set_version: String = "ociVersion";
    }
    may {
        /// The root filesystem.
        by root set_root: Root;
        /// What is mounted in it.
        by mounts set_mounts: Vec<Mount>;
        /// The program.
        by process set_process: Process;
        /// The host's name.
        by hostname set_hostname: String;
        /// The domain's name.
        by domainname set_domainname: String;
        /// Programs that are run on the way.
        by hooks set_hooks: Hooks;
        /// What users and engines have noted.
        by annotations set_annotations: HashMap<String, String>;
        /// What only Linux has.
        by linux set_linux: Linux;
    }
}

impl Spec {
    /// The program, to be changed.
    pub fn process_mut(&mut self) -> &mut Option<Process> {
        &mut self.process
    }
}

record! {
    /// The root filesystem.
    Root
    fills {
        /// Its directory, absolute or in the bundle.
        by path set_path: PathBuf;
    }
    may {
        /// Whether it cannot be written.
        copy readonly set_readonly: bool;
    }
}

record! {
    /// A mount.
    Mount
    needs {
        /// Where.
        by destination set_destination: PathBuf;
    }
    may {
        /// The filesystem's type.
        by typ set_typ: String = "type";
        /// What.
        by source set_source: PathBuf;
        /// Options of `mount(8)`.
        by options set_options: Vec<String>;
        /// Users of its files and of the container.
        by uid_mappings set_uid_mappings: Vec<LinuxIdMapping>;
        /// Groups of its files and of the container.
        by gid_mappings set_gid_mappings: Vec<LinuxIdMapping>;
    }
}

record! {
    /// A range of ids inside and outside (`user_namespaces(7)`).
    #[derive(Copy)]
    LinuxIdMapping
    fills {
        /// The first one outside.
        copy host_id set_host_id: u32 = "hostID";
        /// The first one inside.
        copy container_id set_container_id: u32 = "containerID";
        /// How many.
        copy size set_size: u32;
    }
}

record! {
    /// Programs that are run on the way: `config.md`, "POSIX-platform Hooks".
    Hooks
    may {
        /// The older name of `createRuntime`.
        by prestart set_prestart: Vec<Hook>;
        /// When the namespaces are there, in the runtime's.
        by create_runtime set_create_runtime: Vec<Hook>;
        /// The same, in the container's.
        by create_container set_create_container: Vec<Hook>;
        /// Before the program, in the container.
        by start_container set_start_container: Vec<Hook>;
        /// When the program runs.
        by poststart set_poststart: Vec<Hook>;
        /// When the container is gone.
        by poststop set_poststop: Vec<Hook>;
    }
}

record! {
    /// One of them.
    Hook
    needs {
        /// The program.
        by path set_path: PathBuf;
    }
    may {
        /// Its arguments; the first is its name.
        by args set_args: Vec<String>;
        /// Its variables.
        by env set_env: Vec<String>;
        /// Seconds that it may take.
        copy timeout set_timeout: i64;
    }
}

/// A text is no word of the enumeration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no word of the runtime-spec")]
pub struct UnknownWord;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Read and written again, it is the same.
    fn check(spec: &Value) {
        let read: Spec = serde_json::from_value(spec.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), *spec);
    }

    #[test]
    fn names_are_the_specifications() {
        check(&json!({
            "ociVersion": "1.3.0",
            "root": { "path": "rootfs", "readonly": true },
            "mounts": [{
                "destination": "/a", "type": "bind", "source": "/b", "options": ["ridmap"],
                "uidMappings": [{ "hostID": 1, "containerID": 0, "size": 2 }],
                "gidMappings": [{ "hostID": 1, "containerID": 0, "size": 2 }]
            }],
            "hostname": "h", "domainname": "d", "annotations": { "a": "b" },
            "hooks": {
                "prestart": [{ "path": "/h", "args": ["h"], "env": ["A=b"], "timeout": 1 }],
                "createRuntime": [{ "path": "/h" }], "createContainer": [{ "path": "/h" }],
                "startContainer": [{ "path": "/h" }], "poststart": [{ "path": "/h" }], "poststop": []
            }
        }));
    }

    #[test]
    fn a_process_and_its_words() {
        let caps = json!(["CAP_KILL"]);
        check(&json!({
            "ociVersion": "", "process": {
                "terminal": true, "consoleSize": { "height": 1, "width": 2 }, "cwd": "/",
                "user": { "uid": 1, "gid": 2, "umask": 18, "additionalGids": [3], "username": "u" },
                "args": ["a"], "env": ["A=b"], "noNewPrivileges": true, "apparmorProfile": "p",
                "capabilities": {
                    "bounding": caps, "effective": caps, "inheritable": caps, "permitted": caps, "ambient": caps
                },
                "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 2, "soft": 1 }],
                "oomScoreAdj": 5, "selinuxLabel": "l",
                "ioPriority": { "class": "IOPRIO_CLASS_IDLE", "priority": 7 },
                "scheduler": {
                    "policy": "SCHED_DEADLINE", "nice": 1, "priority": 2, "runtime": 3, "deadline": 4, "period": 5,
                    "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_UTIL_CLAMP_MAX"]
                },
                "execCPUAffinity": { "initial": "0-1", "final": "1" }
            }
        }));
    }

    #[test]
    fn what_only_linux_has() {
        check(&json!({
            "ociVersion": "", "linux": {
                "netDevices": { "eth0": { "name": "e" } },
                "uidMappings": [], "gidMappings": [], "sysctl": { "a.b": "1" }, "cgroupsPath": "/c",
                "namespaces": [{ "type": "mount" }, { "type": "network", "path": "/n" }],
                "devices": [{ "type": "c", "path": "/d", "major": 1, "minor": 2, "fileMode": 3, "uid": 4, "gid": 5 }],
                "rootfsPropagation": "slave", "maskedPaths": ["/m"], "readonlyPaths": ["/r"], "mountLabel": "l",
                "intelRdt": {
                    "closID": "c", "schemata": ["s"], "l3CacheSchema": "l", "memBwSchema": "m", "enableCMT": true,
                    "enableMBM": true, "enableMonitoring": true
                },
                "memoryPolicy": { "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] },
                "personality": { "domain": "LINUX32" },
                "timeOffsets": { "monotonic": { "secs": 1, "nanosecs": 2 } }
            }
        }));
    }

    #[test]
    fn resources_and_rules() {
        let device = json!([{ "major": 8, "minor": 0, "rate": 1 }]);
        check(&json!({
            "ociVersion": "", "linux": {
                "resources": {
                    "devices": [{ "allow": false, "type": "a", "major": 1, "minor": 2, "access": "rwm" }],
                    "memory": {
                        "limit": 1, "reservation": 2, "swap": -1, "kernel": 4, "kernelTCP": 5, "swappiness": 6,
                        "disableOOMKiller": true, "useHierarchy": true, "checkBeforeUpdate": true
                    },
                    "cpu": {
                        "shares": 1, "quota": -1, "idle": 1, "burst": 2, "period": 3, "realtimeRuntime": 4,
                        "realtimePeriod": 5, "cpus": "0", "mems": "0"
                    },
                    "pids": { "limit": 7 },
                    "blockIO": {
                        "weight": 10, "leafWeight": 11,
                        "weightDevice": [{ "major": 8, "minor": 0, "weight": 1, "leafWeight": 2 }],
                        "throttleReadBpsDevice": device, "throttleWriteBpsDevice": device,
                        "throttleReadIOPSDevice": device, "throttleWriteIOPSDevice": device
                    },
                    "hugepageLimits": [{ "pageSize": "2MB", "limit": 1 }],
                    "network": { "classID": 1, "priorities": [{ "name": "eth0", "priority": 2 }] },
                    "rdma": { "mlx": { "hcaHandles": 1, "hcaObjects": 2 } }, "unified": { "memory.high": "1" }
                },
                "seccomp": {
                    "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86_64"],
                    "flags": ["SECCOMP_FILTER_FLAG_LOG"], "listenerPath": "/l", "listenerMetadata": "m",
                    "syscalls": [{
                        "names": ["a"], "action": "SCMP_ACT_NOTIFY", "errnoRet": 2,
                        "args": [{ "index": 0, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ" }]
                    }]
                }
            }
        }));
    }

    #[test]
    fn what_is_missing_null_or_unknown() {
        let read: Spec =
            serde_json::from_value(json!({ "linux": { "seccomp": null }, "windows": { "a": [1] } })).unwrap();
        let mut empty = Spec::default();
        empty.set_linux(Some(Linux::default()));
        assert_eq!(read, empty);
        for wrong in [
            json!({ "mounts": [{ "source": "/" }] }),
            json!({ "linux": { "namespaces": [{ "type": "mnt" }] } }),
            json!({ "hooks": { "poststop": [{ "args": [] }] } }),
            json!({ "process": { "user": {} } }),
        ] {
            assert!(serde_json::from_value::<Spec>(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
