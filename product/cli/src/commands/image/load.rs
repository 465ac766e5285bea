//! `strake load`.

use std::io;
use std::path::PathBuf;

use engine::images::{LoadSource, Silent};
use oci_spec::Reference;
use oci_spec::image::Platform;

use super::progress::{Display, Stream};
use super::remote;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake load`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake load -i nginx.tar.gz\n  skopeo copy docker://nginx oci-archive:/dev/stdout | strake load -t nginx\n  strake load -i ./oci-layout -t app:1"
)]
pub struct Args {
    /// Read this archive or OCI layout directory instead of standard input
    #[arg(short = 'i', long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// The name for an image that the archive gives none
    #[arg(short = 't', long, value_name = "NAME[:TAG]")]
    pub tag: Option<String>,
    /// Of an image for several platforms, unpack the one for this
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Show no progress
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let images = remote::images(context)?;
    let name = args.tag.as_deref().map(Reference::parse).transpose()?;
    let platform = args.platform.as_deref().map(Platform::parse).transpose()?;
    let source = match &args.input {
        Some(path) if path.is_dir() => LoadSource::Directory(path.clone()),
        Some(path) => LoadSource::File(path.clone()),
        None if context.stdin_is_terminal() => {
            return Err(CliError::message("no archive to read: give -i FILE, or redirect the input"));
        }
        None => LoadSource::Stream(Box::new(io::stdin())),
    };
    let loaded = if args.quiet || !context.stdout_is_terminal() {
        images.load(source, name.as_ref(), platform.as_ref(), &mut Silent)?
    } else {
        let mut display = Display::new(context, Stream::Out);
        images.load(source, name.as_ref(), platform.as_ref(), &mut display)?
    };
    for image in loaded {
        match image.reference {
            Some(reference) => context.print_line(format_args!("Loaded image: {}", reference.familiar()))?,
            None => context.print_line(format_args!("Loaded image ID: {}", image.id))?,
        }
    }
    Ok(Status::SUCCESS)
}
