//! `--device` and `--device-cgroup-rule`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::InvalidOption;

/// A device of the host, or a directory of them, in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRequest {
    /// On the host.
    pub host: PathBuf,
    /// In the container.
    pub container: PathBuf,
    /// Some of `rwm`.
    pub access: String,
}

/// A class of devices that the container may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// `a`, `b` or `c`.
    pub kind: char,
    /// Major number; none means all.
    pub major: Option<i64>,
    /// Minor number; none means all.
    pub minor: Option<i64>,
    /// Some of `rwm`.
    pub access: String,
}

fn is_access(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b"rwm".contains(&b)) && text.len() <= 3
}

impl DeviceRequest {
    /// Reads `HOST[:CONTAINER[:rwm]]`.
    pub fn parse(text: &str) -> Result<Self, InvalidOption> {
        let wrong = |why: String| InvalidOption::new("--device", text, why);
        let usage = || {
            let form = "use HOST[:CONTAINER[:rwm]], as in /dev/fuse:/dev/fuse:rw";
            wrong(format!("invalid device specification: {text}; {form}"))
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (host, container, access) = match parts[..] {
            [host] => (host, host, "rwm"),
            [host, second] if is_access(second) => (host, host, second),
            [host, container] => (host, container, "rwm"),
            [host, container, access] => (host, container, access),
            _ => return Err(usage()),
        };
        if !is_access(access) {
            return Err(wrong(format!("bad mode specified: {access}; use one or more of r, w and m")));
        }
        for path in [host, container] {
            if !path.starts_with('/') || Path::new(path).components().any(|c| c.as_os_str() == "..") {
                return Err(wrong(format!("{path} is not an absolute path, or has .. in it")));
            }
        }
        Ok(Self { host: host.into(), container: container.into(), access: access.to_owned() })
    }
}

impl DeviceRule {
    /// Reads `TYPE MAJOR:MINOR ACCESS`.
    pub fn parse(text: &str) -> Result<Self, InvalidOption> {
        let usage = || {
            let why = format!(
                "invalid device cgroup format '{text}': use TYPE MAJOR:MINOR ACCESS, as in 'c 1:3 rwm'"
            );
            InvalidOption::new("--device-cgroup-rule", text, why)
        };
        let number = |text: &str| match text {
            "*" => Ok(None),
            text => text.parse::<u32>().map(|n| Some(i64::from(n))).map_err(|_| usage()),
        };
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [kind @ ("a" | "b" | "c"), numbers, access] = parts[..] else { return Err(usage()) };
        let (major, minor) = numbers.split_once(':').ok_or_else(usage)?;
        if !is_access(access) {
            return Err(usage());
        }
        let kind = kind.chars().next().unwrap_or('a');
        Ok(Self { kind, major: number(major)?, minor: number(minor)?, access: access.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_devices() {
        for (text, host, container, access) in [
            ("/dev/fuse", "/dev/fuse", "/dev/fuse", "rwm"),
            ("/dev/a:/dev/b", "/dev/a", "/dev/b", "rwm"),
            ("/dev/a:r", "/dev/a", "/dev/a", "r"),
            ("/dev/a:/dev/b:rw", "/dev/a", "/dev/b", "rw"),
        ] {
            let device = DeviceRequest::parse(text).unwrap();
            assert_eq!(
                (device.host, device.container, device.access),
                (host.into(), container.into(), access.to_owned())
            );
        }
        for text in ["", "dev", "/dev/a:b", "/dev/a:/dev/b:x", "/dev/../etc", "/a:/b:r:w"] {
            assert!(DeviceRequest::parse(text).is_err(), "{text}");
        }
        let says = |text: &str, why: &str| {
            let error = DeviceRequest::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        };
        says("/a:/b:r:w", "invalid device specification: /a:/b:r:w");
        says("/dev/a:/dev/b:x", "bad mode specified: x");
        says("dev", "dev is not an absolute path");
    }

    #[test]
    fn reads_rules() {
        let rule = DeviceRule::parse("c 10:* rw").unwrap();
        assert_eq!((rule.kind, rule.major, rule.minor, rule.access.as_str()), ('c', Some(10), None, "rw"));
        for text in ["", "c 1 r", "x 1:1 r", "c 1:1", "c 1:1 q"] {
            let error = DeviceRule::parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("invalid device cgroup format '{text}'")), "{error}");
        }
    }
}
