//! `strake pull`.

use engine::images::{Images, PullOptions, Silent};
use oci_spec::Reference;

use super::progress::{Display, Stream};
use super::remote;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake pull`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake pull debian:bookworm\n  strake pull --platform linux/arm64 nginx\n  strake pull -a localhost:5000/app      every tag of a repository"
)]
pub struct Args {
    /// NAME[:TAG|@DIGEST]
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// All tags of the repository
    #[arg(short = 'a', long)]
    pub all_tags: bool,
    /// For another platform than this host's, as in linux/arm64
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Print only the image's full name
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Don't ask for the image's signature, which is the default
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set, hide = true)]
    pub disable_content_trust: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    remote::refuse_trust(args.disable_content_trust)?;
    let images = remote::images(context)?;
    let platform = remote::platform(args.platform.as_deref())?;
    let options = PullOptions { platform };
    let reference = Reference::parse(&args.image)?;
    if !args.all_tags {
        let has_tag = reference.digest().is_some()
            || args.image.ends_with(&format!(":{}", reference.manifest_reference()));
        if !has_tag && !args.quiet {
            context.print_line("Using default tag: latest")?;
        }
        one(&images, &reference, &options, args.quiet, context)?;
        return Ok(Status::SUCCESS);
    }
    if args.image != reference.familiar_repository() && args.image != reference.repository() {
        return Err(CliError::message(format!(
            "{}: --all-tags pulls a repository: give it without a tag",
            args.image
        )));
    }
    for tag in images.remote_tags(&reference)? {
        let tagged = Reference::parse(&format!("{}:{tag}", reference.repository()))?;
        one(&images, &tagged, &options, args.quiet, context)?;
    }
    Ok(Status::SUCCESS)
}

fn one(
    images: &Images,
    reference: &Reference,
    options: &PullOptions,
    quiet: bool,
    context: &Context,
) -> Result<(), CliError> {
    if quiet {
        images.pull(reference, options, &mut Silent)?;
        return context.print_line(reference);
    }
    context.print_line(format_args!(
        "{}: Pulling from {}",
        reference.manifest_reference(),
        shown(reference)
    ))?;
    context.flush()?;
    let mut display = Display::new(context, Stream::Out);
    let pulled = images.pull(reference, options, &mut display)?;
    display.finish();
    context.print_line(format_args!("Digest: {}", pulled.digest))?;
    context.print_line(status(reference, pulled.newer))?;
    context.print_line(reference)
}

/// The last but one line of a pull.
pub(super) fn status(reference: &Reference, newer: bool) -> String {
    let name = reference.familiar();
    match newer {
        true => format!("Status: Downloaded newer image for {name}"),
        false => format!("Status: Image is up to date for {name}"),
    }
}

/// Docker names the repository without its own registry's host.
fn shown(reference: &Reference) -> &str {
    reference.path()
}
