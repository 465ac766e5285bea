//! How long old revisions stay readable. Pure; time is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::types::Revision;

/// Remembers which revision was current when.
#[derive(Debug)]
pub struct Retention {
    window: Duration,
    marks: VecDeque<(Instant, Revision)>,
}

impl Retention {
    /// Keeps revisions readable for at least `window`.
    pub fn new(window: Duration) -> Self {
        Self { window, marks: VecDeque::new() }
    }

    /// Notes that `current` is current at `now`; returns the revision up to which history may go.
    pub fn observe(&mut self, now: Instant, current: Revision) -> Option<Revision> {
        let spaced = self.marks.back().is_none_or(|(at, _)| now >= *at + self.window / MARKS_IN_WINDOW);
        if spaced {
            self.marks.push_back((now, current));
        }
        let mut old = None;
        while let Some((at, revision)) = self.marks.front().copied()
            && at + self.window <= now
        {
            old = Some(revision);
            self.marks.pop_front();
        }
        old
    }
}

/// So many marks bound the memory; history may be kept longer by one part in that many.
const MARKS_IN_WINDOW: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_goes_when_the_window_has_passed() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut retention = Retention::new(Duration::from_secs(160));
        assert_eq!(retention.observe(at(0), Revision(5)), None);
        assert_eq!(retention.observe(at(1), Revision(6)), None);
        assert_eq!(retention.observe(at(100), Revision(9)), None);
        assert_eq!(retention.observe(at(159), Revision(11)), None);
        assert_eq!(retention.observe(at(161), Revision(12)), Some(Revision(5)));
        assert_eq!(retention.observe(at(400), Revision(20)), Some(Revision(11)));
        assert!(retention.marks.len() <= 20);
    }
}
