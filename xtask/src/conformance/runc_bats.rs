//! runc's own behaviour tests against any runtime with runc's command line.
//!
//! Every case runs alone: in a PID and a mount namespace of its own, at a terminal, with a time limit. Whatever it
//! leaves is thawed, killed and unmounted with them, so that a case which hangs a runtime does not take the next
//! along. The suite's helper programs are Go: they are built by its `make test-binaries`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::report::{self, Outcome, Run, Verdict};
use crate::{apt, binaries, process};

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A checkout of opencontainers/runc
    #[arg(long)]
    suite: PathBuf,
    /// The runtime that is judged [default: the one this tree builds]
    #[arg(long)]
    runtime: Option<PathBuf>,
    /// The runtime that says what can pass here [default: the checkout's own ./runc, else Debian's]
    #[arg(long)]
    reference: Option<PathBuf>,
    /// Only cases with this in `FILE: NAME`
    #[arg(long)]
    filter: Option<String>,
    /// Seconds that a case may take
    #[arg(long, default_value_t = 60)]
    limit: u64,
    /// Judge by the checked-in list alone, without running the reference again
    #[arg(long)]
    without_reference: bool,
}

/// Runs the suite twice and prints the table; an error when ours fails what the reference passes.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    ensure!(apt::is_root()?, "the suite makes namespaces, cgroups and mounts: run it as root");
    let suite = args.suite.canonicalize().with_context(|| format!("find {}", args.suite.display()))?;
    let integration = suite.join("tests/integration");
    ensure!(
        integration.join("helpers.bash").exists(),
        "{} is no checkout of opencontainers/runc",
        suite.display()
    );
    apt::install(&[NEEDED])?;
    prepare(&suite)?;
    let logs = root.join("target/conformance/runc-bats");
    let cases = cases(&integration, args.filter.as_deref())?;
    let page = fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    let reference = match args.without_reference {
        true => expected(&cases, &page),
        false => {
            let reference = named_runc(&reference(args, &suite)?, &logs.join("reference"))?;
            run_all(&suite, &reference, &cases, args.limit, &logs.join("reference"))?
        }
    };
    let runtime = match &args.runtime {
        Some(path) => path.canonicalize().with_context(|| format!("find {}", path.display()))?,
        None => binaries::build(root)?.dir.join("strake-runtime"),
    };
    let runtime = named_runc(&runtime, &logs.join("ours"))?;
    let ours = run_all(&suite, &runtime, &cases, args.limit, &logs.join("ours"))?;
    judge(&reference, &ours, &page, &logs)
}

fn judge(reference: &Run, ours: &Run, page: &str, logs: &Path) -> Result<()> {
    let listed = report::listed(page);
    let verdicts = report::compare(reference, ours);
    for (verdict, cases) in &verdicts {
        println!("\n{} ({}):", verdict.title(), cases.len());
        for case in cases {
            let note = match verdict {
                Verdict::Neither | Verdict::OnlyReference if !listed.contains(case) => "  <- not in the list",
                Verdict::Both | Verdict::OnlyOurs if listed.contains(case) => "  <- listed, but it passes",
                _ => "",
            };
            println!("  {}: {}{note}", case.0, case.1);
        }
    }
    let passed = |run: &Run| run.values().filter(|outcome| **outcome == Outcome::Passed).count();
    println!("\nreference passes {} of {}, ours {}", passed(reference), reference.len(), passed(ours));
    println!("logs: {}", logs.display());
    let open = verdicts.get(&Verdict::OnlyReference).into_iter().flatten();
    let new: Vec<String> =
        open.filter(|case| !listed.contains(*case)).map(|(f, c)| format!("{f}: {c}")).collect();
    ensure!(
        new.is_empty(),
        "{} cases pass with the reference and not with ours: {}",
        new.len(),
        new.join("; ")
    );
    Ok(())
}

/// Without the reference: what the page does not list can pass.
fn expected(cases: &[report::Case], page: &str) -> Run {
    let listed = report::listed(page);
    let outcome = |case: &report::Case| if listed.contains(case) { Outcome::Failed } else { Outcome::Passed };
    cases.iter().map(|case| (case.clone(), outcome(case))).collect()
}

fn reference(args: &Args, suite: &Path) -> Result<PathBuf> {
    if let Some(path) = &args.reference {
        return path.canonicalize().with_context(|| format!("find {}", path.display()));
    }
    let candidates = [suite.join("runc"), PathBuf::from("/usr/sbin/runc"), PathBuf::from("/usr/bin/runc")];
    let found = candidates.into_iter().find(|path| path.is_file());
    found.context("no reference runtime: build runc in the checkout, or install Debian's")
}

/// A copy called `runc`: the suite looks for that name in help, version and messages.
fn named_runc(runtime: &Path, dir: &Path) -> Result<PathBuf> {
    let bin = dir.join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("make {}", bin.display()))?;
    let copy = bin.join("runc");
    fs::copy(runtime, &copy).with_context(|| format!("copy {} to {}", runtime.display(), copy.display()))?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    Ok(copy)
}

/// The names of all cases, in the files' order.
fn cases(integration: &Path, filter: Option<&str>) -> Result<Vec<report::Case>> {
    let mut files: Vec<PathBuf> = fs::read_dir(integration)?.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "bats"));
    files.sort();
    let mut cases = Vec::new();
    for path in files {
        let file = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path)?;
        let named = text.lines().filter_map(name_of).map(|name| (file.clone(), name));
        cases.extend(
            named.filter(|(file, name)| filter.is_none_or(|part| format!("{file}: {name}").contains(part))),
        );
    }
    ensure!(!cases.is_empty(), "no case has {:?} in its name", filter.unwrap_or_default());
    Ok(cases)
}

/// `@test "NAME" {`, as bats reads it.
fn name_of(line: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix("@test ")?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let body = rest.get(1..)?;
    body.rfind(quote).and_then(|end| body.get(..end)).map(str::to_owned)
}

fn run_all(suite: &Path, runtime: &Path, cases: &[report::Case], limit: u64, logs: &Path) -> Result<Run> {
    let mut run = Run::new();
    let mut file = "";
    for (number, case) in cases.iter().enumerate() {
        if case.0 != file {
            file = &case.0;
            eprintln!("\u{25b8} {} {file}", runtime.display());
        }
        let text = run_one(suite, runtime, case, Duration::from_secs(limit), logs)?;
        fs::write(logs.join(format!("{number:03}-{file}.log")), format!("{}\n{text}", case.1))?;
        let outcome = outcome(&text);
        if outcome == Outcome::Failed {
            eprintln!("  not ok: {}", case.1);
        }
        run.insert(case.clone(), outcome);
    }
    Ok(run)
}

/// Runs one case; gives what it printed.
fn run_one(
    suite: &Path,
    runtime: &Path,
    (file, name): &report::Case,
    limit: Duration,
    logs: &Path,
) -> Result<String> {
    let scratch = logs.join("tmp");
    fs::create_dir_all(&scratch)?;
    let bats = format!("bats -t -f '{}' 'tests/integration/{file}.bats'", filter_of(name));
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]);
    command.args(["--", "bash", "-c", SCRIPT]).current_dir(suite).stdin(Stdio::null());
    command.env("RUNC", runtime).env("TMPDIR", &scratch).env("CASE", bats);
    command.env("LIMIT", limit.as_secs().to_string()).env("STAND_INS", logs.with_file_name("stand-ins"));
    command.env_remove("RUNC_USE_SYSTEMD");
    let output = command.output().context("start unshare")?;
    // A case may leave mounts' directories; the mounts themselves went with the namespace.
    let _ = fs::remove_dir_all(&scratch);
    Ok(String::from_utf8_lossy(&output.stdout).replace('\r', "") + &String::from_utf8_lossy(&output.stderr))
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
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("the suite has no images for {other}"),
    };
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
            eprintln!(
                "{program} is not built (make test-binaries in the checkout): cases of {files} cannot pass"
            );
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
mkdir -p bin etc dev tmp root home usr/bin usr/sbin var/spool/mail lib; chmod 1777 tmp
cp "$(command -v busybox)" bin/busybox
for applet in $(bin/busybox --list); do [ "$applet" = busybox ] || ln bin/busybox "bin/$applet"; done
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n' >etc/passwd
printf 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n' >etc/group
tar -cf "$1" .
"#;

/// Runs the case, then puts an end to what it left: all that this PID namespace still has is its.
const SCRIPT: &str = r#"
# The suite asks a Go toolchain for nothing but the architecture's name.
if ! command -v go >/dev/null; then
  mkdir -p "$STAND_INS"
  printf '#!/bin/sh\n[ "$2" = GOARCH ] && case $(uname -m) in x86_64) echo amd64;; aarch64) echo arm64;; esac\n' >"$STAND_INS/go"
  chmod +x "$STAND_INS/go"; PATH=$PATH:$STAND_INS
fi
timeout -k 5 "$LIMIT" script -qefc "$CASE" /dev/null
left=
for process in /proc/[0-9]*; do
  pid=${process#/proc/}
  [ "$pid" = 1 ] || [ "$pid" = $$ ] && continue
  while IFS=: read -r _ controllers path; do
    [ -n "$path" ] && [ "$path" != / ] || continue
    case $controllers in
      freezer) echo THAWED >"/sys/fs/cgroup/freezer$path/freezer.state";;
      '') [ -e "/sys/fs/cgroup$path/cgroup.freeze" ] && echo 0 >"/sys/fs/cgroup$path/cgroup.freeze";;
    esac
    case $path in /runc-cgroups-integration-test*) ;; *) left="$left $path";; esac
  done 2>/dev/null <"$process/cgroup"
  kill -9 "$pid" 2>/dev/null
done
wait 2>/dev/null
for try in 1 2 3 4 5 6 7 8 9 10; do
  for path in $left; do [ $(printf %s "$path" | tr -cd / | wc -c) = 1 ] && rmdir /sys/fs/cgroup/*"$path"; done
  find /sys/fs/cgroup -depth -path '*/runc-cgroups-integration-test*' -type d -exec rmdir {} + || { sleep 0.1; continue; }
  break
done 2>/dev/null
exit 0
"#;

/// The checked-in list.
const PAGE: &str = "docs/conformance/runc-bats.md";

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
