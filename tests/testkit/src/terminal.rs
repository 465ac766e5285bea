//! A terminal with a person at it.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// A pseudo terminal whose other end is a command's controlling terminal.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    child: Child,
    seen: String,
}

impl Terminal {
    /// Starts `command` on a fresh terminal of `rows` × `columns`.
    ///
    /// # Panics
    /// When there is no terminal to be had or the command does not start.
    pub fn spawn(command: &Command, rows: u16, columns: u16) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&master).expect("grantpt");
        unlockpt(&master).expect("unlockpt");
        resize(&master, rows, columns);
        let name = ptsname(&master, Vec::new()).expect("ptsname");
        let open = || {
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
            Stdio::from(rustix::fs::open(&name, flags, Mode::empty()).expect("the terminal's other end"))
        };
        let mut session = Command::new("setsid");
        session.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => session.env(key, value),
                None => session.env_remove(key),
            };
        }
        let child =
            session.stdin(open()).stdout(open()).stderr(open()).spawn().expect("setsid of util-linux");
        Self { master: File::from(master), child, seen: String::new() }
    }

    /// Types `text`.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn types(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("type");
    }

    /// Makes the window another size.
    pub fn resize(&self, rows: u16, columns: u16) {
        resize(&self.master, rows, columns);
    }

    /// Reads until the screen has shown `text`, and forgets what came before it.
    ///
    /// # Panics
    /// When it has not been shown after 30 seconds.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            assert!(
                Instant::now() < deadline && self.read_some(),
                "never showed {text:?}, but:\n{}",
                self.seen
            );
        }
    }

    /// Waits for the command's end: what it showed last, and its exit code.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn wait(mut self) -> (String, i32) {
        while self.read_some() {}
        let status = self.child.wait().expect("wait");
        (std::mem::take(&mut self.seen), status.code().unwrap_or(-1))
    }

    /// False when the other end is closed.
    fn read_some(&mut self) -> bool {
        let mut ready = [PollFd::new(&self.master, PollFlags::IN)];
        let timeout = rustix::time::Timespec { tv_sec: 30, tv_nsec: 0 };
        if poll(&mut ready, Some(&timeout)).unwrap_or(0) == 0 {
            return false;
        }
        let mut buffer = [0; 4096];
        match self.master.read(&mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
                true
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resize(master: impl std::os::fd::AsFd, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).expect("resize");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_on_it_sees_size_and_keys() {
        let mut command = Command::new("/bin/sh");
        command.env("PS1", "ready> ");
        let mut terminal = Terminal::spawn(&command, 33, 77);
        terminal.expect("ready> ");
        terminal.types("stty size; exit 3\n");
        terminal.expect("33 77");
        assert_eq!(terminal.wait().1, 3);
    }
}
