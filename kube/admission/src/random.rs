//! Randomness for names and identities.

use ring::rand::{SecureRandom, SystemRandom};

/// Random bytes; zeros if the kernel gives none, which it does only before it has started.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let _ = SystemRandom::new().fill(&mut bytes);
    bytes
}

/// A random identity, as UUIDs of version 4 are written.
pub(crate) fn uid() -> String {
    let mut raw = bytes::<16>();
    raw[6] = raw[6] & 0x0f | 0x40;
    raw[8] = raw[8] & 0x3f | 0x80;
    let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
