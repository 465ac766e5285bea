//! Which bridge and which range a network has on this host.
//!
//! A definition lasts longer than the kernel: after a reboot, or beside another data
//! root, its link name may be another's and its range may collide with a route that is
//! new. Then, and only while nobody is attached, it moves.

use std::path::Path;

use netlink::route::Link;

use crate::addresses;
use crate::cidr::Cidr;
use crate::definition::Definition;
use crate::error::Error;
use crate::ledger::Ledger;
use crate::links::HostLinks;

/// Other data roots on one host take the next names.
const BRIDGES_MAX: u32 = 64;
const ALIAS_BYTES_MAX: usize = 200;

/// A network and its bridge, when that is up already.
pub(crate) struct BroughtUp {
    pub(crate) definition: Definition,
    pub(crate) link: Option<Link>,
}

/// The text by which a bridge of this data root is known again.
pub(crate) fn alias(definitions: &Path) -> String {
    let path = definitions.to_string_lossy();
    if path.len() <= ALIAS_BYTES_MAX {
        return format!("strake {path}");
    }
    format!("strake {}", base::Digest::sha256_of(path.as_bytes()).hex())
}

/// Whether `link` is one that this data root made: a bridge, or the tagged part of another link.
pub(crate) fn is_ours(link: &Link, definitions: &Path) -> bool {
    matches!(link.kind.as_deref(), Some("bridge" | "vlan")) && link.alias == alias(definitions)
}

/// Finds the network's bridge, or decides its name and range.
pub(crate) fn bring_up(
    name: &str,
    known: Option<&Definition>,
    ledger: &Ledger,
    definitions: &Path,
    others: &[Definition],
    host: &mut HostLinks,
) -> Result<BroughtUp, Error> {
    if let Some(definition) = known {
        let link = host.by_name(&definition.bridge)?;
        if let Some(link) = link.as_ref().filter(|link| is_ours(link, definitions) && link.is_up()) {
            return Ok(BroughtUp { definition: definition.clone(), link: Some(link.clone()) });
        }
        // Our own bridge that a crash left down is finished, not avoided.
        let own = link.as_ref().is_some_and(|link| is_ours(link, definitions) || is_bare(link));
        // A user's network stays what it was made as; the default one gives our table its name.
        let held = !definition.is_default() || !ledger.holders.is_empty();
        if link.is_some() && !own && !definition.is_default() {
            return Err(Error::ForeignLink { name: definition.bridge.clone() });
        }
        if own || held {
            return Ok(BroughtUp { definition: definition.clone(), link: None });
        }
        let taken = host.taken_ranges()?;
        if link.is_none() && addresses::collision(definition.subnet, &taken).is_none() {
            return Ok(BroughtUp { definition: definition.clone(), link: None });
        }
    }
    let mut taken = host.taken_ranges()?;
    taken.extend(others.iter().filter(|other| other.name != name).map(|other| other.subnet));
    let bridge = free_name(host)?;
    let mut definition = define(name, &bridge, known, &taken)?;
    match known {
        Some(known) if !known.id.is_empty() => definition.id.clone_from(&known.id),
        _ => definition.id = default_id(definitions),
    }
    definition.created_nanos = known.map_or_else(now_nanos, |known| known.created_nanos);
    Ok(BroughtUp { definition, link: None })
}

/// The id of the default network of a data root: told from where that is, so that it stays.
pub(crate) fn default_id(definitions: &Path) -> String {
    base::Digest::sha256_of(format!("default network of {}", definitions.display()).as_bytes())
        .hex()
        .to_owned()
}

fn now_nanos() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// A bridge without a sign: made, but not yet marked, when we were killed.
fn is_bare(link: &Link) -> bool {
    link.kind.as_deref() == Some("bridge") && link.alias.is_empty() && !link.is_up()
}

fn free_name(host: &mut HostLinks) -> Result<String, Error> {
    let mut name = crate::DEFAULT_BRIDGE.to_owned();
    for number in 1..BRIDGES_MAX {
        match host.by_name(&name)? {
            Some(link) if !is_bare(&link) => name = format!("strake{number}"),
            _ => break,
        }
    }
    Ok(name)
}

/// Decides the range, and says why. Pure.
fn define(name: &str, bridge: &str, known: Option<&Definition>, taken: &[Cidr]) -> Result<Definition, Error> {
    let preferred = known.map_or(addresses::PREFERRED, |known| known.subnet);
    let collision = addresses::collision(preferred, taken);
    let subnet = match collision {
        None => Some(preferred),
        Some(_) => addresses::choose_range(taken),
    };
    let (first, last) =
        (addresses::PREFERRED, addresses::candidates().last().unwrap_or(addresses::PREFERRED));
    let subnet = subnet.ok_or_else(|| Error::NoFreeSubnet { network: name.to_owned(), first, last })?;
    let why = match collision {
        None => "the default range, which no route of this host meets".to_owned(),
        Some(route) => format!("the first range that no route of this host meets; {preferred} meets {route}"),
    };
    let table = match bridge {
        crate::DEFAULT_BRIDGE => crate::DEFAULT_TABLE,
        other => other,
    };
    Ok(Definition {
        bridge: bridge.to_owned(),
        table: table.to_owned(),
        why,
        ..Definition::plain(name, subnet)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_why_it_moved() {
        let taken = ["172.30.8.0/24".parse().expect("valid")];
        let moved = define("bridge", "strake0", None, &taken).expect("a range");
        assert_eq!(moved.subnet.to_string(), "172.29.0.0/16");
        assert_eq!(moved.gateway, std::net::Ipv4Addr::new(172, 29, 0, 1));
        assert!(moved.why.ends_with("172.30.0.0/16 meets 172.30.8.0/24"), "{}", moved.why);
        let again = define("bridge", "strake1", Some(&moved), &[]).expect("a range");
        assert_eq!((again.subnet, again.table.as_str()), (moved.subnet, "strake1"));
    }
}
