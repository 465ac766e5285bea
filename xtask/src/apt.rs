//! Debian packages that the build, the tests and the benches use.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process::{read, run};

/// What the build needs beside Rust: a C compiler for the few C parts of kept libraries.
pub(crate) const BUILD: &[&str] = &["gcc", "libc6-dev", "musl-tools"];

/// What `cargo xtask demo` needs: a real image and a real registry to serve it.
pub(crate) const IMAGES: &[&str] =
    &["busybox-static", "ca-certificates", "debootstrap", "docker-registry", "skopeo", "umoci"];

/// Peers, oracles and clients of the tests.
pub(crate) const TESTS: &[&str] = &[
    "apache2-utils",
    "attr",
    "bind9-dnsutils",
    "conmon",
    "containerd",
    "containernetworking-plugins",
    "crun",
    "curl",
    "dbus",
    "docker.io",
    "etcd-server",
    "iproute2",
    "iptables",
    "iputils-ping",
    "jq",
    "libcap2-bin",
    "netcat-openbsd",
    "nftables",
    "openssl",
    "podman",
    "procps",
    "python3",
    "python3-pip",
    "runc",
    "socat",
    "strace",
    "systemd",
    "tar",
    "uidmap",
    "unzip",
    "util-linux",
];

/// What boots a guest. Its kernel is unpacked beside the system, not installed.
pub(crate) const GUEST: &[&str] =
    &["apt", "dbus", "dpkg", "e2fsprogs", "qemu-system-x86", "seabios", "systemd", "xfsprogs"];

/// What fetches clients from npm; a Node.js from elsewhere brings its own and conflicts with this.
pub(crate) const NPM: &[&str] = &["npm"];

/// What the peers of the benches need beside themselves.
pub(crate) const BENCH: &[&str] = &["containernetworking-plugins"];

/// Installs those of `packages` that are missing.
///
/// # Errors
/// When one is missing and this is no Debian with root.
pub(crate) fn install(packages: &[&[&str]]) -> Result<()> {
    let wanted: Vec<&str> = packages.concat();
    if !Path::new("/usr/bin/dpkg-query").exists() {
        eprintln!("no dpkg here; these must be installed: {}", wanted.join(" "));
        return Ok(());
    }
    let missing: Vec<&str> = wanted.into_iter().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root()? {
        bail!("missing packages; as root: apt-get install --no-install-recommends {}", missing.join(" "));
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-o", "Dpkg::Use-Pty=0"]);
        command
    };
    run(apt().arg("update"))?;
    run(apt().args(["install", "--yes", "--no-install-recommends"]).args(missing))
}

fn installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${db:Status-Status}", package]);
    read(&mut query).is_ok_and(|status| status == "installed")
}

/// Root runs containers; others only build.
pub(crate) fn is_root() -> Result<bool> {
    Ok(read(Command::new("id").arg("-u"))?.trim() == "0")
}
