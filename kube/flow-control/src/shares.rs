//! How many seats of the server a level has.

use crate::config::{Level, Shape};

/// The most that a request may take of a large level, as part of the level's seats.
const REQUEST_PART_MAX: f64 = 0.15;

/// A level's seats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seats {
    /// By its shares.
    pub nominal: usize,
    /// What others cannot use.
    pub least: usize,
    /// With all that it may use of others'.
    pub most: usize,
}

/// The seats of each level, of a server's.
pub fn seats(total: usize, levels: &[&Level]) -> Vec<Seats> {
    let sum: u64 = levels.iter().map(|level| u64::from(level.shares)).sum();
    levels.iter().map(|level| seats_of(total, level, sum)).collect()
}

fn seats_of(total: usize, level: &Level, sum: u64) -> Seats {
    let shares = u64::from(level.shares);
    let nominal = if sum == 0 { 0 } else { (total as u64 * shares).div_ceil(sum) as usize };
    let percent = |percent: u32| (nominal as f64 * f64::from(percent) / 100.0).round() as usize;
    let borrows = level.borrowing_limit_percent.map_or(total, percent);
    Seats { nominal, least: nominal - percent(level.lendable_percent), most: nominal + borrows }
}

/// The most seats that one request of a level may take; none if the level says nothing of it.
pub fn request_max(level: &Level, nominal: usize) -> Option<usize> {
    let Shape::Queue(queuing) = level.shape else { return None };
    let part = (nominal as f64 * REQUEST_PART_MAX).ceil() as usize;
    Some(part.min(nominal / queuing.dealer.hand()).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap;
    use crate::config::Config;

    fn of(total: usize) -> Vec<(String, Seats, Option<usize>)> {
        let (levels, schemas) = (bootstrap::levels(), bootstrap::schemas());
        let mut config = Config::new(&levels, &schemas);
        config.levels.sort_by(|a, b| a.name.cmp(&b.name));
        let levels: Vec<&Level> = config.levels.iter().collect();
        let named = levels.iter().zip(seats(total, &levels));
        named.map(|(level, seats)| (level.name.clone(), seats, request_max(level, seats.nominal))).collect()
    }

    #[test]
    fn the_usual_levels_of_the_usual_server() {
        let seats = |nominal, least, most| Seats { nominal, least, most };
        for ((name, found, request), expected) in of(600).into_iter().zip([
            ("catch-all", seats(13, 13, 613), None),
            ("exempt", seats(0, 0, 600), None),
            ("global-default", seats(49, 24, 649), Some(8)),
            ("leader-election", seats(25, 25, 625), Some(4)),
            ("node-high", seats(98, 73, 698), Some(15)),
            ("system", seats(74, 50, 674), Some(12)),
            ("workload-high", seats(98, 49, 698), Some(15)),
            ("workload-low", seats(245, 24, 845), Some(37)),
        ]) {
            assert_eq!((name.as_str(), found, request), expected);
        }
    }

    #[test]
    fn small_servers_have_a_seat_for_each() {
        for (name, seats, request) in of(3) {
            assert_eq!(seats.nominal > 0, name != "exempt", "{name}");
            assert!(request.is_none_or(|request| request == 1), "{name}");
        }
        assert!(of(0).iter().all(|(_, seats, _)| seats.most == 0));
    }
}
