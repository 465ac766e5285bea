use serde_json::{Value, json};

use super::*;
use crate::object::time_text;
use crate::sim::World;

const LOOPS: &[Loop] = &[LOOP, crate::garbage::LOOP];

fn set_of(replicas: i64, more: &[(&str, Value)]) -> Value {
    let mut spec = json!({
        "replicas": replicas, "serviceName": "svc", "selector": {"matchLabels": {"app": "db"}},
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": "v1"}]}},
    });
    for (member, value) in more {
        spec[*member] = value.clone();
    }
    json!({"metadata": {"name": "db", "namespace": "a", "generation": 1}, "spec": spec})
}

fn world(replicas: i64, more: &[(&str, Value)]) -> World {
    let mut world = World::default();
    world.put("statefulsets", set_of(replicas, more));
    world.settle(LOOPS);
    world
}

/// The pods in short: `db-0:r db-1`.
fn show(world: &World) -> String {
    let pods = world.all("pods");
    let one =
        |pod: &Arc<Value>| format!("{}{}", name(pod), if is_running_and_ready(pod) { ":r" } else { "" });
    pods.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// The node's part for one pod.
fn ready(world: &mut World, pod: &str) {
    let since = time_text(world.now);
    world.change("pods", "a", pod, |pod| {
        pod["status"] = json!({"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": since}]});
    });
    world.settle(LOOPS);
}

/// All pods become ready until nothing moves any more; the most that were gone at once.
fn run(world: &mut World, size: usize) -> usize {
    let mut most = 0;
    for _ in 0..100 {
        let pods = world.all("pods");
        let Some(next) = pods.iter().find(|pod| !is_running_and_ready(pod)) else { return most };
        let there = pods.iter().filter(|pod| is_running_and_ready(pod)).count();
        most = most.max(size.saturating_sub(there));
        ready(world, name(next));
    }
    panic!("it does not end: {}", show(world));
}

fn image(world: &mut World, image: &str) {
    world.change("statefulsets", "a", "db", |set| {
        set["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
    });
    world.settle(LOOPS);
}

fn images(world: &World) -> Vec<String> {
    let of = |pod: &Arc<Value>| text(&pod["spec"]["containers"][0], &["image"]).to_owned();
    world.all("pods").iter().map(of).collect()
}

fn status(world: &World) -> Value {
    world.get("statefulsets", "a", "db").unwrap()["status"].clone()
}

#[test]
fn one_after_the_other() {
    let mut world = world(3, &[]);
    assert_eq!(show(&world), "db-0");
    ready(&mut world, "db-0");
    assert_eq!(show(&world), "db-0:r db-1");
    ready(&mut world, "db-1");
    ready(&mut world, "db-2");
    assert_eq!(show(&world), "db-0:r db-1:r db-2:r");
    let pod = world.get("pods", "a", "db-1").unwrap();
    let revision = text(&status(&world), &["updateRevision"]).to_owned();
    assert_eq!(
        pod["metadata"]["labels"],
        json!({"app": "db", "controller-revision-hash": revision,
            "statefulset.kubernetes.io/pod-name": "db-1", "apps.kubernetes.io/pod-index": "1"})
    );
    assert_eq!((text(&pod, &["spec", "hostname"]), text(&pod, &["spec", "subdomain"])), ("db-1", "svc"));
    assert_eq!(
        status(&world),
        json!({"observedGeneration": 1, "replicas": 3, "readyReplicas": 3, "availableReplicas": 3,
            "currentReplicas": 3, "updatedReplicas": 3, "collisionCount": 0,
            "currentRevision": revision, "updateRevision": revision})
    );
    let made = |at| format!("SuccessfulCreate: create Pod db-{at} in StatefulSet db successful");
    assert_eq!(world.events, [made(0), made(1), made(2)]);
    // Down from the top, and not as long as one is unhealthy.
    world.change("pods", "a", "db-0", |pod| pod["status"]["conditions"][0]["status"] = json!("False"));
    world.change("statefulsets", "a", "db", |set| set["spec"]["replicas"] = json!(1));
    world.settle(LOOPS);
    assert_eq!(show(&world), "db-0 db-1:r db-2:r");
    ready(&mut world, "db-0");
    assert_eq!(show(&world), "db-0:r");
}

#[test]
fn in_parallel() {
    let mut world =
        world(3, &[("podManagementPolicy", json!("Parallel")), ("ordinals", json!({"start": 5}))]);
    assert_eq!(show(&world), "db-5 db-6 db-7");
    world.change("statefulsets", "a", "db", |set| set["spec"]["replicas"] = json!(1));
    world.settle(LOOPS);
    assert_eq!(show(&world), "db-5");
}

#[test]
fn what_failed_is_made_again() {
    let mut world = world(1, &[]);
    let before = crate::object::uid(&world.get("pods", "a", "db-0").unwrap()).to_owned();
    world.change("pods", "a", "db-0", |pod| pod["status"] = json!({"phase": "Failed"}));
    world.settle(LOOPS);
    assert_ne!(crate::object::uid(&world.get("pods", "a", "db-0").unwrap()), before);
}

#[test]
fn rolls_from_the_top_and_back() {
    let mut world = world(3, &[]);
    run(&mut world, 3);
    image(&mut world, "v2");
    assert_eq!(show(&world), "db-0:r db-1:r db-2");
    let halfway = status(&world);
    assert_ne!(halfway["currentRevision"], halfway["updateRevision"]);
    assert_eq!((&halfway["currentReplicas"], &halfway["updatedReplicas"]), (&json!(2), &json!(1)));
    assert_eq!(run(&mut world, 3), 1);
    assert_eq!(images(&world), ["v2", "v2", "v2"]);
    let done = status(&world);
    assert_eq!(done["currentRevision"], done["updateRevision"]);
    // Back: the old revision is the newest again.
    image(&mut world, "v1");
    run(&mut world, 3);
    let revisions = world.all("controllerrevisions");
    assert_eq!(revisions.len(), 2);
    let newest = revisions.iter().max_by_key(|found| number(found, &["revision"])).unwrap();
    assert_eq!(
        (name(newest), number(newest, &["revision"])),
        (text(&status(&world), &["updateRevision"]), Some(3))
    );
    assert_eq!(newest["data"]["spec"]["template"]["$patch"], "replace");
}

#[test]
fn a_partition_holds_back() {
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}});
    let mut world = world(3, &[("updateStrategy", rolling)]);
    run(&mut world, 3);
    image(&mut world, "v2");
    run(&mut world, 3);
    assert_eq!(images(&world), ["v1", "v1", "v2"]);
    // What is below the partition comes back as it was.
    world.remove("pods", "a", "db-0");
    world.settle(LOOPS);
    run(&mut world, 3);
    assert_eq!(images(&world), ["v1", "v1", "v2"]);
    world.change("statefulsets", "a", "db", |set| {
        set["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = json!(0);
    });
    world.settle(LOOPS);
    run(&mut world, 3);
    assert_eq!(images(&world), ["v2", "v2", "v2"]);
}

#[test]
fn several_at_once_and_none_by_itself() {
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 2}});
    let mut world = world(4, &[("updateStrategy", rolling), ("podManagementPolicy", json!("Parallel"))]);
    run(&mut world, 4);
    image(&mut world, "v2");
    assert_eq!(show(&world), "db-0:r db-1:r db-2 db-3");
    run(&mut world, 4);
    assert_eq!(images(&world), ["v2"; 4]);
    world.change("statefulsets", "a", "db", |set| {
        set["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    });
    image(&mut world, "v3");
    assert_eq!(images(&world), ["v2"; 4]);
    world.remove("pods", "a", "db-2");
    world.settle(LOOPS);
    assert_eq!(images(&world), ["v2", "v2", "v3", "v2"]);
}

fn claims(world: &World) -> Vec<String> {
    world.all("persistentvolumeclaims").iter().map(|claim| name(claim).to_owned()).collect()
}

fn with_claims(scaled: &str, deleted: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("podManagementPolicy", json!("Parallel")),
        (
            "volumeClaimTemplates",
            json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]),
        ),
        ("persistentVolumeClaimRetentionPolicy", json!({"whenScaled": scaled, "whenDeleted": deleted})),
    ]
}

#[test]
fn claims_stay() {
    let mut world = world(2, &with_claims("Retain", "Retain"));
    assert_eq!(claims(&world), ["data-db-0", "data-db-1"]);
    let pod = world.get("pods", "a", "db-0").unwrap();
    assert_eq!(
        pod["spec"]["volumes"],
        json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}])
    );
    assert_eq!(
        world.get("persistentvolumeclaims", "a", "data-db-0").unwrap()["metadata"]["labels"]["app"],
        "db"
    );
    assert!(
        world.events.contains(
            &"SuccessfulCreate: create Claim data-db-0 Pod db-0 in StatefulSet db success".to_owned()
        )
    );
    world.change("statefulsets", "a", "db", |set| set["spec"]["replicas"] = json!(0));
    world.settle(LOOPS);
    assert_eq!((show(&world).as_str(), claims(&world).len()), ("", 2));
}

#[test]
fn claims_go_with_their_pod_or_set() {
    let mut world = world(2, &with_claims("Delete", "Delete"));
    let owner = |world: &World, at: usize| {
        let claim = world.get("persistentvolumeclaims", "a", &format!("data-db-{at}")).unwrap();
        text(&claim["metadata"]["ownerReferences"][0], &["kind"]).to_owned()
    };
    assert_eq!((owner(&world, 0), owner(&world, 1)), ("StatefulSet".to_owned(), "StatefulSet".to_owned()));
    world.change("statefulsets", "a", "db", |set| set["spec"]["replicas"] = json!(1));
    world.settle(LOOPS);
    assert_eq!(claims(&world), ["data-db-0"]);
    world.user_deletes("statefulsets", "a", "db", "Background");
    world.settle(LOOPS);
    assert_eq!((show(&world).as_str(), claims(&world).len()), ("", 0));
}

#[test]
fn a_claim_on_its_way_out_is_waited_for() {
    let mut world = World::default();
    world.put(
        "persistentvolumeclaims",
        json!({"metadata": {"name": "data-db-0", "namespace": "a", "finalizers": ["x"],
            "deletionTimestamp": time_text(world.now)}}),
    );
    world.put("statefulsets", set_of(1, &with_claims("Retain", "Retain")));
    world.settle(LOOPS);
    assert_eq!(show(&world), "");
    world.change("persistentvolumeclaims", "a", "data-db-0", |claim| {
        claim["metadata"]["finalizers"] = json!([]);
    });
    world.settle(LOOPS);
    assert_eq!((show(&world).as_str(), claims(&world).len()), ("db-0", 1));
}

#[test]
fn availability_comes_with_time() {
    let mut world = world(2, &[("minReadySeconds", json!(10))]);
    ready(&mut world, "db-0");
    assert_eq!(show(&world), "db-0:r");
    assert!(world.deadlines.iter().any(|due| due.as_secs() == 10));
    world.pass(10, LOOPS);
    assert_eq!(show(&world), "db-0:r db-1");
}

#[test]
fn labels_are_given_back_and_strangers_left_alone() {
    let mut world = world(1, &[]);
    ready(&mut world, "db-0");
    world.put("pods", json!({"metadata": {"name": "other-0", "namespace": "a", "labels": {"app": "db"}}}));
    world.change("pods", "a", "db-0", |pod| {
        crate::object::remove(pod, &["metadata", "labels", "apps.kubernetes.io/pod-index"]);
    });
    world.settle(LOOPS);
    let labels = world.get("pods", "a", "db-0").unwrap()["metadata"]["labels"].clone();
    assert_eq!(labels["apps.kubernetes.io/pod-index"], "0");
    assert!(crate::object::owners(&world.get("pods", "a", "other-0").unwrap()).is_empty());
}
