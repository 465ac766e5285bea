//! `cargo xtask bench SCENARIO`: us, the peers and the kernel's floor, in turn.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::process::{cargo, run as announced};
use crate::{apt, binaries, isolated};

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to measure
    scenario: bench::Scenario,
    /// Only these peers (default: all of the scenario); another runtime by its path
    #[arg(long)]
    against: Vec<String>,
    /// Rounds; each round measures every candidate once
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// Measure the binaries in this directory instead of building them
    #[arg(long)]
    bin: Option<PathBuf>,
    /// Keep all storage in memory, so that the disk's moods are not measured
    #[arg(long)]
    in_memory: bool,
}

/// Measures and prints a table in Markdown.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    ensure!(apt::is_root()?, "benches run containers: run as root");
    apt::install(&[apt::BUILD, apt::IMAGES, apt::TESTS, apt::BENCH])?;
    let bin = match &args.bin {
        Some(bin) => bin.clone(),
        None => binaries::build(root)?.dir,
    };
    if !isolated::is_isolated() {
        let generator = if is_load(args.scenario) { optimized(root)? } else { std::env::current_exe()? };
        let memory = args.in_memory.then_some("mount -t tmpfs tmpfs /mnt && export TMPDIR=/mnt");
        return isolated::again(&generator, memory, &bin);
    }
    // Debian's crun refuses a host that has controllers in v2 beside v1.
    let _ = rustix::mount::unmount("/sys/fs/cgroup/unified", rustix::mount::UnmountFlags::DETACH);
    let options = bench::Options { bin, against: args.against.clone(), rounds: args.rounds };
    let report = bench::run(args.scenario, &options)?;
    println!("{report}");
    Ok(())
}

/// Whether what asks works as hard as what answers.
fn is_load(scenario: bench::Scenario) -> bool {
    use bench::Scenario::{Api, Cluster, ClusterSim, Dns, FanOut, NodesSim};
    matches!(scenario, Api | Cluster | ClusterSim | FanOut | NodesSim | Dns)
}

/// This program with a load generator that takes less of the machine than what it measures.
fn optimized(root: &Path) -> Result<PathBuf> {
    let mut build = cargo();
    // Linking as one whole takes minutes, and gains nothing here.
    build.current_dir(root).env("CARGO_PROFILE_RELEASE_LTO", "off");
    announced(build.args(["build", "--quiet", "--release", "--package", "xtask"]))?;
    Ok(binaries::target_dir(root).join("release/xtask"))
}
