//! `strake commit`.

use engine::images::{Change, CommitRequest};
use oci_spec::Reference;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake commit`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake commit web web:patched\n  strake commit -c 'CMD [\"nginx\", \"-g\", \"daemon off;\"]' -m 'with a page' web web:2"
)]
pub struct Args {
    /// Name or id of the container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// NAME[:TAG] of the new image
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Who makes it, as in 'Jane Doe <jane@example.com>'
    #[arg(short = 'a', long, value_name = "TEXT")]
    pub author: Option<String>,
    /// A remark for its history
    #[arg(short = 'm', long, value_name = "TEXT")]
    pub message: Option<String>,
    /// Change its configuration by a Dockerfile instruction (CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR)
    #[arg(short = 'c', long, value_name = "INSTRUCTION")]
    pub change: Vec<String>,
    /// Freeze the container's processes meanwhile
    #[arg(short = 'p', long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    pub pause: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let id = engine.resolve(&args.container)?;
    let changes = args.change.iter().map(|text| Change::parse(text)).collect::<Result<_, _>>()?;
    let request = CommitRequest {
        reference: args.name.as_deref().map(Reference::parse).transpose()?,
        author: args.author.clone(),
        message: args.message.clone(),
        changes,
        pause: args.pause,
    };
    let committed = engine.commit(&id, &request)?;
    super::run::warn_all(context, &committed.warnings, &[]);
    context.print_line(committed.image.id)?;
    Ok(Status::SUCCESS)
}
