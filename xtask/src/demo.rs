//! `cargo xtask demo`: what Strake does, in three commands, on this machine.

mod cluster;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use testkit::images;
use testkit::registry::Registry;

use crate::{apt, binaries, process};

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Show a Kubernetes cluster instead: a Deployment behind a Service, asked by name
    #[arg(long)]
    cluster: bool,
}

/// Runs the demo.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    if args.cluster { cluster::run(root) } else { containers(root) }
}

/// Its containers and images live below `target/demo`, and are removed.
fn containers(root: &Path) -> Result<()> {
    ensure!(
        apt::is_root()?,
        "containers are made by root: run `cargo xtask demo` as root (sudo -E env PATH=$PATH …)"
    );
    apt::install(&[apt::BUILD, apt::IMAGES])?;
    let built = binaries::build(root)?;
    let home = binaries::target_dir(root).join("demo");
    let strake = Demo { exe: built.binary("strake"), home };

    heading("A container from the built-in image: no registry, no daemon");
    strake.show(&["run", "--rm", "strake.local/tools", "id"])?;

    heading("A real image, Debian, made by debootstrap and pulled from a registry on loopback");
    eprintln!("  (the first time, debootstrap takes about a minute)");
    let registry = Registry::start();
    let debian = registry.push_layout(&images::debian_layout(), "latest", "debian:stable");
    strake.show(&["pull", &debian])?;
    strake.show(&[
        "run",
        "--rm",
        &debian,
        "bash",
        "-c",
        "head -1 /etc/os-release; echo PID $$ on kernel $(uname -r)",
    ])?;

    heading("The same image in the background, with limits, explained down to the kernel's files");
    strake
        .show(&["run", "-d", "--name", "demo", "-m", "64m", "--cpus", "0.5", &debian, "sleep", "infinity"])?;
    let explained = strake.show(&["explain", "demo"]);
    strake.show(&["rm", "-f", "demo"])?;
    strake.show(&["system", "reconcile"])?;
    explained?;
    fs::remove_dir_all(&strake.home)?;
    println!("\nInstall it: cargo xtask install");
    Ok(())
}

struct Demo {
    exe: PathBuf,
    home: PathBuf,
}

impl Demo {
    /// Shows a command as a user types it, and runs it.
    fn show(&self, args: &[&str]) -> Result<()> {
        let quoted =
            args.iter().map(|arg| if arg.contains(' ') { format!("'{arg}'") } else { (*arg).to_owned() });
        println!("\n\x1b[1m# strake {}\x1b[0m", quoted.collect::<Vec<_>>().join(" "));
        let mut command = Command::new(&self.exe);
        command.arg("--root").arg(self.home.join("root")).arg("--state").arg(self.home.join("state"));
        process::run_quietly(command.args(args))
    }
}

fn heading(text: &str) {
    println!("\n\x1b[1;34m{text}\x1b[0m");
}
