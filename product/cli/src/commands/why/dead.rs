//! `strake why dead`.

use engine::Engine;
use engine::container::{Lifecycle, Record};
use explain::{Ended, why_dead};
use inspect::kmsg;
use shim::{EXIT_FILE, Exit, LogOptions};

use crate::commands::explain::{print, record_path};
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake why dead`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The last five ends are kept, each with who sent the signal, the grace time used, memory, \
                        health, restarts and its last lines.\n\nExamples:\n  strake why dead web\n  strake why dead web --json"
)]
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
        last_lines: Vec::new(),
        earlier: Vec::new(),
        policy: record.request.restart,
        restarting: record.lifecycle.is_restarting(),
        // Where it was; the group itself is gone with the container.
        cgroup: engine.cgroup_path(record),
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
            record.exits.last()
        }
        Lifecycle::Exited { exit } | Lifecycle::Restarting { exit } => Some(exit),
        Lifecycle::Removing => None,
    };
    ended.exit = exit;
    let earlier: Vec<&Exit> =
        record.exits.iter().filter(|earlier| exit.is_some_and(|exit| earlier.at < exit.at)).collect();
    let ends: Vec<&Exit> = earlier.iter().copied().chain(exit).collect();
    let mut lines = last_lines(engine, record, &ends);
    ended.last_lines = lines.pop().unwrap_or_default();
    ended.earlier = earlier.into_iter().zip(lines).rev().collect();
    ended
}

/// What each run wrote last; the runs come in their order. A run's log goes on until the next
/// one begins: what was still on its way is written after the end was seen.
fn last_lines(engine: &Engine, record: &Record, ends: &[&Exit]) -> Vec<Vec<String>> {
    let mut lines = vec![Vec::new(); ends.len()];
    let since = ends.first().and_then(|exit| exit.started_at);
    let until = match &record.lifecycle {
        Lifecycle::Running { started_at, .. } => Some(*started_at),
        _ => None,
    };
    let options = LogOptions { tail: None, since, until, stdout: true, stderr: true, follow: false };
    // No log is no reason not to say the rest.
    let Ok(mut log) = engine.logs(&record.id, options) else { return lines };
    while let Ok(Some(entry)) = log.next_entry() {
        let begun = ends.iter().rposition(|exit| exit.started_at.is_some_and(|start| start <= entry.time));
        let Some(run) = begun.and_then(|run| lines.get_mut(run)) else { continue };
        if run.len() == LINES_SHOWN {
            run.remove(0);
        }
        run.push(entry.text.trim_end_matches('\n').to_owned());
    }
    lines
}

const LINES_SHOWN: usize = 5;
