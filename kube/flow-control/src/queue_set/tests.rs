use proptest::prelude::*;

use super::*;
use crate::shard::Dealer;

const MILLI: Nanos = 1_000_000;

fn queuing(queues: usize, hand: usize, length_max: usize) -> Shape {
    Shape::Queue(Queuing { dealer: Dealer::new(queues, hand).unwrap(), length_max })
}

fn wide(seats: usize) -> Work {
    Work { seats, ..Work::ONE }
}

/// Requests that run, in a level.
struct Bench {
    set: QueueSet<u32>,
    now: Nanos,
    running: VecDeque<(u32, Ticket)>,
}

impl Bench {
    fn new(shape: Shape, limit: usize) -> Self {
        Self { set: QueueSet::new(0, shape, limit), now: 0, running: VecDeque::new() }
    }

    /// `R` runs, `W` waits, `F` is refused as the queue is full, `L` as nobody waits here.
    fn come(&mut self, name: u32, flow: u64, work: Work) -> (char, Option<Place>) {
        let mut woken = Vec::new();
        let arrival = self.set.arrive(self.now, work, flow, || name, &mut woken);
        self.running.extend(woken);
        match arrival {
            Arrival::Run(ticket) => {
                self.running.push_back((name, ticket));
                ('R', None)
            }
            Arrival::Wait(place, _) => ('W', Some(place)),
            Arrival::Refused(Refusal::QueueFull) => ('F', None),
            Arrival::Refused(_) => ('L', None),
        }
    }

    fn many(&mut self, names: std::ops::Range<u32>, flow: u64) -> String {
        names.map(|name| self.come(name, flow, Work::ONE).0).collect()
    }

    /// The oldest ends after so long; whoever begins then.
    fn end(&mut self, after: Nanos) -> Vec<u32> {
        self.now += after;
        let (_, ticket) = self.running.pop_front().unwrap();
        let mut woken = Vec::new();
        self.set.finish(self.now, ticket, &mut woken);
        let names = woken.iter().map(|(name, _)| *name).collect();
        self.running.extend(woken);
        names
    }

    fn cancel(&mut self, place: Place) -> Option<u32> {
        let mut woken = Vec::new();
        let gone = self.set.cancel(self.now, place, &mut woken);
        self.running.extend(woken);
        gone
    }

    fn waiting(&self) -> usize {
        self.set.waiting().requests
    }
}

#[test]
fn seats_first_then_the_queue_then_nothing() {
    let mut bench = Bench::new(queuing(4, 1, 3), 2);
    assert_eq!(bench.many(0..7, 0), "RRWWWFF");
    assert_eq!(bench.set.executing(), Sum { requests: 2, seats: 2 });
    // Another flow has its own queue.
    assert_eq!(bench.many(10..14, 1), "WWWF");
    for _ in 0..6 {
        assert_eq!(bench.end(MILLI).len(), 1);
    }
    assert_eq!(bench.end(MILLI), [] as [u32; 0]);
    bench.end(MILLI);
    assert!(bench.set.is_idle());
    assert_eq!(bench.set.executing(), Sum::default());
}

#[test]
fn levels_without_queues() {
    let mut reject = Bench::new(Shape::Reject, 2);
    assert_eq!(reject.many(0..4, 0), "RRLL");
    reject.end(MILLI);
    assert_eq!(reject.come(9, 0, wide(2)).0, 'L');
    reject.end(MILLI);
    // What needs more than there is runs alone.
    assert_eq!(reject.come(9, 0, wide(5)).0, 'R');
    assert_eq!(reject.come(9, 0, Work::ONE).0, 'L');
    let mut exempt = Bench::new(Shape::Exempt, 0);
    assert_eq!(exempt.many(0..5, 0), "RRRRR");
    // A jail: what comes stays.
    let mut jail = Bench::new(queuing(1, 1, 2), 0);
    assert_eq!(jail.many(0..3, 0), "WWF");
}

#[test]
fn a_flood_does_not_delay_another_flow() {
    let mut bench = Bench::new(queuing(8, 1, 100), 1);
    bench.many(0..50, 0);
    bench.many(100..103, 5);
    let begun: Vec<u32> = (0..6).flat_map(|_| bench.end(3 * MILLI)).collect();
    // By turns, until the small one has nothing left.
    assert_eq!(begun, [100, 1, 101, 2, 102, 3]);
}

#[test]
fn a_wide_request_counts_for_what_it_takes() {
    let mut bench = Bench::new(queuing(8, 1, 100), 4);
    bench.come(0, 7, wide(4));
    for name in 1..4 {
        bench.come(name, 0, wide(4));
    }
    bench.many(100..112, 5);
    let mut order = Vec::new();
    while !bench.running.is_empty() {
        order.extend(bench.end(3 * MILLI));
    }
    // As many seats for the one as for the other.
    let wide_at: Vec<usize> = (1..4).map(|name| order.iter().position(|at| *at == name).unwrap()).collect();
    assert!(wide_at[0] <= 4 && wide_at[1] <= 9, "{order:?}");
    assert_eq!(order.len(), 15);
}

#[test]
fn a_wide_request_is_not_passed_by_for_ever() {
    let mut bench = Bench::new(queuing(2, 1, 100), 3);
    assert_eq!(bench.many(0..3, 0), "RRR");
    assert_eq!(bench.come(9, 1, wide(3)).0, 'W');
    assert_eq!(bench.many(3..6, 0), "WWW");
    let mut order = Vec::new();
    while !bench.running.is_empty() {
        order.extend(bench.end(3 * MILLI));
    }
    assert!(order.iter().position(|name| *name == 9).unwrap() <= 2, "{order:?}");
}

#[test]
fn who_gives_up_leaves_the_queue() {
    let mut bench = Bench::new(queuing(1, 1, 2), 1);
    bench.many(0..1, 0);
    let (_, first) = bench.come(1, 0, Work::ONE);
    let (_, second) = bench.come(2, 0, Work::ONE);
    assert_eq!(bench.come(3, 0, Work::ONE).0, 'F');
    assert_eq!(bench.cancel(first.unwrap()), Some(1));
    assert_eq!(bench.cancel(first.unwrap()), None);
    assert_eq!(bench.waiting(), 1);
    assert_eq!(bench.end(MILLI), [2]);
    // It is too late to give up.
    assert_eq!(bench.cancel(second.unwrap()), None);
    bench.end(MILLI);
    assert!(bench.set.is_idle());
}

#[test]
fn seats_linger_while_watches_hear_of_a_write() {
    let work = Work { seats: 1, last_seats: 2, linger: 5 * MILLI };
    let mut bench = Bench::new(queuing(1, 1, 9), 2);
    assert_eq!(bench.come(0, 0, work).0, 'R');
    assert_eq!(bench.set.wakes_at(), None);
    bench.end(MILLI);
    // Answered, but the seats are not free; nobody waits for them yet.
    assert_eq!((bench.set.executing(), bench.set.wakes_at()), (Sum { requests: 0, seats: 2 }, None));
    assert_eq!(bench.come(1, 0, Work::ONE).0, 'W');
    assert_eq!(bench.set.wakes_at(), Some(6 * MILLI));
    let mut woken = Vec::new();
    bench.set.wake(5 * MILLI, &mut woken);
    assert!(woken.is_empty());
    bench.set.wake(6 * MILLI, &mut woken);
    assert_eq!(woken.len(), 1);
    let (_, ticket) = woken.remove(0);
    // No more seats than there are: the same work takes longer.
    bench.set.finish(7 * MILLI, ticket, &mut woken);
    bench.set.configure(7 * MILLI, queuing(1, 1, 9), 1, &mut woken);
    bench.now = 7 * MILLI;
    assert_eq!(bench.come(2, 0, work).0, 'R');
    bench.end(0);
    bench.come(3, 0, Work::ONE);
    assert_eq!(bench.set.wakes_at(), Some(17 * MILLI));
}

#[test]
fn another_configuration_keeps_who_waits() {
    let mut bench = Bench::new(queuing(8, 1, 9), 1);
    for flow in 0..8 {
        bench.come(flow, u64::from(flow), Work::ONE);
    }
    assert_eq!(bench.waiting(), 7);
    let mut woken = Vec::new();
    bench.set.configure(MILLI, queuing(2, 1, 9), 1, &mut woken);
    assert_eq!((woken.len(), bench.set.queues().count()), (0, 8));
    bench.set.configure(MILLI, Shape::Reject, 4, &mut woken);
    assert_eq!(woken.len(), 3);
    bench.running.extend(woken);
    bench.now = MILLI;
    assert_eq!(bench.many(20..21, 0), "L");
    while !bench.running.is_empty() {
        bench.end(MILLI);
    }
    assert!(bench.set.is_idle());
    assert_eq!(bench.set.queues().count(), 0);
}

/// A flow that always has something waiting.
#[derive(Clone, Debug)]
struct Flow {
    seats: usize,
    millis: u64,
}

fn flows() -> impl Strategy<Value = Vec<Flow>> {
    let flows = |seats_max: usize| {
        let flow = (1..=seats_max, 1u64..20).prop_map(|(seats, millis)| Flow { seats, millis });
        prop::collection::vec(flow, 2..6)
    };
    prop_oneof![flows(1), flows(3)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Flows in queues of their own, each with more to do than it gets: each has the same part of the
    /// seats over time, whatever its requests take. Where some of them are wide seats stay empty until
    /// there are enough for one; the parts are then less even, but nobody starves.
    #[test]
    fn flows_get_the_same_part(flows in flows(), limit in 3usize..9) {
        let mut set = QueueSet::new(0, queuing(8, 1, 1000), limit);
        let mut running: BinaryHeap<Reverse<(Nanos, u64, usize)>> = BinaryHeap::new();
        let mut tickets = std::collections::HashMap::new();
        let (mut used, mut now, mut number) = (vec![0u128; flows.len()], 0, 0);
        let mut woken = Vec::new();
        let keep_waiting = |set: &mut QueueSet<usize>, woken: &mut Woken<usize>, now, at: usize| {
            match set.arrive(now, wide(flows[at].seats), at as u64, || at, woken) {
                Arrival::Run(ticket) => woken.push((at, ticket)),
                Arrival::Wait(..) => {}
                Arrival::Refused(_) => unreachable!("there is always a place"),
            }
        };
        for _ in 0..200 {
            (0..flows.len()).for_each(|at| keep_waiting(&mut set, &mut woken, now, at));
        }
        while now < 5_000 * MILLI {
            while let Some((at, ticket)) = woken.pop() {
                number += 1;
                let until = now + flows[at].millis * MILLI;
                running.push(Reverse((until, number, at)));
                tickets.insert(number, ticket);
                used[at] += u128::from(flows[at].millis) * flows[at].seats as u128;
                keep_waiting(&mut set, &mut woken, now, at);
            }
            prop_assert!(set.executing().seats <= limit);
            let Reverse((until, id, _)) = running.pop().unwrap();
            now = until;
            set.finish(now, tickets.remove(&id).unwrap(), &mut woken);
        }
        let (least, most) = (used.iter().min().unwrap(), used.iter().max().unwrap());
        let wide = flows.iter().any(|flow| flow.seats > 1);
        let uneven = if wide { *most * 2 / 3 } else { *most / 10 };
        prop_assert!(*most - *least <= uneven, "{used:?} of {flows:?} on {limit}");
    }

    /// Whatever comes, ends and gives up: nothing is lost, and nobody waits beside a free seat.
    #[test]
    fn nothing_is_lost(steps in prop::collection::vec((0u8..5, 0u64..40, 1usize..4, 0u64..9), 1..300)) {
        let mut bench = Bench::new(queuing(5, 2, 4), 3);
        let mut places: Vec<Place> = Vec::new();
        for (step, flow, seats, millis) in steps {
            bench.now += millis * MILLI;
            match step {
                0..=2 => {
                    let linger = millis * MILLI;
                    let work = Work { seats, last_seats: usize::from(linger > 0), linger };
                    places.extend(bench.come(0, flow, work).1);
                }
                3 if !bench.running.is_empty() => drop(bench.end(0)),
                4 if !places.is_empty() => {
                    let place = places.swap_remove(flow as usize % places.len());
                    bench.cancel(place);
                }
                _ => {}
            }
            prop_assert_eq!(bench.set.executing().requests, bench.running.len());
            let views: Vec<QueueView> = bench.set.queues().collect();
            prop_assert_eq!(views.iter().map(|view| view.waiting).sum::<usize>(), bench.waiting());
            prop_assert_eq!(views.iter().map(|view| view.executing).sum::<usize>(), bench.running.len());
            let head_waits = bench.waiting() > 0 && bench.set.executing().seats == 0;
            prop_assert!(!head_waits, "seats are free and somebody waits");
        }
        for _ in 0..400 {
            bench.now += 10 * MILLI;
            let mut woken = Vec::new();
            bench.set.wake(bench.now, &mut woken);
            bench.running.extend(woken);
            if !bench.running.is_empty() {
                bench.end(0);
            }
        }
        bench.set.wake(bench.now + 100 * MILLI, &mut Vec::new());
        prop_assert!(bench.set.is_idle());
        prop_assert_eq!(bench.set.executing(), Sum::default());
        prop_assert_eq!(bench.set.active, 0);
    }
}
