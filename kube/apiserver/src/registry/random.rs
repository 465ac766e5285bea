//! Randomness for names and identities.

use kube_object::names::SUFFIX_LEN;
use ring::rand::{SecureRandom, SystemRandom};

/// Random bytes of the system; zeros if it has none, which no supported system does.
fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    debug_assert!(filled.is_ok(), "the system has randomness");
    bytes
}

/// One byte.
pub(super) fn byte() -> u8 {
    let [byte] = bytes();
    byte
}

/// A number that is not 0, as etcd wants for leases.
pub(crate) fn positive() -> i64 {
    (i64::from_le_bytes(bytes()) & i64::MAX).max(1)
}

/// What follows the prefix of a generated name.
pub(super) fn suffix() -> [u8; SUFFIX_LEN] {
    bytes()
}

/// A UUID of version 4: RFC 9562.
pub(crate) fn uid() -> String {
    let mut raw: [u8; 16] = bytes();
    raw[6] = raw[6] & 0x0f | 0x40;
    raw[8] = raw[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in raw.into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    text
}

/// A number below `end`, which is not 0.
pub(crate) fn below(end: u64) -> u64 {
    u64::from_le_bytes(bytes()) % end.max(1)
}
