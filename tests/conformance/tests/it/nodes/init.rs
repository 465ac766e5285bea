//! Init containers, and containers that are added to a running pod.

use serde_json::{Value, json};

use super::{Shared, cluster, holds, idle_pod, name, shell_pod};

fn container(name: &str, line: &str) -> Value {
    json!({
        "name": name, "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", line],
    })
}

/// A pod of two init containers and one more.
fn pod(policy: &str, first: &str, second: &str, then: &str) -> Value {
    let mut pod = shell_pod("");
    pod["spec"]["restartPolicy"] = json!(policy);
    pod["spec"]["initContainers"] = json!([container("init1", first), container("init2", second)]);
    pod["spec"]["containers"] = json!([container("run1", then)]);
    pod
}

/// All init containers have ended well.
#[track_caller]
fn initialized(pod: &Value) {
    assert!(holds(pod, "Initialized"), "{pod}");
    let all = pod["status"]["initContainerStatuses"].as_array().unwrap();
    assert_eq!(all.len(), 2, "{pod}");
    for status in all {
        assert_eq!(status["ready"], true, "{pod}");
        assert_eq!(status["state"]["terminated"]["exitCode"], 0, "{pod}");
    }
}

/// `[sig-node] InitContainer [NodeConformance] should invoke init containers on a RestartNever pod [Conformance]`
#[test]
fn init_container_should_invoke_init_containers_on_a_restart_never_pod() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = cluster.run_to_end(&namespace, &pod("Never", "true", "true", "true"));
    assert_eq!(pod["status"]["phase"], "Succeeded", "{pod}");
    initialized(&pod);
}

/// `[sig-node] InitContainer [NodeConformance] should invoke init containers on a RestartAlways pod [Conformance]`
#[test]
fn init_container_should_invoke_init_containers_on_a_restart_always_pod() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = cluster.running(&namespace, &pod("Always", "true", "true", "sleep 3600"));
    assert_eq!(pod["status"]["phase"], "Running", "{pod}");
    initialized(&pod);
}

/// The condition `Initialized` is false as of these containers, and `run1` has not started.
#[track_caller]
fn waits_for(pod: &Value, incomplete: &str) {
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|condition| condition["type"] == "Initialized").unwrap();
    assert_eq!((&found["status"], &found["reason"]), (&json!("False"), &json!("ContainersNotInitialized")));
    assert_eq!(found["message"], format!("containers with incomplete status: {incomplete}"));
    let run = &pod["status"]["containerStatuses"][0];
    assert_eq!(run["state"]["waiting"]["reason"], "PodInitializing", "{pod}");
}

/// `[sig-node] InitContainer [NodeConformance] should not start app containers if init containers fail on a
/// RestartAlways pod [Conformance]`
#[test]
fn init_container_should_not_start_app_containers_if_init_containers_fail_on_a_restart_always_pod() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let (_, path) = cluster.create(&namespace, &pod("Always", "false", "true", "sleep 3600"));
    let pod = cluster
        .until(&path, |pod| pod["status"]["initContainerStatuses"][0]["restartCount"].as_u64() >= Some(3));
    assert_eq!(pod["status"]["phase"], "Pending", "{pod}");
    waits_for(&pod, "[init1 init2]");
    let second = &pod["status"]["initContainerStatuses"][1];
    assert_eq!(second["state"]["waiting"]["reason"], "PodInitializing", "{pod}");
    assert_eq!(second["restartCount"], 0);
}

/// `[sig-node] InitContainer [NodeConformance] should not start app containers and fail the pod if init containers
/// fail on a RestartNever pod [Conformance]`
#[test]
fn init_container_should_not_start_app_containers_and_fail_the_pod_if_init_containers_fail_on_a_restart_never_pod()
 {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = cluster.run_to_end(&namespace, &pod("Never", "true", "false", "true"));
    assert_eq!(pod["status"]["phase"], "Failed", "{pod}");
    waits_for(&pod, "[init2]");
    let status = &pod["status"]["initContainerStatuses"];
    assert_eq!(status[0]["state"]["terminated"]["exitCode"], 0, "{pod}");
    assert_eq!(status[1]["state"]["terminated"]["exitCode"], 1, "{pod}");
}

/// Adds an ephemeral container that says `polo` and goes on.
fn debug(cluster: &Shared, path: &str, name: &str) {
    let mut added = container(name, "while true; do echo polo; sleep 1; done");
    added["stdin"] = json!(true);
    added["tty"] = json!(true);
    cluster.strategic(
        &format!("{path}/ephemeralcontainers"),
        &json!({ "spec": { "ephemeralContainers": [added] } }),
    );
    cluster.until(path, |pod| {
        let all = pod["status"]["ephemeralContainerStatuses"].as_array();
        let of = all.into_iter().flatten().find(|status| status["name"] == name);
        of.is_some_and(|status| status["state"].get("running").is_some())
    });
}

/// `[sig-node] Ephemeral Containers [NodeConformance] will start an ephemeral container in an existing pod
/// [Conformance]`
#[test]
fn ephemeral_containers_will_start_an_ephemeral_container_in_an_existing_pod() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = cluster.running(&namespace, &idle_pod());
    debug(&cluster, &format!("/api/v1/namespaces/{namespace}/pods/{}", name(&pod)), "debugger");
    let met = testkit::wait_until(super::PATIENCE, || {
        cluster.logs(&namespace, name(&pod), "debugger").contains("polo")
    });
    assert!(met);
}

/// `[sig-node] Ephemeral Containers [NodeConformance] should update the ephemeral containers in an existing pod
/// [Conformance]`
#[test]
fn ephemeral_containers_should_update_the_ephemeral_containers_in_an_existing_pod() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = cluster.running(&namespace, &idle_pod());
    let path = format!("/api/v1/namespaces/{namespace}/pods/{}", name(&pod));
    debug(&cluster, &path, "debugger");
    // By an update of the whole, with one more.
    let mut whole = cluster.get(&path);
    whole["spec"]["ephemeralContainers"].as_array_mut().unwrap().push(container("second", "sleep 3600"));
    let updated = cluster.put(&format!("{path}/ephemeralcontainers"), &whole);
    assert_eq!(updated["spec"]["ephemeralContainers"].as_array().unwrap().len(), 2);
    cluster.until(&path, |pod| {
        let all = pod["status"]["ephemeralContainerStatuses"].as_array();
        all.is_some_and(|all| {
            all.len() == 2 && all.iter().all(|status| status["state"].get("running").is_some())
        })
    });
}
