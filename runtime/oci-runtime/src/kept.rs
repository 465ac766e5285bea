//! Compiled seccomp filters, kept for the next container with the same section. Most containers of a
//! machine have the same one, and reading and compiling it is the largest part of our own work.
//!
//! A filter is kept with the text that it was made from and with the program that has made it, and found
//! by nothing less: no container gets what was made for another's, nor by a compiler of yesterday.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxSeccomp;
use rustix::fs::OFlags;
use sys::seccomp::Filter;

/// The directory with the filters that are kept below a state directory.
#[derive(Debug)]
pub(crate) struct Kept(PathBuf);

impl Kept {
    /// No container can have its name.
    pub(crate) fn below(root: &Path) -> Self {
        Self(root.join("seccomp:kept"))
    }

    /// The filter that was made from this text.
    pub(crate) fn find(&self, section: &[u8]) -> Option<Filter> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(self.place(section)).ok()?;
        if !is_ours(&file).ok()? {
            return None;
        }
        let key = key(section).ok()?;
        let mut bytes = Vec::with_capacity(key.len() + ROOM);
        file.read_to_end(&mut bytes).ok()?;
        // No text is the beginning of another: an object ends with its last brace.
        Filter::from_bytes(bytes.strip_prefix(&*key)?)
    }

    /// Keeps the filter that was made from this section, if nothing has to be said of it each time.
    /// Without it the next container's is compiled.
    pub(crate) fn keep(&self, text: &[u8], section: &LinuxSeccomp, filter: &Filter) {
        let is_silent = !filter.notifies() && filter.unknown_syscalls().is_empty();
        // A spec with two sections has the last one, and this may be the text of the first.
        let is_its_text = || serde_json::from_slice::<LinuxSeccomp>(text).is_ok_and(|made| made == *section);
        if is_silent && is_its_text() {
            let _ = self.write(text, filter);
        }
    }

    fn write(&self, text: &[u8], filter: &Filter) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let place = self.place(text);
        let new = place.with_extension("new");
        let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
        let bytes = [key(text)?, filter.to_bytes()].concat();
        let written = written.and_then(|mut file| file.write_all(&bytes));
        match written.and_then(|()| fs::rename(&new, place)) {
            // Another's who writes it now, or one's who was killed: the next may try again.
            Err(error) => fs::remove_file(&new).and(Err(error)),
            done => done,
        }
    }

    /// Texts of the same length share a place: the last one has it. So there are never many.
    fn place(&self, text: &[u8]) -> PathBuf {
        self.0.join((text.len() % PLACES).to_string())
    }
}

/// Which program this is, and the text.
fn key(text: &[u8]) -> io::Result<Vec<u8>> {
    let program = fs::metadata("/proc/self/exe")?;
    let which = [program.len(), program.mtime().cast_unsigned(), program.mtime_nsec().cast_unsigned()];
    let which = which.map(u64::to_le_bytes);
    Ok([which.as_flattened(), text].concat())
}

/// How many filters are kept at most.
const PLACES: usize = 64;

/// The usual size of a filter.
const ROOM: usize = 4096;

/// Nobody else can have written it.
fn is_ours(file: &File) -> io::Result<bool> {
    let found = file.metadata()?;
    Ok(found.is_file() && found.uid() == sys::user::effective_uid() && found.mode() & 0o022 == 0)
}
