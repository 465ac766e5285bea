//! Us against the peers and against the kernel's floor, one file a scenario.
//!
//! Candidates take turns (A B C A B C …), so that the machine's moods hit all of them alike;
//! quote the ratios of one run, never absolute times.

mod api;
mod cluster;
mod dns;
mod process;
mod sample;
mod scenario;
mod sim;

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result};

pub use api::{ApiReport, BodiesReport, WatchReport};
pub use dns::DnsReport;
pub use sample::{Candidate, Cost, Table};
pub use sim::LineReport;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// run, exec, fifty at once, and create, start and delete of a static `true` with docker's default spec
    Runtime,
    /// `strake run --rm` against `podman run --rm`
    Run,
    /// run, exec, ps and fifty at once against podman, and docker where it is installed
    Engine,
    /// the first write to a file of 1 GiB, in the container's layer and in a volume
    FirstWrite,
    /// pull and unpack of the Debian image against podman and skopeo
    Pull,
    /// the control plane under load, beside figures of kube-apiserver
    Api,
    /// events of 500 creates to 100 watchers, `--rounds` times, by the processor time that they take
    FanOut,
    /// what ten thousand watches cost the control plane, a thousand of them stalled
    Watches,
    /// a cluster of one node: how soon it is there, what it takes, how soon pods run
    Cluster,
    /// 50 simulated nodes with 150 pods each on one server
    ClusterSim,
    /// 1,000 simulated nodes that register and heartbeat on one server
    NodesSim,
    /// the cluster's names under load, beside figures of CoreDNS
    Dns,
    /// what hostile bodies cost the control plane
    Bodies,
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
pub enum Report {
    /// Candidates that took turns, one table or more.
    Turns(Vec<Turns>),
    /// The control plane alone.
    Api(ApiReport),
    /// Many watches.
    Watches(WatchReport),
    /// Simulated nodes.
    Sim(LineReport),
    /// Names.
    Dns(DnsReport),
    /// Hostile bodies.
    Bodies(BodiesReport),
}

/// Candidates that took turns.
#[derive(Debug)]
pub struct Turns {
    title: &'static str,
    versions: Vec<String>,
    /// What was measured beside the table, a sentence each.
    notes: Vec<String>,
    table: Table,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turns(tables) => tables.iter().try_for_each(|turns| turns.fmt(f)),
            Self::Api(report) => report.fmt(f),
            Self::Watches(report) => report.fmt(f),
            Self::Sim(report) => report.fmt(f),
            Self::Dns(report) => report.fmt(f),
            Self::Bodies(report) => report.fmt(f),
        }
    }
}

impl fmt::Display for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "### {}\n\n{}\n", self.title, self.table)?;
        writeln!(f, "Measured with {}.", self.versions.join(", "))?;
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

/// Runs `scenario`.
///
/// # Errors
/// When a candidate fails: a failed run is no measurement.
pub fn run(scenario: Scenario, options: &Options) -> Result<Report> {
    let turns = match scenario {
        Scenario::Runtime => {
            return scenario::runtime::measure(options).context("scenario runtime").map(Report::Turns);
        }
        Scenario::Run => scenario::run::measure(options).context("scenario run"),
        Scenario::Engine => scenario::engine::measure(options).context("scenario engine"),
        Scenario::FirstWrite => scenario::first_write::measure(options).context("scenario first-write"),
        Scenario::Pull => scenario::pull::measure(options).context("scenario pull"),
        Scenario::Watches => {
            return api::watches::measure().context("scenario watches").map(Report::Watches);
        }
        Scenario::Cluster => return cluster::measure().context("scenario cluster").map(Report::Sim),
        Scenario::ClusterSim => {
            let size = sim::Size { nodes: 50, pods_per_node: 150 };
            return sim::measure(size).context("scenario cluster-sim").map(Report::Sim);
        }
        Scenario::NodesSim => {
            let size = sim::Size { nodes: 1000, pods_per_node: 0 };
            return sim::measure(size).context("scenario nodes-sim").map(Report::Sim);
        }
        Scenario::Dns => return dns::measure().context("scenario dns").map(Report::Dns),
        Scenario::Bodies => {
            return api::bodies::measure().context("scenario bodies").map(Report::Bodies);
        }
        Scenario::FanOut => {
            return api::measure_fan_out(options.rounds).context("scenario fan-out").map(Report::Api);
        }
        Scenario::Api => return api::measure().context("scenario api").map(Report::Api),
    };
    turns.map(|turns| Report::Turns(vec![turns]))
}
