//! What a seccomp policy says, as data.

use std::borrow::Cow;

/// What the kernel does with a call: seccomp(2), "Filter return values".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Ends the whole process with `SIGSYS`.
    KillProcess,
    /// Ends the calling thread with `SIGSYS`.
    KillThread,
    /// Sends `SIGSYS` to the thread.
    Trap,
    /// The call fails with this errno.
    Errno(u16),
    /// Hands the call to the listener descriptor: seccomp_unotify(2).
    Notify,
    /// Stops for a ptrace(2) tracer with this event message.
    Trace(u16),
    /// Lets the call through and logs it.
    Log,
    /// Lets the call through.
    Allow,
}

impl Action {
    /// The filter's return value.
    pub fn ret(self) -> u32 {
        match self {
            Self::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
            Self::KillThread => libc::SECCOMP_RET_KILL_THREAD,
            Self::Trap => libc::SECCOMP_RET_TRAP,
            Self::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
            Self::Notify => libc::SECCOMP_RET_USER_NOTIF,
            Self::Trace(message) => libc::SECCOMP_RET_TRACE | u32::from(message),
            Self::Log => libc::SECCOMP_RET_LOG,
            Self::Allow => libc::SECCOMP_RET_ALLOW,
        }
    }

    /// The action that a filter's return value stands for. The kernel treats an unknown
    /// one as killing the process.
    pub fn from_ret(ret: u32) -> Self {
        let data = (ret & libc::SECCOMP_RET_DATA) as u16;
        match ret & libc::SECCOMP_RET_ACTION_FULL {
            libc::SECCOMP_RET_KILL_THREAD => Self::KillThread,
            libc::SECCOMP_RET_TRAP => Self::Trap,
            libc::SECCOMP_RET_ERRNO => Self::Errno(data),
            libc::SECCOMP_RET_USER_NOTIF => Self::Notify,
            libc::SECCOMP_RET_TRACE => Self::Trace(data),
            libc::SECCOMP_RET_LOG => Self::Log,
            libc::SECCOMP_RET_ALLOW => Self::Allow,
            _ => Self::KillProcess,
        }
    }

    /// Whether the call reaches the kernel without anybody else's consent.
    pub fn lets_through(self) -> bool {
        matches!(self, Self::Allow | Self::Log)
    }
}

/// A system call ABI that we know the numbers of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86.
    X86,
    /// 32-bit pointers on 64-bit x86: numbers carry bit 30.
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM, EABI.
    Arm,
}

impl Arch {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::X86_64, Self::X86, Self::X32, Self::Aarch64, Self::Arm];

    /// The one that this program was compiled for.
    pub const NATIVE: Self = if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };

    /// The kernel's `AUDIT_ARCH_*` value. x32 shares the one of x86_64.
    pub fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Whether arguments are 64 bits wide.
    pub fn is_64_bit(self) -> bool {
        matches!(self, Self::X86_64 | Self::Aarch64)
    }

    /// What is added to a number of this ABI's table.
    pub fn number_base(self) -> u32 {
        if self == Self::X32 { X32_BIT } else { 0 }
    }
}

/// `__X32_SYSCALL_BIT`.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// How an argument is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// `argument != value`
    Ne,
    /// `argument < value`, unsigned
    Lt,
    /// `argument <= value`, unsigned
    Le,
    /// `argument == value`
    Eq,
    /// `argument >= value`, unsigned
    Ge,
    /// `argument > value`, unsigned
    Gt,
    /// `argument & mask == value`
    MaskedEq {
        /// The bits that are looked at.
        mask: u64,
    },
}

/// A condition on one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Which argument: 0 to 5.
    pub argument: u8,
    /// How it is compared.
    pub op: Op,
    /// With what.
    pub value: u64,
}

impl Condition {
    /// Whether the condition holds for this value of the argument.
    pub fn holds(&self, argument: u64) -> bool {
        match self.op {
            Op::Ne => argument != self.value,
            Op::Lt => argument < self.value,
            Op::Le => argument <= self.value,
            Op::Eq => argument == self.value,
            Op::Ge => argument >= self.value,
            Op::Gt => argument > self.value,
            Op::MaskedEq { mask } => argument & mask == self.value,
        }
    }
}

/// What is done with some calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule<'a> {
    /// Names of the calls.
    pub names: Cow<'a, [String]>,
    /// What is done with them.
    pub action: Action,
    /// All must hold; none means always.
    pub conditions: Vec<Condition>,
}

/// How a filter is installed: seccomp(2), "flags".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// All threads of the process get the filter.
    pub tsync: bool,
    /// Every action but `Allow` is logged.
    pub log: bool,
    /// Leaves speculative store bypass on.
    pub spec_allow: bool,
    /// Only a fatal signal ends the wait for the listener's answer. Since Linux 5.19.
    pub wait_killable_recv: bool,
}

/// A whole policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy<'a> {
    /// For calls that no rule decides.
    pub default: Action,
    /// ABIs that may be used besides the native one.
    pub arches: Vec<Arch>,
    /// In order.
    pub rules: Vec<Rule<'a>>,
    /// How to install it.
    pub flags: Flags,
}
