//! Signal sets: `signal(7)`.

use serde::{Serialize, Serializer};

/// A set of signals as `/proc/PID/status` prints it: bit 0 is signal 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// Is signal `number` in it?
    pub fn has(self, number: i32) -> bool {
        (1..=64).contains(&number) && self.0 >> (number - 1) & 1 == 1
    }

    /// The names, ascending by number.
    pub fn names(self) -> Vec<String> {
        (1..=64).filter(|number| self.has(*number)).map(name).collect()
    }

    /// Does it hold none?
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Serialize for SignalSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

/// `SIGTERM` for 15; real-time signals by their distance from `SIGRTMIN`.
pub fn name(number: i32) -> String {
    match usize::try_from(number - 1).ok().and_then(|index| NAMES.get(index)) {
        Some(name) => format!("SIG{name}"),
        None if number == RTMIN => "SIGRTMIN".to_owned(),
        None if (RTMIN..=64).contains(&number) => format!("SIGRTMIN+{}", number - RTMIN),
        None => format!("signal {number}"),
    }
}

/// Names by number, from 1, of x86-64 and aarch64 (and all but alpha, mips, sparc).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The kernel's first real-time signal.
const RTMIN: i32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_signals() {
        for (number, expected) in [
            (1, "SIGHUP"),
            (9, "SIGKILL"),
            (15, "SIGTERM"),
            (31, "SIGSYS"),
            (32, "SIGRTMIN"),
            (64, "SIGRTMIN+32"),
            (0, "signal 0"),
            (-3, "signal -3"),
            (65, "signal 65"),
        ] {
            assert_eq!(name(number), expected);
        }
    }

    #[test]
    fn a_mask_counts_from_one() {
        let set = SignalSet(0x4002);
        assert_eq!(set.names(), ["SIGINT", "SIGTERM"]);
        assert!(set.has(15) && !set.has(14) && !set.has(0) && !set.has(-1) && !set.has(99));
    }
}
