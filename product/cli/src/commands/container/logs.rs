//! `strake logs`.

use shim::{LogOptions, LogStream};

use super::time;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake logs -f --tail 20 web\n  strake logs --since 10m -t web")]
pub struct Args {
    /// Name or id of the container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Go on as more is written, until the container ends
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// Only that many lines from the end, or all
    #[arg(short = 'n', long, value_name = "N", default_value = "all", allow_hyphen_values = true)]
    pub tail: String,
    /// Only what was written since then: 2026-01-02T13:23:37Z, or 42m for 42 minutes ago
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only what was written until then
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Put the time before each line
    #[arg(short = 't', long)]
    pub timestamps: bool,
    /// Put what --log-opt labels, env and tag chose before each line
    #[arg(long)]
    pub details: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let id = engine.resolve(&args.container)?;
    let tail = match args.tail.as_str() {
        "all" | "" => None,
        // Docker reads anything else that is no number as all, too.
        text => text.parse::<u64>().ok(),
    };
    let now = context.now();
    let moment = |option: &str, text: &Option<String>| {
        text.as_deref().map(|text| time::parse(option, text, now)).transpose()
    };
    let options = LogOptions {
        tail,
        since: moment("--since", &args.since)?,
        until: moment("--until", &args.until)?,
        stdout: true,
        stderr: true,
        follow: args.follow,
    };
    let mut reader = engine.logs(&id, options)?;
    while let Some(entry) = reader.next_entry()? {
        let mut stamp = if args.timestamps { format!("{} ", entry.time) } else { String::new() };
        if args.details {
            let details = entry.attributes.iter().map(|(key, value)| format!("{key}={value}"));
            stamp.push_str(&details.collect::<Vec<_>>().join(","));
            stamp.push(' ');
        }
        match entry.stream {
            LogStream::Stdout => context.print(format_args!("{stamp}{}", entry.text))?,
            LogStream::Stderr => context.print_error_bytes(format!("{stamp}{}", entry.text).as_bytes())?,
        }
        if args.follow {
            context.flush()?;
        }
    }
    Ok(Status::SUCCESS)
}
