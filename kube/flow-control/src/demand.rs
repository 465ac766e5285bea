//! How many seats a level has needed: taken and asked for, over time.

use crate::Nanos;

/// Of what was, so much stays in a [`PERIOD_SECONDS`]: half of it in five minutes.
const DECAY: f64 = 0.977;
/// How often seats are divided anew while they are needed.
pub const PERIOD_SECONDS: f64 = 10.0;

/// Measures a level.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    now: usize,
    since: Nanos,
    high: usize,
    seconds: f64,
    /// Seats times seconds, and squares of seats times seconds.
    sums: [f64; 2],
    report: Report,
}

/// What was measured up to the last report.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// The most at a time.
    pub high: usize,
    /// On average over the time.
    pub average: f64,
    /// The standard deviation from that.
    pub deviation: f64,
    /// The average with its deviation, smoothed: it rises at once and falls slowly.
    pub smoothed: f64,
}

impl Demand {
    /// How many seats are taken and asked for now.
    pub fn now(&self) -> usize {
        self.now
    }

    /// It is so many from now on.
    pub fn set(&mut self, at: Nanos, seats: usize) {
        self.advance(at);
        self.now = seats;
        self.high = self.high.max(seats);
    }

    /// The last report.
    pub fn last(&self) -> Report {
        self.report
    }

    /// Whether there was more than `seats` since the last report, or is to be reckoned with.
    pub fn exceeds(&self, seats: usize) -> bool {
        self.high > seats || self.report.smoothed > seats as f64
    }

    /// Reports, and begins anew.
    pub fn report(&mut self, at: Nanos) -> Report {
        self.advance(at);
        self.report.high = self.high;
        if self.seconds > 0.0 {
            let average = self.sums[0] / self.seconds;
            let deviation = (self.sums[1] / self.seconds - average * average).max(0.0).sqrt();
            let envelope = average + deviation;
            let stays = DECAY.powf(self.seconds / PERIOD_SECONDS);
            let smoothed = stays * self.report.smoothed + (1.0 - stays) * envelope;
            self.report = Report { high: self.high, average, deviation, smoothed: smoothed.max(envelope) };
        }
        (self.high, self.seconds, self.sums) = (self.now, 0.0, [0.0; 2]);
        self.report
    }

    fn advance(&mut self, at: Nanos) {
        let seconds = at.saturating_sub(self.since) as f64 / 1e9;
        let seats = self.now as f64;
        self.seconds += seconds;
        self.sums[0] += seats * seconds;
        self.sums[1] += seats * seats * seconds;
        self.since = self.since.max(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6
    }

    #[test]
    fn rises_at_once_and_falls_slowly() {
        let mut demand = Demand::default();
        demand.set(0, 10);
        demand.set(5 * SECOND, 0);
        let report = demand.report(10 * SECOND);
        assert_eq!(report.high, 10);
        assert!(close(report.average, 5.0) && close(report.deviation, 5.0) && close(report.smoothed, 10.0));
        let report = demand.report(20 * SECOND);
        assert_eq!(report.high, 0);
        assert!(close(report.smoothed, 9.77), "{report:?}");
        assert!(demand.exceeds(9) && !demand.exceeds(10));
        // Nobody need look while nothing happens.
        let mut long = demand.clone();
        for period in 3..=32 {
            demand.report(period * 10 * SECOND);
        }
        assert!(close(demand.last().smoothed, long.report(320 * SECOND).smoothed));
        assert!(demand.last().smoothed < 5.0);
    }

    #[test]
    fn a_report_without_time_says_what_is() {
        let mut demand = Demand::default();
        demand.set(SECOND, 3);
        demand.report(SECOND);
        let report = demand.report(SECOND);
        assert_eq!(report.high, 3);
        assert!(demand.exceeds(2));
    }
}
