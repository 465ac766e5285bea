//! A judgement as text.

use super::{Finding, Group, HostReport, Level};
use crate::render::Style;

/// The report as lines: what is as it should be shortly, the rest with what follows and what
/// to do. `all` says of everything what it is good for.
pub fn render_host(report: &HostReport, style: Style, all: bool) -> String {
    let mut text = String::new();
    let mut group: Option<Group> = None;
    for finding in &report.findings {
        if group != Some(finding.group) {
            if group.is_some() {
                text.push('\n');
            }
            group = Some(finding.group);
            text.push_str(&painted(finding.group.title(), "1", style));
            text.push('\n');
        }
        line(&mut text, finding, style, all);
    }
    let summary = &report.summary;
    let verdict = match (report.can_run, summary.warning) {
        (false, _) => "Containers cannot run on this host",
        (true, 0) => "Containers can run on this host",
        (true, _) => "Containers can run on this host, with what is said above",
    };
    text.push_str(&format!(
        "\n{verdict}: {} ok, {} to know, {} warnings, {} errors.\n",
        summary.ok, summary.note, summary.warning, summary.error
    ));
    text
}

fn line(text: &mut String, finding: &Finding, style: Style, all: bool) {
    let (mark, colour) = match finding.level {
        Level::Ok => ("ok  ", "32"),
        Level::Note => ("note", "36"),
        Level::Warning => ("WARN", "1;33"),
        Level::Error => ("FAIL", "1;31"),
    };
    text.push_str(&format!(
        "  {}  {:<NAME_CHARS$}  {}\n",
        painted(mark, colour, style),
        finding.id,
        finding.value
    ));
    if finding.level == Level::Ok && !all {
        return;
    }
    wrapped(text, &finding.consequence, style);
    if let Some(fix) = &finding.fix {
        wrapped(text, &format!("Fix: {fix}"), style);
    }
}

/// Indented below a finding's value.
fn wrapped(text: &mut String, sentence: &str, style: Style) {
    let width = style.width.unwrap_or(usize::MAX).max(INDENT + WORD_ROOM);
    let mut line = String::new();
    for word in sentence.split(' ') {
        let room = width - INDENT;
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
            text.push_str(&format!("{:INDENT$}{line}\n", ""));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    text.push_str(&format!("{:INDENT$}{line}\n", ""));
}

fn painted(text: &str, code: &str, style: Style) -> String {
    if style.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

const NAME_CHARS: usize = 27;
const INDENT: usize = 8;
const WORD_ROOM: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Summary;

    fn report() -> HostReport {
        let finding = |id: &str, group, level, fix: Option<&str>| Finding {
            id: id.to_owned(),
            group,
            level,
            value: "works".to_owned(),
            consequence: "Something follows for all of the containers here.".to_owned(),
            fix: fix.map(str::to_owned),
        };
        HostReport {
            version: 1,
            can_run: true,
            summary: Summary { ok: 1, note: 0, warning: 1, error: 0 },
            findings: vec![
                finding("kernel", Group::Host, Level::Ok, None),
                finding("overlay", Group::FileSystems, Level::Warning, Some("load it")),
            ],
        }
    }

    #[test]
    fn what_is_well_is_short_and_the_rest_has_its_fix() {
        let expected = "Host\n  ok    kernel                       works\n\nFile systems\n  \
                        WARN  overlay                      works\n        \
                        Something follows for all of the containers here.\n        Fix: load it\n\n\
                        Containers can run on this host, with what is said above: 1 ok, 0 to know, 1 warnings, 0 errors.\n";
        assert_eq!(render_host(&report(), Style::default(), false), expected);
        assert!(render_host(&report(), Style::default(), true).matches("Something follows").count() == 2);
    }

    #[test]
    fn a_terminal_gets_wrapped_sentences() {
        let text = render_host(&report(), Style { width: Some(40), colour: false }, true);
        let sentences = text.lines().filter(|line| line.starts_with("        "));
        assert!(
            sentences.clone().count() > 4 && sentences.clone().all(|line| line.chars().count() <= 40),
            "{text}"
        );
    }
}
