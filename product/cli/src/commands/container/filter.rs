//! `--filter` of `strake ps`: the same key more than once means any, other keys all.

use std::collections::BTreeMap;

use engine::{Lifecycle, Listed, Record};
use regex::Regex;

use shim::HealthStatus;

use crate::error::CliError;

/// The filters that were given, by key.
pub(super) struct Filters {
    by_key: BTreeMap<String, Vec<String>>,
    /// Docker reads the values of `name` and `id` as regular expressions.
    patterns: Vec<(String, Regex)>,
}

const KEYS: [&str; 14] = [
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "label", "name", "network",
    "publish", "since", "status", "volume",
];

/// Docker's words for a container's health.
const HEALTHS: [&str; 4] = ["starting", "healthy", "unhealthy", "none"];

/// Docker's words for a container's state.
const STATES: [&str; 7] = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];

impl Filters {
    /// Reads `key=value` each.
    pub(super) fn parse(texts: &[String]) -> Result<Self, CliError> {
        let mut filters = Self { by_key: BTreeMap::new(), patterns: Vec::new() };
        for text in texts {
            filters.take(text)?;
        }
        Ok(filters)
    }

    fn take(&mut self, text: &str) -> Result<(), CliError> {
        let wrong = |what: &str, why: String| {
            Err(CliError::message(format!("--filter {text:?} is not valid: {what}: {why}")))
        };
        let Some((key, value)) = text.split_once('=') else {
            return wrong("bad format of filter (expected name=value)", "as in status=exited".to_owned());
        };
        if !KEYS.contains(&key) {
            return wrong(&format!("invalid filter '{key}'"), format!("the keys are {}", KEYS.join(", ")));
        }
        let invalid = format!("invalid filter '{text}'");
        match key {
            "exited" if value.parse::<i32>().is_err() => {
                return wrong(&invalid, "exited takes an exit code".to_owned());
            }
            "status" if !STATES.contains(&value) => {
                return wrong(&invalid, format!("the states are {}", STATES.join(", ")));
            }
            "health" if !HEALTHS.contains(&value) => {
                return wrong(&invalid, format!("the states of health are {}", HEALTHS.join(", ")));
            }
            "publish" | "expose" if Ports::parse(value).is_none() => {
                return wrong(&invalid, "use PORT[-PORT][/PROTOCOL]".to_owned());
            }
            "name" | "id" => match Regex::new(value) {
                Ok(pattern) => self.patterns.push((key.to_owned(), pattern)),
                Err(why) => return wrong(&invalid, why.to_string()),
            },
            _ => {}
        }
        self.by_key.entry(key.to_owned()).or_default().push(value.to_owned());
        Ok(())
    }

    /// Containers that others are compared with: they must be there.
    pub(super) fn compared_with(&self) -> impl Iterator<Item = &str> {
        ["before", "since"].iter().filter_map(|key| self.by_key.get(*key)).flatten().map(String::as_str)
    }

    /// Whether containers that do not run are asked for, too.
    pub(super) fn ask_for_state(&self) -> bool {
        ["status", "exited"].iter().any(|key| self.by_key.contains_key(*key))
    }

    /// Whether a container fits; `all` is where others are looked up.
    pub(super) fn match_one(&self, listed: &Listed, all: &[Listed]) -> bool {
        self.by_key.iter().all(|(key, values)| {
            if matches!(key.as_str(), "name" | "id") {
                return self
                    .patterns
                    .iter()
                    .any(|(of, pattern)| of == key && is_called(&listed.record, of, pattern));
            }
            let fits = |value: &String| fits(key, value, listed, all);
            // Every label that is named must be there, as docker has it.
            if key == "label" { values.iter().all(fits) } else { values.iter().any(fits) }
        })
    }
}

fn fits(key: &str, value: &str, listed: &Listed, all: &[Listed]) -> bool {
    let record = &listed.record;
    match key {
        "label" => {
            let labels = record.labels();
            match value.split_once('=') {
                Some((key, value)) => labels.get(key).is_some_and(|known| known == value),
                None => labels.contains_key(value),
            }
        }
        "status" => record.lifecycle.docker_status() == value,
        "exited" => matches!(&record.lifecycle, Lifecycle::Exited { exit } if Some(exit.status().into()) == value.parse::<i32>().ok()),
        "ancestor" => is_of_image(record, value),
        "volume" => record.mounts.iter().any(|mount| {
            mount.target == std::path::Path::new(value)
                || record.volumes().any(|name| name == value)
                || matches!(&mount.source, engine::container::MountSource::Bind { path, .. } if path == std::path::Path::new(value))
        }),
        "network" => record.request.network.names().iter().any(|name| name == value),
        "publish" => Ports::parse(value).is_some_and(|wanted| {
            let ports = listed.attachment.iter().flat_map(|attachment| &attachment.ports);
            ports.into_iter().any(|port| wanted.takes(port.host_port, &port.protocol.to_string()))
        }),
        "expose" => Ports::parse(value).is_some_and(|wanted| {
            let ports = engine::exposed_ports(record);
            ports.iter().any(|port| wanted.takes(port.port, &port.protocol.to_string()))
        }),
        "before" | "since" => {
            let other = all.iter().find(|other| other.record.name == value || other.record.id.as_str().starts_with(value));
            other.is_some_and(|other| match key {
                "before" => record.created < other.record.created,
                _ => record.created > other.record.created,
            })
        }
        "health" => listed.health.map_or("none", HealthStatus::word) == value,
        "is-task" => value == "false",
        _ => false,
    }
}

/// Whether its name, with or without docker's slash, or its id is of the pattern.
fn is_called(record: &Record, by: &str, pattern: &Regex) -> bool {
    match by {
        "id" => pattern.is_match(record.id.as_str()),
        _ => name_fits(&record.name, pattern),
    }
}

fn name_fits(name: &str, pattern: &Regex) -> bool {
    pattern.is_match(name) || pattern.is_match(&format!("/{name}"))
}

/// `PORT[-PORT][/PROTOCOL]`; tcp when no protocol is named, as docker has it.
struct Ports<'t> {
    first: u16,
    last: u16,
    protocol: &'t str,
}

impl<'t> Ports<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last && matches!(protocol, "tcp" | "udp" | "sctp")).then_some(Self {
            first,
            last,
            protocol,
        })
    }

    fn takes(&self, port: u16, protocol: &str) -> bool {
        (self.first..=self.last).contains(&port) && protocol == self.protocol
    }
}

fn is_of_image(record: &Record, value: &str) -> bool {
    let same_name = |reference: &str| {
        oci_spec::Reference::parse(reference)
            .ok()
            .zip(oci_spec::Reference::parse(value).ok())
            .is_some_and(|(a, b)| a == b)
    };
    let bare = value.strip_prefix("sha256:").unwrap_or(value);
    record.image.name == value
        || same_name(&record.image.name)
        || same_name(&record.request.image)
        || (bare.len() >= 4 && record.image.id.hex().starts_with(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_in_part_or_whole() {
        for (name, value, fits) in [
            ("web-1", "web", true),
            ("web-1", "^web$", false),
            ("web", "^/web$", true),
            ("a-web", "^web", false),
            ("a-web", "web$", true),
            ("web-12", "^web-[0-9]+$", true),
        ] {
            assert_eq!(name_fits(name, &Regex::new(value).unwrap()), fits, "{name} {value}");
        }
    }

    #[test]
    fn refuses_in_dockers_words() {
        for (text, why) in [
            ("x", "bad format of filter (expected name=value)"),
            ("frob=1", "invalid filter 'frob'"),
            ("exited=x", "invalid filter 'exited=x'"),
            ("status=up", "invalid filter 'status=up'"),
            ("health=fine", "invalid filter 'health=fine'"),
            ("publish=80-70", "invalid filter 'publish=80-70'"),
            ("name=(", "invalid filter 'name=('"),
        ] {
            let error = Filters::parse(&[text.to_owned()]).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(Filters::parse(&["status=exited".to_owned()]).unwrap().ask_for_state());
    }

    #[test]
    fn ports_are_ranges_with_a_protocol() {
        let takes = |text: &str, port, protocol| Ports::parse(text).unwrap().takes(port, protocol);
        assert!(takes("80", 80, "tcp") && !takes("80", 80, "udp"));
        assert!(takes("80-90/udp", 85, "udp") && !takes("80-90/udp", 91, "udp"));
    }
}
