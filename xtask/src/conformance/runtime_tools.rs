//! The validation programs of opencontainers/runtime-tools: each prints TAP about containers that it runs.
//!
//! A program is a case: which lines it prints depends on how far a runtime lets it come.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::alone::{self, Alone};
use super::drive::Suite;
use super::report::{Case, Outcome};

/// A checkout with its programs built.
pub(super) struct RuntimeTools {
    place: PathBuf,
}

impl RuntimeTools {
    /// Looks that all is there.
    pub(super) fn open(place: PathBuf) -> Result<Self> {
        let inside = place.join("runtimetest");
        ensure!(
            inside.is_file(),
            "{} is no checkout of runtime-tools with its runtimetest built",
            place.display()
        );
        Ok(Self { place })
    }
}

impl Suite for RuntimeTools {
    fn name(&self) -> &'static str {
        "runtime-tools"
    }

    fn parts(&self) -> Result<Vec<Case>> {
        let mut parts = Vec::new();
        for directory in fs::read_dir(self.place.join("validation"))?.flatten() {
            let area = directory.file_name().to_string_lossy().into_owned();
            for file in fs::read_dir(directory.path()).into_iter().flatten().flatten() {
                let name = file.file_name().to_string_lossy().into_owned();
                parts.extend(name.strip_suffix(".t").map(|name| (area.clone(), name.to_owned())));
            }
        }
        parts.sort();
        Ok(parts)
    }

    fn command(&self, (area, name): &Case, runtime: &Path, limit: Duration) -> Result<Alone> {
        let line = format!("exec 'validation/{area}/{name}.t'");
        Ok(Alone::new(&line, &self.place, limit, CGROUPS).env("RUNTIME", runtime))
    }

    fn outcomes(&self, case: &Case, text: &str) -> Vec<(Case, Outcome)> {
        let silent = SILENT.contains(&case.1.as_str());
        vec![(case.clone(), if silent { outcome_of_silent(text) } else { outcome(text) })]
    }
}

/// Passed: it ended well, with a good line and no bad one.
fn outcome(text: &str) -> Outcome {
    let lines = || text.lines().map(str::trim_start);
    let skips = |line: &str| line.to_ascii_lowercase().contains("# skip");
    if alone::status(text) != Some(0) || lines().any(|line| line.starts_with("not ok ")) {
        return Outcome::Failed;
    }
    if lines().any(|line| line.starts_with("ok ") && !skips(line)) {
        return Outcome::Passed;
    }
    if lines().any(skips) { Outcome::Skipped } else { Outcome::Failed }
}

/// Of a program that prints what is wrong, as a diagnosis without a line of its own, and an empty plan in any case.
fn outcome_of_silent(text: &str) -> Outcome {
    let lines = || text.lines().map(str::trim_start);
    let wrong = lines().any(|line| line.starts_with("not ok ") || line.starts_with("\"error\":"));
    let ended = alone::status(text) == Some(0) && lines().any(|line| line == "1..0");
    if ended && !wrong { Outcome::Passed } else { Outcome::Failed }
}

/// Programs without a good line.
const SILENT: &[&str] =
    &["hooks", "poststart", "poststart_fail", "poststop", "poststop_fail", "prestart", "prestart_fail"];

/// The names that programs give, and UUIDs: a container without one has its id.
const CGROUPS: &[&str] = &["cgrouptest", "testdir", "????????-????-????-????-????????????"];

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(status: i32, lines: &str) -> Outcome {
        outcome(&format!("TAP version 13\n{lines}\n\nexit status of the case: {status}\n"))
    }

    #[test]
    fn a_bad_line_or_a_bad_end_is_a_failure() {
        assert_eq!(ended(0, "ok 1 - a\n  ok 2 - b # SKIP c"), Outcome::Passed);
        assert_eq!(ended(0, "ok 1 - a\nnot ok 2 - b"), Outcome::Failed);
        assert_eq!(ended(1, "ok 1 - a"), Outcome::Failed);
        assert_eq!(ended(0, "ok 1 # SKIP no kernel support"), Outcome::Skipped);
        assert_eq!(ended(0, "1..0 # skip all"), Outcome::Skipped);
        assert_eq!(ended(0, ""), Outcome::Failed);
    }

    #[test]
    fn a_silent_program_tells_what_is_wrong_alone() {
        let ended = |status: i32, lines: &str| {
            outcome_of_silent(&format!("TAP version 13\n{lines}\nexit status of the case: {status}\n"))
        };
        assert_eq!(ended(0, "1..0"), Outcome::Passed);
        assert_eq!(ended(0, "  ---\n  {\n    \"error\": \"x\"\n  }\n  ...\n1..0"), Outcome::Failed);
        assert_eq!(ended(1, "1..0"), Outcome::Failed);
        assert_eq!(ended(0, ""), Outcome::Failed, "it ended before its plan");
    }
}
