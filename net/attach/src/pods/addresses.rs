//! Which address a pod gets. Pure.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::cidr::Cidr;

/// The node's own address in its range: the second one.
pub(super) fn gateway(range: Cidr) -> Ipv4Addr {
    range.nth(1).unwrap_or(Ipv4Addr::UNSPECIFIED)
}

/// How many pods a range has addresses for: all but the tunnel's and the gateway's.
pub(super) fn capacity(range: Cidr) -> usize {
    let count = u64::from(range.last().to_bits() - range.network().to_bits()) + 1;
    usize::try_from(count.saturating_sub(2)).unwrap_or(0)
}

/// The next free address after `cursor`, around the end of the range: one that was released is
/// given again as late as possible.
pub(super) fn next_free(
    range: Cidr,
    held: &BTreeSet<Ipv4Addr>,
    cursor: Option<Ipv4Addr>,
) -> Option<Ipv4Addr> {
    let (first, last) = (range.network().to_bits().checked_add(2)?, range.last().to_bits());
    if first > last {
        return None;
    }
    let start = match cursor.map(Ipv4Addr::to_bits) {
        Some(cursor) if (first..last).contains(&cursor) => cursor + 1,
        _ => first,
    };
    (start..=last).chain(first..start).map(Ipv4Addr::from_bits).find(|address| !held.contains(address))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(held: &[u8], cursor: Option<u8>, expected: Option<u8>) {
        let range: Cidr = "10.42.3.16/28".parse().expect("valid");
        let at = |last: u8| Ipv4Addr::new(10, 42, 3, last);
        let held = held.iter().map(|last| at(*last)).collect();
        assert_eq!(next_free(range, &held, cursor.map(at)), expected.map(at));
    }

    #[test]
    fn gives_the_next_and_goes_around() {
        check(&[], None, Some(18));
        check(&[18], Some(18), Some(19));
        check(&[], Some(18), Some(19));
        check(&[], Some(31), Some(18));
        check(&[18, 31], Some(30), Some(19));
        check(&(18..=31).collect::<Vec<_>>(), Some(20), None);
        check(&[], Some(99), Some(18));
    }

    #[test]
    fn k3_01_a_slash_24_has_room_for_254_pods() {
        for (range, pods) in
            [("10.42.0.0/24", 254), ("10.42.0.0/28", 14), ("10.0.0.0/30", 2), ("10.0.0.0/32", 0)]
        {
            assert_eq!(capacity(range.parse().expect("valid")), pods, "{range}");
        }
    }

    proptest! {
        #[test]
        fn never_twice(prefix in 24u8..=30, releases in proptest::collection::vec(any::<prop::sample::Index>(), 0..300)) {
            let range = Cidr::of(Ipv4Addr::new(10, 1, 2, 0), prefix);
            let (mut held, mut cursor) = (BTreeSet::new(), None);
            for release in releases {
                if let Some(address) = next_free(range, &held, cursor) {
                    prop_assert!(range.contains(address) && address != gateway(range) && address != range.network());
                    prop_assert!(held.insert(address));
                    cursor = Some(address);
                } else {
                    prop_assert_eq!(held.len(), capacity(range));
                    let gone = *release.get(&held.iter().copied().collect::<Vec<_>>());
                    held.remove(&gone);
                }
            }
        }
    }
}
