//! The process: arguments, environment, user, limits.

use std::path::PathBuf;

use oci_spec::image::ContainerConfig;
use oci_spec::runtime::{Box, Capabilities, LinuxCapabilities, PosixRlimit, PosixRlimitType, Process, User};

use super::capabilities::{name, typed};
use super::{ResolvedUser, SpecInput};
use crate::apparmor::{APPARMOR_PROFILE, AppArmorHost};
use crate::request::{
    AppArmor, InvalidOption, ProcessRequest, SandboxRole, SecurityRequest, Ulimit, UserMode,
};

/// Where programs are looked for when the image does not say.
pub const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where our init is in a container that asked for it.
pub const INIT_TARGET: &str = "/sbin/docker-init";

/// Where our program is in a sandbox's holder.
pub const PAUSE_TARGET: &str = "/pause";

pub(super) fn process(
    input: &SpecInput<'_>,
    caps: &[String],
    warnings: &mut Vec<String>,
) -> Result<Process, InvalidOption> {
    let request = &input.request.process;
    let is_holder = input.request.sandbox == Some(SandboxRole::Holder);
    let mut args = match is_holder {
        true => [PAUSE_TARGET, "pause"].map(str::to_owned).to_vec(),
        false => command_line(input.image, request),
    };
    if args.is_empty() {
        let why = "the image says no command: give one after the image, or --entrypoint";
        return Err(InvalidOption::new("image", &input.request.image, why));
    }
    if input.own_program.is_some() && !is_holder {
        // Everything behind `--` is the program, as `tini` has it.
        args.splice(0..0, [INIT_TARGET, "init", "--"].map(str::to_owned));
    }
    let mut process = Process::default();
    process
        .set_terminal(Some(request.tty))
        .set_user(user(input.user))
        .set_args(Some(args))
        .set_env(Some(environment(input.image, request, input.hostname, &input.user.home)))
        .set_cwd(working_directory(input.image, request))
        .set_capabilities(Some(capability_sets(caps, input.user.uid == 0)))
        .set_rlimits(Some(rlimits(&input.request.resources.ulimits)).filter(|limits| !limits.is_empty()))
        .set_no_new_privileges(Some(input.request.security.no_new_privileges))
        .set_apparmor_profile(apparmor(input, warnings))
        .set_oom_score_adj(input.request.resources.oom_score_adj);
    Ok(process)
}

/// As docker has it: ours, unless another or none is asked for, or the walls are down.
fn apparmor(input: &SpecInput<'_>, warnings: &mut Vec<String>) -> Option<String> {
    match (&input.request.security.apparmor, &input.host.apparmor) {
        (AppArmor::Profile(profile), _) => Some(profile.clone()),
        _ if !needs_apparmor_profile(&input.request.security) => None,
        (_, AppArmorHost::On) => Some(APPARMOR_PROFILE.to_owned()),
        (_, AppArmorHost::Off) => None,
        (_, AppArmorHost::NoProfile { why }) => {
            warnings.push(format!("AppArmor is on, and the container runs without a profile: {why}"));
            None
        }
    }
}

/// Whether the container gets [`APPARMOR_PROFILE`] where AppArmor is on.
pub(crate) fn needs_apparmor_profile(security: &SecurityRequest) -> bool {
    security.apparmor == AppArmor::Default && !security.privileged
}

/// Entrypoint and command, docker's way: an entrypoint of the request drops the image's command.
pub fn command_line(image: &ContainerConfig, request: &ProcessRequest) -> Vec<String> {
    let (entrypoint, command) = match &request.entrypoint {
        Some(entrypoint) => (entrypoint, &request.command),
        None if request.command.is_empty() => (&image.entrypoint, &image.cmd),
        None => (&image.entrypoint, &request.command),
    };
    entrypoint.iter().chain(command).cloned().collect()
}

fn working_directory(image: &ContainerConfig, request: &ProcessRequest) -> PathBuf {
    let from_image = Some(image.working_dir.as_str()).filter(|dir| !dir.is_empty());
    request.workdir.as_deref().or(from_image).unwrap_or("/").into()
}

/// The environment: ours, then the image's, then the request's; the last of a name wins.
pub fn environment(
    image: &ContainerConfig,
    request: &ProcessRequest,
    hostname: &str,
    home: &str,
) -> Vec<String> {
    let mut env = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if request.tty {
        env.push("TERM=xterm".to_owned());
    }
    overlay(&mut env, &image.env);
    overlay(&mut env, &request.env);
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={home}"));
    }
    env
}

/// Puts `entries` over `env`, keeping the place of a name that is there; `NAME` alone removes it.
fn overlay(env: &mut Vec<String>, entries: &[String]) {
    for entry in entries {
        let name = entry.split_once('=').map_or(entry.as_str(), |(name, _)| name);
        let is_name = |known: &String| known.split_once('=').is_some_and(|(known, _)| known == name);
        let at = env.iter().position(is_name);
        match (at, entry.contains('=')) {
            (Some(at), true) => env[at].clone_from(entry),
            (None, true) => env.push(entry.clone()),
            (Some(at), false) => {
                env.remove(at);
            }
            (None, false) => {}
        }
    }
}

fn user(resolved: &ResolvedUser) -> User {
    let mut user = User::default();
    user.set_uid(resolved.uid).set_gid(resolved.gid);
    user.set_additional_gids(Some(resolved.groups.clone()).filter(|groups| !groups.is_empty()));
    user
}

/// Root has them effective; another user only may get them back by a set-user-id program.
/// The inheritable and ambient sets stay empty (CVE-2022-29162).
fn capability_sets(caps: &[String], is_root: bool) -> LinuxCapabilities {
    let mut sets = oci_spec::defaults::capability_sets(&typed(caps));
    if !is_root {
        sets.set_effective(Some(Capabilities::new())).set_permitted(Some(Capabilities::new()));
    }
    sets
}

fn rlimits(ulimits: &[Ulimit]) -> Vec<PosixRlimit> {
    let limits = ulimits.iter().filter_map(|ulimit| {
        let name = format!("RLIMIT_{}", ulimit.name.to_ascii_uppercase());
        let typ: PosixRlimitType = name.parse().ok()?;
        let mut limit = PosixRlimit::default();
        limit.set_typ(typ).set_soft(ulimit.soft).set_hard(ulimit.hard);
        Some(limit)
    });
    limits.collect()
}

/// What one more process in a running container shall be.
#[derive(Clone, Debug, Default)]
pub struct ExecProcess {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Variables over the container's.
    pub env: Vec<String>,
    /// Where it starts; where the container's process did when missing.
    pub workdir: Option<String>,
    /// Whether it has a terminal.
    pub tty: bool,
    /// All capabilities of the host's, when it is privileged.
    pub privileged: Option<Vec<String>>,
    /// The terminal's size: columns and rows.
    pub console_size: Option<(u16, u16)>,
}

/// The process of an exec: the container's own, with what is asked for changed.
pub fn exec_process(container: &Process, exec: &ExecProcess, resolved: &ResolvedUser) -> Process {
    let mut process = container.clone();
    let mut env = container.env().clone().unwrap_or_default();
    env.retain(|entry| !entry.starts_with("HOME="));
    if exec.tty && !env.iter().any(|entry| entry.starts_with("TERM=")) {
        env.push("TERM=xterm".to_owned());
    }
    overlay(&mut env, &exec.env);
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={}", resolved.home));
    }
    process
        .set_args(Some(exec.args.clone()))
        .set_env(Some(env))
        .set_user(user(resolved))
        .set_terminal(Some(exec.tty));
    if let Some(workdir) = &exec.workdir {
        process.set_cwd(workdir.into());
    }
    let caps = match &exec.privileged {
        Some(all) => Some(all.clone()),
        None => container.capabilities().as_ref().map(|sets| {
            let bounding = sets.bounding().iter().flatten();
            bounding.map(|cap| name(*cap)).collect()
        }),
    };
    process.set_capabilities(caps.map(|caps| capability_sets(&caps, resolved.uid == 0)));
    process.set_console_size(exec.console_size.map(|(columns, rows)| {
        let mut size = Box::default();
        size.set_width(columns.into()).set_height(rows.into());
        size
    }));
    process
}

/// Whether ids inside are those of the host.
pub(super) fn shares_ids(input: &SpecInput<'_>) -> bool {
    input.request.namespaces.user == UserMode::Host
}
