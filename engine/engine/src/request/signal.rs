//! Signals by name or number: `TERM`, `SIGTERM`, `15`, `RTMIN+3`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A signal's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signal(pub i32);

/// The text is not a signal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("signal {raw:?} is not valid: use a name such as TERM, or a number from 1 to 64")]
pub struct InvalidSignal {
    /// What was given.
    pub raw: String,
}

impl Signal {
    /// Ends a process at once.
    pub const KILL: Self = Self(9);
    /// Asks a process to end.
    pub const TERM: Self = Self(15);

    /// Reads a name, with or without `SIG`, or a number.
    pub fn parse(raw: &str) -> Result<Self, InvalidSignal> {
        let invalid = || InvalidSignal { raw: raw.to_owned() };
        if let Ok(number) = raw.parse::<i32>() {
            return if (1..=64).contains(&number) { Ok(Self(number)) } else { Err(invalid()) };
        }
        let upper = raw.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((_, number)) = NAMES.iter().chain(ALIASES).find(|(known, _)| *known == name) {
            return Ok(Self(*number));
        }
        let offset = |text: &str, sign: char| {
            if text.is_empty() { Some(0) } else { text.strip_prefix(sign)?.parse::<i32>().ok() }
        };
        let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
            (Some(rest), _) => offset(rest, '+').map(|n| RTMIN + n),
            (_, Some(rest)) => offset(rest, '-').map(|n| RTMAX - n),
            _ => None,
        };
        number.filter(|n| (RTMIN..=RTMAX).contains(n)).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None if self.0 >= RTMIN => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
            None => write!(f, "{}", self.0),
        }
    }
}

/// `signal(7)`: the first two real-time signals belong to the C library.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// `signal(7)`, the numbers of x86 and ARM.
const NAMES: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

const ALIASES: &[(&str, i32)] = &[("IOT", 6), ("CLD", 17), ("POLL", 29)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_numbers() {
        for (raw, number) in [
            ("TERM", 15),
            ("sigkill", 9),
            ("9", 9),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("RTMIN", 34),
            ("poll", 29),
        ] {
            assert_eq!(Signal::parse(raw), Ok(Signal(number)), "{raw}");
        }
        for raw in ["", "0", "65", "-1", "FOO", "RTMIN+31", "RTMIN-1", "SIG"] {
            assert!(Signal::parse(raw).is_err(), "{raw}");
        }
        assert_eq!(Signal(15).to_string(), "SIGTERM");
        assert_eq!(Signal(37).to_string(), "SIGRTMIN+3");
    }
}
