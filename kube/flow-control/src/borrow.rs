//! Who uses whose seats: levels that need few lend to those that need many.

use crate::shares::Seats;

/// A level's need, as it was since the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Need {
    /// What it has by configuration.
    pub seats: Seats,
    /// Whether it takes seats without asking.
    pub exempt: bool,
    /// The most seats that were taken and asked for at a time.
    pub high: usize,
    /// How many it needs in the long run.
    pub smoothed: f64,
}

/// What each level may use now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Division {
    /// Seats, in the order of the needs.
    pub seats: Vec<usize>,
    /// What each level was to have if there were enough.
    pub targets: Vec<f64>,
    /// The part of its target that each level has which is not at a bound.
    pub fair_part: f64,
}

/// Divides what all levels have.
pub fn divide(needs: &[Need]) -> Division {
    let all: usize = needs.iter().map(|need| need.seats.nominal).sum();
    let limited = || needs.iter().filter(|need| !need.exempt);
    let taken: usize = needs.iter().filter(|need| need.exempt).map(Need::least_now).sum();
    let left = all.saturating_sub(taken);
    let least: usize = limited().map(|need| need.seats.least).sum();
    let least_now: usize = limited().map(Need::least_now).sum();
    let targets = needs.iter().map(Need::target).collect();
    if left <= least_now {
        // Who is exempt has left too little: nobody borrows.
        let part = if left <= least { 0.0 } else { (left - least) as f64 / (least_now - least) as f64 };
        let own = |need: &Need| {
            let more = (need.least_now() - need.seats.least) as f64 * part;
            need.seats.least + more.round() as usize
        };
        let seats = needs.iter().map(|need| if need.exempt { need.least_now() } else { own(need) });
        let seats = needs.iter().zip(seats).map(|(need, seats)| need.at_work(seats)).collect();
        return Division { seats, targets, fair_part: 0.0 };
    }
    let bounded: Vec<Bounded> = limited().map(Need::bounded).collect();
    let part = fair_part(all as f64, &bounded);
    let seats = needs.iter().map(|need| {
        if need.exempt { need.least_now() } else { need.at_work(need.bounded().at(part).round() as usize) }
    });
    Division { seats: seats.collect(), targets, fair_part: part }
}

impl Need {
    /// What it cannot be left without now.
    fn least_now(&self) -> usize {
        if self.exempt {
            self.high.max(self.seats.least)
        } else {
            self.high.min(self.seats.nominal).max(self.seats.least)
        }
    }

    fn target(&self) -> f64 {
        self.smoothed.max(self.least_now() as f64)
    }

    fn bounded(&self) -> Bounded {
        Bounded {
            low: self.least_now() as f64,
            high: self.seats.most as f64,
            target: self.target().max(TARGET_MIN),
        }
    }

    /// A level with seats of its own is never without any: its first request would have to wait for
    /// the next division.
    fn at_work(&self, seats: usize) -> usize {
        if self.exempt { seats } else { seats.max(usize::from(self.seats.nominal > 0)) }
    }
}

/// A level without any need has at least so much of one.
const TARGET_MIN: f64 = 0.001;

/// A part of the sum between two bounds.
#[derive(Clone, Copy, Debug)]
struct Bounded {
    low: f64,
    high: f64,
    target: f64,
}

impl Bounded {
    fn at(&self, part: f64) -> f64 {
        (part * self.target).clamp(self.low, self.high.max(self.low))
    }
}

/// The part of its target for each so that all together are `sum`, as far as the bounds let them.
///
/// The sum grows with the part, in a straight line between the points at which one meets a bound: so
/// the line is found on which the sum lies, and the part on it.
fn fair_part(sum: f64, all: &[Bounded]) -> f64 {
    let total = |part: f64| all.iter().map(|one| one.at(part)).sum::<f64>();
    let mut bends: Vec<f64> =
        all.iter().flat_map(|one| [one.low / one.target, one.high / one.target]).collect();
    bends.sort_by(f64::total_cmp);
    let after = bends.partition_point(|bend| total(*bend) < sum);
    let upper = bends.get(after).or(bends.last()).copied().unwrap_or(0.0);
    let lower = after.checked_sub(1).and_then(|at| bends.get(at)).copied().unwrap_or(upper);
    let (below, above) = (total(lower), total(upper));
    if above > below {
        lower + (upper - lower) * ((sum - below) / (above - below)).clamp(0.0, 1.0)
    } else {
        upper
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn need(nominal: usize, least: usize, most: usize, high: usize, smoothed: f64) -> Need {
        Need { seats: Seats { nominal, least, most }, exempt: false, high, smoothed }
    }

    #[test]
    fn who_needs_much_borrows_of_who_needs_little() {
        for (needs, seats) in [
            // Nobody needs anything: by what cannot be lent.
            (vec![need(50, 25, 150, 0, 0.0), need(50, 25, 150, 0, 0.0)], vec![50, 50]),
            // One needs all that can be had.
            (vec![need(50, 25, 150, 200, 200.0), need(50, 25, 150, 0, 0.0)], vec![75, 25]),
            // What a level has needed lately it keeps, up to its own.
            (vec![need(50, 25, 150, 200, 200.0), need(50, 25, 150, 40, 10.0)], vec![60, 40]),
            // Nobody gets more than it may borrow.
            (vec![need(50, 25, 60, 200, 200.0), need(50, 25, 150, 0, 0.0)], vec![60, 40]),
            // Need above what there is, is met in proportion.
            (vec![need(50, 0, 150, 0, 300.0), need(50, 0, 150, 0, 100.0)], vec![75, 25]),
            // A level is never without a seat of its own; one without shares is.
            (
                vec![need(2, 0, 4, 0, 0.0), need(98, 98, 100, 98, 98.0), need(0, 0, 0, 0, 0.0)],
                vec![1, 100, 0],
            ),
            (vec![need(1, 0, 4, 0, 0.0), need(99, 99, 200, 99, 300.0)], vec![1, 100]),
        ] {
            assert_eq!(divide(&needs).seats, seats, "{needs:?}");
        }
    }

    #[test]
    fn the_exempt_take_what_they_need() {
        let exempt = |high| Need { exempt: true, high, ..Need::default() };
        let others = [need(50, 25, 150, 50, 50.0), need(50, 25, 150, 30, 30.0)];
        for (high, seats) in [(0, [63, 38]), (30, [42, 28]), (60, [25, 25]), (500, [25, 25])] {
            let divided = divide(&[exempt(high), others[0], others[1]]);
            assert_eq!(divided.seats[0], high);
            assert_eq!(divided.seats[1..], seats, "{high}");
        }
        assert!(divide(&[]).seats.is_empty());
    }

    proptest! {
        #[test]
        fn all_is_divided_within_the_bounds(levels in prop::collection::vec(
            (1usize..300, 0usize..101, 0usize..600, 0usize..900, 0.0f64..900.0), 1..9)) {
            let needs: Vec<Need> = levels.iter().map(|(nominal, lendable, more, high, smoothed)| {
                need(*nominal, nominal - nominal * lendable / 100, nominal + more, *high, *smoothed)
            }).collect();
            let divided = divide(&needs);
            let all: usize = needs.iter().map(|need| need.seats.nominal).sum();
            let sum: usize = divided.seats.iter().sum();
            // Each is rounded by itself, and has a seat.
            prop_assert!(sum.abs_diff(all) <= needs.len(), "{sum} of {all}: {divided:?}");
            for (need, seats) in needs.iter().zip(&divided.seats) {
                prop_assert!(*seats >= need.seats.least.max(1), "{need:?} {seats}");
                prop_assert!(*seats <= need.seats.most.max(1), "{need:?} {seats}");
                prop_assert!(*seats >= need.high.min(need.seats.nominal), "{need:?} {seats}");
            }
        }
    }
}
