//! Extended attributes of what a volume is filled with: file capabilities, ACLs, the user's.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
use rustix::io::Errno;

/// Copies the attributes that belong to the content. Labels of security modules belong to
/// the place, and overlayfs's own to the layer. `base` is what was added to the ids of `from`.
///
/// A file system that keeps no such attributes goes without.
pub(super) fn copy(from: impl AsFd, to: impl AsFd, base: u32) -> io::Result<()> {
    let mut names = vec![0; NAMES_MAX];
    let length = match flistxattr(&from, &mut names[..]) {
        Err(Errno::NOTSUP) => return Ok(()),
        length => length?,
    };
    let mut value = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| is_content(name, base)) {
        value.resize(VALUE_MAX, 0);
        let length = match fgetxattr(&from, name, &mut value[..]) {
            // It went meanwhile.
            Err(Errno::NODATA) => continue,
            length => length?,
        };
        value.truncate(length);
        if name == CAPABILITY {
            capability_inside(&mut value, base);
        }
        match fsetxattr(&to, name, &value, XattrFlags::empty()) {
            Err(Errno::NOTSUP) => {}
            set => set?,
        }
    }
    Ok(())
}

fn is_content(name: &[u8], base: u32) -> bool {
    match name {
        CAPABILITY => true,
        // They hold ids, as the host sees them.
        _ if name.starts_with(b"system.posix_acl_") => base == 0,
        _ if name.starts_with(b"trusted.overlay.") => false,
        _ => name.starts_with(b"user.") || name.starts_with(b"trusted."),
    }
}

/// `capabilities(7)`, "File capability extended attribute versioning": version 3 has the id
/// of the user namespace's root at its end. The container's own root needs none on disk.
fn capability_inside(value: &mut Vec<u8>, base: u32) {
    const VERSION_3: u32 = 0x0300_0000;
    const VERSION_2: u32 = 0x0200_0000;
    const VERSION_MASK: u32 = 0xff00_0000;
    let word = |value: &[u8], at: usize| {
        value.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)
    };
    let (Some(head), Some(root)) = (word(value, 0), word(value, 20)) else { return };
    if base == 0 || head & VERSION_MASK != VERSION_3 || root != base {
        return;
    }
    let head = head & !VERSION_MASK | VERSION_2;
    value[..4].copy_from_slice(&head.to_le_bytes());
    value.truncate(20);
}

const CAPABILITY: &[u8] = b"security.capability";
/// `XATTR_LIST_MAX` and `XATTR_SIZE_MAX` of `linux/limits.h`.
const NAMES_MAX: usize = 65_536;
const VALUE_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn capability(version: u32, root: Option<u32>) -> Vec<u8> {
        let mut bytes = (version << 24 | 1).to_le_bytes().to_vec();
        bytes.extend([0, 4, 0, 0].repeat(4));
        bytes.extend(root.into_iter().flat_map(u32::to_le_bytes));
        bytes
    }

    #[test]
    fn a_capability_is_the_containers_roots() {
        for (before, base, after) in [
            (capability(2, None), 0, capability(2, None)),
            (capability(2, None), 100_000, capability(2, None)),
            (capability(3, Some(100_000)), 100_000, capability(2, None)),
            (capability(3, Some(5)), 100_000, capability(3, Some(5))),
            (Vec::new(), 100_000, Vec::new()),
        ] {
            let mut value = before.clone();
            capability_inside(&mut value, base);
            assert_eq!(value, after, "{before:?}");
        }
    }

    #[test]
    fn only_what_belongs_to_the_content_is_copied() {
        for (name, host, shifted) in [
            ("security.capability", true, true),
            ("user.mime", true, true),
            ("trusted.mark", true, true),
            ("trusted.overlay.opaque", false, false),
            ("security.selinux", false, false),
            ("system.posix_acl_access", true, false),
            ("", false, false),
        ] {
            assert_eq!(is_content(name.as_bytes(), 0), host, "{name}");
            assert_eq!(is_content(name.as_bytes(), 100_000), shifted, "{name}");
        }
    }
}
