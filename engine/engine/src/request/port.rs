//! `--expose`; `--publish` is [`attach::PortMapping`].

use std::fmt;

use attach::Protocol;
use serde::{Deserialize, Serialize};

use super::InvalidOption;

/// A port of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRequest {
    /// Its number.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

impl fmt::Display for PortRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

impl PortRequest {
    /// Reads `PORT[-PORT][/PROTOCOL]`.
    pub fn parse(text: &str) -> Result<Vec<Self>, InvalidOption> {
        let wrong = |why| InvalidOption::new("--expose", text, why);
        let (ports, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((ports, name)) => {
                (ports, name.parse().map_err(|_| wrong("the protocol must be tcp, udp or sctp"))?)
            }
        };
        let range = range(ports).ok_or_else(|| wrong("use PORT[-PORT][/PROTOCOL], as in 80/tcp"))?;
        Ok(range.map(|port| Self { port, protocol }).collect())
    }
}

fn range(text: &str) -> Option<std::ops::RangeInclusive<u16>> {
    let port = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u16>().ok())?;
    match text.split_once('-') {
        None => port(text).map(|one| one..=one),
        Some((first, last)) => Some(port(first)?..=port(last)?).filter(|range| !range.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposes_ranges() {
        assert_eq!(PortRequest::parse("80-82/udp").unwrap().len(), 3);
        for text in ["x", "", "81-80", "80/icmp", "+80", "70000"] {
            assert!(PortRequest::parse(text).is_err(), "{text}");
        }
    }
}
