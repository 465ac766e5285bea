//! Block devices with a weight or a rate: `--blkio-weight-device`, `--device-read-bps`…

use std::path::{Path, PathBuf};

use base::ByteSize;
use serde::{Deserialize, Serialize};

use super::InvalidOption;

/// The weight of a container's I/O on one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightDevice {
    /// The device.
    pub path: PathBuf,
    /// 10 to 1000.
    pub weight: u16,
}

/// How much a container may read from, or write to, one device in a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateDevice {
    /// The device.
    pub path: PathBuf,
    /// Bytes, or operations.
    pub rate: u64,
}

/// `PATH:VALUE`, the path below `/dev`.
fn split<'t>(option: &'static str, text: &'t str) -> Result<(&'t Path, &'t str), InvalidOption> {
    let wrong = |why: String| InvalidOption::new(option, text, why);
    let (path, value) = text
        .split_once(':')
        .filter(|(path, value)| !path.is_empty() && !value.contains(':'))
        .ok_or_else(|| wrong(format!("bad format: {text}; use DEVICE:VALUE, as in /dev/sda:100")))?;
    if !path.starts_with("/dev/") {
        return Err(wrong(format!("bad format for device path: {text}; it begins with /dev/")));
    }
    Ok((Path::new(path), value))
}

impl WeightDevice {
    /// Reads `DEVICE:WEIGHT`.
    pub fn parse(text: &str) -> Result<Self, InvalidOption> {
        let option = "--blkio-weight-device";
        let (path, value) = split(option, text)?;
        let weight = value.parse().ok().filter(|weight| *weight == 0 || (10..=1000).contains(weight));
        let why =
            || InvalidOption::new(option, text, format!("invalid weight for device: {text}; use 10 to 1000"));
        Ok(Self { path: path.to_owned(), weight: weight.ok_or_else(why)? })
    }
}

impl RateDevice {
    /// Reads `DEVICE:NUMBER[UNIT]`, in bytes.
    pub fn parse_bytes(option: &'static str, text: &str) -> Result<Self, InvalidOption> {
        let (path, value) = split(option, text)?;
        let rate = ByteSize::parse(value).map_err(|_| {
            let form = "The correct format is <device-path>:<number>[<unit>]. Number must be a positive \
                        integer. Unit is optional and can be kb, mb, or gb";
            InvalidOption::new(option, text, format!("invalid rate for device: {text}. {form}"))
        })?;
        Ok(Self { path: path.to_owned(), rate: rate.0 })
    }

    /// Reads `DEVICE:NUMBER`, in operations.
    pub fn parse_operations(option: &'static str, text: &str) -> Result<Self, InvalidOption> {
        let (path, value) = split(option, text)?;
        let rate = value.parse().map_err(|_| {
            let form = "The correct format is <device-path>:<number>. Number must be a positive integer";
            InvalidOption::new(option, text, format!("invalid rate for device: {text}. {form}"))
        })?;
        Ok(Self { path: path.to_owned(), rate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_weights_and_rates() {
        assert_eq!(WeightDevice::parse("/dev/sda:200").unwrap().weight, 200);
        assert_eq!(RateDevice::parse_bytes("--device-read-bps", "/dev/sda:1mb").unwrap().rate, 1 << 20);
        assert_eq!(RateDevice::parse_operations("--device-read-iops", "/dev/sda:300").unwrap().rate, 300);
    }

    #[test]
    fn refuses_in_dockers_words() {
        for (text, why) in [
            ("/dev/sda", "bad format: /dev/sda"),
            ("sda:1", "bad format for device path: sda:1"),
            ("/dev/sda:x", "invalid rate for device: /dev/sda:x. The correct format is"),
            ("/dev/sda:-1", "invalid rate for device"),
        ] {
            let error = RateDevice::parse_bytes("--device-write-bps", text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(RateDevice::parse_operations("--device-write-iops", "/dev/sda:1mb").is_err());
        for text in ["/dev/sda:5", "/dev/sda:1001", "/dev/sda:x"] {
            let error = WeightDevice::parse(text).unwrap_err().to_string();
            assert!(error.contains("invalid weight for device"), "{error}");
        }
    }
}
