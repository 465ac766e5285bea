//! Which part of the cluster each node is in, for every topology key that somebody asks for.

use std::collections::HashMap;
use std::sync::Arc;

use crate::read::Labels;

/// A topology key that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(usize);

/// A value of a topology key: a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Domain(u32);

/// All known keys, and the domains of all nodes.
#[derive(Debug, Default)]
pub(crate) struct Topologies {
    by_name: HashMap<Arc<str>, Key>,
    keys: Vec<Topology>,
}

#[derive(Debug)]
struct Topology {
    name: Arc<str>,
    by_value: HashMap<String, Domain>,
    /// By place of the node.
    of_node: Vec<Option<Domain>>,
    /// How many nodes are in each domain.
    nodes: Vec<u32>,
}

impl Topologies {
    pub(crate) fn find(&self, name: &str) -> Option<Key> {
        self.by_name.get(name).copied()
    }

    /// The key, known from now on; `nodes` are the labels of all nodes by place.
    pub(crate) fn learn<'a>(&mut self, name: &str, nodes: impl Iterator<Item = (usize, &'a Labels)>) -> Key {
        if let Some(key) = self.find(name) {
            return key;
        }
        let key = Key(self.keys.len());
        let name: Arc<str> = name.into();
        self.by_name.insert(Arc::clone(&name), key);
        let mut topology =
            Topology { name, by_value: HashMap::new(), of_node: Vec::new(), nodes: Vec::new() };
        for (place, labels) in nodes {
            topology.set(place, Some(labels));
        }
        self.keys.push(topology);
        key
    }

    /// A node has these labels now, or is gone.
    pub(crate) fn set(&mut self, place: usize, labels: Option<&Labels>) {
        for topology in &mut self.keys {
            topology.set(place, labels);
        }
    }

    pub(crate) fn domain(&self, key: Key, place: usize) -> Option<Domain> {
        *self.keys.get(key.0)?.of_node.get(place)?
    }

    /// The domains that have nodes.
    pub(crate) fn domains(&self, key: Key) -> impl Iterator<Item = Domain> {
        let nodes = self.keys.get(key.0).map(|topology| topology.nodes.as_slice()).unwrap_or_default();
        nodes.iter().zip(0..).filter(|(count, _)| **count > 0).map(|(_, at)| Domain(at))
    }
}

impl Topology {
    fn set(&mut self, place: usize, labels: Option<&Labels>) {
        if self.of_node.len() <= place {
            self.of_node.resize(place + 1, None);
        }
        if let Some(before) = self.of_node[place].take() {
            self.nodes[before.0 as usize] -= 1;
        }
        let Some(value) = labels.and_then(|labels| labels.get(&*self.name)) else { return };
        let next = Domain(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        let domain = *self.by_value.entry(value.clone()).or_insert(next);
        if domain == next {
            self.nodes.push(0);
        }
        self.nodes[domain.0 as usize] += 1;
        self.of_node[place] = Some(domain);
    }
}
