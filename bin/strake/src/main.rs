//! `strake`: the roof. It reads the environment, tells by its name what it is to be, and
//! hands everything on.

#[allow(dead_code, reason = "`xtask` appends with the same file")]
mod carried;
mod companions;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

/// Copies and compares in place of musl's functions.
use memcpy as _;

/// musl's own allocator contends between the server's threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let variables: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    arm_failpoint(&variables);
    // In a container of the built-in image we are called by the names of its tools.
    let called = args.first().and_then(|arg| Path::new(arg).file_name()?.to_str()).unwrap_or("strake");
    if cli::tools::is_tool(called) {
        let rest: Vec<String> = args.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
        return cli::tools::run(called, &rest, &variables);
    }
    // Runtimes run a CNI plugin by its program's name, without arguments.
    let args = if called == cli::CNI_PROGRAM { vec![called.into(), "cni".into()] } else { args };
    let executable = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    let environment = cli::Environment {
        variables,
        companions: engine::Companions::new(companions::locator(executable.clone())),
        executable,
        streams: cli::Streams::of_process(),
        now: SystemTime::now,
        give_back_memory: sys::allocator::give_back,
    };
    cli::main(args, environment)
}

/// `STRAKE_FAILPOINT=name[:skip]`: end at that point as SIGKILL does.
fn arm_failpoint(variables: &BTreeMap<String, String>) {
    let Some(text) = variables.get("STRAKE_FAILPOINT") else { return };
    let (name, skip) = match text.rsplit_once(':') {
        Some((name, skip)) => (name, skip.parse().unwrap_or(0)),
        None => (text.as_str(), 0),
    };
    base::failpoint::arm(name, skip, sys::process::kill_self);
}
