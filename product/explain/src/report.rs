//! The report as data: what `--json` prints.

use serde::Serialize;

use crate::facts::ContainerFacts;
use crate::view::View;
use crate::words;

/// The whole answer: what `strake explain --json` and `strake why dead --json` print.
///
/// Its form is promised by `docs/reference/json-explain.md` and `json-why-dead.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The version of this form; it grows when a field changes its meaning or goes.
    pub version: u32,
    /// Whom it is about.
    pub subject: Subject,
    /// In reading order.
    pub sections: Vec<Section>,
    /// Where the engine's record and the kernel disagree.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
}

/// Whom a report is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The container's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// The container's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// The command, or the sentence that answers.
    pub headline: String,
}

/// A heading with its lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// Stable name for programs: `filesystem`.
    pub id: &'static str,
    /// For people: `Filesystem`.
    pub title: &'static str,
    /// The answer in a word: `private`, `shared with the host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// What is known.
    pub lines: Vec<Line>,
}

/// *Value · where it was read · one plain sentence.*
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What the value is of.
    pub name: String,
    /// The value.
    pub value: String,
    /// The file or system call, or the engine's record.
    pub source: String,
    /// What it means.
    pub meaning: String,
}

/// The engine recorded one thing, the kernel holds another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What it is about.
    pub name: String,
    /// What the engine recorded.
    pub recorded: String,
    /// Where.
    pub record: String,
    /// What the kernel holds.
    pub found: String,
    /// Where.
    pub source: String,
    /// What that means.
    pub meaning: String,
}

impl Report {
    pub(crate) fn new(subject: Subject, sections: Vec<Section>, differences: Vec<Difference>) -> Self {
        Self { version: VERSION, subject, sections, differences }
    }
}

impl Subject {
    /// The subject of an explanation.
    pub(crate) fn of(view: &View, facts: Option<&ContainerFacts>) -> Self {
        let command = match (&view.command, &view.status) {
            (Ok(command), _) if !command.value.is_empty() => words::command(&command.value),
            // Kernel threads and zombies have no arguments.
            (_, Ok(status)) => format!("[{}]", status.value.name),
            _ => "(unknown command)".to_owned(),
        };
        Self {
            pid: Some(view.pid),
            container_id: facts.map(|facts| facts.id.clone()),
            container_name: facts.map(|facts| facts.name.clone()),
            headline: command,
        }
    }
}

impl Section {
    pub(crate) fn new(id: &'static str, title: &'static str) -> Self {
        Self { id, title, verdict: None, lines: Vec::new() }
    }

    /// Adds a line.
    pub(crate) fn line(
        &mut self,
        name: impl Into<String>,
        value: impl Into<String>,
        source: impl Into<String>,
        meaning: impl Into<String>,
    ) {
        let (name, value, source, meaning) = (name.into(), value.into(), source.into(), meaning.into());
        self.lines.push(Line { name, value, source, meaning });
    }

    /// Says that something could not be read, and why.
    pub(crate) fn unread(&mut self, name: impl Into<String>, error: &inspect::Error) {
        self.line(name, "unknown", "not read", format!("{}.", words::chain(error)));
    }
}

const VERSION: u32 = 1;
