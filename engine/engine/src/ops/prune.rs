//! Removing what nobody needs: containers that have ended, volumes without a container.

use std::path::Path;

use shim::Timestamp;
use shim::events::Subject;

use super::RemoveOptions;
use super::usage::allocated;
use crate::container::{Lifecycle, Record};
use crate::engine::Engine;
use crate::error::Error;
use crate::request::InvalidOption;
use crate::volumes::Volume;

/// What of it goes: docker's `--filter` of prunes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneFilter {
    /// Only what was made before this moment.
    pub until: Option<Timestamp>,
    /// Only what has all of these labels; with a value only if it is that.
    pub labels: Vec<(String, Option<String>)>,
    /// Nothing that has one of these.
    pub without_labels: Vec<(String, Option<String>)>,
}

/// What was removed.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Ids or names.
    pub removed: Vec<String>,
    /// Bytes on disk that are free again.
    pub reclaimed_bytes: u64,
    /// What kept the rest from being removed.
    pub failure: Option<Error>,
}

impl PruneFilter {
    /// Reads `until=…`, `label=…` and `label!=…`; `moment` reads a time.
    pub fn parse(
        texts: &[String],
        moment: impl Fn(&str) -> Option<Timestamp>,
    ) -> Result<Self, InvalidOption> {
        let mut filter = Self::default();
        for text in texts {
            let wrong = |why| InvalidOption::new("--filter", text, why);
            let (key, value) = text.split_once('=').ok_or_else(|| wrong("use KEY=VALUE, as in until=24h"))?;
            let label = || match value.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (value.to_owned(), None),
            };
            match key {
                "until" => {
                    let time = moment(value).ok_or_else(|| wrong("use a duration as in 24h, or a time"))?;
                    filter.until = Some(time);
                }
                "label" => filter.labels.push(label()),
                // `label!=x` splits as key `label!`.
                "label!" => filter.without_labels.push(label()),
                _ => return Err(wrong("the keys are until, label and label!")),
            }
        }
        Ok(filter)
    }

    pub(super) fn takes(
        &self,
        created: Timestamp,
        labels: &std::collections::BTreeMap<String, String>,
    ) -> bool {
        let has = |(name, value): &(String, Option<String>)| {
            labels.get(name).is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        };
        self.until.is_none_or(|until| created < until)
            && self.labels.iter().all(has)
            && !self.without_labels.iter().any(has)
    }
}

impl Engine {
    /// Removes containers that do not run, the oldest last, until one cannot be removed.
    pub fn prune_containers(&self, filter: &PruneFilter) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        for listed in self.list()? {
            let record = listed.record;
            let is_over = matches!(record.lifecycle, Lifecycle::Created { .. } | Lifecycle::Exited { .. });
            if !is_over || !filter.takes(record.created, &record.labels()) {
                continue;
            }
            let bytes = self.bytes_of(&record);
            match self.remove(&record.id, RemoveOptions::default()) {
                Ok(()) => pruned.add(record.id.to_string(), bytes),
                // Somebody else has removed it, or started it again.
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    pruned.failure = Some(error);
                    break;
                }
            }
        }
        self.tell_pruned(Subject::Container, pruned.reclaimed_bytes);
        Ok(pruned)
    }

    /// Removes volumes that no container has: those made for one container, with `all` others too.
    pub fn prune_volumes(&self, all: bool, filter: &PruneFilter) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        for volume in self.volumes()? {
            let Volume { name, created, anonymous, labels, .. } = volume;
            let is_meant = (all || anonymous) && filter.takes(created, &labels);
            if !is_meant || !self.volume_users(&name)?.is_empty() {
                continue;
            }
            let bytes = allocated(&self.paths().volumes().join(&name));
            match self.remove_volume(&name) {
                Ok(()) => pruned.add(name, bytes),
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    pruned.failure = Some(error);
                    break;
                }
            }
        }
        self.tell_pruned(Subject::Volume, pruned.reclaimed_bytes);
        Ok(pruned)
    }

    /// Bytes on disk that go with a container: its writable layer, its log and its record.
    pub(crate) fn bytes_of(&self, record: &Record) -> u64 {
        let layer = self.paths().snapshots().join("active").join(&record.id);
        [layer.as_path(), &self.paths().record_dir(&record.id)]
            .into_iter()
            .map(|path: &Path| allocated(path))
            .sum()
    }
}

impl Pruned {
    fn add(&mut self, name: String, bytes: u64) {
        self.removed.push(name);
        self.reclaimed_bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[track_caller]
    fn check(filters: &[&str], taken: bool) {
        let texts: Vec<String> = filters.iter().map(|text| (*text).to_owned()).collect();
        let moment = |text: &str| Some(Timestamp::from_unix(text.parse().ok()?, 0));
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        let filter = PruneFilter::parse(&texts, moment).unwrap();
        assert_eq!(filter.takes(Timestamp::from_unix(100, 0), &labels), taken, "{filters:?}");
    }

    #[test]
    fn filters_as_docker_does() {
        check(&[], true);
        check(&["until=101"], true);
        check(&["until=100"], false);
        check(&["label=a"], true);
        check(&["label=a=1", "label=b"], true);
        check(&["label=a=2"], false);
        check(&["label!=a"], false);
        check(&["label!=c", "label!=a=2"], true);
        for bad in ["x", "frob=1", "until=soon"] {
            assert!(PruneFilter::parse(&[bad.to_owned()], |_| None).is_err(), "{bad}");
        }
    }
}
