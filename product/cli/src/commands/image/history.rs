//! `strake history`.

use clap::ArgAction;
use serde_json::{Value, json};

use super::remote;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::{Column, Format, Listing};
use crate::humanize;

/// Arguments of `strake history`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake history nginx\n  strake history --no-trunc --format '{{.CreatedBy}}' nginx"
)]
pub struct Args {
    /// Name or id of an image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// json, a template, or table and a template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Sizes and times for people
    #[arg(short = 'H', long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = ArgAction::Set)]
    pub human: bool,
    /// Print everything in full
    #[arg(long)]
    pub no_trunc: bool,
    /// Only ids
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Only this platform's of an image of several
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
}

const COLUMNS: &[Column] = &[
    Column { field: "ID", heading: "IMAGE" },
    Column { field: "CreatedSince", heading: "CREATED" },
    Column { field: "CreatedAt", heading: "CREATED AT" },
    Column { field: "CreatedBy", heading: "CREATED BY" },
    Column { field: "Size", heading: "SIZE" },
    Column { field: "Comment", heading: "COMMENT" },
];
const HUMAN: &[&str] = &["ID", "CreatedSince", "CreatedBy", "Size", "Comment"];
const EXACT: &[&str] = &["ID", "CreatedAt", "CreatedBy", "Size", "Comment"];
/// Docker cuts instructions here.
const CREATED_BY_CHARS: usize = 45;

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let images = remote::images(context)?;
    let image = images.find(&args.image, remote::platform(args.platform.as_deref())?.as_ref())?;
    let mut rows: Vec<Value> = Vec::new();
    for step in images.history(&image)? {
        let id = match &step.id {
            Some(id) if args.no_trunc => id.to_string(),
            Some(id) => id.short().to_owned(),
            None => "<missing>".to_owned(),
        };
        if args.quiet {
            context.print_line(&id)?;
            continue;
        }
        let size = if args.human { humanize::size(step.size_bytes) } else { step.size_bytes.to_string() };
        rows.push(json!({
            "ID": id,
            "CreatedSince": step.created.map_or_else(|| "N/A".to_owned(), |time| humanize::ago(context.now(), time)),
            "CreatedAt": step.created.map(humanize::rfc3339).unwrap_or_default(),
            "CreatedBy": if args.no_trunc { step.created_by.clone() } else { cut(&step.created_by) },
            "Size": size,
            "Comment": step.comment,
        }));
    }
    if !args.quiet {
        let default_fields = if args.human { HUMAN } else { EXACT };
        Listing { columns: COLUMNS, default_fields }.print(
            context,
            &Format::parse(args.format.as_deref())?,
            &rows,
        )?;
    }
    Ok(Status::SUCCESS)
}

/// One line of at most [`CREATED_BY_CHARS`] characters.
fn cut(text: &str) -> String {
    let line: String = text.replace(['\t', '\n'], " ");
    match line.char_indices().nth(CREATED_BY_CHARS) {
        None => line,
        Some(_) => line.chars().take(CREATED_BY_CHARS - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_instructions_are_cut() {
        assert_eq!(cut("a\tb"), "a b");
        assert_eq!(cut(&"é".repeat(45)).chars().count(), 45);
        let long = cut(&"é".repeat(46));
        assert_eq!(long.chars().count(), 45);
        assert!(long.ends_with('…'));
    }
}
