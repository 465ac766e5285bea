//! `strake volume create`.

use std::collections::BTreeMap;

use engine::NewVolume;
use engine::request::local_driver;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake volume create`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake volume create data\n  strake run --rm -v data:/data debian touch /data/x\n  \
                  strake volume create --opt type=tmpfs --opt device=tmpfs --opt o=size=64m,uid=1000 scratch"
)]
pub struct Args {
    /// Its name; made up when left out
    pub volume: Option<String>,
    /// Its name, as old docker took it
    #[arg(long, hide = true)]
    pub name: Option<String>,
    /// Label it
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub label: Vec<String>,
    /// Its driver: local
    #[arg(short = 'd', long, value_name = "DRIVER", default_value = "local")]
    pub driver: String,
    /// What its driver mounts: type=tmpfs, device=tmpfs, o=size=64m; or type=none, device=DIR, o=bind
    #[arg(short = 'o', long, value_name = "KEY=VALUE")]
    pub opt: Vec<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let pairs = |texts: &[String]| -> BTreeMap<String, String> {
        let pairs = texts.iter().map(|text| text.split_once('=').unwrap_or((text, "")));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    let name = match (&args.volume, &args.name) {
        (Some(_), Some(_)) => {
            return Err(CliError::message(
                "conflicting options: cannot specify a volume-name through both --name and as a positional \
                 arg: leave --name out",
            ));
        }
        (Some(name), None) | (None, Some(name)) => Some(name.as_str()),
        (None, None) => None,
    };
    local_driver("--driver", &args.driver, &args.driver)?;
    let wanted = NewVolume { anonymous: false, labels: pairs(&args.label), options: pairs(&args.opt) };
    let volume = context.engine()?.create_volume(name, wanted)?;
    context.print_line(volume.name)?;
    Ok(Status::SUCCESS)
}
