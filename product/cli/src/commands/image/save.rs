//! `strake save`.

use std::io::{self, Write as _};
use std::path::PathBuf;

use engine::images::{SaveFormat, SaveTarget};

use super::remote;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake save`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake save -o nginx.tar nginx\n  strake save debian nginx | gzip > both.tar.gz\n  strake save --format oci-dir -o layout nginx"
)]
pub struct Args {
    /// Names or ids of images
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// docker-archive, oci-archive or oci-dir
    #[arg(long, value_name = "FORMAT", default_value = "docker-archive", value_parser = ["docker-archive", "oci-archive", "oci-dir"])]
    pub format: String,
    /// Write to this file (or directory for oci-dir) instead of standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Only this platform's of an image of several
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let images = remote::images(context)?.of_platform(remote::platform(args.platform.as_deref())?);
    let format: SaveFormat = args.format.parse()?;
    match &args.output {
        Some(path) => images.save(&args.images, format, SaveTarget::File(path.clone()))?,
        None if context.stdout_is_terminal() => {
            return Err(CliError::message(
                "an archive is no text for a terminal: give -o FILE, or redirect the output",
            ));
        }
        None => {
            // Archives are large: the context's own buffer would only copy them.
            let mut out = io::stdout().lock();
            images.save(&args.images, format, SaveTarget::Stream(&mut out))?;
            out.flush()?;
        }
    }
    Ok(Status::SUCCESS)
}
