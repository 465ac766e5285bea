//! Shuffle sharding: a flow has a few queues of a level's many, so that a heavy flow fills its own
//! hand of queues and hardly ever all queues of another's.

use sha2::{Digest as _, Sha256};

/// Bits of a hash that dealing may use up: the last card is hardly uneven then.
const ENTROPY_MAX: f64 = 60.0;
/// The API's own limit of a hand is smaller still: ten of this many cards would need more entropy.
pub const HAND_MAX: usize = 15;

/// Deals hands of queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dealer {
    deck: usize,
    hand: usize,
}

impl Dealer {
    /// For so many queues, and so many of them for a flow; none where that cannot be.
    pub fn new(deck: usize, hand: usize) -> Option<Self> {
        let sound = hand > 0 && hand <= deck.min(HAND_MAX) && deck <= 1 << 26;
        let entropy = (deck as f64).log2() * hand as f64;
        (sound && entropy.ceil() <= ENTROPY_MAX).then_some(Self { deck, hand })
    }

    /// How many queues there are.
    pub fn deck(self) -> usize {
        self.deck
    }

    /// How many of them a flow has.
    pub fn hand(self) -> usize {
        self.hand
    }

    /// The queues of a flow, into the front of `cards`; each one is another.
    pub fn deal(self, mut entropy: u64, cards: &mut [usize; HAND_MAX]) {
        for dealt in 0..self.hand {
            let left = (self.deck - dealt) as u64;
            let mut card = (entropy % left) as usize;
            entropy /= left;
            // The card counts among those that are left: skip what is gone, the lowest first.
            let (before, rest) = cards.split_at_mut(dealt);
            let mut place = 0;
            for (at, gone) in before.iter().enumerate() {
                if *gone > card {
                    break;
                }
                card += 1;
                place = at + 1;
            }
            if let Some(free) = rest.first_mut() {
                *free = card;
            }
            // Those dealt are kept in order; which one came first does not matter.
            if let Some(sorted) = cards.get_mut(place..=dealt) {
                sorted.rotate_right(1);
            }
        }
    }
}

/// The entropy of a flow: the same on every server, and nothing that a client could aim at.
pub fn flow_hash(schema: &str, distinguisher: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(schema.as_bytes());
    hash.update([0]);
    hash.update(distinguisher.as_bytes());
    let digest = hash.finalize();
    digest.iter().take(8).rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn hand(dealer: Dealer, entropy: u64) -> Vec<usize> {
        let mut cards = [0; HAND_MAX];
        dealer.deal(entropy, &mut cards);
        cards[..dealer.hand()].to_vec()
    }

    #[test]
    fn knows_what_cannot_be_dealt() {
        for (deck, size, can) in [
            (64, 8, true),
            (128, 6, true),
            (1, 1, true),
            (0, 0, false),
            (4, 0, false),
            (4, 5, false),
            (1 << 20, 4, false),
            (1 << 27, 1, false),
            (20, 15, false),
        ] {
            assert_eq!(Dealer::new(deck, size).is_some(), can, "{deck} {size}");
        }
    }

    #[test]
    fn every_hand_is_as_likely() {
        let dealer = Dealer::new(5, 3).unwrap();
        let mut hands: HashMap<Vec<usize>, usize> = HashMap::new();
        for entropy in 0..60 {
            *hands.entry(hand(dealer, entropy)).or_default() += 1;
        }
        assert_eq!(hands.len(), 10);
        assert!(hands.values().all(|count| *count == 6), "{hands:?}");
    }

    #[test]
    fn flows_have_their_own_hash() {
        assert_eq!(flow_hash("a", "b"), flow_hash("a", "b"));
        assert_ne!(flow_hash("a", "b"), flow_hash("ab", ""));
        assert_ne!(flow_hash("a", "b"), flow_hash("a", "c"));
    }

    proptest! {
        #[test]
        fn cards_of_a_hand_differ(entropy: u64, deck in 1usize..129, size in 1usize..9) {
            prop_assume!(size <= deck);
            let Some(dealer) = Dealer::new(deck, size) else { return Ok(()) };
            let cards = hand(dealer, entropy);
            prop_assert!(cards.windows(2).all(|pair| pair[0] < pair[1]), "{cards:?}");
            prop_assert!(cards.iter().all(|card| *card < deck), "{cards:?}");
        }
    }
}
