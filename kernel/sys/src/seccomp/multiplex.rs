//! Calls that 32-bit x86 also offers through `socketcall(2)` and `ipc(2)`.
//!
//! A rule without conditions on such a call holds for both ways in, or a policy that
//! denies `socket` would be passed by through `socketcall`. A rule with conditions cannot:
//! a filter sees only the pointer to the arguments.

use super::policy::{Arch, Condition, Op};

/// The multiplexing call and the condition on its first argument, if `name` has one.
pub(super) fn multiplexed(arch: Arch, name: &str) -> Option<(&'static str, Condition)> {
    if arch != Arch::X86 {
        return None;
    }
    if let Some(index) = SOCKETCALL.iter().position(|call| *call == name) {
        let value = index as u64 + 1;
        return Some(("socketcall", Condition { argument: 0, op: Op::Eq, value }));
    }
    let (_, value) = IPC.iter().find(|(call, _)| *call == name)?;
    // ipc(2): the upper half of the word is a version.
    Some(("ipc", Condition { argument: 0, op: Op::MaskedEq { mask: 0xffff }, value: *value }))
}

/// `SYS_*` of `linux/net.h`, from 1.
const SOCKETCALL: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// Numbers of `linux/ipc.h`.
const IPC: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];
