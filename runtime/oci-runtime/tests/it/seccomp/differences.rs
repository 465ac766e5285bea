//! What our default profile does otherwise than docker 20.10's, and why.

use oci_spec::runtime::{Capabilities, Capability};

/// Some calls, and the capability sets for which they differ.
pub(crate) struct Difference {
    names: &'static [&'static str],
    when: fn(&Capabilities) -> bool,
    /// For who reads this.
    #[allow(dead_code, reason = "a list of reasons is to be read")]
    why: &'static str,
}

impl Difference {
    pub(crate) fn covers(&self, name: &str, capabilities: &Capabilities) -> bool {
        self.names.contains(&name) && (self.when)(capabilities)
    }
}

fn always(_: &Capabilities) -> bool {
    true
}

fn lacks_admin(capabilities: &Capabilities) -> bool {
    !capabilities.contains(&Capability::SysAdmin)
}

fn lacks_ptrace(capabilities: &Capabilities) -> bool {
    !capabilities.contains(&Capability::SysPtrace)
}

pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        names: &[
            "cachestat",
            "fchmodat2",
            "futex_requeue",
            "futex_wait",
            "futex_wake",
            "getxattrat",
            "listmount",
            "listxattrat",
            "map_shadow_stack",
            "mseal",
            "removexattrat",
            "setxattrat",
            "statmount",
            "uretprobe",
        ],
        when: always,
        why: "Younger than docker 20.10. Later dockers allow them: they do nothing that older calls could not.",
    },
    Difference {
        names: &["pkey_alloc", "pkey_free", "pkey_mprotect"],
        when: always,
        why: "Allowed since docker 23: protection keys concern the caller's own memory only.",
    },
    Difference {
        names: &["io_uring_setup", "io_uring_enter", "io_uring_register"],
        when: always,
        why: "Denied since docker 25: io_uring does what filters deny, and its own holes were many.",
    },
    Difference {
        names: &["socket"],
        when: always,
        why: "AF_VSOCK talks to the hypervisor past every network policy (denied since docker 23), and \
              AF_ALG is kernel code that no container needs.",
    },
    Difference {
        names: &["name_to_handle_at"],
        when: lacks_admin,
        why: "Allowed since docker 24: opening by handle is what needs the capability.",
    },
    Difference {
        names: &["process_vm_readv", "process_vm_writev"],
        when: lacks_ptrace,
        why: "Allowed since docker 23: they may what ptrace may, which is allowed since Linux 4.8.",
    },
    Difference {
        names: &["clock_settime64"],
        when: |capabilities| capabilities.contains(&Capability::SysTime),
        why: "The same call as clock_settime, on 32 bits after 2038.",
    },
    Difference {
        names: &["bpf"],
        when: |capabilities| capabilities.contains(&Capability::Bpf) && lacks_admin(capabilities),
        why: "CAP_BPF is a part of CAP_SYS_ADMIN since Linux 5.8.",
    },
    Difference {
        names: &["perf_event_open"],
        when: |capabilities| capabilities.contains(&Capability::Perfmon) && lacks_admin(capabilities),
        why: "CAP_PERFMON is a part of CAP_SYS_ADMIN since Linux 5.8.",
    },
    Difference {
        names: &["lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr", "set_mempolicy_home_node"],
        when: always,
        why: "Younger than docker 20.10, for which they do not exist (ENOSYS). With CAP_SYS_ADMIN and \
              CAP_SYS_NICE they are there, without they are denied (EPERM).",
    },
];
