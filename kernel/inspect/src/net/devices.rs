//! `/proc/net/dev`, `fib_trie` and `if_inet6`.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use crate::error::Malformed;

/// A line of `/proc/net/dev`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Interface name.
    pub name: String,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
}

/// Reads `/proc/net/dev`: two lines of heading, then `name: 8 counters in, 8 out`.
pub fn parse_devices(text: &str) -> Result<Vec<Device>, Malformed> {
    let device = |(index, line): (usize, &str)| {
        let bad = |what| Malformed { line: index + 1, what };
        // A name may hold a colon (old alias style), the counters do not.
        let (name, counters) = line.rsplit_once(':').ok_or(bad("expected NAME: COUNTERS"))?;
        let counters: Vec<u64> =
            counters.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
        let counter = |index: usize| counters.get(index).copied().ok_or(bad("expected 16 counters"));
        Ok(Device { name: name.trim().to_owned(), received_bytes: counter(0)?, sent_bytes: counter(8)? })
    };
    text.lines().enumerate().skip(2).filter(|(_, line)| !line.is_empty()).map(device).collect()
}

/// The namespace's own IPv4 addresses: the leaves `/32 host LOCAL` of the trie.
pub fn parse_fib_trie(text: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut leaf = None;
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = leaf
            && !found.contains(&address)
        {
            // Main and local table print the same trie when they are merged.
            found.push(address);
        }
    }
    found
}

/// Reads `/proc/net/if_inet6`: 32 hex digits, index, prefix, scope, flags, name.
pub fn parse_if_inet6(text: &str) -> Vec<(String, Ipv6Addr, u8)> {
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = u128::from_str_radix(words.next().filter(|word| word.len() == 32)?, 16).ok()?;
        let prefix = u8::from_str_radix(words.nth(1)?, 16).ok().filter(|prefix| *prefix <= 128)?;
        Some((words.nth(2)?.to_owned(), Ipv6Addr::from(address), prefix))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEV: &str = "Inter-|   Receive |  Transmit\n face |bytes packets |bytes\n    lo:    6438      59    0    0    \
        0     0          0         0     6439      59    0    0    0     0       0          0\n  eth0: 1 2 3 4 5 6 7 8 \
        9 10 11 12 13 14 15 16\n";

    #[test]
    fn reads_devices() {
        let devices = parse_devices(DEV).unwrap();
        let shown: Vec<_> =
            devices.iter().map(|d| (d.name.as_str(), d.received_bytes, d.sent_bytes)).collect();
        assert_eq!(shown, [("lo", 6438, 6439), ("eth0", 1, 9)]);
    }

    #[test]
    fn finds_own_addresses_once() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 192.0.2.0\n  \
            /24 link UNICAST\n     |-- 192.0.2.2\n              /32 host LOCAL\n     |-- 192.0.2.255\n   /32 link \
            BROADCAST\nLocal:\n     |-- 192.0.2.2\n              /32 host LOCAL\n   |-- 127.0.0.1\n /32 host LOCAL\n";
        assert_eq!(parse_fib_trie(trie), [Ipv4Addr::new(192, 0, 2, 2), Ipv4Addr::LOCALHOST]);
        assert!(parse_fib_trie("/32 host LOCAL\n|-- x\n/32 host LOCAL\n").is_empty());
    }

    #[test]
    fn reads_ipv6_addresses() {
        let text = "fd000000000000000000000000000002 04 40 00 82     eth0\n00000000000000000000000000000001 01 80 10 80 lo\n";
        assert_eq!(
            parse_if_inet6(text),
            [
                ("eth0".to_owned(), "fd00::2".parse().unwrap(), 64),
                ("lo".to_owned(), Ipv6Addr::LOCALHOST, 128)
            ]
        );
    }

    #[test]
    fn truncated_and_hostile_text_never_panics() {
        for end in 0..DEV.len() {
            let _ = parse_devices(&DEV[..end]);
        }
        for text in ["", "zz", "fd 1", "ffffffffffffffffffffffffffffffff 1 ff 1 1 x", "é", "\u{1F980}"] {
            assert!(parse_if_inet6(text).is_empty(), "{text:?}");
            let _ = parse_fib_trie(text);
        }
    }
}
