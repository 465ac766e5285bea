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

/// Boots with these binaries, once for each security module; not at all where no test has `filter` in its name.
pub(crate) fn suite(root: &Path, bin: &Path, filter: Option<&str>) -> Result<()> {
    let tests = build_tests(root)?;
    let mut list = Command::new(&tests);
    let listed = read(list.arg("--list").args(filter))?;
    let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
    let (selinux, others): (Vec<&str>, Vec<&str>) = names.partition(|name| name.starts_with(SELINUX));
    if !others.is_empty() {
        let script = script(&format!("--skip {SELINUX} {}", filter.unwrap_or_default()));
        boot(&machine(&script, &tests, bin).kernel_option("apparmor=1 security=apparmor"))?;
    }
    // The kernel takes one of the two, not both.
    if !selinux.is_empty() {
        let script = script(&format!("--exact {}", selinux.join(" ")));
        boot(&machine(&script, &tests, bin).kernel_option("selinux=1 security=selinux"))?;
    }
    Ok(())
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
fn machine(script: &str, tests: &Path, bin: &Path) -> Machine {
    let kernel = kernel();
    let busybox = testkit::images::busybox_tar();
    let mut machine = Machine::new(script)
        .file(tests, "/guest/inside")
        .file(
            &busybox,
            &format!("/guest/target/fixtures/{}", busybox.file_name().unwrap_or_default().to_string_lossy()),
        )
        .program(&kernel.file("apparmor_parser"), "/sbin/apparmor_parser")
        .program(&kernel.file("checkpolicy"), "/sbin/checkpolicy");
    for path in SYSTEMD.iter().map(Path::new).filter(|path| path.exists()) {
        machine = machine.program(path, &path.to_string_lossy());
    }
    for name in ["strake", "strake-runtime", "strake-shim"] {
        machine = machine.program(&bin.join(name), &format!("/guest/bin/{name}"));
    }
    machine
}

fn boot(machine: &Machine) -> Result<()> {
    eprintln!("▸ the guest (QEMU without KVM)");
    let started = std::time::Instant::now();
    let ended = machine.boot(LIMIT, |line| println!("{line}"));
    eprintln!("  {} s", started.elapsed().as_secs());
    match ended.status {
        Some(0) => Ok(()),
        Some(status) => anyhow::bail!("tests in the guest failed (status {status}); see above"),
        None => {
            anyhow::bail!("the guest ended by itself before its tests did; its last words:\n{}", ended.tail())
        }
    }
}

/// What PID 1 runs.
fn script(arguments: &str) -> String {
    format!(
        "export STRAKE_BIN_DIR=/guest/bin CARGO_TARGET_DIR=/guest/target\n\
         /guest/inside --test-threads=1 {arguments}\n"
    )
}

/// The module of the tests for a kernel with SELinux.
const SELINUX: &str = "selinux::";

/// A systemd with a bus. The executor is a program of its own since systemd 254.
const SYSTEMD: &[&str] = &[
    "/lib/systemd/systemd",
    "/usr/lib/systemd/systemd-executor",
    "/usr/bin/systemctl",
    "/usr/bin/dbus-daemon",
];

const MUSL: &str = "x86_64-unknown-linux-musl";

/// For a machine that does much else meanwhile.
const LIMIT: Duration = Duration::from_secs(1800);
