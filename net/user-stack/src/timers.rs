//! When whom to wake.

use std::collections::BTreeSet;
use std::time::Instant;

/// Deadlines of numbered things. One has one deadline at most; it is told to whoever asks, and a deadline
/// that moved later is noticed when the earlier one is up.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Instant, usize)>,
}

impl Timers {
    /// Wakes `id` at `at`, or before when it was to be woken earlier. `armed` is the caller's note.
    pub(crate) fn arm(&mut self, armed: &mut Option<Instant>, id: usize, at: Instant) {
        match *armed {
            Some(known) if known <= at => return,
            Some(known) => drop(self.queue.remove(&(known, id))),
            None => {}
        }
        self.queue.insert((at, id));
        *armed = Some(at);
    }

    /// Forgets it.
    pub(crate) fn disarm(&mut self, armed: &mut Option<Instant>, id: usize) {
        if let Some(known) = armed.take() {
            self.queue.remove(&(known, id));
        }
    }

    /// The next one that is up; its caller's note is to be cleared.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<usize> {
        let first = *self.queue.first()?;
        if first.0 > now {
            return None;
        }
        self.queue.remove(&first);
        Some(first.1)
    }

    /// When the next one is up.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earlier_deadline_holds() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (mut timers, mut first, mut second) = (Timers::default(), None, None);
        timers.arm(&mut first, 1, at(5));
        timers.arm(&mut second, 2, at(3));
        timers.arm(&mut first, 1, at(9));
        timers.arm(&mut first, 1, at(2));
        assert_eq!(timers.next(), Some(at(2)));
        assert_eq!(timers.pop(at(1)), None);
        assert_eq!(timers.pop(at(4)), Some(1));
        timers.disarm(&mut second, 2);
        assert_eq!(timers.next(), None);
    }
}
