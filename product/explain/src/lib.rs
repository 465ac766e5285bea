//! What the kernel holds of a process, what the engine recorded of it, and what both
//! mean, side by side: *value · where it was read · one plain sentence*.
//!
//! ```text
//! engine's record → ContainerFacts ─┐
//!                                    ├→ explain (pure) → Report → text or JSON
//! kernel → inspect → View ───────────┘
//! shim's Exit + kernel's traces → Ended → why_dead (pure) → Report
//! ```
//!
//! [`View::gather`] is the only part that does I/O. Everything after it is a function of
//! its arguments, so a report can be tested, stored and replayed. Where the record and
//! the kernel disagree, both are shown and the kernel is believed.

mod baseline;
mod compare;
mod death;
mod differences;
mod facts;
#[cfg(test)]
mod fixture;
mod from_spec;
mod host;
mod render;
mod report;
mod sections;
mod view;
mod words;

pub use baseline::Baseline;
pub use compare::{Comparison, FactDifference, Side, SideName, compare, render_comparison};
pub use death::{Ended, oom_kill, why_dead};
pub use facts::{
    ContainerFacts, DecisionFacts, ImageFacts, LayerFacts, LimitFacts, MountFacts, NetworkFacts, OomFacts,
    PortFacts, RuleFacts, SeccompFacts, StepFacts, WayFacts,
};
pub use host::{Finding, Group, HostReport, Level, Summary, judge, render_host};
pub use render::{Style, render};
pub use report::{Difference, Line, Report, Section, Subject};
pub use view::{NamespaceView, Relation, Seen, View};

/// Puts a process's [`View`] and, for a container, the engine's record into words.
///
/// The first four headings are what a container isolates: file system, process tree,
/// network, users.
pub fn explain(view: &View, facts: Option<&ContainerFacts>) -> Report {
    let baseline = Baseline::docker();
    let differences = facts.map(|facts| differences::between(facts, view)).unwrap_or_default();
    Report::new(Subject::of(view, facts), sections::all(view, facts, &baseline), differences)
}
