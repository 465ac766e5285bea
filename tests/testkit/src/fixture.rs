//! What tests need and is dear to make: made once, kept in the target directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::TempDir;
use crate::bin::target_dir;

/// Whether a fixture can be made without the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// It can.
    Nothing,
    /// Packages are downloaded.
    Network,
}

/// Makes fixture `name` once: `make` gets the path to fill and a scratch directory. Processes that
/// want the same one wait for each other; a fixture is complete or absent.
///
/// # Panics
/// When it cannot be made, or needs a network that is not there.
pub fn cached(name: &str, needs: Needs, make: impl FnOnce(&Path, &Path)) -> PathBuf {
    let dir = target_dir().join("fixtures");
    fs::create_dir_all(&dir).expect("fixtures directory");
    let path = dir.join(name);
    let lock = File::create(dir.join(format!("{name}.lock"))).expect("fixture lock");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("fixture lock");
    if !path.exists() {
        assert!(
            !crate::isolated::is_isolated() || needs == Needs::Nothing,
            "no network here: run `cargo xtask test` once"
        );
        let scratch = TempDir::new();
        let partial = dir.join(format!("{name}.partial"));
        let _ = fs::remove_dir_all(&partial);
        let _ = fs::remove_file(&partial);
        make(&partial, scratch.path());
        fs::rename(&partial, &path).expect("fixture in place");
    }
    path
}
