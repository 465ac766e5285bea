//! `cargo xtask docs`: pages that are generated and committed, so that they are read where the
//! code is read. `--check` says when they are stale.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use clap::{Arg, Command};

use crate::rows;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing, fail when a page is stale
    #[arg(long)]
    pub(crate) check: bool,
}

/// Writes or checks the pages.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    let pages = [("docs/reference/cli.md", reference()), ("docs/rows.md", rows::page(root)?)];
    for (name, text) in pages {
        let path = root.join(name);
        if args.check {
            let fresh = fs::read_to_string(&path).is_ok_and(|have| have == text);
            ensure!(fresh, "{name} is stale: run `cargo xtask docs`");
            continue;
        }
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(&path, text)?;
    }
    println!("docs: the generated pages are fresh");
    Ok(())
}

/// Every command with its options, from the one command tree.
fn reference() -> String {
    let mut page = String::from("# Commands\n\nGenerated from the command tree by `cargo xtask docs`.\n");
    let mut root = cli::command();
    root.build();
    command(&mut page, &root, "strake");
    page
}

fn command(page: &mut String, command_: &Command, path: &str) {
    let _ = writeln!(page, "\n## `{path}`\n");
    if let Some(about) = command_.get_long_about().or_else(|| command_.get_about()) {
        let _ = writeln!(page, "{about}\n");
    }
    let args: Vec<&Arg> = command_.get_arguments().filter(|arg| listed(arg, path)).collect();
    if !args.is_empty() {
        page.push_str("| | |\n|---|---|\n");
    }
    for arg in args {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(page, "| `{}` | {} |", spelled(arg), help.replace('|', "\\|").replace('\n', " "));
    }
    for sub in command_.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        command(page, sub, &format!("{path} {}", sub.get_name()));
    }
}

/// Global options stand once, at the top.
fn listed(arg: &Arg, path: &str) -> bool {
    let shown = !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version");
    shown && (!arg.is_global_set() || path == "strake")
}

fn spelled(arg: &Arg) -> String {
    let values =
        arg.get_value_names().unwrap_or_default().iter().map(|name| format!(" {name}")).collect::<String>();
    let values = if arg.get_action().takes_values() { values } else { String::new() };
    match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}{values}"),
        (None, Some(long)) => format!("--{long}{values}"),
        (Some(short), None) => format!("-{short}{values}"),
        (None, None) => values.trim().to_owned(),
    }
}
