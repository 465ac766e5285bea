//! How many requests are answered at a time.

use std::sync::Arc;

use kube_object::json::MEMORY_MAX;
use kube_object::status::Status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::path::RequestInfo;
use crate::metrics::{InFlight, Metrics};

/// A body from this length on is large: hardly any object of a cluster is.
pub(super) const LARGE: usize = 256 * 1024;
/// So many bytes of large bodies are held at a time; the others wait unread, in their clients.
const UNREAD_MAX: usize = 32 * 1024 * 1024;
/// What the values of all bodies but the smallest may take in memory together, from before they are
/// decoded until their requests are answered.
const DECODED_MAX: usize = 128 * 1024 * 1024;
/// Bodies below this length are decoded without a place: all that are answered at a time take less
/// than two large ones.
const SMALL: usize = 4 * 1024;
/// At most so many bytes of memory come of one byte of a body: a list of objects with a short field.
const GROWTH_MAX: usize = 96;
/// Permits are of so many bytes.
const UNIT: usize = 1024;

/// The two limits, upstream's `--max-mutating-requests-inflight` and `--max-requests-inflight`. With
/// priority and fairness their sum is what all levels have together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests that may write.
    pub mutating: usize,
    /// Requests that only read.
    pub read_only: usize,
    /// Whether requests wait by priority and fairness, as [`crate::fairness`] says.
    pub fair: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { mutating: 200, read_only: 400, fair: true }
    }
}

/// Hands out places.
#[derive(Debug)]
pub struct Gate {
    mutating: Arc<Semaphore>,
    read_only: Arc<Semaphore>,
    unread: Semaphore,
    decoded: Semaphore,
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
            unread: Semaphore::new(UNREAD_MAX / UNIT),
            decoded: Semaphore::new(DECODED_MAX / UNIT),
            metrics,
        }
    }

    /// Waits until a body of at most `length` bytes may be held, in the order of asking. Small ones
    /// need not wait.
    pub(super) async fn hold(&self, length: usize) -> Option<SemaphorePermit<'_>> {
        if length < LARGE { None } else { self.unread.acquire_many(units(length)).await.ok() }
    }

    /// Waits until a body may be decoded. It is not known before how much its values take: it gets
    /// place for the most that may be, and gives back with [`Decoded::fit`] what it does not need. So
    /// requests that wait for a slow webhook keep little of what others could be decoded in.
    pub(super) async fn decode(&self, length: usize) -> Decoded<'_> {
        let most = length.saturating_mul(GROWTH_MAX).min(MEMORY_MAX);
        let permit = if length < SMALL { None } else { self.decoded.acquire_many(units(most)).await.ok() };
        Decoded { permit }
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

/// Memory for a body's values.
#[derive(Debug)]
pub(super) struct Decoded<'a> {
    permit: Option<SemaphorePermit<'a>>,
}

impl Decoded<'_> {
    /// Gives back what is not needed; `weight` tells what is, if it matters.
    pub(super) fn fit(&mut self, weight: impl FnOnce() -> usize) {
        if let Some(permit) = &mut self.permit {
            let surplus = permit.num_permits().saturating_sub(units(weight()) as usize);
            drop(permit.split(surplus));
        }
    }
}

/// As many permits as so many bytes need.
fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
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
    async fn few_bytes_of_large_bodies_are_held_at_a_time() {
        let gate = Gate::new(Limits::default(), Arc::default());
        assert!(gate.hold(LARGE - 1).await.is_none());
        let mut held = Vec::new();
        for _ in 0..UNREAD_MAX / (4 * LARGE) {
            held.push(gate.hold(4 * LARGE).await.unwrap());
        }
        let mut next = std::pin::pin!(gate.hold(3 * LARGE));
        assert!(next.as_mut().now_or_never().is_none());
        // Whoever came first is first, even if a later one would fit.
        assert!(gate.hold(LARGE).now_or_never().is_none());
        held.pop();
        assert!(next.await.is_some());
        assert!(gate.hold(LARGE - 1).await.is_none());
    }

    #[tokio::test]
    async fn what_waits_for_a_webhook_lets_others_be_decoded() {
        let gate = Gate::new(Limits::default(), Arc::default());
        let mut small = gate.decode(SMALL - 1).await;
        small.fit(|| unreachable!("small ones have no place"));
        let mut waiting = Vec::new();
        let (webhooks, each) = (20, 1024 * 1024);
        for _ in 0..webhooks {
            let mut decoded = gate.decode(LARGE * 10).await;
            decoded.fit(|| each);
            waiting.push(decoded);
        }
        let large = || gate.decode(LARGE * 10).now_or_never();
        let left = DECODED_MAX - webhooks * each;
        let decoded: Vec<_> = (0..left / MEMORY_MAX).map(|_| large()).collect();
        assert!(decoded.iter().all(Option::is_some));
        assert!(large().is_none());
        drop(decoded);
        assert!(large().is_some());
    }

    #[test]
    fn refuses_above_the_limit() {
        let gate = Gate::new(Limits { mutating: 1, read_only: 1, fair: false }, Arc::default());
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
