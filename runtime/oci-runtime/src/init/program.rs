//! The last steps, common to init and to `exec`: identity, limits, seccomp, the program.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode};
use sys::Signal;
use sys::procfs::Procfs;
use sys::rlimit::{self, Limit};
use sys::seccomp::Filter;

use super::{Doing, InitError, credentials, null};
use crate::channel::InitEnd;
use crate::plan::{ProcessPlan, RlimitPlan};

/// What the last steps need.
pub(crate) struct Entry<'a> {
    pub(crate) process: &'a ProcessPlan,
    pub(crate) filter: Option<&'a Filter>,
    /// The container's procfs when it is at hand.
    pub(crate) proc: Option<Procfs>,
    pub(crate) preserve_fds: u32,
    pub(crate) setgroups_denied: bool,
    pub(crate) channel: &'a InitEnd,
}

/// A program that can be executed.
pub(crate) struct Program {
    path: CString,
    args: Vec<CString>,
    env: Vec<CString>,
    name: String,
    _listener: Option<OwnedFd>,
}

/// Takes on identity and limits; gives the program.
pub(super) fn settle(entry: &Entry<'_>, warnings: &mut Vec<String>) -> Result<Program, InitError> {
    let process = entry.process;
    null::exchange()?;
    label(entry)?;
    schedule(process, warnings)?;
    let env = environment(process);
    // Before a filter that may forbid it, as what follows: what is opened from here on is close-on-exec.
    sys::fd::cloexec_from(3 + entry.preserve_fds).doing(|| "close inherited descriptors".to_owned())?;
    // A directory that only root may enter is entered now, one that only the user may
    // enter (a network file system) afterwards.
    let entered = rustix::process::chdir(&process.cwd);
    if entered.is_ok() {
        check_cwd()?;
    }
    let mut listener = None;
    if process.no_new_privileges {
        sys::prctl::set_no_new_privs().doing(|| "set no_new_privs".to_owned())?;
    } else {
        // Without no_new_privs a filter needs CAP_SYS_ADMIN: while we still have it.
        listener = load_filter(entry)?;
    }
    rustix::process::umask(Mode::from_raw_mode(process.umask.unwrap_or(0o022)));
    // As late as they still can be raised: they hold for our own last steps, too.
    for limit in &process.rlimits {
        set_limit(limit, warnings)?;
    }
    credentials::take(process, entry.setgroups_denied, warnings)?;
    if entered.is_err() {
        rustix::process::chdir(&process.cwd).map_err(|errno| no_directory(&process.cwd, errno))?;
        check_cwd()?;
    }
    let path = if process.args.is_empty() { PathBuf::new() } else { find(process, &env)? };
    reset_signals();
    sys::signal::unblock_all().doing(|| "unblock signals".to_owned())?;
    if process.no_new_privileges && is_early(entry) {
        listener = load_filter(entry)?;
    }
    Program::new(&path, process, env, listener)
}

/// A program expects the default for every signal. Our own language's runtime ignores
/// SIGPIPE, and who started us may ignore others.
fn reset_signals() {
    for signal in (1..=31).filter_map(Signal::from_number) {
        // SIGKILL and SIGSTOP have nothing but the default.
        let _ = sys::signal::reset(signal);
    }
}

/// Sets a limit; where raising is refused, as near to it as we get.
fn set_limit(wanted: &RlimitPlan, warnings: &mut Vec<String>) -> Result<(), InitError> {
    let name = || format!("set {}", rlimit::name(wanted.resource));
    let error = match rlimit::set(wanted.resource, wanted.limit) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    if error.kind() != std::io::ErrorKind::PermissionDenied {
        return Err(error).doing(name);
    }
    let now = rlimit::get(wanted.resource).doing(name)?;
    let hard = wanted.limit.hard.min(now.hard);
    let reached = Limit { soft: wanted.limit.soft.min(hard), hard };
    rlimit::set(wanted.resource, reached).doing(name)?;
    warnings.push(format!(
        "{} is {}:{} instead of {}:{}: raising a hard limit needs CAP_SYS_RESOURCE, which the runtime does not have",
        rlimit::name(wanted.resource),
        reached.soft,
        reached.hard,
        wanted.limit.soft,
        wanted.limit.hard
    ));
    Ok(())
}

/// As [`settle`], then executes: what `exec` does, which has no gate.
pub(crate) fn enter(
    entry: &Entry<'_>,
    commit: impl FnOnce(&[String]) -> Result<(), InitError>,
) -> Result<std::convert::Infallible, InitError> {
    let mut warnings = Vec::new();
    let program = settle(entry, &mut warnings)?;
    commit(&warnings)?;
    load_filter_late(entry)?;
    Err(program.exec())
}

/// With no_new_privs the filter comes as late as possible, so that it needs to allow
/// as little as possible of ours.
pub(super) fn load_filter_late(entry: &Entry<'_>) -> Result<(), InitError> {
    if entry.process.no_new_privileges && !is_early(entry) {
        load_filter(entry)?;
    }
    Ok(())
}

/// A listener must reach the runtime while that still waits for us.
fn is_early(entry: &Entry<'_>) -> bool {
    entry.filter.is_some_and(Filter::notifies)
}

/// Loads the filter. A listener stays open until the exec: the runtime takes it from us.
fn load_filter(entry: &Entry<'_>) -> Result<Option<OwnedFd>, InitError> {
    let Some(filter) = entry.filter else { return Ok(None) };
    let listener = filter.load().doing(|| "load the seccomp filter".to_owned())?;
    if let Some(listener) = &listener {
        let handed_over = entry.channel.listener(listener.as_fd());
        handed_over.doing(|| "hand the seccomp listener over".to_owned())?;
    }
    Ok(listener)
}

/// A descriptor of the host that leaked into the container would let `cwd` point to it,
/// as `/proc/self/fd/7` did in CVE-2024-21626. The kernel says `(unreachable)` then.
fn check_cwd() -> Result<(), InitError> {
    let cwd = rustix::process::getcwd(Vec::new()).doing(|| "read the working directory".to_owned())?;
    if cwd.to_bytes().first() == Some(&b'/') {
        return Ok(());
    }
    Err(InitError::plain("the working directory is outside the container's root: process.cwd leaves it"))
}

/// `create` makes a missing working directory; `exec` must not change the container's files.
fn no_directory(cwd: &Path, errno: rustix::io::Errno) -> InitError {
    let fix = match errno {
        rustix::io::Errno::NOENT => "; make it in the container first, or name another one",
        rustix::io::Errno::NOTDIR => "; name a directory",
        rustix::io::Errno::ACCESS => "; name one that the user may enter, or another user",
        _ => "",
    };
    InitError::plain(format!("chdir to the working directory {cwd:?}: {}{fix}", text_of(errno)))
}

fn label(entry: &Entry<'_>) -> Result<(), InitError> {
    let process = entry.process;
    if process.apparmor.is_none() && process.selinux.is_none() {
        return Ok(());
    }
    let own;
    let proc = match &entry.proc {
        Some(proc) => proc,
        None => {
            own = Procfs::private().doing(|| "open a procfs for labels".to_owned())?;
            &own
        }
    };
    if let Some(profile) = &process.apparmor {
        let value = format!("exec {profile}");
        let wrote = proc
            .write(Path::new("self/attr/apparmor/exec"), value.as_bytes())
            .or_else(|_| proc.write(Path::new("self/attr/exec"), value.as_bytes()));
        wrote.doing(|| {
            format!("apply apparmor profile {profile} (is AppArmor enabled and the profile loaded?)")
        })?;
    }
    if let Some(label) = &process.selinux {
        // Left out, the program would run with more rights than it was given.
        proc.write(Path::new("self/attr/exec"), label.as_bytes()).doing(|| {
            format!("apply SELinux label {label} (is SELinux enabled, and the label in its policy?)")
        })?;
    }
    Ok(())
}

fn schedule(process: &ProcessPlan, warnings: &mut Vec<String>) -> Result<(), InitError> {
    let plan = &process.scheduling;
    if let Some(attr) = &plan.scheduler {
        set_scheduler(attr, plan.has_cpuset)?;
    }
    if let Some((class, level)) = plan.io {
        sys::scheduling::set_io_priority(class, level).doing(|| "set process.ioPriority".to_owned())?;
    }
    if let Some(policy) = &plan.memory {
        sys::scheduling::set_memory_policy(policy).doing(|| "set linux.memoryPolicy".to_owned())?;
    }
    if let Some(domain) = plan.personality
        && let Err(error) = sys::scheduling::set_personality(domain)
    {
        warnings.push(format!("linux.personality is left out: {error}"));
    }
    Ok(())
}

/// A deadline scheduler wants all CPUs of the machine, and says EPERM (`sched_setattr(2)`).
fn set_scheduler(attr: &sys::scheduling::SchedAttr, has_cpuset: bool) -> Result<(), InitError> {
    match sys::scheduling::set_scheduler(attr) {
        Err(error) if has_cpuset && error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(InitError::plain(
                "process scheduler can't be used together with AllowedCPUs: leave linux.resources.cpu.cpus out",
            ))
        }
        result => result.doing(|| "set process.scheduler".to_owned()),
    }
}

/// `HOME` is set when it is missing or empty: by the image's passwd file, else `/`.
pub(super) fn environment(process: &ProcessPlan) -> Vec<String> {
    let mut env = process.env.clone();
    let home = env.iter_mut().find(|variable| variable.starts_with("HOME="));
    match home {
        Some(home) if home.len() > "HOME=".len() => {}
        Some(empty) => *empty = own_home(process.uid),
        None => env.push(own_home(process.uid)),
    }
    env
}

fn own_home(uid: u32) -> String {
    format!("HOME={}", home_of(uid).unwrap_or_else(|| "/".to_owned()))
}

/// We are inside the root by now: the path cannot lead out of it.
fn home_of(uid: u32) -> Option<String> {
    let root = sys::root::RootDir::open(Path::new("/")).ok()?;
    let text = root.read(Path::new("etc/passwd"), PASSWD_MAX).ok()?;
    home_in(&String::from_utf8_lossy(&text), uid)
}

fn home_in(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let matches = fields.get(2)?.parse() == Ok(uid);
        fields.get(5).filter(|home| matches && !home.is_empty()).map(|home| (*home).to_owned())
    })
}

/// Where the program is, as the user sees it. The texts are those that callers of
/// runtimes look for to tell "not found" (127) from "not executable" (126).
fn find(process: &ProcessPlan, env: &[String]) -> Result<PathBuf, InitError> {
    let name = process.args.first().map_or("", String::as_str);
    if name.contains('/') {
        return match executable(Path::new(name)) {
            Ok(()) => Ok(PathBuf::from(name)),
            Err(rustix::io::Errno::NOENT) => {
                Err(InitError::plain(format!("exec: {name:?}: stat {name}: no such file or directory")))
            }
            Err(errno) => Err(InitError::plain(format!("exec: {name:?}: {}", text_of(errno)))),
        };
    }
    let path = env.iter().rev().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    let mut denied = false;
    for dir in path.split(':') {
        let candidate = Path::new(if dir.is_empty() { "." } else { dir }).join(name);
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(rustix::io::Errno::ACCESS) => denied = true,
            Err(_) => {}
        }
    }
    let why = if denied { "permission denied" } else { "executable file not found in $PATH" };
    Err(InitError::plain(format!("exec: {name:?}: {why}")))
}

fn executable(path: &Path) -> Result<(), rustix::io::Errno> {
    match rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS) {
        // A filter that is older than faccessat2(2), Linux 5.8, and is in force already.
        Err(rustix::io::Errno::PERM | rustix::io::Errno::NOSYS) => rustix::fs::access(path, Access::EXEC_OK)?,
        other => other?,
    }
    let stat = rustix::fs::stat(path)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Err(rustix::io::Errno::ISDIR),
        _ if stat.st_mode & 0o111 == 0 => Err(rustix::io::Errno::ACCESS),
        _ => Ok(()),
    }
}

/// The C library's words in lower case, as Go prints them.
pub(crate) fn text_of(errno: rustix::io::Errno) -> String {
    errno_text(errno.raw_os_error())
}

/// The error number in words, without the number.
pub(crate) fn errno_text(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

impl Program {
    fn new(
        path: &Path,
        process: &ProcessPlan,
        env: Vec<String>,
        listener: Option<OwnedFd>,
    ) -> Result<Self, InitError> {
        let c_string = |text: String| {
            CString::new(text).map_err(|_| InitError::plain("an argument or variable has a NUL byte"))
        };
        Ok(Self {
            path: c_string(path.display().to_string())?,
            args: process.args.iter().cloned().map(c_string).collect::<Result<_, _>>()?,
            env: env.into_iter().map(c_string).collect::<Result<_, _>>()?,
            name: process.args.first().cloned().unwrap_or_default(),
            _listener: listener,
        })
    }

    /// Becomes the program. Returns only why that failed.
    pub(crate) fn exec(&self) -> InitError {
        let error = sys::process::exec(&self.path, &self.args, &self.env);
        InitError::plain(format!("exec {}: {}", self.name, errno_text(error.raw_os_error().unwrap_or(0))))
    }
}

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
// A passwd file of an image that is larger than this is not read.
const PASSWD_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_comes_from_passwd() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbad\nu:x:1000:1000::/home/u:\nnone:x:5:5:::\n";
        assert_eq!(home_in(passwd, 0).as_deref(), Some("/root"));
        assert_eq!(home_in(passwd, 1000).as_deref(), Some("/home/u"));
        assert_eq!(home_in(passwd, 5), None);
        assert_eq!(home_in(passwd, 6), None);
    }

    #[test]
    fn a_missing_directory_is_named_with_the_fix() {
        let text = no_directory(Path::new("/missing"), rustix::io::Errno::NOENT).failure().doing;
        assert_eq!(
            text,
            "chdir to the working directory \"/missing\": no such file or directory; \
             make it in the container first, or name another one"
        );
    }

    #[test]
    fn errors_read_as_others_print_them() {
        assert_eq!(errno_text(2), "no such file or directory");
        assert_eq!(errno_text(13), "permission denied");
    }
}
