//! Compiled seccomp filters, kept for the next container with the same section. Most containers of a
//! machine have the same one, and reading and compiling it is the largest part of our own work.
//!
//! A filter is kept with the text that it was made from and with the program that has made it, and found
//! by nothing less: no container gets what was made for another's, nor by a compiler of yesterday.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxSeccomp;
use rustix::fs::{AtFlags, CWD, OFlags};
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
        let mut bytes = Vec::with_capacity(section.len() + ROOM);
        file.read_to_end(&mut bytes).ok()?;
        // No text is the beginning of another: an object ends with its last brace.
        Filter::from_bytes(bytes.strip_prefix(&*program().ok()?)?.strip_prefix(section)?)
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
        // Without a name until it is whole: others may do the same now, and anybody may be killed.
        let nameless = OFlags::TMPFILE.bits().cast_signed();
        let mut file = OpenOptions::new().write(true).mode(0o600).custom_flags(nameless).open(&self.0)?;
        file.write_all(&[&program()?, text, &filter.to_bytes()].concat())?;
        let (source, place) = (format!("/proc/self/fd/{}", file.as_raw_fd()), self.place(text));
        let _ = fs::remove_file(&place);
        Ok(rustix::fs::linkat(CWD, &source, CWD, &place, AtFlags::SYMLINK_FOLLOW)?)
    }

    /// Texts of the same length share a place: the last one has it. So there are never many.
    fn place(&self, text: &[u8]) -> PathBuf {
        self.0.join((text.len() % PLACES).to_string())
    }
}

/// Which program this is.
fn program() -> io::Result<Vec<u8>> {
    let found = fs::metadata("/proc/self/exe")?;
    let which = [found.len(), found.mtime().cast_unsigned(), found.mtime_nsec().cast_unsigned()];
    Ok(which.map(u64::to_le_bytes).concat())
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
