//! What has happened: told to one record that every front reads.
//!
//! Telling never fails an operation: with a full disk the event is lost and the container is
//! as it was asked to be. An end is told before it is recorded, so that a crash in between
//! tells it twice rather than never; everything else is told after it is true.

mod filter;

use std::collections::BTreeMap;

use attach::Rewritten;
use shim::events::{Event, Journal, Reader, Subject, Teller};
use shim::{Exit, Timestamp};

use crate::container::Record;
use crate::engine::Engine;
use crate::error::Error;

pub use filter::{Filter, InvalidFilter};

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
pub struct EventsRequest {
    /// Those from this moment on.
    pub since: Option<Timestamp>,
    /// Those until this moment; it may be still to come.
    pub until: Option<Timestamp>,
    /// Those to come too.
    pub follow: bool,
}

impl Engine {
    /// Opens the record of what has happened.
    pub fn events(&self, request: &EventsRequest) -> Result<Reader, Error> {
        Reader::open(self.journal(), request.since, request.until, request.follow)
            .map_err(Error::file("read the events below", &self.paths().root))
    }

    pub(crate) fn journal(&self) -> Journal {
        Journal::new(&self.paths().root)
    }

    /// Tells of something that has happened to a container.
    pub(crate) fn tell(&self, record: &Record, action: impl Into<String>, more: &[(&str, String)]) {
        let mut attributes = attributes(record);
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        tell(&self.journal(), Event::new(Subject::Container, action, record.id.as_str(), attributes));
    }

    /// Tells of something that has happened to a volume.
    pub(crate) fn tell_volume(&self, name: &str, action: &str, more: &[(&str, String)]) {
        let mut attributes = BTreeMap::from([("driver".to_owned(), "local".to_owned())]);
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        tell(&self.journal(), Event::new(Subject::Volume, action, name, attributes));
    }

    /// Tells that a container has got a network, or has it no more.
    pub(crate) fn tell_network(&self, record: &Record, network: &attach::Definition, action: &str) {
        let attributes = BTreeMap::from([
            ("container".to_owned(), record.id.to_string()),
            ("name".to_owned(), network.name.clone()),
            ("type".to_owned(), network.driver.name().to_owned()),
        ]);
        tell(&self.journal(), Event::new(Subject::Network, action, &network.id, attributes));
    }

    /// Tells that a container has its network no more, with its end.
    pub(crate) fn tell_left(&self, record: &Record, attachment: &attach::Attachment) {
        let network = self.networks().ok().and_then(|networks| networks.find(&attachment.network).ok());
        if let Some(network) = network {
            self.tell_network(record, &network, "disconnect");
        }
    }

    /// Tells that a network was made or removed.
    pub(crate) fn tell_network_itself(&self, network: &attach::Definition, action: &str) {
        let attributes = BTreeMap::from([
            ("name".to_owned(), network.name.clone()),
            ("type".to_owned(), network.driver.name().to_owned()),
        ]);
        tell(&self.journal(), Event::new(Subject::Network, action, &network.id, attributes));
    }

    /// Tells how a container has ended.
    pub(crate) fn tell_end(&self, record: &Record, exit: &Exit) {
        // A shim of today has told of each when it happened.
        if exit.oom_killed && exit.oom_kills.is_empty() {
            self.tell(record, "oom", &[]);
        }
        let lasted = exit.started_at.map_or(0, |started| exit.at.since(started).as_secs());
        let more = [("execDuration", lasted.to_string()), ("exitCode", exit.code.unwrap_or(255).to_string())];
        self.tell(record, "die", &more);
    }

    /// Tells that the rules for published ports were written anew, and why: somebody had changed
    /// or removed them, or the host's own rules, which they follow, are others now.
    pub fn tell_rules(&self, why: Rewritten) {
        let (action, reason) = match why {
            Rewritten::Missing => ("rules-restored", "the table was gone"),
            Rewritten::Changed => ("rules-restored", "somebody had changed the table"),
            Rewritten::Outdated => ("rules-renewed", "the host's rules or the networks have changed"),
        };
        let networks = self.networks().and_then(|networks| {
            networks.definition(attach::DEFAULT_NETWORK).map_err(Error::network(attach::DEFAULT_NETWORK))
        });
        let table = networks.ok().flatten().map(|network| network.table);
        let attributes = BTreeMap::from([
            ("name".to_owned(), attach::DEFAULT_NETWORK.to_owned()),
            ("reason".to_owned(), reason.to_owned()),
            ("table".to_owned(), table.unwrap_or_else(|| attach::DEFAULT_TABLE.to_owned())),
            ("type".to_owned(), "bridge".to_owned()),
        ]);
        tell(&self.journal(), Event::new(Subject::Network, action, attach::DEFAULT_NETWORK, attributes));
    }

    /// Tells that what no container needs any more was removed.
    pub(crate) fn tell_pruned(&self, subject: Subject, reclaimed_bytes: u64) {
        let attributes = BTreeMap::from([("reclaimed".to_owned(), reclaimed_bytes.to_string())]);
        tell(&self.journal(), Event::new(subject, "prune", "", attributes));
    }

    /// Lets the container's supervisor tell of it, by its present name.
    pub(crate) fn let_tell(&self, record: &Record) {
        let directory = self.paths().record_dir(&record.id);
        // With a full disk its events are lost, as ours are.
        let _ = Teller::new(&self.paths().root, attributes(record)).write(&directory);
    }
}

/// What every event of a container carries.
fn attributes(record: &Record) -> BTreeMap<String, String> {
    let mut attributes = record.labels();
    attributes.insert("image".to_owned(), record.request.image.clone());
    attributes.insert("name".to_owned(), record.name.clone());
    attributes
}

/// Nobody is there to tell when the event cannot be written.
pub(crate) fn tell(journal: &Journal, event: Event) {
    let _ = journal.append(event);
}
