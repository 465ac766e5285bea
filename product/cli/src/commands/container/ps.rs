//! `strake ps`.

use engine::Listed;
use serde_json::Value;

use super::filter::Filters;
use super::row;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::Format;

/// Arguments of `strake ps`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake ps -a\n  strake ps --filter status=exited --format '{{.Names}}: {{.Status}}'"
)]
pub struct Args {
    /// Also those that don't run
    #[arg(short = 'a', long)]
    pub all: bool,
    /// Only those that fit: name=, id=, label=, status=, ancestor=, exited=, health=, volume=, network=, publish=, before=, since=
    #[arg(short = 'f', long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// json, a template, or table and a template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Only the N newest, running or not
    #[arg(short = 'n', long, value_name = "N")]
    pub last: Option<usize>,
    /// Only the newest, running or not
    #[arg(short = 'l', long)]
    pub latest: bool,
    /// Print everything in full
    #[arg(long)]
    pub no_trunc: bool,
    /// Only ids
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// With the size on disk
    #[arg(short = 's', long)]
    pub size: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let filters = Filters::parse(&args.filter)?;
    let last = if args.latest { Some(1) } else { args.last };
    let all = args.all || last.is_some() || filters.ask_for_state();
    for other in filters.compared_with() {
        engine.resolve(other)?;
    }
    let list = engine.list()?;
    let chosen = list.iter().filter(|listed| all || listed.record.lifecycle.is_up());
    let chosen: Vec<&Listed> = chosen.filter(|listed| filters.match_one(listed, &list)).collect();
    let chosen = &chosen[..last.map_or(chosen.len(), |last| last.min(chosen.len()))];
    if args.quiet {
        for listed in chosen {
            let id = &listed.record.id;
            context.print_line(if args.no_trunc { id.as_str() } else { id.short() })?;
        }
        return Ok(Status::SUCCESS);
    }
    let format = Format::parse(args.format.as_deref())?;
    row::listing(args.size).check(&format)?;
    let options = row::RowOptions { full: args.no_trunc, size: args.size || row::asks_for_size(&format) };
    let fields = row::fields(&format, args.size);
    let rows = chosen.iter().map(|listed| row::of(context, engine, listed, (&fields, options)));
    let rows: Vec<Value> = rows.collect::<Result<_, _>>()?;
    row::listing(args.size).print(context, &format, &rows)?;
    Ok(Status::SUCCESS)
}
