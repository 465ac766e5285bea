//! `ttl-controller`: how long the kubelets of a cluster of this size may go without asking for secrets anew.
//!
//! One key stands for all nodes: the larger the cluster, the longer, and for all the same.

use serde_json::{Value, json};

use crate::known::nodes;
use crate::object::{at, is_deleting};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};

/// The loop.
pub(crate) const LOOP: Loop =
    Loop { name: "ttl-controller", concurrency: 1, watches: Watches::These(&[nodes]), keys, reconcile };

/// A size of clusters: the fewest and the most nodes, and seconds. Neighbours overlap, so that a node that comes and
/// goes does not change all others each time.
struct Step {
    fewest: usize,
    most: usize,
    seconds: u32,
}

fn keys(change: &Change<'_>, _: &dyn View) -> Vec<Key> {
    if change.old.is_some() && change.old.map(seconds_of) == change.new.map(seconds_of) {
        return Vec::new();
    }
    vec![Key::new(nodes(), "", "")]
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let all = observed.view.list(nodes(), None);
    let current = all.iter().find_map(|node| seconds_of(node));
    let wanted = step(all.len(), current).seconds;
    let wrong = all.iter().filter(|node| seconds_of(node) != Some(wanted) && !is_deleting(node));
    let patch = json!({"metadata": {"annotations": {ANNOTATION: wanted.to_string()}}});
    let actions: Vec<Action> = wrong.map(|node| Action::patch(nodes(), node, patch.clone())).collect();
    Plan::of(format!("{} nodes: {wanted} s", all.len()), actions)
}

/// The step of a cluster of so many nodes that now has one of `current` seconds.
fn step(count: usize, current: Option<u32>) -> &'static Step {
    let mut at = STEPS.iter().position(|step| Some(step.seconds) == current).unwrap_or(0);
    while at + 1 < STEPS.len() && count > STEPS[at].most {
        at += 1;
    }
    while at > 0 && count < STEPS[at].fewest {
        at -= 1;
    }
    &STEPS[at]
}

fn seconds_of(node: &Value) -> Option<u32> {
    at(node, &["metadata", "annotations", ANNOTATION])?.as_str()?.parse().ok()
}

const ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";
/// Upstream's.
const STEPS: [Step; 5] = [
    Step { fewest: 0, most: 100, seconds: 0 },
    Step { fewest: 90, most: 500, seconds: 15 },
    Step { fewest: 450, most: 1000, seconds: 30 },
    Step { fewest: 900, most: 2000, seconds: 60 },
    Step { fewest: 1800, most: usize::MAX, seconds: 300 },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::World;

    #[test]
    fn sizes_overlap() {
        for (count, current, seconds) in [
            (1, None, 0),
            (100, Some(0), 0),
            (101, Some(0), 15),
            (95, Some(15), 15),
            (89, Some(15), 0),
            (5000, None, 300),
            (1700, Some(300), 60),
            (3, Some(300), 0),
            (3, Some(7), 0),
        ] {
            assert_eq!(step(count, current).seconds, seconds, "{count} nodes after {current:?}");
        }
    }

    #[test]
    fn all_nodes_say_the_same() {
        let mut world = World::default();
        let said = |world: &World, number: usize| {
            seconds_of(&world.get("nodes", "", &format!("n{number}")).expect("a node"))
        };
        for number in 0..100 {
            world.put("nodes", json!({"metadata": {"name": format!("n{number}")}}));
        }
        world.settle(&[LOOP]);
        assert_eq!((said(&world, 0), said(&world, 99)), (Some(0), Some(0)));
        world.put("nodes", json!({"metadata": {"name": "n100"}}));
        world.settle(&[LOOP]);
        assert_eq!((said(&world, 0), said(&world, 100)), (Some(15), Some(15)));
    }
}
