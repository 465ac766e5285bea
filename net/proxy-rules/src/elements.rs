//! A plan as elements of sets and maps.
//!
//! | set or map | key | value |
//! |---|---|---|
//! | `services`, `node-ports` (`-inside`, `-outside`) | frontend | |
//! | `to-…-N` | frontend . index, of those with N endpoints | address . port |
//! | `sticky-…` | frontends whose clients are remembered | |
//! | `reject`, `drop` (`node-…`) | frontend | |
//! | `restricted` | frontend where not everybody may ask | |
//! | `allowed` | frontend . source address | |
//! | `loops` | an endpoint of this node, twice: as source and as destination | |
//! | `cluster-ips` | cluster address | |
//!
//! A frontend is address . transport . port, or transport . port for the node's own addresses.
//! All words have four bytes; numbers that rules compute (the index) are in host byte order.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use crate::plan::{At, Endpoint, Frontend, Plan, Target};
use crate::service::{Protocol, Service};

/// For whom a frontend leads to endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// For everybody.
    All,
    /// For pods and the node itself.
    Inside,
    /// For all others.
    Outside,
}

impl Scope {
    /// All three.
    pub const ALL: [Self; 3] = [Self::All, Self::Inside, Self::Outside];

    const fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Inside => "inside",
            Self::Outside => "outside",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.word() == word)
    }
}

/// Frontends that have the same number of endpoints and are treated alike: one map and one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Class {
    /// For whom.
    pub scope: Scope,
    /// They are node ports.
    pub at_node: bool,
    /// How many endpoints each has.
    pub count: u32,
    /// Endpoints see the node's address.
    pub masquerade: bool,
}

/// Frontends whose clients stay with their endpoint equally long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sticky {
    /// They are node ports.
    pub at_node: bool,
    /// How many seconds.
    pub seconds: u32,
    /// Endpoints see the node's address.
    pub masquerade: bool,
}

/// A set or map of our table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Map {
    /// Endpoints by frontend and index.
    To(Class),
    /// Frontends whose clients are remembered.
    Sticky(Sticky),
    /// Endpoints that may ask themselves.
    Loops,
    /// Who may ask where not everybody may.
    Allowed,
    /// Where not everybody may ask.
    Restricted,
    /// What is refused with an answer.
    Reject,
    /// The same at node ports.
    NodeReject,
    /// What is dropped.
    Drop,
    /// The same at node ports.
    NodeDrop,
    /// All cluster addresses.
    ClusterIps,
    /// Frontends with endpoints.
    Services(Scope),
    /// The same at node ports.
    NodePorts(Scope),
}

impl Map {
    /// Those that are always there.
    pub const FIXED: [Self; 14] = [
        Self::Loops,
        Self::Allowed,
        Self::Restricted,
        Self::Reject,
        Self::NodeReject,
        Self::Drop,
        Self::NodeDrop,
        Self::ClusterIps,
        Self::Services(Scope::All),
        Self::Services(Scope::Inside),
        Self::Services(Scope::Outside),
        Self::NodePorts(Scope::All),
        Self::NodePorts(Scope::Inside),
        Self::NodePorts(Scope::Outside),
    ];

    /// Its name in the kernel.
    pub fn name(self) -> Cow<'static, str> {
        let at = |at_node: bool| if at_node { "node-" } else { "" };
        let end = |masquerade: bool| if masquerade { "-m" } else { "" };
        Cow::Borrowed(match self {
            Self::To(Class { scope, at_node, count, masquerade }) => {
                return format!("to-{}{}-{count}{}", at(at_node), scope.word(), end(masquerade)).into();
            }
            Self::Sticky(Sticky { at_node, seconds, masquerade }) => {
                return format!("sticky-{}{seconds}{}", at(at_node), end(masquerade)).into();
            }
            Self::Loops => "loops",
            Self::Allowed => "allowed",
            Self::Restricted => "restricted",
            Self::Reject => "reject",
            Self::NodeReject => "node-reject",
            Self::Drop => "drop",
            Self::NodeDrop => "node-drop",
            Self::ClusterIps => "cluster-ips",
            Self::Services(Scope::All) => "services",
            Self::Services(Scope::Inside) => "services-inside",
            Self::Services(Scope::Outside) => "services-outside",
            Self::NodePorts(Scope::All) => "node-ports",
            Self::NodePorts(Scope::Inside) => "node-ports-inside",
            Self::NodePorts(Scope::Outside) => "node-ports-outside",
        })
    }

    /// Reads [`name`](Self::name).
    pub fn parse(name: &str) -> Option<Self> {
        let cut = |text: &str| -> (bool, String, bool) {
            let (text, at_node) = text.strip_prefix("node-").map_or((text, false), |rest| (rest, true));
            let (text, masquerade) = text.strip_suffix("-m").map_or((text, false), |rest| (rest, true));
            (at_node, text.to_owned(), masquerade)
        };
        if let Some(rest) = name.strip_prefix("to-") {
            let (at_node, rest, masquerade) = cut(rest);
            let (scope, count) = rest.split_once('-')?;
            let scope = Scope::parse(scope)?;
            return Some(Self::To(Class { scope, at_node, count: count.parse().ok()?, masquerade }));
        }
        if let Some(rest) = name.strip_prefix("sticky-") {
            let (at_node, rest, masquerade) = cut(rest);
            return Some(Self::Sticky(Sticky { at_node, seconds: rest.parse().ok()?, masquerade }));
        }
        Self::FIXED.into_iter().find(|map| map.name() == name)
    }

    /// Whether it is made when the first element needs it.
    pub const fn is_made_on_demand(self) -> bool {
        matches!(self, Self::To(_) | Self::Sticky(_))
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
    let mut all = Elements(Vec::new());
    all.put(Map::ClusterIps, &service.cluster_ip.octets(), &[]);
    for address in &plan.own_endpoints {
        all.put(Map::Loops, &[address.octets(), address.octets()].concat(), &[]);
    }
    for frontend in &plan.frontends {
        all.frontend(frontend, plan);
    }
    all.0
}

struct Elements(Vec<(Key, Value)>);

impl Elements {
    fn put(&mut self, map: Map, key: &[u8], value: &[u8]) {
        self.0.push((Key { map, bytes: key.into() }, value.into()));
    }

    fn frontend(&mut self, frontend: &Frontend, plan: &Plan) {
        let key = frontend_words(frontend.at, frontend.protocol, frontend.port);
        if frontend.inside == frontend.outside {
            self.pool(frontend, frontend.inside, Scope::All, plan);
        } else {
            self.pool(frontend, frontend.inside, Scope::Inside, plan);
            self.pool(frontend, frontend.outside, Scope::Outside, plan);
        }
        // What leads somewhere inside was sent there; what is then still here came from outside.
        let at_node = frontend.at == At::Node;
        for (target, map) in [
            (Target::Reject, if at_node { Map::NodeReject } else { Map::Reject }),
            (Target::Drop, if at_node { Map::NodeDrop } else { Map::Drop }),
        ] {
            if frontend.outside == target || frontend.inside == target {
                self.put(map, &key, &[]);
            }
        }
        if let Some(ranges) = &frontend.sources {
            self.put(Map::Restricted, &key, &[]);
            for range in ranges {
                let end = |address: Ipv4Addr| [&key[..], &address.octets()].concat();
                self.put(Map::Allowed, &end(range.first), &end(range.last));
            }
        }
    }

    fn pool(&mut self, frontend: &Frontend, target: Target, scope: Scope, plan: &Plan) {
        let Target::Pool(id) = target else { return };
        let Some(endpoints) = plan.pools.get(&id) else { return };
        let (at_node, masquerade) = (frontend.at == At::Node, frontend.masquerade);
        let count = u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
        let key = frontend_words(frontend.at, frontend.protocol, frontend.port);
        self.put(if at_node { Map::NodePorts(scope) } else { Map::Services(scope) }, &key, &[]);
        let class = Map::To(Class { scope, at_node, count, masquerade });
        for (index, endpoint) in (0u32..).zip(endpoints) {
            let mut key = key.clone();
            if count > 1 {
                key.extend(index.to_ne_bytes());
            }
            self.put(class, &key, &endpoint_words(endpoint));
        }
        if let Some(seconds) = frontend.affinity {
            self.put(Map::Sticky(Sticky { at_node, seconds, masquerade }), &key, &[]);
        }
    }
}

/// The key of a frontend: three words, or two at node ports.
pub fn frontend_words(at: At, protocol: Protocol, port: u16) -> Vec<u8> {
    let mut key = Vec::with_capacity(16);
    if let At::Address(address) = at {
        key.extend(address.octets());
    }
    key.extend([protocol.number(), 0, 0, 0]);
    key.extend(port.to_be_bytes());
    key.extend([0, 0]);
    key
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

/// Reads the key of the map of remembered clients, without the client.
pub fn remembered_frontend(key: &[u8]) -> Option<(Ipv4Addr, u8, u16)> {
    let address: [u8; 4] = key.get(..4)?.try_into().ok()?;
    let port: [u8; 2] = key.get(8..10)?.try_into().ok()?;
    Some((address.into(), *key.get(4)?, u16::from_be_bytes(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let class = |scope, at_node, count, masquerade| Map::To(Class { scope, at_node, count, masquerade });
        let sticky = |at_node, seconds, masquerade| Map::Sticky(Sticky { at_node, seconds, masquerade });
        let mut all = Map::FIXED.to_vec();
        all.extend([class(Scope::All, false, 3, false), class(Scope::Outside, true, 500, true)]);
        all.extend([sticky(false, 10_800, false), sticky(true, 1, true)]);
        for map in all {
            assert_eq!(Map::parse(&map.name()), Some(map));
            assert!(map.name().len() < 32);
        }
        for other in ["picks", "to-all", "to-x-3", "to-all-x", "sticky-", "affinity"] {
            assert_eq!(Map::parse(other), None, "{other}");
        }
    }
}
