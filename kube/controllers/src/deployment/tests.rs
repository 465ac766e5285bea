use serde_json::{Value, json};

use super::*;
use crate::conditions;
use crate::object::created;
use crate::replicas::REPLICA_SETS;
use crate::sim::World;

const LOOPS: &[Loop] = &[LOOP, REPLICA_SETS];

fn deployment(replicas: i64, strategy: &Value) -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "a", "generation": 1, "annotations": {"note": "x"}},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "strategy": strategy,
            "revisionHistoryLimit": 1, "progressDeadlineSeconds": 600,
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "v1"}]}},
        },
    })
}

fn rolling() -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
}

fn start(world: &mut World, strategy: &Value) {
    world.put("deployments", deployment(4, strategy));
    world.settle(LOOPS);
}

/// The node's part: every pod runs and is ready.
fn make_ready(world: &mut World) -> usize {
    let since = crate::object::time_text(world.now);
    let mut count = 0;
    for pod in world.all("pods") {
        if !crate::pods::is_ready(&pod) {
            count += 1;
            world.change("pods", "a", name(&pod), |pod| {
                set(
                    pod,
                    &["status"],
                    json!({"phase": "Running", "conditions": [
                        {"type": "Ready", "status": "True", "lastTransitionTime": since}]}),
                );
            });
        }
    }
    count
}

fn roll_out(world: &mut World) -> usize {
    let mut most = 0;
    for _ in 0..50 {
        most = most.max(world.all("pods").len());
        if make_ready(world) == 0 {
            return most;
        }
        world.now += 1;
        world.settle(LOOPS);
    }
    panic!("the rollout does not end");
}

fn image(world: &mut World, image: &str) {
    world.change("deployments", "a", "web", |found| {
        found["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
    });
    world.now += 1;
    world.settle(LOOPS);
}

fn of(world: &World) -> Arc<Value> {
    world.get("deployments", "a", "web").unwrap()
}

#[test]
fn makes_a_replica_set_and_tells_of_it() {
    let mut world = World::default();
    start(&mut world, &rolling());
    let set = &world.all("replicasets")[0];
    let hash = set["metadata"]["labels"]["pod-template-hash"].as_str().unwrap();
    assert_eq!(set["metadata"]["name"], format!("web-{hash}"));
    assert_eq!(set["spec"]["selector"]["matchLabels"]["pod-template-hash"], hash);
    let annotations = &set["metadata"]["annotations"];
    assert_eq!(
        *annotations,
        json!({"note": "x", "deployment.kubernetes.io/revision": "1",
            "deployment.kubernetes.io/desired-replicas": "4", "deployment.kubernetes.io/max-replicas": "5"})
    );
    assert_eq!(of(&world)["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
    assert_eq!(world.events[0], format!("ScalingReplicaSet: Scaled up replica set web-{hash} from 0 to 4"));
    assert!(world.events[1].starts_with(&format!("SuccessfulCreate: Created pod: web-{hash}-")));
    assert_eq!(world.events.len(), 5);
    let found = of(&world);
    assert_eq!(
        text(conditions::find(&found, "Available").unwrap(), &["reason"]),
        "MinimumReplicasUnavailable"
    );
    assert_eq!(text(conditions::find(&found, "Progressing").unwrap(), &["reason"]), "ReplicaSetUpdated");
    roll_out(&mut world);
    let found = of(&world);
    assert_eq!(
        (
            &found["status"]["replicas"],
            &found["status"]["availableReplicas"],
            &found["status"]["observedGeneration"]
        ),
        (&json!(4), &json!(4), &json!(1))
    );
    let progressing = conditions::find(&found, "Progressing").unwrap();
    assert_eq!(text(progressing, &["reason"]), "NewReplicaSetAvailable");
    assert_eq!(
        text(progressing, &["message"]),
        format!("ReplicaSet \"web-{hash}\" has successfully progressed.")
    );
}

#[test]
fn rolls_within_the_fence() {
    let mut world = World::default();
    start(&mut world, &rolling());
    roll_out(&mut world);
    image(&mut world, "v2");
    assert_eq!(roll_out(&mut world), 5);
    let images: Vec<_> =
        world.all("pods").iter().map(|pod| pod["spec"]["containers"][0]["image"].clone()).collect();
    assert_eq!(images, vec![json!("v2"); 4]);
    assert_eq!(of(&world)["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "2");
    assert_eq!(world.all("replicasets").len(), 2);
    // Only one old replica set is kept.
    image(&mut world, "v3");
    roll_out(&mut world);
    assert_eq!(world.all("replicasets").len(), 2);
    // Back to the template of revision 2: its replica set is taken again, with a history.
    image(&mut world, "v2");
    roll_out(&mut world);
    let sets = world.all("replicasets");
    let newest = sets.iter().find(|set| sets::replicas(set) == 4).unwrap();
    let note = |name: &str| annotation(newest, name).unwrap_or_default().to_owned();
    assert_eq!(
        (note("deployment.kubernetes.io/revision"), note("deployment.kubernetes.io/revision-history")),
        ("4".to_owned(), "2".to_owned())
    );
}

#[test]
fn recreates_when_all_are_gone() {
    let mut world = World::default();
    start(&mut world, &json!({"type": "Recreate"}));
    roll_out(&mut world);
    image(&mut world, "v2");
    assert_eq!(roll_out(&mut world), 4);
    assert!(world.all("pods").iter().all(|pod| pod["spec"]["containers"][0]["image"] == "v2"));
}

#[test]
fn scales_and_pauses() {
    let mut world = World::default();
    start(&mut world, &rolling());
    roll_out(&mut world);
    world.change("deployments", "a", "web", |found| found["spec"]["replicas"] = json!(10));
    world.settle(LOOPS);
    assert_eq!(world.all("pods").len(), 10);
    roll_out(&mut world);
    world.change("deployments", "a", "web", |found| found["spec"]["paused"] = json!(true));
    world.settle(LOOPS);
    assert_eq!(text(conditions::find(&of(&world), "Progressing").unwrap(), &["reason"]), "DeploymentPaused");
    image(&mut world, "v2");
    assert_eq!(world.all("replicasets").len(), 1);
    world.change("deployments", "a", "web", |found| found["spec"]["replicas"] = json!(8));
    world.settle(LOOPS);
    assert_eq!(world.all("pods").len(), 8);
    world.change("deployments", "a", "web", |found| found["spec"]["paused"] = json!(false));
    world.settle(LOOPS);
    roll_out(&mut world);
    assert!(world.all("pods").iter().all(|pod| pod["spec"]["containers"][0]["image"] == "v2"));
}

#[test]
fn scaling_in_a_rollout_is_shared() {
    let mut world = World::default();
    world.put("deployments", deployment(10, &rolling()));
    world.settle(LOOPS);
    roll_out(&mut world);
    image(&mut world, "v2");
    // 13 pods at most, 8 available at least: 8 old ones and 5 new ones.
    let sizes = |world: &World| {
        let mut sets = world.all("replicasets");
        sets.sort_by_key(|set| created(set));
        sets.iter().map(|set| sets::replicas(set)).collect::<Vec<_>>()
    };
    assert_eq!(sizes(&world), [8, 5]);
    world.change("deployments", "a", "web", |found| found["spec"]["replicas"] = json!(30));
    world.settle(LOOPS);
    // As upstream's example: 38 at most are shared 8:5 by what the sets were last scaled for.
    assert_eq!(sizes(&world).iter().sum::<i64>(), 38);
    roll_out(&mut world);
    assert_eq!(world.all("pods").len(), 30);
}

#[test]
fn stands_still_for_too_long() {
    let mut world = World::default();
    start(&mut world, &rolling());
    assert!(world.deadlines.iter().any(|due| due.as_secs() == 600));
    world.pass(600, LOOPS);
    let found = of(&world);
    let progressing = conditions::find(&found, "Progressing").unwrap();
    assert_eq!(
        (text(progressing, &["status"]), text(progressing, &["reason"])),
        ("False", "ProgressDeadlineExceeded")
    );
    roll_out(&mut world);
    assert!(conditions::holds(&of(&world), "Progressing"));
}

#[test]
fn a_taken_name_is_stepped_around() {
    let mut world = World::default();
    let made = deployment(1, &rolling());
    let hash = crate::pods::template_hash(&made["spec"]["template"], None);
    world.put("replicasets", json!({"metadata": {"name": format!("web-{hash}"), "namespace": "a"}, "spec": {"replicas": 0,
        "selector": {"matchLabels": {"app": "other"}}, "template": {"metadata": {"labels": {"app": "other"}}}}}));
    world.put("deployments", made);
    world.settle(LOOPS);
    assert_eq!(of(&world)["status"]["collisionCount"], 1);
    assert_eq!(world.all("pods").len(), 1);
}
