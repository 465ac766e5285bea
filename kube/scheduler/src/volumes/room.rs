//! Where a driver can make a volume, and whether there is room for it.

use std::collections::{HashMap, HashSet};

use base::quantity::Quantity;
use kube_object::label_selector::LabelSelector;
use serde_json::Value;

use super::{Class, Volumes};
use crate::node::Node;
use crate::read::{member, text};

/// What drivers say of the room that they have.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    /// Drivers that say it.
    telling: HashSet<String>,
    /// By `namespace/name` of the `CSIStorageCapacity`.
    rooms: HashMap<String, Room>,
}

#[derive(Debug)]
struct Room {
    class: String,
    /// The nodes that reach it; none if it says nothing of them.
    nodes: Option<LabelSelector>,
    /// The largest volume that can be made.
    largest: Option<i64>,
}

impl Volumes {
    /// A `CSIDriver` is there, or has changed.
    pub fn set_driver(&mut self, object: &Value) {
        let name = text(member(object, "metadata"), "name");
        match member(object, "spec").get("storageCapacity").and_then(Value::as_bool) {
            Some(true) => drop(self.rooms.telling.insert(name.to_owned())),
            _ => drop(self.rooms.telling.remove(name)),
        }
    }

    /// A `CSIDriver` is gone.
    pub fn remove_driver(&mut self, name: &str) {
        self.rooms.telling.remove(name);
    }

    /// A `CSIStorageCapacity` is there, or has changed.
    pub fn set_room(&mut self, object: &Value) {
        let amount = |name: &str| Some(Quantity::parse(object.get(name)?.as_str()?).ok()?.value());
        let nodes = object.get("nodeTopology").filter(|selector| selector.is_object());
        let room = Room {
            class: text(object, "storageClassName").to_owned(),
            nodes: nodes.and_then(|selector| LabelSelector::from_value(selector).ok()),
            largest: amount("maximumVolumeSize").or_else(|| amount("capacity")),
        };
        self.rooms.rooms.insert(super::key(member(object, "metadata")), room);
    }

    /// A `CSIStorageCapacity` is gone.
    pub fn remove_room(&mut self, namespace: &str, name: &str) {
        self.rooms.rooms.remove(&format!("{namespace}/{name}"));
    }

    /// Whether a driver has room for a volume of a class where the node reaches it. One that says nothing
    /// is believed to have.
    pub(super) fn has_room(&self, name: &str, class: &Class, size: i64, node: &Node) -> bool {
        let fits = |room: &Room| {
            room.class == name
                && room.largest.is_some_and(|largest| largest >= size)
                && room.nodes.as_ref().is_some_and(|nodes| nodes.matches(&node.labels))
        };
        !self.rooms.telling.contains(&class.provisioner) || self.rooms.rooms.values().any(fits)
    }
}
