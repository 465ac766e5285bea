//! A node, and what its pods take of it.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::amounts::Amounts;
use crate::pod::{HostPort, Pod};
use crate::read::{Labels, items, labels, member, text};
use crate::taints::Taint;

/// A node with the pods that are on it or on their way to it.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Labels,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// Whether somebody has cordoned it.
    pub unschedulable: bool,
    /// What pods may take of it.
    pub allocatable: Amounts,
    /// How many pods it takes.
    pub pods_max: i64,
    /// Images that it has, and their sizes.
    pub images: HashMap<String, i64>,
    /// What its pods have asked for.
    pub requested: Amounts,
    /// CPU and memory as scores count them: who asks for nothing takes something too.
    pub weighed: (i64, i64),
    /// Its pods.
    pub pods: Vec<Arc<Pod>>,
    ports: HashMap<HostPort, u32>,
}

impl Node {
    /// Reads a `Node`; its pods come one by one.
    pub fn read(object: &Value) -> Self {
        let (metadata, spec, status) =
            (member(object, "metadata"), member(object, "spec"), member(object, "status"));
        let allocatable = member(status, "allocatable");
        let pods_max = allocatable.get("pods").and_then(|pods| match pods {
            Value::String(text) => base::quantity::Quantity::parse(text).ok().map(|it| it.value()),
            other => other.as_i64(),
        });
        Self {
            name: text(metadata, "name").into(),
            labels: labels(metadata, "labels"),
            taints: Taint::read_all(spec),
            unschedulable: spec.get("unschedulable").and_then(Value::as_bool).unwrap_or(false),
            allocatable: Amounts::read(allocatable),
            pods_max: pods_max.unwrap_or(0),
            images: images(status),
            ..Self::default()
        }
    }

    /// Takes over the pods of what was known of the node before.
    pub(crate) fn inherit(&mut self, before: &mut Self) {
        self.requested = std::mem::take(&mut before.requested);
        self.weighed = before.weighed;
        self.pods = std::mem::take(&mut before.pods);
        self.ports = std::mem::take(&mut before.ports);
    }

    pub(crate) fn add(&mut self, pod: Arc<Pod>) {
        self.requested.add(&pod.requests);
        self.weighed.0 += pod.weighed.0;
        self.weighed.1 += pod.weighed.1;
        for port in &pod.ports {
            *self.ports.entry(port.clone()).or_default() += 1;
        }
        self.pods.push(pod);
    }

    pub(crate) fn remove(&mut self, uid: &str) -> Option<Arc<Pod>> {
        let at = self.pods.iter().position(|pod| *pod.uid == *uid)?;
        let pod = self.pods.swap_remove(at);
        self.requested.sub(&pod.requests);
        self.weighed.0 -= pod.weighed.0;
        self.weighed.1 -= pod.weighed.1;
        for port in &pod.ports {
            if let Some(count) = self.ports.get_mut(port) {
                *count -= 1;
                if *count == 0 {
                    self.ports.remove(port);
                }
            }
        }
        Some(pod)
    }

    /// The first of the ports that is taken.
    pub fn taken<'a>(&self, ports: &'a [HostPort]) -> Option<&'a HostPort> {
        if self.ports.is_empty() {
            return None;
        }
        ports.iter().find(|port| self.ports.keys().any(|taken| taken.clashes(port)))
    }
}

fn images(status: &Value) -> HashMap<String, i64> {
    let mut all = HashMap::new();
    for image in items(status, "images") {
        let size = image.get("sizeBytes").and_then(Value::as_i64).unwrap_or(0);
        for name in items(image, "names").iter().filter_map(Value::as_str) {
            all.insert(name.to_owned(), size);
        }
    }
    all
}
