//! `cargo xtask torture SUITE`: what continuous integration runs a part of, at full length.

use std::path::Path;

use anyhow::Result;

use crate::process::{self, cargo};
use crate::{apt, binaries};

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to torture
    #[arg(value_enum)]
    suite: Suite,
    /// How often something is killed [default: 1000; of clients 500]
    #[arg(long)]
    kills: Option<u64>,
    /// How many containers run meanwhile
    #[arg(long, default_value_t = 50)]
    containers: u64,
    /// How many containers come and go
    #[arg(long, default_value_t = 10_000)]
    cycles: u64,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Suite {
    /// Kill the API server again and again while many write and watch
    Api,
    /// Kill commands again and again while containers run, log and are talked to
    Clients,
    /// Run and remove containers, and see that nothing grows
    Cycles,
}

/// Builds what is shipped, and tortures it.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    apt::install(&[apt::BUILD])?;
    let built = binaries::build(root)?;
    let (filter, kills) = match args.suite {
        Suite::Api => ("kube::kills", 1000),
        Suite::Clients => ("care::endurance::killed_clients", 500),
        Suite::Cycles => ("care::endurance::cycles", 0),
    };
    let mut test = cargo();
    test.current_dir(root).args(["test", "--package", "e2e", "--locked", "--", filter, "--nocapture"]);
    test.env("STRAKE_BIN_DIR", &built.dir)
        .env("STRAKE_KILLS", args.kills.unwrap_or(kills).to_string())
        .env("STRAKE_CONTAINERS", args.containers.to_string())
        .env("STRAKE_CYCLES", args.cycles.to_string());
    process::run(&mut test)
}
