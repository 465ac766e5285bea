//! Hygiene of descriptors: nothing of ours may reach a container.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Marks every descriptor from `first` on close-on-exec: `close_range(2)` with
/// `CLOSE_RANGE_CLOEXEC` (Linux 5.11).
pub fn cloexec_from(first: u32) -> io::Result<()> {
    // SAFETY: only a flag of descriptors changes, none is closed.
    let rc = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Closes what we were started with and did not open ourselves: every descriptor from `first` on
/// that is not close-on-exec, since all of ours are. For a fork that lives long before its exec.
pub fn close_inherited(first: u32) -> io::Result<()> {
    let mut given = Vec::new();
    let dir = rustix::fs::open(
        "/proc/self/fd",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    for entry in rustix::fs::Dir::read_from(&dir)? {
        let number = entry?.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok());
        given.extend(number.filter(|number| u32::try_from(*number).is_ok_and(|number| number >= first)));
    }
    for number in given {
        // SAFETY: fcntl(2) with F_GETFD reads a flag of a number, open or not.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if flags >= 0 && flags & libc::FD_CLOEXEC == 0 {
            // SAFETY: no `OwnedFd` of this process is without close-on-exec above the standard streams and
            // those below `first` that are passed on, so nobody of ours owns this one.
            unsafe { libc::close(number) };
        }
    }
    Ok(())
}

/// Makes `fd` the descriptor `number`, without close-on-exec: `dup2(2)`. What was
/// open there is closed.
///
/// # Panics
/// If `number` is above 2: only standard streams are replaced this way, since any
/// other number may belong to an `OwnedFd`.
pub fn become_standard<Fd: AsFd>(fd: Fd, number: i32) -> io::Result<()> {
    assert!((0..=2).contains(&number), "only the standard streams are replaced by number");
    let raw = fd.as_fd().as_raw_fd();
    if raw == number {
        return inherit(fd);
    }
    // SAFETY: numbers 0 to 2 belong to the process as a whole, not to an OwnedFd
    // (see the assertion and `all_standard_open`).
    let rc = unsafe { libc::dup2(raw, number) };
    if rc == number { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets `fd` pass an exec.
pub fn inherit<Fd: AsFd>(fd: Fd) -> io::Result<()> {
    Ok(rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?)
}

/// Lets the open descriptor `number`, which the starter of this process left to us,
/// pass an exec.
pub fn inherit_number(number: i32) -> io::Result<()> {
    // SAFETY: only the close-on-exec flag of a descriptor changes.
    let rc = unsafe { libc::fcntl(number, libc::F_SETFD, 0) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Standard input, which is open for as long as the process lives (see
/// [`all_standard_open`]).
pub fn standard_input() -> BorrowedFd<'static> {
    // SAFETY: number 0 is never closed: no OwnedFd has it, `become_standard` replaces
    // it without closing in between.
    unsafe { BorrowedFd::borrow_raw(0) }
}

/// The standard stream `number`, if it is open.
///
/// # Panics
/// If `number` is not 0, 1 or 2.
pub fn standard(number: i32) -> Option<BorrowedFd<'static>> {
    assert!((0..=2).contains(&number), "only 0 to 2 are standard streams");
    // SAFETY: numbers 0 to 2 are never closed once they are open: no OwnedFd has them,
    // `become_standard` replaces them without closing in between.
    is_open(number).then(|| unsafe { BorrowedFd::borrow_raw(number) })
}

/// Closes `fd` at exec.
pub fn cloexec<Fd: AsFd>(fd: Fd) -> io::Result<()> {
    Ok(rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?)
}

/// Takes over a descriptor that the starter of this process left open, if it is open.
///
/// Meant for the roof: the number is given on the command line and each is taken
/// once, before anything else is opened.
pub fn take_inherited(number: i32) -> io::Result<OwnedFd> {
    if number < 3 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: F_GETFD reads a flag; a number that is not open gives EBADF.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and by the contract above nothing else in this process
    // owns the number.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    cloexec(&fd)?;
    Ok(fd)
}

/// Whether the descriptor `number` is open.
pub fn is_open(number: i32) -> bool {
    // SAFETY: F_GETFD only reads a flag.
    unsafe { libc::fcntl(number, libc::F_GETFD) >= 0 }
}

/// A duplicate with close-on-exec whose number is at least `least`.
pub fn duplicate_above<Fd: AsFd>(fd: Fd, least: i32) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, least)?)
}

/// Opens `/dev/null` for those of the standard streams that are closed, so that
/// no later descriptor takes their place.
pub fn all_standard_open() -> io::Result<()> {
    for number in 0..=2 {
        if is_open(number) {
            continue;
        }
        // SAFETY: the lowest free number is taken, which is `number`: the ones
        // below are open. It is left open for good.
        let raw = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_above() {
        let (read, _write) = rustix::pipe::pipe().unwrap();
        let high = duplicate_above(&read, 100).unwrap();
        assert!(high.as_raw_fd() >= 100);
        assert!(is_open(high.as_raw_fd()));
        assert!(take_inherited(1).is_err());
        assert!(take_inherited(999).is_err());
    }
}
