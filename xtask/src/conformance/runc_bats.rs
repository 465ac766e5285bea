//! runc's own behaviour tests against any runtime with runc's command line.
//!
//! Every case runs alone and at a terminal. The suite's helper programs must be built.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::alone::Alone;
use super::drive::Suite;
use super::report::{Case, Outcome};
use crate::{apt, process};

/// A checkout of opencontainers/runc.
pub(super) struct RuncBats {
    place: PathBuf,
}

impl RuncBats {
    /// Looks that it is one, and brings what it asks of the machine.
    pub(super) fn open(place: PathBuf) -> Result<Self> {
        let helpers = place.join("tests/integration/helpers.bash");
        ensure!(helpers.exists(), "{} is no checkout of opencontainers/runc", place.display());
        apt::install(&[NEEDED])?;
        prepare(&place)?;
        Ok(Self { place })
    }
}

impl Suite for RuncBats {
    fn name(&self) -> &'static str {
        "runc-bats"
    }

    fn parts(&self) -> Result<Vec<Case>> {
        cases(&self.place.join("tests/integration"))
    }

    fn command(&self, (file, name): &Case, runtime: &Path, limit: Duration) -> Result<Alone> {
        let bats = format!("bats -t -f '{}' 'tests/integration/{file}.bats'", filter_of(name));
        // A third of the cases wants a terminal. The end of its input would be a character that containers read, so
        // the input never ends.
        let line = format!(
            "export PATH=$PATH:$TMPDIR/bin; mkfifo $TMPDIR/in; exec script -qefc \"{bats}\" /dev/null <>$TMPDIR/in"
        );
        let alone = Alone::new(&line, &self.place, limit, CGROUPS).env("RUNC", runtime);
        stand_in_for_go(alone.scratch())?;
        Ok(alone)
    }

    fn outcomes(&self, (file, name): &Case, text: &str) -> Vec<(Case, Outcome)> {
        // One name ends in a space, which no table's cell does.
        vec![((file.clone(), name.trim().to_owned()), outcome(text))]
    }
}

/// The suite asks a Go toolchain for nothing but the architecture's name.
fn stand_in_for_go(scratch: &Path) -> Result<()> {
    let bin = scratch.join("bin");
    fs::create_dir(&bin)?;
    fs::write(bin.join("go"), format!("#!/bin/sh\n[ \"$2\" = GOARCH ] && echo {}\n", arch()?))?;
    fs::set_permissions(bin.join("go"), fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn arch() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("the suite has no images for {other}"),
    }
}

/// The names of all cases, in the files' order.
fn cases(integration: &Path) -> Result<Vec<Case>> {
    let mut files: Vec<PathBuf> = fs::read_dir(integration)?.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "bats"));
    files.sort();
    let mut cases = Vec::new();
    for path in files {
        let file = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path)?;
        cases.extend(text.lines().filter_map(name_of).map(|name| (file.clone(), name)));
    }
    Ok(cases)
}

/// `@test "NAME" {`, as bats reads it.
fn name_of(line: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix("@test ")?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let body = rest.get(1..)?;
    body.rfind(quote).and_then(|end| body.get(..end)).map(str::to_owned)
}

/// A regular expression that matches the name and nothing else.
fn filter_of(name: &str) -> String {
    // In one-character classes a shell's quotes do not matter, and neither do backslashes of any dialect.
    let one = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '-' | '_' | '/' | ',' | ':' | '=' | '#' => c.to_string(),
        _ => ".".to_owned(),
    };
    format!("^{}$", name.chars().map(one).collect::<String>())
}

fn outcome(text: &str) -> Outcome {
    let mut outcome = Outcome::Failed;
    for line in text.lines() {
        if line.starts_with("not ok ") {
            return Outcome::Failed;
        }
        if line.starts_with("ok ") {
            outcome = if line.contains("# skip") { Outcome::Skipped } else { Outcome::Passed };
        }
    }
    outcome
}

/// Root filesystems and helper programs of the suite.
fn prepare(suite: &Path) -> Result<()> {
    let data = suite.join("tests/integration/testdata");
    let arch = arch()?;
    let busybox = data.join(format!("busybox-{arch}.tar.xz"));
    if !busybox.exists() {
        process::run(Command::new("bash").args(["-euc", BUSYBOX]).arg("busybox").arg(&busybox))?;
    }
    let debian = data.join(format!("debian-{arch}.tar.xz"));
    if !debian.exists() {
        // tar(1) goes by the content, not by the name.
        fs::copy(testkit::images::debian_tar(), &debian)?;
    }
    let built = suite.join("tests/cmd/_bin");
    for (program, files) in PROGRAMS {
        if !built.join(program).exists() {
            eprintln!("{program} is not built: cases of {files} cannot pass");
        }
    }
    Ok(())
}

/// What the suite asks of the machine.
const NEEDED: &[&str] = &[
    "bats",
    "busybox-static",
    "gawk",
    "gcc",
    "iproute2",
    "jq",
    "libc6-dev",
    "udev",
    "util-linux",
    "xz-utils",
];

/// The suite's own programs, and the files that need them.
const PROGRAMS: &[(&str, &str)] = &[
    ("recvtty", "nearly every file"),
    ("remap-rootfs", "userns, idmap, mounts, timens"),
    ("seccompagent", "seccomp-notify"),
    ("pidfd-kill", "pidfd-socket"),
    ("fs-idmap", "idmap, mounts"),
];

/// A root filesystem of every applet, as the images of busybox are laid out.
const BUSYBOX: &str = r#"
root=$(mktemp -d); trap 'rm -rf "$root"' EXIT; cd "$root"
chmod 755 .; mkdir -p bin etc dev tmp root home usr/bin usr/sbin var/spool/mail lib; chmod 1777 tmp
cp "$(command -v busybox)" bin/busybox
for applet in $(bin/busybox --list); do [ "$applet" = busybox ] || ln bin/busybox "bin/$applet"; done
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n' >etc/passwd
printf 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n' >etc/group
tar -cf "$1" .
"#;

/// The top of the suite's cgroups.
const CGROUPS: &[&str] = &["runc-cgroups-integration-test*", "test_busybox*"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_found_by_their_names() {
        assert_eq!(name_of(r#"@test "runc run [tty ptsname]" {"#).as_deref(), Some("runc run [tty ptsname]"));
        assert_eq!(name_of("@test 'a' {").as_deref(), Some("a"));
        assert_eq!(name_of("  echo @test"), None);
    }

    #[test]
    fn a_filter_is_safe_between_quotes() {
        assert_eq!(filter_of("runc run [hook's argv]"), "^runc run .hook.s argv.$");
    }

    #[test]
    fn a_case_without_a_word_has_failed() {
        assert_eq!(outcome("1..1\nok 1 a in 12ms\n"), Outcome::Passed);
        assert_eq!(outcome("1..1\nok 1 a # skip test requires systemd\n"), Outcome::Skipped);
        assert_eq!(outcome("1..1\nnot ok 1 a # timeout\n"), Outcome::Failed);
        assert_eq!(outcome("1..1\n"), Outcome::Failed);
    }
}
