//! youki's contest: groups of cases in one program, which looks into containers with another one.
//!
//! A group runs alone: a panic in one ends the whole program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::alone::Alone;
use super::drive::Suite;
use super::report::{Case, Outcome};
use crate::process;

/// A directory with the built programs and the bundle.
pub(super) struct Contest {
    place: PathBuf,
}

impl Contest {
    /// Looks that all is there.
    pub(super) fn open(place: PathBuf) -> Result<Self> {
        for name in [PROGRAM, INSIDE, BUNDLE] {
            ensure!(place.join(name).is_file(), "{} has no {name}", place.display());
        }
        Ok(Self { place })
    }
}

impl Suite for Contest {
    fn name(&self) -> &'static str {
        "contest"
    }

    fn parts(&self) -> Result<Vec<Case>> {
        let listed =
            process::read(Command::new(self.place.join(PROGRAM)).arg("list").current_dir(&self.place))?;
        Ok(listed.lines().map(|group| (group.trim().to_owned(), String::new())).collect())
    }

    fn command(&self, (group, _): &Case, runtime: &Path, limit: Duration) -> Result<Alone> {
        let at = |name: &str| self.place.join(name).display().to_string();
        let line = format!(
            "cd \"$TMPDIR\" && exec '{}' run --runtime '{}' --runtimetest '{}' -t '{group}'",
            at(PROGRAM),
            runtime.display(),
            at(INSIDE),
        );
        let alone = Alone::new(&line, &self.place, limit, CGROUPS);
        // It unpacks what lies in the working directory.
        fs::copy(self.place.join(BUNDLE), alone.scratch().join(BUNDLE))?;
        Ok(alone)
    }

    fn outcomes(&self, (group, _): &Case, text: &str) -> Vec<(Case, Outcome)> {
        text.lines().filter_map(outcome).map(|(name, outcome)| ((group.clone(), name), outcome)).collect()
    }
}

/// `NUMBER / COUNT : NAME : ok`.
fn outcome(line: &str) -> Option<(String, Outcome)> {
    let (numbers, rest) = line.split_once(" : ")?;
    let (number, count) = numbers.split_once(" / ")?;
    let _numbers: (u32, u32) = (number.parse().ok()?, count.parse().ok()?);
    let (name, verdict) = rest.rsplit_once(" : ")?;
    let outcome = match verdict.trim() {
        "ok" => Outcome::Passed,
        "skipped" => Outcome::Skipped,
        "not ok" => Outcome::Failed,
        _ => return None,
    };
    Some((name.trim().to_owned(), outcome))
}

const PROGRAM: &str = "contest";
const INSIDE: &str = "runtimetest";
const BUNDLE: &str = "bundle.tar.gz";

/// Containers without a cgroup of their own name have their id for it, a UUID.
const CGROUPS: &[&str] = &["runtime-test", "????????-????-????-????-????????????"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read() {
        assert_eq!(outcome("1 / 5 : a : b : ok"), Some(("a : b".to_owned(), Outcome::Passed)));
        assert_eq!(outcome("2 / 5 : a : not ok"), Some(("a".to_owned(), Outcome::Failed)));
        assert_eq!(outcome("2 / 5 : a : skipped"), Some(("a".to_owned(), Outcome::Skipped)));
        assert_eq!(outcome("\terror : ok"), None);
    }
}
