//! `strake run --rm` against `podman run --rm`, the image present.
//!
//! Twice: without network, and with each one's own default bridge.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use testkit::{Strake, TempDir, images};

use super::{quietly, version, wanted};
use crate::{Candidate, Options, Table, Turns};

/// Measures us and podman.
pub(crate) fn measure(options: &Options) -> Result<Turns> {
    let (strake, podman) = (Strake::new().with_busybox(), Podman::new());
    let against = wanted(options, "podman");
    if against {
        podman.import()?;
    }
    let mut candidates = Vec::new();
    for (network, ours, theirs) in [
        ("none", "strake run --network none", "podman run --network none"),
        ("bridge", "strake run", "podman run"),
    ] {
        let (strake, podman) = (&strake, &podman);
        candidates.push(Candidate::new(ours, move || {
            let args = ["run", "--rm", "--network", network, "busybox", "/bin/true"];
            quietly(&mut strake.command(&args))
        }));
        if against {
            candidates.push(Candidate::new(theirs, move || {
                let mut command = podman.command();
                command.args(["run", "--rm", "--network", network]).args(LIMITS);
                quietly(command.args(["localhost/busybox", "/bin/true"]))
            }));
        }
    }
    let table = Table::measure(&mut candidates, options.rounds, Duration::from_millis(200))?;
    // Row EN-02.
    let goals = table.costs().iter().filter(|(name, _)| name.starts_with("strake")).map(|(name, cost)| {
        let millis = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
        let (p50, p99) = (millis(cost.p50), millis(cost.p99));
        format!("Warm start by {name}: p50 {p50} (goal 300 ms), p99 {p99} (goal 2 s).")
    });
    Ok(Turns {
        title: "run --rm of a present image",
        versions: vec![version("podman"), version("crun")],
        notes: goals.collect(),
        table,
    })
}

/// podman asks for more than a root without CAP_SYS_RESOURCE may have, and crun gives up on it.
pub(crate) const LIMITS: &[&str] = &["--ulimit", "nofile=20000:20000", "--ulimit", "nproc=20000:20000"];

/// Debian's podman with storage of its own.
pub(crate) struct Podman {
    home: TempDir,
}

impl Podman {
    pub(crate) fn new() -> Self {
        Self { home: TempDir::new() }
    }

    /// `podman` with what keeps it apart from the machine's own.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("podman");
        command.arg("--root").arg(self.home.join("root")).arg("--runroot").arg(self.home.join("run"));
        command.args(["--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--runtime", "crun"]);
        command.args(["--events-backend", "none"]).arg("--tmpdir").arg(self.home.join("tmp"));
        command
    }

    pub(crate) fn import(&self) -> Result<()> {
        let tar = images::busybox_tar();
        quietly(self.command().arg("import").arg(tar).arg("localhost/busybox")).context("podman import")
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = quietly(self.command().args(["system", "reset", "--force"]));
    }
}
