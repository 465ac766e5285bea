//! Ways into a running container: its streams, its end, its network.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

use base::ContainerId;
use oci_spec::runtime::Spec;
use shim::{Attached, Client, StreamSet, Waiter};
use sys::namespace::Namespace;

use super::start::still_there;
use crate::container::Record;
use crate::engine::Engine;
use crate::error::Error;

/// A caller that holds a running container's streams.
#[derive(Debug)]
pub struct Attachment {
    /// The container.
    pub record: Record,
    /// The connection to its supervisor; it resizes the terminal, and detaches when dropped.
    pub client: Client,
    /// Its streams.
    pub streams: Attached,
}

/// Ids of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its supplementary groups.
    pub groups: Vec<u32>,
}

impl Engine {
    /// Connects to the streams of a running container. What it wrote before is in its log.
    pub fn attach(&self, id: &ContainerId, streams: StreamSet) -> Result<Attachment, Error> {
        let (record, client, streams) = self
            .through_shim(id, |record, client| client.attach(streams).map_err(Error::shim(&record.name)))?;
        self.tell(&record, "attach", &[]);
        Ok(Attachment { record, client, streams })
    }

    /// A descriptor to poll for a running container's end; after it, [`Engine::after_exit`]
    /// records how it ended.
    pub fn waiter(&self, id: &ContainerId) -> Result<Waiter, Error> {
        let (record, client, ()) = self.through_shim(id, |_, _| Ok(()))?;
        client.waiter().map_err(Error::shim(&record.name))
    }

    /// Lets a running container write to a new log file, after its log was renamed.
    pub fn reopen_log(&self, id: &ContainerId) -> Result<(), Error> {
        self.through_shim(id, |record, client| client.reopen_log().map_err(Error::shim(&record.name)))?;
        Ok(())
    }

    /// Sends a signal to a process that [`Engine::exec`] started.
    pub fn exec_kill(&self, id: &ContainerId, session: u64, signal: i32) -> Result<(), Error> {
        self.through_shim(id, |record, client| {
            client.exec_kill(session, signal).map_err(Error::shim(&record.name))
        })?;
        Ok(())
    }

    /// Who a running container's init was started as: what its user is in its image.
    pub fn identity(&self, record: &Record) -> Result<Option<Identity>, Error> {
        let path = self.paths().state_dir(&record.id).join("config.json");
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(Error::file("read", &path))?,
        };
        let spec: Spec =
            serde_json::from_slice(&bytes).map_err(|error| Error::file("read", &path)(error.into()))?;
        Ok(spec.process().as_ref().map(|process| Identity {
            uid: process.user().uid(),
            gid: process.user().gid(),
            groups: process.user().additional_gids().clone().unwrap_or_default(),
        }))
    }

    /// Connects to a TCP port on the loopback of a container's network, as a process in it would.
    pub fn dial(&self, id: &ContainerId, port: u16) -> Result<TcpStream, Error> {
        let record = self.look(id)?;
        let name = record.name.clone();
        let Some(pid) = record.lifecycle.pid() else { return Err(Error::NotRunning { name }) };
        let failed = |source| Error::Dial { name: name.clone(), port, source };
        let namespace = sys::namespace::open_of(Some(pid), Namespace::Net).map_err(failed)?;
        still_there(std::slice::from_ref(&record))?;
        // In a thread of its own, which ends in that network: no other may find itself there.
        let dialled = std::thread::spawn(move || {
            sys::namespace::join(&namespace, Namespace::Net)?;
            connect(port)
        });
        let joined = dialled.join();
        joined.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into())).map_err(failed)
    }
}

/// `localhost`, by either family.
fn connect(port: u16) -> io::Result<TcpStream> {
    let v4 = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    v4.or_else(|error| TcpStream::connect(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).map_err(|_| error))
}
