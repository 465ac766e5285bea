//! Which range a network has and which address a container gets. Pure.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::cidr::Cidr;
use crate::cidr6::Cidr6;

/// The range of the default network, when nothing collides.
pub(crate) const PREFERRED: Cidr = Cidr::of(Ipv4Addr::new(172, 30, 0, 0), 16);

/// The ranges that a network without a wish may have, in order of preference.
pub(crate) fn candidates() -> impl Iterator<Item = Cidr> {
    let below = (16..30u8).rev().map(|b| Cidr::of(Ipv4Addr::new(172, b, 0, 0), 16));
    let above = std::iter::once(Cidr::of(Ipv4Addr::new(172, 31, 0, 0), 16));
    let tens = (64..128u8).map(|b| Cidr::of(Ipv4Addr::new(10, b, 0, 0), 16));
    let homes = (0..16u8).rev().map(|c| Cidr::of(Ipv4Addr::new(192, 168, c * 16, 0), 20));
    std::iter::once(PREFERRED).chain(below).chain(above).chain(tens).chain(homes)
}

/// The ranges that a user's network may have, in order of preference: docker's, and more of
/// the same kind when those are taken.
pub(crate) fn pools() -> impl Iterator<Item = Cidr> {
    let docker = (18..32u8).chain([17, 16]).map(|b| Cidr::of(Ipv4Addr::new(172, b, 0, 0), 16));
    let homes = (0..16u8).map(|c| Cidr::of(Ipv4Addr::new(192, 168, c * 16, 0), 20));
    let tens =
        (64..128u8).flat_map(|b| (0..16u8).map(move |c| Cidr::of(Ipv4Addr::new(10, b, c * 16, 0), 20)));
    docker.chain(homes).chain(tens)
}

/// The first candidate that meets none of `taken`.
///
/// Networks as short as a default route (`/0`, and the two `/1` that VPNs use in its
/// place) meet everything and say nothing, so they are passed over.
pub(crate) fn choose_range(taken: &[Cidr]) -> Option<Cidr> {
    candidates().find(|candidate| collision(*candidate, taken).is_none())
}

/// The member of `taken` that `range` meets.
pub(crate) fn collision(range: Cidr, taken: &[Cidr]) -> Option<Cidr> {
    taken.iter().copied().find(|other| other.prefix() > 1 && other.overlaps(&range))
}

/// The lowest and the highest address that containers can have: not the network's, not
/// the broadcast address. The gateway is among them and must be passed over.
pub(crate) fn span(range: Cidr) -> (Ipv4Addr, Ipv4Addr) {
    let (first, last) = (range.network().to_bits(), range.last().to_bits());
    if range.prefix() >= 31 {
        return (Ipv4Addr::from_bits(first), Ipv4Addr::from_bits(last));
    }
    (Ipv4Addr::from_bits(first + 1), Ipv4Addr::from_bits(last - 1))
}

/// How many addresses containers can have, with `gateway` inside.
pub(crate) fn capacity(range: Cidr) -> u32 {
    let (first, last) = span(range);
    last.to_bits() - first.to_bits()
}

/// The next free address after `cursor` between a first and a last one, around the end.
///
/// Next fit: an address that was released is not given again until the range has been
/// gone through, so that a neighbour that still knows it is not misled.
pub(crate) fn next_of(
    (first, last): (Ipv4Addr, Ipv4Addr),
    gateway: Ipv4Addr,
    held: &BTreeSet<Ipv4Addr>,
    cursor: Option<Ipv4Addr>,
) -> Option<Ipv4Addr> {
    let (first, last) = (first.to_bits(), last.to_bits());
    let start = match cursor.map(Ipv4Addr::to_bits) {
        Some(cursor) if (first..last).contains(&cursor) => cursor + 1,
        _ => first,
    };
    (start..=last)
        .chain(first..start)
        .map(Ipv4Addr::from_bits)
        .find(|address| *address != gateway && !held.contains(address))
}

/// What of `pool` containers of `range` can have: not the range's ends.
pub(crate) fn part(range: Cidr, pool: Cidr) -> (Ipv4Addr, Ipv4Addr) {
    let (first, last) = span(range);
    (first.max(pool.network()), last.min(pool.last()))
}

/// The next free IPv6 address after `cursor`, around the end of the range. There are always
/// more than can be held.
pub(crate) fn next_free6(
    range: Cidr6,
    gateway: Ipv6Addr,
    held: &BTreeSet<Ipv6Addr>,
    cursor: Option<Ipv6Addr>,
) -> Option<Ipv6Addr> {
    let (first, last) = (range.network().to_bits() + 1, range.last().to_bits());
    let start = match cursor.map(Ipv6Addr::to_bits) {
        Some(cursor) if (first..last).contains(&cursor) => cursor + 1,
        _ => first,
    };
    let all = (start..=last).chain(first..start).map(Ipv6Addr::from_bits);
    // One more than are held, and the gateway's.
    all.take(held.len() + 2).find(|address| *address != gateway && !held.contains(address))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cidr(raw: &str) -> Cidr {
        raw.parse().expect(raw)
    }

    #[track_caller]
    fn range(taken: &[&str], expected: &str) {
        let taken: Vec<Cidr> = taken.iter().map(|raw| cidr(raw)).collect();
        let chosen = choose_range(&taken).map_or("none".to_owned(), |range| range.to_string());
        assert_eq!(chosen, expected, "{taken:?}");
    }

    #[test]
    fn moves_away_from_what_is_there() {
        range(&[], "172.30.0.0/16");
        range(&["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1"], "172.30.0.0/16");
        range(&["172.30.4.0/24"], "172.29.0.0/16");
        range(&["172.30.0.0/16", "172.29.0.0/16"], "172.28.0.0/16");
        range(&["172.16.0.0/12"], "10.64.0.0/16");
        range(&["172.16.0.0/12", "10.0.0.0/8"], "192.168.240.0/20");
        range(&["172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/16"], "none");
    }

    #[track_caller]
    fn next(range: &str, held: &[u8], cursor: Option<u8>, expected: Option<u8>) {
        let range = cidr(range);
        let at = |last: u8| range.nth(u32::from(last)).expect("inside");
        let held = held.iter().map(|last| at(*last)).collect();
        assert_eq!(next_of(span(range), at(1), &held, cursor.map(at)), expected.map(at));
    }

    #[test]
    fn gives_the_next_and_goes_around() {
        next("10.0.0.0/29", &[], None, Some(2));
        next("10.0.0.0/29", &[2], None, Some(3));
        next("10.0.0.0/29", &[], Some(2), Some(3));
        next("10.0.0.0/29", &[3, 4], Some(2), Some(5));
        next("10.0.0.0/29", &[], Some(6), Some(2));
        next("10.0.0.0/29", &[2, 3, 4, 5, 6], Some(3), None);
        next("10.0.0.0/29", &[3, 4, 5, 6], Some(3), Some(2));
        next("10.0.0.0/30", &[2], None, None);
        assert_eq!(capacity(cidr("10.0.0.0/29")), 5);
        assert_eq!(capacity(cidr("10.0.0.0/16")), 65533);
    }

    #[test]
    fn ipv6_goes_around_too() {
        let range: Cidr6 = "fd00::/125".parse().expect("range");
        let at = |last: u128| Ipv6Addr::from_bits(range.network().to_bits() + last);
        let next = |held: &[u128], cursor: Option<u128>| {
            next_free6(range, at(1), &held.iter().map(|last| at(*last)).collect(), cursor.map(at))
        };
        assert_eq!(next(&[], None), Some(at(2)));
        assert_eq!(next(&[3], Some(2)), Some(at(4)));
        assert_eq!(next(&[7], Some(6)), Some(at(2)));
        assert_eq!(next(&[2, 3, 4, 5, 6, 7], Some(4)), None);
    }

    #[test]
    fn a_part_of_a_range_ends_with_it() {
        let part = |range: &str, pool: &str| part(cidr(range), cidr(pool));
        let at = |a, b| Ipv4Addr::new(10, 0, a, b);
        assert_eq!(part("10.0.0.0/16", "10.0.5.0/24"), (at(5, 0), at(5, 255)));
        assert_eq!(part("10.0.0.0/24", "10.0.0.128/25"), (at(0, 128), at(0, 254)));
        assert_eq!(part("10.0.0.0/24", "10.0.0.0/24"), (at(0, 1), at(0, 254)));
    }

    proptest! {
        #[test]
        fn never_twice(prefix in 24u8..=30, releases in proptest::collection::vec(any::<prop::sample::Index>(), 0..200)) {
            let range = Cidr::of(Ipv4Addr::new(10, 1, 2, 0), prefix);
            let gateway = range.nth(1).expect("inside");
            let (mut held, mut cursor) = (BTreeSet::new(), None);
            for release in releases {
                if let Some(address) = next_of(span(range), gateway, &held, cursor) {
                    prop_assert!(range.contains(address) && address != gateway);
                    prop_assert!(address != range.network() && address != range.last());
                    prop_assert!(held.insert(address));
                    cursor = Some(address);
                } else {
                    prop_assert_eq!(held.len(), capacity(range) as usize);
                    let gone = *release.get(&held.iter().copied().collect::<Vec<_>>());
                    held.remove(&gone);
                }
            }
        }
    }
}
