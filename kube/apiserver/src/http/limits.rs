//! How many requests are answered at a time.

use std::sync::Arc;

use kube_object::status::Status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::path::RequestInfo;
use crate::metrics::{InFlight, Metrics};

/// A body from this length on is large: hardly any object of a cluster is.
const LARGE: usize = 256 * 1024;
/// So many large bodies are worked on at a time; the others wait, as undecoded bytes.
const LARGE_MAX: usize = 4;

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
    large: Semaphore,
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
            large: Semaphore::new(LARGE_MAX),
            metrics,
        }
    }

    /// Waits until a body of this length may be decoded and worked on: decoded and copied it takes
    /// many times its length, so only few large ones are in memory at a time.
    pub(super) async fn decode(&self, length: usize) -> Option<SemaphorePermit<'_>> {
        if length < LARGE { None } else { self.large.acquire().await.ok() }
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
    use futures_util::FutureExt as _;
    use http::Method;

    use super::*;

    #[tokio::test]
    async fn few_large_bodies_are_worked_on_at_a_time() {
        let gate = Gate::new(Limits::default(), Arc::default());
        assert!(gate.decode(LARGE - 1).await.is_none());
        let mut held = Vec::new();
        for _ in 0..LARGE_MAX {
            held.push(gate.decode(LARGE).await.unwrap());
        }
        let mut next = std::pin::pin!(gate.decode(LARGE));
        assert!(next.as_mut().now_or_never().is_none());
        held.pop();
        assert!(next.await.is_some());
    }

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
