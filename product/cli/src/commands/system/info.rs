//! `strake info`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use engine::{Engine, Lifecycle};
use inspect::Proc;
use serde_json::{Value, json};
use template::Template;

use crate::commands::version::VERSION;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::humanize::{binary_size, rfc3339};

/// Arguments of `strake info`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake info\n  strake info --format '{{.Driver}} {{.CgroupVersion}}'\n\n`strake check` says what this host can do for containers."
)]
pub struct Args {
    /// json, or a template
    #[arg(short = 'f', long, value_name = "FORMAT")]
    pub format: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let facts = facts(context)?;
    match args.format.as_deref() {
        None | Some("") => {
            context.print(format_args!("{}", text(&facts)))?;
            for warning in strings(&facts["Warnings"]) {
                context.say(format_args!("{warning}"));
            }
        }
        Some("json") => context.print_line(&facts)?,
        Some(text) => context.print_line(Template::parse(text)?.render(&facts)?)?,
    }
    Ok(Status::SUCCESS)
}

/// How many containers are how.
#[derive(Default)]
struct Counts {
    running: usize,
    paused: usize,
    stopped: usize,
}

impl Counts {
    fn of(engine: &Engine) -> Result<Self, CliError> {
        let mut counts = Self::default();
        for listed in engine.list()? {
            match &listed.record.lifecycle {
                Lifecycle::Running { paused: true, .. } => counts.paused += 1,
                lifecycle if lifecycle.is_up() => counts.running += 1,
                _ => counts.stopped += 1,
            }
        }
        Ok(counts)
    }
}

/// Docker's fields that mean something here.
fn facts(context: &Context) -> Result<Value, CliError> {
    let engine = context.engine()?;
    let counts = Counts::of(engine)?;
    let images: BTreeSet<String> =
        engine.images()?.list(&[])?.into_iter().map(|image| image.id.to_string()).collect();
    let host = rustix::system::uname();
    let word = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let memory = rustix::system::sysinfo();
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let release = Proc::open().and_then(|proc| proc.process(own)?.os_release());
    let release = release.ok().flatten().map(|found| found.value).unwrap_or_default();
    Ok(json!({
        "Containers": counts.running + counts.paused + counts.stopped,
        "ContainersRunning": counts.running,
        "ContainersPaused": counts.paused,
        "ContainersStopped": counts.stopped,
        "Images": images.len(),
        "Driver": "overlayfs",
        "Plugins": {
            "Volume": ["local"], "Network": ["bridge", "cni", "host", "macvlan", "none"],
            "Log": ["json-file", "local", "none"],
        },
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": if cgroup::is_version_2() { "2" } else { "1" },
        "KernelVersion": word(host.release()),
        "OperatingSystem": release.name().unwrap_or_else(|| "<unknown>".to_owned()),
        "OSVersion": release.version_id.unwrap_or_default(),
        "OSType": "linux",
        "Architecture": word(host.machine()),
        "NCPU": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "MemTotal": u64::from(memory.mem_unit).saturating_mul(memory.totalram),
        "Name": word(host.nodename()),
        "DockerRootDir": context.root,
        "Debug": context.debug,
        "ServerVersion": VERSION,
        "DefaultRuntime": "strake",
        "Runtimes": {"strake": {"path": "strake-runtime"}},
        "SecurityOptions": security(),
        "SystemTime": rfc3339(context.now()),
        "Warnings": warnings(),
        "ClientInfo": {"Version": VERSION, "Context": "default", "Debug": context.debug},
    }))
}

fn security() -> Vec<&'static str> {
    let options = [
        (engine::apparmor_is_on(), "name=apparmor"),
        (Path::new("/proc/sys/kernel/seccomp").exists(), "name=seccomp,profile=builtin"),
        (sys::user::mapped().is_some(), "name=rootless"),
        (Path::new("/proc/self/ns/cgroup").exists(), "name=cgroupns"),
    ];
    options.into_iter().filter_map(|(is_on, name)| is_on.then_some(name)).collect()
}

/// What docker warns of: limits that cannot be kept.
fn warnings() -> Vec<String> {
    let v1 = |file: &str| cgroup::is_version_2() || Path::new("/sys/fs/cgroup").join(file).exists();
    let all = [
        (!v1("memory/memory.limit_in_bytes"), "No memory limit support"),
        (!v1("memory/memory.memsw.limit_in_bytes"), "No swap limit support"),
        (!v1("cpu/cpu.cfs_quota_us"), "No cpu cfs quota support"),
    ];
    all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, what)| format!("WARNING: {what}")).collect()
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Docker's lines.
fn text(facts: &Value) -> String {
    let show = |field: &str| match &facts[field] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut text = format!(
        "Client:\n Version:    {VERSION}\n Context:    default\n Debug Mode: {}\n\nServer:\n",
        show("Debug")
    );
    let line = |text: &mut String, label: &str, value: &str| {
        // Writing to a text does not fail.
        let _ = writeln!(text, " {label}: {value}");
    };
    let lines = [
        ("Containers", "Containers"),
        (" Running", "ContainersRunning"),
        (" Paused", "ContainersPaused"),
        (" Stopped", "ContainersStopped"),
        ("Images", "Images"),
        ("Server Version", "ServerVersion"),
        ("Storage Driver", "Driver"),
        ("Logging Driver", "LoggingDriver"),
        ("Cgroup Driver", "CgroupDriver"),
        ("Cgroup Version", "CgroupVersion"),
    ];
    for (label, field) in lines {
        line(&mut text, label, &show(field));
    }
    text.push_str(" Plugins:\n");
    for kind in ["Volume", "Network", "Log"] {
        let all: Vec<&str> = strings(&facts["Plugins"][kind]).collect();
        line(&mut text, &format!(" {kind}"), &all.join(" "));
    }
    line(&mut text, "Runtimes", "strake");
    line(&mut text, "Default Runtime", &show("DefaultRuntime"));
    text.push_str(" Security Options:\n");
    for option in strings(&facts["SecurityOptions"]) {
        let mut parts = option.split(',').filter_map(|part| part.split_once('='));
        let _ = writeln!(text, "  {}", parts.next().map_or("", |(_, name)| name));
        for (key, value) in parts {
            let key = if key == "profile" { "Profile" } else { key };
            line(&mut text, &format!("  {key}"), value);
        }
    }
    let lines = [
        ("Kernel Version", show("KernelVersion")),
        ("Operating System", show("OperatingSystem")),
        ("OSType", show("OSType")),
        ("Architecture", show("Architecture")),
        ("CPUs", show("NCPU")),
        ("Total Memory", binary_size(facts["MemTotal"].as_u64().unwrap_or(0))),
        ("Name", show("Name")),
        ("Docker Root Dir", show("DockerRootDir")),
        ("Debug Mode", show("Debug")),
    ];
    for (label, value) in lines {
        line(&mut text, label, &value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_dockers() {
        let facts = json!({
            "Containers": 3, "ContainersRunning": 1, "ContainersPaused": 1, "ContainersStopped": 1, "Images": 2,
            "Driver": "overlayfs", "LoggingDriver": "json-file", "CgroupVersion": "2", "Debug": false,
            "Plugins": {"Volume": ["local"], "Network": ["bridge", "host"], "Log": ["none"]},
            "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"], "MemTotal": 1 << 30, "NCPU": 2,
        });
        let text = text(&facts);
        for part in [
            "Server:\n Containers: 3\n  Running: 1\n  Paused: 1\n  Stopped: 1\n Images: 2\n",
            " Storage Driver: overlayfs\n",
            " Plugins:\n  Volume: local\n  Network: bridge host\n  Log: none\n",
            " Security Options:\n  seccomp\n   Profile: builtin\n  cgroupns\n",
            " CPUs: 2\n Total Memory: 1GiB\n",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
