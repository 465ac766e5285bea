//! `strake image inspect`.

use oci_spec::image::Platform;

use super::remote;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::print_inspected;

/// Arguments of `strake image inspect`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake image inspect nginx\n  strake image inspect -f '{{.Config.Cmd}}' nginx"
)]
pub struct Args {
    /// Names or ids of images
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// json, or a template
    #[arg(short = 'f', long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Of an image for several platforms, the one for this
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let images = remote::images(context)?;
    let platform = args.platform.as_deref().map(Platform::parse).transpose()?;
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for name in &args.images {
        match images.find(name, platform.as_ref()) {
            Ok(image) => found.push(images.inspect(&image)?),
            Err(error) => missing.push(error),
        }
    }
    // What was found is printed even if something was not.
    print_inspected(context, args.format.as_deref(), &found)?;
    for error in &missing {
        context.complain(format_args!("strake: {error}"));
    }
    Ok(if missing.is_empty() { Status::SUCCESS } else { Status::FAILURE })
}
