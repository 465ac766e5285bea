//! `--filter` of `strake ps`: the same key more than once means any, other keys all.

use std::collections::BTreeMap;

use engine::{Lifecycle, Listed, Record};

use shim::HealthStatus;

use crate::error::CliError;

/// The filters that were given, by key.
pub(super) struct Filters(BTreeMap<String, Vec<String>>);

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
        let mut filters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for text in texts {
            let (key, value) = text.split_once('=').ok_or_else(|| {
                CliError::message(format!(
                    "--filter {text:?} is not valid: use KEY=VALUE, as in status=exited"
                ))
            })?;
            if !KEYS.contains(&key) {
                let known = KEYS.join(", ");
                return Err(CliError::message(format!(
                    "--filter {text:?} is not valid: the keys are {known}"
                )));
            }
            if key == "exited" && value.parse::<i32>().is_err() {
                return Err(CliError::message(format!(
                    "--filter {text:?} is not valid: exited takes an exit code"
                )));
            }
            if key == "status" && !STATES.contains(&value) {
                return Err(CliError::message(format!(
                    "--filter {text:?} is not valid: the states are {}",
                    STATES.join(", ")
                )));
            }
            if key == "health" && !HEALTHS.contains(&value) {
                return Err(CliError::message(format!(
                    "--filter {text:?} is not valid: the states of health are {}",
                    HEALTHS.join(", ")
                )));
            }
            filters.entry(key.to_owned()).or_default().push(value.to_owned());
        }
        Ok(Self(filters))
    }

    /// Whether containers that do not run are asked for, too.
    pub(super) fn ask_for_state(&self) -> bool {
        ["status", "exited"].iter().any(|key| self.0.contains_key(*key))
    }

    /// Whether a container fits; `all` is where others are looked up.
    pub(super) fn match_one(&self, listed: &Listed, all: &[Listed]) -> bool {
        self.0.iter().all(|(key, values)| {
            let fits = |value: &String| fits(key, value, listed, all);
            // Every label that is named must be there, as docker has it.
            if key == "label" { values.iter().all(fits) } else { values.iter().any(fits) }
        })
    }
}

fn fits(key: &str, value: &str, listed: &Listed, all: &[Listed]) -> bool {
    let record = &listed.record;
    match key {
        "id" => record.id.as_str().starts_with(value),
        "name" => name_fits(&record.name, value),
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
        "network" => record.request.network.mode.docker_name() == value,
        "publish" | "expose" => {
            let wanted = value.split('/').next().unwrap_or(value);
            let ports = listed.attachment.iter().flat_map(|attachment| &attachment.ports);
            let mut ports = ports.map(|port| if key == "publish" { port.host_port } else { port.container_port });
            ports.any(|port| port.to_string() == wanted)
        }
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

/// Docker reads the value as a regular expression; `^` and `$` are what people use of it.
fn name_fits(name: &str, value: &str) -> bool {
    let (inner, from_start) = value.strip_prefix('^').map_or((value, false), |rest| (rest, true));
    let inner = inner.strip_prefix('/').unwrap_or(inner);
    let (inner, to_end) = inner.strip_suffix('$').map_or((inner, false), |rest| (rest, true));
    match (from_start, to_end) {
        (true, true) => name == inner,
        (true, false) => name.starts_with(inner),
        (false, true) => name.ends_with(inner),
        (false, false) => name.contains(inner),
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
        ] {
            assert_eq!(name_fits(name, value), fits, "{name} {value}");
        }
    }

    #[test]
    fn refuses_unknown_keys() {
        for text in ["x", "frob=1", "exited=x", "status=up", "health=fine"] {
            assert!(Filters::parse(&[text.to_owned()]).is_err(), "{text}");
        }
        assert!(Filters::parse(&["status=exited".to_owned()]).unwrap().ask_for_state());
    }
}
