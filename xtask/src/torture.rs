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
    /// How often
    #[arg(long, default_value_t = 1000)]
    kills: u64,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Suite {
    /// Kill the API server again and again while many write and watch
    Api,
}

/// Builds what is shipped, and tortures it.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    apt::install(&[apt::BUILD])?;
    let built = binaries::build(root)?;
    let Suite::Api = args.suite;
    let mut test = cargo();
    test.current_dir(root).args(["test", "--package", "e2e", "--locked", "--", "kube::kills", "--nocapture"]);
    process::run(test.env("STRAKE_BIN_DIR", &built.dir).env("STRAKE_KILLS", args.kills.to_string()))
}
