//! `strake system reconcile`.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake system reconcile`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake system reconcile      after a crash; running containers are not disturbed"
)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let done = engine.reconcile()?;
    engine.images()?.recover()?;
    let sections: [(&str, Vec<String>); 6] = [
        ("creation undone", done.unfinished.iter().map(ToString::to_string).collect()),
        ("end recorded", done.ended.iter().map(ToString::to_string).collect()),
        ("removed", done.removed.iter().map(ToString::to_string).collect()),
        ("file system removed", done.snapshots.iter().map(ToString::to_string).collect()),
        ("state removed", done.states),
        ("network released", done.network.released.iter().map(ToString::to_string).collect()),
    ];
    for (what, ids) in sections {
        for id in ids {
            context.print_line(format_args!("{what}: {id}"))?;
        }
    }
    for link in &done.network.links_deleted {
        context.print_line(format_args!("link deleted: {link}"))?;
    }
    if done.network.table_rewritten {
        context.print_line("network rules written anew")?;
    }
    for warning in &done.network.warnings {
        context.warn(warning);
    }
    for problem in &done.problems {
        context.say(format_args!("strake: {problem}"));
    }
    Ok(if done.problems.is_empty() { Status::SUCCESS } else { Status::FAILURE })
}
