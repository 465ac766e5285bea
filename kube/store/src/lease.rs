//! Leases: keys that go away together when nobody keeps them alive. Pure; time is an argument.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::error::Error;
use crate::types::LeaseId;

/// All leases and the keys that go with them.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    granted: BTreeMap<i64, Granted>,
    deadlines: BTreeSet<(Instant, i64)>,
    attached: HashMap<i64, BTreeSet<Bytes>>,
}

/// A lease's time.
#[derive(Debug)]
pub(crate) struct Granted {
    ttl: Duration,
    deadline: Instant,
}

/// What is known of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseInfo {
    /// Its name.
    pub id: LeaseId,
    /// The time it was granted for.
    pub ttl: Duration,
    /// The time it has left.
    pub remaining: Duration,
    /// The keys that go with it, ascending.
    pub keys: Vec<Bytes>,
}

impl Leases {
    /// Whether any key goes with a lease.
    pub(crate) fn any_attached(&self) -> bool {
        !self.attached.is_empty()
    }

    pub(crate) fn grant(&mut self, id: LeaseId, ttl: Duration, now: Instant) -> Result<(), Error> {
        if id.0 == 0 || self.granted.contains_key(&id.0) {
            return Err(Error::LeaseTaken { id });
        }
        let deadline = now + ttl;
        self.granted.insert(id.0, Granted { ttl, deadline });
        self.deadlines.insert((deadline, id.0));
        Ok(())
    }

    /// Starts the time anew; returns it.
    pub(crate) fn keep_alive(&mut self, id: LeaseId, now: Instant) -> Result<Duration, Error> {
        let lease = self.granted.get_mut(&id.0).ok_or(Error::LeaseNotFound { id })?;
        // A lease past its deadline is as good as revoked, though its keys are still there.
        if lease.deadline <= now {
            return Err(Error::LeaseNotFound { id });
        }
        self.deadlines.remove(&(lease.deadline, id.0));
        lease.deadline = now + lease.ttl;
        self.deadlines.insert((lease.deadline, id.0));
        Ok(lease.ttl)
    }

    pub(crate) fn remove(&mut self, id: LeaseId) -> Option<Granted> {
        let lease = self.granted.remove(&id.0)?;
        self.deadlines.remove(&(lease.deadline, id.0));
        Some(lease)
    }

    /// Takes back a [`Self::remove`].
    pub(crate) fn restore(&mut self, id: LeaseId, lease: Granted) {
        self.deadlines.insert((lease.deadline, id.0));
        self.granted.insert(id.0, lease);
    }

    /// All leases with the time they were granted for.
    pub(crate) fn granted(&self) -> Vec<(LeaseId, Duration)> {
        self.granted.iter().map(|(id, lease)| (LeaseId(*id), lease.ttl)).collect()
    }

    pub(crate) fn exists(&self, id: LeaseId) -> bool {
        self.granted.contains_key(&id.0)
    }

    pub(crate) fn keys(&self, id: LeaseId) -> Vec<Bytes> {
        self.attached.get(&id.0).into_iter().flatten().cloned().collect()
    }

    pub(crate) fn info(&self, id: LeaseId, now: Instant) -> Result<LeaseInfo, Error> {
        let lease = self.granted.get(&id.0).ok_or(Error::LeaseNotFound { id })?;
        let remaining = lease.deadline.saturating_duration_since(now);
        Ok(LeaseInfo { id, ttl: lease.ttl, remaining, keys: self.keys(id) })
    }

    pub(crate) fn ids(&self) -> Vec<LeaseId> {
        self.granted.keys().copied().map(LeaseId).collect()
    }

    pub(crate) fn expired(&self, now: Instant) -> Vec<LeaseId> {
        self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| LeaseId(*id)).collect()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Moves a key from one lease to another; 0 is none.
    pub(crate) fn attach(&mut self, key: &Bytes, from: i64, to: i64) {
        if from == to {
            return;
        }
        if let Some(keys) = self.attached.get_mut(&from) {
            keys.remove(key);
            if keys.is_empty() {
                self.attached.remove(&from);
            }
        }
        if to != 0 {
            self.attached.entry(to).or_default().insert(key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_unless_kept_alive() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut leases = Leases::default();
        leases.grant(LeaseId(1), Duration::from_secs(10), at(0)).unwrap();
        leases.grant(LeaseId(2), Duration::from_secs(10), at(0)).unwrap();
        assert!(leases.grant(LeaseId(1), Duration::from_secs(10), at(0)).is_err());
        assert!(leases.grant(LeaseId(0), Duration::from_secs(10), at(0)).is_err());
        assert_eq!(leases.next_deadline(), Some(at(10)));
        leases.keep_alive(LeaseId(2), at(5)).unwrap();
        assert_eq!(leases.expired(at(9)), []);
        assert_eq!(leases.expired(at(10)), [LeaseId(1)]);
        assert_eq!(leases.info(LeaseId(2), at(10)).unwrap().remaining, Duration::from_secs(5));
        assert!(leases.keep_alive(LeaseId(1), at(10)).is_err());
        leases.remove(LeaseId(1));
        assert_eq!(leases.expired(at(20)), [LeaseId(2)]);
    }
}
