//! A directory that goes when its handle goes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A fresh directory below the system's temporary directory, removed on drop.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Makes the directory, mode 0755.
    ///
    /// # Panics
    /// When it cannot be made.
    #[allow(clippy::new_without_default, reason = "making a directory is no default")]
    pub fn new() -> Self {
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        // The start time of the boot clock keeps PID 1 of one namespace apart from the next.
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let path = std::env::temp_dir().join(format!("strake-test-{}-{now:x}-{count}", std::process::id()));
        fs::create_dir_all(&path).expect("temporary directory");
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path below it.
    pub fn join(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.path.join(relative)
    }
}

impl AsRef<Path> for TempDir {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        unmount_below(&self.path);
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("testkit: cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Detaches what a failed test left mounted below `root`, innermost first.
fn unmount_below(root: &Path) {
    let Ok(table) = fs::read_to_string("/proc/self/mountinfo") else { return };
    let below = table.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    let mut mounts: Vec<&Path> = below.filter(|point| point.starts_with(root)).collect();
    mounts.reverse();
    for point in mounts {
        let _ = rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH);
    }
}

#[cfg(test)]
mod tests {
    use super::TempDir;

    #[test]
    fn goes_with_its_contents() {
        let dir = TempDir::new();
        let path = dir.path().to_owned();
        std::fs::write(dir.join("file"), "x").unwrap();
        drop(dir);
        assert!(!path.exists());
    }
}
