//! An ordinary user's command: where its files are, and how it becomes root of the user's own
//! namespaces before it does anything.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rootless::Places;

use crate::commands::Command;
use crate::commands::container::{ContainerCommand, ContainerNounCommand, Verb};
use crate::commands::system::SystemCommand;
use crate::context::{Context, Environment};
use crate::error::{CliError, chain};

/// The user's own places; `None` for root.
pub(crate) fn places(environment: &Environment) -> Option<Places> {
    let uid = sys::user::effective_uid();
    if uid == 0 {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let home: Option<PathBuf> = rootless::user_name(&passwd, uid).map(|(_, home)| home);
    let is_ours =
        |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_dir() && found.uid() == uid);
    Some(rootless::places(uid, |name| environment.variable(name), home.as_deref(), is_ours))
}

/// Makes this process root of the user's namespaces, if it is an ordinary user's and the command has to do
/// with containers. It has one thread yet.
pub(crate) fn go_in(command: &Command, context: &mut Context) -> Result<(), CliError> {
    if sys::user::effective_uid() == 0 || !is_about_containers(command) || is_network(command) {
        return Ok(());
    }
    let companions = context.environment.companions.clone();
    let state = context.state.clone();
    let mut line = None;
    let before = |house: &rootless::House| {
        if starts_containers(command) {
            line = Some(rootless::network::start(&state, house, &network_command(context))?);
        }
        Ok(())
    };
    let house = rootless::enter(&context.state, || companions.path(engine::SHIM, &state), before)
        .map_err(|error| CliError::message(chain(&error)))?;
    context.line = line;
    for warning in &house.warnings {
        context.warn(warning);
    }
    context.network = Some(Arc::new(house.into_network()));
    Ok(())
}

/// What the process of the user's network is started by.
fn network_command(context: &Context) -> Vec<OsString> {
    let mut command = vec![context.environment.executable.clone().into_os_string()];
    command.extend([
        "--root".into(),
        context.root.clone().into(),
        "--state".into(),
        context.state.clone().into(),
    ]);
    command.extend(["system".into(), "user-network".into()]);
    command
}

/// Whether containers may be running when the command has ended that did not run before.
fn starts_containers(command: &Command) -> bool {
    let starts = |verb: &Verb| matches!(verb, Verb::Run(_) | Verb::Start(_) | Verb::Restart(_));
    match command {
        Command::Run(ContainerCommand::Verb(verb)) | Command::Container(ContainerNounCommand::Verb(verb)) => {
            starts(verb)
        }
        Command::System(SystemCommand::StartAll(_) | SystemCommand::Reconcile(_)) => true,
        // It puts right that nothing leads out of the network of those that run.
        Command::System(SystemCommand::Fsck(args)) => args.repair,
        _ => false,
    }
}

/// Whether the process is to be the way out of the user's network, which stays outside of it.
fn is_network(command: &Command) -> bool {
    matches!(command, Command::System(SystemCommand::UserNetwork(_)))
}

/// Whether a command works on the user's containers, and not on a cluster or any process of the host.
fn is_about_containers(command: &Command) -> bool {
    !matches!(
        command,
        Command::Ns(_)
            | Command::Version(_)
            | Command::Cgroup(_)
            | Command::Cri(_)
            | Command::Server(_)
            | Command::Agent(_)
            | Command::Scheduler(_)
            | Command::Controllers(_)
            | Command::Dns(_)
            | Command::Proxy(_)
            | Command::Capacity(_)
            | Command::Store(_)
            | Command::Token(_)
    )
}
