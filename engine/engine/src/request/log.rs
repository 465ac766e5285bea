//! `--log-driver` and `--log-opt`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base::ByteSize;
use serde::{Deserialize, Serialize};

use super::InvalidOption;

/// Where a container's output goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRequest {
    /// Whether it is kept at all.
    pub keep: bool,
    /// Bytes after which a file is closed and another begun; none never.
    pub max_size_bytes: Option<u64>,
    /// How many files are kept.
    pub max_files: u32,
    /// Whether all but the current one are compressed.
    #[serde(default)]
    pub compress: bool,
    /// Where it goes in the CRI's form instead; whoever asked for it rotates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cri_file: Option<PathBuf>,
    /// Which of docker's drivers was asked for; both keep the same files.
    #[serde(default)]
    pub kind: LogKind,
    /// The options as they were given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// Docker's drivers that keep files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogKind {
    /// `json-file`.
    #[default]
    JsonFile,
    /// `local`.
    Local,
}

impl Default for LogRequest {
    fn default() -> Self {
        Self {
            keep: true,
            max_size_bytes: Some(10 << 20),
            max_files: 3,
            compress: false,
            cri_file: None,
            kind: LogKind::default(),
            options: BTreeMap::new(),
        }
    }
}

impl LogRequest {
    /// Reads docker's `--log-driver` and `--log-opt key=value`.
    pub fn parse(driver: &str, options: &[String]) -> Result<Self, InvalidOption> {
        let mut log = Self::default();
        match driver {
            "" | "json-file" => {}
            "local" => {
                // Docker's defaults for it.
                log = Self {
                    kind: LogKind::Local,
                    max_size_bytes: Some(20 << 20),
                    max_files: 5,
                    compress: true,
                    ..log
                };
            }
            "none" => {
                log.keep = false;
                if let Some(option) = options.first() {
                    let why = "invalid logging opts for driver none: it keeps nothing, so leave them out";
                    return Err(InvalidOption::new("--log-opt", option, why));
                }
            }
            other => {
                let why = format!(
                    "logger: no log driver named '{other}' is registered: use json-file, local or none"
                );
                return Err(InvalidOption::new("--log-driver", other, why));
            }
        }
        for option in options {
            log.take(option)?;
        }
        if log.compress && (log.max_files == 1 || log.max_size_bytes.is_none()) {
            // Docker's too: what it compresses by default may be one file only.
            if let Some(asked) = options.iter().find(|option| option.starts_with("compress=")) {
                let why = "compress cannot be true when max-file is less than 2 or max-size is not set";
                return Err(InvalidOption::new("--log-opt", asked, why));
            }
            log.compress = false;
        }
        let asked = |key: &str| log.options.get(key).map(String::as_str);
        if let Some(size) = asked("max-buffer-size").filter(|_| asked("mode") != Some("non-blocking")) {
            let why = "logger: max-buffer-size option is only supported with 'mode=non-blocking'";
            return Err(InvalidOption::new("--log-opt", size, why));
        }
        Ok(log)
    }

    /// Docker's name of the driver.
    pub fn driver(&self) -> &'static str {
        match (self.keep, self.kind) {
            (false, _) => "none",
            (true, LogKind::JsonFile) => "json-file",
            (true, LogKind::Local) => "local",
        }
    }

    fn take(&mut self, option: &str) -> Result<(), InvalidOption> {
        let wrong = |why: String| InvalidOption::new("--log-opt", option, why);
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        match key {
            "max-size" if value == "-1" => self.max_size_bytes = None,
            "max-size" => {
                let size = ByteSize::parse(value).ok().filter(|size| size.0 > 0);
                let why = || {
                    wrong("max-size should be a positive number, with a unit as in max-size=10m".to_owned())
                };
                self.max_size_bytes = Some(size.ok_or_else(why)?.0.max(MAX_SIZE_LEAST));
            }
            "max-file" => {
                let count = value.parse().ok().filter(|n| *n > 0);
                let why =
                    || wrong("max-file cannot be less than 1: use a number, as in max-file=3".to_owned());
                self.max_files = count.ok_or_else(why)?;
            }
            "compress" => {
                let why = || wrong(format!("strconv.ParseBool: parsing \"{value}\": invalid syntax"));
                self.compress = parse_bool(value).ok_or_else(why)?;
            }
            // A log is a file of ours, and nobody waits for its reader: both modes are one.
            "mode" if matches!(value, "blocking" | "non-blocking") => {}
            "mode" => return Err(wrong(format!("logger: logging mode not recognized: {value}"))),
            "max-buffer-size" => drop(ByteSize::parse(value).map_err(|why| wrong(why.to_string()))?),
            "labels" | "env" | "tag" if self.kind == LogKind::JsonFile => {}
            "labels-regex" | "env-regex" if self.kind == LogKind::JsonFile => {
                regex::Regex::new(value).map_err(|why| wrong(why.to_string()))?;
            }
            _ => {
                let driver = self.driver();
                return Err(wrong(format!("unknown log opt '{key}' for {driver} log driver")));
            }
        }
        self.options.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    /// What each entry carries besides its text: chosen labels and variables of the container,
    /// and its tag.
    pub fn attributes(
        &self,
        labels: &BTreeMap<String, String>,
        env: &[String],
        tag: Option<&str>,
    ) -> BTreeMap<String, String> {
        let option = |key: &str| self.options.get(key).map_or("", String::as_str);
        let chosen = |names: &str, pattern: &str, name: &str| {
            let pattern = Some(pattern).filter(|pattern| !pattern.is_empty());
            names.split(',').any(|wanted| wanted == name)
                || pattern.is_some_and(|text| regex::Regex::new(text).is_ok_and(|regex| regex.is_match(name)))
        };
        let mut attributes = BTreeMap::new();
        for (name, value) in labels {
            if chosen(option("labels"), option("labels-regex"), name) {
                attributes.insert(name.clone(), value.clone());
            }
        }
        for (name, value) in env.iter().filter_map(|entry| entry.split_once('=')) {
            if chosen(option("env"), option("env-regex"), name) {
                attributes.insert(name.to_owned(), value.to_owned());
            }
        }
        attributes.extend(tag.filter(|tag| !tag.is_empty()).map(|tag| ("tag".to_owned(), tag.to_owned())));
        attributes
    }
}

/// As Go's `strconv.ParseBool` has it.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Less would rotate with every few lines.
const MAX_SIZE_LEAST: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(driver: &str, options: &[&str]) -> Result<LogRequest, InvalidOption> {
        LogRequest::parse(driver, &options.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn reads_drivers_and_options() {
        let log =
            parse("json-file", &["max-size=1m", "max-file=2", "mode=blocking", "compress=false"]).unwrap();
        assert_eq!((log.max_size_bytes, log.max_files, log.driver()), (Some(1 << 20), 2, "json-file"));
        // There is a cap without being asked.
        assert_eq!(parse("", &[]).unwrap().max_size_bytes, Some(10 << 20));
        assert_eq!(parse("json-file", &["max-size=-1"]).unwrap().max_size_bytes, None);
        let local = parse("local", &[]).unwrap();
        assert_eq!((local.max_size_bytes, local.max_files, local.driver()), (Some(20 << 20), 5, "local"));
        assert_eq!(parse("none", &[]).unwrap().driver(), "none");
    }

    #[test]
    fn compresses_when_it_is_asked_to_and_local_unless_it_is_not() {
        for (driver, options, compresses) in [
            ("json-file", &[][..], false),
            ("json-file", &["compress=true"], true),
            ("json-file", &["compress=F"], false),
            ("local", &[], true),
            ("local", &["compress=0"], false),
            ("local", &["max-file=1"], false),
        ] {
            assert_eq!(parse(driver, options).unwrap().compress, compresses, "{driver} {options:?}");
        }
    }

    #[test]
    fn refuses_in_dockers_words() {
        for (driver, options, why) in [
            ("splunk", &[][..], "no log driver named 'splunk' is registered"),
            ("none", &["max-size=1m"], "invalid logging opts for driver none"),
            ("json-file", &["frob=1"], "unknown log opt 'frob' for json-file log driver"),
            ("local", &["labels=a"], "unknown log opt 'labels' for local log driver"),
            ("json-file", &["max-file=0"], "max-file cannot be less than 1"),
            ("json-file", &["max-size=0"], "max-size should be a positive number"),
            ("json-file", &["mode=fast"], "logging mode not recognized: fast"),
            ("json-file", &["max-buffer-size=1m"], "only supported with 'mode=non-blocking'"),
            ("json-file", &["compress=frob"], "strconv.ParseBool: parsing \"frob\": invalid syntax"),
            (
                "json-file",
                &["compress=true", "max-file=1"],
                "compress cannot be true when max-file is less than 2",
            ),
            ("local", &["compress=1", "max-size=-1"], "compress cannot be true when max-file is less than 2"),
            ("json-file", &["env-regex=("], "unclosed"),
        ] {
            let error = parse(driver, options).unwrap_err().to_string();
            assert!(error.contains(why), "{driver} {options:?}: {error}");
        }
    }

    #[test]
    fn entries_carry_what_was_chosen() {
        let log = parse("json-file", &["labels=a,b", "env=X", "env-regex=^LC_"]).unwrap();
        let labels = [("a", "1"), ("c", "2")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let env = ["X=y", "LC_ALL=C", "Z=z"].map(str::to_owned);
        let expected = [("LC_ALL", "C"), ("X", "y"), ("a", "1"), ("tag", "t")];
        let expected = expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(log.attributes(&labels, &env, Some("t")), expected);
    }
}
