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
    if let Some(value) = socketcall(name) {
        return Some(("socketcall", Condition { argument: 0, op: Op::Eq, value }));
    }
    // ipc(2): the upper half of the word is a version.
    let value = ipc(name)?;
    Some(("ipc", Condition { argument: 0, op: Op::MaskedEq { mask: 0xffff }, value }))
}

/// `SYS_*` of `linux/net.h`.
fn socketcall(name: &str) -> Option<u64> {
    Some(match name {
        "socket" => 1,
        "bind" => 2,
        "connect" => 3,
        "listen" => 4,
        "accept" => 5,
        "getsockname" => 6,
        "getpeername" => 7,
        "socketpair" => 8,
        "send" => 9,
        "recv" => 10,
        "sendto" => 11,
        "recvfrom" => 12,
        "shutdown" => 13,
        "setsockopt" => 14,
        "getsockopt" => 15,
        "sendmsg" => 16,
        "recvmsg" => 17,
        "accept4" => 18,
        "recvmmsg" => 19,
        "sendmmsg" => 20,
        _ => return None,
    })
}

/// Numbers of `linux/ipc.h`.
fn ipc(name: &str) -> Option<u64> {
    Some(match name {
        "semop" => 1,
        "semget" => 2,
        "semctl" => 3,
        "semtimedop" => 4,
        "msgsnd" => 11,
        "msgrcv" => 12,
        "msgget" => 13,
        "msgctl" => 14,
        "shmat" => 21,
        "shmdt" => 22,
        "shmget" => 23,
        "shmctl" => 24,
        _ => return None,
    })
}
