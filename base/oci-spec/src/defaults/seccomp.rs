//! Docker's default seccomp policy: deny, but for what programs are known to need; some
//! calls by argument, some only with the capability that they are about.

use crate::runtime::{
    Arch, Capabilities, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator,
    LinuxSyscall,
};

use super::calls::ALWAYS;

/// The policy for a process with these capabilities in its bounding set, for the
/// architecture that this is compiled for and its 32-bit siblings.
pub fn seccomp(capabilities: &Capabilities) -> LinuxSeccomp {
    let mut syscalls = vec![allow(ALWAYS.split_whitespace())];
    // Harmless since Linux 4.8: a filter is asked after the tracer.
    syscalls.push(allow(["process_vm_readv", "process_vm_writev", "ptrace"]));
    syscalls.push(allow(NATIVE.iter().copied()));
    syscalls.extend(sockets());
    syscalls.extend(
        PERSONALITIES.map(|value| allow_if("personality", argument(value, LinuxSeccompOperator::ScmpCmpEq))),
    );
    for (capability, names) in BY_CAPABILITY {
        if capabilities.contains(capability) {
            syscalls.push(allow(names.split_whitespace()));
        }
    }
    if !capabilities.contains(&Capability::SysAdmin) {
        syscalls.extend(clone_without_namespaces());
    }
    let mut policy = LinuxSeccomp::default();
    policy
        .set_default_action(LinuxSeccompAction::ScmpActErrno)
        .set_default_errno_ret(Some(EPERM))
        .set_architectures(Some(ARCHITECTURES.to_vec()))
        .set_syscalls(Some(syscalls));
    policy
}

/// Every address family but AF_ALG (38), whose kernel crypto has a bad record, and
/// AF_VSOCK (40), which talks to the hypervisor.
fn sockets() -> [LinuxSyscall; 3] {
    [
        allow_if("socket", argument(38, LinuxSeccompOperator::ScmpCmpLt)),
        allow_if("socket", argument(39, LinuxSeccompOperator::ScmpCmpEq)),
        allow_if("socket", argument(40, LinuxSeccompOperator::ScmpCmpGt)),
    ]
}

/// clone(2) without namespace flags. A filter cannot see into clone3(2)'s structure, so
/// that one does not exist, and the C library takes the other.
fn clone_without_namespaces() -> [LinuxSyscall; 2] {
    let no_namespace = argument(NAMESPACE_FLAGS, LinuxSeccompOperator::ScmpCmpMaskedEq);
    let mut clone3 = LinuxSyscall::default();
    clone3
        .set_names(vec!["clone3".to_owned()])
        .set_action(LinuxSeccompAction::ScmpActErrno)
        .set_errno_ret(Some(ENOSYS));
    [allow_if("clone", no_namespace), clone3]
}

fn allow<'a>(names: impl IntoIterator<Item = &'a str>) -> LinuxSyscall {
    let mut call = LinuxSyscall::default();
    call.set_names(names.into_iter().map(str::to_owned).collect())
        .set_action(LinuxSeccompAction::ScmpActAllow);
    call
}

fn allow_if(name: &str, argument: LinuxSeccompArg) -> LinuxSyscall {
    let mut call = allow([name]);
    call.set_args(Some(vec![argument]));
    call
}

/// A condition on the first argument. With a mask: that none of its bits is set.
fn argument(value: u64, op: LinuxSeccompOperator) -> LinuxSeccompArg {
    let mut argument = LinuxSeccompArg::default();
    argument.set_value(value).set_value_two(Some(0)).set_op(op);
    argument
}

/// Calls that come with a capability.
const BY_CAPABILITY: &[(Capability, &str)] = &[
    (Capability::DacReadSearch, "open_by_handle_at"),
    (
        Capability::SysAdmin,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr \
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl \
         quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    (Capability::SysBoot, "reboot"),
    (Capability::SysChroot, "chroot"),
    (Capability::SysModule, "delete_module init_module finit_module"),
    (Capability::SysPacct, "acct"),
    (Capability::SysPtrace, "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    (Capability::SysRawio, "iopl ioperm"),
    (Capability::SysTime, "settimeofday stime clock_settime clock_settime64"),
    (Capability::SysTtyConfig, "vhangup"),
    (Capability::SysNice, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    (Capability::Syslog, "syslog"),
    (Capability::Bpf, "bpf"),
    (Capability::Perfmon, "perf_event_open"),
];

/// personality(2): PER_LINUX, PER_LINUX32, UNAME26 and both, and asking for the current.
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID and NET.
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

#[cfg(target_arch = "aarch64")]
const ARCHITECTURES: &[Arch] = &[Arch::ScmpArchAarch64, Arch::ScmpArchArm];
#[cfg(not(target_arch = "aarch64"))]
const ARCHITECTURES: &[Arch] = &[Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32];

/// Calls that only this architecture has.
#[cfg(target_arch = "aarch64")]
const NATIVE: &[&str] =
    &["arm_fadvise64_64", "arm_sync_file_range", "sync_file_range2", "breakpoint", "cacheflush", "set_tls"];
#[cfg(not(target_arch = "aarch64"))]
const NATIVE: &[&str] = &["arch_prctl", "modify_ldt"];

#[cfg(test)]
mod tests {
    use super::*;

    fn names(policy: &LinuxSeccomp) -> Vec<&str> {
        policy.syscalls().iter().flatten().flat_map(LinuxSyscall::names).map(String::as_str).collect()
    }

    #[test]
    fn capabilities_bring_their_calls() {
        let none = seccomp(&Capabilities::new());
        for (capability, calls) in BY_CAPABILITY {
            let with = seccomp(&Capabilities::from([*capability]));
            for call in calls.split_whitespace() {
                assert!(names(&with).contains(&call), "{capability} {call}");
            }
        }
        for call in ["mount", "reboot", "chroot", "bpf", "init_module", "setns"] {
            assert!(!names(&none).contains(&call), "{call}");
        }
        let admin = seccomp(&Capabilities::from([Capability::SysAdmin]));
        assert!(admin.syscalls().iter().flatten().all(|call| call.errno_ret().is_none()), "clone3 is there");
    }

    #[test]
    fn never_by_any_capability() {
        let all = BY_CAPABILITY.iter().map(|(capability, _)| *capability).collect();
        let policy = seccomp(&all);
        for call in [
            "swapon",
            "swapoff",
            "_sysctl",
            "kexec_load",
            "keyctl",
            "add_key",
            "io_uring_setup",
            "userfaultfd",
        ] {
            assert!(!names(&policy).contains(&call), "{call}");
        }
    }
}
