//! How many volumes a driver attaches to a node at most, and how many are.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::Volumes;
use crate::node::Node;
use crate::pod::Pod;
use crate::read::{items, member, text};

/// What nodes' drivers say and what is attached where.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// By node and driver.
    most: HashMap<String, HashMap<String, i64>>,
    /// By the name of the `VolumeAttachment`.
    attached: HashMap<String, Attachment>,
}

#[derive(Debug)]
struct Attachment {
    node: String,
    driver: String,
    volume: String,
}

/// A volume as its driver counts it: the driver, and the volume's handle.
pub(super) type Attached<'a> = (&'a str, String);

impl Volumes {
    /// A `CSINode` is there, or has changed.
    pub fn set_drivers_of_node(&mut self, object: &Value) {
        let most = |driver: &Value| {
            let count = member(driver, "allocatable").get("count")?.as_i64()?;
            Some((text(driver, "name").to_owned(), count))
        };
        let all = items(member(object, "spec"), "drivers").iter().filter_map(most).collect();
        self.limits.most.insert(text(member(object, "metadata"), "name").to_owned(), all);
    }

    /// A `CSINode` is gone.
    pub fn remove_drivers_of_node(&mut self, name: &str) {
        self.limits.most.remove(name);
    }

    /// A `VolumeAttachment` is there, or has changed.
    pub fn set_attachment(&mut self, object: &Value) {
        let spec = member(object, "spec");
        let attachment = Attachment {
            node: text(spec, "nodeName").to_owned(),
            driver: text(spec, "attacher").to_owned(),
            volume: text(member(spec, "source"), "persistentVolumeName").to_owned(),
        };
        self.limits.attached.insert(text(member(object, "metadata"), "name").to_owned(), attachment);
    }

    /// A `VolumeAttachment` is gone.
    pub fn remove_attachment(&mut self, name: &str) {
        self.limits.attached.remove(name);
    }

    /// The volumes of a pod that drivers attach. What is not made yet counts for its class's driver.
    pub(super) fn attached_for<'a>(&'a self, pod: &'a Pod) -> impl Iterator<Item = Attached<'a>> {
        pod.claims.iter().filter_map(|name| {
            let own = format!("{}/{name}", pod.namespace);
            let claim = self.claims.get(&own)?;
            match self.volumes.get(&claim.volume) {
                Some(volume) => volume.driver.as_ref().map(|(driver, handle)| (&**driver, handle.clone())),
                None => Some((&*self.classes.get(&claim.class)?.provisioner, own)),
            }
        })
    }

    /// The driver that cannot attach all of these to the node besides what it has attached, and how many it
    /// can.
    pub(super) fn overfull<'a>(&'a self, wanted: &[Attached<'a>], node: &Node) -> Option<(&'a str, i64)> {
        let limits = self.limits.most.get(&*node.name).filter(|all| !all.is_empty() && !wanted.is_empty())?;
        let by_pods = node.pods.iter().flat_map(|pod| self.attached_for(pod));
        let mut there: BTreeSet<Attached<'_>> = by_pods.collect();
        for attachment in self.limits.attached.values().filter(|it| *it.node == *node.name) {
            let volume = self.volumes.get(&attachment.volume).and_then(|volume| volume.driver.as_ref());
            if let Some((_, handle)) = volume {
                there.insert((&attachment.driver, handle.clone()));
            }
        }
        let new: BTreeSet<_> = wanted.iter().filter(|volume| !there.contains(*volume)).collect();
        new.iter().find_map(|(driver, _)| {
            let most = *limits.get(*driver)?;
            let here = there.iter().filter(|(other, _)| other == driver).count();
            let more = new.iter().filter(|(other, _)| other == driver).count();
            ((here + more) as i64 > most).then_some((*driver, most))
        })
    }
}

/// The driver of a volume, and its handle there.
pub(super) fn driver(spec: &Value) -> Option<(String, String)> {
    let csi = spec.get("csi").filter(|csi| csi.is_object())?;
    Some((text(csi, "driver").to_owned(), text(csi, "volumeHandle").to_owned()))
}
