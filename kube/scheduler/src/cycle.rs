//! One pod against the nodes: what is the same for all of them is found out once.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::affinity::{Group, Term};
use crate::census::{Tally, TallyId, Who};
use crate::misfit::Misfit;
use crate::node::Node;
use crate::pod::Pod;
use crate::snapshot::Snapshot;
use crate::spread::Constraint;
use crate::taints::untolerated;
use crate::topology::{Domain, Key};
use crate::volumes::Demands;

/// A pod's cycle.
pub(crate) struct Cycle<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) pod: &'a Pod,
    /// What the counts were asked for, as [`Wanted`] has it.
    pub(crate) wanted: &'a Wanted,
    volumes: Demands<'a>,
    /// A claim that another pod has for itself.
    taken: Option<Arc<str>>,
    /// The pod's demands of nodes, in words.
    demands: Arc<str>,
    /// The only nodes that can do.
    only: Option<BTreeSet<usize>>,
    /// Domains where a pod is that refuses this one.
    refused: Vec<(Key, HashSet<Domain>)>,
    /// Whether the pod may be the first of those that must be together.
    is_first: bool,
    spread: Vec<SpreadState<'a>>,
}

/// One thing that may keep a pod from a node.
type Check = fn(&Cycle<'_>, usize, &Node) -> Option<Misfit>;

/// All of them, cheap ones first.
const CHECKS: [Check; 9] = [
    |cycle, place, node| cycle.check_cordon(place, node),
    |cycle, place, node| cycle.check_taints(place, node),
    |cycle, place, node| cycle.check_rules(place, node),
    |cycle, place, node| cycle.check_ports(place, node),
    |cycle, place, node| cycle.check_count(place, node),
    |cycle, place, node| cycle.check_resources(place, node),
    |cycle, place, node| cycle.check_volumes(place, node),
    |cycle, place, node| cycle.check_spread(place, node),
    |cycle, place, node| cycle.check_pods(place, node),
];

/// Tallies that a pod's rules ask for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Of each required affinity term, the pods that fit all of them.
    together: Vec<Required>,
    apart: Vec<Required>,
    pub(crate) wishes: Vec<(i64, TallyId)>,
    hard: Vec<(TallyId, Constraint)>,
    pub(crate) soft: Vec<(TallyId, Constraint)>,
}

/// A required term and its tally. The text is for every node that it excludes.
#[derive(Clone, Debug)]
struct Required {
    tally: TallyId,
    term: Term,
    text: Arc<str>,
}

impl Required {
    fn new(tally: TallyId, term: &Term) -> Self {
        Self { tally, term: term.clone(), text: term.to_string().into() }
    }
}

struct SpreadState<'a> {
    constraint: &'a Constraint,
    key: Key,
    counts: Counts<'a>,
    least: i64,
    /// 1 if the pod itself counts.
    own: i64,
}

enum Counts<'a> {
    /// Of all nodes.
    All(&'a Tally),
    /// Of the nodes that count for this pod.
    Some(HashMap<Domain, i64>),
}

impl Wanted {
    /// Has everything counted that the pod's rules ask for.
    pub(crate) fn of(snapshot: &mut Snapshot, pod: &Pod) -> Self {
        let groups: Vec<Group> = pod.affinity.required.iter().map(|term| term.group.clone()).collect();
        let together = pod.affinity.required.iter().map(|term| {
            let who = Who { groups: groups.clone(), living: false };
            Required::new(snapshot.keep(who, &term.topology_key), term)
        });
        let together = together.collect();
        let apart = pod.anti_affinity.required.iter();
        let apart = apart.map(|term| Required::new(snapshot.keep_term(term), term)).collect();
        let good = pod.affinity.preferred.iter().map(|(weight, term)| (*weight, term));
        let bad = pod.anti_affinity.preferred.iter().map(|(weight, term)| (-weight, term));
        let wishes = good.chain(bad).map(|(weight, term)| (weight, snapshot.keep_term(term))).collect();
        let mut spread = |constraint: &Constraint| {
            let group = Group::of(&pod.namespace, constraint.selector.clone());
            let who = Who { groups: vec![group], living: true };
            (snapshot.keep(who, &constraint.topology_key), constraint.clone())
        };
        let hard = pod.spread.iter().filter(|constraint| constraint.is_hard).map(&mut spread).collect();
        let soft = match (&pod.peers, pod.spread.is_empty()) {
            (Some(peers), true) => Constraint::defaults(peers).iter().map(&mut spread).collect(),
            _ => pod.spread.iter().filter(|constraint| !constraint.is_hard).map(&mut spread).collect(),
        };
        Self { together, apart, wishes, hard, soft }
    }
}

impl<'a> Cycle<'a> {
    /// Looks at everything but the nodes; what keeps the pod from all of them is the error.
    pub(crate) fn new(snapshot: &'a Snapshot, pod: &'a Pod, wanted: &'a Wanted) -> Result<Self, String> {
        let volumes = snapshot.volumes.demands(pod)?;
        let mut exclusive = snapshot.volumes.exclusive(pod);
        let taken = exclusive.find(|claim| snapshot.is_taken(claim, pod)).map(|claim| claim.as_str().into());
        let only = pod.node_rules.only_names();
        let only = only.map(|names| names.iter().filter_map(|name| snapshot.place_of(name)).collect());
        let census = &snapshot.census;
        let refused = census.of(pod, snapshot.namespace(&pod.namespace)).filter(|it| !it.refusals.is_empty());
        let refused = refused.map(|tally| (tally.key, tally.refusals.keys().copied().collect())).collect();
        let is_first = !wanted.together.is_empty()
            && wanted.together.iter().all(|Required { tally, term, .. }| {
                census.tally(*tally).is_none_or(|tally| tally.total == 0)
                    && term.group.has(&pod.namespace, &pod.labels, snapshot.namespace(&pod.namespace))
            });
        let demands = pod.node_rules.demands().into();
        let spread = Vec::new();
        let mut cycle =
            Self { snapshot, pod, wanted, volumes, taken, demands, only, refused, is_first, spread };
        cycle.spread =
            wanted.hard.iter().filter_map(|(id, it)| cycle.spread_state(*id, it, wanted)).collect();
        Ok(cycle)
    }

    /// The places to look at, beginning with `start`.
    pub(crate) fn places(&self, start: usize) -> Vec<usize> {
        match &self.only {
            Some(only) => only.iter().copied().collect(),
            None => {
                let all = self.snapshot.places();
                (0..all).map(|at| (start + at) % all).collect()
            }
        }
    }

    /// The first thing that keeps the pod from the node.
    pub(crate) fn check(&self, place: usize, node: &Node) -> Option<Misfit> {
        self.misfits(place, node).next()
    }

    /// Everything that keeps the pod from the node, each found when it is asked for.
    pub(crate) fn misfits<'s>(&'s self, place: usize, node: &'s Node) -> impl Iterator<Item = Misfit> + 's {
        CHECKS.iter().filter_map(move |check| check(self, place, node))
    }

    fn check_cordon(&self, _: usize, node: &Node) -> Option<Misfit> {
        (node.unschedulable && !tolerates_cordon(self.pod)).then_some(Misfit::Unschedulable)
    }

    fn check_taints(&self, _: usize, node: &Node) -> Option<Misfit> {
        untolerated(&node.taints, &self.pod.tolerations).map(|taint| Misfit::Taint(taint.clone()))
    }

    fn check_rules(&self, _: usize, node: &Node) -> Option<Misfit> {
        let demands = || Arc::clone(&self.demands);
        (!self.pod.node_rules.allow(node)).then(|| Misfit::NodeRules { demands: demands() })
    }

    fn check_ports(&self, _: usize, node: &Node) -> Option<Misfit> {
        node.taken(&self.pod.ports).map(|port| Misfit::Port(port.clone()))
    }

    fn check_count(&self, _: usize, node: &Node) -> Option<Misfit> {
        (node.pods.len() as i64 >= node.pods_max).then_some(Misfit::TooManyPods { max: node.pods_max })
    }

    fn check_resources(&self, _: usize, node: &Node) -> Option<Misfit> {
        let (capacity, used, asked) = (&node.allocatable, &node.requested, &self.pod.requests);
        (!capacity.fits(used, asked)).then(|| Misfit::Resources(capacity.shortages(used, asked)))
    }

    fn check_volumes(&self, _: usize, node: &Node) -> Option<Misfit> {
        let taken = |claim: &Arc<str>| Misfit::ClaimTaken { claim: Arc::clone(claim) };
        self.taken.as_ref().map(taken).or_else(|| self.volumes.check(node))
    }

    fn check_pods(&self, place: usize, _: &Node) -> Option<Misfit> {
        let (census, topologies) = (&self.snapshot.census, &self.snapshot.topologies);
        let count = |id: TallyId| {
            let tally = census.tally(id)?;
            Some((topologies.domain(tally.key, place)?, tally))
        };
        let together = |required: &&Required| match count(required.tally) {
            Some((domain, tally)) => tally.pods_in(domain) == 0 && !self.is_first,
            None => true,
        };
        if let Some(required) = self.wanted.together.iter().find(together) {
            return Some(Misfit::Affinity { term: Arc::clone(&required.text) });
        }
        let apart = |required: &&Required| {
            count(required.tally).is_some_and(|(domain, tally)| tally.pods_in(domain) > 0)
        };
        if let Some(required) = self.wanted.apart.iter().find(apart) {
            return Some(Misfit::AntiAffinity { term: Arc::clone(&required.text) });
        }
        let refuses = |(key, domains): &(Key, HashSet<Domain>)| {
            topologies.domain(*key, place).is_some_and(|domain| domains.contains(&domain))
        };
        self.refused.iter().any(refuses).then_some(Misfit::RefusedByPods)
    }

    fn check_spread(&self, place: usize, _: &Node) -> Option<Misfit> {
        for state in &self.spread {
            let key = Arc::clone(&state.constraint.topology_key);
            let Some(domain) = self.snapshot.topologies.domain(state.key, place) else {
                return Some(Misfit::NoTopologyLabel { key });
            };
            let here = state.counts.of(domain) + state.own;
            let max_skew = state.constraint.max_skew;
            if here - state.least > max_skew {
                return Some(Misfit::Spread { key, here, least: state.least, max_skew });
            }
        }
        None
    }

    fn spread_state(
        &self,
        id: TallyId,
        constraint: &'a Constraint,
        wanted: &Wanted,
    ) -> Option<SpreadState<'a>> {
        let tally = self.snapshot.census.tally(id)?;
        let topologies = &self.snapshot.topologies;
        let one_key = wanted.hard.iter().all(|(_, other)| other.topology_key == constraint.topology_key);
        let takes_all = self.pod.node_rules.allow_all() || !constraint.honors_rules;
        let counts = if one_key && takes_all && !constraint.honors_taints {
            Counts::All(tally)
        } else {
            Counts::Some(self.counts_where(tally, constraint, wanted))
        };
        let (domains, least) = match &counts {
            Counts::All(tally) => {
                let each = topologies.domains(tally.key).map(|domain| i64::from(tally.pods_in(domain)));
                each.fold((0, i64::MAX), |(count, least), pods| (count + 1, least.min(pods)))
            }
            Counts::Some(counts) => (counts.len() as i64, counts.values().copied().min().unwrap_or(0)),
        };
        let least = if domains == 0 || domains < constraint.min_domains { 0 } else { least };
        let own = i64::from(constraint.selector.matches(&self.pod.labels));
        Some(SpreadState { constraint, key: tally.key, counts, least, own })
    }

    /// Counts on the nodes that have the keys of all hard constraints and that the policies let in.
    fn counts_where(&self, tally: &Tally, constraint: &Constraint, wanted: &Wanted) -> HashMap<Domain, i64> {
        let keys: Vec<&str> = wanted.hard.iter().map(|(_, other)| &*other.topology_key).collect();
        let counts = |node: &Node| {
            (!constraint.honors_rules || self.pod.node_rules.allow(node))
                && (!constraint.honors_taints || untolerated(&node.taints, &self.pod.tolerations).is_none())
                && keys.iter().all(|key| node.labels.contains_key(*key))
        };
        let mut out = HashMap::new();
        for place in 0..self.snapshot.places() {
            let Some(node) = self.snapshot.at(place) else { continue };
            let Some(domain) = self.snapshot.topologies.domain(tally.key, place) else { continue };
            if counts(node) {
                *out.entry(domain).or_default() +=
                    i64::from(tally.on_nodes.get(&place).copied().unwrap_or(0));
            }
        }
        out
    }
}

impl Counts<'_> {
    fn of(&self, domain: Domain) -> i64 {
        match self {
            Self::All(tally) => i64::from(tally.pods_in(domain)),
            Self::Some(counts) => counts.get(&domain).copied().unwrap_or(0),
        }
    }
}

/// Whether the pod goes to cordoned nodes, as daemons do.
fn tolerates_cordon(pod: &Pod) -> bool {
    let cordon = crate::taints::Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        value: String::new(),
        effect: crate::taints::Effect::NoSchedule,
    };
    pod.tolerations.iter().any(|toleration| toleration.tolerates(&cordon))
}

impl std::fmt::Display for Term {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} per {}", self.group, self.topology_key)
    }
}
