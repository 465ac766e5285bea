//! What a process may do: filters, descriptors, capabilities, devices.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use sys::seccomp::{Action, Arch, Flags, Policy, Rule, compile};
use sys::{CapSet, Namespace, NamespaceSet};

use super::trial::at;

/// Capabilities of this kernel that are not effective here.
pub(super) fn missing_capabilities() -> Vec<String> {
    let held = sys::capability::current().map(|caps| caps.effective).unwrap_or_default();
    CapSet::known().minus(held).names()
}

/// Whether there is a user namespace above ours: the first one maps everything to itself.
pub(super) fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let words: Vec<&str> = map.split_whitespace().collect();
    !words.is_empty() && words != ["0", "0", "4294967295"]
}

pub(super) fn time_namespace() -> io::Result<String> {
    sys::namespace::unshare(NamespaceSet::EMPTY.with(Namespace::Time)).map(|()| String::new())
}

/// As an ordinary user: root would be let through.
pub(super) fn unprivileged_user_namespace() -> io::Result<String> {
    if sys::user::effective_uid() == 0 {
        sys::user::set_groups(&[]).map_err(at("give up the groups"))?;
        sys::user::set_gid(NOBODY).map_err(at("become nobody"))?;
        sys::user::set_uid(NOBODY).map_err(at("become nobody"))?;
    }
    sys::namespace::unshare(NamespaceSet::EMPTY.with(Namespace::User))
        .map_err(at("unshare(CLONE_NEWUSER)"))?;
    Ok(String::new())
}

pub(super) fn opens(path: &'static str) -> io::Result<String> {
    OpenOptions::new().read(true).write(true).open(path).map_err(at(path))?;
    Ok(String::new())
}

pub(super) fn kvm() -> io::Result<String> {
    let kvm = OpenOptions::new().read(true).write(true).open("/dev/kvm").map_err(at("/dev/kvm"))?;
    let version = sys::features::kvm_version(&kvm)?;
    Ok(format!("API version {version}"))
}

/// A filter that denies one call, and then that call.
pub(super) fn seccomp() -> io::Result<String> {
    sys::prctl::set_no_new_privs().map_err(at("no_new_privs"))?;
    filter(Action::Errno(DENIED))?;
    match rustix::process::getcwd(Vec::new()) {
        Err(errno) if errno.raw_os_error() == i32::from(DENIED) => Ok(String::new()),
        _ => Err(io::Error::other("a filter was taken and has no effect")),
    }
}

/// A filter that hands one call to a listener.
pub(super) fn seccomp_notify() -> io::Result<String> {
    sys::prctl::set_no_new_privs().map_err(at("no_new_privs"))?;
    match filter(Action::Notify)? {
        true => Ok(String::new()),
        false => Err(io::Error::other("no listener was given")),
    }
}

fn filter(action: Action) -> io::Result<bool> {
    let names = Cow::Owned(vec!["getcwd".to_owned()]);
    let policy = Policy {
        default: Action::Allow,
        arches: vec![Arch::NATIVE],
        rules: vec![Rule { names, action, conditions: Vec::new() }],
        flags: Flags::default(),
    };
    let filter = compile(&policy).map_err(io::Error::other)?;
    Ok(filter.load().map_err(at("seccomp(2)"))?.is_some())
}

pub(super) fn pidfd() -> io::Result<String> {
    sys::pidfd::open(std::process::id().cast_signed()).map(|_| String::new())
}

/// `r0 = 1; exit`: all devices.
pub(super) fn device_program() -> io::Result<String> {
    let instruction = |code, immediate| sys::bpf::Instruction { code, registers: 0, offset: 0, immediate };
    sys::bpf::load_device_program(&[instruction(0xb7, 1), instruction(0x95, 0)]).map(|_| String::new())
}

/// Random numbers without waiting for the first ones.
pub(super) fn entropy() -> io::Result<String> {
    let mut bytes = [0u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK)?;
    Ok(String::new())
}

/// A number in a file of one line.
pub(super) fn number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Whether a path is there.
pub(super) fn exists(path: &str) -> bool {
    Path::new(path).exists()
}

/// Whether a program is in one of the usual places.
pub(super) fn program(name: &str) -> Option<String> {
    let found = PROGRAM_DIRS.iter().map(|dir| format!("{dir}/{name}")).find(|path| File::open(path).is_ok());
    found.or_else(|| PROGRAM_DIRS.iter().map(|dir| format!("{dir}/{name}")).find(|path| exists(path)))
}

const PROGRAM_DIRS: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
const NOBODY: u32 = 65534;
/// `EXDEV`: nothing else makes getcwd(2) say that.
const DENIED: u16 = 18;
