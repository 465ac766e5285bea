//! The Lease by which one of several schedulers acts.

use std::sync::Arc;
use std::time::Duration;

use client::{Api, Call};
use controller::{Clock, Election, Elector, ElectorStep};
use controllers::known;

/// A candidate and its Lease.
pub(crate) struct Lead {
    election: Election,
    elector: Elector,
    api: Arc<dyn Api>,
    clock: Arc<dyn Clock>,
}

impl Lead {
    pub(crate) fn new(election: Election, api: Arc<dyn Api>, clock: Arc<dyn Clock>) -> Self {
        let elector = Elector::new(&election.identity, &election.namespace, &election.name);
        Self { election, elector, api, clock }
    }

    /// Whether this one may act.
    pub(crate) fn is_mine(&self) -> bool {
        self.elector.is_leader(self.clock.elapsed())
    }

    /// When [`Self::tick`] is to be called.
    pub(crate) fn next_at(&self) -> Duration {
        self.elector.next_at()
    }

    /// Reads the Lease, and takes or renews it.
    pub(crate) async fn tick(&mut self) {
        let asked = self.clock.elapsed();
        let Election { namespace, name, .. } = &self.election;
        let lease = match self.api.call(Call::get(known::leases(), namespace, name)).await {
            Ok(lease) => Some(lease),
            Err(status) if status.code == 404 => None,
            Err(_) => return self.elector.missed(asked),
        };
        let is_new = lease.is_none();
        if let ElectorStep::Write(lease) = self.elector.step(lease, asked, self.clock.now()) {
            let call = if is_new {
                Call::create(known::leases(), namespace, lease)
            } else {
                Call::update(known::leases(), lease)
            };
            let done = self.api.call(call).await.is_ok();
            self.elector.written(done, asked);
        }
    }

    /// Gives the Lease back, so that the next one need not wait.
    pub(crate) async fn release(&self) {
        let Election { namespace, name, .. } = &self.election;
        if let Ok(lease) = self.api.call(Call::get(known::leases(), namespace, name)).await
            && let Some(given) = self.elector.released(&lease, self.clock.now())
        {
            // Who cannot give it back lets it run out.
            drop(self.api.call(Call::update(known::leases(), given)).await);
        }
    }
}
