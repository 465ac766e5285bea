//! Claims and volumes, as far as they bind pods to nodes.

use std::collections::HashMap;

use base::quantity::Quantity;
use serde_json::Value;

use crate::misfit::Misfit;
use crate::node::Node;
use crate::node_rules::NodeTerm;
use crate::pod::Pod;
use crate::read::{member, text, texts};

/// All claims, volumes and storage classes.
#[derive(Debug, Default)]
pub struct Volumes {
    claims: HashMap<String, Claim>,
    volumes: HashMap<String, Volume>,
    classes: HashMap<String, Class>,
}

#[derive(Clone, Debug)]
struct Claim {
    volume: String,
    class: String,
    modes: Vec<String>,
    mode: String,
    size: i64,
    is_ending: bool,
    /// Whether the node was chosen before, and a volume is being made there.
    chosen: bool,
}

#[derive(Clone, Debug)]
struct Volume {
    nodes: Option<Vec<NodeTerm>>,
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
    provisions: bool,
}

/// What the pod's claims demand of nodes.
#[derive(Debug, Default)]
pub(crate) struct Demands<'a> {
    /// Volumes that the pod must come to.
    bound: Vec<(&'a str, &'a Volume)>,
    /// Claims for which a volume must be found on the node, and what there is.
    open: Vec<(&'a str, Vec<&'a Volume>)>,
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
            chosen: member(metadata, "annotations").get(SELECTED_NODE).is_some(),
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
            provisions: text(object, "provisioner") != "kubernetes.io/no-provisioner",
        };
        self.classes.insert(text(member(object, "metadata"), "name").to_owned(), class);
    }

    /// A class is gone.
    pub fn remove_class(&mut self, name: &str) {
        self.classes.remove(name);
    }

    /// What a pod's claims demand, or what keeps it from every node; upstream's words.
    pub(crate) fn demands<'a>(&'a self, pod: &'a Pod) -> Result<Demands<'a>, String> {
        let mut demands = Demands::default();
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
            let class = self.classes.get(&claim.class);
            if !class.is_some_and(|class| class.waits) {
                return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
            }
            if !class.is_some_and(|class| class.provisions) && !claim.chosen {
                let fits = |volume: &&Volume| volume.suits(claim, &own);
                demands.open.push((name, self.volumes.values().filter(fits).collect()));
            }
        }
        Ok(demands)
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

    fn reaches(&self, node: &Node) -> bool {
        self.nodes.as_ref().is_none_or(|terms| terms.iter().any(|term| term.fits(node)))
    }
}

impl Demands<'_> {
    pub(crate) fn check(&self, node: &Node) -> Option<Misfit> {
        let elsewhere = self.bound.iter().find(|(_, volume)| !volume.reaches(node));
        if let Some((name, _)) = elsewhere {
            return Some(Misfit::VolumeElsewhere { volume: (*name).to_owned() });
        }
        let none = self.open.iter().find(|(_, found)| !found.iter().any(|volume| volume.reaches(node)));
        none.map(|(claim, _)| Misfit::NoVolume { claim: (*claim).to_owned() })
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
