//! Sizes in bytes as docker's flags write them: `64m`, `1.5g`, `512`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct ByteSize(pub u64);

/// The text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("size {raw:?} is not valid: use a number with an optional unit b, k, m, g or t, as in 512m")]
pub struct InvalidByteSize {
    /// What was given.
    pub raw: String,
}

impl ByteSize {
    /// Reads docker's form: a decimal number and an optional unit of 1024
    /// (`b k m g t p`, also `kb`, `kib`; case does not matter).
    pub fn parse(raw: &str) -> Result<Self, InvalidByteSize> {
        let invalid = || InvalidByteSize { raw: raw.to_owned() };
        let text = raw.trim();
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let shift = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            "p" | "pb" | "pib" => 50,
            _ => return Err(invalid()),
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(1 << shift).map(Self).ok_or_else(invalid);
        }
        let value: f64 = number.parse().map_err(|_| invalid())?;
        let bytes = value * (1u64 << shift) as f64;
        if !(0.0..9e18).contains(&bytes) {
            return Err(invalid());
        }
        Ok(Self(bytes as u64))
    }
}

impl fmt::Display for ByteSize {
    /// Three significant digits and a unit of 1024: `64MiB`, `1.5GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        let digits = match value {
            v if unit == 0 || v >= 100.0 => 0,
            v if v >= 10.0 => 1,
            _ => 2,
        };
        let text = format!("{value:.digits$}");
        let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        write!(f, "{text}{}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_docker_sizes() {
        for (raw, bytes) in [("512", 512), ("64m", 64 << 20), ("1.5g", 3 << 29), ("1KiB", 1024), ("0", 0)] {
            assert_eq!(ByteSize::parse(raw), Ok(ByteSize(bytes)), "{raw}");
        }
        for raw in ["", "m", "-1", "12x", "1e3", "99999999999p", "1.2.3"] {
            assert!(ByteSize::parse(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn prints_short() {
        for (bytes, text) in [(0, "0B"), (1023, "1023B"), (64 << 20, "64MiB"), (3 << 29, "1.5GiB")] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }
}
