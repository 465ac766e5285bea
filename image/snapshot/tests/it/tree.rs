//! What a mount shows, as text.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

use base::Digest;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use snapshot::{MountOptions, Snapshots};

use crate::key;

/// All paths below `root` in order: `d/`, `f=content`, `l->target`, else `p?`.
pub(crate) fn show(root: impl AsFd) -> String {
    let mut words = Vec::new();
    walk(root.as_fd(), "", &mut words);
    words.join(" ")
}

fn walk(directory: BorrowedFd<'_>, path: &str, words: &mut Vec<String>) {
    let opened =
        rustix::fs::openat(directory, ".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let mut names: Vec<String> = Dir::read_from(&opened)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned())
        .filter(|name| name != "." && name != "..")
        .collect();
    names.sort();
    for name in names {
        // A name that is listed but not there would be a whiteout that shows.
        let stat = rustix::fs::statat(&opened, &name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        let path = format!("{path}{name}");
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                words.push(format!("{path}/"));
                let below =
                    rustix::fs::openat(&opened, &name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty());
                walk(below.unwrap().as_fd(), &format!("{path}/"), words);
            }
            FileType::RegularFile => {
                let file = rustix::fs::openat(&opened, &name, OFlags::RDONLY, Mode::empty()).unwrap();
                let mut text = String::new();
                File::from(file).read_to_string(&mut text).unwrap();
                words.push(format!("{path}={text}"));
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&opened, &name, Vec::new()).unwrap();
                words.push(format!("{path}->{}", target.to_str().unwrap()));
            }
            _ => words.push(format!("{path}?")),
        }
    }
}

/// What a container of the chain sees.
pub(crate) fn show_chain(store: &Snapshots, chain: &Digest) -> String {
    let key = key("shown");
    store.view(&key, chain, None).unwrap();
    let mount = store.mount(&key, MountOptions::default()).unwrap();
    let text = show(&mount);
    drop(mount);
    store.remove(&key).unwrap();
    text
}
