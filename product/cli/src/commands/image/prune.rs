//! `strake image prune`.

use engine::images::{ListFilter, Removed};

use super::remote;
use crate::commands::pruned;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake image prune`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake image prune -f                  images that have lost their names\n  strake image prune -a --filter until=240h"
)]
pub struct Args {
    /// All images that no container uses, not only those without a name
    #[arg(short = 'a', long)]
    pub all: bool,
    /// What goes, and whether to ask.
    #[command(flatten)]
    pub options: pruned::Options,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let images = remote::images(context)?;
    let mut filters = Vec::new();
    for text in &args.options.filter {
        // `label!=x` splits as key `label!`.
        filters.push(ListFilter::parse(text, &images, context.now())?);
    }
    let which = if args.all {
        "all images without at least one container associated to them"
    } else {
        "all dangling images"
    };
    if !args.options.force && !pruned::confirmed(context, which)? {
        return Ok(Status::SUCCESS);
    }
    let report = images.prune(args.all, &filters, &context.engine()?.image_uses()?)?;
    let gone: Vec<String> = report.removed.iter().map(line).collect();
    pruned::print(context, "Images", &gone, report.reclaimed_bytes)?;
    Ok(Status::SUCCESS)
}

pub(crate) fn line(removed: &Removed) -> String {
    match removed {
        Removed::Untagged(name) => format!("untagged: {name}"),
        Removed::Deleted(digest) => format!("deleted: {digest}"),
    }
}
