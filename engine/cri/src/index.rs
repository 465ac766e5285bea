//! Which of the engine's containers are ours, whose, and with which labels: facts that never
//! change, so that a question about one pod does not read the records of all.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use base::ContainerId;
use engine::Engine;
use rpc::cri::Status;

use crate::error::status;
use crate::kept::{Container, Kept, Sandbox};

/// What is known of a container from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Facts {
    /// A sandbox with these labels.
    Sandbox(BTreeMap<String, String>),
    /// A container of a sandbox, with its labels.
    Container(String, BTreeMap<String, String>),
    /// Somebody else's.
    Foreign,
}

/// The facts of all containers that were asked about. The records are the truth: what is not
/// there any more is forgotten.
#[derive(Debug)]
pub(crate) struct Index {
    engine: Arc<Engine>,
    known: Mutex<HashMap<ContainerId, Arc<Facts>>>,
}

impl Index {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine, known: Mutex::default() }
    }

    /// The sandboxes that pass, the newest first.
    pub(crate) fn sandboxes(
        &self,
        passes: impl Fn(&str, &BTreeMap<String, String>) -> bool,
    ) -> Result<Vec<Sandbox>, Status> {
        let found = self.select(|id, facts| match facts {
            Facts::Sandbox(labels) => passes(id, labels),
            Facts::Container(..) | Facts::Foreign => false,
        })?;
        let sandboxes = found.into_iter().filter_map(|kept| match kept {
            Kept::Sandbox(sandbox) => Some(*sandbox),
            Kept::Container(_) => None,
        });
        Ok(sandboxes.collect())
    }

    /// The containers that pass by id, sandbox and labels, the newest first.
    pub(crate) fn containers(
        &self,
        passes: impl Fn(&str, &str, &BTreeMap<String, String>) -> bool,
    ) -> Result<Vec<Container>, Status> {
        let found = self.select(|id, facts| match facts {
            Facts::Container(sandbox, labels) => passes(id, sandbox, labels),
            Facts::Sandbox(_) | Facts::Foreign => false,
        })?;
        let containers = found.into_iter().filter_map(|kept| match kept {
            Kept::Container(container) => Some(*container),
            Kept::Sandbox(_) => None,
        });
        Ok(containers.collect())
    }

    /// The containers of a sandbox.
    pub(crate) fn members(&self, sandbox: &ContainerId) -> Result<Vec<Container>, Status> {
        self.containers(|_, of, _| of == sandbox.as_str())
    }

    fn select(&self, passes: impl Fn(&str, &Facts) -> bool) -> Result<Vec<Kept>, Status> {
        let ids = self.engine.containers().ids().map_err(|error| status(engine::Error::from(error)))?;
        let mut found = Vec::new();
        for (id, facts) in self.facts(ids) {
            // One that is being made or removed meanwhile may be missing.
            if passes(id.as_str(), &facts)
                && let Ok(record) = self.engine.look(&id)
            {
                found.extend(Kept::of(record));
            }
        }
        found.sort_by_key(|kept| std::cmp::Reverse(kept.record().created));
        Ok(found)
    }

    /// The facts of the containers that are there; records are read of those that are new.
    fn facts(&self, ids: Vec<ContainerId>) -> Vec<(ContainerId, Arc<Facts>)> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::with_capacity(ids.len());
        for id in ids {
            let facts = known.get(&id).cloned().or_else(|| self.read(&id).map(Arc::new));
            all.extend(facts.map(|facts| (id, facts)));
        }
        *known = all.iter().cloned().collect();
        all
    }

    /// Nothing of one that has no record yet.
    fn read(&self, id: &ContainerId) -> Option<Facts> {
        let record = self.engine.containers().read(id).ok()?;
        Some(match Kept::of(record) {
            Some(Kept::Sandbox(sandbox)) => Facts::Sandbox(sandbox.config.labels),
            Some(Kept::Container(container)) => {
                Facts::Container(container.sandbox_id, container.config.labels)
            }
            None => Facts::Foreign,
        })
    }
}
