//! Finding the small binaries: carried in this one, or beside it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::carried;

/// Finds a companion by name: laid down below the state root from what `executable`
/// carries, else the file beside `executable`.
pub(crate) fn locator(
    executable: PathBuf,
) -> impl Fn(&str, &Path) -> io::Result<PathBuf> + Send + Sync + 'static {
    move |name, state| {
        let directory = state.join("bin").join(identity(&executable)?);
        let laid = directory.join(name);
        if laid.exists() {
            return Ok(laid);
        }
        if let Some(bytes) = carried::read(&mut File::open(&executable)?, name)? {
            lay(&directory, &laid, &bytes)?;
            return Ok(laid);
        }
        let beside = executable.with_file_name(name);
        if beside.exists() {
            return Ok(beside);
        }
        let message = format!("{} neither carries {name} nor has it beside it", executable.display());
        Err(io::Error::new(io::ErrorKind::NotFound, message))
    }
}

/// Another build is another directory, so that what runs is never overwritten.
fn identity(executable: &Path) -> io::Result<String> {
    let metadata = fs::metadata(executable)?;
    Ok(format!(
        "{}-{}-{}",
        metadata.ino(),
        metadata.len(),
        metadata.mtime_nsec() + metadata.mtime() % 1_000_000
    ))
}

fn lay(directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o711).create(directory)?;
    let temporary = directory.join(format!(".new-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(&temporary)?;
    // The kernel keeps together what is written together, and maps it together: a pause would hold a megabyte
    // of the supervisor's code instead of the few pages that it runs.
    for piece in bytes.chunks(PIECE) {
        file.write_all(piece)?;
    }
    drop(file);
    fs::rename(&temporary, path)
}

/// What is written at once.
const PIECE: usize = 16 * 1024;
