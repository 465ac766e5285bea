//! What is known of the cluster: nodes, their pods, namespaces and volumes, with the counts that
//! decisions need. It changes with every event; decisions only look.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::affinity::Term;
use crate::census::{At, Census, TallyId, Who};
use crate::node::Node;
use crate::pod::Pod;
use crate::read::Labels;
use crate::topology::Topologies;
use crate::volumes::Volumes;

/// The cluster, as the scheduler sees it.
#[derive(Debug, Default)]
pub struct Snapshot {
    nodes: Vec<Option<Node>>,
    names: HashMap<Arc<str>, usize>,
    free: Vec<usize>,
    /// Where each pod is, by its identity.
    places: HashMap<Arc<str>, usize>,
    /// Pods on nodes that are not known (yet).
    strays: HashMap<Arc<str>, Arc<Pod>>,
    namespaces: HashMap<String, Labels>,
    /// On how many nodes each image is.
    images: HashMap<String, u32>,
    /// Volumes and claims.
    pub volumes: Volumes,
    pub(crate) topologies: Topologies,
    pub(crate) census: Census,
}

impl Snapshot {
    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The node of a name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(*self.names.get(name)?)?.as_ref()
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().flatten()
    }

    pub(crate) fn places(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn at(&self, place: usize) -> Option<&Node> {
        self.nodes.get(place)?.as_ref()
    }

    pub(crate) fn place_of(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    pub(crate) fn nodes_with_image(&self, image: &str) -> u32 {
        self.images.get(image).copied().unwrap_or(0)
    }

    /// Whether a pod other than this one, on any node, has a claim of its namespace.
    pub(crate) fn is_taken(&self, claim: &String, pod: &Pod) -> bool {
        let mut pods = self.nodes().flat_map(|node| &node.pods);
        pods.any(|other| {
            other.uid != pod.uid && other.namespace == pod.namespace && other.claims.contains(claim)
        })
    }

    /// Labels of a namespace.
    pub fn namespace(&self, name: &str) -> Option<&Labels> {
        self.namespaces.get(name)
    }

    /// A node is there, or has changed.
    pub fn set_node(&mut self, object: &Value) {
        let mut node = Node::read(object);
        let place = self.place_of(&node.name).unwrap_or_else(|| self.new_place(&node.name));
        let before = self.nodes[place].take();
        for image in before.iter().flat_map(|before| before.images.keys()) {
            if let Some(count) = self.images.get_mut(image) {
                *count -= 1;
            }
        }
        for image in node.images.keys() {
            *self.images.entry(image.clone()).or_default() += 1;
        }
        self.images.retain(|_, count| *count > 0);
        match before {
            Some(mut before) if before.labels == node.labels => {
                node.inherit(&mut before);
                self.nodes[place] = Some(node);
            }
            before => {
                let pods = before.map(|before| before.pods).unwrap_or_default();
                pods.iter().for_each(|pod| self.count(pod, place, -1));
                self.topologies.set(place, Some(&node.labels));
                let name = Arc::clone(&node.name);
                self.nodes[place] = Some(node);
                pods.iter().for_each(|pod| self.put(pod, place));
                let mine = |pod: &Arc<Pod>| pod.node.as_ref() == Some(&name);
                let waiting: Vec<Arc<Pod>> = self.strays.values().filter(|pod| mine(pod)).cloned().collect();
                for pod in waiting {
                    self.strays.remove(&pod.uid);
                    self.put(&pod, place);
                }
            }
        }
    }

    fn new_place(&mut self, name: &Arc<str>) -> usize {
        let place = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            self.nodes.len() - 1
        });
        self.names.insert(Arc::clone(name), place);
        place
    }

    /// A node is gone; its pods wait for one of its name.
    pub fn remove_node(&mut self, name: &str) {
        let Some(place) = self.names.remove(name) else { return };
        let Some(node) = self.nodes[place].take() else { return };
        for image in node.images.keys() {
            if let Some(count) = self.images.get_mut(image) {
                *count -= 1;
            }
        }
        for pod in node.pods {
            self.count(&pod, place, -1);
            self.places.remove(&pod.uid);
            self.strays.insert(Arc::clone(&pod.uid), pod);
        }
        self.topologies.set(place, None);
        self.free.push(place);
    }

    /// A pod is on its node (or on its way), or has changed there.
    pub fn set_pod(&mut self, pod: Arc<Pod>) {
        self.remove_pod(&pod.uid);
        match pod.node.as_ref().and_then(|node| self.place_of(node)) {
            Some(place) => self.put(&pod, place),
            None if pod.node.is_some() => drop(self.strays.insert(Arc::clone(&pod.uid), pod)),
            None => {}
        }
    }

    /// A pod is gone, or takes nothing any more.
    pub fn remove_pod(&mut self, uid: &str) -> Option<Arc<Pod>> {
        if let Some(stray) = self.strays.remove(uid) {
            return Some(stray);
        }
        let place = self.places.remove(uid)?;
        let pod = self.nodes[place].as_mut()?.remove(uid)?;
        self.count(&pod, place, -1);
        Some(pod)
    }

    /// Puts a pod on the node at a place, whatever the pod itself says.
    pub(crate) fn put(&mut self, pod: &Arc<Pod>, place: usize) {
        self.learn(pod);
        self.places.insert(Arc::clone(&pod.uid), place);
        if let Some(node) = &mut self.nodes[place] {
            node.add(Arc::clone(pod));
        }
        self.count(pod, place, 1);
    }

    fn count(&mut self, pod: &Pod, place: usize, by: i64) {
        let namespace = self.namespaces.get(&*pod.namespace);
        self.census.count(At { pod, place, namespace }, &self.topologies, by);
    }

    /// A namespace has these labels.
    pub fn set_namespace(&mut self, name: &str, labels: Labels) {
        let before = self.namespaces.insert(name.to_owned(), labels);
        if before.as_ref() != self.namespaces.get(name) {
            self.recount();
        }
    }

    /// A namespace is gone.
    pub fn remove_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
    }

    fn recount(&mut self) {
        let (nodes, namespaces) = (&self.nodes, &self.namespaces);
        self.census.recount(&self.topologies, || pods(nodes, namespaces));
    }

    /// Keeps the counts that the pod's affinity terms ask for.
    fn learn(&mut self, pod: &Pod) {
        let required = pod.affinity.required.iter().chain(&pod.anti_affinity.required);
        let preferred = pod.affinity.preferred.iter().chain(&pod.anti_affinity.preferred);
        for term in required.chain(preferred.map(|(_, term)| term)) {
            self.keep_term(term);
        }
    }

    pub(crate) fn keep_term(&mut self, term: &Term) -> TallyId {
        self.keep(Who::of(term), &term.topology_key)
    }

    /// The tally of these pods by this key; counted now if nobody has asked before.
    pub(crate) fn keep(&mut self, who: Who, topology_key: &str) -> TallyId {
        let nodes = self.nodes.iter().enumerate();
        let labels = nodes.filter_map(|(place, node)| Some((place, &node.as_ref()?.labels)));
        let key = self.topologies.learn(topology_key, labels);
        let all = pods(&self.nodes, &self.namespaces);
        self.census.keep(who, (topology_key, key), &self.topologies, all)
    }
}

fn pods<'a>(
    nodes: &'a [Option<Node>],
    namespaces: &'a HashMap<String, Labels>,
) -> impl Iterator<Item = At<'a>> {
    let each = nodes.iter().enumerate().filter_map(|(place, node)| Some((place, node.as_ref()?)));
    each.flat_map(move |(place, node)| {
        node.pods.iter().map(move |pod| At { pod, place, namespace: namespaces.get(&*pod.namespace) })
    })
}
