//! `linux.seccomp` of the runtime-spec as a filter: OCI runtime-spec config-linux.md,
//! "Seccomp". Pure.

use std::borrow::Cow;

use base::{Classified, ErrorClass};
use oci_spec::runtime::{
    Arch as SpecArch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSeccompOperator, LinuxSyscall,
};
use sys::seccomp::{Action, Arch, CompileError, Condition, Filter, Flags, Op, Policy, Rule};

/// The seccomp section cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The policy as such.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// An errno does not fit.
    #[error(
        "seccomp: errnoRet {value} of {name} is out of range: use 0 to 4095 for an errno, up to 65535 for a trace message"
    )]
    Value {
        /// The first call of the rule, or `defaultAction`.
        name: String,
        /// As given.
        value: u32,
    },
    /// No such argument.
    #[error("seccomp: rule for {name} looks at argument {index}: arguments are numbered 0 to 5")]
    Argument {
        /// The first call of the rule.
        name: String,
        /// As given.
        index: usize,
    },
    /// The runtime could not hand the listener over.
    #[error(
        "SCMP_ACT_NOTIFY cannot be used for the {name} syscall, because the runtime needs it to hand the listener over; choose another action for it"
    )]
    NotifyNeeded {
        /// Which call.
        name: String,
    },
    /// An errno that nobody would get.
    #[error("seccomp: errnoRet {value} of {name} has no meaning for {action}: leave it out")]
    NoErrno {
        /// The first call of the rule, or `defaultAction`.
        name: String,
        /// What is done.
        action: String,
        /// As given.
        value: u32,
    },
    /// A rule about nothing.
    #[error("seccomp: a rule in syscalls has no names: name the system calls that it is about")]
    NoNames,
    /// Somebody has to answer.
    #[error(
        "seccomp: rules notify a listener, but listenerPath is not set: name the socket of the agent that answers"
    )]
    NoListener,
    /// Metadata without anybody to get it.
    #[error("seccomp: listenerMetadata is set, but listenerPath is not")]
    MetadataWithoutListener,
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// Compiles the section for this machine. Architectures that this kernel cannot run are
/// left out.
pub fn compile(seccomp: &LinuxSeccomp) -> Result<Filter, Error> {
    let policy = policy(seccomp)?;
    let filter = sys::seccomp::compile(&policy)?;
    if filter.notifies() && seccomp.listener_path().is_none() {
        return Err(Error::NoListener);
    }
    if seccomp.listener_path().is_none() && seccomp.listener_metadata().is_some() {
        return Err(Error::MetadataWithoutListener);
    }
    Ok(filter)
}

/// The section as a policy.
pub fn policy(seccomp: &LinuxSeccomp) -> Result<Policy<'_>, Error> {
    let default = action(seccomp.default_action(), seccomp.default_errno_ret(), "defaultAction")?;
    let mut rules = Vec::new();
    for call in seccomp.syscalls().iter().flatten() {
        let rule = rule(call)?;
        // The same as the default, it would only keep an earlier rule from being seen.
        if rule.action != default {
            rules.push(rule);
        }
    }
    let arches = seccomp.architectures().iter().flatten().filter_map(|arch| self::arch(*arch)).collect();
    let has = |flag| seccomp.flags().iter().flatten().any(|have| *have == flag);
    let flags = Flags {
        // The process that loads it has one thread: nobody is to be brought along.
        tsync: false,
        log: has(LinuxSeccompFilterFlag::SeccompFilterFlagLog),
        // As runc: without `flags` containers are not slowed down by this mitigation.
        spec_allow: seccomp.flags().is_none() || has(LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow),
        wait_killable_recv: has(LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv),
    };
    Ok(Policy { default, arches, rules, flags })
}

fn rule(call: &LinuxSyscall) -> Result<Rule<'_>, Error> {
    let name = call.names().first().map(String::as_str).ok_or(Error::NoNames)?;
    let action = action(call.action(), call.errno_ret(), name)?;
    // As runc: the process that is about to become the container's still has to say so.
    if let (Action::Notify, Some(name)) = (action, call.names().iter().find(|name| name.as_str() == "write"))
    {
        return Err(Error::NotifyNeeded { name: name.clone() });
    }
    let conditions =
        call.args().iter().flatten().map(|argument| condition(argument, name)).collect::<Result<_, _>>()?;
    Ok(Rule { names: Cow::Borrowed(call.names()), action, conditions })
}

fn condition(argument: &LinuxSeccompArg, name: &str) -> Result<Condition, Error> {
    let index = u8::try_from(argument.index()).ok().filter(|index| *index < 6);
    let index = index.ok_or_else(|| Error::Argument { name: name.to_owned(), index: argument.index() })?;
    let value = argument.value();
    let (op, value) = match argument.op() {
        LinuxSeccompOperator::ScmpCmpNe => (Op::Ne, value),
        LinuxSeccompOperator::ScmpCmpLt => (Op::Lt, value),
        LinuxSeccompOperator::ScmpCmpLe => (Op::Le, value),
        LinuxSeccompOperator::ScmpCmpEq => (Op::Eq, value),
        LinuxSeccompOperator::ScmpCmpGe => (Op::Ge, value),
        LinuxSeccompOperator::ScmpCmpGt => (Op::Gt, value),
        // `value` is the mask, `valueTwo` what is left under it.
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            (Op::MaskedEq { mask: value }, argument.value_two().unwrap_or_default())
        }
    };
    Ok(Condition { argument: index, op, value })
}

fn action(action: LinuxSeccompAction, errno_ret: Option<u32>, name: &str) -> Result<Action, Error> {
    let takes_errno = matches!(action, LinuxSeccompAction::ScmpActErrno | LinuxSeccompAction::ScmpActTrace);
    if let Some(value) = errno_ret.filter(|_| !takes_errno) {
        return Err(Error::NoErrno { name: name.to_owned(), action: action.to_string(), value });
    }
    let value = errno_ret.unwrap_or(EPERM);
    let small = u16::try_from(value).map_err(|_| Error::Value { name: name.to_owned(), value });
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => Action::KillThread,
        LinuxSeccompAction::ScmpActKillProcess => Action::KillProcess,
        LinuxSeccompAction::ScmpActTrap => Action::Trap,
        LinuxSeccompAction::ScmpActErrno => Action::Errno(small?),
        LinuxSeccompAction::ScmpActNotify => Action::Notify,
        LinuxSeccompAction::ScmpActTrace => Action::Trace(small?),
        LinuxSeccompAction::ScmpActLog => Action::Log,
        LinuxSeccompAction::ScmpActAllow => Action::Allow,
    })
}

/// `None` for what this machine cannot run.
fn arch(arch: SpecArch) -> Option<Arch> {
    let arch = match arch {
        SpecArch::ScmpArchNative => Arch::NATIVE,
        SpecArch::ScmpArchX86_64 => Arch::X86_64,
        SpecArch::ScmpArchX86 => Arch::X86,
        SpecArch::ScmpArchX32 => Arch::X32,
        SpecArch::ScmpArchAarch64 => Arch::Aarch64,
        SpecArch::ScmpArchArm => Arch::Arm,
        _ => return None,
    };
    let arm = |arch| matches!(arch, Arch::Aarch64 | Arch::Arm);
    (arm(arch) == arm(Arch::NATIVE)).then_some(arch)
}

/// What an errno is when none is given.
const EPERM: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::defaults;
    use sys::seccomp::{Call, number};

    fn call(name: &str, first: u64) -> Call {
        Call {
            number: number(Arch::NATIVE, name).unwrap(),
            audit: Arch::NATIVE.audit(),
            arguments: [first, 0, 0, 0, 0, 0],
        }
    }

    fn docker() -> Filter {
        compile(&defaults::seccomp(&defaults::capabilities())).unwrap()
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn se_04_default_profile_denies_67_of_the_362_calls_of_linux_6_1() {
        let verdicts = docker().verdicts();
        let newer = |name: &&&str| number(Arch::NATIVE, name).unwrap() > 450 || **name == "uretprobe";
        let old_total = sys::seccomp::names(Arch::NATIVE).filter(|(name, _)| !newer(&name)).count();
        let old_denied = verdicts.denied.iter().filter(|name| !newer(name)).count();
        assert_eq!((old_denied, old_total), (67, 362));
        assert_eq!(verdicts.conditional, ["clone", "personality", "socket"]);
        assert_eq!((verdicts.denied.len(), verdicts.total), (74, 383));
    }

    #[test]
    fn se_04_each_denied_call_gives_eperm_and_each_allowed_one_does_not() {
        let filter = docker();
        let verdicts = filter.verdicts();
        for (name, _) in sys::seccomp::names(Arch::NATIVE) {
            let action = filter.evaluate(&call(name, 0));
            match name {
                // Argument 0 is harmless for all three.
                "clone" | "personality" | "socket" => assert_eq!(action, Action::Allow, "{name}"),
                "clone3" => assert_eq!(action, Action::Errno(38)),
                // Newer than the profile: the C library shall fall back.
                "open_tree_attr" | "file_getattr" | "file_setattr" | "listns" => {
                    assert_eq!(action, Action::Errno(38), "{name}");
                }
                name if verdicts.denied.contains(&name) => assert_eq!(action, Action::Errno(1), "{name}"),
                name => assert_eq!(action, Action::Allow, "{name}"),
            }
        }
    }

    #[test]
    fn se_05_reboot_swapoff_and_sysctl_are_blocked() {
        let filter = docker();
        for name in ["reboot", "swapoff", "swapon", "mount", "setns", "keyctl", "bpf", "init_module"] {
            assert_eq!(filter.evaluate(&call(name, 0)), Action::Errno(1), "{name}");
        }
        if number(Arch::NATIVE, "_sysctl").is_some() {
            assert_eq!(filter.evaluate(&call("_sysctl", 0)), Action::Errno(1));
        }
    }

    /// With the kernel, on a thread of its own: a filter stays on a thread for good.
    #[test]
    fn se_04_the_kernel_enforces_the_default_profile() {
        let pivot = || rustix::process::pivot_root("/nonexistent/new", "/nonexistent/old");
        let thread = std::thread::spawn(move || {
            assert_eq!(pivot(), Err(rustix::io::Errno::NOENT));
            assert!(docker().load().unwrap().is_none());
            assert_eq!(pivot(), Err(rustix::io::Errno::PERM));
            // Files, memory, threads and processes work as before.
            std::fs::read_to_string("/proc/self/status").unwrap();
            std::thread::spawn(|| vec![0u8; 1 << 20].len()).join().unwrap();
            assert!(std::process::Command::new("true").status().unwrap().success());
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }

    /// PERFORMANCE.md: a range tree, not the 766 instructions of a chain.
    #[test]
    fn default_profile_is_a_small_tree() {
        let length = docker().program().len();
        assert!(length < 400, "{length} instructions");
    }

    #[test]
    fn default_profile_looks_at_arguments() {
        let filter = docker();
        for (name, first, allowed) in [
            ("socket", 2, true),
            ("socket", 38, false),
            ("socket", 39, true),
            ("socket", 40, false),
            ("socket", 41, true),
            ("socket", 1 << 32 | 40, true),
            ("personality", 8, true),
            ("personality", 0x40000, false),
            ("personality", 0xffff_ffff, true),
            ("clone", 0x11, true),
            ("clone", 0x1000_0000, false),
            ("clone", 0x4000_0011, false),
        ] {
            let expected = if allowed { Action::Allow } else { Action::Errno(1) };
            assert_eq!(filter.evaluate(&call(name, first)), expected, "{name} {first:#x}");
        }
        assert!(filter.unknown_syscalls().is_empty(), "{:?}", filter.unknown_syscalls());
    }

    #[test]
    fn bad_sections_are_refused() {
        let parse = |json: &str| compile(&serde_json::from_str(json).unwrap());
        let section = |rule: &str| format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{rule}]}}"#);
        assert_eq!(
            parse(&section(r#"{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}"#)),
            Err(Error::NoListener)
        );
        assert!(matches!(
            parse(r#"{"defaultAction":"SCMP_ACT_NOTIFY","listenerPath":"/s"}"#),
            Err(Error::Compile(CompileError::NotifyByDefault))
        ));
        assert!(matches!(
            parse(&section(r#"{"names":["x"],"action":"SCMP_ACT_ERRNO","errnoRet":70000}"#)),
            Err(Error::Value { value: 70000, .. })
        ));
        assert!(matches!(
            parse(&section(
                r#"{"names":["x"],"action":"SCMP_ACT_ERRNO","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}"#
            )),
            Err(Error::Argument { index: 6, .. })
        ));
        assert_eq!(parse(&section(r#"{"names":[],"action":"SCMP_ACT_ERRNO"}"#)), Err(Error::NoNames));
        for (section, name) in [
            (section(r#"{"names":["mkdir"],"action":"SCMP_ACT_LOG","errnoRet":1}"#), "mkdir"),
            (r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}"#.to_owned(), "defaultAction"),
        ] {
            let error = parse(&section).unwrap_err();
            assert!(matches!(&error, Error::NoErrno { name: told, .. } if told == name), "{error}");
        }
        let misspelt = parse(&section(r#"{"names":["mkdri"],"action":"SCMP_ACT_ERRNO"}"#)).unwrap();
        assert_eq!(misspelt.unknown_syscalls(), ["mkdri"]);
    }
}
