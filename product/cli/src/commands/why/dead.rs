//! `strake why dead`.

use engine::Engine;
use engine::container::{Lifecycle, Record};
use explain::{Ended, why_dead};
use inspect::kmsg;
use shim::{EXIT_FILE, Exit};

use crate::commands::explain::{print, record_path};
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake why dead`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake why dead web\n  strake why dead web --json")]
pub struct Args {
    /// A container's name or id
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Print JSON
    #[arg(short = 'J', long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let record = engine.find(&args.container)?;
    print(&why_dead(&ended(engine, &record)), args.json, context)?;
    Ok(Status::SUCCESS)
}

fn ended<'a>(engine: &Engine, record: &'a Record) -> Ended<'a> {
    let exit_record = engine.paths().record_dir(&record.id).join(EXIT_FILE);
    let mut ended = Ended {
        id: record.id.to_string(),
        name: record.name.clone(),
        record: record_path(engine, record).display().to_string(),
        exit_record: exit_record.display().to_string(),
        alive: None,
        started: record.starts > 0,
        start_error: None,
        exit: None,
        cgroup: Some(cgroup(record)),
        oom_kills: kmsg::oom_kills(),
    };
    let exit: Option<&'a Exit> = match &record.lifecycle {
        Lifecycle::Created { failure } => {
            ended.start_error = failure.as_ref().map(|failure| failure.message.clone());
            None
        }
        Lifecycle::Starting { previous } => previous.as_deref(),
        Lifecycle::Running { pid, .. } => {
            ended.alive = Some(*pid);
            None
        }
        Lifecycle::Exited { exit } => Some(exit),
        Lifecycle::Removing => None,
    };
    ended.exit = exit;
    ended
}

/// Where its group was; the group itself is gone with it.
fn cgroup(record: &Record) -> String {
    let parent = record.request.resources.cgroup_parent.as_deref().unwrap_or("/strake");
    format!("/{}/{}", parent.trim_matches('/'), record.id).replace("//", "/")
}
