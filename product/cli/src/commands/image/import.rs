//! `strake import`.

use std::fs::File;
use std::io;

use engine::images::{Change, ImportOptions};
use oci_spec::Reference;
use oci_spec::image::Platform;

use super::remote;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake import`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake import rootfs.tar.xz mine:1\n  tar -C rootfs -c . | strake import -c 'CMD [\"sh\"]' - mine"
)]
pub struct Args {
    /// An archive of a root filesystem, compressed or not; - is standard input
    #[arg(value_name = "FILE|-")]
    pub source: String,
    /// NAME[:TAG] of the new image
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Change its configuration by a Dockerfile instruction (CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR)
    #[arg(short = 'c', long, value_name = "INSTRUCTION")]
    pub change: Vec<String>,
    /// A remark for its history
    #[arg(short = 'm', long, value_name = "TEXT")]
    pub message: Option<String>,
    /// What it runs on, if not on a host like this
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let images = remote::images(context)?;
    let mut changes = Vec::new();
    for text in &args.change {
        changes.push(Change::parse(text)?);
    }
    let options = ImportOptions {
        reference: args.name.as_deref().map(Reference::parse).transpose()?,
        changes,
        message: args.message.clone().or_else(|| Some(format!("Imported from {}", args.source))),
        platform: args.platform.as_deref().map(Platform::parse).transpose()?,
        created: Some(context.now()),
        ..ImportOptions::default()
    };
    let image = match args.source.as_str() {
        "-" => images.import(&mut io::stdin().lock(), "the input", &options)?,
        path => {
            let mut file = File::open(path).map_err(|error| {
                CliError::message(format!("open {path}: {error}; give an archive, or - for the input"))
            })?;
            images.import(&mut file, path, &options)?
        }
    };
    context.print_line(&image.id)?;
    Ok(Status::SUCCESS)
}
