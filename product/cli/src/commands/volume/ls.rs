//! `strake volume ls`.

use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::{Column, Format, Listing};

/// Arguments of `strake volume ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake volume ls\n  strake volume ls --format '{{.Name}}'")]
pub struct Args {
    /// Only names
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// json, a template, or table and a template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
}

const LISTING: Listing<'_> = Listing {
    columns: &[
        Column { field: "Driver", heading: "DRIVER" },
        Column { field: "Name", heading: "VOLUME NAME" },
        Column { field: "Mountpoint", heading: "MOUNTPOINT" },
        Column { field: "Scope", heading: "SCOPE" },
        Column { field: "Labels", heading: "LABELS" },
    ],
    default_fields: &["Driver", "Name"],
};

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let volumes = engine.volumes()?;
    if args.quiet {
        volumes.iter().try_for_each(|volume| context.print_line(&volume.name))?;
        return Ok(Status::SUCCESS);
    }
    let rows = volumes.iter().map(|volume| {
        let labels: Vec<String> = volume.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        json!({
            "Driver": "local", "Name": volume.name, "Mountpoint": engine.volume_data(&volume.name),
            "Scope": "local", "Labels": labels.join(","), "Label": volume.labels,
        })
    });
    let rows: Vec<Value> = rows.collect();
    LISTING.print(context, &Format::parse(args.format.as_deref())?, &rows)?;
    Ok(Status::SUCCESS)
}
