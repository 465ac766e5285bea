use serde_json::{Value, json};

use super::*;
use crate::object::time_text;
use crate::sim::World;

const LOOPS: &[Loop] = &[LOOP];

fn node(name: &str, ready: &str, now: &str) -> Value {
    let condition =
        json!({"type": "Ready", "status": ready, "lastHeartbeatTime": now, "lastTransitionTime": now});
    json!({"metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": "z"}}, "spec": {},
        "status": {"conditions": [condition]}})
}

fn world(names: &[&str]) -> World {
    let mut world = World::default();
    for name in names {
        let now = time_text(world.now);
        world.put("nodes", node(name, "True", &now));
    }
    world.settle(LOOPS);
    world
}

/// Signs of life of some nodes, second by second.
fn live(world: &mut World, seconds: i64, names: &[&str]) {
    for _ in 0..seconds / 5 {
        for name in names {
            let renewed = format!("{}.000000Z", time_text(world.now).trim_end_matches('Z'));
            world.put(
                "leases",
                json!({"metadata": {"name": name, "namespace": "kube-node-lease"},
                "spec": {"renewTime": renewed}}),
            );
        }
        world.pass(5, LOOPS);
    }
}

/// A node's readiness and taints: `Unknown unreachable:NoExecute`.
fn show(world: &World, name: &str) -> String {
    let node = world.get("nodes", "", name).unwrap();
    let taint = |taint: &Value| {
        format!(
            " {}:{}",
            text(taint, &["key"]).trim_start_matches("node.kubernetes.io/"),
            text(taint, &["effect"])
        )
    };
    let all: String = items(&node, &["spec", "taints"]).iter().map(taint).collect();
    format!("{}{all}", readiness(&node))
}

const LOST: &str = "Unknown unreachable:NoSchedule unreachable:NoExecute";

#[test]
fn silence_makes_unknown() {
    let mut world = world(&["a", "b"]);
    world.put(
        "pods",
        json!({"metadata": {"name": "p", "namespace": "x"}, "spec": {"nodeName": "b"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
    );
    live(&mut world, 45, &["a"]);
    assert_eq!((show(&world, "a").as_str(), show(&world, "b").as_str()), ("True", "True"));
    live(&mut world, 10, &["a"]);
    assert_eq!((show(&world, "a").as_str(), show(&world, "b").as_str()), ("True", LOST));
    assert!(world.events.contains(&"NodeNotReady: Node b status is now: NodeNotReady".to_owned()));
    assert!(!crate::pods::is_ready(&world.get("pods", "x", "p").unwrap()));
    let node = world.get("nodes", "", "b").unwrap();
    let ready = conditions::find(&node, "Ready").unwrap();
    assert_eq!(text(ready, &["message"]), "Kubelet stopped posting node status.");
    assert_eq!(text(conditions::find(&node, "PIDPressure").unwrap(), &["reason"]), "NodeStatusNeverUpdated");
    // It speaks again.
    world.change("nodes", "", "b", |node| node["status"]["conditions"][0]["status"] = json!("True"));
    world.settle(LOOPS);
    assert_eq!(show(&world, "b"), "True");
}

#[test]
fn conditions_become_taints() {
    let mut world = world(&["a", "b"]);
    world.change("nodes", "", "b", |node| {
        node["spec"]["unschedulable"] = json!(true);
        node["spec"]["taints"] = json!([{"key": "mine", "effect": "NoSchedule"}]);
        node["status"]["conditions"] = json!([
            {"type": "Ready", "status": "False"}, {"type": "DiskPressure", "status": "True"}]);
    });
    world.settle(LOOPS);
    assert_eq!(
        show(&world, "b"),
        "False mine:NoSchedule not-ready:NoSchedule disk-pressure:NoSchedule unschedulable:NoSchedule not-ready:NoExecute"
    );
    world.change("nodes", "", "b", |node| {
        node["spec"]["unschedulable"] = json!(false);
        node["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
    });
    world.settle(LOOPS);
    assert_eq!(show(&world, "b"), "True mine:NoSchedule");
}

#[test]
fn one_node_after_the_other() {
    let mut world = world(&["a", "b", "c", "d", "e", "f", "g"]);
    let living = ["c", "d", "e", "f", "g"];
    live(&mut world, 55, &living);
    let lost = |world: &World| ["a", "b"].iter().filter(|name| show(world, name) == LOST).count();
    assert_eq!(lost(&world), 1);
    live(&mut world, 10, &living);
    assert_eq!(lost(&world), 2);
}

#[test]
fn where_much_is_lost_nobody_is_sent_away() {
    let mut world = world(&["a", "b", "c", "d", "e"]);
    live(&mut world, 55, &["a", "b"]);
    let driven = |world: &World| {
        world.all("nodes").iter().filter(|node| !taints(node, "NoExecute").is_empty()).count()
    };
    assert_eq!(show(&world, "d"), "Unknown unreachable:NoSchedule");
    assert_eq!(driven(&world), 0);
    // And where all is lost it is we who hear nothing.
    let mut world = self::world(&["a"]);
    world.pass(60, LOOPS);
    assert_eq!(show(&world, "a"), "Unknown unreachable:NoSchedule");
}

#[test]
fn a_node_may_never_speak() {
    let mut world = world(&["a"]);
    world.put("nodes", json!({"metadata": {"name": "new"}, "spec": {}}));
    live(&mut world, 55, &["a"]);
    assert_eq!(show(&world, "new"), "Unknown");
    live(&mut world, 15, &["a"]);
    assert_eq!(show(&world, "new"), LOST);
    let node = world.get("nodes", "", "new").unwrap();
    assert_eq!(text(conditions::find(&node, "Ready").unwrap(), &["reason"]), "NodeStatusNeverUpdated");
}
