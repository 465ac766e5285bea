//! A plan as elements of maps.
//!
//! | map | key | value |
//! |---|---|---|
//! | `services` | address (0 for the node's) . transport . port | pool (2 words) . number of endpoints . [`Kind`] |
//! | `services-outside` | the same, for connections from outside where they differ | the same |
//! | `endpoints` | pool . index | address . port |
//! | `sticky` | pool . endpoint: what a remembered client may still use | |
//! | `reject`, `drop` | as `services` | |
//! | `restricted` | as `services`, where not everybody may ask | |
//! | `allowed` | as `services` . source address | |
//! | `loops` | an endpoint of this node, twice: as source and as destination | |
//! | `cluster-ips` | cluster address | |
//!
//! All words have four bytes. Numbers that rules compute (the index) are in host byte order.

use std::net::Ipv4Addr;

use crate::plan::{At, Endpoint, Frontend, Plan, PoolId, Target};
use crate::program::Kind;
use crate::service::{Protocol, Service};

/// A set or map of our table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Map {
    /// Endpoints by pool and index.
    Endpoints,
    /// Who may go on with a remembered endpoint.
    Sticky,
    /// Pools by address and port.
    Services,
    /// Pools for connections from outside.
    Outside,
    /// What is refused with an answer.
    Reject,
    /// What is dropped.
    Drop,
    /// Where not everybody may ask.
    Restricted,
    /// Who may.
    Allowed,
    /// Endpoints that may ask themselves.
    Loops,
    /// All cluster addresses.
    ClusterIps,
}

impl Map {
    /// All, in the order in which they are filled: what others lead to comes first.
    pub const ALL: [Self; 10] = [
        Self::Endpoints,
        Self::Sticky,
        Self::Loops,
        Self::Allowed,
        Self::Restricted,
        Self::Reject,
        Self::Drop,
        Self::ClusterIps,
        Self::Outside,
        Self::Services,
    ];

    /// Its name in the kernel.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Endpoints => "endpoints",
            Self::Sticky => "sticky",
            Self::Services => "services",
            Self::Outside => "services-outside",
            Self::Reject => "reject",
            Self::Drop => "drop",
            Self::Restricted => "restricted",
            Self::Allowed => "allowed",
            Self::Loops => "loops",
            Self::ClusterIps => "cluster-ips",
        }
    }

    /// Whether its elements are ranges: the value is then the last key.
    pub const fn has_ranges(self) -> bool {
        matches!(self, Self::Allowed)
    }
}

/// One element: its map and key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Where it is.
    pub map: Map,
    /// The key's bytes.
    pub bytes: Box<[u8]>,
}

/// An element's value: empty in a set.
pub type Value = Box<[u8]>;

/// The elements that a plan consists of.
pub fn elements(service: &Service, plan: &Plan) -> Vec<(Key, Value)> {
    let mut all = Vec::new();
    let mut put = |map: Map, key: Vec<u8>, value: Vec<u8>| {
        all.push((Key { map, bytes: key.into_boxed_slice() }, value.into_boxed_slice()));
    };
    put(Map::ClusterIps, service.cluster_ip.octets().to_vec(), Vec::new());
    for (pool, endpoints) in &plan.pools {
        for (index, endpoint) in (0u32..).zip(endpoints) {
            let mut key = pool_words(pool).to_vec();
            key.extend(index.to_ne_bytes());
            put(Map::Endpoints, key, endpoint_words(endpoint).to_vec());
            if service.affinity.is_some() {
                let key = [pool_words(pool), endpoint_words(endpoint)].concat();
                put(Map::Sticky, key, Vec::new());
            }
        }
    }
    for address in &plan.own_endpoints {
        put(Map::Loops, [address.octets(), address.octets()].concat(), Vec::new());
    }
    for frontend in &plan.frontends {
        frontend_elements(frontend, plan, &mut put);
    }
    all
}

fn frontend_elements(frontend: &Frontend, plan: &Plan, put: &mut impl FnMut(Map, Vec<u8>, Vec<u8>)) {
    let key = frontend_words(frontend.at, frontend.protocol, frontend.port);
    let differs = frontend.inside != frontend.outside;
    let mut kind = Kind {
        affinity: frontend.affinity.unwrap_or(0),
        masquerade: frontend.masquerade,
        at_node: frontend.at == At::Node,
        inside_only: differs,
        outside: false,
    };
    if let Some(value) = pool_value(frontend.inside, plan, kind) {
        put(Map::Services, key.to_vec(), value);
    }
    if differs {
        (kind.inside_only, kind.outside) = (false, true);
        if let Some(value) = pool_value(frontend.outside, plan, kind) {
            put(Map::Outside, key.to_vec(), value);
        }
    }
    // What is refused inside has not been sent anywhere; what is then still here came from
    // outside.
    for (target, map) in [(Target::Reject, Map::Reject), (Target::Drop, Map::Drop)] {
        if frontend.outside == target || frontend.inside == target {
            put(map, key.to_vec(), Vec::new());
        }
    }
    if let Some(ranges) = &frontend.sources {
        put(Map::Restricted, key.to_vec(), Vec::new());
        for range in ranges {
            let first = [&key[..], &range.first.octets()].concat();
            let last = [&key[..], &range.last.octets()].concat();
            put(Map::Allowed, first, last);
        }
    }
}

fn pool_value(target: Target, plan: &Plan, kind: Kind) -> Option<Vec<u8>> {
    let Target::Pool(id) = target else { return None };
    let count = u32::try_from(plan.pools.get(&id)?.len()).ok()?;
    let mut value = pool_words(&id).to_vec();
    value.extend(count.to_ne_bytes());
    value.extend(kind.word().to_ne_bytes());
    Some(value)
}

/// The key of a frontend: three words.
pub fn frontend_words(at: At, protocol: Protocol, port: u16) -> [u8; 12] {
    let mut key = [0; 12];
    if let At::Address(address) = at {
        key[..4].copy_from_slice(&address.octets());
    }
    key[4] = protocol.number();
    key[8..10].copy_from_slice(&port.to_be_bytes());
    key
}

/// The name of a pool: two words.
pub fn pool_words(pool: &PoolId) -> [u8; 8] {
    let mut words = [0; 8];
    words[..4].copy_from_slice(&pool.cluster_ip.octets());
    words[4] = u8::from(pool.local);
    words[5] = pool.protocol.number();
    words[6..].copy_from_slice(&pool.port.to_be_bytes());
    words
}

/// An endpoint: two words.
pub fn endpoint_words(endpoint: &Endpoint) -> [u8; 8] {
    let mut words = [0; 8];
    words[..4].copy_from_slice(&endpoint.address.octets());
    words[4..6].copy_from_slice(&endpoint.port.to_be_bytes());
    words
}

/// Reads [`endpoint_words`].
pub fn endpoint_of(words: &[u8]) -> Option<Endpoint> {
    let address: [u8; 4] = words.get(..4)?.try_into().ok()?;
    let port: [u8; 2] = words.get(4..6)?.try_into().ok()?;
    Some(Endpoint { address: Ipv4Addr::from(address), port: u16::from_be_bytes(port) })
}
