//! `cargo xtask conformance SUITE`: a public suite, brought by path, run on the reference first and on ours second.
//!
//! None of a suite's code is in this repository. What neither can pass here, and why, is.

mod report;
mod runc_bats;

use std::path::Path;

use anyhow::Result;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    suite: Suite,
}

#[derive(clap::Subcommand)]
enum Suite {
    /// opencontainers/runc's tests/integration/*.bats, with the runtime under the name `runc`
    RuncBats(runc_bats::Args),
}

/// Runs the suite that was asked for.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    match &args.suite {
        Suite::RuncBats(args) => runc_bats::run(root, args),
    }
}
