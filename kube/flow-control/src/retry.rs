//! How long refused clients are to wait: longer while many are refused, as senders of TCP do.

use std::collections::VecDeque;

/// The longest, in seconds.
pub const RETRY_AFTER_MAX: u32 = 32;

/// Remembers whom a level has refused.
#[derive(Clone, Debug)]
pub struct Refusals {
    /// Seconds before the present one, and how many were refused in each.
    past: VecDeque<(u64, u64)>,
    second: u64,
    count: u64,
    retry_after: u32,
    raised: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { past: VecDeque::new(), second: 0, count: 0, retry_after: 1, raised: 0 }
    }
}

impl Refusals {
    /// One more is refused in this second; the seconds it is to wait.
    pub fn refuse(&mut self, second: u64) -> u32 {
        if self.second == second {
            self.count += 1;
            return self.retry_after;
        }
        self.past.push_back((self.second, self.count));
        (self.second, self.count) = (second, 1);
        let keep = u64::from((2 * self.retry_after).min(RETRY_AFTER_MAX));
        while self.past.front().is_some_and(|(past, _)| second.saturating_sub(*past) > keep) {
            self.past.pop_front();
        }
        self.adjust();
        self.retry_after
    }

    /// By how many were refused in the last seconds, as many as a client waits.
    fn adjust(&mut self) {
        let wait = u64::from(self.retry_after);
        let lately = self.past.iter().filter(|(past, _)| self.second.saturating_sub(*past) <= wait);
        let refused: u64 = lately.map(|(_, count)| count).sum();
        if refused >= 3 * wait && self.second.saturating_sub(self.raised) >= wait {
            self.retry_after = (2 * self.retry_after).min(RETRY_AFTER_MAX);
            self.raised = self.second;
        } else if refused < wait && self.retry_after > 1 {
            self.retry_after -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_in_a_flood_and_shrinks_after_it() {
        let mut refusals = Refusals::default();
        let mut waits = Vec::new();
        for second in 100..200 {
            let many: Vec<u32> = (0..500).map(|_| refusals.refuse(second)).collect();
            waits.push(many[0]);
        }
        assert_eq!(waits[..3], [1, 2, 2]);
        assert_eq!(waits.iter().max(), Some(&RETRY_AFTER_MAX));
        assert_eq!(waits.last(), Some(&RETRY_AFTER_MAX));
        // One now and then is no flood.
        let after: Vec<u32> = (0..40).map(|step| refusals.refuse(300 + 40 * step)).collect();
        assert_eq!((after[0], after.last()), (31, Some(&1)));
    }
}
