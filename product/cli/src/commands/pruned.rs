//! What the `prune` commands say, in docker's words.

use std::io::{self, BufRead as _};

use crate::context::Context;
use crate::error::CliError;
use crate::humanize;

/// What `prune` of containers, images and networks takes.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Only those that fit: until=, label=, label!=
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Don't ask
    #[arg(short = 'f', long)]
    pub force: bool,
}

/// Asks whether to go on; `which` ends "This will remove".
pub(super) fn confirmed(context: &Context, which: &str) -> Result<bool, CliError> {
    asked(context, &format!("WARNING! This will remove {which}."))
}

/// Asks whether several kinds of things may go.
pub(super) fn confirmed_list(
    context: &Context,
    which: &[&str],
    filters: &[String],
) -> Result<bool, CliError> {
    asked(context, &warning(which, filters))
}

fn asked(context: &Context, warning: &str) -> Result<bool, CliError> {
    context.print(format_args!("{warning}\nAre you sure you want to continue? [y/N] "))?;
    context.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Prints what is gone and how much room that made.
pub(super) fn print(context: &Context, what: &str, gone: &[String], bytes: u64) -> Result<(), CliError> {
    print_removed(context, what, gone)?;
    print_total(context, bytes)
}

/// Prints what is gone, if anything is.
pub(super) fn print_removed(context: &Context, what: &str, gone: &[String]) -> Result<(), CliError> {
    context.print(format_args!("{}", removed(what, gone)))
}

/// Prints how much room there is again.
pub(super) fn print_total(context: &Context, bytes: u64) -> Result<(), CliError> {
    context.print_line(format_args!("Total reclaimed space: {}", humanize::size(bytes)))
}

fn removed(what: &str, gone: &[String]) -> String {
    if gone.is_empty() { String::new() } else { format!("Deleted {what}:\n{}\n\n", gone.join("\n")) }
}

fn warning(which: &[&str], filters: &[String]) -> String {
    let mut text = "WARNING! This will remove:".to_owned();
    for one in which {
        text.push_str(&format!("\n  - {one}"));
    }
    text.push('\n');
    if !filters.is_empty() {
        text.push_str("\n  Items to be pruned will be filtered with:");
        for filter in filters {
            text.push_str(&format!("\n  - {filter}"));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_as_docker_does() {
        assert_eq!(removed("Images", &[]), "");
        assert_eq!(removed("Volumes", &["a".to_owned(), "b".to_owned()]), "Deleted Volumes:\na\nb\n\n");
    }

    #[test]
    fn warns_as_docker_does() {
        assert_eq!(
            warning(&["all stopped containers", "all dangling images"], &["until=1h".to_owned()]),
            "WARNING! This will remove:\n  - all stopped containers\n  - all dangling images\n\n  Items to be pruned will be filtered with:\n  - until=1h\n"
        );
    }
}
