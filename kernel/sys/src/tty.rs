//! Terminals: pseudo-terminals of a given devpts, window sizes, the controlling terminal.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
pub use rustix::termios::Winsize;

/// The two ends of a pseudo-terminal: `pty(7)`.
#[derive(Debug)]
pub struct Pty {
    /// The end that a terminal emulator or a shim holds.
    pub master: OwnedFd,
    /// The end that the program has as its terminal.
    pub slave: OwnedFd,
    /// The slave's number in its devpts.
    pub number: u32,
}

/// Makes a pseudo-terminal in the devpts whose root is `devpts`, by its `ptmx`.
///
/// The slave is opened from the master (`TIOCGPTPEER`), not by a path: nothing
/// that is mounted over `/dev/pts` can be taken for it.
pub fn open_in<Fd: AsFd>(devpts: Fd) -> io::Result<Pty> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    pair(rustix::fs::openat(devpts, "ptmx", flags, Mode::empty())?)
}

/// Makes a pseudo-terminal in the devpts of this mount namespace.
pub fn open() -> io::Result<Pty> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    pair(rustix::fs::open("/dev/ptmx", flags, Mode::empty())?)
}

fn pair(master: OwnedFd) -> io::Result<Pty> {
    rustix::pty::unlockpt(&master)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    let name = rustix::pty::ptsname(&master, Vec::new())?;
    let number = name.to_str().ok().and_then(|name| name.rsplit('/').next()?.parse().ok()).unwrap_or(0);
    Ok(Pty { master, slave, number })
}

/// Sets the size of the window, in characters.
pub fn set_size<Fd: AsFd>(terminal: Fd, columns: u16, rows: u16) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}

/// The size of the window: columns and rows.
pub fn size<Fd: AsFd>(terminal: Fd) -> io::Result<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(terminal)?;
    Ok((size.ws_col, size.ws_row))
}

/// Makes us the leader of a new session with this controlling terminal.
pub fn make_controlling<Fd: AsFd>(terminal: Fd) -> io::Result<()> {
    rustix::process::setsid()?;
    Ok(rustix::process::ioctl_tiocsctty(terminal)?)
}

/// Puts the terminal into raw mode and gives its former mode, for [`restore`].
pub fn make_raw<Fd: AsFd>(terminal: Fd) -> io::Result<rustix::termios::Termios> {
    let before = rustix::termios::tcgetattr(terminal.as_fd())?;
    let mut raw = before.clone();
    raw.make_raw();
    rustix::termios::tcsetattr(terminal, rustix::termios::OptionalActions::Now, &raw)?;
    Ok(before)
}

/// As [`make_raw`], but output goes on as before: a newline begins a line.
pub fn make_raw_input<Fd: AsFd>(terminal: Fd) -> io::Result<rustix::termios::Termios> {
    let before = rustix::termios::tcgetattr(terminal.as_fd())?;
    let mut raw = before.clone();
    raw.make_raw();
    raw.output_modes = before.output_modes;
    rustix::termios::tcsetattr(terminal, rustix::termios::OptionalActions::Now, &raw)?;
    Ok(before)
}

/// Puts the terminal into a mode that [`make_raw`] gave.
pub fn restore<Fd: AsFd>(terminal: Fd, mode: &rustix::termios::Termios) -> io::Result<()> {
    Ok(rustix::termios::tcsetattr(terminal, rustix::termios::OptionalActions::Now, mode)?)
}

/// Turns off that a newline is printed as carriage return and newline, so that a
/// log has what the program wrote.
pub fn disable_crlf<Fd: AsFd>(terminal: Fd) -> io::Result<()> {
    let mut mode = rustix::termios::tcgetattr(terminal.as_fd())?;
    mode.output_modes.remove(rustix::termios::OutputModes::ONLCR);
    Ok(rustix::termios::tcsetattr(terminal, rustix::termios::OptionalActions::Now, &mode)?)
}

/// Whether the descriptor is a terminal.
pub fn is_terminal<Fd: AsFd>(fd: Fd) -> bool {
    rustix::termios::isatty(fd)
}

/// Opens our controlling terminal, if we have one.
pub fn open_controlling() -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(Path::new("/dev/tty"), flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_input_keeps_the_output() {
        let pty = open().unwrap();
        let before = make_raw_input(&pty.slave).unwrap();
        let now = rustix::termios::tcgetattr(&pty.slave).unwrap();
        assert_eq!(now.output_modes, before.output_modes);
        assert!(!now.local_modes.contains(rustix::termios::LocalModes::ECHO));
        restore(&pty.slave, &before).unwrap();
        assert!(
            rustix::termios::tcgetattr(&pty.slave)
                .unwrap()
                .local_modes
                .contains(rustix::termios::LocalModes::ECHO)
        );
    }

    #[test]
    fn a_pair_has_a_size() {
        let pty = open().unwrap();
        set_size(&pty.master, 100, 40).unwrap();
        assert_eq!(size(&pty.slave).unwrap(), (100, 40));
        assert!(is_terminal(&pty.slave));
    }
}
