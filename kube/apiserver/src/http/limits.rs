//! How many requests are answered at a time.

use std::sync::Arc;

use kube_object::status::Status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::path::RequestInfo;
use crate::metrics::{InFlight, Metrics};

/// The two limits, upstream's `--max-mutating-requests-inflight` and `--max-requests-inflight`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests that may write.
    pub mutating: usize,
    /// Requests that only read.
    pub read_only: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { mutating: 200, read_only: 400 }
    }
}

/// Hands out places.
#[derive(Debug)]
pub struct Gate {
    mutating: Arc<Semaphore>,
    read_only: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// A place; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
    kind: InFlight,
    metrics: Arc<Metrics>,
}

impl Gate {
    /// With so many places.
    pub fn new(limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self {
            mutating: Arc::new(Semaphore::new(limits.mutating)),
            read_only: Arc::new(Semaphore::new(limits.read_only)),
            metrics,
        }
    }

    /// Takes a place, or refuses with 429. Long-running requests need none.
    pub fn enter(&self, info: &RequestInfo) -> Result<Option<Place>, Status> {
        if info.is_long_running() {
            return Ok(None);
        }
        let (kind, places) = if info.is_read_only() {
            (InFlight::ReadOnly, &self.read_only)
        } else {
            (InFlight::Mutating, &self.mutating)
        };
        let Ok(permit) = Arc::clone(places).try_acquire_owned() else {
            self.metrics.dropped(kind);
            return Err(Status::too_many_requests("Too many requests, please try again later.", 1));
        };
        self.metrics.in_flight(kind, 1);
        Ok(Some(Place { _permit: permit, kind, metrics: Arc::clone(&self.metrics) }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.in_flight(self.kind, -1);
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn refuses_above_the_limit() {
        let gate = Gate::new(Limits { mutating: 1, read_only: 1 }, Arc::default());
        let info = |method: &Method, path: &str| RequestInfo::parse(method, path).unwrap();
        let read = info(&Method::GET, "/api/v1/nodes/a");
        let write = info(&Method::POST, "/api/v1/nodes");
        let watch = info(&Method::GET, "/api/v1/watch/nodes");
        let first = gate.enter(&read).unwrap();
        assert_eq!(gate.enter(&read).unwrap_err().code, 429);
        assert!(gate.enter(&write).unwrap().is_some());
        assert!(gate.enter(&watch).unwrap().is_none());
        drop(first);
        assert!(gate.enter(&read).is_ok());
    }
}
