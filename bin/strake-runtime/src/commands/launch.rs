//! `create` and `run`, and what `exec` shares with them: terminals, pid files, passed
//! descriptors.

use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use base::ContainerId;
use oci_runtime::{ConsoleSize, CreateOptions, Created, Runtime, Stdio};
use oci_spec::runtime::Spec;

use super::{bundle, id};
use crate::args::Invocation;
use crate::foreground::{self, Signals};
use crate::log::Log;

/// `create`.
pub(crate) fn create(runtime: &Runtime, invocation: &Invocation, log: &Log) -> anyhow::Result<u8> {
    let id = id(invocation)?;
    let asked = Asked::read(runtime, invocation, log, false)?;
    let mut created = runtime.create(&id, &asked.spec, asked.options)?;
    tell(log, &created);
    hand_over_or_delete(runtime, &id, invocation, &mut created, asked.socket)?;
    debug_steps(runtime, invocation, log);
    Ok(0)
}

/// `run`.
pub(crate) fn run(runtime: &Runtime, invocation: &Invocation, log: &Log) -> anyhow::Result<u8> {
    let detach = invocation.has("detach");
    if !detach && !invocation.has("no-subreaper") {
        sys::prctl::set_child_subreaper(true).context("become a subreaper")?;
    }
    let signals = if detach { None } else { Some(Signals::block().context("block signals")?) };
    let id = id(invocation)?;
    let asked = Asked::read(runtime, invocation, log, !detach)?;
    let mut held = runtime.hold(&id, &asked.spec, asked.options)?;
    tell(log, &held.created);
    hand_over_or_delete(runtime, &id, invocation, &mut held.created, asked.socket)?;
    if let Err(error) = runtime.start_held(&held) {
        drop(runtime.delete(&id, true));
        return match &error {
            oci_runtime::Error::Init { reason, .. } if reason.starts_with("exec ") => {
                log.no_program(reason);
                Ok(1)
            }
            _ => Err(error.into()),
        };
    }
    log.debug("init: closing the pipe to signal completion: its program runs");
    let Some(signals) = signals else { return Ok(0) };
    let status = foreground::wait(&held.created, &signals).context("wait for the container")?;
    if !invocation.has("keep") {
        log.warn_all(&runtime.delete_held(&held)?);
    }
    Ok(u8::try_from(status.shell_code()).unwrap_or(u8::MAX))
}

/// What a container is made from.
struct Asked {
    spec: Spec,
    options: CreateOptions,
    /// Who gets the terminal.
    socket: Option<UnixStream>,
}

impl Asked {
    fn read(runtime: &Runtime, invocation: &Invocation, log: &Log, foreground: bool) -> anyhow::Result<Self> {
        let bundle = bundle(invocation)?;
        let oci_runtime::bundle::Loaded { mut spec, warnings, filter } = runtime.load(&bundle)?;
        log.warn_all(&warnings);
        if let Some(filter) = &filter {
            log.debug(&format!("seccomp filter flags: {}", filter.load_flags()));
        }
        let preserve_fds = preserved(invocation, log)?;
        pass_listen_fds(&mut spec);
        let terminal = spec.process().as_ref().and_then(|process| process.terminal()).unwrap_or(false);
        let socket = console_socket(invocation, terminal, foreground)?;
        let options = CreateOptions {
            bundle,
            stdio: Stdio::Inherit,
            preserve_fds,
            console_size: own_size(foreground && terminal && socket.is_none()),
            relayed: foreground && socket.is_none(),
            no_pivot: invocation.has("no-pivot"),
            no_new_keyring: invocation.has("no-new-keyring"),
            filter,
            ..CreateOptions::default()
        };
        log.debug("nsexec container setup: init is cloned with its namespaces");
        Ok(Self { spec, options, socket })
    }
}

fn tell(log: &Log, created: &Created) {
    warn(log, created);
    log.debug(&format!("child process in init(): {}", created.pid));
}

/// The size of our own terminal, for one that we relay: set before the program can ask.
pub(crate) fn own_size(relayed: bool) -> Option<ConsoleSize> {
    let (columns, rows) = sys::tty::size(std::io::stdin()).ok().filter(|_| relayed)?;
    Some(ConsoleSize { columns, rows })
}

fn debug_steps(runtime: &Runtime, invocation: &Invocation, log: &Log) {
    if !invocation.globals.debug {
        return;
    }
    if let Ok((record, _)) = id(invocation).and_then(|id| Ok(runtime.state(&id)?)) {
        for step in &record.steps {
            log.debug(&format!("{}: {} µs", step.name, step.micros));
        }
    }
}

pub(crate) fn warn(log: &Log, created: &Created) {
    for warning in &created.warnings {
        log.warn(warning);
    }
}

/// [`hand_over`] of a container, which goes where that fails.
pub(crate) fn hand_over_or_delete(
    runtime: &Runtime,
    id: &ContainerId,
    invocation: &Invocation,
    created: &mut Created,
    socket: Option<UnixStream>,
) -> anyhow::Result<()> {
    hand_over(invocation, created, socket).inspect_err(|_| drop(runtime.delete(id, true)))
}

/// Gives the terminal and the process id to those who asked for them.
pub(crate) fn hand_over(
    invocation: &Invocation,
    created: &mut Created,
    socket: Option<UnixStream>,
) -> anyhow::Result<()> {
    if let (Some(socket), Some(master)) = (socket, &created.console) {
        send_terminal(&socket, master)?;
        created.console = None;
    }
    if let Some(path) = invocation.value("pidfd-socket") {
        send_pidfd(path, &created.pidfd)?;
    }
    match invocation.value("pid-file") {
        Some(path) => write_pid_file(Path::new(path), created.pid),
        None => Ok(()),
    }
}

fn send_terminal(socket: &UnixStream, master: &OwnedFd) -> anyhow::Result<()> {
    // The name is what receivers show; the descriptor is what they use.
    sys::fdpass::send(socket, b"/dev/ptmx", &[master.as_fd()])
        .context("send the terminal over --console-socket")?;
    Ok(())
}

/// The process's own descriptor, for those who must not mistake another process for it.
fn send_pidfd(path: &str, pidfd: &OwnedFd) -> anyhow::Result<()> {
    let socket = UnixStream::connect(path).with_context(|| format!("connect to pidfd socket {path}"))?;
    sys::fdpass::send(&socket, b"pidfd", &[pidfd.as_fd()]).context("send the pidfd over --pidfd-socket")?;
    Ok(())
}

/// The socket for the terminal, connected before anything is made.
pub(crate) fn console_socket(
    invocation: &Invocation,
    terminal: bool,
    foreground: bool,
) -> anyhow::Result<Option<UnixStream>> {
    match (invocation.value("console-socket"), terminal) {
        (Some(_), false) => bail!("cannot use console socket if the process has no terminal"),
        (None, true) if !foreground => {
            bail!("cannot allocate tty if the process detaches without setting console socket")
        }
        (Some(path), true) => {
            let socket =
                UnixStream::connect(path).with_context(|| format!("connect to console socket {path}"))?;
            Ok(Some(socket))
        }
        (None, _) => Ok(None),
    }
}

/// Written beside and renamed: a reader never sees half of a number.
fn write_pid_file(path: &Path, pid: i32) -> anyhow::Result<()> {
    let name = path.file_name().context("--pid-file names no file")?;
    let beside = path.with_file_name(format!(".{}", name.to_string_lossy()));
    std::fs::write(&beside, pid.to_string()).with_context(|| format!("write {}", beside.display()))?;
    std::fs::rename(&beside, path)
        .with_context(|| format!("rename {} to {}", beside.display(), path.display()))
}

/// Takes the numbers that are to be passed on and that the caller left closed, before anything of ours is opened: it
/// would get one of them, and go to the program. Returns them.
pub(crate) fn occupy_absent(invocation: &Invocation) -> Vec<i32> {
    if !matches!(invocation.command.as_str(), "create" | "run" | "exec") {
        return Vec::new();
    }
    let count = count(invocation).unwrap_or_default().min(PRESERVED_MAX);
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let null = || rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty());
    let closed = (3..=2 + count).filter(|number| !sys::fd::is_open(*number));
    // The lowest number that is free is the one that was looked at. It is closed by the exec of the program.
    closed.map_while(|_| Some(null().ok()?.into_raw_fd())).collect()
}

/// How many descriptors after the standard ones are passed on: `--preserve-fds` and
/// those of socket activation (`sd_listen_fds(3)`). Those that are not there are left out.
pub(crate) fn preserved(invocation: &Invocation, log: &Log) -> anyhow::Result<u32> {
    let count = count(invocation)?;
    ensure!(count < PRESERVED_MAX, "{count} descriptors to preserve are more than a process can have");
    if let Some(first) = invocation.absent.first() {
        let absent = invocation.absent.len();
        log.debug(&format!(
            "{absent} of {count} descriptors to preserve are not open, number {first} the first"
        ));
    }
    for number in (3..=2 + count).filter(|number| invocation.absent.binary_search(number).is_err()) {
        ensure!(
            sys::fd::is_open(number),
            "preserved descriptor {number} cannot be held: too many files are open"
        );
        // The command that started us may have marked it; it shall reach the program.
        sys::fd::inherit_number(number).context("pass a descriptor on")?;
    }
    Ok(count.unsigned_abs())
}

fn count(invocation: &Invocation) -> anyhow::Result<i32> {
    let asked: u32 = match invocation.value("preserve-fds") {
        Some(text) => text.parse().with_context(|| format!("--preserve-fds {text:?} is not a number"))?,
        None => 0,
    };
    Ok(i32::try_from(asked.saturating_add(listen_fds())).unwrap_or(PRESERVED_MAX))
}

/// No process can have more descriptors than this (`fs.nr_open`).
const PRESERVED_MAX: i32 = 1 << 20;

fn listen_fds() -> u32 {
    std::env::var_os("LISTEN_FDS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(0)
}

fn pass_listen_fds(spec: &mut Spec) {
    let count = listen_fds();
    if count == 0 {
        return;
    }
    let Some(process) = spec.process_mut() else { return };
    let mut env = process.env().clone().unwrap_or_default();
    env.push(format!("LISTEN_FDS={count}"));
    // Init is the first process of its PID namespace.
    env.push("LISTEN_PID=1".to_owned());
    if let Some(names) = std::env::var_os("LISTEN_FDNAMES") {
        env.push(format!("LISTEN_FDNAMES={}", names.to_string_lossy()));
    }
    process.set_env(Some(env));
}
