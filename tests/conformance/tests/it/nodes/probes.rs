//! Containers that are asked how they are.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Shared, cluster, is_ready, name, peer, shell_pod};
use crate::rig::unique;

/// How long a container must go on to count as left alone: many times what a probe waits.
const WATCHED: Duration = Duration::from_secs(12);

/// A web server that has `/healthz` for a few seconds, and `/` for ever.
const FAILING: &str = "mkdir /srv; echo ok > /srv/healthz; echo here > /srv/index.html; \
     httpd -f -p 8080 -h /srv & sleep 3; rm /srv/healthz; wait";
/// A file that is there for a few seconds.
const FLEETING: &str = "echo ok > /tmp/health; sleep 3; rm /tmp/health; sleep 3600";
const LASTING: &str = "echo ok > /tmp/health; sleep 3600";

fn pod(line: &str, kind: &str, probe: Value) -> Value {
    let mut pod = shell_pod(line);
    pod["spec"]["restartPolicy"] = json!("Always");
    pod["spec"]["terminationGracePeriodSeconds"] = json!(0);
    pod["spec"]["containers"][0][kind] = probe;
    pod
}

/// A probe that judges by one failure and asks every second.
fn probe(action: Value) -> Value {
    let mut probe =
        json!({ "initialDelaySeconds": 4, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 1 });
    let members = action.as_object().unwrap().clone();
    probe.as_object_mut().unwrap().extend(members);
    probe
}

fn restarts(pod: &Value) -> u64 {
    pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(0)
}

/// The container is started again so often, each time one more.
fn is_restarted(pod: &Value, times: u64) {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let (_, path) = cluster.create(&namespace, pod);
    for count in 1..=times {
        let found = cluster.until(&path, |pod| restarts(pod) >= count);
        assert_eq!(restarts(&found), count, "{found}");
    }
}

/// The pod as it is after a while in which `holds` was always true of it.
#[track_caller]
fn always(cluster: &Shared, pod: &Value, holds: impl Fn(&Value) -> bool) {
    let (namespace, pod) = (pod["metadata"]["namespace"].as_str().unwrap(), name(pod));
    let path = format!("/api/v1/namespaces/{namespace}/pods?fieldSelector=metadata.name={pod}");
    let mut events = cluster.watch(&path);
    let until = Instant::now() + WATCHED;
    let mut seen = false;
    while let Some(event) = events.next_within(until.saturating_duration_since(Instant::now())) {
        let event = event.expect("the watch goes on");
        assert!(event["type"] == "BOOKMARK" || holds(&event["object"]), "{event}");
        seen = true;
    }
    assert!(seen, "there is no such pod");
}

fn is_left_alone(pod: &Value) {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let running = cluster.running(&namespace, pod);
    always(&cluster, &running, |pod| restarts(pod) == 0);
}

/// `[sig-node] Probing container should be restarted with a exec "cat /tmp/health" liveness probe [NodeConformance]
/// [Conformance]`
#[test]
fn probing_container_should_be_restarted_with_a_exec_cat_tmp_health_liveness_probe() {
    let action = json!({ "exec": { "command": ["cat", "/tmp/health"] } });
    is_restarted(&pod(FLEETING, "livenessProbe", probe(action)), 1);
}

/// `[sig-node] Probing container should *not* be restarted with a exec "cat /tmp/health" liveness probe
/// [NodeConformance] [Conformance]`
#[test]
fn probing_container_should_not_be_restarted_with_a_exec_cat_tmp_health_liveness_probe() {
    let action = json!({ "exec": { "command": ["cat", "/tmp/health"] } });
    is_left_alone(&pod(LASTING, "livenessProbe", probe(action)));
}

/// `[sig-node] Probing container should be restarted with a /healthz http liveness probe [NodeConformance]
/// [Conformance]`
#[test]
fn probing_container_should_be_restarted_with_a_healthz_http_liveness_probe() {
    let action = json!({ "httpGet": { "path": "/healthz", "port": 8080 } });
    is_restarted(&pod(FAILING, "livenessProbe", probe(action)), 1);
}

/// `[sig-node] Probing container should have monotonically increasing restart count [NodeConformance] [Conformance]`
#[test]
fn probing_container_should_have_monotonically_increasing_restart_count() {
    let action = json!({ "httpGet": { "path": "/healthz", "port": 8080 } });
    is_restarted(&pod(FAILING, "livenessProbe", probe(action)), 3);
}

/// `[sig-node] Probing container should *not* be restarted with a tcp:8080 liveness probe [NodeConformance]
/// [Conformance]`
#[test]
fn probing_container_should_not_be_restarted_with_a_tcp_8080_liveness_probe() {
    is_left_alone(&pod(FAILING, "livenessProbe", probe(json!({ "tcpSocket": { "port": 8080 } }))));
}

/// `[sig-node] Probing container should *not* be restarted with a /healthz http liveness probe [NodeConformance]
/// [Conformance]`
#[test]
fn probing_container_should_not_be_restarted_with_a_healthz_http_liveness_probe() {
    let action = json!({ "httpGet": { "path": "/", "port": 8080 } });
    is_left_alone(&pod(FAILING, "livenessProbe", probe(action)));
}

/// `[sig-node] Probing container with readiness probe should not be ready before initial delay and never restart
/// [NodeConformance] [Conformance]`
#[test]
fn probing_container_with_readiness_probe_should_not_be_ready_before_initial_delay_and_never_restart() {
    const DELAY: i64 = 6;
    let cluster = cluster();
    let namespace = cluster.namespace();
    let mut asked = probe(json!({ "httpGet": { "path": "/", "port": 8080 } }));
    asked["initialDelaySeconds"] = json!(DELAY);
    let pod = cluster.running(&namespace, &pod(FAILING, "readinessProbe", asked));
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready").unwrap();
    let started = &pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"];
    let took = seconds(&ready["lastTransitionTime"]) - seconds(started);
    assert!(took >= DELAY, "ready after {took} s");
    assert_eq!(restarts(&pod), 0);
}

/// The seconds of a day in a time.
fn seconds(time: &Value) -> i64 {
    let (_, clock) = time.as_str().unwrap().split_once('T').unwrap();
    clock.trim_end_matches('Z').split(':').fold(0, |sum, part| sum * 60 + part.parse::<i64>().unwrap())
}

/// `[sig-node] Probing container with readiness probe that fails should never be ready and never restart
/// [NodeConformance] [Conformance]`
#[test]
fn probing_container_with_readiness_probe_that_fails_should_never_be_ready_and_never_restart() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = pod(LASTING, "readinessProbe", probe(json!({ "exec": { "command": ["false"] } })));
    let (_, path) = cluster.create(&namespace, &pod);
    let running = cluster.until(&path, |pod| pod["status"]["phase"] == "Running");
    always(&cluster, &running, |pod| !is_ready(pod) && restarts(pod) == 0);
}

/// A pod that answers gRPC's health checks: good for so many seconds, or always.
fn health(args: &[&str]) -> Value {
    let mut pod = peer::pod(&unique("pod"), json!({}), &[&["health", "5000"], args].concat());
    pod["spec"]["terminationGracePeriodSeconds"] = json!(0);
    pod["spec"]["containers"][0]["livenessProbe"] = probe(json!({ "grpc": { "port": 5000 } }));
    pod
}

/// `[sig-node] Probing container should *not* be restarted with a GRPC liveness probe [NodeConformance]
/// [Conformance]`
#[test]
fn probing_container_should_not_be_restarted_with_a_grpc_liveness_probe() {
    is_left_alone(&health(&[]));
}

/// `[sig-node] Probing container should be restarted with a GRPC liveness probe [NodeConformance] [Conformance]`
#[test]
fn probing_container_should_be_restarted_with_a_grpc_liveness_probe() {
    is_restarted(&health(&["3"]), 1);
}
