//! Claims and volumes, as far as they bind pods to nodes.

mod limits;
mod room;
mod zones;

use std::collections::HashMap;

use base::quantity::Quantity;
use serde_json::Value;

use self::limits::{Attached, Limits};
use self::room::Rooms;
use self::zones::Zones;
use crate::misfit::Misfit;
use crate::node::Node;
use crate::node_rules::NodeTerm;
use crate::pod::Pod;
use crate::read::{labels, member, text, texts};

/// All claims, volumes and storage classes.
#[derive(Debug, Default)]
pub struct Volumes {
    claims: HashMap<String, Claim>,
    volumes: HashMap<String, Volume>,
    classes: HashMap<String, Class>,
    limits: Limits,
    rooms: Rooms,
}

#[derive(Clone, Debug)]
struct Claim {
    volume: String,
    class: String,
    modes: Vec<String>,
    mode: String,
    size: i64,
    is_ending: bool,
    /// The node that was chosen before, where a volume is being made.
    chosen: String,
}

#[derive(Clone, Debug)]
struct Volume {
    nodes: Option<Vec<NodeTerm>>,
    zones: Vec<Zones>,
    /// Its driver and its handle there, if a driver attaches it.
    driver: Option<(String, String)>,
    class: String,
    modes: Vec<String>,
    mode: String,
    size: i64,
    /// `namespace/name` of the claim that it is for.
    claim: String,
    available: bool,
}

#[derive(Clone, Debug)]
struct Class {
    waits: bool,
    provisioner: String,
    /// Where its volumes may be made; none is everywhere.
    topologies: Option<Vec<NodeTerm>>,
}

/// What the pod's claims demand of nodes.
#[derive(Debug)]
pub(crate) struct Demands<'a> {
    all: &'a Volumes,
    /// Volumes that the pod must come to.
    bound: Vec<(&'a str, &'a Volume)>,
    /// Claims for which a volume must be found or made.
    open: Vec<Open<'a>>,
    /// Volumes that drivers attach for the pod.
    attached: Vec<Attached<'a>>,
}

/// A claim without a volume.
#[derive(Debug)]
struct Open<'a> {
    name: &'a str,
    claim: &'a Claim,
    class: &'a Class,
    /// What there is for it; nothing once a node has been chosen for making one.
    found: Vec<&'a Volume>,
}

/// What has to be done before a pod can go to its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeStep {
    /// A volume becomes the claim's.
    Bind {
        /// The claim, in the pod's namespace.
        claim: String,
        /// The volume.
        volume: String,
    },
    /// A volume is made for the claim, where the node reaches it.
    Provision {
        /// The claim, in the pod's namespace.
        claim: String,
    },
    /// That was begun before.
    Await {
        /// The claim, in the pod's namespace.
        claim: String,
    },
}

impl VolumeStep {
    /// The claim.
    pub fn claim(&self) -> &str {
        match self {
            Self::Bind { claim, .. } | Self::Provision { claim } | Self::Await { claim } => claim,
        }
    }
}

impl Volumes {
    /// A `PersistentVolumeClaim` is there, or has changed.
    pub fn set_claim(&mut self, object: &Value) {
        let (metadata, spec) = (member(object, "metadata"), member(object, "spec"));
        let claim = Claim {
            volume: text(spec, "volumeName").to_owned(),
            class: text(spec, "storageClassName").to_owned(),
            modes: texts(spec, "accessModes"),
            mode: mode(spec),
            size: size(member(member(spec, "resources"), "requests")),
            is_ending: metadata.get("deletionTimestamp").is_some_and(|at| !at.is_null()),
            chosen: text(member(metadata, "annotations"), SELECTED_NODE).to_owned(),
        };
        self.claims.insert(key(metadata), claim);
    }

    /// A claim is gone.
    pub fn remove_claim(&mut self, namespace: &str, name: &str) {
        self.claims.remove(&format!("{namespace}/{name}"));
    }

    /// A `PersistentVolume` is there, or has changed.
    pub fn set_volume(&mut self, object: &Value) {
        let spec = member(object, "spec");
        let volume = Volume {
            nodes: NodeTerm::read_selector(member(member(spec, "nodeAffinity"), "required")),
            zones: Zones::read(&labels(member(object, "metadata"), "labels")),
            driver: limits::driver(spec),
            class: text(spec, "storageClassName").to_owned(),
            modes: texts(spec, "accessModes"),
            mode: mode(spec),
            size: size(member(spec, "capacity")),
            claim: spec.get("claimRef").map(key).unwrap_or_default(),
            available: matches!(text(member(object, "status"), "phase"), "" | "Pending" | "Available"),
        };
        self.volumes.insert(text(member(object, "metadata"), "name").to_owned(), volume);
    }

    /// A volume is gone.
    pub fn remove_volume(&mut self, name: &str) {
        self.volumes.remove(name);
    }

    /// A `StorageClass` is there, or has changed.
    pub fn set_class(&mut self, object: &Value) {
        let class = Class {
            waits: text(object, "volumeBindingMode") == "WaitForFirstConsumer",
            provisioner: text(object, "provisioner").to_owned(),
            topologies: NodeTerm::read_topologies(object),
        };
        self.classes.insert(text(member(object, "metadata"), "name").to_owned(), class);
    }

    /// A class is gone.
    pub fn remove_class(&mut self, name: &str) {
        self.classes.remove(name);
    }

    /// The claims of a pod that no other pod may have at the same time.
    pub(crate) fn exclusive<'a>(&'a self, pod: &'a Pod) -> impl Iterator<Item = &'a String> {
        pod.claims.iter().filter(|name| {
            let claim = self.claims.get(&format!("{}/{name}", pod.namespace));
            claim.is_some_and(|claim| claim.modes.iter().any(|mode| mode == "ReadWriteOncePod"))
        })
    }

    /// What a pod's claims demand, or what keeps it from every node; upstream's words.
    pub(crate) fn demands<'a>(&'a self, pod: &'a Pod) -> Result<Demands<'a>, String> {
        let attached = self.attached_for(pod).collect();
        let mut demands = Demands { all: self, bound: Vec::new(), open: Vec::new(), attached };
        for name in &pod.claims {
            let own = format!("{}/{name}", pod.namespace);
            let claim = self.claims.get(&own);
            let claim = claim.ok_or_else(|| format!("persistentvolumeclaim \"{name}\" not found"))?;
            if claim.is_ending {
                return Err(format!("persistentvolumeclaim \"{name}\" is being deleted"));
            }
            if !claim.volume.is_empty() {
                let volume = self.volumes.get_key_value(&claim.volume);
                let (known, volume) =
                    volume.ok_or_else(|| format!("persistentvolume \"{}\" not found", claim.volume))?;
                demands.bound.push((known, volume));
                continue;
            }
            let waiting = self.classes.get(&claim.class).filter(|class| class.waits);
            let class = waiting.ok_or("pod has unbound immediate PersistentVolumeClaims")?;
            let fits = |volume: &&Volume| claim.chosen.is_empty() && volume.suits(claim, &own);
            let found = self.volumes.values().filter(fits).collect();
            demands.open.push(Open { name, claim, class, found });
        }
        Ok(demands)
    }

    /// What has to be done for the claims of a pod that goes to a node; none if it cannot go there.
    /// Volumes that are there come before new ones, small ones before large ones.
    pub fn steps(&self, pod: &Pod, node: &Node) -> Option<Vec<VolumeStep>> {
        let mut steps = Vec::new();
        let mut taken: Vec<&str> = Vec::new();
        for name in &pod.claims {
            let own = format!("{}/{name}", pod.namespace);
            let claim = self.claims.get(&own)?;
            if !claim.volume.is_empty() {
                continue;
            }
            if !claim.chosen.is_empty() {
                steps.push(VolumeStep::Await { claim: name.clone() });
                continue;
            }
            let fits = |name: &str, volume: &Volume| {
                volume.suits(claim, &own) && volume.is_for(node) && !taken.contains(&name)
            };
            let fitting = self.volumes.iter().filter(|(name, volume)| fits(name, volume));
            match fitting.min_by_key(|(name, volume)| (volume.size, (*name).clone())) {
                Some((volume, _)) => {
                    taken.push(volume);
                    steps.push(VolumeStep::Bind { claim: name.clone(), volume: volume.clone() });
                }
                None if self.classes.get(&claim.class).is_some_and(Class::provisions) => {
                    steps.push(VolumeStep::Provision { claim: name.clone() });
                }
                None => return None,
            }
        }
        Some(steps)
    }

    /// A volume is being given to a claim (`namespace/name`): nobody else may have it.
    pub fn assume(&mut self, volume: &str, claim: &str) {
        if let Some(volume) = self.volumes.get_mut(volume) {
            volume.claim = claim.to_owned();
        }
    }

    /// Whether a claim (`namespace/name`) has its volume; none if there is no such claim.
    pub fn is_bound(&self, claim: &str) -> Option<bool> {
        self.claims.get(claim).map(|claim| !claim.volume.is_empty())
    }
}

impl Volume {
    fn suits(&self, claim: &Claim, own: &str) -> bool {
        self.available
            && self.class == claim.class
            && self.mode == claim.mode
            && self.size >= claim.size
            && (self.claim.is_empty() || self.claim == own)
            && claim.modes.iter().all(|mode| self.modes.contains(mode))
    }

    fn is_for(&self, node: &Node) -> bool {
        self.nodes.as_ref().is_none_or(|terms| terms.iter().any(|term| term.fits(node)))
    }
}

impl Class {
    fn provisions(&self) -> bool {
        self.provisioner != "kubernetes.io/no-provisioner"
    }
}

impl Demands<'_> {
    /// In upstream's order: drivers' limits, then volumes and room, then zones.
    pub(crate) fn check(&self, node: &Node) -> Option<Misfit> {
        if let Some((driver, most)) = self.all.overfull(&self.attached, node) {
            return Some(Misfit::TooManyVolumes { driver: driver.to_owned(), most });
        }
        let elsewhere = |volume: &str| Some(Misfit::VolumeElsewhere { volume: volume.to_owned() });
        if let Some((name, _)) = self.bound.iter().find(|(_, volume)| !volume.is_for(node)) {
            return elsewhere(name);
        }
        if let Some(misfit) = self.open.iter().find_map(|open| open.check(self.all, node)) {
            return Some(misfit);
        }
        let zoned = self.bound.iter().find(|(_, volume)| !Zones::allow(&volume.zones, node));
        zoned.map(|(name, _)| Misfit::OtherZone { volume: (*name).to_owned() })
    }
}

impl Open<'_> {
    fn check(&self, all: &Volumes, node: &Node) -> Option<Misfit> {
        let claim = || self.name.to_owned();
        if self.found.iter().any(|volume| volume.is_for(node)) {
            return None;
        }
        let elsewhere = !self.claim.chosen.is_empty() && *self.claim.chosen != *node.name;
        let allowed = self.class.topologies.as_ref();
        let allowed = allowed.is_none_or(|terms| terms.iter().any(|term| term.fits(node)));
        if elsewhere || !self.class.provisions() || !allowed {
            return Some(Misfit::NoVolume { claim: claim() });
        }
        let room = all.has_room(&self.claim.class, self.class, self.claim.size, node);
        (!room).then(|| Misfit::NoRoom { claim: claim() })
    }
}

fn key(metadata: &Value) -> String {
    format!("{}/{}", text(metadata, "namespace"), text(metadata, "name"))
}

fn mode(spec: &Value) -> String {
    let mode = text(spec, "volumeMode");
    if mode.is_empty() { "Filesystem".to_owned() } else { mode.to_owned() }
}

fn size(list: &Value) -> i64 {
    Quantity::parse(text(list, "storage")).map_or(0, |it| it.value())
}

/// The scheduler's choice, for who makes the volume.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
