//! What is known of the cluster: the snapshot, and what else decisions look at.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use client::{Api, Call, Item};
use controllers::{known, object};
use kube_object::label_selector::LabelSelector;
use kube_object::resource::GroupVersionResource;
use kube_object::status::Status;
use scheduler::{Change, DisruptionBudget, Labels, Pod, Snapshot};
use serde_json::Value;

/// Kinds of objects that decisions depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `Node`.
    Node,
    /// `Pod`.
    Pod,
    /// `Namespace`.
    Namespace,
    /// `PersistentVolume`.
    Volume,
    /// `PersistentVolumeClaim`.
    Claim,
    /// `StorageClass`.
    Class,
    /// `CSIDriver`.
    Driver,
    /// `CSINode`.
    DriversOfNode,
    /// `CSIStorageCapacity`.
    Room,
    /// `VolumeAttachment`.
    Attachment,
    /// `PodDisruptionBudget`.
    Budget,
    /// `Service`.
    Service,
    /// `ReplicationController`.
    Controller,
    /// `ReplicaSet`.
    ReplicaSet,
    /// `StatefulSet`.
    StatefulSet,
}

impl Kind {
    /// All of them, in the order in which they are best read: what pods refer to comes first.
    pub const ALL: [Self; 15] = [
        Self::Namespace,
        Self::Node,
        Self::Class,
        Self::Volume,
        Self::Claim,
        Self::Driver,
        Self::DriversOfNode,
        Self::Room,
        Self::Attachment,
        Self::Budget,
        Self::Service,
        Self::Controller,
        Self::ReplicaSet,
        Self::StatefulSet,
        Self::Pod,
    ];

    /// The resource.
    pub fn resource(self) -> &'static GroupVersionResource {
        match self {
            Self::Node => known::nodes(),
            Self::Pod => known::pods(),
            Self::Namespace => known::namespaces(),
            Self::Volume => known::persistent_volumes(),
            Self::Claim => known::persistent_volume_claims(),
            Self::Class => known::storage_classes(),
            Self::Driver => known::csi_drivers(),
            Self::DriversOfNode => known::csi_nodes(),
            Self::Room => known::csi_storage_capacities(),
            Self::Attachment => known::volume_attachments(),
            Self::Budget => known::pod_disruption_budgets(),
            Self::Service => known::services(),
            Self::Controller => known::replication_controllers(),
            Self::ReplicaSet => known::replica_sets(),
            Self::StatefulSet => known::stateful_sets(),
        }
    }
}

/// The cluster as decisions see it.
#[derive(Debug, Default)]
pub struct World {
    /// Nodes, their pods, and counts.
    pub snapshot: Snapshot,
    budgets: BTreeMap<Arc<str>, DisruptionBudget>,
    /// Selectors of services, by namespace.
    services: HashMap<String, BTreeMap<Arc<str>, Labels>>,
    /// Selectors of what controls pods, by its identity.
    owners: HashMap<Arc<str>, LabelSelector>,
}

impl World {
    /// An object that is no pod is there, or has changed; what happened by that.
    pub fn set(&mut self, kind: Kind, item: &Item) -> Vec<Change> {
        let value = item.value();
        match kind {
            Kind::Node => return self.set_node(&value),
            Kind::Pod => {}
            Kind::Namespace => self.snapshot.set_namespace(item.name(), item.labels()),
            Kind::Volume => self.snapshot.volumes.set_volume(&value),
            Kind::Claim => self.snapshot.volumes.set_claim(&value),
            Kind::Class => self.snapshot.volumes.set_class(&value),
            Kind::Driver => self.snapshot.volumes.set_driver(&value),
            Kind::DriversOfNode => self.snapshot.volumes.set_drivers_of_node(&value),
            Kind::Room => self.snapshot.volumes.set_room(&value),
            Kind::Attachment => self.snapshot.volumes.set_attachment(&value),
            Kind::Budget => {
                let budget = DisruptionBudget {
                    namespace: item.namespace().to_owned(),
                    selector: object::selector(&value, &["spec", "selector"]),
                    allowed: object::number(&value, &["status", "disruptionsAllowed"]).unwrap_or(0),
                };
                self.budgets.insert(Arc::clone(item.key()), budget);
            }
            Kind::Service => {
                let selector = object::text_map(&value, &["spec", "selector"]);
                let services = self.services.entry(item.namespace().to_owned()).or_default();
                match selector.is_empty() {
                    true => drop(services.remove(item.key())),
                    false => drop(services.insert(Arc::clone(item.key()), selector)),
                }
            }
            Kind::Controller => {
                let selector = object::map_selector(&value, &["spec", "selector"]);
                self.owners.insert(item.uid().into(), selector);
            }
            Kind::ReplicaSet | Kind::StatefulSet => {
                let selector = object::selector(&value, &["spec", "selector"]);
                self.owners.insert(item.uid().into(), selector);
            }
        }
        volumes_changed(kind)
    }

    /// An object that is no pod is gone: its key and its identity.
    pub fn remove(&mut self, kind: Kind, key: &str, uid: &str) -> Vec<Change> {
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        match kind {
            Kind::Node => self.snapshot.remove_node(name),
            Kind::Pod => {}
            Kind::Namespace => self.snapshot.remove_namespace(name),
            Kind::Volume => self.snapshot.volumes.remove_volume(name),
            Kind::Claim => self.snapshot.volumes.remove_claim(namespace, name),
            Kind::Class => self.snapshot.volumes.remove_class(name),
            Kind::Driver => self.snapshot.volumes.remove_driver(name),
            Kind::DriversOfNode => self.snapshot.volumes.remove_drivers_of_node(name),
            Kind::Room => self.snapshot.volumes.remove_room(namespace, name),
            Kind::Attachment => self.snapshot.volumes.remove_attachment(name),
            Kind::Budget => drop(self.budgets.remove(key)),
            Kind::Service => {
                if let Some(services) = self.services.get_mut(namespace) {
                    services.remove(key);
                    if services.is_empty() {
                        self.services.remove(namespace);
                    }
                }
            }
            Kind::Controller | Kind::ReplicaSet | Kind::StatefulSet => drop(self.owners.remove(uid)),
        }
        volumes_changed(kind)
    }

    fn set_node(&mut self, value: &Value) -> Vec<Change> {
        let name = object::name(value);
        let Some(old) = self.snapshot.node(name) else {
            self.snapshot.set_node(value);
            return vec![Change::NodeAdded];
        };
        let before = (
            old.labels.clone(),
            old.taints.clone(),
            old.unschedulable,
            old.allocatable.clone(),
            old.pods_max,
        );
        self.snapshot.set_node(value);
        let Some(new) = self.snapshot.node(name) else { return Vec::new() };
        let mut changes = Vec::new();
        if before.0 != new.labels {
            changes.push(Change::NodeLabels);
        }
        if before.1 != new.taints || before.2 != new.unschedulable {
            changes.push(Change::NodeTaints);
        }
        if before.2 && !new.unschedulable {
            changes.push(Change::NodeAdded);
        }
        if before.3 != new.allocatable || before.4 != new.pods_max {
            changes.push(Change::NodeAllocatable);
        }
        changes
    }

    /// Disruption budgets.
    pub fn budgets(&self) -> Vec<DisruptionBudget> {
        self.budgets.values().cloned().collect()
    }

    /// Pods that do the same work as this one: those that its services and its owner select. As upstream, no
    /// service and no known owner means nobody.
    pub fn peers(&self, pod: &Pod, owner: Option<&str>) -> Option<LabelSelector> {
        let services = self.services.get(&*pod.namespace).into_iter().flat_map(BTreeMap::values);
        let selects =
            |selector: &&Labels| selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value));
        let labels: Labels =
            services.filter(selects).flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
        let own = owner.and_then(|uid| self.owners.get(uid));
        let selector =
            LabelSelector::from_labels(labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let selector = match own {
            Some(own) => selector.and(own.requirements().iter().cloned()),
            None => selector,
        };
        (!selector.is_everything()).then_some(selector)
    }

    /// A pod read for a decision.
    pub fn read_pod(&self, value: &Value) -> Pod {
        let pod = Pod::read(value);
        let peers = self.peers(&pod, owner(value).as_deref());
        Pod { peers, ..pod }
    }
}

fn volumes_changed(kind: Kind) -> Vec<Change> {
    match kind {
        Kind::Volume
        | Kind::Claim
        | Kind::Class
        | Kind::Driver
        | Kind::DriversOfNode
        | Kind::Room
        | Kind::Attachment => vec![Change::Volumes],
        _ => Vec::new(),
    }
}

/// The identity of what controls a pod.
pub(crate) fn owner(pod: &Value) -> Option<String> {
    object::controller_of(pod).map(|owner| object::text(owner, &["uid"]).to_owned())
}

/// The cluster could not be read.
#[derive(Debug)]
pub struct Missing {
    /// What was being read.
    pub resource: String,
    /// What the API said.
    pub status: Status,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "list {}: {}", self.resource, self.status)
    }
}

impl std::error::Error for Missing {}

/// Reads the cluster once, for a question.
pub async fn look(api: &dyn Api) -> Result<World, Missing> {
    let mut world = World::default();
    for kind in Kind::ALL {
        let missing = |status: Status| Missing { resource: kind.resource().resource.clone(), status };
        let list = match api.call(Call::list(kind.resource(), "")).await {
            // Servers of other versions do not serve all of them.
            Err(status) if status.code == 404 => continue,
            list => list.map_err(missing)?,
        };
        for value in object::items(&list, &["items"]) {
            if kind == Kind::Pod {
                if !Pod::is_over(value) && !object::text(value, &["spec", "nodeName"]).is_empty() {
                    world.snapshot.set_pod(Arc::new(Pod::read(value)));
                }
                continue;
            }
            let item =
                Item::at(value.to_string().as_bytes(), 0).map_err(Status::internal).map_err(missing)?;
            world.set(kind, &item);
        }
    }
    Ok(world)
}
