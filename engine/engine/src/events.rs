//! What has happened: told to one record that every front reads.
//!
//! Telling never fails an operation: with a full disk the event is lost and the container is
//! as it was asked to be. An end is told before it is recorded, so that a crash in between
//! tells it twice rather than never; everything else is told after it is true.

mod filter;

use std::collections::BTreeMap;

use shim::events::{Event, Journal, Reader, Subject};
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
        let mut attributes = record.labels();
        attributes.insert("image".to_owned(), record.request.image.clone());
        attributes.insert("name".to_owned(), record.name.clone());
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
    pub(crate) fn tell_network(&self, record: &Record, action: &str) {
        let name = record.request.network.mode.docker_name();
        let attributes = BTreeMap::from([
            ("container".to_owned(), record.id.to_string()),
            ("name".to_owned(), name.clone()),
            ("type".to_owned(), name.clone()),
        ]);
        tell(&self.journal(), Event::new(Subject::Network, action, name, attributes));
    }

    /// Tells how a container has ended.
    pub(crate) fn tell_end(&self, record: &Record, exit: &Exit) {
        if exit.oom_killed {
            self.tell(record, "oom", &[]);
        }
        let lasted = exit.started_at.map_or(0, |started| exit.at.since(started).as_secs());
        let more = [("execDuration", lasted.to_string()), ("exitCode", exit.code.unwrap_or(255).to_string())];
        self.tell(record, "die", &more);
    }

    /// Tells that what no container needs any more was removed.
    pub(crate) fn tell_pruned(&self, subject: Subject, reclaimed_bytes: u64) {
        let attributes = BTreeMap::from([("reclaimed".to_owned(), reclaimed_bytes.to_string())]);
        tell(&self.journal(), Event::new(subject, "prune", "", attributes));
    }

    /// Tells that a process that [`Engine::exec`] started has ended, for who waited for it.
    pub fn exec_ended(&self, record: &Record, exec_id: &str, code: i32) {
        let more = [("execID", exec_id.to_owned()), ("exitCode", code.to_string())];
        self.tell(record, "exec_die", &more);
    }
}

/// Nobody is there to tell when the event cannot be written.
pub(crate) fn tell(journal: &Journal, event: Event) {
    let _ = journal.append(event);
}
