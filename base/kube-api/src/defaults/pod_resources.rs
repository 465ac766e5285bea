//! Resources of a pod as a whole: what its containers need together.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fill::{below, empty};
use crate::quantity::{self, Quantity};

/// Amounts by the names of resources.
type Amounts = BTreeMap<String, Quantity>;

/// Fills in the pod's own requests: from its containers' requests, else from its own limits.
pub(super) fn fill(spec: &mut Value) {
    let Some(resources) = spec.get("resources").filter(|resources| resources.is_object()) else { return };
    let has = |name: &str| resources.get("requests").and_then(|requests| requests.get(name)).is_some();
    let mut add: BTreeMap<String, Value> = aggregate(spec, "requests")
        .into_iter()
        .filter(|(name, _)| is_pod_level(name) && !has(name))
        .map(|(name, amount)| (name, Value::from(amount.to_string())))
        .collect();
    let limits = resources.get("limits").and_then(Value::as_object);
    for (name, limit) in limits.into_iter().flatten() {
        if is_pod_level(name) && !has(name) && !add.contains_key(name) {
            add.insert(name.clone(), limit.clone());
        }
    }
    if add.is_empty() {
        return;
    }
    if let Some(resources) = below(spec, "resources") {
        empty(resources, "requests");
        if let Some(requests) = below(resources, "requests").and_then(Value::as_object_mut) {
            requests.extend(add);
        }
    }
}

/// Whether a pod as a whole can ask for the resource.
fn is_pod_level(name: &str) -> bool {
    name == "cpu" || name == "memory" || name.starts_with("hugepages-")
}

/// What the containers of a pod need together: those that run at once are added, those that
/// run before them one by one count by the largest.
pub(crate) fn aggregate(spec: &Value, list: &str) -> BTreeMap<String, Quantity> {
    let mut together = Amounts::new();
    for container in containers(spec, "containers") {
        add(&mut together, &amounts(container, list));
    }
    let (mut sidecars, mut before) = (Amounts::new(), Amounts::new());
    for container in containers(spec, "initContainers") {
        let mut own = amounts(container, list);
        let stays = container.get("restartPolicy").and_then(Value::as_str) == Some("Always");
        if stays {
            add(&mut together, &own);
            add(&mut sidecars, &own);
        }
        // Sidecars so far run beside it; what it does not ask for was counted with them.
        for (name, amount) in &mut own {
            let beside = sidecars.get(name).copied().unwrap_or(Quantity::ZERO);
            *amount = if stays { beside } else { amount.plus(beside) };
        }
        largest(&mut before, own);
    }
    largest(&mut together, before);
    together
}

fn containers<'a>(spec: &'a Value, name: &str) -> &'a [Value] {
    spec.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn amounts(container: &Value, list: &str) -> Amounts {
    let found =
        container.get("resources").and_then(|resources| resources.get(list)).and_then(Value::as_object);
    let read = |(name, amount): (&String, &Value)| Some((name.clone(), quantity::read(amount)?));
    found.into_iter().flatten().filter_map(read).collect()
}

fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        match sum.get_mut(name) {
            Some(present) => *present = present.plus(*amount),
            None => drop(sum.insert(name.clone(), *amount)),
        }
    }
}

fn largest(present: &mut Amounts, other: Amounts) {
    for (name, amount) in other {
        if present.get(&name).is_none_or(|present| *present < amount) {
            present.insert(name, amount);
        }
    }
}
