//! The user's terminal: raw while a container has it, and always put back.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::termios::Termios;

use crate::error::CliError;

/// A terminal in raw mode, until this is dropped.
pub(super) struct RawTerminal {
    terminal: OwnedFd,
    before: Termios,
}

impl RawTerminal {
    /// Puts standard input into raw mode.
    pub(super) fn take() -> io::Result<Self> {
        let terminal = io::stdin().as_fd().try_clone_to_owned()?;
        let before = sys::tty::make_raw(&terminal)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to put back.
        let _ = sys::tty::restore(&self.terminal, &self.before);
    }
}

/// Size of the user's terminal: columns and rows.
pub(super) fn size() -> Option<(u16, u16)> {
    let size = sys::tty::size(io::stdout()).or_else(|_| sys::tty::size(io::stdin())).ok()?;
    Some(size).filter(|(columns, rows)| *columns > 0 && *rows > 0)
}

/// Finds the keys that detach in what is typed.
pub(super) struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

impl DetachKeys {
    /// Reads docker's form: letters and `ctrl-…`, with commas between; ctrl-p,ctrl-q without.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, CliError> {
        let text = text.unwrap_or("ctrl-p,ctrl-q");
        let key = |word: &str| -> Option<u8> {
            match word.as_bytes() {
                [byte] => Some(*byte),
                _ => match word.strip_prefix("ctrl-")?.as_bytes() {
                    [byte @ (b'a'..=b'z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_')] => {
                        Some(byte.to_ascii_uppercase() & 0x1f)
                    }
                    _ => None,
                },
            }
        };
        let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
        let keys = keys.ok_or_else(|| {
            CliError::message(format!(
                "--detach-keys {text:?} is not valid: use letters and ctrl-LETTER, as in ctrl-p,ctrl-q"
            ))
        })?;
        Ok(Self { keys, matched: 0 })
    }

    /// Takes what was typed: what is to be passed on, and whether the keys were hit.
    pub(super) fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::with_capacity(typed.len());
        for byte in typed {
            if *byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return (out, true);
                }
                continue;
            }
            // What looked like the keys was not: it is passed on late.
            out.extend_from_slice(&self.keys[..self.matched]);
            self.matched = usize::from(*byte == self.keys[0] && self.keys.len() > 1);
            if self.matched == 0 {
                out.push(*byte);
            }
        }
        (out, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[&[u8]], passed: &[u8], detaches: bool) {
        let mut keys = DetachKeys::parse(None).unwrap();
        let mut out = Vec::new();
        let mut hit = false;
        for piece in pieces {
            let (bytes, detached) = keys.filter(piece);
            out.extend(bytes);
            hit |= detached;
        }
        assert_eq!((out.as_slice(), hit), (passed, detaches), "{pieces:?}");
    }

    #[test]
    fn finds_the_keys() {
        check(&[b"ab\x10\x11"], b"ab", true);
        check(&[b"a\x10", b"\x11"], b"a", true);
        check(&[b"a\x10b"], b"a\x10b", false);
        check(&[b"\x10\x10\x11"], b"\x10", true);
        check(&[b"abc"], b"abc", false);
    }

    #[test]
    fn reads_other_keys() {
        assert_eq!(DetachKeys::parse(Some("ctrl-a,x")).unwrap().keys, [1, b'x']);
        assert!(DetachKeys::parse(Some("ctrl-")).is_err());
        assert!(DetachKeys::parse(Some("")).is_err());
    }
}
