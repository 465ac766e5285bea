//! `cargo xtask bench SCENARIO`: us, the peers and the kernel's floor, in turn.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::process::run_quietly;
use crate::{apt, binaries};

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to measure: runtime, run or pull
    scenario: bench::Scenario,
    /// Only these peers (default: all of the scenario)
    #[arg(long)]
    against: Vec<String>,
    /// Rounds; each round measures every candidate once
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// Keep all storage in memory, so that the disk's moods are not measured
    #[arg(long)]
    in_memory: bool,
}

/// Measures and prints a table in Markdown.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    ensure!(apt::is_root()?, "benches run containers: run as root");
    apt::install(&[apt::BUILD, apt::IMAGES, apt::TESTS, apt::BENCH])?;
    let built = binaries::build(root)?;
    if !isolated() {
        return isolate(args.in_memory, &built.dir);
    }
    // Debian's crun refuses a host that has controllers in v2 beside v1.
    let _ = rustix::mount::unmount("/sys/fs/cgroup/unified", rustix::mount::UnmountFlags::DETACH);
    let options = bench::Options { bin: built.dir, against: args.against.clone(), rounds: args.rounds };
    let report = bench::run(args.scenario, &options)?;
    println!("{report}");
    Ok(())
}

const MARK: &str = "STRAKE_BENCH_ISOLATED";

#[allow(clippy::disallowed_methods, reason = "xtask stands on the roof")]
fn isolated() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Runs this command again in namespaces of its own: podman and we both make bridges, mounts and
/// firewall rules, and the machine keeps none of them.
fn isolate(in_memory: bool, built: &Path) -> Result<()> {
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--propagation",
        "private",
    ]);
    let memory = "mount -t tmpfs tmpfs /mnt && export TMPDIR=/mnt && ";
    let script = format!("ip link set lo up && {}exec \"$0\" \"$@\"", if in_memory { memory } else { "" });
    command.args(["--", "sh", "-c", &script]).arg(std::env::current_exe()?).args(std::env::args_os().skip(1));
    // Without the second one testkit would build, and we would measure, a debug binary.
    run_quietly(command.env(MARK, "1").env("STRAKE_BIN_DIR", built))
}
