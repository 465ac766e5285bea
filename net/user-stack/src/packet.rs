//! IP packets: what of them decides, and making answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What follows the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// TCP; whether it asks for a connection.
    Tcp {
        /// SYN without ACK.
        opens: bool,
        /// RST.
        resets: bool,
    },
    /// UDP.
    Udp,
    /// An ICMP echo request; its identifier is the source's port.
    Echo,
}

/// A packet that we know to handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    /// What it is.
    pub(crate) kind: Kind,
    /// Who sent it.
    pub(crate) source: SocketAddr,
    /// Whom it is for.
    pub(crate) destination: SocketAddr,
    /// What a datagram carries; an echo request with its header.
    pub(crate) payload: &'a [u8],
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const UDP_HEADER: usize = 8;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const HOPS: u8 = 64;

impl<'a> Packet<'a> {
    /// Reads a packet; `None` for what is not handled, such as fragments, and for what is broken.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (protocol, source, destination, rest) = match bytes.first()? >> 4 {
            4 => ipv4(bytes)?,
            6 => ipv6(bytes)?,
            _ => return None,
        };
        let word = |at: usize| Some(u16::from_be_bytes(rest.get(at..at + 2)?.try_into().ok()?));
        let (kind, ports, payload) = match protocol {
            TCP => {
                let flags = *rest.get(13)?;
                let kind = Kind::Tcp { opens: flags & 0x12 == 0x02, resets: flags & 0x04 != 0 };
                (kind, (word(0)?, word(2)?), &rest[..0])
            }
            UDP => {
                let length = usize::from(word(4)?);
                (Kind::Udp, (word(0)?, word(2)?), rest.get(UDP_HEADER..length.max(UDP_HEADER))?)
            }
            ICMP if source.is_ipv4() && *rest.first()? == 8 && *rest.get(1)? == 0 => {
                (Kind::Echo, (word(4)?, 0), rest.get(..).filter(|rest| rest.len() >= 8)?)
            }
            _ => return None,
        };
        Some(Self {
            kind,
            source: SocketAddr::new(source, ports.0),
            destination: SocketAddr::new(destination, ports.1),
            payload,
        })
    }
}

type Parts<'a> = (u8, IpAddr, IpAddr, &'a [u8]);

fn ipv4(bytes: &[u8]) -> Option<Parts<'_>> {
    let header = usize::from(bytes[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?));
    let fragment = u16::from_be_bytes(bytes.get(6..8)?.try_into().ok()?) & 0x3fff;
    if header < IPV4_HEADER || fragment != 0 || total < header {
        return None;
    }
    let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?));
    Some((*bytes.get(9)?, address(12)?.into(), address(16)?.into(), bytes.get(header..total)?))
}

fn ipv6(bytes: &[u8]) -> Option<Parts<'_>> {
    let length = usize::from(u16::from_be_bytes(bytes.get(4..6)?.try_into().ok()?));
    let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?));
    let rest = bytes.get(IPV6_HEADER..IPV6_HEADER + length)?;
    Some((*bytes.get(6)?, address(8)?.into(), address(24)?.into(), rest))
}

/// Writes a datagram into `out`; nothing when the families differ or it is too long.
pub(crate) fn datagram(out: &mut Vec<u8>, source: SocketAddr, destination: SocketAddr, payload: &[u8]) {
    out.clear();
    let Ok(length) = u16::try_from(UDP_HEADER + payload.len()) else { return };
    if ip_header(out, UDP, (source.ip(), destination.ip()), length).is_none() {
        return;
    }
    let start = out.len();
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(payload);
    let sum = sum(&out[start..], pseudo_sum(source.ip(), destination.ip(), UDP, length.into()));
    // Zero stands for "no checksum".
    let sum = match !sum {
        0 => 0xffff,
        sum => sum,
    };
    out[start + 6..start + 8].copy_from_slice(&sum.to_be_bytes());
}

/// Writes an echo reply into `out`: `message` is the ICMP message, which gets the identifier.
pub(crate) fn echo_reply(out: &mut Vec<u8>, source: IpAddr, destination: SocketAddr, message: &[u8]) {
    out.clear();
    let Some(length) = u16::try_from(message.len()).ok().filter(|length| *length >= 8) else { return };
    if ip_header(out, ICMP, (source, destination.ip()), length).is_none() {
        return;
    }
    let start = out.len();
    out.extend_from_slice(message);
    out[start + 2..start + 4].fill(0);
    out[start + 4..start + 6].copy_from_slice(&destination.port().to_be_bytes());
    let sum = !sum(&out[start..], 0);
    out[start + 2..start + 4].copy_from_slice(&sum.to_be_bytes());
}

fn ip_header(out: &mut Vec<u8>, protocol: u8, between: (IpAddr, IpAddr), length: u16) -> Option<()> {
    match between {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let total = u16::try_from(IPV4_HEADER).ok()?.checked_add(length)?;
            out.extend_from_slice(&[0x45, 0]);
            out.extend_from_slice(&total.to_be_bytes());
            out.extend_from_slice(&[0, 0, 0, 0, HOPS, protocol, 0, 0]);
            out.extend_from_slice(&source.octets());
            out.extend_from_slice(&destination.octets());
            let sum = !sum(&out[..IPV4_HEADER], 0);
            out[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            out.extend_from_slice(&[0x60, 0, 0, 0]);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(&[protocol, HOPS]);
            out.extend_from_slice(&source.octets());
            out.extend_from_slice(&destination.octets());
        }
        _ => return None,
    }
    Some(())
}

/// The sum over the pseudo header (RFC 9293, "Header Format"; RFC 8200, "Upper-Layer Checksums").
pub(crate) fn pseudo_sum(source: IpAddr, destination: IpAddr, protocol: u8, length: u32) -> u16 {
    let mut total = sum(&length.to_be_bytes(), u16::from(protocol));
    for address in [source, destination] {
        total = match address {
            IpAddr::V4(address) => sum(&address.octets(), total),
            IpAddr::V6(address) => sum(&address.octets(), total),
        };
    }
    total
}

/// The ones' complement sum of `bytes` and `start` (RFC 1071).
fn sum(bytes: &[u8], start: u16) -> u16 {
    let mut total = u64::from(start);
    let mut words = bytes.chunks_exact(2);
    for word in &mut words {
        total += u64::from(u16::from_be_bytes([word[0], word[1]]));
    }
    if let [last] = words.remainder() {
        total += u64::from(*last) << 8;
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_read_as_it_was_made() {
        for (source, destination) in
            [("192.0.2.1:53", "10.0.2.100:4000"), ("[2001:db8::1]:53", "[fd00::2:64]:4000")]
        {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            let mut out = Vec::new();
            datagram(&mut out, source, destination, b"odd");
            let packet = Packet::parse(&out).unwrap();
            assert_eq!(packet, Packet { kind: Kind::Udp, source, destination, payload: b"odd" });
            let header = if source.is_ipv4() { IPV4_HEADER } else { IPV6_HEADER };
            let length = (out.len() - header) as u32;
            let whole = sum(&out[header..], pseudo_sum(source.ip(), destination.ip(), UDP, length));
            assert_eq!(whole, 0xffff, "the checksum makes it all ones");
        }
    }

    #[test]
    fn an_echo_is_answered_under_the_askers_identifier() {
        let mut out = Vec::new();
        let message = [0, 0, 9, 9, 1, 1, 0, 7, b'x'];
        echo_reply(&mut out, "192.0.2.1".parse().unwrap(), "10.0.2.100:77".parse().unwrap(), &message);
        assert_eq!(&out[24..], [0, 77, 0, 7, b'x']);
        assert_eq!(sum(&out[20..], 0), 0xffff);
    }

    #[test]
    fn fragments_and_rubbish_are_passed_over() {
        let mut out = Vec::new();
        datagram(&mut out, "192.0.2.1:53".parse().unwrap(), "10.0.2.100:4000".parse().unwrap(), b"x");
        for end in 0..out.len() {
            assert_eq!(Packet::parse(&out[..end]), None, "cut at {end}");
        }
        let mut fragment = out.clone();
        fragment[6] = 0x20;
        assert_eq!(Packet::parse(&fragment), None);
        let mut short = out.clone();
        short[3] = 19;
        assert_eq!(Packet::parse(&short), None);
        assert_eq!(Packet::parse(&[0x55; 60]), None);
    }

    #[test]
    fn different_families_make_no_packet() {
        let mut out = Vec::new();
        datagram(&mut out, "192.0.2.1:53".parse().unwrap(), "[fd00::1]:4000".parse().unwrap(), b"x");
        assert_eq!(out, b"");
        datagram(&mut out, "192.0.2.1:53".parse().unwrap(), "10.0.0.1:1".parse().unwrap(), &[0; 65_530]);
        assert_eq!(out, b"");
    }
}
