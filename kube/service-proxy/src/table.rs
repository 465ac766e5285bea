//! Our table in the kernel: read, compared, changed.

use std::collections::{BTreeSet, HashMap, HashSet};

use base::digest::{Algorithm, DigestHasher};
use netlink::nft::{Element, Family, Transaction, dump};
use netlink::{Protocol, Socket};
use proxy_rules::elements::{Key, Map, Value, endpoint_of, remembered_frontend};
use proxy_rules::program::{self, AFFINITY};
use proxy_rules::{Changes, Endpoint, Facts, Leads, Ruleset};

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
    /// The maps made on demand that the kernel has.
    demanded: BTreeSet<Map>,
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
        Ok(Self { name: name.to_owned(), socket, port, demanded: BTreeSet::new() })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// By what events show that they are our own doing.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Writes `changes`: first all that comes, then what goes. A packet reads several maps, each as
    /// it is at that moment, with the rules of the moment before: what it is led to must be there
    /// before the way of before is gone. After an error [`adopt`](Self::adopt) mends what is half done.
    pub fn apply(&mut self, changes: &Changes) -> Result<(), Error> {
        let comes: HashSet<&Key> = changes.add.iter().map(|(key, _)| key).collect();
        let (replaced, gone): (Vec<_>, Vec<_>) =
            changes.remove.iter().cloned().partition(|(key, _)| comes.contains(key));
        let new: Vec<Map> = changes.demanded.difference(&self.demanded).copied().collect();
        let mut coming = Transaction::on(FAMILY, &self.name);
        for map in &new {
            program::write_demanded(*map, &mut coming);
        }
        delete(&replaced, &mut coming);
        let (first, rest) = changes.add.split_at(changes.add.len().min(ELEMENTS_PER_COMMIT));
        add(first, &mut coming);
        if !first.is_empty() {
            self.commit(&coming)?;
            self.demanded.extend(new);
            self.add_rest(rest)?;
        }
        if gone.is_empty() {
            return Ok(());
        }
        let mut going = Transaction::on(FAMILY, &self.name);
        delete(&gone, &mut going);
        self.commit(&going)
    }

    /// Makes the kernel hold what `rules` want, whatever it holds now.
    pub fn adopt(&mut self, rules: &Ruleset) -> Result<Adopted, Error> {
        let (comment, fixed) = self.comment(rules.facts());
        match self.read(&comment, fixed)? {
            Some((held, demanded)) => {
                self.demanded = demanded;
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

    /// Takes clients from endpoints that their services do not have any more.
    ///
    /// A packet that is on its way may bring one back, so it is looked again until none is there.
    pub fn forget_clients(&mut self, services: &[Leads]) -> Result<(), Error> {
        if services.is_empty() {
            return Ok(());
        }
        for _ in 0..FORGET_TRIES_MAX {
            let elements = dump::elements(&mut self.socket, FAMILY, &self.name, AFFINITY);
            let elements = elements.map_err(self.failed("read the clients of"))?;
            let clients: Vec<_> = elements.iter().filter_map(dump::key_and_value).collect();
            let stale = stale_clients(&clients, services);
            if stale.is_empty() {
                break;
            }
            for key in stale {
                let mut transaction = Transaction::on(FAMILY, &self.name);
                transaction.delete_elements(AFFINITY, &[Element::key(key)]);
                match transaction.commit(&mut self.socket, None) {
                    // Its time is over.
                    Err(source) if source.raw_os_error() == Some(ENOENT) => {}
                    Err(source) => return Err(self.failed("change")(source)),
                    Ok(()) => {}
                }
            }
        }
        Ok(())
    }

    /// Deletes the table.
    pub fn remove(&mut self) -> Result<(), Error> {
        let mut transaction = Transaction::on(FAMILY, &self.name);
        transaction.delete_table();
        self.demanded.clear();
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
        for map in &changes.demanded {
            program::write_demanded(*map, &mut transaction);
        }
        let (first, rest) = changes.add.split_at(changes.add.len().min(ELEMENTS_PER_COMMIT));
        add(first, &mut transaction);
        self.commit(&transaction)?;
        self.demanded.clone_from(&changes.demanded);
        self.add_rest(rest)?;
        Ok(changes.add.len())
    }

    fn add_rest(&mut self, rest: &[(Key, Value)]) -> Result<(), Error> {
        for piece in rest.chunks(ELEMENTS_PER_COMMIT) {
            let mut transaction = Transaction::on(FAMILY, &self.name);
            add(piece, &mut transaction);
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
    ) -> Result<Option<(HashMap<Key, Value>, BTreeSet<Map>)>, Error> {
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
    ) -> Result<Option<(HashMap<Key, Value>, BTreeSet<Map>)>, netlink::Error> {
        let table = dump::table(&mut self.socket, FAMILY, &self.name)?;
        if table.is_none_or(|table| table.comment.as_deref() != Some(comment)) {
            return Ok(None);
        }
        let sets = dump::sets(&mut self.socket, FAMILY, &self.name)?;
        let maps: Vec<Map> = sets.iter().filter_map(|set| Map::parse(&set.name)).collect();
        let demanded: BTreeSet<Map> = maps.iter().copied().filter(|map| map.is_made_on_demand()).collect();
        let rules = dump::rules(&mut self.socket, FAMILY, &self.name)?.len();
        let own: usize = demanded.iter().map(|map| program::demanded_rules(*map).len()).sum();
        if rules != own + fixed {
            return Ok(None);
        }
        let mut held = HashMap::new();
        for map in maps {
            for element in dump::elements(&mut self.socket, FAMILY, &self.name, &map.name())? {
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
        Ok(Some((held, demanded)))
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

/// The keys of clients of `services` that are with an endpoint which is none of theirs.
fn stale_clients(clients: &[(Vec<u8>, Option<Vec<u8>>)], services: &[Leads]) -> Vec<Vec<u8>> {
    let mut allowed: HashMap<_, HashSet<Endpoint>> = HashMap::new();
    for Leads { frontends, endpoints } in services {
        for (address, protocol, port) in frontends {
            allowed.entry((*address, protocol.number(), *port)).or_default().extend(endpoints);
        }
    }
    let stale = clients.iter().filter(|(key, value)| {
        let at = remembered_frontend(key).and_then(|(address, protocol, port)| {
            let exact = allowed.get(&(Some(address), protocol, port));
            exact.or_else(|| allowed.get(&(None, protocol, port)))
        });
        let endpoint = value.as_deref().and_then(endpoint_of);
        at.is_some_and(|allowed| endpoint.is_none_or(|endpoint| !allowed.contains(&endpoint)))
    });
    stale.map(|(key, _)| key.clone()).collect()
}

fn add(elements: &[(Key, Value)], transaction: &mut Transaction) {
    for run in runs(elements) {
        transaction.add_elements(&run[0].0.map.name(), &as_elements(run));
    }
}

fn delete(elements: &[(Key, Value)], transaction: &mut Transaction) {
    for run in runs(elements) {
        transaction.delete_elements(&run[0].0.map.name(), &as_elements(run));
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
/// Clients that come back as they are forgotten do so in the microseconds of a packet.
const FORGET_TRIES_MAX: u32 = 8;
