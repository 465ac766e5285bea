//! A comparison as text.

use super::Comparison;
use crate::render::Style;
use crate::words;

/// A heading a section, then each fact with both values.
pub fn render_comparison(compared: &Comparison, style: Style) -> String {
    let paint = |text: &str, code: &str| match style.colour {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    let name = |side: &super::SideName| format!("{} {}", side.kind, side.name);
    let mut text = format!(
        "{}\n{}\n",
        paint(&format!("--- {}", name(&compared.a)), "31"),
        paint(&format!("+++ {}", name(&compared.b)), "32")
    );
    let mut section = "";
    for difference in &compared.differences {
        if section != difference.section {
            section = difference.section;
            text.push_str(&format!("\n{}\n", paint(section, "1")));
        }
        text.push_str(&format!("  {}\n", difference.name));
        for (mark, value, code) in [("-", &difference.a, "31"), ("+", &difference.b, "32")] {
            let value =
                value.as_ref().map_or_else(|| "(not there)".to_owned(), |value| words::printable(value));
            text.push_str(&format!("    {}\n", paint(&format!("{mark} {value}"), code)));
        }
    }
    let different = words::count(compared.differences.len(), "difference", "differences");
    text.push_str(&format!("\n{different}; the same: {}.\n", words::count(compared.same, "fact", "facts")));
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::compare::{Side, compare};

    #[test]
    fn reads_like_a_diff() {
        let image = |cmd: &str| json!({"Config": {"Cmd": [cmd], "User": "0"}});
        let compared = compare(&Side::image("x:1", &image("a")), &Side::image("x:2", &image("b")));
        let expected = "--- image x:1\n+++ image x:2\n\ncommand\n  Cmd\n    - [\"a\"]\n    + [\"b\"]\n\n\
                        1 difference; the same: 1 fact.\n";
        assert_eq!(render_comparison(&compared, Style::default()), expected);
    }
}
