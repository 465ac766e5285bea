//! The commands.

mod criu;
mod events;
mod exec;
pub(crate) mod launch;
mod update;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use base::ContainerId;
use oci_runtime::{ContainerRecord, ContainerStatus, Runtime};
use serde::Serialize;
use sys::Signal;

use crate::args::Invocation;
use crate::log::Log;
use crate::name::name;
use crate::{current_dir, environment, example, help, table};

/// Runs the command; the result is the exit status.
pub(crate) fn run(invocation: &Invocation, log: &Log) -> anyhow::Result<u8> {
    if invocation.wants_version {
        return print(&help::version());
    }
    if invocation.wants_help {
        return print(&help::help(&invocation.command));
    }
    let runtime = runtime(invocation)?;
    match invocation.command.as_str() {
        "create" => {
            launch::create(&runtime, invocation, log).with_context(|| format!("{} create failed", name()))
        }
        "run" => launch::run(&runtime, invocation, log).with_context(|| format!("{} run failed", name())),
        "exec" => exec::exec(&runtime, invocation, log).context("exec failed"),
        "start" => done(runtime.start(&id(invocation)?)),
        "state" => state(&runtime, invocation),
        "kill" => kill(&runtime, invocation),
        "delete" => delete(&runtime, invocation, log),
        "ps" => ps(&runtime, invocation),
        "list" => list(&runtime, invocation),
        "pause" => done(runtime.pause(&id(invocation)?)),
        "resume" => done(runtime.resume(&id(invocation)?)),
        "update" => update::update(&runtime, invocation, log),
        "events" => events::events(&runtime, invocation),
        "checkpoint" => criu::checkpoint(&runtime, invocation, log),
        "restore" => criu::restore(&runtime, invocation, log),
        "spec" => spec(invocation),
        "features" => print_json(&oci_runtime::features::features()),
        other => Err(anyhow!("unknown command {other:?}")),
    }
}

fn runtime(invocation: &Invocation) -> anyhow::Result<Runtime> {
    let globals = &invocation.globals;
    let root = match &globals.root {
        Some(root) => current_dir()?.join(root),
        None => environment::state_root()?,
    };
    let manager = globals.cgroup_manager.as_deref();
    let runtime = Runtime::new(root)
        .with_systemd_cgroup(globals.systemd_cgroup || manager == Some("systemd"))
        .with_systemd_bus(environment::systemd_bus())
        .without_cgroups(manager == Some("disabled"));
    Ok(match globals.rootless.as_deref() {
        Some("true") => runtime.with_rootless(true),
        Some("false") => runtime.with_rootless(false),
        _ => runtime,
    })
}

pub(crate) fn id(invocation: &Invocation) -> anyhow::Result<ContainerId> {
    let raw = invocation.operands.first().map_or("", String::as_str);
    Ok(ContainerId::parse(raw)?)
}

fn delete(runtime: &Runtime, invocation: &Invocation, log: &Log) -> anyhow::Result<u8> {
    log.warn_all(&runtime.delete(&id(invocation)?, invocation.has("force"))?);
    Ok(0)
}

fn done(result: Result<(), oci_runtime::Error>) -> anyhow::Result<u8> {
    result?;
    Ok(0)
}

fn print(text: &str) -> anyhow::Result<u8> {
    use std::io::Write;
    std::io::stdout().write_all(text.as_bytes()).context("write to stdout")?;
    Ok(0)
}

fn print_json(value: &impl Serialize) -> anyhow::Result<u8> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// What `state` and `list` print: the specification's state and runc's additions.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    oci_version: &'static str,
    id: &'a str,
    pid: i32,
    status: &'static str,
    bundle: &'a Path,
    rootfs: &'a Path,
    created: &'a str,
    #[serde(skip_serializing_if = "std::collections::HashMap::is_empty")]
    annotations: &'a std::collections::HashMap<String, String>,
    owner: String,
}

impl<'a> Listed<'a> {
    fn of(record: &'a ContainerRecord, status: ContainerStatus) -> Self {
        Self {
            oci_version: oci_runtime::state::STATE_VERSION,
            id: &record.id,
            pid: if status == ContainerStatus::Stopped { 0 } else { record.pid },
            status: status.as_str(),
            bundle: &record.bundle,
            rootfs: &record.rootfs,
            created: &record.created,
            annotations: &record.annotations,
            // runc leaves it empty here, and names the user in `list`.
            owner: String::new(),
        }
    }
}

fn state(runtime: &Runtime, invocation: &Invocation) -> anyhow::Result<u8> {
    let (record, status) = runtime.state(&id(invocation)?)?;
    print_json(&Listed::of(&record, status))
}

fn list(runtime: &Runtime, invocation: &Invocation) -> anyhow::Result<u8> {
    // Our own default appears with the first container; a directory that was named is there.
    if invocation.globals.root.is_some() {
        std::fs::read_dir(runtime.root())
            .with_context(|| format!("read the state directory {}", runtime.root().display()))?;
    }
    let containers = runtime.list()?;
    if invocation.has("quiet") {
        let ids: String = containers.iter().map(|(record, _)| format!("{}\n", record.id)).collect();
        return print(&ids);
    }
    let users = table::users();
    let owner = |record: &ContainerRecord| {
        users.get(&record.owner_uid).cloned().unwrap_or_else(|| format!("#{}", record.owner_uid))
    };
    match invocation.value("format").unwrap_or("table") {
        "json" => {
            let rows = containers
                .iter()
                .map(|(record, status)| Listed { owner: owner(record), ..Listed::of(record, *status) });
            // Nothing is null: what is printed elsewhere.
            let rows = Some(rows.collect::<Vec<_>>()).filter(|rows| !rows.is_empty());
            print(&format!("{}\n", serde_json::to_string(&rows)?))
        }
        "table" => {
            let mut rows =
                vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned).to_vec()];
            for (record, status) in &containers {
                let listed = Listed::of(record, *status);
                rows.push(vec![
                    listed.id.to_owned(),
                    listed.pid.to_string(),
                    listed.status.to_owned(),
                    listed.bundle.display().to_string(),
                    listed.created.to_owned(),
                    owner(record),
                ]);
            }
            print(&table::columns(&rows, 12, 3))
        }
        other => Err(anyhow!("invalid format option {other:?}: use table or json")),
    }
}

fn kill(runtime: &Runtime, invocation: &Invocation) -> anyhow::Result<u8> {
    let text = invocation.operands.get(1).map_or("SIGTERM", String::as_str);
    let id = id(invocation)?;
    if text == "0" {
        // No signal at all: only whether there is anybody to get one.
        return match runtime.state(&id)?.1 {
            ContainerStatus::Stopped if !invocation.has("all") => Err(oci_runtime::Error::NotRunning.into()),
            _ => Ok(0),
        };
    }
    let signal = Signal::parse(text).ok_or_else(|| anyhow!("unknown signal {text:?}"))?;
    match runtime.kill(&id, signal, invocation.has("all")) {
        // To all of nobody: done already. One that is being made will have somebody.
        Err(oci_runtime::Error::NotRunning)
            if invocation.has("all") && runtime.state(&id)?.1 == ContainerStatus::Stopped =>
        {
            Ok(0)
        }
        result => done(result),
    }
}

fn ps(runtime: &Runtime, invocation: &Invocation) -> anyhow::Result<u8> {
    let pids = runtime.pids(&id(invocation)?)?;
    match invocation.value("format").unwrap_or("table") {
        "json" => print(&format!("{}\n", serde_json::to_string(&pids)?)),
        "table" => match invocation.operands.get(1..).filter(|args| !args.is_empty()) {
            Some(args) => print(&table::of_ps(args, &pids)?),
            None => print(&table::processes(&pids)),
        },
        other => Err(anyhow!("invalid format option {other:?}: use table or json")),
    }
}

fn spec(invocation: &Invocation) -> anyhow::Result<u8> {
    let bundle = bundle(invocation)?;
    let path = bundle.join("config.json");
    let text = serde_json::to_string_pretty(&example::spec(invocation.has("rootless")))?;
    use std::io::Write;
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).open(&path).with_context(|| {
            format!("make {} (an existing one is left alone: remove it first)", path.display())
        })?;
    file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))?;
    Ok(0)
}

/// The bundle's directory, absolute.
pub(crate) fn bundle(invocation: &Invocation) -> anyhow::Result<PathBuf> {
    let here = current_dir()?;
    Ok(match invocation.value("bundle") {
        Some(dir) if !dir.is_empty() => here.join(dir),
        _ => here,
    })
}
