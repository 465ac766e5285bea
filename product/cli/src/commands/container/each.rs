//! A verb on each of several containers: one that fails does not keep the others from it.

use std::fmt::Display;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Does `act` to each; prints what it gives, or what went wrong.
pub(super) fn each<T: Display>(
    context: &Context,
    names: &[String],
    mut act: impl FnMut(&str) -> Result<T, CliError>,
) -> Result<Status, CliError> {
    let mut status = Status::SUCCESS;
    for name in names {
        match act(name) {
            Ok(line) => context.print_line(line)?,
            Err(error) => {
                context.say(format_args!("strake: {error}"));
                status = Status::FAILURE;
            }
        }
    }
    Ok(status)
}
