//! `strake push`.

use engine::images::{Images, Silent};
use oci_spec::Reference;

use super::progress::{Display, Stream};
use super::remote;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake push`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake tag app localhost:5000/app:1\n  strake push localhost:5000/app:1"
)]
pub struct Args {
    /// NAME[:TAG]
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// All tags of the repository that are here
    #[arg(short = 'a', long)]
    pub all_tags: bool,
    /// Print only the image's full name
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Only this platform's of an image of several
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Don't sign it, which is the default
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set, hide = true)]
    pub disable_content_trust: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    remote::refuse_trust(args.disable_content_trust)?;
    let images = remote::images(context)?.of_platform(remote::platform(args.platform.as_deref())?);
    let reference = Reference::parse(&args.image)?;
    if reference.digest().is_some() {
        return Err(CliError::message(format!(
            "{}: an image is pushed under a tag, not under a digest",
            args.image
        )));
    }
    if !args.quiet {
        context.print_line(format_args!("The push refers to repository [{}]", reference.repository()))?;
        context.flush()?;
    }
    if !args.all_tags {
        one(&images, &reference, args.quiet, context)?;
        return Ok(Status::SUCCESS);
    }
    let repository = reference.familiar_repository();
    let tags: Vec<String> = images
        .list(&[])?
        .into_iter()
        .filter(|row| row.repository.as_ref() == Some(&repository))
        .filter_map(|row| row.tag)
        .collect();
    if tags.is_empty() {
        return Err(CliError::message(format!(
            "{repository}: no tag of it is here; `strake images` lists what is"
        )));
    }
    for tag in tags {
        one(&images, &Reference::parse(&format!("{repository}:{tag}"))?, args.quiet, context)?;
    }
    Ok(Status::SUCCESS)
}

fn one(images: &Images, reference: &Reference, quiet: bool, context: &Context) -> Result<(), CliError> {
    if quiet {
        images.push(reference, &mut Silent)?;
        return context.print_line(reference);
    }
    let mut display = Display::new(context, Stream::Out);
    let pushed = images.push(reference, &mut display)?;
    display.finish();
    context.print_line(format_args!("{}: digest: {} size: {}", pushed.tag, pushed.digest, pushed.size))
}
