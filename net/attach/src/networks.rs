//! The front: networks and who is attached to them.

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use base::ContainerId;

use crate::attachment::{Attachment, Reconciled, Request};
use crate::error::Error;

/// Where a crash must be survivable.
pub const FAILPOINTS: &[&str] = &[
    "attach.lease-written",
    "attach.bridge-made",
    "attach.link-made",
    "attach.container-configured",
    "attach.rules-written",
    "detach.rules-removed",
    "detach.link-cut",
];

/// The networks of one data root.
#[derive(Debug)]
pub struct Networks {
    definitions: PathBuf,
    state: PathBuf,
}

impl Networks {
    /// The networks whose definitions are below `data_root` and whose leases are below
    /// `state_root`. Makes the two `networks` directories, nothing else.
    pub fn open(data_root: &Path, state_root: &Path) -> Result<Self, Error> {
        let networks = Self { definitions: data_root.join("networks"), state: state_root.join("networks") };
        for path in [&networks.definitions, &networks.state] {
            std::fs::create_dir_all(path).map_err(|source| Error::File {
                operation: "make directory",
                path: path.clone(),
                source,
            })?;
        }
        Ok(networks)
    }

    /// Attaches the container whose network namespace is `netns`.
    ///
    /// The namespace must be the container's own. Loopback is brought up, `eth0` made
    /// and configured, the ports published. On an error nothing is left behind.
    pub fn attach(&self, request: &Request, netns: BorrowedFd<'_>) -> Result<Attachment, Error> {
        let _ = netns;
        Err(Error::NoSuchNetwork { name: request.network.clone() })
    }

    /// Whether `request` would be granted now: unknown network, ports or address in
    /// use. Changes nothing.
    pub fn check(&self, request: &Request) -> Result<(), Error> {
        let _ = request;
        Ok(())
    }

    /// Releases the container's address and ports. No error when it has none.
    ///
    /// The links go with the container's namespace; its port of the bridge is cut at
    /// once.
    pub fn detach(&self, id: &ContainerId) -> Result<(), Error> {
        let _ = id;
        Ok(())
    }

    /// Removes what containers not in `live` have left, and writes the rules anew when
    /// they are not as they should be.
    pub fn reconcile(&self, live: &BTreeSet<ContainerId>) -> Result<Reconciled, Error> {
        let _ = live;
        Ok(Reconciled::default())
    }

    /// What the container got, or `None`.
    pub fn describe(&self, id: &ContainerId) -> Result<Option<Attachment>, Error> {
        let _ = id;
        Ok(None)
    }

    /// All that are attached.
    pub fn attachments(&self) -> Result<Vec<Attachment>, Error> {
        Ok(Vec::new())
    }
}

/// Brings loopback up in `netns`: all that `--network none` needs.
pub fn bring_up_loopback(netns: BorrowedFd<'_>) -> Result<(), Error> {
    let _ = netns;
    Ok(())
}
