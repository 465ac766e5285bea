//! What the engine and the runtime recorded: steps with times, warnings, the log.

use crate::facts::ContainerFacts;
use crate::report::Section;
use crate::words;

pub(super) fn section(facts: &ContainerFacts) -> Option<Section> {
    let mut section = Section::new("record", "How it was made");
    for step in &facts.steps {
        let value = format!("{} in {}", step.name, words::micros(step.micros));
        section.line(
            "step",
            value,
            &facts.runtime_record,
            "A step that the runtime took to make the container.",
        );
    }
    for warning in &facts.warnings {
        section.line("warning", warning, &facts.runtime_record, "Said when it was made or started.");
    }
    if let Some(log) = &facts.log {
        section.line("log", log, &facts.record, "What it prints, a JSON line each, written by the shim.");
    }
    (!section.lines.is_empty()).then_some(section)
}
