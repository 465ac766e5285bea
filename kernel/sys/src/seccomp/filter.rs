//! A compiled filter and how it gets into the kernel.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use base::{Classified, ErrorClass};

use super::emit::emit;
use super::interpret::{Call, evaluate};
use super::policy::{Action, Arch, Flags, Policy};
use super::program::{Instruction, LENGTH_MAX};
use super::resolve::resolve;
use super::verdict::{Verdicts, verdicts};

/// The policy cannot be expressed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The listener would have to answer its own calls.
    #[error(
        "seccomp: the default action cannot be NOTIFY: the listener's own calls would wait for it; name the calls to notify about in rules"
    )]
    NotifyByDefault,
    /// A system call has six arguments.
    #[error("seccomp: rule for {name} looks at argument {argument}: arguments are numbered 0 to 5")]
    Argument {
        /// The first call that the rule names.
        name: String,
        /// Which argument.
        argument: u8,
    },
    /// The kernel has no such errno.
    #[error(
        "seccomp: errno {errno} of the action for {name} is above 4095, the largest that the kernel returns"
    )]
    Errno {
        /// The first call that the rule names.
        name: String,
        /// The number.
        errno: u16,
    },
    /// More than the kernel accepts.
    #[error(
        "seccomp: the policy needs {length} instructions, the kernel accepts 4096: use fewer conditions on arguments"
    )]
    TooLong {
        /// Instructions needed.
        length: usize,
    },
}

impl Classified for CompileError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// A policy, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    program: Vec<Instruction>,
    flags: Flags,
    unknown: Vec<String>,
}

/// Compiles `policy` for the native architecture and those it lists.
pub fn compile(policy: &Policy<'_>) -> Result<Filter, CompileError> {
    check(policy)?;
    let resolved = resolve(policy);
    let program = emit(&resolved.machines);
    if program.len() > LENGTH_MAX {
        return Err(CompileError::TooLong { length: program.len() });
    }
    Ok(Filter { program, flags: policy.flags, unknown: resolved.unknown })
}

fn check(policy: &Policy<'_>) -> Result<(), CompileError> {
    if policy.default == Action::Notify {
        return Err(CompileError::NotifyByDefault);
    }
    let errno_fits = |action: Action, name: &str| match action {
        Action::Errno(errno) if errno > ERRNO_MAX => {
            Err(CompileError::Errno { name: name.to_owned(), errno })
        }
        _ => Ok(()),
    };
    errno_fits(policy.default, "all other calls")?;
    for rule in &policy.rules {
        let name = rule.names.first().map_or("", String::as_str);
        errno_fits(rule.action, name)?;
        if let Some(condition) = rule.conditions.iter().find(|condition| condition.argument > 5) {
            return Err(CompileError::Argument { name: name.to_owned(), argument: condition.argument });
        }
    }
    Ok(())
}

impl Filter {
    /// The instructions.
    pub fn program(&self) -> &[Instruction] {
        &self.program
    }

    /// Names in the policy that no architecture has: probably a newer kernel's, or typing
    /// errors. Their rules have no effect.
    pub fn unknown_syscalls(&self) -> &[String] {
        &self.unknown
    }

    /// Whether loading it gives a listener descriptor.
    pub fn notifies(&self) -> bool {
        let notify = Action::Notify.ret();
        self.program
            .iter()
            .any(|instruction| instruction.code == super::program::RETURN && instruction.k == notify)
    }

    /// As it is kept in a file: the flags, then the instructions.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Flags { tsync, log, spec_allow, wait_killable_recv } = self.flags;
        let flags = [tsync, log, spec_allow, wait_killable_recv].map(u8::from);
        let mut bytes = Vec::with_capacity(4 + self.program.len() * 8);
        bytes.extend(flags);
        for &Instruction { code, jt, jf, k } in &self.program {
            let ([c, d], [e, f, g, h]) = (code.to_le_bytes(), k.to_le_bytes());
            bytes.extend([c, d, jt, jf, e, f, g, h]);
        }
        bytes
    }

    /// What [`Filter::to_bytes`] gave; `None` for what is no filter.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[tsync, log, spec_allow, wait_killable_recv], program) = bytes.split_first_chunk()?;
        let flags = Flags {
            tsync: tsync != 0,
            log: log != 0,
            spec_allow: spec_allow != 0,
            wait_killable_recv: wait_killable_recv != 0,
        };
        let (program, rest) = program.as_chunks();
        let of = |&[c, d, jt, jf, e, f, g, h]: &[u8; 8]| Instruction {
            code: u16::from_le_bytes([c, d]),
            jt,
            jf,
            k: u32::from_le_bytes([e, f, g, h]),
        };
        let fits = rest.is_empty() && (1..=LENGTH_MAX).contains(&program.len());
        fits.then(|| Self { program: program.iter().map(of).collect(), flags, unknown: Vec::new() })
    }

    /// What it does for one call.
    pub fn evaluate(&self, call: &Call) -> Action {
        evaluate(&self.program, call)
    }

    /// Which of the native calls it denies, and which depend on their arguments.
    pub fn verdicts(&self) -> Verdicts {
        verdicts(&[&self.program], Arch::NATIVE)
    }

    /// How many of the native calls it denies whatever their arguments.
    pub fn denied(&self) -> usize {
        self.verdicts().denied.len()
    }

    /// The flags that it is loaded with: `SECCOMP_FILTER_FLAG_*`.
    pub fn load_flags(&self) -> libc::c_ulong {
        let mut flags: libc::c_ulong = 0;
        let notifies = self.notifies();
        for (wanted, flag) in [
            (self.flags.tsync, libc::SECCOMP_FILTER_FLAG_TSYNC),
            (self.flags.log, libc::SECCOMP_FILTER_FLAG_LOG),
            (self.flags.spec_allow, libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW),
            (notifies, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER),
            // Since Linux 5.7 both results fit: a thread that cannot follow is ESRCH.
            (notifies && self.flags.tsync, libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH),
            // Only means something with a listener; the kernel refuses it without.
            (notifies && self.flags.wait_killable_recv, libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV),
        ] {
            if wanted {
                flags |= flag;
            }
        }
        flags
    }

    /// Puts the filter on the calling thread (with `tsync`: on all threads) for good:
    /// seccomp(2). The caller has set `no_new_privs` or holds `CAP_SYS_ADMIN`.
    ///
    /// Returns the listener when the policy notifies; it is close-on-exec.
    pub fn load(&self) -> io::Result<Option<OwnedFd>> {
        let notifies = self.notifies();
        let result = set_mode_filter(self.load_flags(), &self.program)?;
        if notifies {
            let raw = i32::try_from(result).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
            // SAFETY: with NEW_LISTENER a non-negative result is a descriptor that the
            // kernel has just made for us; nobody else owns it.
            return Ok(Some(unsafe { OwnedFd::from_raw_fd(raw) }));
        }
        if result > 0 {
            // With TSYNC: the id of a thread whose filters are not an ancestor of ours.
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(None)
    }
}

fn set_mode_filter(flags: libc::c_ulong, program: &[Instruction]) -> io::Result<libc::c_long> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `Instruction` is `repr(C)` with the fields of `struct sock_filter`, `len`
    // counts them, the kernel only reads them, and they outlive the call.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER), flags, &program)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// `MAX_ERRNO`.
const ERRNO_MAX: u16 = 4095;
