//! Docker's filters of events.

use std::collections::BTreeMap;

use base::{Classified, ErrorClass};
use shim::events::{Event, Subject};

/// Which events are wanted: values of the same key are alternatives, keys must all fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter(BTreeMap<String, Vec<String>>);

/// The text is not a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid filter {text:?}: {why}")]
pub struct InvalidFilter {
    /// What was given.
    pub text: String,
    /// What is wrong, and what would be right.
    pub why: String,
}

impl Classified for InvalidFilter {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

const KEYS: [&str; 14] = [
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

impl Filter {
    /// Reads `key=value` each.
    pub fn parse(texts: &[String]) -> Result<Self, InvalidFilter> {
        let mut filter = Self::default();
        for text in texts {
            let wrong = |why: String| InvalidFilter { text: text.clone(), why };
            let (key, value) =
                text.split_once('=').ok_or_else(|| wrong("use KEY=VALUE, as in event=die".to_owned()))?;
            filter.add(key.trim(), value.trim()).map_err(wrong)?;
        }
        Ok(filter)
    }

    /// Adds one; the error says what is wrong.
    fn add(&mut self, key: &str, value: &str) -> Result<(), String> {
        let key = key.to_lowercase();
        if !KEYS.contains(&key.as_str()) {
            return Err(format!("the keys are {}", KEYS.join(", ")));
        }
        self.0.entry(key).or_default().push(value.to_owned());
        Ok(())
    }

    /// Whether an event is wanted.
    pub fn takes(&self, event: &Event) -> bool {
        self.0.iter().all(|(key, values)| {
            let fits = |value: &String| fits(key, value, event);
            // Every label that is named must be there, as docker has it.
            if key == "label" { values.iter().all(fits) } else { values.iter().any(fits) }
        })
    }
}

fn fits(key: &str, value: &str, event: &Event) -> bool {
    let attributes = &event.actor.attributes;
    let named = |subject: Subject| event.subject == subject && is_called(event, value);
    match key {
        // `exec_start` takes `exec_start: sh -c …`.
        "event" => event.action == value || event.action.split(':').next() == Some(value),
        "type" => event.subject.as_str() == value,
        "scope" => value == "local",
        "container" => named(Subject::Container),
        "volume" => named(Subject::Volume),
        "network" => named(Subject::Network),
        "image" => {
            let name = match event.subject {
                Subject::Container => attributes.get("image"),
                Subject::Image => attributes.get("name"),
                Subject::Volume | Subject::Network => return false,
            };
            let is_id = event.subject == Subject::Image && event.actor.id == value;
            is_id || name.is_some_and(|name| name == value || without_tag(name) == value)
        }
        "label" => match value.split_once('=') {
            Some((key, value)) => attributes.get(key).is_some_and(|known| known == value),
            None => attributes.contains_key(value),
        },
        // Of what there is only in a swarm.
        _ => false,
    }
}

/// Names and ids may be shortened, as docker has it.
fn is_called(event: &Event, value: &str) -> bool {
    let name = event.actor.attributes.get("name");
    event.actor.id.starts_with(value) || name.is_some_and(|name| name.starts_with(value))
}

fn without_tag(name: &str) -> &str {
    let (directory, last) = name.rsplit_once('/').map_or(("", name), |(directory, last)| (directory, last));
    let base = last.split([':', '@']).next().unwrap_or(last);
    if directory.is_empty() { base } else { &name[..directory.len() + 1 + base.len()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let attributes =
            [("image", "q.io:5000/a/web:1"), ("name", "web-1"), ("env", "prod"), ("exitCode", "0")];
        let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Event::new(Subject::Container, "exec_create: sh -c x", "0123456789ab", attributes.into())
    }

    #[track_caller]
    fn check(filters: &[&str], taken: bool) {
        let filters: Vec<String> = filters.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(Filter::parse(&filters).unwrap().takes(&event()), taken, "{filters:?}");
    }

    #[test]
    fn takes_what_docker_takes() {
        check(&[], true);
        check(&["event=exec_create"], true);
        check(&["event=die", "event=exec_create"], true);
        check(&["event=die"], false);
        check(&["type=container", "container=web-1"], true);
        check(&["container=0123"], true);
        check(&["container=other"], false);
        check(&["type=image"], false);
        check(&["image=q.io:5000/a/web"], true);
        check(&["image=q.io:5000/a/web:1"], true);
        check(&["image=web"], false);
        check(&["label=env"], true);
        check(&["label=env=prod", "label=tier"], false);
        check(&["label=exitCode=0"], true);
        check(&["scope=local"], true);
        check(&["scope=swarm"], false);
        check(&["volume=web-1"], false);
        check(&["node=x"], false);
    }

    #[test]
    fn refuses_what_is_no_filter() {
        for text in ["x", "frob=1", "=y"] {
            assert!(Filter::parse(&[text.to_owned()]).is_err(), "{text}");
        }
    }

    #[test]
    fn tags_and_digests_go() {
        for (name, bare) in [
            ("busybox", "busybox"),
            ("busybox:1", "busybox"),
            ("q.io:5000/a", "q.io:5000/a"),
            ("q.io/a@sha256:0", "q.io/a"),
        ] {
            assert_eq!(without_tag(name), bare);
        }
    }
}
