//! What the `prune` commands say, in docker's words.

use std::io::{self, BufRead as _};

use crate::context::Context;
use crate::error::CliError;
use crate::humanize;

/// Asks whether to go on; `which` ends "This will remove".
pub(super) fn confirmed(context: &Context, which: &str) -> Result<bool, CliError> {
    context.print(format_args!(
        "WARNING! This will remove {which}.\nAre you sure you want to continue? [y/N] "
    ))?;
    context.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Prints what is gone and how much room that made.
pub(super) fn print(context: &Context, what: &str, gone: &[String], bytes: u64) -> Result<(), CliError> {
    context.print(format_args!("{}", report(what, gone, bytes)))
}

fn report(what: &str, gone: &[String], bytes: u64) -> String {
    let total = format!("Total reclaimed space: {}\n", humanize::size(bytes));
    if gone.is_empty() { total } else { format!("Deleted {what}:\n{}\n\n{total}", gone.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_as_docker_does() {
        assert_eq!(report("Images", &[], 0), "Total reclaimed space: 0B\n");
        assert_eq!(
            report("Volumes", &["a".to_owned(), "b".to_owned()], 1500),
            "Deleted Volumes:\na\nb\n\nTotal reclaimed space: 1.5kB\n"
        );
    }
}
