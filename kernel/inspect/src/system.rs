//! What the host's own system takes on disk: the yardstick for an image's size.
//!
//! A virtual machine carries a system like this one for each of its apps: a kernel
//! image and a system disk. Read with `statfs(2)` of `/` and from `/boot`, as the
//! reader sees them.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::Error;
use crate::sourced::Sourced;

/// The host's system in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SystemSize {
    /// Used on the file system of `/`.
    pub disk_used_bytes: Sourced<u64>,
    /// The kernel's image, if a file of the host has it (a guest's may come from outside).
    pub kernel_image_bytes: Option<Sourced<u64>>,
}

/// The size of the system that runs kernel `release`.
pub fn size(release: &str) -> Result<SystemSize, Error> {
    let root = rustix::fs::statfs("/")
        .map_err(|errno| Error::Read { path: "statfs(2) of /".to_owned(), errno: errno.into() })?;
    let blocks = root.f_blocks.saturating_sub(root.f_bfree);
    let used = blocks.saturating_mul(u64::try_from(root.f_bsize).unwrap_or(0));
    let image = kernel_images(release).into_iter().find_map(|path| file_size(&path));
    Ok(SystemSize { disk_used_bytes: Sourced::new(used, "statfs(2) of /"), kernel_image_bytes: image })
}

/// Where distributions keep the kernel's image, the most telling name first.
fn kernel_images(release: &str) -> [PathBuf; 4] {
    [
        format!("/boot/vmlinuz-{release}"),
        format!("/usr/lib/modules/{release}/vmlinuz"),
        "/boot/vmlinuz".to_owned(),
        "/vmlinuz".to_owned(),
    ]
    .map(PathBuf::from)
}

fn file_size(path: &Path) -> Option<Sourced<u64>> {
    let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some(Sourced::new(metadata.len(), path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_holds_something() {
        let size = size("0.0.0-none").unwrap();
        assert!(size.disk_used_bytes.value > 0);
        assert_eq!(size.disk_used_bytes.source, "statfs(2) of /");
    }

    #[test]
    fn the_running_kernel_is_looked_for_first() {
        assert_eq!(kernel_images("6.1.0-18-amd64")[0], Path::new("/boot/vmlinuz-6.1.0-18-amd64"));
    }
}
