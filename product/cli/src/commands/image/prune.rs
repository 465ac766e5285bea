//! `strake image prune`.

use std::io::{self, BufRead as _};

use engine::images::ListFilter;

use super::remote;
use super::rm::print_removed;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::humanize;

/// Arguments of `strake image prune`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake image prune -f                  images that have lost their names\n  strake image prune -a --filter until=240h"
)]
pub struct Args {
    /// All images that no container uses, not only those without a name
    #[arg(short = 'a', long)]
    pub all: bool,
    /// Only those that fit: until=, label=, label!=
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Don't ask
    #[arg(short = 'f', long)]
    pub force: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let images = remote::images(context)?;
    let mut filters = Vec::new();
    for text in &args.filter {
        // `label!=x` splits as key `label!`.
        filters.push(ListFilter::parse(text, &images, context.now())?);
    }
    if !args.force && !confirmed(args.all, context)? {
        return Ok(Status::SUCCESS);
    }
    let report = images.prune(args.all, &filters, &context.engine()?.image_uses()?)?;
    if !report.removed.is_empty() {
        context.print_line("Deleted Images:")?;
        print_removed(context, &report.removed)?;
        context.print_line("")?;
    }
    context.print_line(format_args!("Total reclaimed space: {}", humanize::size(report.reclaimed_bytes)))?;
    Ok(Status::SUCCESS)
}

fn confirmed(all: bool, context: &Context) -> Result<bool, CliError> {
    let which = if all {
        "all images without at least one container associated to them"
    } else {
        "all dangling images"
    };
    context.print(format_args!(
        "WARNING! This will remove {which}.\nAre you sure you want to continue? [y/N] "
    ))?;
    context.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
