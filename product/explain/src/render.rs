//! A report as text, for wide and narrow terminals and for pipes.

use crate::report::{Difference, Line, Report, Section, Subject};

/// How to lay the text out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Columns to wrap at; `None` does not wrap, so that a line can be found with grep.
    pub width: Option<usize>,
    /// May escape sequences for colour be used?
    pub colour: bool,
}

/// The report as lines.
pub fn render(report: &Report, style: Style) -> String {
    let mut page = Page { style, text: String::new(), open: None };
    page.subject(&report.subject);
    for difference in &report.differences {
        page.difference(difference);
    }
    for section in &report.sections {
        page.section(section);
    }
    page.text
}

struct Page {
    style: Style,
    text: String,
    /// The role whose colour is switched on.
    open: Option<Role>,
}

/// What a piece of text is, to be shown in its own way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Heading,
    Name,
    Value,
    Source,
    Meaning,
    Alarm,
}

impl Role {
    /// SGR parameters.
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Heading => Some("1"),
            Self::Name => Some("36"),
            Self::Value => None,
            Self::Source => Some("2"),
            Self::Meaning => Some("3"),
            Self::Alarm => Some("1;33"),
        }
    }
}

impl Page {
    fn subject(&mut self, subject: &Subject) {
        let mut parts = Vec::new();
        if let Some(name) = &subject.container_name {
            parts.push((Role::Heading, name.clone()));
        }
        if let Some(id) = &subject.container_id {
            let short: String = id.chars().take(12).collect();
            parts.push((Role::Source, short));
        }
        if let Some(pid) = subject.pid {
            parts.push((Role::Value, format!("PID {pid}")));
        }
        parts.push((Role::Value, subject.headline.clone()));
        self.flow(0, &parts, " · ");
    }

    fn section(&mut self, section: &Section) {
        self.text.push('\n');
        let mut parts = vec![(Role::Heading, section.title.to_owned())];
        parts.extend(section.verdict.iter().map(|verdict| (Role::Value, verdict.clone())));
        self.flow(0, &parts, ": ");
        let column =
            section.lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0).min(NAME_CHARS);
        for line in &section.lines {
            self.line(line, column);
        }
    }

    fn line(&mut self, line: &Line, column: usize) {
        let parts = [
            (Role::Value, line.value.clone()),
            (Role::Source, with_globs(&line.source)),
            (Role::Meaning, line.meaning.clone()),
        ];
        if self.style.width.is_some_and(|width| width < NARROW) {
            // No room for columns: name, then each part on a line of its own.
            self.paint(2, &[(Role::Name, line.name.clone())]);
            for part in parts {
                self.flow(4, &[part], "");
            }
            return;
        }
        self.push_padded(2, Role::Name, &line.name, column);
        self.flow_from(2 + column + 2, &parts, " · ");
    }

    fn difference(&mut self, difference: &Difference) {
        let parts = [
            (Role::Alarm, format!("DIFFERS {}", difference.name)),
            (Role::Value, format!("recorded {} ({})", difference.recorded, with_globs(&difference.record))),
            (Role::Value, format!("kernel has {} ({})", difference.found, with_globs(&difference.source))),
            (Role::Meaning, difference.meaning.clone()),
        ];
        self.flow(0, &parts, " · ");
    }

    fn push_padded(&mut self, indent: usize, role: Role, name: &str, column: usize) {
        self.text.extend(std::iter::repeat_n(' ', indent));
        self.painted(role, name);
        self.plain();
        let used = name.chars().count();
        self.text.extend(std::iter::repeat_n(' ', column.saturating_sub(used) + 2));
    }

    fn paint(&mut self, indent: usize, parts: &[(Role, String)]) {
        self.text.extend(std::iter::repeat_n(' ', indent));
        for (role, text) in parts {
            self.painted(*role, text);
        }
        self.end_line();
    }

    /// Parts in running text, from the start of a line.
    fn flow(&mut self, indent: usize, parts: &[(Role, String)], between: &str) {
        self.text.extend(std::iter::repeat_n(' ', indent));
        self.flow_from(indent, parts, between);
    }

    /// Parts in running text from column `indent`, where the line already is.
    fn flow_from(&mut self, indent: usize, parts: &[(Role, String)], between: &str) {
        let width = self.style.width.unwrap_or(usize::MAX);
        let mut at = indent;
        let mut first = true;
        for (index, (role, text)) in parts.iter().filter(|(_, text)| !text.is_empty()).enumerate() {
            for (place, word) in text.split(' ').filter(|word| !word.is_empty()).enumerate() {
                let gap = match (first, index > 0 && place == 0) {
                    (true, _) => "",
                    (false, true) => between,
                    (false, false) => " ",
                };
                let length = word.chars().count();
                if !first && at + gap.chars().count() + length > width {
                    // A separator belongs to the end of the line that it ends.
                    self.separate(gap.trim_end());
                    self.end_line();
                    self.text.extend(std::iter::repeat_n(' ', indent));
                    at = indent;
                } else {
                    self.separate(gap);
                    at += gap.chars().count();
                }
                self.painted(*role, word);
                at += length;
                first = false;
            }
        }
        self.end_line();
    }

    /// Adds what stands between words: a blank inside a part keeps its colour.
    fn separate(&mut self, gap: &str) {
        if !gap.trim().is_empty() {
            self.plain();
        }
        self.text.push_str(gap);
    }

    /// Adds text in its colour, which stays on for what follows in the same role.
    fn painted(&mut self, role: Role, text: &str) {
        if self.open != Some(role) {
            self.plain();
            if let Some(code) = role.code().filter(|_| self.style.colour) {
                self.text.push_str(&format!("\x1b[{code}m"));
                self.open = Some(role);
            }
        }
        self.text.push_str(text);
    }

    /// Switches colour off.
    fn plain(&mut self) {
        if self.open.take().is_some() {
            self.text.push_str("\x1b[0m");
        }
    }

    fn end_line(&mut self) {
        self.plain();
        self.text.push('\n');
    }
}

/// Shortens container ids in a path to what a shell completes: `04a67f03989c*`. The whole
/// path is in the JSON.
fn with_globs(path: &str) -> String {
    let is_id = |part: &str| part.len() == ID_DIGITS && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let shorten = |part: &str| {
        let head = part.get(..ID_DIGITS).filter(|head| is_id(head));
        match (head, part.get(ID_DIGITS..)) {
            (Some(head), Some(rest)) if !rest.starts_with(|c: char| c.is_ascii_hexdigit()) => {
                format!("{}*{rest}", &head[..12])
            }
            _ => part.to_owned(),
        }
    };
    path.split('/').map(shorten).collect::<Vec<_>>().join("/")
}

const ID_DIGITS: usize = 64;
/// A longer name moves its own line only.
const NAME_CHARS: usize = 16;
/// Below this many columns, a table has no room.
const NARROW: usize = 72;

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut section = Section::new("users", "Users");
        section.verdict = Some("private".to_owned());
        section.line("user", "0 inside, 10005 on the host", "/proc/7/status", "Root inside only.");
        section.line("uid map", "0-9 inside are 10005-10014", "/proc/7/uid_map", "Ids are shifted.");
        let subject = Subject {
            pid: Some(7),
            container_id: Some("0123456789abcdef".to_owned()),
            container_name: Some("web".to_owned()),
            headline: "nginx".to_owned(),
        };
        Report::new(subject, vec![section], vec![])
    }

    #[test]
    fn a_pipe_gets_one_line_a_fact() {
        let text = render(&report(), Style::default());
        assert_eq!(
            text,
            "web · 0123456789ab · PID 7 · nginx\n\nUsers: private\n  \
             user     0 inside, 10005 on the host · /proc/7/status · Root inside only.\n  \
             uid map  0-9 inside are 10005-10014 · /proc/7/uid_map · Ids are shifted.\n"
        );
    }

    #[test]
    fn a_terminal_gets_wrapped_lines() {
        for width in [40, 72, 80, 120] {
            let text = render(&report(), Style { width: Some(width), colour: false });
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
        }
    }

    #[test]
    fn a_narrow_terminal_gets_no_columns() {
        let text = render(&report(), Style { width: Some(40), colour: false });
        assert!(
            text.contains(
                "  user\n    0 inside, 10005 on the host\n    /proc/7/status\n    Root inside only.\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn ids_in_paths_become_globs() {
        let id = "0123456789ab".to_owned() + &"c".repeat(52);
        assert_eq!(
            with_globs(&format!("/a/{id}/b in /c/{id}.json")),
            "/a/0123456789ab*/b in /c/0123456789ab*.json"
        );
        for path in ["/proc/7/status", "", "/a/éééééééééééééééééééééééééééééééééé/b", &format!("/{id}0")]
        {
            assert_eq!(with_globs(path), path);
        }
    }

    #[test]
    fn colour_changes_no_word() {
        let plain = render(&report(), Style { width: Some(100), colour: false });
        let colour = render(&report(), Style { width: Some(100), colour: true });
        assert!(colour.contains("\x1b[") && !plain.contains('\x1b'));
        let mut stripped = String::new();
        let mut inside = false;
        for c in colour.chars() {
            match (inside, c) {
                (false, '\x1b') => inside = true,
                (false, c) => stripped.push(c),
                (true, 'm') => inside = false,
                (true, _) => {}
            }
        }
        assert_eq!(stripped, plain);
    }
}
