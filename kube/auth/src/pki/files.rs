//! A directory of secrets: read, and written so that a crash leaves the old file or the new.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::PkiError;

/// The directory, mode 0700.
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Makes it if it is not there.
    pub(super) fn open(path: &Path) -> Result<Self, PkiError> {
        let wrong = |source| PkiError::File { operation: "create directory", path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(wrong)?;
        Ok(Self { path: path.to_owned() })
    }

    /// A file's path.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The content; none if there is no file. What is no text is as good as none.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>, PkiError> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PkiError::File { operation: "read", path, source }),
        }
    }

    /// Writes mode 0600: beside it, synced, renamed over it, the directory synced.
    pub(super) fn write(&self, name: &str, content: &str) -> Result<(), PkiError> {
        let path = self.path(name);
        self.replace(name, &path, content).map_err(|source| PkiError::File {
            operation: "write",
            path,
            source,
        })
    }

    /// Writes unless the file has this content and mode already.
    pub(super) fn write_if_other(&self, name: &str, content: &str) -> Result<(), PkiError> {
        let same = self.read(name)?.as_deref() == Some(content);
        let private = fs::metadata(self.path(name))
            .is_ok_and(|metadata| metadata.permissions().mode() & 0o777 == PRIVATE);
        if same && private { Ok(()) } else { self.write(name, content) }
    }

    fn replace(&self, name: &str, path: &Path, content: &str) -> io::Result<()> {
        let beside = self.path(&format!(".{name}.new"));
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&beside)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(&self.path)?.sync_all()
    }
}

const PRIVATE: u32 = 0o600;
