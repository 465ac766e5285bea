//! `linux`: what only Linux has.

use std::collections::HashMap;
use std::path::PathBuf;

use super::forms::{record, words};
use super::{LinuxIdMapping, LinuxResources, LinuxSeccomp};

record! {
    /// What only Linux has: `config-linux.md`.
    Linux
    may {
        /// Network interfaces that are moved into the container, by their names on the host.
        by net_devices set_net_devices: HashMap<String, LinuxNetDevice>;
        /// Users inside and outside.
        by uid_mappings set_uid_mappings: Vec<LinuxIdMapping>;
        /// Groups inside and outside.
        by gid_mappings set_gid_mappings: Vec<LinuxIdMapping>;
        /// Kernel parameters.
        by sysctl set_sysctl: HashMap<String, String>;
        /// Limits.
        by resources set_resources: LinuxResources;
        /// Where the cgroup is.
        by cgroups_path set_cgroups_path: PathBuf;
        /// Namespaces that are made or joined.
        by namespaces set_namespaces: Vec<LinuxNamespace>;
        /// Device nodes.
        by devices set_devices: Vec<LinuxDevice>;
        /// Which system calls are allowed.
        by seccomp set_seccomp: LinuxSeccomp;
        /// Where the root's mounts are seen.
        by rootfs_propagation set_rootfs_propagation: String;
        /// Paths that cannot be read.
        by masked_paths set_masked_paths: Vec<String>;
        /// Paths that cannot be written.
        by readonly_paths set_readonly_paths: Vec<String>;
        /// SELinux's label of mounts.
        by mount_label set_mount_label: String;
        /// Shares of caches and of memory bandwidth.
        by intel_rdt set_intel_rdt: LinuxIntelRdt;
        /// NUMA nodes that memory comes from.
        by memory_policy set_memory_policy: LinuxMemoryPolicy;
        /// Execution domain.
        by personality set_personality: LinuxPersonality;
        /// Offsets of clocks in a time namespace.
        by time_offsets set_time_offsets: HashMap<String, LinuxTimeOffset>;
    }
}

record! {
    /// A network interface that is moved.
    LinuxNetDevice
    may {
        /// Its name in the container; the same when missing.
        by name set_name: String;
    }
}

record! {
    /// A namespace.
    LinuxNamespace
    needs {
        /// Of which kind.
        copy typ set_typ: LinuxNamespaceType = "type";
    }
    may {
        /// The one that is joined; a new one when missing.
        by path set_path: PathBuf;
    }
}

words! {
    /// Kinds of namespaces.
    LinuxNamespaceType {
        Pid = "pid",
        Mount = "mount",
        Cgroup = "cgroup",
        Uts = "uts",
        Ipc = "ipc",
        User = "user",
        Network = "network",
        Time = "time",
    }
}

record! {
    /// A device node.
    LinuxDevice
    needs {
        /// Of which kind.
        copy typ set_typ: LinuxDeviceType = "type";
    }
    fills {
        /// Where.
        by path set_path: PathBuf;
        /// Its major number.
        copy major set_major: i64;
        /// Its minor number.
        copy minor set_minor: i64;
    }
    may {
        /// Its mode.
        copy file_mode set_file_mode: u32;
        /// Its owner.
        copy uid set_uid: u32;
        /// Its group.
        copy gid set_gid: u32;
    }
}

words! {
    /// Kinds of devices.
    LinuxDeviceType {
        A = "a",
        B = "b",
        C = "c",
        U = "u",
        P = "p",
    }
}

record! {
    /// Shares of caches and of memory bandwidth (`resctrl`).
    LinuxIntelRdt
    may {
        /// The group.
        by clos_id set_clos_id: String = "closID";
        /// Lines of `schemata`.
        by schemata set_schemata: Vec<String>;
        /// Line of the level 3 cache.
        by l3_cache_schema set_l3_cache_schema: String;
        /// Line of the memory bandwidth.
        by mem_bw_schema set_mem_bw_schema: String;
        /// Whether the cache's use is counted; replaced by `enableMonitoring`.
        by enable_cmt set_enable_cmt: bool = "enableCMT";
        /// Whether the bandwidth's use is counted; replaced by `enableMonitoring`.
        by enable_mbm set_enable_mbm: bool = "enableMBM";
        /// Whether the container has a monitoring group.
        by enable_monitoring set_enable_monitoring: bool;
    }
}

record! {
    /// NUMA nodes that memory comes from (`set_mempolicy(2)`).
    LinuxMemoryPolicy
    needs {
        /// How they are chosen.
        copy mode set_mode: MemoryPolicyModeType;
    }
    may {
        /// The nodes, as a list.
        by nodes set_nodes: String;
        /// Flags.
        by flags set_flags: Vec<MemoryPolicyFlagType>;
    }
}

words! {
    /// How memory nodes are chosen.
    MemoryPolicyModeType {
        MpolDefault = "MPOL_DEFAULT",
        MpolBind = "MPOL_BIND",
        MpolInterleave = "MPOL_INTERLEAVE",
        MpolWeightedInterleave = "MPOL_WEIGHTED_INTERLEAVE",
        MpolPreferred = "MPOL_PREFERRED",
        MpolPreferredMany = "MPOL_PREFERRED_MANY",
        MpolLocal = "MPOL_LOCAL",
    }
}

words! {
    /// Flags of a memory policy.
    MemoryPolicyFlagType {
        MpolFNumaBalancing = "MPOL_F_NUMA_BALANCING",
        MpolFRelativeNodes = "MPOL_F_RELATIVE_NODES",
        MpolFStaticNodes = "MPOL_F_STATIC_NODES",
    }
}

record! {
    /// Execution domain (`personality(2)`).
    LinuxPersonality
    needs {
        /// The domain.
        copy domain set_domain: LinuxPersonalityDomain;
    }
    may {
        /// Flags, of which there are none yet.
        by flags set_flags: Vec<String>;
    }
}

words! {
    /// Execution domains.
    LinuxPersonalityDomain {
        PerLinux = "LINUX",
        PerLinux32 = "LINUX32",
    }
}

record! {
    /// The offset of a clock (`time_namespaces(7)`).
    LinuxTimeOffset
    may {
        /// Seconds.
        copy secs set_secs: i64;
        /// Nanoseconds.
        copy nanosecs set_nanosecs: u32;
    }
}
