//! Leases of the store that events go with: an event is forgotten an hour after it was written.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube_object::status::Status;
use store::{LeaseId, Store};

use crate::registry::random;
use crate::storage::{Storage, refusal};

/// Gives out one lease for a few minutes, then the next.
pub(crate) struct Leases {
    store: Arc<dyn Store>,
    now: Mutex<Option<(LeaseId, Instant)>>,
}

impl Leases {
    pub(crate) fn new(storage: &Storage) -> Self {
        Self { store: Arc::clone(storage.store()), now: Mutex::new(None) }
    }

    /// A lease that holds for at least [`EVENT_TTL`].
    pub(crate) async fn current(&self) -> Result<LeaseId, Status> {
        let now = Instant::now();
        let known = *self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((id, since)) = known.filter(|(_, since)| now.duration_since(*since) < SHARED_FOR) {
            let _ = since;
            return Ok(id);
        }
        let store = Arc::clone(&self.store);
        let id = LeaseId((random::below(i64::MAX as u64 - 1) + 1) as i64);
        let granted =
            tokio::task::spawn_blocking(move || store.lease_grant(id, EVENT_TTL + SHARED_FOR, now)).await;
        granted.map_err(Status::internal)?.map_err(|error| refusal(&error))?;
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, now));
        Ok(id)
    }
}

/// Upstream's `--event-ttl`.
const EVENT_TTL: Duration = Duration::from_secs(3600);
/// Events of this time share a lease.
const SHARED_FOR: Duration = Duration::from_secs(60);
