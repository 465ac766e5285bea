//! All rules of a network namespace, read once.

use std::collections::BTreeMap;

use netlink::nft::dump::{self, RawElement};
use netlink::nft::{Expr, Family, HookPoint, Verdict};
use netlink::{Attributes, Error, Socket};

/// A chain's name in the kernel.
pub(crate) type ChainKey = (Family, String, String);

/// A rule, understood as far as may be.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) handle: u64,
    pub(crate) comment: Option<String>,
    pub(crate) expressions: Vec<Expr>,
}

/// Base chains with their rules, and whatever these lead to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ruleset {
    pub(crate) bases: Vec<dump::Chain>,
    pub(crate) rules: BTreeMap<ChainKey, Vec<Rule>>,
    pub(crate) sets: BTreeMap<ChainKey, Contents>,
}

impl Ruleset {
    /// Reads the tables that packets of `family` meet.
    pub(crate) fn read(socket: &mut Socket, family: Family) -> Result<Self, Error> {
        let mut all = Self::default();
        let tables = dump::tables(socket)?;
        let met = |table: &dump::Table| table.family == family || table.family == Family::Inet;
        for chain in dump::chains(socket)? {
            let table = tables.iter().find(|t| t.family == chain.family && t.name == chain.table);
            let Some(table) = table.filter(|table| met(table) && !table.dormant) else { continue };
            if chain.hook.is_some_and(|hook| hook.point.is_some()) {
                all.bases.push(chain.clone());
            }
            all.rules.insert((table.family, table.name.clone(), chain.name), Vec::new());
        }
        for table in tables.iter().filter(|table| met(table) && !table.dormant) {
            for rule in dump::rules(socket, table.family, &table.name)? {
                let key = (table.family, table.name.clone(), rule.chain);
                let expressions = rule.expressions.into_iter().map(Expr::understand).collect();
                let rule = Rule { handle: rule.handle, comment: rule.comment, expressions };
                all.rules.entry(key).or_default().push(rule);
            }
            for set in dump::sets(socket, table.family, &table.name)? {
                let elements = dump::elements(socket, table.family, &table.name, &set.name)?;
                let key = (table.family, table.name.clone(), set.name);
                all.sets.insert(key, Contents::of(set.flags, &elements));
            }
        }
        all.bases.sort_by_key(|base| base.hook.map(|hook| hook.priority));
        Ok(all)
    }

    /// The base chains at a hook, in order.
    pub(crate) fn at(&self, point: HookPoint) -> impl Iterator<Item = &dump::Chain> {
        self.bases.iter().filter(move |base| base.hook.is_some_and(|hook| hook.point == Some(point)))
    }
}

/// What an element leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is in a plain set.
    Member,
    /// A map's value.
    Value(Vec<u8>),
    /// A verdict map's.
    Verdict(Verdict),
}

/// The elements of a set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    /// Keys, or the first keys of ranges when `ranges`.
    elements: Vec<Element>,
    /// An element holds from its key on, to the next one that ends it.
    ranges: bool,
}

#[derive(Clone, Debug)]
struct Element {
    key: Vec<u8>,
    /// The last key, of a range of several parts.
    last: Option<Vec<u8>>,
    ends: bool,
    found: Found,
}

impl Contents {
    pub(crate) fn of(flags: u32, raw: &[RawElement]) -> Self {
        const INTERVAL: u32 = 4;
        let mut elements: Vec<Element> = raw.iter().filter_map(element).collect();
        // At one key an end comes before the beginning of the next.
        elements.sort_by(|a, b| a.key.cmp(&b.key).then(b.ends.cmp(&a.ends)));
        let ranges = flags & INTERVAL != 0 && elements.iter().all(|e| e.last.is_none());
        Self { elements, ranges }
    }

    /// How many bytes a key has; nothing for an empty set, which holds no key.
    pub(crate) fn key_length(&self) -> Option<usize> {
        self.elements.first().map(|element| element.key.len())
    }

    /// What is found under a key whose bytes may be unknown: nothing for sure, something for
    /// sure, or perhaps.
    pub(crate) fn look_up(&self, key: &[Option<u8>]) -> Option<(Found, bool)> {
        let known: Option<Vec<u8>> = key.iter().copied().collect();
        if let Some(known) = known {
            return self.exact(&known).map(|found| (found, true));
        }
        if self.ranges {
            return self.elements.iter().find(|e| !e.ends).map(|e| (e.found.clone(), false));
        }
        let fits = |element: &&Element| {
            let last = element.last.as_ref().unwrap_or(&element.key);
            let bytes = element.key.iter().zip(last).zip(key);
            bytes.clone().all(|((from, to), byte)| from != to || byte.is_none_or(|byte| byte == *from))
        };
        self.elements.iter().find(fits).map(|element| (element.found.clone(), false))
    }

    fn exact(&self, key: &[u8]) -> Option<Found> {
        if self.ranges {
            let at = self.elements.iter().rev().find(|e| e.key.as_slice() <= key)?;
            return (!at.ends).then(|| at.found.clone());
        }
        let within = |element: &&Element| match &element.last {
            None => element.key == key,
            // Parts are words of four bytes; their ends are compared one by one.
            Some(last) => element
                .key
                .chunks(4)
                .zip(last.chunks(4))
                .zip(key.chunks(4))
                .all(|((from, to), part)| from <= part && part <= to),
        };
        self.elements.iter().find(within).map(|element| element.found.clone())
    }
}

fn element(raw: &RawElement) -> Option<Element> {
    const KEY_END: u16 = 10;
    const FLAGS: u16 = 3;
    let attribute = |wanted: u16| raw.iter().find(|(kind, _)| *kind == wanted).map(|(_, data)| data);
    let (key, value) = dump::key_and_value(raw)?;
    let flags = attribute(FLAGS).and_then(|data| Some(u32::from_be_bytes(data.get(..4)?.try_into().ok()?)));
    let found = match (dump::key_and_verdict(raw), value) {
        (Some((_, verdict)), _) => Found::Verdict(verdict),
        (None, Some(value)) => Found::Value(value),
        (None, None) => Found::Member,
    };
    let last = attribute(KEY_END).and_then(|data| Some(Attributes::new(data).find(1)?.data.to_vec()));
    Some(Element { key, last, ends: flags.unwrap_or(0) & 1 != 0, found })
}
