//! Signals by name or number: `TERM`, `SIGTERM`, `15`, `RTMIN+3`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A signal's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signal(pub i32);

/// The text is not a signal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid signal: {raw}; use a name such as TERM, or a number from 1 to 64")]
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
        let signal = sys::signal::Signal::parse(raw).ok_or_else(|| InvalidSignal { raw: raw.to_owned() })?;
        Ok(Self(signal.number()))
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match sys::signal::Signal::from_number(self.0) {
            Some(signal) => f.write_str(&signal.name()),
            None => write!(f, "{}", self.0),
        }
    }
}

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
        for raw in ["", "0", "65", "-1", "FOO", "RTMIN-1", "SIG"] {
            assert!(Signal::parse(raw).is_err(), "{raw}");
        }
        assert_eq!(Signal(15).to_string(), "SIGTERM");
        assert_eq!(Signal(37).to_string(), "SIGRTMIN+3");
    }
}
