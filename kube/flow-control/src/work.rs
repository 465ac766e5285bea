//! How many seats a request takes, and for how long: lists take more the more they read, writes the
//! more watches hear of them.

use crate::Nanos;

/// So many bytes of a list's objects in memory are a seat.
const LIST_BYTES_PER_SEAT: u64 = 100_000;
/// A list that the cache answers is written piece by piece: more than this is never in memory at once.
const STREAMED_BYTES_MAX: u64 = 1_000_000;
/// What an object of an unknown size is taken for: the largest that there can be.
const OBJECT_BYTES_MAX: u64 = 1_500_000;
/// The most seats of a list, and of a write.
const LIST_SEATS_MAX: usize = 100;
const WRITE_SEATS_MAX: usize = 10;
/// So many watches that hear of a write are a seat, each for [`EVENT_NANOS`].
const WATCHES_PER_SEAT: usize = 10;
const EVENT_NANOS: Nanos = 5_000_000;

/// What a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Seats while it is answered.
    pub seats: usize,
    /// Seats after it was answered, while watches hear of it.
    pub last_seats: usize,
    /// How long that is.
    pub linger: Nanos,
}

/// A collection, as far as the server knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collection {
    /// How many objects it has.
    pub count: u64,
    /// How large they are, on average.
    pub object_bytes: u64,
}

/// What a list or a watch asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listing<'a> {
    /// Whether it is a watch.
    pub watch: bool,
    /// Whether it is about one object, by its name.
    pub one: bool,
    /// Most items; 0 is all.
    pub limit: u64,
    /// Whether there is a selector.
    pub selects: bool,
    /// Whether it goes on where another ended.
    pub continues: bool,
    /// `resourceVersion`.
    pub version: &'a str,
    /// `resourceVersionMatch`.
    pub version_match: &'a str,
    /// `sendInitialEvents`.
    pub initial_events: bool,
}

impl Work {
    /// A request like most.
    pub const ONE: Self = Self { seats: 1, last_seats: 0, linger: 0 };

    /// The seats that it takes at its widest: those are kept for all of it.
    pub fn most_seats(&self) -> usize {
        self.seats.max(self.last_seats)
    }

    /// Seats times nanoseconds after the answer.
    pub(crate) fn last(&self) -> i128 {
        self.last_seats as i128 * i128::from(self.linger)
    }

    /// The same work on no more seats, where it can be done one after the other.
    #[must_use]
    pub(crate) fn within(self, limit: usize) -> Self {
        if self.last_seats <= limit || limit == 0 {
            return self;
        }
        let linger = self.last() / limit as i128;
        Self { last_seats: limit, linger: Nanos::try_from(linger).unwrap_or(Nanos::MAX), ..self }
    }
}

/// Of a list or a watch; `collection` is none for what is no kind of this server's.
pub fn list(asked: &Listing<'_>, collection: Option<Collection>, request_max: Option<usize>) -> Work {
    let whole_first = asked.initial_events || matches!(asked.version, "" | "0");
    let Some(collection) = collection.filter(|_| !asked.watch || whole_first) else { return Work::ONE };
    let from_cache = asked.watch || is_from_cache(asked);
    let limited = if asked.limit > 0 { collection.count.min(asked.limit) } else { collection.count };
    let objects = match (asked.one, from_cache || !asked.selects) {
        (true, _) => 1,
        (false, true) => limited,
        (false, false) => limited.max(collection.count / 2),
    };
    let each = if collection.object_bytes == 0 { OBJECT_BYTES_MAX } else { collection.object_bytes };
    let bytes = objects.saturating_mul(each);
    let bytes = if from_cache { bytes.min(STREAMED_BYTES_MAX) } else { bytes };
    let seats = usize::try_from(bytes.div_ceil(LIST_BYTES_PER_SEAT)).unwrap_or(usize::MAX);
    Work { seats: seats.max(1).min(most(request_max, LIST_SEATS_MAX)), ..Work::ONE }
}

/// Of a write that so many watches hear of.
pub fn write(watches: usize, request_max: Option<usize>) -> Work {
    if watches < WATCHES_PER_SEAT {
        return Work::ONE;
    }
    let last_seats = watches.div_ceil(WATCHES_PER_SEAT);
    let wide = Work { last_seats, linger: EVENT_NANOS, ..Work::ONE };
    wide.within(most(request_max, WRITE_SEATS_MAX))
}

/// Whether upstream's cache answers a list, which keeps no old states.
fn is_from_cache(asked: &Listing<'_>) -> bool {
    match asked.version_match {
        "NotOlderThan" => true,
        "" => !asked.continues && (asked.limit == 0 || matches!(asked.version, "" | "0")),
        _ => false,
    }
}

fn most(request_max: Option<usize>, limit: usize) -> usize {
    request_max.filter(|most| *most > 0).map_or(limit, |most| most.min(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Listing<'_> = Listing {
        watch: false,
        one: false,
        limit: 0,
        selects: false,
        continues: false,
        version: "",
        version_match: "",
        initial_events: false,
    };

    fn seats(asked: Listing<'_>, count: u64, object_bytes: u64, request_max: Option<usize>) -> usize {
        let work = list(&asked, Some(Collection { count, object_bytes }), request_max);
        assert_eq!((work.last_seats, work.linger), (0, 0));
        work.seats
    }

    #[test]
    fn lists_take_seats_by_what_is_in_memory() {
        for (asked, count, bytes, request_max, expected) in [
            (BASE, 0, 0, None, 1),
            (BASE, 10, 1000, None, 1),
            (BASE, 500, 1000, None, 5),
            (BASE, 501, 1000, None, 6),
            // What is streamed from the cache is never more than ten.
            (BASE, 100_000, 1000, None, 10),
            (BASE, 100_000, 1000, Some(4), 4),
            (Listing { one: true, ..BASE }, 100_000, 1000, None, 1),
            (Listing { limit: 100, ..BASE }, 100_000, 1000, None, 1),
            (Listing { limit: 500, version: "0", ..BASE }, 100_000, 1000, None, 5),
            // Old states are not streamed.
            (Listing { version: "7", version_match: "Exact", ..BASE }, 100_000, 1000, None, 100),
            (Listing { limit: 500, continues: true, ..BASE }, 100_000, 10_000, None, 50),
            (Listing { limit: 500, continues: true, selects: true, ..BASE }, 10_000, 1000, None, 50),
            // Objects of an unknown size may be large.
            (BASE, 1, 0, None, 10),
            // A watch that goes on where a list ended reads nothing.
            (Listing { watch: true, version: "7", ..BASE }, 100_000, 1000, None, 1),
            (Listing { watch: true, version: "0", ..BASE }, 100_000, 1000, None, 10),
            (Listing { watch: true, version: "7", initial_events: true, ..BASE }, 100_000, 1000, None, 10),
        ] {
            assert_eq!(seats(asked, count, bytes, request_max), expected, "{asked:?} {count} {bytes}");
        }
        assert_eq!(list(&BASE, None, None), Work::ONE);
    }

    #[test]
    fn writes_take_seats_by_who_hears_of_them() {
        let work = |last_seats, millis: u64| Work { seats: 1, last_seats, linger: millis * 1_000_000 };
        for (watches, request_max, expected) in [
            (0, None, Work::ONE),
            (9, None, Work::ONE),
            (10, None, work(1, 5)),
            (11, None, work(2, 5)),
            (100, None, work(10, 5)),
            // The same work, narrower and longer.
            (1000, None, work(10, 50)),
            (1000, Some(4), work(4, 125)),
        ] {
            assert_eq!(write(watches, request_max), expected, "{watches}");
        }
    }
}
