//! `strake system prune`.

use engine::images::ListFilter;

use crate::commands::container::prune::filter;
use crate::commands::image;
use crate::commands::pruned;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake system prune`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake system prune -f\n  strake system prune -a -f --volumes --filter until=240h"
)]
pub struct Args {
    /// All images that no container uses, not only those without a name
    #[arg(short = 'a', long)]
    pub all: bool,
    /// Only what fits: until=, label=, label!=
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Don't ask
    #[arg(short = 'f', long)]
    pub force: bool,
    /// Anonymous volumes too
    #[arg(long)]
    pub volumes: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let chosen = filter(&args.filter, context)?;
    if args.volumes && chosen.until.is_some() {
        return Err(CliError::message(
            "the \"until\" filter is not supported with \"--volumes\": leave one of the two out",
        ));
    }
    if !args.force && !pruned::confirmed_list(context, &what(args), &args.filter)? {
        return Ok(Status::SUCCESS);
    }
    let engine = context.engine()?;
    let containers = engine.prune_containers(&chosen)?;
    pruned::print_removed(context, "Containers", &containers.removed)?;
    let mut bytes = containers.reclaimed_bytes;
    let mut failure = containers.failure;
    if args.volumes {
        let volumes = engine.prune_volumes(false, &chosen)?;
        pruned::print_removed(context, "Volumes", &volumes.removed)?;
        bytes += volumes.reclaimed_bytes;
        failure = failure.or(volumes.failure);
    }
    let images = image::remote::images(context)?;
    let filters = args.filter.iter().map(|text| ListFilter::parse(text, &images, context.now()));
    let filters = filters.collect::<Result<Vec<_>, _>>()?;
    let report = images.prune(args.all, &filters, &engine.image_uses()?)?;
    let gone: Vec<String> = report.removed.iter().map(image::prune::line).collect();
    pruned::print_removed(context, "Images", &gone)?;
    bytes += report.reclaimed_bytes;
    pruned::print_total(context, bytes)?;
    failure.map_or(Ok(Status::SUCCESS), |error| Err(error.into()))
}

fn what(args: &Args) -> Vec<&'static str> {
    let mut what = vec!["all stopped containers"];
    if args.volumes {
        what.push("all anonymous volumes not used by at least one container");
    }
    what.push(match args.all {
        true => "all images without at least one container associated to them",
        false => "all dangling images",
    });
    what
}
