//! Sessions at a shell, written down as a user sees them, and played back against the real thing.
//!
//! ```text
//! # why this is here
//! $ kubectl create namespace shop
//! namespace/shop created
//! $ kubectl get configmap nothing
//! Error from server (NotFound): configmaps "nothing" not found
//! ? 1
//! ```
//!
//! A command goes on in lines that begin with `> `. `? N` is its exit code, 0 if not said. In the
//! expected output a line `...` stands for any lines, `[..]` for anything within a line. Both
//! streams are read as one.

use std::path::Path;
use std::process::Command;

use testkit::run;

/// One command and what it must say.
#[derive(Debug, Default, PartialEq)]
struct Step {
    line: usize,
    script: String,
    expected: Vec<String>,
    code: i32,
}

/// Plays a transcript; `prepare` sets the environment of each command. Returns how many were run.
///
/// # Panics
/// After the last step, when any of them said something else; all differences are in the text.
pub(super) fn play(name: &str, text: &str, dir: &Path, prepare: impl Fn(&mut Command)) -> usize {
    let steps = parse(text);
    let mut wrong = String::new();
    for step in &steps {
        let mut shell = Command::new("timeout");
        shell.current_dir(dir).args([STEP_SECONDS_MAX, "sh", "-c", &format!("exec 2>&1\n{}", step.script)]);
        prepare(&mut shell);
        let output = run(&mut shell);
        let said: Vec<&str> = output.stdout.trim_end().lines().map(str::trim_end).collect();
        let expected: Vec<&str> = step.expected.iter().map(String::as_str).collect();
        if output.code != step.code || !matches(&expected, &said) {
            let (said, expected) = (said.join("\n"), expected.join("\n"));
            wrong += &format!(
                "\n{name}:{}: $ {}\n--- expected (exit {})\n{expected}\n--- said (exit {})\n{said}\n",
                step.line, step.script, step.code, output.code,
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    steps.len()
}

/// Longer than any step waits by itself.
const STEP_SECONDS_MAX: &str = "70";

fn parse(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (line, content) in text.lines().enumerate() {
        let last = steps.last_mut();
        if let Some(script) = content.strip_prefix("$ ") {
            steps.push(Step { line: line + 1, script: script.to_owned(), ..Step::default() });
        } else if content.starts_with("# ") || content == "#" {
            continue;
        } else if let Some(step) = last {
            if let Some(more) = content.strip_prefix("> ").or((content == ">").then_some("")) {
                step.script.push('\n');
                step.script.push_str(more);
            } else if let Some(code) = content.strip_prefix("? ") {
                step.code = code.parse().expect("an exit code");
            } else {
                step.expected.push(content.trim_end().to_owned());
            }
        }
    }
    for step in &mut steps {
        while step.expected.last().is_some_and(String::is_empty) {
            step.expected.pop();
        }
    }
    steps
}

fn matches(expected: &[&str], said: &[&str]) -> bool {
    match expected.split_first() {
        None => said.is_empty(),
        Some((&"...", rest)) => (0..=said.len()).any(|skip| matches(rest, &said[skip..])),
        Some((pattern, rest)) => said
            .split_first()
            .is_some_and(|(line, after)| line_matches(pattern, line) && matches(rest, after)),
    }
}

/// Pieces between `[..]` must stand in the line in their order, the first at its start and the
/// last at its end.
fn line_matches(pattern: &str, line: &str) -> bool {
    let pieces: Vec<&str> = pattern.split("[..]").collect();
    let [first, middle @ .., last] = &pieces[..] else { return pattern == line };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    for piece in middle {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn a_transcript_is_compared_line_by_line() {
    let steps = parse("# why\n$ a\n> b\nx [..] z\n...\n? 3\n\n$ c\n");
    assert_eq!(steps[0].script, "a\nb");
    assert_eq!((steps[0].code, steps.len()), (3, 2));
    assert!(matches(&["x [..] z", "..."], &["x y z", "more", "and more"]));
    assert!(matches(&["...", "b"], &["a", "b"]));
    assert!(!matches(&["a"], &["a", "b"]));
    assert!(!matches(&["x [..] z"], &["x y"]));
    assert!(!line_matches("ab[..]b", "ab"));
}
