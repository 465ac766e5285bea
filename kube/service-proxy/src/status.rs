//! How the proxy is doing, as values for health and metrics.

use std::time::Duration;

/// A moment's picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The kernel holds what the cluster demands, or did at the last commit.
    pub synced: bool,
    /// Services that are proxied.
    pub services: usize,
    /// Elements in all maps.
    pub elements: usize,
    /// Changes of objects that were taken in, and what follows from them carried out.
    pub changes: u64,
    /// Transactions that were committed.
    pub commits: u64,
    /// How often the kernel's table was read and compared.
    pub verifications: u64,
    /// How often the table was written from nothing.
    pub rewrites: u64,
    /// From the first change taken to the end of the last commit.
    pub last_sync: Duration,
    /// What the kernel refused last, until a commit succeeds.
    pub error: Option<String>,
    /// Health-check ports that cannot be served.
    pub health_errors: Vec<String>,
}
