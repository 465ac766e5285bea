//! The loop that looks after seats: those that are free with time, and those that are lent. While
//! every level has what it needs there is nothing to do, and nothing is done.

use std::time::Duration;

use flow_control::demand::PERIOD_SECONDS;
use tokio::time::Instant;

use super::Fairness;

/// A level's need is looked at for so long before it borrows for the first time.
const FIRST: Duration = Duration::from_secs(1);

impl Fairness {
    /// Runs until it is dropped.
    pub(super) async fn seats(&self) {
        let period = Duration::from_secs_f64(PERIOD_SECONDS);
        let mut last: Option<Instant> = None;
        let mut due: Option<Instant> = None;
        loop {
            let now = Instant::now();
            if due.is_some_and(|due| due <= now) {
                last = Some(now);
                due = self.divide().then(|| now + period);
            }
            let (wakes, busy) = self.wake();
            if busy && due.is_none() {
                due = Some(last.map_or(now + FIRST, |last| (last + period).max(now + FIRST)));
            }
            match [wakes, due].into_iter().flatten().min() {
                None => self.shared.seats.notified().await,
                Some(next) => {
                    let notified = self.shared.seats.notified();
                    drop(tokio::time::timeout_at(next, notified).await);
                }
            }
        }
    }

    /// Gives away what is free by now; when to look again, and whether some level needs more.
    fn wake(&self) -> (Option<Instant>, bool) {
        let (mut next, mut busy) = (None, false);
        for level in &self.active().levels {
            let (wakes, needs) = level.level.wake();
            next = [next, wakes].into_iter().flatten().min();
            busy |= needs;
        }
        let next = next.map(|at| Instant::from_std(self.shared.began) + Duration::from_nanos(at));
        (next, busy)
    }
}
