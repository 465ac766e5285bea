//! IPv4 policy-routing rules: `RTM_GETRULE`.

use std::net::Ipv4Addr;

use crate::error::Error;
use crate::socket::{Answer, Socket};
use crate::wire::{Attributes, Message};

use super::AF_INET;

const RTM_NEWRULE: u16 = 32;
const RTM_GETRULE: u16 = 34;
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_PRIORITY: u16 = 6;
const FRA_TABLE: u16 = 15;
const INFO_LEN: usize = 12;

/// One policy-routing rule, as far as we look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyRule {
    /// Order of evaluation.
    pub priority: u32,
    /// The table it sends to.
    pub table: u32,
    /// Only packets from this network.
    pub source: Option<(Ipv4Addr, u8)>,
    /// Only packets to this network.
    pub destination: Option<(Ipv4Addr, u8)>,
}

impl PolicyRule {
    /// Reads an `RTM_NEWRULE` answer of IPv4.
    pub fn parse(answer: &Answer) -> Option<Self> {
        let body = &answer.body;
        if answer.kind != RTM_NEWRULE || body.len() < INFO_LEN || body[0] != AF_INET {
            return None;
        }
        let attributes = Attributes::after(body, INFO_LEN);
        let network = |kind, prefix| attributes.find(kind).and_then(|a| a.ipv4()).map(|ip| (ip, prefix));
        Some(Self {
            priority: attributes.find(FRA_PRIORITY).and_then(|a| a.u32()).unwrap_or(0),
            table: attributes.find(FRA_TABLE).and_then(|a| a.u32()).unwrap_or(u32::from(body[4])),
            destination: network(FRA_DST, body[1]),
            source: network(FRA_SRC, body[2]),
        })
    }
}

/// All IPv4 policy rules of the socket's namespace.
pub fn policy_rules(socket: &mut Socket) -> Result<Vec<PolicyRule>, Error> {
    let mut fixed = [0; INFO_LEN];
    fixed[0] = AF_INET;
    let request = Message::new(RTM_GETRULE, 0).fixed(&fixed);
    Ok(socket.dump(&request)?.iter().filter_map(PolicyRule::parse).collect())
}
