//! What can go wrong between the proxy and the kernel.

use std::net::SocketAddr;

/// The proxy could not do something; it tries again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// nf_tables refused.
    #[error("{step} nftables table ip {table}")]
    Table {
        /// What was being done.
        step: &'static str,
        /// The table.
        table: String,
        /// Why.
        #[source]
        source: netlink::Error,
    },
    /// Connection tracking refused.
    #[error("forget tracked UDP connections to endpoints that are gone")]
    Datagrams(#[source] netlink::Error),
    /// The kernel's events cannot be heard.
    #[error("listen to changes of nftables")]
    Monitor(#[source] std::io::Error),
    /// The thread that talks to the kernel ended.
    #[error("the thread that writes nftables ended")]
    Thread(#[source] tokio::task::JoinError),
    /// Another proxy keeps the table.
    #[error(
        "nftables table ip {table} is kept by another service proxy of this network namespace; stop that, or let one of them run in a namespace of its own"
    )]
    Kept {
        /// The table.
        table: String,
    },
    /// Whether another proxy keeps the table cannot be told.
    #[error("mark nftables table ip {table} as kept by this service proxy")]
    Sole {
        /// The table.
        table: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A health-check port is taken.
    #[error(
        "serve health checks of service {service} on {address}; free the port or change the service's healthCheckNodePort"
    )]
    Health {
        /// Whose.
        service: String,
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// The whole chain in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        text
    }
}
