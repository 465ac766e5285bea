//! What has happened to containers, images, volumes and networks, in docker's form.
//!
//! One record for all: every command and every shim appends to it ([`Journal::append`]), and
//! whoever wants to know reads it and goes on from there ([`Reader`]).
//!
//! ```text
//! <root>/events/lock            flock: held while one event is appended
//! <root>/events/events.jsonl    the newest, a JSON object a line
//! <root>/events/events.1.jsonl  those before them; what is older is forgotten
//! ```
//!
//! A process that is killed while it appends leaves at most the beginning of a line, which
//! the next one closes and readers pass over.

mod journal;
mod reader;
mod teller;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Timestamp;

pub use journal::{JOURNAL_BYTES_MAX, Journal};
pub use reader::Reader;
pub use teller::Teller;
pub(crate) use teller::tell;

/// What something has happened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A volume.
    Volume,
    /// A network.
    Network,
}

impl Subject {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
        }
    }
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// To what kind of thing.
    #[serde(rename = "Type")]
    pub subject: Subject,
    /// Docker's word for it: `start`, `die`, `exec_create: sh`.
    #[serde(rename = "Action")]
    pub action: String,
    /// To which.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// When, in nanoseconds since 1970. The journal sets it, so that the order of events is
    /// the order of their times.
    #[serde(rename = "timeNano")]
    pub time_nano: i64,
}

/// What an event has happened to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// A container's or image's id, a volume's or network's name.
    #[serde(rename = "ID")]
    pub id: String,
    /// Labels, the name, and what belongs to the event.
    #[serde(rename = "Attributes")]
    pub attributes: BTreeMap<String, String>,
}

impl Event {
    /// An event that is to be appended.
    pub fn new(
        subject: Subject,
        action: impl Into<String>,
        id: impl Into<String>,
        attributes: BTreeMap<String, String>,
    ) -> Self {
        Self { subject, action: action.into(), actor: Actor { id: id.into(), attributes }, time_nano: 0 }
    }

    /// When it happened.
    pub fn time(&self) -> Timestamp {
        let (seconds, nanos) = (self.time_nano.div_euclid(NANOS), self.time_nano.rem_euclid(NANOS));
        Timestamp::from_unix(seconds, u32::try_from(nanos).unwrap_or(0))
    }

    /// The event as docker's API has it, the fields of old clients included.
    pub fn to_json(&self) -> Value {
        let mut value = json!({
            "Type": self.subject.as_str(),
            "Action": self.action,
            "Actor": self.actor,
            "scope": "local",
            "time": self.time_nano.div_euclid(NANOS),
            "timeNano": self.time_nano,
        });
        if matches!(self.subject, Subject::Container | Subject::Image) {
            value["status"] = self.action.clone().into();
            value["id"] = self.actor.id.clone().into();
        }
        if let (Subject::Container, Some(image)) = (self.subject, self.actor.attributes.get("image")) {
            value["from"] = image.clone().into();
        }
        value
    }
}

/// Nanoseconds since 1970.
pub(crate) fn nanos_of(time: Timestamp) -> i64 {
    time.seconds().saturating_mul(NANOS).saturating_add(i64::from(time.nanos()))
}

const NANOS: i64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_dockers_form() {
        let attributes = BTreeMap::from([("image".to_owned(), "busybox".to_owned())]);
        let mut event = Event::new(Subject::Container, "start", "abc", attributes);
        event.time_nano = 1_700_000_000_000_000_005;
        let expected = json!({
            "status": "start", "id": "abc", "from": "busybox",
            "Type": "container", "Action": "start",
            "Actor": {"ID": "abc", "Attributes": {"image": "busybox"}},
            "scope": "local", "time": 1_700_000_000, "timeNano": 1_700_000_000_000_000_005_i64,
        });
        assert_eq!(event.to_json(), expected);
        assert_eq!(event.time().fixed(), "2023-11-14T22:13:20.000000005Z");
        let volume = Event::new(Subject::Volume, "create", "data", BTreeMap::new()).to_json();
        assert!(volume.get("status").is_none() && volume.get("from").is_none());
    }
}
