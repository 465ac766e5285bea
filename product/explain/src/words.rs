//! Values as people write them.

use std::error::Error;
use std::time::SystemTime;

use base::ByteSize;

/// `64MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}

/// `64MiB` or `no limit`.
pub(crate) fn limit(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "no limit".to_owned(), self::bytes)
}

/// `1.25s`, `830ms`, `12us`.
pub(crate) fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros}us"),
        1_000..1_000_000 => format!("{}ms", micros / 1_000),
        _ => format!("{:.2}s", micros as f64 / 1e6),
    }
}

/// `1 process`, `2 processes`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// A sentence of its own: a capital letter at its head, a full stop at its end.
pub(crate) fn sentence(text: &str) -> String {
    let mut chars = text.trim_end_matches('.').chars();
    let head = chars.next().map(char::to_uppercase);
    head.into_iter().flatten().chain(chars).chain(['.']).collect()
}

/// At most `most` items, then how many more there are.
pub(crate) fn list(items: &[String], most: usize) -> String {
    let shown = items.iter().take(most).map(String::as_str).collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Arguments as they would be typed, cut to a line. Control characters are a
/// process's way to write on our terminal, so they are shown, not sent.
pub(crate) fn command(arguments: &[String]) -> String {
    let text = arguments.iter().map(|argument| quoted(argument)).collect::<Vec<_>>().join(" ");
    printable(&shortened(&text, COMMAND_CHARS))
}

/// The text with control characters replaced.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '�' } else { c }).collect()
}

/// At most `most` characters.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// `sha256:` and twelve digits.
pub(crate) fn digest(digest: &str) -> String {
    match digest.split_once(':') {
        Some((algorithm, hex)) => format!("{algorithm}:{}", hex.get(..12).unwrap_or(hex)),
        None => digest.get(..12).unwrap_or(digest).to_owned(),
    }
}

/// `2026-11-21 07:30:00 UTC`.
pub(crate) fn time(time: SystemTime) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(timestamp) => timestamp.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => "unknown".to_owned(),
    }
}

/// An error with its causes, joined with `: `.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,+@%".contains(c) || !c.is_ascii();
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', "'\\''"))
    }
}

const COMMAND_CHARS: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_sentences() {
        assert_eq!(sentence("the next free address"), "The next free address.");
        assert_eq!(sentence("Over."), "Over.");
        assert_eq!(sentence("\u{fc}ber alles"), "\u{dc}ber alles.");
    }

    #[test]
    fn writes_commands_as_typed_and_never_sends_control_characters() {
        let command = |words: &[&str]| command(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(command(&["sh", "-c", "echo hi"]), "sh -c 'echo hi'");
        assert_eq!(command(&["x", "\u{1b}[31m"]), "x '�[31m'");
        assert_eq!(command(&[&"y".repeat(500)]).chars().count(), 160);
    }

    #[test]
    fn writes_lists_and_counts() {
        let items: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!((list(&items, 3), list(&items, 2)), ("a, b, c".to_owned(), "a, b and 1 more".to_owned()));
        assert_eq!(
            (count(1, "process", "processes"), count(0, "file", "files")),
            ("1 process".into(), "0 files".into())
        );
        assert_eq!(
            (micros(999), micros(1500), micros(2_500_000)),
            ("999us".into(), "1ms".into(), "2.50s".into())
        );
        assert_eq!(digest("sha256:0123456789abcdef"), "sha256:0123456789ab");
    }
}
