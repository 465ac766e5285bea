//! `cargo xtask guest`: the tests that need a kernel of their own, in a virtual machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guest::{Machine, kernel};

use crate::process::{cargo, read};
use crate::{apt, binaries};

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only tests whose name has this in it
    filter: Option<String>,
    /// Test the binaries in this directory instead of building them
    #[arg(long)]
    bin: Option<PathBuf>,
}

/// Builds, boots, and fails when a test in the guest does.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    ensure!(apt::is_root()?, "packages are unpacked and installed: run `cargo xtask guest` as root");
    apt::install(&[apt::BUILD, apt::IMAGES, apt::GUEST])?;
    let bin = match &args.bin {
        Some(bin) => bin.clone(),
        None => binaries::build(root)?.dir,
    };
    suite(root, &bin, args.filter.as_deref())
}

/// Boots with these binaries; not at all where no test has `filter` in its name.
pub(crate) fn suite(root: &Path, bin: &Path, filter: Option<&str>) -> Result<()> {
    let tests = build_tests(root)?;
    boot(machine(&tests, bin), &tests, filter)
}

/// The program with the tests, static.
fn build_tests(root: &Path) -> Result<PathBuf> {
    let mut build = cargo();
    build.current_dir(root).args(["test", "--no-run", "--locked", "--package", "guest", "--test", "inside"]);
    build.args(["--target", MUSL, "--message-format", "json"]);
    eprintln!("▸ the tests that run in the guest");
    let messages = read(&mut build)?;
    let executable = messages.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executable.context("cargo names no executable for the tests in the guest")
}

/// The guest with all that its tests use.
fn machine(tests: &Path, bin: &Path) -> Machine {
    let kernel = kernel();
    let busybox = testkit::images::busybox_tar();
    let mut machine = Machine::new(SCRIPT)
        .file(tests, "/guest/inside")
        .file(
            &busybox,
            &format!("/guest/target/fixtures/{}", busybox.file_name().unwrap_or_default().to_string_lossy()),
        )
        .program(&kernel.file("apparmor_parser"), "/sbin/apparmor_parser");
    for name in ["strake", "strake-runtime", "strake-shim"] {
        machine = machine.program(&bin.join(name), &format!("/guest/bin/{name}"));
    }
    machine
}

fn boot(machine: Machine, tests: &Path, filter: Option<&str>) -> Result<()> {
    let mut list = Command::new(tests);
    list.arg("--list").args(filter);
    if !read(&mut list)?.lines().any(|line| line.ends_with(": test")) {
        return Ok(());
    }
    eprintln!("▸ the guest (QEMU without KVM)");
    let machine = machine.kernel_option("apparmor=1 security=apparmor").kernel_option(&option(filter));
    let started = std::time::Instant::now();
    let ended = machine.boot(LIMIT, |line| println!("{line}"));
    eprintln!("  {} s", started.elapsed().as_secs());
    match ended.status {
        Some(0) => Ok(()),
        Some(status) => anyhow::bail!("tests in the guest failed (status {status}); see above"),
        None => anyhow::bail!("the guest ended by itself before its tests did; see above"),
    }
}

/// The filter, as the script finds it in its environment.
fn option(filter: Option<&str>) -> String {
    filter.map(|filter| format!("GUEST_FILTER={filter}")).unwrap_or_default()
}

/// What PID 1 runs. A kernel option with `=` and no dot is in init's environment.
const SCRIPT: &str = "\
export STRAKE_BIN_DIR=/guest/bin CARGO_TARGET_DIR=/guest/target
/guest/inside --test-threads=1 $GUEST_FILTER
";

const MUSL: &str = "x86_64-unknown-linux-musl";

/// For a machine that does much else meanwhile.
const LIMIT: Duration = Duration::from_secs(900);
