//! Removing a container, and everything of it.

use base::{ContainerId, failpoint};

use crate::container::{Event, Lifecycle, Locked, StoreError};
use crate::engine::Engine;
use crate::error::Error;

/// How a container is removed.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveOptions {
    /// Kill it when it runs.
    pub force: bool,
    /// Remove its anonymous volumes too.
    pub volumes: bool,
}

impl Engine {
    /// Removes a container.
    pub fn remove(&self, id: &ContainerId, options: RemoveOptions) -> Result<(), Error> {
        let locked = match self.settled(id) {
            Ok(locked) => locked,
            Err(Error::Store(StoreError::Damaged { .. })) if options.force => return self.remove_damaged(id),
            Err(error) if error.is_not_found() && self.remove_unfinished(id)? => return Ok(()),
            Err(error) => return Err(error),
        };
        if !locked.record.lifecycle.is_up() || !options.force {
            return self.remove_locked(locked, options.volumes);
        }
        if locked.record.lifecycle.is_restarting() {
            drop(locked);
            self.cancel_restart(id)?;
            return self.remove_locked(self.settled(id)?, options.volumes);
        }
        let record = locked.record.clone();
        drop(locked);
        self.mark_by_hand(&record, None)?;
        self.kill_and_wait(&record)?;
        match self.settled(id) {
            Ok(locked) => self.remove_locked(locked, options.volumes),
            // With --rm it went by itself.
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes a container whose lock is held. Every step can be done twice: a crash in
    /// between leaves it in `Removing`, and the next removal goes on.
    pub(crate) fn remove_locked(&self, mut locked: Locked, volumes: bool) -> Result<(), Error> {
        let id = locked.record.id.clone();
        let name = locked.record.name.clone();
        if locked.record.lifecycle != Lifecycle::Removing {
            self.advance(&mut locked, Event::Removing)?;
        }
        failpoint::hit("remove.marked");
        self.release(&locked)?;
        failpoint::hit("remove.detached");
        let snapshots = self.snapshots()?;
        snapshots.remove(&id).map_err(Error::snapshot(&name))?;
        failpoint::hit("remove.snapshot-removed");
        if volumes {
            self.remove_anonymous_volumes(&locked)?;
        }
        failpoint::hit("remove.volumes-removed");
        let record = locked.record.clone();
        self.containers().remove(locked)?;
        self.tell(&record, "destroy", &[]);
        // Deleting many files takes its time and blocks nobody now.
        snapshots.empty_trash().map_err(Error::snapshot(&name))
    }

    fn remove_anonymous_volumes(&self, locked: &Locked) -> Result<(), Error> {
        for volume in locked.record.anonymous_volumes() {
            let others = self.containers().ids()?.into_iter().filter(|id| *id != locked.record.id);
            let shared = others
                .filter_map(|id| self.containers().read(&id).ok())
                .any(|record| record.volumes().any(|name| name == volume));
            if !shared {
                self.delete_volume(volume)?;
            }
        }
        Ok(())
    }

    /// What a creator that died has left; whether there was anything.
    pub(crate) fn remove_unfinished(&self, id: &ContainerId) -> Result<bool, Error> {
        let Some(reservation) = self.containers().unfinished(id)? else { return Ok(false) };
        self.remove_remains(id)?;
        self.snapshots()?.remove(id).map_err(Error::snapshot(id.short()))?;
        drop(reservation);
        Ok(true)
    }

    /// A container whose record cannot be read: what can be found by its id goes.
    fn remove_damaged(&self, id: &ContainerId) -> Result<(), Error> {
        if let Ok(mut client) = shim::Client::connect(&self.paths().state_dir(id)) {
            let _ = client.hold_cleanup();
            let _ = client.kill(9);
            let _ = client.wait();
            let _ = client.cleaned_up();
        }
        self.networks()?.detach(id).map_err(Error::network(id.short()))?;
        self.remove_remains(id)?;
        self.snapshots()?.remove(id).map_err(Error::snapshot(id.short()))?;
        for dir in [self.paths().state_dir(id), self.paths().record_dir(id)] {
            match std::fs::remove_dir_all(&dir) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::file("remove", &dir)(error));
                }
                _ => {}
            }
        }
        self.containers().remove_stale_names()?;
        self.snapshots()?.empty_trash().map_err(Error::snapshot(id.short()))
    }
}
