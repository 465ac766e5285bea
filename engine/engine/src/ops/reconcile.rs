//! Putting everything right at once.

use base::ContainerId;

use crate::container::Lifecycle;
use crate::engine::Engine;
use crate::error::Error;

/// What was put right.
#[derive(Clone, Debug, Default)]
pub struct Reconciled {
    /// Containers whose creation was never finished.
    pub unfinished: Vec<ContainerId>,
    /// Containers whose end was recorded now.
    pub ended: Vec<ContainerId>,
    /// Containers whose removal was finished.
    pub removed: Vec<ContainerId>,
    /// Writable layers without a container.
    pub snapshots: Vec<ContainerId>,
    /// State directories, the runtime's among them, without a container.
    pub states: Vec<String>,
    /// What the network had to mend.
    pub network: attach::Reconciled,
    /// What could not be put right.
    pub problems: Vec<String>,
}

impl Engine {
    /// Finds what crashes and reboots have left and puts it right. Running containers are
    /// not disturbed.
    pub fn reconcile(&self) -> Result<Reconciled, Error> {
        let mut done = Reconciled::default();
        for id in self.containers().ids()? {
            if let Err(error) = self.reconcile_one(&id, &mut done)
                && !error.is_not_found()
            {
                done.problems.push(crate::error::chain(&error));
            }
        }
        self.containers().remove_stale_names()?;
        self.reconcile_snapshots(&mut done)?;
        // While the state directories still show whose shim lives.
        self.reconcile_remains(&mut done);
        self.reconcile_states(&mut done)?;
        // Asked for each one while nobody attaches: who begins meanwhile keeps its own.
        let networks = self.networks()?;
        done.network = networks.reconcile(|id| self.holds_network(id)).map_err(Error::network("store"))?;
        done.problems.extend(self.remind_warden()?);
        if self.containers().ids()?.is_empty() {
            // The last one has gone: the bridge and the table are made again with the next.
            networks.remove_idle().map_err(Error::network("store"))?;
        }
        Ok(done)
    }

    /// Whether a container may hold addresses: it runs, or is being started.
    pub(crate) fn holds_network(&self, id: &ContainerId) -> bool {
        match self.containers().read(id) {
            Ok(record) => record.lifecycle.is_up() || matches!(record.lifecycle, Lifecycle::Starting { .. }),
            Err(error) => !matches!(error, crate::container::StoreError::NotFound { .. }),
        }
    }

    fn reconcile_one(&self, id: &ContainerId, done: &mut Reconciled) -> Result<(), Error> {
        if self.remove_unfinished(id)? {
            done.unfinished.push(id.clone());
            return Ok(());
        }
        let before = self.containers().read(id)?;
        let locked = self.settled(id)?;
        let after = &locked.record.lifecycle;
        match (&before.lifecycle, after) {
            (_, Lifecycle::Removing) => {
                done.removed.push(id.clone());
                return self.remove_locked(locked, false);
            }
            (Lifecycle::Running { .. } | Lifecycle::Starting { .. }, Lifecycle::Exited { .. }) => {
                done.ended.push(id.clone());
            }
            _ => {}
        }
        if after.is_restarting() {
            drop(locked);
            // If its shim was lost while it waited, the restart is seen to.
            return self.look(id).map(drop);
        }
        let failed = matches!(after, Lifecycle::Created { failure: Some(_) });
        let ended = matches!(after, Lifecycle::Exited { .. });
        if locked.record.request.auto_remove && (ended || failed) {
            done.removed.push(id.clone());
            return self.remove_locked(locked, true);
        }
        Ok(())
    }

    fn reconcile_snapshots(&self, done: &mut Reconciled) -> Result<(), Error> {
        let snapshots = self.snapshots()?;
        snapshots.recover().map_err(Error::snapshot("store"))?;
        for active in snapshots.snapshots().map_err(Error::snapshot("store"))? {
            // Only keys of containers: others may belong to somebody else. A creator makes
            // the container's directory first, so one that is missing now was removed.
            if active.key.as_str().len() == 64 && !self.containers().exists(&active.key) {
                snapshots.remove(&active.key).map_err(Error::snapshot(active.key.short()))?;
                done.snapshots.push(active.key);
            }
        }
        snapshots.empty_trash().map_err(Error::snapshot("store"))
    }

    fn reconcile_states(&self, done: &mut Reconciled) -> Result<(), Error> {
        let directory = self.paths().state.join("containers");
        let Ok(entries) = std::fs::read_dir(&directory) else { return Ok(()) };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Ok(id) = ContainerId::parse(&name) else { continue };
            if self.containers().exists(&id) || shim::is_alive(&entry.path()) {
                continue;
            }
            std::fs::remove_dir_all(entry.path()).map_err(Error::file("remove", &entry.path()))?;
            if !done.states.contains(&name) {
                done.states.push(name);
            }
        }
        Ok(())
    }
}
