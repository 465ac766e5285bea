//! Which of several runtimes acts: the holder of a Lease. A machine without I/O.
//!
//! A holder renews every two seconds, and stops acting when it could not for ten. Others take the Lease when they have
//! seen it unchanged for fifteen: by their own clock, for clocks of machines differ.

use std::time::Duration;

use controllers::object::{micro_time, number, revision, set, text};
use jiff::Timestamp;
use kube_object::time::MicroTime;
use serde_json::{Value, json};

/// What is to be done for the Lease.
#[derive(Clone, Debug, PartialEq)]
pub enum ElectorStep {
    /// Write this Lease; it is new if it has no revision. Then tell [`Elector::written`].
    Write(Value),
    /// Nothing now.
    Wait,
}

/// One candidate.
#[derive(Clone, Debug)]
pub struct Elector {
    identity: String,
    namespace: String,
    name: String,
    /// What was seen last, and when it was first seen so.
    seen: Option<(Value, Duration)>,
    /// When this candidate last held the Lease for sure.
    held_at: Option<Duration>,
    next: Duration,
}

impl Elector {
    /// A candidate with this identity for a Lease.
    pub fn new(identity: &str, namespace: &str, name: &str) -> Self {
        Self {
            identity: identity.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            seen: None,
            held_at: None,
            next: Duration::ZERO,
        }
    }

    /// Whether this candidate may act now.
    pub fn is_leader(&self, now: Duration) -> bool {
        self.held_at.is_some_and(|at| now < at + RENEW_DEADLINE)
    }

    /// When to read the Lease again and call [`Self::step`].
    pub fn next_at(&self) -> Duration {
        self.next
    }

    /// When this candidate must stop acting unless it renews before.
    pub fn leads_until(&self) -> Option<Duration> {
        self.held_at.map(|at| at + RENEW_DEADLINE)
    }

    /// The Lease as it was read, if it is there.
    pub fn step(&mut self, lease: Option<Value>, now: Duration, time: Timestamp) -> ElectorStep {
        self.next = now + RETRY;
        let Some(lease) = lease else { return ElectorStep::Write(self.fresh(time)) };
        let unchanged = self.seen.as_ref().is_some_and(|(seen, _)| seen.get("spec") == lease.get("spec"));
        if !unchanged {
            self.seen = Some((lease.clone(), now));
        }
        let since = self.seen.as_ref().map_or(now, |(_, at)| *at);
        let holder = text(&lease, &["spec", "holderIdentity"]);
        let patience =
            number(&lease, &["spec", "leaseDurationSeconds"]).and_then(|all| u64::try_from(all).ok());
        let patience = patience.map_or(LEASE, Duration::from_secs);
        if holder == self.identity {
            return ElectorStep::Write(self.renewed(&lease, time));
        }
        if holder.is_empty() || now >= since + patience {
            return ElectorStep::Write(self.taken(&lease, time));
        }
        self.held_at = None;
        ElectorStep::Wait
    }

    /// The Lease could not be read: try again soon.
    pub fn missed(&mut self, now: Duration) {
        self.next = now + RETRY;
    }

    /// Whether the Lease that [`ElectorStep::Write`] asked for was written.
    pub fn written(&mut self, done: bool, now: Duration) {
        if done {
            self.held_at = Some(now);
        }
    }

    /// The Lease as it is given up, so that the next one need not wait.
    pub fn released(&self, lease: &Value, time: Timestamp) -> Option<Value> {
        if text(lease, &["spec", "holderIdentity"]) != self.identity {
            return None;
        }
        let mut given = lease.clone();
        set(&mut given, &["spec", "holderIdentity"], json!(""));
        set(&mut given, &["spec", "leaseDurationSeconds"], json!(1));
        set(&mut given, &["spec", "renewTime"], json!(micro(time)));
        Some(given)
    }

    fn fresh(&self, time: Timestamp) -> Value {
        let now = micro(time);
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {"holderIdentity": self.identity, "leaseDurationSeconds": LEASE.as_secs(),
                "acquireTime": now, "renewTime": now, "leaseTransitions": 0},
        })
    }

    fn renewed(&self, lease: &Value, time: Timestamp) -> Value {
        let mut renewed = lease.clone();
        set(&mut renewed, &["spec", "renewTime"], json!(micro(time)));
        set(&mut renewed, &["spec", "leaseDurationSeconds"], json!(LEASE.as_secs()));
        if micro_time(lease, &["spec", "acquireTime"]).is_none() {
            set(&mut renewed, &["spec", "acquireTime"], json!(micro(time)));
        }
        renewed
    }

    fn taken(&self, lease: &Value, time: Timestamp) -> Value {
        let transitions = number(lease, &["spec", "leaseTransitions"]).unwrap_or(0) + 1;
        let mut taken = self.fresh(time);
        set(&mut taken, &["spec", "leaseTransitions"], json!(transitions));
        set(&mut taken, &["metadata", "resourceVersion"], json!(revision(lease)));
        taken
    }
}

fn micro(time: Timestamp) -> String {
    MicroTime::from_unix_micros(time.as_microsecond()).map(|time| time.to_string()).unwrap_or_default()
}

/// How long others wait for a holder that does not renew, as upstream.
const LEASE: Duration = Duration::from_secs(15);
/// How long a holder acts without renewing, as upstream.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often the Lease is read, as upstream.
const RETRY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    /// Two candidates, one Lease, one clock.
    struct Race {
        lease: Option<Value>,
        revision: u64,
        now: Duration,
    }

    impl Race {
        fn step(&mut self, elector: &mut Elector) {
            let step = elector.step(self.lease.clone(), self.now, Timestamp::UNIX_EPOCH + self.now);
            if let ElectorStep::Write(mut lease) = step {
                let current = self.lease.as_ref().map(|lease| revision(lease).to_owned()).unwrap_or_default();
                let won = revision(&lease) == current;
                if won {
                    self.revision += 1;
                    set(&mut lease, &["metadata", "resourceVersion"], json!(self.revision.to_string()));
                    self.lease = Some(lease);
                }
                elector.written(won, self.now);
            }
        }
    }

    #[test]
    fn one_leads_and_the_other_takes_over() {
        let (mut a, mut b) = (Elector::new("a", "kube-system", "x"), Elector::new("b", "kube-system", "x"));
        let mut race = Race { lease: None, revision: 0, now: Duration::ZERO };
        for _ in 0..30 {
            race.step(&mut a);
            race.step(&mut b);
            assert!(a.is_leader(race.now) && !b.is_leader(race.now));
            race.now += RETRY;
        }
        // Now `a` is cut off.
        let (mut nobody, mut both) = (0, 0);
        for _ in 0..20 {
            race.step(&mut b);
            nobody += u32::from(!a.is_leader(race.now) && !b.is_leader(race.now));
            both += u32::from(a.is_leader(race.now) && b.is_leader(race.now));
            race.now += RETRY;
        }
        assert_eq!(both, 0);
        assert!((1..=5).contains(&nobody), "{nobody}");
        assert!(b.is_leader(race.now - RETRY));
        let lease = race.lease.clone().unwrap();
        assert_eq!(lease["spec"]["leaseTransitions"], 1);
        // A holder that gives the Lease up is followed at once.
        race.lease = b.released(&lease, Timestamp::UNIX_EPOCH);
        race.step(&mut a);
        assert!(a.is_leader(race.now));
    }
}
