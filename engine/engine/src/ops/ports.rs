//! Published ports: which there are, and who may reach them.

use attach::{PublishedPort, Way};

use crate::container::Record;
use crate::engine::Engine;
use crate::error::Error;

/// A published port and the ways to it.
#[derive(Clone, Debug)]
pub struct ReachedPort {
    /// The port.
    pub port: PublishedPort,
    /// One for each kind of client.
    pub ways: Vec<Way>,
}

impl Engine {
    /// The published ports of a running container, in docker's order.
    pub fn published_ports(&self, record: &Record) -> Result<Vec<PublishedPort>, Error> {
        if !record.lifecycle.is_running() {
            return Ok(Vec::new());
        }
        let attachments = self.networks()?.describe_all(&record.id).map_err(Error::network(&record.name))?;
        let mut ports: Vec<PublishedPort> = attachments.into_iter().flat_map(|a| a.ports).collect();
        ports.sort_by_key(|port| (port.container_port, port.protocol, port.host_ip, port.host_port));
        Ok(ports)
    }

    /// Who may reach each of them, by the rules that the kernel holds now.
    pub fn reached_ports(&self, record: &Record) -> Result<Vec<ReachedPort>, Error> {
        let networks = self.networks()?;
        let reached = |port: PublishedPort| {
            let ways = networks.ways(&port).map_err(Error::network(&record.name))?;
            Ok(ReachedPort { port, ways })
        };
        self.published_ports(record)?.into_iter().map(reached).collect()
    }
}
