//! Options of a file system in memory.

use base::ByteSize;

use super::TmpfsOptions;
use crate::request::InvalidOption;

/// Reads the options of `--tmpfs`, and whether it is read-only.
pub(super) fn parse(text: &str, options: &str) -> Result<(TmpfsOptions, bool), InvalidOption> {
    let mut tmpfs = TmpfsOptions::default();
    let mut read_only = false;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", size)) => tmpfs.size_bytes = Some(bytes(text, size)?),
            Some(("mode", mode)) => {
                let why = "the mode must be octal, as in 1777";
                let mode = octal(mode).ok_or_else(|| InvalidOption::new("--tmpfs", text, why))?;
                tmpfs.mode = Some(mode);
            }
            None if option == "ro" => read_only = true,
            None if option == "rw" => read_only = false,
            _ if knows(option) => tmpfs.options.push(option.to_owned()),
            _ => {
                let why = format!(
                    "invalid tmpfs option {option:?}: size=, mode=, uid=, gid= and flags such as exec are known"
                );
                return Err(InvalidOption::new("--tmpfs", text, why));
            }
        }
    }
    Ok((tmpfs, read_only))
}

/// Options beyond size and mode that a user may set on a tmpfs.
fn knows(option: &str) -> bool {
    const FLAGS: [&str; 14] = [
        "exec",
        "noexec",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "sync",
        "async",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "strictatime",
    ];
    const VALUES: [&str; 4] = ["uid", "gid", "nr_inodes", "nr_blocks"];
    FLAGS.contains(&option) || option.split_once('=').is_some_and(|(key, _)| VALUES.contains(&key))
}

fn bytes(text: &str, size: &str) -> Result<u64, InvalidOption> {
    let wrong = |why: base::InvalidByteSize| InvalidOption::new("--tmpfs", text, why.to_string());
    ByteSize::parse(size).map(|size| size.0).map_err(wrong)
}

/// A mode in octal digits.
pub(super) fn octal(mode: &str) -> Option<u32> {
    u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o7777)
}
