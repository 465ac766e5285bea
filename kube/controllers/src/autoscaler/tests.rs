use serde_json::{Value, json};

use super::*;
use crate::object::time_text;
use crate::sim::World;

const LOOPS: &[Loop] = &[LOOP];
const PATH: &str = "/apis/metrics.k8s.io/v1beta1/namespaces/a/pods?labelSelector=app%3Dweb";

fn world(replicas: i64, more: &[(&str, Value)]) -> World {
    let mut world = World::default();
    world.put(
        "deployments",
        json!({"metadata": {"name": "web", "namespace": "a"}, "spec": {"replicas": replicas}}),
    );
    let mut spec = json!({"minReplicas": 1, "maxReplicas": 10,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]});
    for (member, value) in more {
        spec[*member] = value.clone();
    }
    use_cpu(&mut world, replicas, 50);
    world.put(
        "horizontalpodautoscalers",
        json!({"metadata": {"name": "web", "namespace": "a", "generation": 1}, "spec": spec}),
    );
    world
}

/// So many pods run, each of which uses so much of the 100m that it requests.
fn use_cpu(world: &mut World, pods: i64, each: i64) {
    let start = time_text(world.now - 3600);
    let (mut all, timestamp) = (Vec::new(), time_text(world.now));
    for at in 0..pods {
        let called = format!("web-{at}");
        world.put(
            "pods",
            json!({"metadata": {"name": called, "namespace": "a", "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}]},
            "status": {"phase": "Running", "startTime": start,
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": start}]}}),
        );
        all.push(json!({"metadata": {"name": called}, "timestamp": timestamp, "window": "15s",
            "containers": [{"name": "c", "usage": {"cpu": format!("{each}m")}}]}));
    }
    world.answers.insert(PATH.to_owned(), json!({"items": all}));
    world.answers.insert(
        "deployments/web/scale".to_owned(),
        json!({
        "metadata": {"name": "web", "namespace": "a"},
        "spec": {"replicas": pods}, "status": {"replicas": pods, "selector": "app=web"}}),
    );
}

/// One look; the size that the target is told to have.
fn look(world: &mut World, seconds: i64) -> i64 {
    world.pass(seconds, LOOPS);
    let deployment = world.get("deployments", "a", "web").unwrap();
    number(&deployment, &["spec", "replicas"]).unwrap()
}

fn reason(world: &World, kind: &str) -> String {
    let hpa = world.get("horizontalpodautoscalers", "a", "web").unwrap();
    conditions::find(&hpa, kind).map(|found| text(found, &["reason"]).to_owned()).unwrap_or_default()
}

#[test]
fn up_with_load_and_down_later() {
    let mut world = world(2, &[]);
    world.settle(LOOPS);
    assert_eq!(world.deadlines[0].as_secs(), 15);
    assert_eq!(
        (reason(&world, "AbleToScale").as_str(), reason(&world, "ScalingActive").as_str()),
        ("ReadyForNewScale", "ValidMetricFound")
    );
    use_cpu(&mut world, 2, 95);
    assert_eq!(look(&mut world, 15), 4);
    assert_eq!(
        world.events.last().unwrap(),
        "SuccessfulRescale: New size: 4; reason: cpu resource utilization (percentage of request) above target"
    );
    let status = world.get("horizontalpodautoscalers", "a", "web").unwrap()["status"].clone();
    assert_eq!((&status["desiredReplicas"], &status["currentReplicas"]), (&json!(4), &json!(2)));
    assert_eq!(
        status["currentMetrics"][0]["resource"]["current"],
        json!({"averageUtilization": 95, "averageValue": "95m"})
    );
    assert_eq!(reason(&world, "AbleToScale"), "SucceededRescale");
    // Less is not believed until it has stood for five minutes.
    use_cpu(&mut world, 4, 10);
    assert_eq!(look(&mut world, 15), 4);
    assert_eq!(reason(&world, "AbleToScale"), "ScaleDownStabilized");
    for _ in 0..20 {
        use_cpu(&mut world, 4, 10);
        look(&mut world, 15);
    }
    assert_eq!(look(&mut world, 15), 1);
}

#[test]
fn within_its_limits() {
    let mut world = world(2, &[("maxReplicas", json!(3))]);
    use_cpu(&mut world, 2, 1000);
    assert_eq!(look(&mut world, 0), 3);
    assert_eq!(reason(&world, "ScalingLimited"), "TooManyReplicas");
    let mut world = self::world(20, &[]);
    assert_eq!(look(&mut world, 0), 10);
    assert_eq!(
        world.events.last().unwrap(),
        "SuccessfulRescale: New size: 10; reason: Current number of replicas above Spec.MaxReplicas"
    );
    let mut world = self::world(2, &[]);
    use_cpu(&mut world, 2, 54);
    assert_eq!(look(&mut world, 0), 2);
    let mut world = self::world(0, &[]);
    assert_eq!(look(&mut world, 0), 0);
    assert_eq!(reason(&world, "ScalingActive"), "ScalingDisabled");
}

#[test]
fn not_faster_than_its_rules() {
    let up = json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]});
    let down = json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}]});
    let mut world = world(2, &[("behavior", json!({"scaleUp": up, "scaleDown": down}))]);
    use_cpu(&mut world, 2, 500);
    assert_eq!(look(&mut world, 0), 3);
    assert_eq!(reason(&world, "ScalingLimited"), "ScaleUpLimit");
    use_cpu(&mut world, 3, 500);
    assert_eq!(look(&mut world, 15), 3);
    use_cpu(&mut world, 3, 500);
    assert_eq!(look(&mut world, 45), 4);
    world.now += 120;
    use_cpu(&mut world, 4, 1);
    assert_eq!(look(&mut world, 0), 2);
    assert_eq!(reason(&world, "ScalingLimited"), "ScaleDownLimit");
}

#[test]
fn pods_that_say_nothing_make_it_careful() {
    let mut world = world(4, &[]);
    use_cpu(&mut world, 4, 100);
    // Half of them have no metrics: up by what the others use, as if these used nothing.
    let some = world.answers[PATH]["items"].as_array().unwrap()[..2].to_vec();
    world.answers.insert(PATH.to_owned(), json!({"items": some}));
    assert_eq!(look(&mut world, 0), 4);
    world.answers.insert(PATH.to_owned(), json!({"items": []}));
    look(&mut world, 15);
    assert_eq!(reason(&world, "ScalingActive"), "FailedGetResourceMetric");
    assert!(world.events.iter().any(|event| event == "FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error is: failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API"), "{:?}", world.events);
}

#[test]
fn other_metrics() {
    let external = json!([{"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "10"}}}]);
    let mut world = world(2, &[("metrics", external)]);
    world.answers.insert(
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/a/queue?labelSelector=".to_owned(),
        json!({"items": [{"value": "25"}, {"value": "12500m"}]}),
    );
    assert_eq!(look(&mut world, 0), 4);
    let pods = json!([{"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "100"}}}]);
    let mut world = self::world(2, &[("metrics", pods)]);
    let of = |pod: &str| json!({"describedObject": {"name": pod}, "value": "150"});
    world.answers.insert(
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/a/pods/*/rps?labelSelector=app%3Dweb&metricLabelSelector=".to_owned(),
        json!({"items": [of("web-0"), of("web-1")]}),
    );
    assert_eq!(look(&mut world, 0), 3);
}

#[test]
fn a_target_that_cannot_be_read() {
    let mut world = world(2, &[]);
    world.answers.remove("deployments/web/scale");
    world.settle(LOOPS);
    assert_eq!(reason(&world, "AbleToScale"), "FailedGetScale");
}
