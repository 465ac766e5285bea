//! Bringing the kernel's table to what is wanted: by a few elements when nobody changed
//! the rule set since our last look, else by comparing, else by writing it anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base::digest::{Algorithm, DigestHasher};
use netlink::nft::{Element, Family, Transaction, dump};
use netlink::{Protocol, Socket};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::files::{self, Durable};

use super::elements::{self, Published, SETS, concerned, difference};
use super::mirror::legacy::{self, Judgement};
use super::mirror::{Expirations, Mirror, Refusals, RuleKey, Seen};
use super::program::{NetworkView, Program};

/// Others may commit between our look and our commit, and each rule of the host that
/// cannot be copied costs one or two tries; after so many something is wrong.
const TRIES_MAX: u32 = 256;

/// What the table is to say.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Its family, and that of all addresses: `Ip` or `Ip6`.
    pub(crate) family: Family,
    /// Its name.
    pub(crate) table: String,
    /// All networks that have a bridge.
    pub(crate) networks: Vec<NetworkView>,
    /// Pass nothing on that is not ours.
    pub(crate) closed_transit: bool,
    /// All ports that are published after the change, with their containers.
    pub(crate) published: Published,
}

/// What differs from the last time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    /// These ports are new.
    Publish(&'a Published),
    /// These ports are gone.
    Withdraw(&'a Published),
    /// Look closely: anything may differ.
    Verify,
}

/// Why the table was written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// It was gone, or never there.
    Missing,
    /// Somebody had changed it.
    Changed,
    /// What it follows from is another now: the networks, or the host's input rules.
    Outdated,
}

/// What was done and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Applied {
    /// The table was written anew.
    #[serde(skip)]
    pub(crate) rewritten: Option<Rewritten>,
    /// What the user should know about published ports.
    pub(crate) warnings: Vec<String>,
    /// What the user should know about all traffic of containers.
    pub(crate) forward_warnings: Vec<String>,
    /// For `explain`: which chains of the host are copied.
    pub(crate) notes: Vec<String>,
}

/// What we remember of our last commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    /// The generation that it made.
    generation: u32,
    /// What was wanted beside the ports.
    shape: String,
    applied: Applied,
    /// What the table says of itself, and how many rules it has.
    #[serde(default)]
    written: Written,
}

/// By what a table is known to be as we wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    comment: String,
    rules: usize,
}

/// Our table of one family and the file in which we remember what we did to it.
#[derive(Debug)]
pub(crate) struct Firewall {
    memory: PathBuf,
    scratch: PathBuf,
    socket: Mutex<Option<Socket>>,
}

impl Firewall {
    /// What is done to the table of `family` is remembered below `state`.
    pub(crate) fn new(state: &Path, family: Family) -> Self {
        let name = if family == Family::Ip6 { "rules6" } else { "rules" };
        let (memory, scratch) = (state.join(format!("{name}.json")), state.join(format!("{name}.scratch")));
        Self { memory, scratch, socket: Mutex::new(None) }
    }

    /// Lends the socket, which is opened at the first use.
    pub(crate) fn with_socket<T>(
        &self,
        work: impl FnOnce(&mut Socket) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut slot = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = match &mut *slot {
            Some(socket) => socket,
            empty => {
                let opened = Socket::open(Protocol::Netfilter);
                empty.insert(opened.map_err(failed("open a socket to nf_tables"))?)
            }
        };
        work(socket)
    }

    /// Makes the kernel hold what is `wanted`; `change` says what is new about it.
    pub(crate) fn apply(&self, wanted: &Wanted, change: Change<'_>) -> Result<Applied, Error> {
        self.with_socket(|socket| self.apply_by(socket, wanted, change))
    }

    fn apply_by(&self, socket: &mut Socket, wanted: &Wanted, change: Change<'_>) -> Result<Applied, Error> {
        let memory: Memory = files::read(&self.memory)?.unwrap_or_default();
        let legacy = legacy(wanted.family)?;
        let shape = shape(wanted, legacy);
        let mut refused = Refusals::new();
        let mut suspicious = matches!(change, Change::Verify);
        for _ in 0..TRIES_MAX {
            let (generation, table) = look(socket, (wanted.family, &wanted.table))?;
            let untouched = memory.generation == generation && memory.shape == shape && table.is_some();
            let outcome = if untouched && !suspicious && generation != 0 {
                let transaction = delta(wanted, change);
                let applied = Applied { rewritten: None, ..memory.applied.clone() };
                Attempt { transaction, applied, located: Vec::new(), written: memory.written.clone() }
            } else {
                attempt(socket, wanted, change, table.as_ref(), (&refused, suspicious, legacy))?
            };
            match outcome.transaction.commit(socket, Some(generation)) {
                Ok(()) => {
                    let step = u32::from(!outcome.transaction.is_empty());
                    let generation = generation.wrapping_add(step);
                    let (applied, written) = (outcome.applied.clone(), outcome.written);
                    let now = Memory { generation, shape, applied, written };
                    if now != memory {
                        files::write(&self.memory, &self.scratch, &now, Durable::No)?;
                    }
                    return Ok(outcome.applied);
                }
                // Somebody committed in between: look again.
                Err(error) if error.is(Errno::RESTART) => {}
                Err(netlink::Error::Refused(refusal)) => {
                    let culprit = outcome.located.iter().find(|(index, _)| *index == refusal.index);
                    match culprit {
                        Some((_, rule)) => *refused.entry(rule.clone()).or_default() += 1,
                        // An element is there that should not be, or the other way round.
                        None if !suspicious => suspicious = true,
                        None => {
                            let step = format!("write nftables table {} {}", wanted.family, wanted.table);
                            return Err(Error::Kernel { step, source: refusal.into() });
                        }
                    }
                }
                Err(source) => {
                    let step = format!("write nftables table {} {}", wanted.family, wanted.table);
                    return Err(Error::Kernel { step, source });
                }
            }
        }
        let source = netlink::Error::Disturbed { tries: TRIES_MAX };
        Err(Error::Kernel {
            step: format!("write nftables table {} {}", wanted.family, wanted.table),
            source,
        })
    }

    /// Whether nobody has changed any rule of the host since our last commit.
    pub(crate) fn is_untouched(&self, wanted: &Wanted) -> Result<bool, Error> {
        let memory: Memory = files::read(&self.memory)?.unwrap_or_default();
        let shape = shape(wanted, legacy(wanted.family)?);
        let (generation, table) = self.with_socket(|socket| look(socket, (wanted.family, &wanted.table)))?;
        Ok(memory.generation == generation && memory.shape == shape && table.is_some() && generation != 0)
    }

    /// How the table differs from how we left it, and its ports from those that are `wanted`. Changes
    /// nothing.
    pub(crate) fn examine(&self, wanted: &Wanted) -> Result<Option<Rewritten>, Error> {
        let memory: Memory = files::read(&self.memory)?.unwrap_or_default();
        let Written { comment, rules } = memory.written;
        if comment.is_empty() {
            return Ok(None);
        }
        self.with_socket(|socket| {
            let (_, table) = look(socket, (wanted.family, &wanted.table))?;
            let Some(table) = table else { return Ok(Some(Rewritten::Missing)) };
            let same = table.comment.as_deref() == Some(comment.as_str());
            let intact = same && intact(socket, wanted, rules, true)?;
            Ok((!intact).then_some(Rewritten::Changed))
        })
    }

    /// Whether we have ever written the table and not deleted it since.
    pub(crate) fn is_in_use(&self) -> bool {
        self.memory.exists()
    }

    /// Deletes the table and forgets it.
    pub(crate) fn remove(&self, family: Family, table: &str) -> Result<(), Error> {
        let mut transaction = Transaction::on(family, table);
        transaction.delete_table();
        let deleted = self.with_socket(|socket| Ok(transaction.commit(socket, None)))?;
        match deleted {
            Err(error) if !error.is(Errno::NOENT) => {
                let step = format!("delete nftables table {family} {table}");
                return Err(Error::Kernel { step, source: error });
            }
            _ => {}
        }
        files::remove(&self.memory)
    }
}

/// One set of changes that is to be committed.
struct Attempt {
    transaction: Transaction,
    applied: Applied,
    /// Which message copies which rule of the host.
    located: Vec<(usize, RuleKey)>,
    written: Written,
}

/// Generation and table in one exchange.
fn look(socket: &mut Socket, (family, table): (Family, &str)) -> Result<(u32, Option<dump::Table>), Error> {
    let requests = [dump::generation_request(), dump::table_request(family, table)];
    let answers = socket.execute(&requests).map_err(failed("look at nf_tables"))?;
    let (mut generation, mut found) = (0, None);
    for answer in answers.iter().flatten().flatten() {
        generation = dump::parse_generation(answer).unwrap_or(generation);
        found = dump::Table::parse(answer).or(found);
    }
    Ok((generation, found))
}

/// Only the elements that change.
fn delta(wanted: &Wanted, change: Change<'_>) -> Transaction {
    let mut transaction = Transaction::on(wanted.family, &wanted.table);
    let change = match change {
        Change::Publish(ports) => {
            let after = concerned(&wanted.published, ports);
            let before: Published = after.iter().filter(|port| !ports.contains(port)).copied().collect();
            difference(&before, &after)
        }
        Change::Withdraw(ports) => {
            let after = concerned(&wanted.published, ports);
            let before: Published = after.iter().chain(ports).copied().collect();
            difference(&before, &after)
        }
        Change::Verify => return transaction,
    };
    let of = |elements: &[(&'static str, Element)], set: &str| -> Vec<Element> {
        elements.iter().filter(|(of, _)| *of == set).map(|(_, element)| element.clone()).collect()
    };
    for set in SETS {
        transaction.delete_elements(set, &of(&change.remove, set));
        transaction.add_elements(set, &of(&change.add, set));
    }
    transaction
}

/// Compares with what the kernel holds: the few elements if all else is as it should
/// be, else everything.
fn attempt(
    socket: &mut Socket,
    wanted: &Wanted,
    change: Change<'_>,
    table: Option<&dump::Table>,
    (refused, suspicious, legacy): (&Refusals, bool, Option<(Judgement, Judgement)>),
) -> Result<Attempt, Error> {
    let bridges: Vec<&str> = wanted.networks.iter().map(|n| n.bridge.as_str()).collect();
    let mut seen =
        Seen::read(socket, wanted.family, &bridges).map_err(failed("read the host's input rules"))?;
    seen.legacy = legacy;
    let mirror = Mirror::of(&seen, refused);
    let Wanted { networks, closed_transit, .. } = wanted;
    let program =
        Program { family: wanted.family, networks, closed_transit: *closed_transit, mirror: &mirror };
    let mut whole = Transaction::on(wanted.family, &wanted.table);
    program.write(&mut whole, Expirations::LeftOut);
    let comment = comment(&whole);
    let applied = Applied {
        rewritten: None,
        warnings: mirror.warnings.clone(),
        forward_warnings: mirror.forward_warnings.clone(),
        notes: mirror.notes.clone(),
    };
    let same = table.is_some_and(|table| table.comment.as_deref() == Some(comment.as_str()));
    let written = Written { comment: comment.clone(), rules: whole.rules() };
    if same && intact(socket, wanted, written.rules, suspicious)? {
        let change = if suspicious { Change::Verify } else { change };
        let transaction = delta(wanted, change);
        return Ok(Attempt { transaction, applied, located: Vec::new(), written });
    }
    let mut transaction = Transaction::on(wanted.family, &wanted.table);
    if table.is_some() {
        transaction.delete_table();
    }
    transaction.add_table(Some(&comment));
    let mut located = Vec::new();
    program.write_and_locate(&mut transaction, Expirations::Kept, |index, rule| {
        located.push((index, rule.clone()));
    });
    let elements = elements::elements(&wanted.published);
    for set in SETS {
        let own = elements.iter().filter(|((of, _), _)| *of == set);
        let own: Vec<Element> =
            own.map(|((_, key), value)| elements::element(key, value.as_deref())).collect();
        transaction.add_elements(set, &own);
    }
    let why = match table {
        None => Rewritten::Missing,
        Some(_) if same => Rewritten::Changed,
        Some(_) => Rewritten::Outdated,
    };
    Ok(Attempt { transaction, applied: Applied { rewritten: Some(why), ..applied }, located, written })
}

/// What legacy iptables judges, when its filter table is in use.
fn legacy(family: Family) -> Result<Option<(Judgement, Judgement)>, Error> {
    let names = match family {
        Family::Ip6 => "/proc/net/ip6_tables_names",
        _ => "/proc/net/ip_tables_names",
    };
    let text = std::fs::read_to_string(names).unwrap_or_default();
    if !text.lines().any(|name| name == "filter") {
        return Ok(None);
    }
    if family == Family::Ip6 {
        // Its rules cannot be read: whatever they are, they are not passed by.
        let unread = Judgement { has_rules: true, accepts: true };
        return Ok(Some((unread, unread)));
    }
    let table = sys::xtables::ipv4_table("filter").map_err(|source| Error::File {
        operation: "read legacy iptables table filter, listed in",
        path: PathBuf::from(names),
        source,
    })?;
    Ok(Some((legacy::judgement(&table, legacy::INPUT), legacy::judgement(&table, legacy::FORWARD))))
}

/// Whether the rules are all there (somebody may have flushed them) and, when looking
/// closely, the elements are exactly the wanted ones.
fn intact(socket: &mut Socket, wanted: &Wanted, expected: usize, suspicious: bool) -> Result<bool, Error> {
    let step = failed("read our own rules");
    let rules = match dump::rules(socket, wanted.family, &wanted.table) {
        Ok(rules) => rules.len(),
        Err(error) if error.is(Errno::NOENT) => return Ok(false),
        Err(error) => return Err(step(error)),
    };
    if rules != expected {
        return Ok(false);
    }
    if !suspicious {
        return Ok(true);
    }
    let expected = elements::elements(&wanted.published);
    for set in SETS {
        let held = match dump::elements(socket, wanted.family, &wanted.table, set) {
            Ok(held) => held,
            Err(error) if error.is(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(failed("read our own rules")(error)),
        };
        let held: BTreeSet<_> = held.iter().filter_map(dump::key_and_value).collect();
        let expected = expected.iter().filter(|((of, _), _)| *of == set);
        let expected: BTreeSet<_> = expected.map(|((_, key), value)| (key.clone(), value.clone())).collect();
        if held != expected {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What lists show beside the table, and how we know it again.
fn comment(whole: &Transaction) -> String {
    let mut hasher = DigestHasher::new(Algorithm::Sha256);
    for message in whole.messages() {
        hasher.update(message.body());
    }
    let digest = hasher.finish();
    let hex = digest.hex();
    format!("made by strake, changes are overwritten ({})", hex.get(..16).unwrap_or(hex))
}

/// Everything that decides the rules and that the generation does not tell.
fn shape(wanted: &Wanted, legacy: Option<(Judgement, Judgement)>) -> String {
    let mut shape = format!("{} {} {legacy:?}", wanted.table, wanted.closed_transit);
    for network in &wanted.networks {
        let NetworkView { bridge, subnet, internal, masquerade, .. } = network;
        shape.push_str(&format!(" {bridge}={subnet} {internal} {masquerade}"));
        if let Some(pods) = &network.pods {
            shape.push_str(&format!(" {pods:?}"));
        }
    }
    shape
}

fn failed(step: &'static str) -> impl Fn(netlink::Error) -> Error {
    move |source| Error::Kernel { step: step.to_owned(), source }
}
