//! What is done about a query, before anybody else is asked.

use std::net::IpAddr;

use names::{Code, Data, Found, Name, Query, QueryType, Record, Transport, Zones as _, failure, respond};

use crate::zone::Zone;

/// Who asks, and how.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// From where.
    pub address: IpAddr,
    /// By what.
    pub transport: Transport,
    /// The search domains of its node.
    pub search: &'a [Name],
}

/// What is done about a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// This is the answer.
    Reply(Vec<u8>),
    /// Somebody else knows the name.
    Forward,
    /// Somebody else knows one of the names; the first that exists is the answer, behind these aliases.
    Chase {
        /// Aliases that come first.
        aliases: Vec<Record>,
        /// Names to ask for in turn.
        names: Vec<Name>,
        /// Whether the first name found gets an alias from the query's name.
        searched: bool,
        /// The answer if there is none of them.
        otherwise: Vec<u8>,
    },
}

/// Decides about a query.
pub fn plan(query: &Query, asker: Asker<'_>, zone: &Zone) -> Plan {
    if query.class != CLASS_INTERNET {
        return Plan::Reply(failure(&[], Some(query), Code::Refused, asker.transport));
    }
    let name = query.name.lowercase();
    let mut found = zone.find(&name, query.kind);
    if let Found::NoName(..) = &found
        && let Some(base) = searched_for(&name, query.kind, asker.address, zone)
    {
        match along_the_path(query, &base, zone) {
            Some(better) => found = better,
            None => return outside(query, &base, &found, asker),
        }
    }
    match &found {
        Found::Elsewhere { answer, target } => Plan::Chase {
            aliases: answer.clone(),
            names: vec![*target],
            searched: false,
            otherwise: failure(&[], Some(query), Code::ServerFailure, asker.transport),
        },
        found => respond(query, found, asker.transport).map_or(Plan::Forward, Plan::Reply),
    }
}

/// What the asker's user wrote, if its resolver has put the first search domain of its namespace behind it.
fn searched_for(name: &Name, kind: QueryType, address: IpAddr, zone: &Zone) -> Option<Name> {
    if !matches!(kind, QueryType::A | QueryType::AAAA) {
        return None;
    }
    let namespace = zone.namespace_of(address)?;
    let first = Name::join([namespace.as_bytes(), b"svc"], zone.domain()).ok()?;
    name.strip(&first).filter(|base| *base != Name::ROOT)
}

/// The name with one of the cluster's other search domains behind it, or as it is.
fn along_the_path(query: &Query, base: &Name, zone: &Zone) -> Option<Found> {
    let services = Name::join([&b"svc"[..]], zone.domain()).ok()?;
    for domain in [&services, zone.domain(), &Name::ROOT] {
        let Ok(candidate) = Name::join(base.labels(), domain) else { continue };
        let alias = || Record { name: query.name, ttl: ALIAS_TTL, data: Data::Cname(candidate) };
        match zone.find(&candidate, query.kind) {
            Found::NoName(..) | Found::NotOurs => {}
            Found::Records { mut answer, more } => {
                answer.insert(0, alias());
                return Some(Found::Records { answer, more });
            }
            Found::Elsewhere { mut answer, target } => {
                answer.insert(0, alias());
                return Some(Found::Elsewhere { answer, target });
            }
            // It is there without such a record: its alias says so.
            Found::NoRecord(..) => return Some(Found::records(vec![alias()])),
        }
    }
    None
}

/// The names that are left of the search path are others'.
fn outside(query: &Query, base: &Name, found: &Found, asker: Asker<'_>) -> Plan {
    let searched = asker.search.iter().chain([&Name::ROOT]);
    let names = searched.filter_map(|domain| Name::join(base.labels(), domain).ok()).collect();
    let otherwise = respond(query, found, asker.transport);
    let otherwise =
        otherwise.unwrap_or_else(|| failure(&[], Some(query), Code::ServerFailure, asker.transport));
    Plan::Chase { aliases: Vec::new(), names, searched: true, otherwise }
}

/// Seconds that an alias of the search path may be kept.
pub(crate) const ALIAS_TTL: u32 = 5;
const CLASS_INTERNET: u16 = 1;
