//! Us against the peers and against the kernel's floor, one file a scenario.
//!
//! Candidates take turns (A B C A B C …), so that the machine's moods hit all of them alike;
//! quote the ratios of one run, never absolute times.

mod sample;
mod scenario;

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result};

pub use sample::{Candidate, Cost, Table};

/// What is measured.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Scenario {
    /// create + start + wait + delete of a static `true` with docker's default spec
    Runtime,
    /// `strake run --rm` against `podman run --rm`
    Run,
    /// pull and unpack of the Debian image against podman and skopeo
    Pull,
}

/// How it is measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory of our built binaries.
    pub bin: PathBuf,
    /// Peers to measure; all of the scenario when empty.
    pub against: Vec<String>,
    /// Rounds; each measures every candidate once.
    pub rounds: usize,
}

/// A finished measurement.
#[derive(Debug)]
pub struct Report {
    title: &'static str,
    versions: Vec<String>,
    table: Table,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "### {}\n\n{}\n", self.title, self.table)?;
        writeln!(f, "Measured with {}.", self.versions.join(", "))
    }
}

/// Runs `scenario`.
///
/// # Errors
/// When a candidate fails: a failed run is no measurement.
pub fn run(scenario: Scenario, options: &Options) -> Result<Report> {
    match scenario {
        Scenario::Runtime => scenario::runtime::measure(options).context("scenario runtime"),
        Scenario::Run => scenario::run::measure(options).context("scenario run"),
        Scenario::Pull => scenario::pull::measure(options).context("scenario pull"),
    }
}
