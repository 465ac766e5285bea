//! `cargo xtask conformance SUITE`: a public suite, brought by path, run on the reference first and on ours second.
//!
//! None of a suite's code is in this repository. What cannot pass, and why, is.

mod alone;
mod contest;
mod drive;
mod report;
mod runc_bats;
mod runtime_tools;

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
    RuncBats(drive::Args),
    /// youki's contest: a directory with `contest`, `runtimetest` and `bundle.tar.gz`
    Contest(drive::Args),
    /// opencontainers/runtime-tools: a checkout with `runtimetest` and validation/*/*.t
    RuntimeTools(drive::Args),
}

/// Runs the suite that was asked for.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    match &args.suite {
        Suite::RuncBats(args) => drive::run(root, args, runc_bats::RuncBats::open),
        Suite::Contest(args) => drive::run(root, args, contest::Contest::open),
        Suite::RuntimeTools(args) => drive::run(root, args, runtime_tools::RuntimeTools::open),
    }
}
