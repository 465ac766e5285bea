//! `strake system df`.

use engine::{DiskUsage, Engine, Listed, Part};
use serde_json::{Value, json};

use crate::commands::container::row;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::{Column, Format, Listing};
use crate::humanize::size;

/// Arguments of `strake system df`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake system df\n  strake system df -v                    each image, container and volume\n  strake system df --format json\n\nThe sizes are what the disk has given, and add up to what `du` says of the data root."
)]
pub struct Args {
    /// json, a template, or table and a template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// List each image, container and volume
    #[arg(short = 'v', long)]
    pub verbose: bool,
}

const LISTING: Listing<'_> = Listing {
    columns: &[
        Column { field: "Type", heading: "TYPE" },
        Column { field: "TotalCount", heading: "TOTAL" },
        Column { field: "Active", heading: "ACTIVE" },
        Column { field: "Size", heading: "SIZE" },
        Column { field: "Reclaimable", heading: "RECLAIMABLE" },
        Column { field: "Bytes", heading: "BYTES" },
    ],
    default_fields: &["Type", "TotalCount", "Active", "Size", "Reclaimable"],
};

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let format = Format::parse(args.format.as_deref())?;
    if args.verbose {
        return verbose(context, &format);
    }
    let usage = context.engine()?.disk_usage()?;
    LISTING.print(context, &format, &rows(&usage))?;
    Ok(Status::SUCCESS)
}

fn rows(usage: &DiskUsage) -> Vec<Value> {
    let parts = [
        ("Images", usage.images),
        ("Containers", usage.containers),
        ("Local Volumes", usage.volumes),
        // Docker's row: nothing is built here yet.
        ("Build Cache", Part::default()),
        ("Logs", usage.logs),
        ("State", usage.state),
    ];
    let rows = parts.map(|(name, part)| {
        let percent = part.reclaimable_bytes.saturating_mul(100).checked_div(part.bytes);
        let reclaimable = match percent {
            Some(percent) => format!("{} ({percent}%)", size(part.reclaimable_bytes)),
            None => size(0),
        };
        json!({
            "Type": name, "TotalCount": part.total.to_string(), "Active": part.active.to_string(),
            "Size": size(part.bytes), "Reclaimable": reclaimable, "Bytes": part.bytes,
        })
    });
    rows.to_vec()
}

const IMAGES: Listing<'_> = Listing {
    columns: &[
        Column { field: "Repository", heading: "REPOSITORY" },
        Column { field: "Tag", heading: "TAG" },
        Column { field: "ID", heading: "IMAGE ID" },
        Column { field: "Size", heading: "SIZE" },
        Column { field: "Containers", heading: "CONTAINERS" },
    ],
    default_fields: &["Repository", "Tag", "ID", "Size", "Containers"],
};
const CONTAINER_FIELDS: &[&str] =
    &["ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"];
const VOLUMES: Listing<'_> = Listing {
    columns: &[
        Column { field: "Name", heading: "VOLUME NAME" },
        Column { field: "Links", heading: "LINKS" },
        Column { field: "Size", heading: "SIZE" },
    ],
    default_fields: &["Name", "Links", "Size"],
};

/// Three tables; in any other format one object with a list for each, as docker's.
fn verbose(context: &Context, format: &Format) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let listed = engine.list()?;
    let images = images(engine, &listed)?;
    let full = !matches!(format, Format::Table);
    let options = row::RowOptions { full, size: true };
    let containers = listed.iter().map(|one| row::of(context, engine, one, (CONTAINER_FIELDS, options)));
    let containers = containers.collect::<Result<Vec<_>, _>>()?;
    let volumes = volumes(engine, &listed)?;
    let all = || json!({"Images": images, "Containers": containers, "Volumes": volumes, "BuildCache": []});
    match format {
        Format::Json => context.print_line(all())?,
        Format::Template(template) | Format::TableTemplate(template) => {
            context.print_line(template.render(&all())?)?;
        }
        Format::Table => {
            context.print_line("Images space usage:\n")?;
            IMAGES.print(context, format, &images)?;
            context.print_line("\nContainers space usage:\n")?;
            Listing { default_fields: CONTAINER_FIELDS, ..row::listing(true) }.print(
                context,
                format,
                &containers,
            )?;
            context.print_line("\nLocal Volumes space usage:\n")?;
            VOLUMES.print(context, format, &volumes)?;
        }
    }
    Ok(Status::SUCCESS)
}

fn images(engine: &Engine, containers: &[Listed]) -> Result<Vec<Value>, CliError> {
    let images = engine.images()?.list(&[])?.into_iter().map(|image| {
        let none = || "<none>".to_owned();
        let users = containers.iter().filter(|listed| listed.record.image.id == image.id).count();
        json!({
            "Repository": image.repository.clone().unwrap_or_else(none),
            "Tag": image.tag.clone().unwrap_or_else(none), "ID": image.id.short(),
            "Size": size(image.size_bytes), "Containers": users.to_string(),
        })
    });
    Ok(images.collect())
}

fn volumes(engine: &Engine, containers: &[Listed]) -> Result<Vec<Value>, CliError> {
    let volumes = engine.volumes()?.into_iter().map(|volume| {
        let links =
            containers.iter().filter(|listed| listed.record.volumes().any(|name| name == volume.name));
        json!({
            "Name": volume.name, "Links": links.count().to_string(),
            "Size": size(engine.volume_bytes(&volume.name)),
        })
    });
    Ok(volumes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_dockers() {
        let images = Part { total: 2, active: 1, bytes: 2000, reclaimable_bytes: 500 };
        let rows = rows(&DiskUsage { images, ..DiskUsage::default() });
        let expected = json!({
            "Type": "Images", "TotalCount": "2", "Active": "1", "Size": "2kB",
            "Reclaimable": "500B (25%)", "Bytes": 2000,
        });
        assert_eq!(rows[0], expected);
        assert_eq!(rows[3]["Reclaimable"], "0B");
    }
}
