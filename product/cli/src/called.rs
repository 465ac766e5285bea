//! The command tree with nothing but the verb that is called.
//!
//! All of the tree has thousands of options, and takes longer to make than most commands take to run. What
//! this one does not know, help among it, is left to the whole tree: it has the last word on what is wrong.

use std::ffi::OsString;

use clap::{ArgMatches, Args, Command, Subcommand};

use crate::cli::GlobalOptions;
use crate::commands::container::{
    attach, commit, cp, create, diff, exec, export, inspect, kill, logs, pause, port, ps, rename, restart,
    rm, run, start, stats, stop, top, unpause, update, wait,
};
use crate::commands::system::SystemCommand;
use crate::words;

/// The matches of `args`, if they are a correct call of a verb that is known here.
pub(crate) fn matches(args: &[OsString]) -> Option<ArgMatches> {
    // A value of a global option may look like a verb: then it is not what is called, and nothing matches.
    let (verb, define) = args.iter().skip(1).find_map(|arg| define(arg.to_str()?))?;
    let tree = GlobalOptions::augment_args(Command::new("strake")).subcommand_required(true);
    let tree = tree.subcommand(define(Command::new(verb))).args_override_self(true);
    let args = words::normal(&tree, args).ok()?;
    tree.try_get_matches_from(args).ok()
}

/// Adds what a verb takes to a command.
type Define = fn(Command) -> Command;

fn define(verb: &str) -> Option<(&'static str, Define)> {
    VERBS.iter().find(|(name, _)| *name == verb).copied()
}

const VERBS: &[(&str, Define)] = &[
    ("attach", attach::Args::augment_args),
    ("commit", commit::Args::augment_args),
    ("cp", cp::Args::augment_args),
    ("create", create::Args::augment_args),
    ("diff", diff::Args::augment_args),
    ("exec", exec::Args::augment_args),
    ("export", export::Args::augment_args),
    ("inspect", inspect::Args::augment_args),
    ("kill", kill::Args::augment_args),
    ("logs", logs::Args::augment_args),
    ("pause", pause::Args::augment_args),
    ("port", port::Args::augment_args),
    ("ps", ps::Args::augment_args),
    ("rename", rename::Args::augment_args),
    ("restart", restart::Args::augment_args),
    ("rm", rm::Args::augment_args),
    ("run", run::Args::augment_args),
    ("start", start::Args::augment_args),
    ("stats", stats::Args::augment_args),
    ("stop", stop::Args::augment_args),
    ("system", SystemCommand::augment_subcommands),
    ("top", top::Args::augment_args),
    ("unpause", unpause::Args::augment_args),
    ("update", update::Args::augment_args),
    ("wait", wait::Args::augment_args),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Help is the whole tree's, so that only what is parsed must be the same.
    fn options(command: &Command) -> Vec<String> {
        let mut all: Vec<String> = command
            .get_arguments()
            .filter(|arg| arg.get_id() != "help")
            .map(|arg| format!("{arg:?}"))
            .collect();
        all.extend(command.get_subcommands().flat_map(options));
        all
    }

    #[test]
    fn a_verb_takes_here_what_it_takes_in_the_whole_tree() {
        let tree = crate::command();
        for (name, define) in VERBS {
            let known = tree.find_subcommand(name).unwrap();
            assert_eq!(options(&define(Command::new(*name))), options(known), "{name}");
        }
    }

    #[test]
    fn only_correct_calls_match() {
        let matches = |line: &str| {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            matches(&args)
        };
        let run = matches("strake --root /r run --rm busybox ls --help").unwrap();
        assert_eq!(run.subcommand_name(), Some("run"));
        assert_eq!(run.get_one::<std::path::PathBuf>("root").unwrap().to_str(), Some("/r"));
        assert!(matches("strake system cleanup 0123456789").is_some());
        let left = [
            "strake run --help",
            "strake --help",
            "strake help run",
            "strake run --no-such busybox",
            "strake ps extra",
        ];
        for line in left.into_iter().chain([
            "strake --root run ps",
            "strake container ps",
            "strake container run busybox",
            "strake",
        ]) {
            assert!(matches(line).is_none(), "{line}");
        }
    }
}
