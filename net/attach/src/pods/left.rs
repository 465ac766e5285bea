//! The files of a node's pod network: what sandboxes have got, and what those that are gone have left.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use base::ContainerId;
use sys::lock::FileLock;

use crate::error::Error;
use crate::files::{self, Durable};
use crate::ledger::Ledger;
use crate::links::HostLinks;
use crate::pods::PodAttachment;

/// Sandboxes below `state` that hold an address or are recorded and are not live, with their
/// addresses. Changes nothing; where no pod network was there are none.
pub fn left_in(
    state: &Path,
    is_live: impl Fn(&ContainerId) -> bool,
) -> Result<Vec<(ContainerId, Option<Ipv4Addr>)>, Error> {
    if !records(state).is_dir() {
        return Ok(Vec::new());
    }
    let _lock = lock(state)?;
    let ledger = ledger(state)?;
    let mut left: Vec<_> =
        ledger.holders.iter().map(|holder| (holder.id.clone(), Some(holder.address))).collect();
    let unheld = recorded(state)?.into_iter().filter(|id| ledger.of(id).next().is_none());
    left.extend(unheld.map(|id| (id, None)));
    left.retain(|(id, _)| !is_live(id));
    Ok(left)
}

/// What a sandbox below `state` got, or `None`; also where the pod network is not open (yet).
pub fn described_in(state: &Path, id: &ContainerId) -> Result<Option<PodAttachment>, Error> {
    files::read(&record(state, id))
}

/// Takes link, address and record of a sandbox below `state` away. Rules about its host ports go
/// when the network is opened next, as they do after any crash.
pub fn forget_in(state: &Path, id: &ContainerId) -> Result<(), Error> {
    let _lock = lock(state)?;
    let mut ledger = ledger(state)?;
    if let Some(holder) = ledger.release(id, None).pop() {
        let mut host = HostLinks::open()?;
        host.cut(&holder.host_link)?;
        host.delete(&holder.host_link)?;
        write_ledger(state, &ledger)?;
    }
    files::remove(&record(state, id))
}

pub(super) fn recorded(state: &Path) -> Result<Vec<ContainerId>, Error> {
    let directory = records(state);
    let failed = |source| Error::File { operation: "list", path: directory.clone(), source };
    let mut ids = Vec::new();
    for entry in fs::read_dir(&directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        ids.extend(name.to_str().and_then(|name| ContainerId::parse(name).ok()));
    }
    Ok(ids)
}

pub(super) fn ledger(state: &Path) -> Result<Ledger, Error> {
    Ok(files::read(&state.join(LEDGER))?.unwrap_or_default())
}

pub(super) fn write_ledger(state: &Path, ledger: &Ledger) -> Result<(), Error> {
    files::write(&state.join(LEDGER), &scratch(state), ledger, Durable::No)
}

pub(super) fn lock(state: &Path) -> Result<FileLock, Error> {
    let path = state.join("lock");
    FileLock::exclusive(&path).map_err(|source| Error::File { operation: "lock", path, source })
}

pub(super) fn records(state: &Path) -> PathBuf {
    state.join("pods")
}

pub(super) fn record(state: &Path, id: &ContainerId) -> PathBuf {
    records(state).join(id)
}

pub(super) fn scratch(state: &Path) -> PathBuf {
    state.join("scratch")
}

const LEDGER: &str = "ledger.json";
