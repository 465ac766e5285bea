//! `strake export`.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake export`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake export web > web.tar\n  strake export -o web.tar web\n\nWhat is mounted in the container, volumes too, is left out."
)]
pub struct Args {
    /// Name or id of the container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Write to this file instead of standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let id = engine.resolve(&args.container)?;
    let Some(path) = &args.output else {
        if context.stdout_is_terminal() {
            return Err(CliError::message(
                "cowardly refusing to save to a terminal: use -o, or send the output somewhere",
            ));
        }
        let mut out = io::BufWriter::with_capacity(PIECE_BYTES, io::stdout());
        engine.export(&id, &mut out)?;
        out.flush()?;
        return Ok(Status::SUCCESS);
    };
    let directory = Path::new(path).parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
        let directory = directory.display();
        return Err(CliError::message(format!(
            "failed to export container: invalid output path: directory \"{directory}\" does not exist; make it first"
        )));
    }
    // Beside and renamed: a file of this name is a whole archive.
    let path = Path::new(path);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = Path::new(&name);
    let written = write(engine, &id, (path, temporary)).and_then(|()| Ok(std::fs::rename(temporary, path)?));
    if written.is_err() {
        let _ = std::fs::remove_file(temporary);
    }
    written.map(|()| Status::SUCCESS)
}

/// Writes the archive to `temporary`, which is to become `path`.
fn write(
    engine: &engine::Engine,
    id: &base::ContainerId,
    (path, temporary): (&Path, &Path),
) -> Result<(), CliError> {
    let file = File::create(temporary).map_err(|error| {
        CliError::message(format!("failed to export container: make {}: {error}", path.display()))
    })?;
    let mut out = io::BufWriter::with_capacity(PIECE_BYTES, file);
    engine.export(id, &mut out)?;
    Ok(out.flush()?)
}

const PIECE_BYTES: usize = 64 << 10;
