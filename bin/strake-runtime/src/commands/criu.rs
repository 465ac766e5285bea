//! `checkpoint` and `restore`: options as runc has them, for CRIU.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use oci_runtime::Runtime;
use oci_runtime::criu::{
    CgroupMode, CheckpointOptions, CriuProgram, ImageOptions, PageServer, RestoreOptions,
};

use super::launch::{console_socket, hand_over_or_delete, warn};
use super::{bundle, id};
use crate::args::Invocation;
use crate::current_dir;
use crate::foreground::{self, Signals};
use crate::log::Log;
use crate::name::name;

/// `checkpoint`.
pub(crate) fn checkpoint(runtime: &Runtime, invocation: &Invocation, log: &Log) -> anyhow::Result<u8> {
    warn_rootless(invocation, log);
    let id = id(invocation)?;
    // First of all: the number is the caller's.
    let status = status_fd(invocation)?;
    runtime.state(&id)?;
    let images = images(invocation)?;
    let options = CheckpointOptions {
        parent: parent(invocation, &images.images)?,
        leave_running: invocation.has("leave-running"),
        pre_dump: invocation.has("pre-dump"),
        tcp_skip_in_flight: invocation.has("tcp-skip-in-flight"),
        link_remap: invocation.has("link-remap"),
        page_server: invocation.value("page-server").map(page_server).transpose()?,
        status,
        images,
    };
    let goes_on = options.leave_running || options.pre_dump;
    runtime.checkpoint(&id, options)?;
    if !goes_on {
        match runtime.delete(&id, true) {
            Ok(warnings) => log.warn_all(&warnings),
            // It is saved: that counts.
            Err(error) => log.warn(&format!("delete the container after its checkpoint: {error}")),
        }
    }
    Ok(0)
}

/// `restore`.
pub(crate) fn restore(runtime: &Runtime, invocation: &Invocation, log: &Log) -> anyhow::Result<u8> {
    warn_rootless(invocation, log);
    let foreground = !invocation.has("detach");
    if foreground && !invocation.has("no-subreaper") {
        sys::prctl::set_child_subreaper(true).context("become a subreaper")?;
    }
    let signals = if foreground { Some(Signals::block().context("block signals")?) } else { None };
    let id = id(invocation)?;
    let bundle = bundle(invocation)?;
    let oci_runtime::bundle::Loaded { spec, warnings, .. } = oci_runtime::bundle::load(&bundle)?;
    log.warn_all(&warnings);
    let terminal = spec.process().as_ref().and_then(|process| process.terminal()).unwrap_or(false);
    let socket = console_socket(invocation, terminal, foreground)?;
    let text = |option| invocation.value(option).map(str::to_owned);
    let options = RestoreOptions {
        images: images(invocation)?,
        bundle,
        relayed: foreground && socket.is_none(),
        lsm_profile: text("lsm-profile"),
        lsm_mount_context: text("lsm-mount-context"),
    };
    let mut restored = runtime.restore(&id, &spec, &options)?;
    warn(log, &restored);
    hand_over_or_delete(runtime, &id, invocation, &mut restored, socket)?;
    let Some(signals) = signals else { return Ok(0) };
    let status = foreground::wait(&restored, &signals).context("wait for the container")?;
    log.warn_all(&runtime.delete(&id, true)?);
    Ok(u8::try_from(status.shell_code()).unwrap_or(u8::MAX))
}

fn warn_rootless(invocation: &Invocation, log: &Log) {
    if sys::user::effective_uid() != 0 || sys::user::mapped().is_some() {
        log.warn(&format!("{} {} is untested with rootless containers", name(), invocation.command));
    }
}

fn images(invocation: &Invocation) -> anyhow::Result<ImageOptions> {
    let here = current_dir()?;
    let dir = |option| invocation.value(option).filter(|dir| !dir.is_empty()).map(|dir| here.join(dir));
    let mode = invocation.value("manage-cgroups-mode").unwrap_or_default();
    for kind in invocation.values("empty-ns") {
        // That of the network always is: its devices are the caller's to make.
        ensure!(kind == "network", "namespace {kind:?} is not supported: --empty-ns takes network");
    }
    Ok(ImageOptions {
        criu: program(invocation)?,
        images: dir("image-path").unwrap_or_else(|| here.join("checkpoint")),
        work: dir("work-path"),
        tcp_established: invocation.has("tcp-established"),
        ext_unix_sk: invocation.has("ext-unix-sk"),
        shell_job: invocation.has("shell-job"),
        file_locks: invocation.has("file-locks"),
        auto_dedup: invocation.has("auto-dedup"),
        lazy_pages: invocation.has("lazy-pages"),
        cgroups: CgroupMode::parse(mode).ok_or_else(|| {
            anyhow!("invalid manage-cgroups-mode {mode:?}: use soft, full, strict or ignore")
        })?,
    })
}

/// CRIU as `--criu` names it, or as the shell would find it.
fn program(invocation: &Invocation) -> anyhow::Result<CriuProgram> {
    let given = invocation.globals.criu.as_deref().filter(|path| !path.is_empty()).unwrap_or("criu");
    let path = if given.contains('/') {
        current_dir()?.join(given)
    } else {
        let dirs = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&dirs).map(|dir| dir.join(given)).find(|path| path.is_file());
        found.ok_or_else(|| {
            let command = &invocation.command;
            anyhow!("{command} needs CRIU: exec: {given:?}: executable file not found in $PATH; install criu 4 or later, or name it with --criu")
        })?
    };
    let pairs = std::env::vars_os().filter_map(|(name, value)| {
        let pair = [name.into_vec(), value.into_vec()].join(&b'=');
        CString::new(pair).ok()
    });
    Ok(CriuProgram { path, env: pairs.collect() })
}

/// Relative to the images, since it is written into them.
fn parent(invocation: &Invocation, images: &Path) -> anyhow::Result<Option<PathBuf>> {
    let Some(path) = invocation.value("parent-path").filter(|path| !path.is_empty()).map(Path::new) else {
        return Ok(None);
    };
    ensure!(!path.is_absolute(), "--parent-path {} must be relative to --image-path", path.display());
    // The images' own directory may not be there yet.
    let mut real = images.to_owned();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(real.pop()),
            Component::CurDir => {}
            part => real.push(part),
        }
    }
    let found =
        std::fs::metadata(&real).with_context(|| format!("invalid --parent-path: {}", real.display()))?;
    ensure!(found.is_dir(), "invalid --parent-path: {} is not a directory", real.display());
    Ok(Some(path.to_owned()))
}

fn page_server(text: &str) -> anyhow::Result<PageServer> {
    let hint = || format!("--page-server {text:?} is not ADDRESS:PORT");
    let (address, port) = text.rsplit_once(':').with_context(hint)?;
    let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    ensure!(!address.is_empty(), "{}", hint());
    let port = port.parse().ok().filter(|port| *port != 0).with_context(hint)?;
    Ok(PageServer { address: address.to_owned(), port })
}

fn status_fd(invocation: &Invocation) -> anyhow::Result<Option<OwnedFd>> {
    let Some(text) = invocation.value("status-fd") else { return Ok(None) };
    let number: i32 = text.parse().with_context(|| format!("--status-fd {text:?} is not a number"))?;
    if number == -1 {
        return Ok(None);
    }
    let invalid = || format!("invalid --status-fd argument {number}");
    let fd = sys::fd::take_inherited(number).with_context(invalid)?;
    let access = rustix::fs::fcntl_getfl(&fd).with_context(invalid)? & rustix::fs::OFlags::RWMODE;
    if access == rustix::fs::OFlags::RDONLY {
        bail!("{}: not writable", invalid());
    }
    Ok(Some(fd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_of_page_servers() {
        for (text, address, port) in
            [("0.0.0.0:27277", "0.0.0.0", 27_277), ("[::1]:1", "::1", 1), ("::1:9", "::1", 9)]
        {
            assert_eq!(page_server(text).unwrap(), PageServer { address: address.to_owned(), port });
        }
        for text in ["", "x", ":1", "x:", "x:0", "x:65536", "[]:7"] {
            let error = page_server(text).unwrap_err().to_string();
            assert!(error.contains("is not ADDRESS:PORT"), "{error}");
        }
    }
}
