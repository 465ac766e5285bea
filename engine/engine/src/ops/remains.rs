//! What the OCI runtime keeps of a container: its record and its cgroup.
//!
//! The container's shim removes them at its end. A shim that is killed between recording
//! the end and that removal leaves them to whoever comes next.

use base::ContainerId;
use oci_runtime::{ContainerStatus, Runtime};

use super::reconcile::Reconciled;
use crate::engine::Engine;
use crate::error::{Error, chain};

impl Engine {
    fn runtime(&self) -> Runtime {
        Runtime::new(self.paths().runtime())
    }

    /// Removes what the runtime keeps of a container that does not run, unless its shim is
    /// there to do it. The caller holds the container's lock.
    pub(crate) fn remove_remains(&self, id: &ContainerId) -> Result<(), Error> {
        let kept = self.paths().runtime().join(id);
        if !kept.exists() || shim::is_alive(&self.paths().state_dir(id)) {
            return Ok(());
        }
        match self.runtime().delete(id, true) {
            // Its shim has just done it.
            Err(_) if !kept.exists() => Ok(()),
            deleted => deleted.map(drop).map_err(Error::runtime(id.short())),
        }
    }

    /// Whether the runtime's record is of a container that lives.
    pub(crate) fn lives(&self, id: &ContainerId) -> bool {
        self.runtime().state(id).is_ok_and(|(_, status)| status != ContainerStatus::Stopped)
    }

    /// The same for containers that nothing else is known of. A creator makes the
    /// container's own directory first and an id is never given twice, so nobody begins
    /// with one that has none. One that lives is told of and left alone.
    pub(super) fn reconcile_remains(&self, done: &mut Reconciled) {
        let Ok(entries) = std::fs::read_dir(self.paths().runtime()) else { return };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Ok(id) = ContainerId::parse(&name) else { continue };
            if self.containers().exists(&id) || shim::is_alive(&self.paths().state_dir(&id)) {
                continue;
            }
            match self.runtime().state(&id) {
                Ok((record, status)) if status != ContainerStatus::Stopped => {
                    done.problems.push(format!(
                        "container {} is {}, but nothing is recorded of it: end process {} and repeat",
                        id.short(),
                        status.as_str(),
                        if record.pid > 0 { record.pid } else { record.creator_pid },
                    ));
                    continue;
                }
                _ => {}
            }
            match self.remove_remains(&id) {
                Ok(()) => done.states.push(name),
                Err(error) => done.problems.push(chain(&error)),
            }
        }
    }
}
