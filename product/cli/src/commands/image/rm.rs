//! `strake rmi`.

use base::{Classified as _, ErrorClass};
use engine::images::Removed;

use super::remote;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake rmi`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake rmi nginx:1.24\n  strake rmi $(strake images -q -f dangling=true)"
)]
pub struct Args {
    /// Names or ids of images
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Also when it has several names or a stopped container was made of it
    #[arg(short = 'f', long)]
    pub force: bool,
    /// Kept for docker's sake: untagged parents don't exist here
    #[arg(long)]
    pub no_prune: bool,
    /// Only this platform's of an image of several
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let images = remote::images(context)?.of_platform(remote::platform(args.platform.as_deref())?);
    let uses = context.engine()?.image_uses()?;
    let mut status = Status::SUCCESS;
    for name in &args.images {
        match images.remove(name, args.force, &uses) {
            Ok(removed) => {
                for one in &removed {
                    context.print_line(match one {
                        Removed::Untagged(name) => format!("Untagged: {name}"),
                        Removed::Deleted(digest) => format!("Deleted: {digest}"),
                    })?;
                }
            }
            Err(error) => {
                // As docker: with --force what is to be gone may be gone already.
                if !(args.force && error.class() == ErrorClass::NotFound) {
                    status = Status::FAILURE;
                }
                context.complain(format_args!("strake: {}", CliError::from(error)));
            }
        }
    }
    Ok(status)
}
