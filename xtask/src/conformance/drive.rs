//! What all suites share: which runtimes run it, in which order, and what their runs mean.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::alone::Alone;
use super::report::{self, Case, Outcome, Run, Verdict};
use crate::{apt, binaries};

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The suite, with its programs built
    #[arg(long)]
    suite: PathBuf,
    /// The runtime that is judged [default: the one this tree builds]
    #[arg(long)]
    runtime: Option<PathBuf>,
    /// A runtime that says what can pass here; of several, any [default: the suite's own ./runc, else Debian's]
    #[arg(long)]
    reference: Vec<PathBuf>,
    /// Only cases with this in `FILE: NAME`
    #[arg(long)]
    filter: Option<String>,
    /// Seconds that a case may take
    #[arg(long, default_value_t = 60)]
    limit: u64,
    /// Judge by the checked-in list alone, without running a reference again
    #[arg(long)]
    without_reference: bool,
}

/// A public suite at its place.
pub(super) trait Suite {
    /// Its name, also that of its page.
    fn name(&self) -> &'static str;

    /// The parts that run alone; a part is a case or has some.
    fn parts(&self) -> Result<Vec<Case>>;

    /// The command that runs a part with a runtime.
    fn command(&self, part: &Case, runtime: &Path, limit: Duration) -> Result<Alone>;

    /// What it says of its cases.
    fn outcomes(&self, part: &Case, text: &str) -> Vec<(Case, Outcome)>;
}

/// Runs the suite on all runtimes and prints the table; an error when a case fails that the list does not explain.
pub(super) fn run<S: Suite>(root: &Path, args: &Args, open: fn(PathBuf) -> Result<S>) -> Result<()> {
    ensure!(apt::is_root()?, "the suite makes namespaces, cgroups and mounts: run it as root");
    let place = args.suite.canonicalize().with_context(|| format!("find {}", args.suite.display()))?;
    let references = references(args, &place)?;
    let suite = open(place)?;
    let logs = root.join("target/conformance").join(suite.name());
    let mut parts = suite.parts()?;
    if let Some(filter) = &args.filter {
        parts.retain(|(file, name)| format!("{file}: {name}").contains(filter));
    }
    ensure!(!parts.is_empty(), "no case has {:?} in its name", args.filter.as_deref().unwrap_or_default());
    let limit = Duration::from_secs(args.limit);
    let mut reference = Run::new();
    for (number, runtime) in references.iter().enumerate() {
        let logs = logs.join(format!("reference-{number}"));
        let run = run_all(&suite, &named_runc(runtime, &logs)?, &parts, limit, &logs)?;
        println!("{}: {} of {}", runtime.display(), passed(&run), run.len());
        report::add(&mut reference, run);
    }
    let runtime = match &args.runtime {
        Some(path) => path.canonicalize().with_context(|| format!("find {}", path.display()))?,
        None => binaries::build(root)?.dir.join("strake-runtime"),
    };
    let logs = logs.join("ours");
    let ours = run_all(&suite, &named_runc(&runtime, &logs)?, &parts, limit, &logs)?;
    let page = root.join("docs/conformance").join(suite.name()).with_extension("md");
    let page = fs::read_to_string(&page).with_context(|| format!("read {}", page.display()))?;
    if args.without_reference {
        reference = expected(&ours, &page);
    }
    println!("logs: {}", logs.display());
    judge(&reference, &ours, &page)
}

fn judge(reference: &Run, ours: &Run, page: &str) -> Result<()> {
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
    println!("\nreference passes {} of {}, ours {}", passed(reference), reference.len(), passed(ours));
    // What neither passes must have its reason in the list too, or a broken set-up would look like success.
    let failing = [Verdict::OnlyReference, Verdict::Neither].map(|verdict| verdicts.get(&verdict));
    let new = failing.into_iter().flatten().flatten().filter(|case| !listed.contains(*case));
    let new: Vec<String> = new.map(|(file, name)| format!("{file}: {name}")).collect();
    ensure!(new.is_empty(), "{} cases fail that the list does not explain: {}", new.len(), new.join("; "));
    Ok(())
}

fn passed(run: &Run) -> usize {
    run.values().filter(|outcome| **outcome == Outcome::Passed).count()
}

/// Without the reference: what the page does not list can pass.
fn expected(ours: &Run, page: &str) -> Run {
    let listed = report::listed(page);
    let outcome = |case: &Case| if listed.contains(case) { Outcome::Failed } else { Outcome::Passed };
    ours.keys().map(|case| (case.clone(), outcome(case))).collect()
}

fn references(args: &Args, suite: &Path) -> Result<Vec<PathBuf>> {
    if args.without_reference {
        return Ok(Vec::new());
    }
    if !args.reference.is_empty() {
        let real = |path: &PathBuf| path.canonicalize().with_context(|| format!("find {}", path.display()));
        return args.reference.iter().map(real).collect();
    }
    let candidates = [suite.join("runc"), PathBuf::from("/usr/sbin/runc"), PathBuf::from("/usr/bin/runc")];
    let found = candidates.into_iter().find(|path| path.is_file());
    Ok(vec![found.context("no reference runtime: name one, or install Debian's runc")?])
}

/// A copy called `runc`: suites look for that name in help, version and messages.
fn named_runc(runtime: &Path, dir: &Path) -> Result<PathBuf> {
    let bin = dir.join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("make {}", bin.display()))?;
    let copy = bin.join("runc");
    fs::copy(runtime, &copy).with_context(|| format!("copy {} to {}", runtime.display(), copy.display()))?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    Ok(copy)
}

fn run_all(suite: &impl Suite, runtime: &Path, parts: &[Case], limit: Duration, logs: &Path) -> Result<Run> {
    let mut run = Run::new();
    let mut file = "";
    for (number, part) in parts.iter().enumerate() {
        if part.0 != file {
            file = &part.0;
            eprintln!("\u{25b8} {} {file}", runtime.display());
        }
        let text = suite.command(part, runtime, limit)?.run()?;
        fs::write(logs.join(format!("{number:03}-{file}.log")), format!("{}\n{text}", part.1))?;
        for (case, outcome) in suite.outcomes(part, &text) {
            if outcome == Outcome::Failed {
                eprintln!("  not ok: {}", case.1);
            }
            run.insert(case, outcome);
        }
    }
    Ok(run)
}
