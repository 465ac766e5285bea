//! `strake store migrate`.

use std::time::Instant;

use store::{Embedded, Options, migrate};

use super::place::{EtcdOptions, Place};
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake store migrate`.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("direction").required(true),
    after_help = "Stop the server first. Revisions begin anew: clients list again.\n\nExamples:\n  \
                  strake store migrate --to-etcd https://10.0.0.1:2379,https://10.0.0.2:2379 --etcd-cafile ca.pem\n  \
                  strake store migrate --from-etcd http://127.0.0.1:2379"
)]
pub struct Args {
    /// Carry the embedded store's keys to this empty etcd
    #[arg(long, value_name = "ENDPOINTS", value_delimiter = ',', group = "direction")]
    to_etcd: Vec<String>,
    /// Carry this etcd's keys to an empty embedded store
    #[arg(long, value_name = "ENDPOINTS", value_delimiter = ',', group = "direction")]
    from_etcd: Vec<String>,
    #[command(flatten)]
    etcd: EtcdOptions,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let to_etcd = !args.to_etcd.is_empty();
    let place = args.place.store(context);
    if to_etcd && !place.exists() {
        let message = format!("{} does not exist: name the server's --data-dir", place.display());
        return Err(CliError::message(message));
    }
    let now = Instant::now();
    if let Some(dir) = place.parent() {
        let made = std::fs::create_dir_all(dir);
        made.map_err(|error| CliError::message(format!("make {}: {error}", dir.display())))?;
    }
    let embedded = Embedded::open(&place, &Options::default(), now)?;
    let etcd = args.etcd.connect(if to_etcd { &args.to_etcd } else { &args.from_etcd })?;
    let done = if to_etcd { migrate(&embedded, &etcd, now)? } else { migrate(&etcd, &embedded, now)? };
    context.print_line(format!(
        "{} keys and {} leases carried over, revision {} is now {}",
        done.keys, done.leases, done.from, done.to
    ))?;
    Ok(Status::SUCCESS)
}
