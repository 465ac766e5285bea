//! `linux.seccomp`: which system calls are allowed.

use std::path::PathBuf;

use super::forms::{record, words};

record! {
    /// A policy: `config-linux.md`, "Seccomp".
    LinuxSeccomp
    needs {
        /// What becomes of calls that no rule names.
        copy default_action set_default_action: LinuxSeccompAction;
    }
    may {
        /// The error number of the default action.
        copy default_errno_ret set_default_errno_ret: u32;
        /// Architectures whose calls are filtered.
        by architectures set_architectures: Vec<Arch>;
        /// Flags of `seccomp(2)`.
        by flags set_flags: Vec<LinuxSeccompFilterFlag>;
        /// Socket of the agent that decides.
        by listener_path set_listener_path: PathBuf;
        /// What the agent is told.
        by listener_metadata set_listener_metadata: String;
        /// Rules.
        by syscalls set_syscalls: Vec<LinuxSyscall>;
    }
}

record! {
    /// A rule.
    LinuxSyscall
    needs {
        /// The calls' names.
        by names set_names: Vec<String>;
        /// What becomes of them.
        copy action set_action: LinuxSeccompAction;
    }
    may {
        /// The error number of the action.
        copy errno_ret set_errno_ret: u32;
        /// Conditions, all of which hold.
        by args set_args: Vec<LinuxSeccompArg>;
    }
}

record! {
    /// A condition on an argument.
    #[derive(Copy)]
    LinuxSeccompArg
    needs {
        /// Which argument, from 0 on.
        copy index set_index: usize;
        /// What it is compared with.
        copy value set_value: u64;
        /// How.
        copy op set_op: LinuxSeccompOperator;
    }
    may {
        /// The value under a mask.
        copy value_two set_value_two: u64;
    }
}

words! {
    /// What becomes of a call.
    LinuxSeccompAction {
        ScmpActAllow = "SCMP_ACT_ALLOW",
        ScmpActKill = "SCMP_ACT_KILL",
        ScmpActKillThread = "SCMP_ACT_KILL_THREAD",
        ScmpActKillProcess = "SCMP_ACT_KILL_PROCESS",
        ScmpActTrap = "SCMP_ACT_TRAP",
        ScmpActErrno = "SCMP_ACT_ERRNO",
        ScmpActNotify = "SCMP_ACT_NOTIFY",
        ScmpActTrace = "SCMP_ACT_TRACE",
        ScmpActLog = "SCMP_ACT_LOG",
    }
}

words! {
    /// How an argument is compared.
    LinuxSeccompOperator {
        ScmpCmpEq = "SCMP_CMP_EQ",
        ScmpCmpNe = "SCMP_CMP_NE",
        ScmpCmpLt = "SCMP_CMP_LT",
        ScmpCmpLe = "SCMP_CMP_LE",
        ScmpCmpGe = "SCMP_CMP_GE",
        ScmpCmpGt = "SCMP_CMP_GT",
        ScmpCmpMaskedEq = "SCMP_CMP_MASKED_EQ",
    }
}

words! {
    /// Flags of `seccomp(2)`.
    LinuxSeccompFilterFlag {
        SeccompFilterFlagLog = "SECCOMP_FILTER_FLAG_LOG",
        SeccompFilterFlagTsync = "SECCOMP_FILTER_FLAG_TSYNC",
        SeccompFilterFlagSpecAllow = "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        SeccompFilterFlagWaitKillableRecv = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    }
}

words! {
    /// Architectures.
    Arch {
        ScmpArchNative = "SCMP_ARCH_NATIVE",
        ScmpArchX86 = "SCMP_ARCH_X86",
        ScmpArchX86_64 = "SCMP_ARCH_X86_64",
        ScmpArchX32 = "SCMP_ARCH_X32",
        ScmpArchArm = "SCMP_ARCH_ARM",
        ScmpArchAarch64 = "SCMP_ARCH_AARCH64",
        ScmpArchMips = "SCMP_ARCH_MIPS",
        ScmpArchMips64 = "SCMP_ARCH_MIPS64",
        ScmpArchMips64n32 = "SCMP_ARCH_MIPS64N32",
        ScmpArchMipsel = "SCMP_ARCH_MIPSEL",
        ScmpArchMipsel64 = "SCMP_ARCH_MIPSEL64",
        ScmpArchMipsel64n32 = "SCMP_ARCH_MIPSEL64N32",
        ScmpArchPpc = "SCMP_ARCH_PPC",
        ScmpArchPpc64 = "SCMP_ARCH_PPC64",
        ScmpArchPpc64le = "SCMP_ARCH_PPC64LE",
        ScmpArchS390 = "SCMP_ARCH_S390",
        ScmpArchS390x = "SCMP_ARCH_S390X",
        ScmpArchParisc = "SCMP_ARCH_PARISC",
        ScmpArchParisc64 = "SCMP_ARCH_PARISC64",
        ScmpArchRiscv64 = "SCMP_ARCH_RISCV64",
        ScmpArchLoongarch64 = "SCMP_ARCH_LOONGARCH64",
        ScmpArchM68k = "SCMP_ARCH_M68K",
        ScmpArchSh = "SCMP_ARCH_SH",
        ScmpArchSheb = "SCMP_ARCH_SHEB",
    }
}
