//! Project quotas: how much the files counted to one number may take of their file system.
//! xfs has them (`pquota`), and ext4 (`-O quota,project`, mounted with `prjquota`).
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// What a project has, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// The most that its files may take; `None` without a limit.
    pub limit_bytes: Option<u64>,
    /// What they take.
    pub used_bytes: u64,
}

/// The project that a file is counted to; 0 for none.
pub fn project<Fd: AsFd>(file: Fd) -> io::Result<u32> {
    Ok(attributes(file)?[FSXATTR_PROJECT])
}

/// Counts a file to a project: `FS_IOC_FSSETXATTR`. What is made in a directory is counted to the same one.
pub fn set_project<Fd: AsFd>(file: Fd, project: u32) -> io::Result<()> {
    let mut attributes = attributes(&file)?;
    attributes[FSXATTR_PROJECT] = project;
    if rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode).is_dir() {
        attributes[FSXATTR_XFLAGS] |= FS_XFLAG_PROJINHERIT;
    }
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the kernel only reads `struct fsxattr`, which has the length of `attributes`.
    let rc = unsafe { libc::ioctl(fd, FS_IOC_FSSETXATTR as libc::Ioctl, attributes.as_ptr()) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `struct fsxattr`: xflags, extsize, nextents, projid, cowextsize, eight bytes of nothing.
fn attributes<Fd: AsFd>(file: Fd) -> io::Result<[u32; FSXATTR_WORDS]> {
    let mut attributes = [0u32; FSXATTR_WORDS];
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the kernel writes `struct fsxattr`, which has the length of `attributes`.
    let rc = unsafe { libc::ioctl(fd, FS_IOC_FSGETXATTR as libc::Ioctl, attributes.as_mut_ptr()) };
    if rc == 0 { Ok(attributes) } else { Err(io::Error::last_os_error()) }
}

/// What a project has on the file system of `place`; `ESRCH` where projects are not counted.
pub fn quota<Fd: AsFd>(place: Fd, project: u32) -> io::Result<Quota> {
    let mut record = [0u64; DQBLK_WORDS];
    match control(place, Q_GETQUOTA, project, &mut record) {
        Ok(()) => {}
        // xfs has no record of a project without files.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(Quota::default()),
        Err(error) => return Err(error),
    }
    let limit = record[DQBLK_HARD_LIMIT].saturating_mul(DQBLK_UNIT);
    Ok(Quota { limit_bytes: (limit > 0).then_some(limit), used_bytes: record[DQBLK_SPACE] })
}

/// Sets the most that a project's files may take on the file system of `place`, whole KiB; `None` takes the limit away.
pub fn set_limit<Fd: AsFd>(place: Fd, project: u32, bytes: Option<u64>) -> io::Result<()> {
    let mut record = [0u64; DQBLK_WORDS];
    record[DQBLK_HARD_LIMIT] = bytes.map_or(0, |bytes| bytes.div_ceil(DQBLK_UNIT));
    record[DQBLK_VALID] = QIF_BLIMITS;
    control(place, Q_SETQUOTA, project, &mut record)
}

fn control<Fd: AsFd>(
    place: Fd,
    command: u32,
    project: u32,
    record: &mut [u64; DQBLK_WORDS],
) -> io::Result<()> {
    let fd = place.as_fd().as_raw_fd();
    let command = (command << 8) | PRJQUOTA;
    // SAFETY: both commands take `struct if_dqblk`, which has the length of `record`; it lives through the call.
    let rc = unsafe { libc::syscall(SYS_QUOTACTL_FD, fd, command, project, record.as_mut_ptr()) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `_IOR('X', 31, struct fsxattr)`: 28 bytes.
const FS_IOC_FSGETXATTR: u32 = 0x801c_581f;
/// `_IOW('X', 32, struct fsxattr)`.
const FS_IOC_FSSETXATTR: u32 = 0x401c_5820;
const FSXATTR_WORDS: usize = 7;
const FSXATTR_XFLAGS: usize = 0;
const FSXATTR_PROJECT: usize = 3;
const FS_XFLAG_PROJINHERIT: u32 = 0x200;

/// The same on all architectures; libc names it for musl only.
const SYS_QUOTACTL_FD: libc::c_long = 443;
/// `struct if_dqblk`: block limits, space, inode limits, inodes, two times, what is valid.
const DQBLK_WORDS: usize = 9;
const DQBLK_HARD_LIMIT: usize = 0;
const DQBLK_SPACE: usize = 2;
const DQBLK_VALID: usize = 8;
const QIF_BLIMITS: u64 = 1;
/// Limits are counted in KiB.
const DQBLK_UNIT: u64 = 1024;
const Q_GETQUOTA: u32 = 0x80_0007;
const Q_SETQUOTA: u32 = 0x80_0008;
const PRJQUOTA: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_no_projects_says_so() {
        let null = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(set_project(&null, 1).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        let proc = std::fs::File::open("/proc").unwrap();
        assert!(quota(&proc, 1).is_err());
        assert!(set_limit(&proc, 1, Some(1)).is_err());
    }
}
