use serde_json::{Value, json};

use super::*;
use crate::object::{set, time_text};
use crate::sim::World;

const LOOPS: &[Loop] = &[LOOP];

fn node(name: &str, more: &Value) -> Value {
    let mut node =
        json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, "spec": {}});
    for (member, value) in more.as_object().unwrap() {
        let path: Vec<&str> = member.split('.').collect();
        set(&mut node, &path, value.clone());
    }
    node
}

fn set_of(strategy: &Value, spec: &Value) -> Value {
    json!({
        "metadata": {"name": "ds", "namespace": "a", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "ds"}}, "updateStrategy": strategy,
            "template": {"metadata": {"labels": {"app": "ds", "v": "1"}}, "spec": spec}},
    })
}

fn rolling(surge: i64, unavailable: i64) -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}})
}

fn world(count: usize, strategy: &Value, spec: &Value) -> World {
    let mut world = World::default();
    for at in 1..=count {
        world.put("nodes", node(&format!("n{at}"), &json!({})));
    }
    world.put("daemonsets", set_of(strategy, spec));
    world.settle(LOOPS);
    world
}

/// The scheduler's part and the node's for all pods that want it.
fn ready(world: &mut World) -> usize {
    let since = time_text(world.now);
    let mut count = 0;
    for pod in world.all("pods") {
        if !is_ready(&pod) && text(&pod, &["status", "phase"]) != "Failed" {
            count += 1;
            let target = node::target(&pod).unwrap().to_owned();
            world.change("pods", "a", name(&pod), |pod| {
                pod["spec"]["nodeName"] = json!(target);
                pod["status"] = json!({"phase": "Running", "conditions": [
                    {"type": "Ready", "status": "True", "lastTransitionTime": since}]});
            });
        }
    }
    world.now += 1;
    world.settle(LOOPS);
    count
}

/// Pods by node and template: `n1:1 n2:2`.
fn show(world: &World) -> String {
    let mut all: Vec<String> = world
        .all("pods")
        .iter()
        .map(|pod| format!("{}:{}", node::target(pod).unwrap(), label(pod, "v").unwrap()))
        .collect();
    all.sort();
    all.join(" ")
}

fn template(world: &mut World, version: &str) {
    world.change("daemonsets", "a", "ds", |set| {
        set["spec"]["template"]["metadata"]["labels"]["v"] = json!(version);
    });
    world.settle(LOOPS);
}

fn status(world: &World) -> Value {
    world.get("daemonsets", "a", "ds").unwrap()["status"].clone()
}

#[test]
fn one_a_node() {
    let mut world = world(2, &rolling(0, 1), &json!({}));
    assert_eq!(show(&world), "n1:1 n2:1");
    let pod = &world.all("pods")[0];
    let term = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(
        *term,
        json!({"nodeSelectorTerms": [{"matchFields": [
            {"key": "metadata.name", "operator": "In", "values": [node::target(pod).unwrap()]}]}]})
    );
    assert_eq!(pod["spec"]["tolerations"].as_array().unwrap().len(), 6);
    assert!(world.events[0].starts_with("SuccessfulCreate: Created pod: ds-"));
    ready(&mut world);
    world.put("nodes", node("n3", &json!({})));
    world.settle(LOOPS);
    assert_eq!(show(&world), "n1:1 n2:1 n3:1");
    assert_eq!(
        status(&world),
        json!({"currentNumberScheduled": 3, "numberMisscheduled": 0, "desiredNumberScheduled": 3, "numberReady": 2,
            "observedGeneration": 1, "updatedNumberScheduled": 3, "numberAvailable": 2, "numberUnavailable": 1})
    );
    world.remove("nodes", "", "n3");
    world.settle(LOOPS);
    assert_eq!(show(&world), "n1:1 n2:1");
}

#[test]
fn only_where_it_is_wanted() {
    let mut world = world(1, &rolling(0, 1), &json!({"nodeSelector": {"disk": "ssd"}}));
    assert_eq!(show(&world), "");
    world.put("nodes", node("n2", &json!({"metadata.labels": {"disk": "ssd"}})));
    let taint = |key: &str, effect: &str| json!({"metadata.labels": {"disk": "ssd"}, "spec.taints": [{"key": key, "effect": effect}]});
    world.put("nodes", node("n3", &taint("mine", "NoSchedule")));
    world.put("nodes", node("n4", &taint("node.kubernetes.io/unschedulable", "NoSchedule")));
    world.settle(LOOPS);
    assert_eq!(show(&world), "n2:1 n4:1");
    ready(&mut world);
    // A taint that keeps new pods away lets the old one stay; another ends it.
    for (effect, expected) in [("NoSchedule", "n2:1 n4:1"), ("NoExecute", "n4:1")] {
        world.change("nodes", "", "n2", |node| {
            node["spec"]["taints"] = json!([{"key": "mine", "effect": effect}]);
        });
        world.settle(LOOPS);
        assert_eq!(show(&world), expected, "{effect}");
    }
    world.change("nodes", "", "n4", |node| node["metadata"]["labels"] = json!({}));
    world.settle(LOOPS);
    assert_eq!((show(&world).as_str(), &status(&world)["desiredNumberScheduled"]), ("", &json!(0)));
}

#[test]
fn failed_pods_are_replaced_more_and_more_slowly() {
    let mut world = world(1, &rolling(0, 1), &json!({}));
    for expected in [1, 1, 2] {
        ready(&mut world);
        let pod = world.all("pods")[0].clone();
        world.change("pods", "a", name(&pod), |pod| pod["status"] = json!({"phase": "Failed"}));
        world.settle(LOOPS);
        let before = crate::object::uid(&pod).to_owned();
        let same = |world: &World| crate::object::uid(&world.all("pods")[0]) == before;
        let mut waited = 0;
        while same(&world) {
            world.pass(1, LOOPS);
            waited += 1;
        }
        assert!(waited <= expected, "{waited}");
    }
    assert!(
        world.events.iter().any(|event| event.starts_with("FailedDaemonPod: Found failed daemon pod a/ds-"))
    );
}

#[test]
fn rolls_within_what_may_be_unavailable() {
    let mut world = world(3, &rolling(0, 1), &json!({}));
    ready(&mut world);
    template(&mut world, "2");
    assert_eq!(show(&world).matches(":1").count(), 2);
    while ready(&mut world) > 0 {
        let there = world.all("pods").iter().filter(|pod| is_ready(pod)).count();
        assert!(there >= 2, "{}", show(&world));
    }
    assert_eq!(show(&world), "n1:2 n2:2 n3:2");
    let found = status(&world);
    assert_eq!((&found["updatedNumberScheduled"], &found["observedGeneration"]), (&json!(3), &json!(2)));
    // Back to the first template: its revision is the newest again, and no third one is made.
    template(&mut world, "1");
    while ready(&mut world) > 0 {}
    assert_eq!(show(&world), "n1:1 n2:1 n3:1");
    let revisions = world.all("controllerrevisions");
    let mut numbers: Vec<_> = revisions.iter().map(|found| number(found, &["revision"]).unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3]);
}

#[test]
fn surges() {
    let mut world = world(2, &rolling(1, 0), &json!({}));
    ready(&mut world);
    template(&mut world, "2");
    assert_eq!(show(&world), "n1:1 n1:2 n2:1");
    ready(&mut world);
    assert_eq!(show(&world), "n1:2 n2:1 n2:2");
    ready(&mut world);
    assert_eq!(show(&world), "n1:2 n2:2");
}

#[test]
fn waits_for_somebody_to_delete() {
    let mut world = world(2, &json!({"type": "OnDelete"}), &json!({}));
    ready(&mut world);
    template(&mut world, "2");
    assert_eq!(show(&world), "n1:1 n2:1");
    let pods = world.all("pods");
    let first = pods.iter().find(|pod| node::target(pod) == Some("n1")).unwrap();
    world.remove("pods", "a", name(first));
    world.settle(LOOPS);
    assert_eq!(show(&world), "n1:2 n2:1");
}

#[test]
fn many_are_made_at_once_but_not_all() {
    let world = world(300, &rolling(0, 1), &json!({}));
    assert_eq!(world.all("pods").len(), 300);
}
