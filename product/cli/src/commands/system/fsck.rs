//! `strake system fsck`: everything that is damaged or belongs to nobody.

use engine::Flaw;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake system fsck`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Looks through images, layers, containers, volumes, networks, control groups and mounts for what \
                  is damaged or belongs to nobody: what crashes, full disks and strangers' hands leave. Every blob \
                  is read again. With --repair each thing is put right or removed, and nothing else; running \
                  containers are not disturbed. Exits with 1 while something is wrong.",
    after_help = "Examples:\n  strake system fsck\n  strake system fsck --repair\n  strake system fsck --json | jq -r '.flaws[] | .kind + \" \" + .object'"
)]
pub struct Args {
    /// Put right or remove what was found
    #[arg(long)]
    pub repair: bool,
    /// Print JSON: {version, clean, flaws: [{kind, object, detail, repaired, problem}]}
    #[arg(short = 'J', long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let report = context.engine()?.fsck(args.repair)?;
    let clean = report.is_clean();
    if args.json {
        let flaws: Vec<Value> = report.flaws.iter().map(to_json).collect();
        let document = json!({"version": 1, "clean": clean, "flaws": flaws});
        context.print_line(serde_json::to_string_pretty(&document)?)?;
    } else {
        report.flaws.iter().try_for_each(|flaw| context.print_line(line(flaw)))?;
        if report.flaws.is_empty() {
            context.print_line("nothing is wrong")?;
        } else if !args.repair {
            context.say("strake: `strake system fsck --repair` puts this right");
        }
    }
    Ok(if clean { Status::SUCCESS } else { Status::FAILURE })
}

fn to_json(flaw: &Flaw) -> Value {
    let (repaired, problem) = match &flaw.repaired {
        None => (Value::Null, Value::Null),
        Some(Ok(())) => (true.into(), Value::Null),
        Some(Err(problem)) => (false.into(), problem.as_str().into()),
    };
    json!({
        "kind": flaw.kind.as_str(), "object": flaw.object, "detail": flaw.detail, "repaired": repaired,
        "problem": problem,
    })
}

/// `blob-damaged sha256:0: its content is sha256:1 (repaired)`.
fn line(flaw: &Flaw) -> String {
    let outcome = match &flaw.repaired {
        None => String::new(),
        Some(Ok(())) => " (repaired)".to_owned(),
        Some(Err(problem)) => format!(" (not repaired: {problem})"),
    };
    format!("{} {}: {}{outcome}", flaw.kind.as_str(), flaw.object, flaw.detail)
}
