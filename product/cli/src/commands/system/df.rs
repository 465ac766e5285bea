//! `strake system df`.

use std::collections::BTreeSet;

use crate::context::Context;
use crate::error::{CliError, Status};
use crate::files::bytes_below;
use crate::format::Table;
use crate::humanize::size;

/// Arguments of `strake system df`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake system df")]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let images = engine.images()?;
    let list = engine.list()?;
    let blobs = images.store().usage()?;
    let snapshots = engine.snapshots()?;
    let layers: u64 = snapshots.chains()?.iter().map(|layer| layer.bytes).sum();
    let mut written = 0;
    for listed in &list {
        written += engine.size_rw(&listed.record).unwrap_or(0);
    }
    let volumes = engine.volumes()?;
    let used: BTreeSet<&str> = list.iter().flat_map(|listed| listed.record.volumes()).collect();
    let in_volumes: u64 = volumes.iter().map(|volume| bytes_below(&engine.volume_data(&volume.name))).sum();
    let running = list.iter().filter(|listed| listed.record.lifecycle.is_running()).count();
    let mut table = Table::new();
    table.row(["TYPE", "TOTAL", "ACTIVE", "SIZE"]);
    let blob_bytes = blobs.bytes + blobs.partial_bytes;
    table.row(["Blobs".to_owned(), blobs.blobs.to_string(), blobs.blobs.to_string(), size(blob_bytes)]);
    let chains = snapshots.chains()?.len().to_string();
    table.row(["Layers".to_owned(), chains.clone(), chains, size(layers)]);
    table.row(["Containers".to_owned(), list.len().to_string(), running.to_string(), size(written)]);
    table.row([
        "Local Volumes".to_owned(),
        volumes.len().to_string(),
        used.len().to_string(),
        size(in_volumes),
    ]);
    context.print(format_args!("{table}"))?;
    Ok(Status::SUCCESS)
}
