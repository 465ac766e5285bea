//! `strake images`.

use engine::images::{ListFilter, Summary};
use serde_json::{Value, json};

use super::remote;
use crate::commands::container::foreign::refused;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::{Column, Format, Listing, Shown};
use crate::humanize;

/// Arguments of `strake images`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake images\n  strake images -q -f dangling=true\n  strake images --format '{{.Repository}}:{{.Tag}} {{.Size}}'"
)]
pub struct Args {
    /// Only this repository, or this tag of it; * stands for anything
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub repository: Option<String>,
    /// Also images that only others are made of (there are none here)
    #[arg(short = 'a', long)]
    pub all: bool,
    /// With digests
    #[arg(long)]
    pub digests: bool,
    /// Only those that fit: dangling=, label=, reference=, before=, since=, until=
    #[arg(short = 'f', long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// How much of each is shown.
    #[command(flatten)]
    pub shown: Shown,
    /// Platforms as a tree
    #[arg(long, hide = true)]
    pub tree: bool,
}

const COLUMNS: &[Column] = &[
    Column { field: "Repository", heading: "REPOSITORY" },
    Column { field: "Tag", heading: "TAG" },
    Column { field: "Digest", heading: "DIGEST" },
    Column { field: "ID", heading: "IMAGE ID" },
    Column { field: "CreatedSince", heading: "CREATED" },
    Column { field: "CreatedAt", heading: "CREATED AT" },
    Column { field: "Size", heading: "SIZE" },
    Column { field: "VirtualSize", heading: "SIZE" },
    Column { field: "SharedSize", heading: "SHARED SIZE" },
    Column { field: "UniqueSize", heading: "UNIQUE SIZE" },
    Column { field: "Containers", heading: "CONTAINERS" },
    Column { field: "Platform", heading: "PLATFORM" },
];
const DEFAULT: &[&str] = &["Repository", "Tag", "ID", "CreatedSince", "Size"];
const WITH_DIGESTS: &[&str] = &["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"];

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    refused(args.tree, "--tree", "`strake image inspect` shows an image's platform")?;
    let images = remote::images(context)?;
    let mut filters = Vec::new();
    for text in &args.filter {
        filters.push(ListFilter::parse(text, &images, context.now())?);
    }
    filters.extend(args.repository.clone().map(ListFilter::Reference));
    let rows = images.list(&filters)?;
    if args.shown.quiet && args.shown.format.is_none() {
        let mut last = None;
        for row in &rows {
            // An image with several names is one image.
            let id = shown_id(row, args.shown.no_trunc);
            if last.as_ref() != Some(&id) {
                context.print_line(&id)?;
            }
            last = Some(id);
        }
        return Ok(Status::SUCCESS);
    }
    let rows: Vec<Value> = rows.iter().map(|row| value(row, args.shown.no_trunc, context)).collect();
    let default_fields = if args.digests { WITH_DIGESTS } else { DEFAULT };
    Listing { columns: COLUMNS, default_fields }.print(
        context,
        &Format::parse(args.shown.format.as_deref())?,
        &rows,
    )?;
    Ok(Status::SUCCESS)
}

fn shown_id(row: &Summary, full: bool) -> String {
    if full { row.id.to_string() } else { row.id.short().to_owned() }
}

fn value(row: &Summary, full: bool, context: &Context) -> Value {
    let none = || "<none>".to_owned();
    // An image that is the same wherever it is made has 1970 for a date.
    let created = row.created.filter(|created| *created > std::time::SystemTime::UNIX_EPOCH);
    let since = created.map_or_else(|| "N/A".to_owned(), |created| humanize::ago(context.now(), created));
    let size = humanize::size(row.size_bytes);
    json!({
        "Repository": row.repository.clone().unwrap_or_else(none),
        "Tag": row.tag.clone().unwrap_or_else(none),
        "Digest": row.digest.as_ref().map_or_else(none, ToString::to_string),
        "ID": shown_id(row, full),
        "CreatedSince": since,
        "CreatedAt": created.map_or_else(|| "N/A".to_owned(), humanize::created_at),
        "Size": size,
        "VirtualSize": size,
        "SharedSize": "N/A",
        "UniqueSize": "N/A",
        "Containers": "N/A",
        "Platform": row.platform.to_string(),
    })
}
