//! The health check: what was asked, over what the image says.

use std::time::Duration;

use oci_spec::image::ContainerConfig;
use serde::{Deserialize, Serialize};
use shim::HealthCheck;

use super::InvalidOption;

/// A health check in docker's form; what is zero or empty is the image's, or docker's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `CMD` and arguments, `CMD-SHELL` and a line for the shell, or `NONE`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub test: Vec<String>,
    /// Nanoseconds between checks.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: u64,
    /// Nanoseconds that a check may take.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: u64,
    /// Nanoseconds after the start in which failures do not count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: u64,
    /// Nanoseconds between checks in that time.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: u64,
    /// So many failures in a row make it unhealthy.
    #[serde(skip_serializing_if = "is_zero_count")]
    pub retries: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero_count(n: &u32) -> bool {
    *n == 0
}

fn null_is_default<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Healthcheck {
    /// None, whatever the image says.
    pub fn none() -> Self {
        Self { test: vec!["NONE".to_owned()], ..Self::default() }
    }

    /// A line for the container's shell.
    pub fn shell(line: &str) -> Self {
        Self { test: vec!["CMD-SHELL".to_owned(), line.to_owned()], ..Self::default() }
    }

    /// Reads what follows `HEALTHCHECK` in a Dockerfile: options, then `CMD` and a command, or
    /// `NONE`.
    pub(crate) fn of_instruction(text: &str) -> Result<Self, &'static str> {
        let mut check = Self::default();
        let mut rest = text.trim();
        while let Some(option) = rest.strip_prefix("--") {
            let (option, tail) = option.split_once(char::is_whitespace).ok_or("CMD or NONE is missing")?;
            let (name, value) = option.split_once('=').ok_or("write an option as --name=value")?;
            let nanos = |span: base::GoDuration| u64::try_from(span.0).ok();
            let time = base::GoDuration::parse(value).ok().and_then(nanos);
            let time = || time.ok_or("write a time as in 30s or 1m30s");
            match name {
                "interval" => check.interval = time()?,
                "timeout" => check.timeout = time()?,
                "start-period" => check.start_period = time()?,
                "start-interval" => check.start_interval = time()?,
                "retries" => {
                    check.retries = value.parse().map_err(|_| "the number of retries is no number")?;
                }
                _ => return Err("the options are interval, timeout, start-period, start-interval, retries"),
            }
            rest = tail.trim_start();
        }
        let (word, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let command = command.trim();
        check.test = match word.to_ascii_uppercase().as_str() {
            "NONE" if command.is_empty() && check == Self::default() => vec!["NONE".to_owned()],
            "CMD" if !command.is_empty() => match serde_json::from_str::<Vec<String>>(command) {
                Ok(args) => ["CMD".to_owned()].into_iter().chain(args).collect(),
                Err(_) => vec!["CMD-SHELL".to_owned(), command.to_owned()],
            },
            _ => return Err("write CMD and a command, or NONE alone"),
        };
        Ok(check)
    }

    /// What the image says.
    fn of_image(config: &ContainerConfig) -> Option<Self> {
        serde_json::from_value(config.extra.get("Healthcheck")?.clone()).ok()
    }

    /// This over `below`, field by field.
    fn over(&self, below: Self) -> Self {
        let or = |own: u64, below: u64| if own == 0 { below } else { own };
        Self {
            test: if self.test.is_empty() { below.test } else { self.test.clone() },
            interval: or(self.interval, below.interval),
            timeout: or(self.timeout, below.timeout),
            start_period: or(self.start_period, below.start_period),
            start_interval: or(self.start_interval, below.start_interval),
            retries: if self.retries == 0 { below.retries } else { self.retries },
        }
    }

    /// What counts: what was asked over what the image says.
    pub(crate) fn effective(asked: Option<&Self>, image: &ContainerConfig) -> Option<Self> {
        let of_image = Self::of_image(image);
        match asked {
            None => of_image,
            Some(asked) => Some(asked.over(of_image.unwrap_or_default())),
        }
    }

    /// The program to run and its arguments; nothing when nothing is to be checked.
    pub(crate) fn args(&self, image: &ContainerConfig) -> Option<Vec<String>> {
        let (kind, rest) = self.test.split_first()?;
        match kind.as_str() {
            "CMD" if !rest.is_empty() => Some(rest.to_vec()),
            "CMD-SHELL" if !rest.is_empty() => {
                let shell =
                    image.extra.get("Shell").and_then(|shell| serde_json::from_value(shell.clone()).ok());
                let mut args: Vec<String> = shell
                    .filter(|shell: &Vec<String>| !shell.is_empty())
                    .unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
                args.extend(rest.iter().cloned());
                Some(args)
            }
            _ => None,
        }
    }

    /// The times, with docker's defaults.
    pub(crate) fn times(&self) -> HealthCheck {
        let or = |own: u64, default_ms: u64| if own == 0 { default_ms } else { (own / NANOS_A_MILLI).max(1) };
        HealthCheck {
            interval_ms: or(self.interval, 30_000),
            timeout_ms: or(self.timeout, 30_000),
            start_period_ms: or(self.start_period, 0),
            start_interval_ms: or(self.start_interval, 5_000),
            retries: if self.retries == 0 { 3 } else { self.retries },
        }
    }

    /// Whether docker would take it.
    pub(crate) fn validate(&self) -> Result<(), InvalidOption> {
        for (option, value) in [
            ("--health-interval", self.interval),
            ("--health-timeout", self.timeout),
            ("--health-start-period", self.start_period),
            ("--health-start-interval", self.start_interval),
        ] {
            if value != 0 && value < NANOS_A_MILLI {
                let text = format!("{:?}", Duration::from_nanos(value));
                return Err(InvalidOption::new(option, &text, "use 1ms or more, or 0 for the default"));
            }
        }
        Ok(())
    }
}

const NANOS_A_MILLI: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SECOND: u64 = 1_000_000_000;

    fn image(extra: serde_json::Value) -> ContainerConfig {
        serde_json::from_value(extra).unwrap()
    }

    fn with_check() -> ContainerConfig {
        image(json!({"Healthcheck": {"Test": ["CMD", "/check", "-q"], "Interval": 7 * SECOND, "Retries": 2}}))
    }

    #[test]
    fn what_was_asked_wins_field_by_field() {
        let effective = Healthcheck::effective(None, &with_check()).unwrap();
        assert_eq!(effective.args(&with_check()).unwrap(), ["/check", "-q"]);
        assert_eq!((effective.times().interval_ms, effective.times().retries), (7000, 2));
        let asked = Healthcheck { interval: SECOND, ..Healthcheck::shell("exit 1") };
        let effective = Healthcheck::effective(Some(&asked), &with_check()).unwrap();
        assert_eq!(effective.args(&with_check()).unwrap(), ["/bin/sh", "-c", "exit 1"]);
        assert_eq!((effective.times().interval_ms, effective.times().retries), (1000, 2));
        assert_eq!(effective.times().timeout_ms, 30_000);
    }

    #[test]
    fn nothing_is_checked_unless_there_is_a_test() {
        let plain = image(json!({}));
        assert_eq!(Healthcheck::effective(None, &plain), None);
        let none = Healthcheck::effective(Some(&Healthcheck::none()), &with_check()).unwrap();
        assert_eq!(none.args(&with_check()), None);
        let times_only = Healthcheck { retries: 5, ..Healthcheck::default() };
        assert_eq!(Healthcheck::effective(Some(&times_only), &plain).unwrap().args(&plain), None);
    }

    #[test]
    fn the_images_shell_is_used() {
        let image = image(json!({"Shell": ["/bin/bash", "-ec"]}));
        assert_eq!(Healthcheck::shell("true").args(&image).unwrap(), ["/bin/bash", "-ec", "true"]);
    }

    #[test]
    fn reads_the_instruction() {
        let check =
            Healthcheck::of_instruction("--interval=1m30s --timeout=500ms --retries=2  CMD curl -f /")
                .unwrap();
        assert_eq!(check.test, ["CMD-SHELL", "curl -f /"]);
        assert_eq!((check.interval, check.timeout, check.retries), (90 * SECOND, SECOND / 2, 2));
        let check = Healthcheck::of_instruction("cmd [\"/check\", \"-q\"]").unwrap();
        assert_eq!(check.test, ["CMD", "/check", "-q"]);
        assert_eq!(Healthcheck::of_instruction("NONE").unwrap(), Healthcheck::none());
        for text in [
            "",
            "CMD",
            "NONE x",
            "--interval=1 CMD x",
            "--interval CMD x",
            "--often=1s CMD x",
            "--retries=2 NONE",
        ] {
            assert!(Healthcheck::of_instruction(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn times_below_a_millisecond_are_refused() {
        let check = Healthcheck { timeout: 1000, ..Healthcheck::default() };
        assert!(check.validate().unwrap_err().to_string().contains("--health-timeout"));
        assert!(Healthcheck { timeout: NANOS_A_MILLI, ..Healthcheck::default() }.validate().is_ok());
    }
}
