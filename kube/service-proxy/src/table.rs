//! Our table in the kernel: read, compared, changed.

use std::collections::{BTreeSet, HashMap};

use base::digest::{Algorithm, DigestHasher};
use netlink::nft::{Element, Family, Transaction, dump};
use netlink::{Protocol, Socket};
use proxy_rules::elements::{Key, Map, Value};
use proxy_rules::program::{self, PICKS, Pick};
use proxy_rules::{Changes, Facts, Ruleset};

use crate::error::Error;

const FAMILY: Family = Family::Ip;
/// Elements of one transaction. All in one is best: the table is never half full. But the kernel
/// takes a transaction in one piece of memory.
const ELEMENTS_PER_COMMIT: usize = 60_000;

/// One table of the network namespace in which it was opened.
#[derive(Debug)]
pub struct Table {
    name: String,
    socket: Socket,
    port: u32,
    /// The picking chains that the kernel has.
    picks: BTreeSet<Pick>,
}

/// What [`Table::adopt`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// The table was written from nothing.
    pub rewritten: bool,
    /// Elements that were removed or added.
    pub changed: usize,
}

impl Table {
    /// A handle; nothing is written yet.
    pub fn open(name: &str) -> Result<Self, Error> {
        let failed = |source| Error::Table { step: "open a socket for", table: name.to_owned(), source };
        let socket = Socket::open(Protocol::Netfilter).map_err(failed)?;
        let port = socket.port().map_err(failed)?;
        Ok(Self { name: name.to_owned(), socket, port, picks: BTreeSet::new() })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// By what events show that they are our own doing.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Writes `changes`. On an error the kernel holds what it held.
    pub fn apply(&mut self, changes: &Changes) -> Result<(), Error> {
        let mut transaction = Transaction::on(FAMILY, &self.name);
        let new: Vec<Pick> = changes.picks.difference(&self.picks).copied().collect();
        for pick in &new {
            program::write_pick(pick, &mut transaction);
        }
        for run in runs(&changes.remove) {
            transaction.delete_elements(run[0].0.map.name(), &as_elements(run));
        }
        let (first, rest) = changes.add.split_at(changes.add.len().min(ELEMENTS_PER_COMMIT));
        for run in runs(first) {
            transaction.add_elements(run[0].0.map.name(), &as_elements(run));
        }
        self.commit(&transaction)?;
        self.picks.extend(new);
        self.add_rest(rest)
    }

    /// Makes the kernel hold what `rules` want, whatever it holds now.
    pub fn adopt(&mut self, rules: &Ruleset) -> Result<Adopted, Error> {
        let (comment, fixed) = self.comment(rules.facts());
        match self.read(&comment, fixed)? {
            Some((held, picks)) => {
                self.picks = picks;
                let changes = rules.difference(held);
                self.apply(&changes)?;
                let changed = changes.add.len() + changes.remove.len();
                Ok(Adopted { rewritten: false, changed })
            }
            None => {
                let changed = self.rewrite(rules, &comment)?;
                Ok(Adopted { rewritten: true, changed })
            }
        }
    }

    /// Deletes the table.
    pub fn remove(&mut self) -> Result<(), Error> {
        let mut transaction = Transaction::on(FAMILY, &self.name);
        transaction.delete_table();
        self.picks.clear();
        match transaction.commit(&mut self.socket, None) {
            Err(source) if source.raw_os_error() != Some(ENOENT) => Err(self.failed("delete")(source)),
            _ => Ok(()),
        }
    }

    fn rewrite(&mut self, rules: &Ruleset, comment: &str) -> Result<usize, Error> {
        let changes = rules.difference(HashMap::new());
        let mut transaction = Transaction::on(FAMILY, &self.name);
        // Made if it is missing, so that it can be deleted whether or not it was there.
        transaction.add_table(None).delete_table().add_table(Some(comment));
        program::write(rules.facts(), &mut transaction);
        for pick in &changes.picks {
            program::write_pick(pick, &mut transaction);
        }
        let (first, rest) = changes.add.split_at(changes.add.len().min(ELEMENTS_PER_COMMIT));
        for run in runs(first) {
            transaction.add_elements(run[0].0.map.name(), &as_elements(run));
        }
        self.commit(&transaction)?;
        self.picks.clone_from(&changes.picks);
        self.add_rest(rest)?;
        Ok(changes.add.len())
    }

    fn add_rest(&mut self, rest: &[(Key, Value)]) -> Result<(), Error> {
        for piece in rest.chunks(ELEMENTS_PER_COMMIT) {
            let mut transaction = Transaction::on(FAMILY, &self.name);
            for run in runs(piece) {
                transaction.add_elements(run[0].0.map.name(), &as_elements(run));
            }
            self.commit(&transaction)?;
        }
        Ok(())
    }

    fn commit(&mut self, transaction: &Transaction) -> Result<(), Error> {
        transaction.commit(&mut self.socket, None).map_err(|source| Error::Table {
            step: "change",
            table: self.name.clone(),
            source,
        })
    }

    /// What the kernel holds; `None` if the table is missing, or its chains are not ours.
    #[allow(clippy::type_complexity, reason = "used once, beside")]
    fn read(
        &mut self,
        comment: &str,
        fixed: usize,
    ) -> Result<Option<(HashMap<Key, Value>, BTreeSet<Pick>)>, Error> {
        match self.read_through(comment, fixed) {
            Ok(found) => Ok(found),
            // It went while we looked.
            Err(source) if source.raw_os_error() == Some(ENOENT) => Ok(None),
            Err(source) => Err(self.failed("read")(source)),
        }
    }

    #[allow(clippy::type_complexity, reason = "used once, above")]
    fn read_through(
        &mut self,
        comment: &str,
        fixed: usize,
    ) -> Result<Option<(HashMap<Key, Value>, BTreeSet<Pick>)>, netlink::Error> {
        let table = dump::table(&mut self.socket, FAMILY, &self.name)?;
        if table.is_none_or(|table| table.comment.as_deref() != Some(comment)) {
            return Ok(None);
        }
        let elements = dump::elements(&mut self.socket, FAMILY, &self.name, PICKS)?;
        let leads = elements.iter().filter_map(dump::key_and_verdict);
        let picks: BTreeSet<Pick> = leads
            .filter_map(|(key, verdict)| match verdict {
                netlink::nft::Verdict::Goto(chain) => Pick::parse(&chain).filter(|pick| pick.key() == key),
                _ => None,
            })
            .collect();
        let rules = dump::rules(&mut self.socket, FAMILY, &self.name)?.len();
        let own: usize = picks.iter().map(|pick| pick.rules().len()).sum();
        if picks.len() != elements.len() || rules != own + fixed {
            return Ok(None);
        }
        let mut held = HashMap::new();
        for map in Map::ALL {
            for element in dump::elements(&mut self.socket, FAMILY, &self.name, map.name())? {
                let pair = if map.has_ranges() {
                    dump::range(&element)
                } else {
                    dump::key_and_value(&element).map(|(key, value)| (key, value.unwrap_or_default()))
                };
                if let Some((key, value)) = pair {
                    held.insert(Key { map, bytes: key.into() }, value.into());
                }
            }
        }
        Ok(Some((held, picks)))
    }

    /// What lists show beside the table, by which we know it again, and how many rules it has
    /// beside those that pick.
    fn comment(&self, facts: &Facts) -> (String, usize) {
        let mut whole = Transaction::on(FAMILY, &self.name);
        program::write(facts, &mut whole);
        let mut hasher = DigestHasher::new(Algorithm::Sha256);
        for message in whole.messages() {
            hasher.update(message.body());
        }
        let digest = hasher.finish();
        let hex = digest.hex();
        (format!("{COMMENT} ({})", hex.get(..16).unwrap_or(hex)), whole.rules())
    }

    fn failed(&self, step: &'static str) -> impl Fn(netlink::Error) -> Error {
        let table = self.name.clone();
        move |source| Error::Table { step, table: table.clone(), source }
    }
}

/// Stretches of elements of one map.
fn runs(elements: &[(Key, Value)]) -> impl Iterator<Item = &[(Key, Value)]> {
    elements.chunk_by(|(a, _), (b, _)| a.map == b.map)
}

fn as_elements(run: &[(Key, Value)]) -> Vec<Element> {
    let element = |(key, value): &(Key, Value)| {
        let bytes = key.bytes.to_vec();
        match (key.map.has_ranges(), value.is_empty()) {
            (true, _) => Element::Range { first: bytes, last: value.to_vec() },
            (false, true) => Element::key(bytes),
            (false, false) => Element::pair(bytes, value.to_vec()),
        }
    };
    run.iter().map(element).collect()
}

const COMMENT: &str = "made by strake, changes are overwritten";
const ENOENT: i32 = 2;
