//! Id maps of user namespaces, and namespaces made only to carry one
//! (`user_namespaces(7)`; idmapped mounts of `mount_setattr(2)`).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;

use crate::clone::{CloneOptions, Forked, clone3};
use crate::namespace::{self, Namespace, NamespaceSet};
use crate::process::{exit_now, wait_pidfd};
use crate::procfs::Procfs;

/// One line of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct IdRange {
    /// First id inside the namespace.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The two maps of a user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct IdMaps {
    /// Users.
    pub uids: Vec<IdRange>,
    /// Groups.
    pub gids: Vec<IdRange>,
}

impl IdMaps {
    /// The same map for users and groups: `inside` ids from 0 on are `base` and on outside.
    pub fn contiguous(base: u32, count: u32) -> Self {
        let range = vec![IdRange { inside: 0, outside: base, count }];
        Self { uids: range.clone(), gids: range }
    }
}

/// Where an id of the namespace lies outside.
pub fn outside(map: &[IdRange], id: u32) -> Option<u32> {
    map.iter().find_map(|range| {
        let offset = id.checked_sub(range.inside)?;
        (offset < range.count).then(|| range.outside.checked_add(offset))?
    })
}

/// The text that the kernel takes for a map.
pub fn map_text(map: &[IdRange]) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for range in map {
        let _ = writeln!(text, "{} {} {}", range.inside, range.outside, range.count);
    }
    text
}

/// Writes the maps of the user namespace that `pid` has just been made in. Each map
/// can be written once. With `deny_setgroups` a writer without privileges gives up
/// `setgroups(2)` for it first, as the kernel demands.
pub fn write_maps(proc: &Procfs, pid: i32, maps: &IdMaps, deny_setgroups: bool) -> io::Result<()> {
    let write = |file: &str, text: &str| proc.write(Path::new(&format!("{pid}/{file}")), text.as_bytes());
    if !maps.uids.is_empty() {
        write("uid_map", &map_text(&maps.uids))?;
    }
    if !maps.gids.is_empty() {
        if deny_setgroups {
            write("setgroups", "deny")?;
        }
        write("gid_map", &map_text(&maps.gids))?;
    }
    Ok(())
}

/// Makes a user namespace with these maps and no process in it: what idmapped
/// mounts take. Callers have one thread (a child is cloned).
pub fn user_namespace(maps: &IdMaps) -> io::Result<OwnedFd> {
    let (ours, theirs) = crate::fdpass::message_pair()?;
    let options =
        CloneOptions { namespaces: NamespaceSet::EMPTY.with(Namespace::User), ..CloneOptions::default() };
    match clone3(&options)? {
        Forked::Child => {
            drop(ours);
            // Waits until the parent closes its end, whatever happens to the parent.
            let _ = rustix::io::read(&theirs, &mut [0u8; 1]);
            exit_now(0)
        }
        Forked::Parent { pid, pidfd } => {
            drop(theirs);
            let proc = Procfs::host()?;
            let made = write_maps(&proc, pid, maps, false).and_then(|()| {
                let fd = proc.open(Path::new(&format!("{pid}/ns")), OFlags::PATH | OFlags::DIRECTORY)?;
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                Ok(rustix::fs::openat(fd.as_fd(), "user", flags, rustix::fs::Mode::empty())?)
            });
            drop(ours);
            wait_pidfd(&pidfd)?;
            let fd = made?;
            debug_assert!(namespace::kind(&fd).is_ok_and(|kind| kind == Namespace::User));
            Ok(fd)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_ids() {
        let maps = IdMaps::contiguous(10_000, 1_000);
        assert_eq!(outside(&maps.uids, 0), Some(10_000));
        assert_eq!(outside(&maps.uids, 999), Some(10_999));
        assert_eq!(outside(&maps.uids, 1_000), None);
        assert_eq!(map_text(&maps.gids), "0 10000 1000\n");
        let wraps = [IdRange { inside: 0, outside: u32::MAX, count: 2 }];
        assert_eq!(outside(&wraps, 1), None);
    }
}
