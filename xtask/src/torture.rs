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
    /// How many seconds each race lasts
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How many mutations each parser reads
    #[arg(long, default_value_t = 1_000_000)]
    inputs: u64,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Suite {
    /// Kill the API server again and again while many write and watch
    Api,
    /// Kill commands again and again while containers run, log and are talked to
    Clients,
    /// Run and remove containers, and see that nothing grows
    Cycles,
    /// Exchange directories for symlinks while the runtime makes mounts, devices and masks there
    Races,
    /// Kill the runtime, and what it forks, at each system call of `create`
    Create,
    /// Feed mutations of sound files to every parser of foreign bytes
    Parsers,
}

impl Suite {
    /// The package, its tests, and whether they run the binaries.
    fn tests(self) -> (&'static str, &'static str, bool) {
        match self {
            Self::Api => ("e2e", "kube::kills", true),
            Self::Clients => ("e2e", "care::endurance::killed_clients", true),
            Self::Cycles => ("e2e", "care::endurance::cycles", true),
            Self::Races => ("oci-runtime", "races::", true),
            Self::Create => ("oci-runtime", "killed_at_every_call", true),
            Self::Parsers => ("parsers", "mutations", false),
        }
    }
}

/// Builds what is shipped, and tortures it.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    let (package, filter, runs_binaries) = args.suite.tests();
    let mut test = cargo();
    test.current_dir(root).args(["test", "--package", package, "--locked", "--test", "it"]);
    if runs_binaries {
        apt::install(&[apt::BUILD, apt::TESTS])?;
        test.env("STRAKE_BIN_DIR", binaries::build(root)?.dir);
    } else {
        test.arg("--release");
    }
    let kills = if args.suite == Suite::Clients { 500 } else { 1000 };
    let report = root.join("target/torture.txt");
    let _ = std::fs::remove_file(&report);
    test.env("STRAKE_KILLS", args.kills.unwrap_or(kills).to_string())
        .env("STRAKE_CONTAINERS", args.containers.to_string())
        .env("STRAKE_CYCLES", args.cycles.to_string())
        .env("STRAKE_RACE_SECONDS", args.seconds.to_string())
        .env("STRAKE_KILL_STEP", "1")
        .env("STRAKE_INPUTS", args.inputs.to_string())
        .env("STRAKE_REPORT", &report);
    process::run(test.args(["--", filter, "--nocapture"]))?;
    if let Ok(figures) = std::fs::read_to_string(&report) {
        print!("{figures}");
    }
    Ok(())
}
