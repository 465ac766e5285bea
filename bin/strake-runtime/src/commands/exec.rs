//! `exec`: a process from a file or from options on top of the bundle's own.

use std::collections::HashSet;

use anyhow::{Context, anyhow, bail};
use oci_runtime::{ExecOptions, Runtime, Stdio};
use oci_spec::runtime::{Capability, Process, Spec};

use super::{id, launch};
use crate::args::Invocation;
use crate::foreground::{self, Signals};
use crate::log::Log;

/// `exec`.
pub(crate) fn exec(runtime: &Runtime, invocation: &Invocation, log: &Log) -> anyhow::Result<u8> {
    let container = runtime.container(&id(invocation)?)?;
    let process = match invocation.value("process") {
        Some(file) => read(file)?,
        None => on_top_of(container.spec(), invocation)?,
    };
    let detach = invocation.has("detach");
    let terminal = process.terminal().unwrap_or(false);
    let socket = launch::console_socket(invocation, terminal, !detach)?;
    let preserve_fds = launch::preserved(invocation, log)?;
    let signals = if detach { None } else { Some(Signals::block().context("block signals")?) };
    let options = ExecOptions {
        process,
        stdio: Stdio::Inherit,
        console_size: launch::own_size(!detach && terminal && socket.is_none()),
        relayed: !detach && socket.is_none(),
        preserve_fds,
        cgroups: invocation.values("cgroup").map(sub_cgroup).collect(),
        ignore_paused: invocation.has("ignore-paused"),
    };
    log.debug("nsexec container setup: the process is made in the container's namespaces");
    if let Some(mask) = initial_affinity(&options.process) {
        log.debug(&format!("nsexec: affinity: {mask:#x}"));
    }
    let mut created = container.exec(&options)?;
    launch::warn(log, &created);
    log.debug(&format!("child process in init(): {}", created.pid));
    log.debug("setns_init: about to exec, and has");
    launch::hand_over(invocation, &mut created, socket)?;
    let Some(signals) = signals else { return Ok(0) };
    let status = foreground::wait(&created, &signals).context("wait for the process")?;
    Ok(u8::try_from(status.shell_code()).unwrap_or(u8::MAX))
}

/// `[CONTROLLER[,...]:]PATH`.
fn sub_cgroup(text: &str) -> (Vec<String>, String) {
    match text.split_once(':') {
        Some((controllers, path)) => (
            controllers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            path.to_owned(),
        ),
        None => (Vec::new(), text.to_owned()),
    }
}

/// The CPUs that the process starts on, as bits.
fn initial_affinity(process: &Process) -> Option<u128> {
    let list = process.exec_cpu_affinity().as_ref()?.initial().as_deref()?;
    let cpus = oci_runtime::plan::cpus(Some(list)).ok()?;
    Some(cpus.iter().filter_map(|cpu| 1u128.checked_shl(u32::try_from(*cpu).ok()?)).fold(0, |a, b| a | b))
}

fn read(file: &str) -> anyhow::Result<Process> {
    let bytes = std::fs::read(file).with_context(|| format!("read {file}"))?;
    let what = || format!("{file} is not a process of the runtime-spec");
    serde_json::from_slice(&bytes).with_context(what)
}

/// The bundle's process with what the options change.
fn on_top_of(spec: &Spec, invocation: &Invocation) -> anyhow::Result<Process> {
    let args = invocation.operands.get(1..).unwrap_or_default();
    if args.is_empty() {
        bail!("process args cannot be empty: name the command after the container's id");
    }
    let mut process =
        spec.process().clone().ok_or_else(|| anyhow!("the bundle's config.json has no process"))?;
    process.set_args(Some(args.to_vec()));
    process.set_terminal(Some(invocation.has("tty")));
    if let Some(cwd) = invocation.value("cwd") {
        process.set_cwd(cwd.into());
    }
    if let Some(label) = invocation.value("process-label") {
        process.set_selinux_label(Some(label.to_owned()));
    }
    if let Some(profile) = invocation.value("apparmor") {
        process.set_apparmor_profile(Some(profile.to_owned()));
    }
    if invocation.has("no-new-privs") {
        process.set_no_new_privileges(Some(true));
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(invocation.values("env").map(str::to_owned));
    process.set_env(Some(env));
    set_user(&mut process, invocation)?;
    add_capabilities(&mut process, invocation)?;
    Ok(process)
}

/// Parsed once, as numbers: a text that is not one is an error, never another user
/// (CVE-2026-30892).
fn set_user(process: &mut Process, invocation: &Invocation) -> anyhow::Result<()> {
    let number = |text: &str| {
        text.parse::<u32>()
            .with_context(|| format!("--user and --additional-gids take numbers, not {text:?}"))
    };
    let mut user = process.user().clone();
    if let Some(text) = invocation.value("user") {
        let (uid, gid) = match text.split_once(':') {
            Some((uid, gid)) => (number(uid)?, Some(number(gid)?)),
            None => (number(text)?, None),
        };
        user.set_uid(uid);
        if let Some(gid) = gid {
            user.set_gid(gid);
        }
    }
    let more = invocation.values("additional-gids").map(number).collect::<anyhow::Result<Vec<_>>>()?;
    if !more.is_empty() {
        let mut groups = user.additional_gids().clone().unwrap_or_default();
        groups.extend(more);
        user.set_additional_gids(Some(groups));
    }
    process.set_user(user);
    Ok(())
}

/// Adds to the sets in which it has an effect. The inheritable set stays as it is: a
/// filled one gave capabilities away (CVE-2022-29162).
fn add_capabilities(process: &mut Process, invocation: &Invocation) -> anyhow::Result<()> {
    let mut more = HashSet::new();
    for name in invocation.values("cap") {
        let number = sys::capability::parse(name).ok_or_else(|| anyhow!("unknown capability {name:?}"))?;
        let name = sys::capability::name(number);
        more.insert(Capability::named(&name).with_context(|| format!("capability {name} cannot be given"))?);
    }
    if more.is_empty() {
        return Ok(());
    }
    let mut sets = process.capabilities().clone().unwrap_or_default();
    let with = |set: &Option<HashSet<Capability>>| Some(set.iter().flatten().chain(&more).copied().collect());
    let (bounding, effective, permitted) =
        (with(sets.bounding()), with(sets.effective()), with(sets.permitted()));
    if sets.inheritable().is_some() {
        // What is inherited at all is also given on.
        let ambient = with(sets.ambient());
        sets.set_ambient(ambient);
    }
    sets.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    process.set_capabilities(Some(sets));
    Ok(())
}
