//! How many pods of a group are in each domain, kept up as pods come and go.
//!
//! Affinity and spreading ask this of every node for every pod. Counting anew would look at every
//! pod of the cluster; here a pod that comes changes a few counters.

use std::collections::HashMap;

use crate::affinity::{Group, Term};
use crate::pod::Pod;
use crate::read::Labels;
use crate::topology::{Domain, Key, Topologies};

/// A tally's place; valid as long as the snapshot's pods do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TallyId(usize);

/// Who is counted: pods that belong to all of the groups.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) groups: Vec<Group>,
    /// Pods that are ending do not count.
    pub(crate) living: bool,
}

/// Counts of one set of pods by the domains of one topology key.
#[derive(Debug)]
pub(crate) struct Tally {
    identity: String,
    who: Who,
    pub(crate) key: Key,
    /// Pods of the set in each domain.
    pub(crate) pods: HashMap<Domain, u32>,
    /// Pods of the set on each node that has any.
    pub(crate) on_nodes: HashMap<usize, u32>,
    /// Pods of the set anywhere, also on nodes without the key.
    pub(crate) total: u32,
    /// Pods that keep away from the set, in each domain.
    pub(crate) refusals: HashMap<Domain, u32>,
    /// What pods would give to have the set in their domain, in sum; less than nothing to have it away.
    pub(crate) wishes: HashMap<Domain, i64>,
    /// Pods in the snapshot that ask for this tally.
    users: u32,
}

/// All tallies.
#[derive(Debug, Default)]
pub(crate) struct Census {
    tallies: Vec<Option<Tally>>,
    by_identity: HashMap<String, usize>,
    /// Tallies whose pods all have a label, by that label.
    signed: HashMap<(String, String), Vec<usize>>,
    unsigned: Vec<usize>,
    free: Vec<usize>,
}

/// A pod at a place, with the labels of its namespace.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) place: usize,
    pub(crate) namespace: Option<&'a Labels>,
}

impl Who {
    /// The pods of a term.
    pub(crate) fn of(term: &Term) -> Self {
        Self { groups: vec![term.group.clone()], living: false }
    }

    pub(crate) fn has(&self, pod: &Pod, namespace: Option<&Labels>) -> bool {
        !(self.living && pod.is_ending)
            && self.groups.iter().all(|group| group.has(&pod.namespace, &pod.labels, namespace))
    }

    fn sign(&self) -> Option<(String, String)> {
        let (key, value) = self.groups.iter().find_map(Group::sign)?;
        Some((key.to_owned(), value.to_owned()))
    }

    fn identity(&self, key: &str) -> String {
        use std::fmt::Write as _;
        let mut identity = format!("{key}|{}", self.living);
        for group in &self.groups {
            // Writing to memory cannot fail.
            let _ = write!(identity, "|{group}");
        }
        identity
    }
}

impl Census {
    /// The tally, if it is kept.
    pub(crate) fn find(&self, who: &Who, key: &str) -> Option<TallyId> {
        self.by_identity.get(&who.identity(key)).map(|at| TallyId(*at))
    }

    pub(crate) fn tally(&self, id: TallyId) -> Option<&Tally> {
        self.tallies.get(id.0)?.as_ref()
    }

    /// Keeps the tally from now on, if it is not kept already; `pods` are all pods there are.
    pub(crate) fn keep<'a>(
        &mut self,
        who: Who,
        (name, key): (&str, Key),
        topologies: &Topologies,
        pods: impl Iterator<Item = At<'a>>,
    ) -> TallyId {
        let identity = who.identity(name);
        if let Some(at) = self.by_identity.get(&identity) {
            return TallyId(*at);
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.tallies.push(None);
            self.tallies.len() - 1
        });
        self.by_identity.insert(identity.clone(), at);
        match who.sign() {
            Some(sign) => self.signed.entry(sign).or_default().push(at),
            None => self.unsigned.push(at),
        }
        let mut tally = Tally {
            identity,
            who,
            key,
            pods: HashMap::new(),
            on_nodes: HashMap::new(),
            total: 0,
            refusals: HashMap::new(),
            wishes: HashMap::new(),
            users: 0,
        };
        for pod in pods {
            tally.count(pod, topologies, 1);
        }
        self.tallies[at] = Some(tally);
        TallyId(at)
    }

    /// Tallies that the pod counts in.
    pub(crate) fn of<'a>(
        &'a self,
        pod: &'a Pod,
        namespace: Option<&'a Labels>,
    ) -> impl Iterator<Item = &'a Tally> {
        let fits = move |tally: &&Tally| tally.who.has(pod, namespace);
        self.candidates(pod).into_iter().filter_map(|at| self.tallies[at].as_ref()).filter(fits)
    }

    fn candidates(&self, pod: &Pod) -> Vec<usize> {
        let mut found = self.unsigned.clone();
        if !self.signed.is_empty() {
            for (key, value) in &pod.labels {
                found.extend(self.signed.get(&(key.clone(), value.clone())).into_iter().flatten());
            }
        }
        found
    }

    /// A pod is there now (`by` is 1), or not any more (-1).
    pub(crate) fn count(&mut self, pod: At<'_>, topologies: &Topologies, by: i64) {
        for at in self.candidates(pod.pod) {
            if let Some(tally) = &mut self.tallies[at] {
                tally.count(pod, topologies, by);
            }
        }
        for term in &pod.pod.anti_affinity.required {
            self.tell(term, pod.place, topologies, by, |tally, domain| {
                bump(&mut tally.refusals, domain, by);
            });
        }
        let wanted = pod.pod.affinity.required.iter().map(|term| (WORTH_OF_REQUIRED, term));
        let preferred = pod.pod.affinity.preferred.iter().map(|(weight, term)| (*weight, term));
        let unwanted = pod.pod.anti_affinity.preferred.iter().map(|(weight, term)| (-weight, term));
        for (weight, term) in wanted.chain(preferred).chain(unwanted) {
            self.tell(term, pod.place, topologies, by, |tally, domain| {
                let sum = tally.wishes.entry(domain).or_default();
                *sum += weight * by;
                if *sum == 0 {
                    tally.wishes.remove(&domain);
                }
            });
        }
    }

    /// Changes the tally of a term that a pod in the snapshot has; it is kept, see `Snapshot::learn`.
    fn tell(
        &mut self,
        term: &Term,
        place: usize,
        topologies: &Topologies,
        by: i64,
        change: impl FnOnce(&mut Tally, Domain),
    ) {
        let Some(id) = self.find(&Who::of(term), &term.topology_key) else { return };
        let Some(tally) = &mut self.tallies[id.0] else { return };
        tally.users = tally.users.saturating_add_signed(by as i32);
        if let Some(domain) = topologies.domain(tally.key, place) {
            change(tally, domain);
        }
    }

    /// Forgets tallies that no pod of the snapshot asks for, when there are many of them.
    pub(crate) fn sweep(&mut self) {
        let idle = |tally: &Option<Tally>| tally.as_ref().is_some_and(|tally| tally.users == 0);
        if self.tallies.iter().filter(|tally| idle(tally)).count() <= IDLE_MAX {
            return;
        }
        for at in 0..self.tallies.len() {
            if idle(&self.tallies[at])
                && let Some(tally) = self.tallies[at].take()
            {
                self.by_identity.remove(&tally.identity);
                let list = match tally.who.sign() {
                    Some(sign) => self.signed.entry(sign).or_default(),
                    None => &mut self.unsigned,
                };
                list.retain(|known| *known != at);
                self.free.push(at);
            }
        }
        self.signed.retain(|_, list| !list.is_empty());
    }

    /// Counts anew where labels of namespaces decide.
    pub(crate) fn recount<'a, I>(&mut self, topologies: &Topologies, pods: impl Fn() -> I)
    where
        I: Iterator<Item = At<'a>>,
    {
        for tally in self.tallies.iter_mut().flatten() {
            if tally.who.groups.iter().any(Group::asks_namespaces) {
                tally.pods.clear();
                tally.on_nodes.clear();
                tally.total = 0;
                pods().for_each(|pod| tally.count(pod, topologies, 1));
            }
        }
    }
}

impl Tally {
    fn count(&mut self, at: At<'_>, topologies: &Topologies, by: i64) {
        if !self.who.has(at.pod, at.namespace) {
            return;
        }
        self.total = self.total.saturating_add_signed(by as i32);
        bump(&mut self.on_nodes, at.place, by);
        if let Some(domain) = topologies.domain(self.key, at.place) {
            bump(&mut self.pods, domain, by);
        }
    }

    pub(crate) fn pods_in(&self, domain: Domain) -> u32 {
        self.pods.get(&domain).copied().unwrap_or(0)
    }
}

fn bump<K: std::hash::Hash + Eq + Copy>(counts: &mut HashMap<K, u32>, key: K, by: i64) {
    let count = counts.entry(key).or_default();
    *count = count.saturating_add_signed(by as i32);
    if *count == 0 {
        counts.remove(&key);
    }
}

/// What a pod that must be with others is worth to them; upstream's `hardPodAffinityWeight`.
const WORTH_OF_REQUIRED: i64 = 1;
/// Tallies that nobody asks for, kept because the next pod may be like the last one.
const IDLE_MAX: usize = 256;
