//! Connection tracking: deleting entries (`ctnetlink`).

use std::net::IpAddr;

use crate::error::Error;
use crate::socket::{Answer, Socket};
use crate::wire::{Attributes, Message};

const IPCTNL_MSG_CT_NEW: u16 = 0x100;
const IPCTNL_MSG_CT_GET: u16 = 0x101;
const IPCTNL_MSG_CT_DELETE: u16 = 0x102;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;
const INFO_LEN: usize = 4;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// One direction of a tracked connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// Where its packets come from.
    pub source: IpAddr,
    /// Where they go.
    pub destination: IpAddr,
    /// `IPPROTO_*`.
    pub protocol: u8,
    /// Source port; 0 without ports.
    pub source_port: u16,
    /// Destination port; 0 without ports.
    pub destination_port: u16,
}

/// A tracked connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// As first seen.
    pub original: Tuple,
    /// As its answers are expected, after translation.
    pub reply: Tuple,
    family: u8,
    raw_original: Vec<u8>,
    id: Option<u32>,
}

impl Connection {
    /// Reads an entry of a dump.
    pub fn parse(answer: &Answer) -> Option<Self> {
        let family = *answer.body.first().filter(|family| [AF_INET, AF_INET6].contains(family))?;
        if answer.kind != IPCTNL_MSG_CT_NEW {
            return None;
        }
        let attributes = Attributes::after(&answer.body, INFO_LEN);
        let original = attributes.find(CTA_TUPLE_ORIG)?;
        Some(Self {
            original: tuple(original.nested())?,
            reply: tuple(attributes.find(CTA_TUPLE_REPLY)?.nested())?,
            family,
            raw_original: original.data.to_vec(),
            id: attributes.find(CTA_ID).and_then(|a| a.be32()),
        })
    }

    /// The request that deletes it.
    pub fn delete(&self) -> Message {
        let mut message = Message::new(IPCTNL_MSG_CT_DELETE, 0).fixed(&[self.family, 0, 0, 0]);
        message.bytes(CTA_TUPLE_ORIG | crate::wire::NESTED, &self.raw_original);
        if let Some(id) = self.id {
            message.be32(CTA_ID, id);
        }
        message
    }
}

/// Deletes the entries of IPv4 and IPv6 that pick holds for; returns how many.
///
/// An entry that ends by itself meanwhile is no error.
pub fn delete_where(socket: &mut Socket, pick: impl Fn(&Connection) -> bool) -> Result<usize, Error> {
    let mut picked: Vec<Message> = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let request = Message::new(IPCTNL_MSG_CT_GET, 0).fixed(&[family, 0, 0, 0]);
        let all = socket.dump(&request)?;
        let all = all.iter().filter_map(Connection::parse).filter(|connection| pick(connection));
        picked.extend(all.map(|connection| connection.delete()));
    }
    // In pieces: each is acknowledged, and the acknowledgements must fit into the
    // receive queue.
    for piece in picked.chunks(128) {
        for outcome in socket.execute(piece)? {
            match outcome {
                Ok(_) => {}
                Err(refusal) if refusal.errno.kind() == std::io::ErrorKind::NotFound => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
    }
    Ok(picked.len())
}

fn tuple(attributes: Attributes<'_>) -> Option<Tuple> {
    let ip = attributes.find(CTA_TUPLE_IP)?.nested();
    let protocol = attributes.find(CTA_TUPLE_PROTO)?.nested();
    let port = |kind| {
        let data: Option<[u8; 2]> = protocol.find(kind).and_then(|a| a.data.try_into().ok());
        data.map_or(0, u16::from_be_bytes)
    };
    let address = |v4, v6| match ip.find(v4) {
        Some(four) => four.ipv4().map(IpAddr::V4),
        None => Some(IpAddr::from(<[u8; 16]>::try_from(ip.find(v6)?.data).ok()?)),
    };
    Some(Tuple {
        source: address(CTA_IP_V4_SRC, CTA_IP_V6_SRC)?,
        destination: address(CTA_IP_V4_DST, CTA_IP_V6_DST)?,
        protocol: *protocol.find(CTA_PROTO_NUM)?.data.first()?,
        source_port: port(CTA_PROTO_SRC_PORT),
        destination_port: port(CTA_PROTO_DST_PORT),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_both_directions() {
        let mut message = Message::new(IPCTNL_MSG_CT_NEW, 0).fixed(&[AF_INET, 0, 0, 0]);
        for (kind, from, to) in [(CTA_TUPLE_ORIG, 1u8, 2u8), (CTA_TUPLE_REPLY, 3, 1)] {
            message.nest(kind, |m| {
                m.nest(CTA_TUPLE_IP, |ip| {
                    ip.bytes(CTA_IP_V4_SRC, &[10, 0, 0, from]).bytes(CTA_IP_V4_DST, &[10, 0, 0, to]);
                });
                m.nest(CTA_TUPLE_PROTO, |p| {
                    p.u8(CTA_PROTO_NUM, 17).be16(CTA_PROTO_SRC_PORT, 5353).be16(CTA_PROTO_DST_PORT, 53);
                });
            });
        }
        let answer = Answer { kind: IPCTNL_MSG_CT_NEW, body: message.body().to_vec() };
        let connection = Connection::parse(&answer).expect("whole");
        assert_eq!(connection.original.destination, IpAddr::from([10, 0, 0, 2]));
        assert_eq!(connection.reply.source, IpAddr::from([10, 0, 0, 3]));
        assert_eq!((connection.original.protocol, connection.original.destination_port), (17, 53));
    }

    proptest! {
        #[test]
        fn foreign_entries_never_panic(
            six in any::<bool>(),
            mut body in proptest::collection::vec(any::<u8>(), 4..160),
        ) {
            body[0] = if six { AF_INET6 } else { AF_INET };
            let _ = Connection::parse(&Answer { kind: IPCTNL_MSG_CT_NEW, body });
        }
    }
}
