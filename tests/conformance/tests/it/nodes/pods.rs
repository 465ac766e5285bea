//! Pods as objects that a kubelet answers for: their life, their generation, what changes while they run.

use serde_json::{Value, json};

use super::{ENTRYPOINT, Shared, cluster, holds, idle_pod, is_ready, name, shell_pod};
use crate::life::change;
use crate::rig::unique;

fn labelled(label: &str) -> Value {
    let mut pod = idle_pod();
    pod["metadata"]["labels"] = json!({ "name": "foo", "time": label });
    pod["spec"]["restartPolicy"] = json!("Always");
    pod
}

fn with_label(namespace: &str, label: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods?labelSelector=time%3D{label}")
}

fn count(cluster: &Shared, path: &str) -> usize {
    cluster.get(path)["items"].as_array().unwrap().len()
}

/// `[sig-node] Pods should be submitted and removed [NodeConformance] [Conformance]`
#[test]
fn pods_should_be_submitted_and_removed() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let list = with_label(&namespace, "first");
    assert_eq!(count(&cluster, &list), 0);
    let mut events = cluster.watch(&list);
    let (_, path) = cluster.create(&namespace, &labelled("first"));
    events.until("ADDED", |_| true);
    assert_eq!(count(&cluster, &list), 1);
    cluster.until(&path, is_ready);
    cluster.delete(&format!("{path}?gracePeriodSeconds=30"));
    events.until("MODIFIED", |pod| !pod["metadata"]["deletionTimestamp"].is_null());
    let last = events.until("DELETED", |_| true);
    assert!(!last["metadata"]["deletionTimestamp"].is_null());
    assert_ne!(last["spec"]["terminationGracePeriodSeconds"], 0);
    assert_eq!(count(&cluster, &list), 0);
}

/// `[sig-node] Pods should be updated [NodeConformance] [Conformance]`
#[test]
fn pods_should_be_updated() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = cluster.running(&namespace, &labelled("first"));
    let path = format!("/api/v1/namespaces/{namespace}/pods/{}", name(&pod));
    change(&cluster, &path, |pod| pod["metadata"]["labels"]["time"] = json!("second"));
    assert_eq!(count(&cluster, &with_label(&namespace, "second")), 1);
    assert!(is_ready(&cluster.get(&path)));
}

/// `[sig-node] Pods should allow activeDeadlineSeconds to be updated [NodeConformance] [Conformance]`
#[test]
fn pods_should_allow_active_deadline_seconds_to_be_updated() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = cluster.running(&namespace, &labelled("first"));
    let path = format!("/api/v1/namespaces/{namespace}/pods/{}", name(&pod));
    change(&cluster, &path, |pod| pod["spec"]["activeDeadlineSeconds"] = json!(5));
    let ended = cluster.until(&path, |pod| pod["status"]["phase"] == "Failed");
    assert_eq!(ended["status"]["reason"], "DeadlineExceeded", "{ended}");
}

/// `[sig-node] Pods should delete a collection of pods [Conformance]`
#[test]
fn pods_should_delete_a_collection_of_pods() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    for _ in 0..3 {
        cluster.create(&namespace, &labelled("many"));
    }
    let list = with_label(&namespace, "many");
    cluster.until(&list, |list| list["items"].as_array().unwrap().iter().all(is_ready));
    cluster.delete(&list);
    cluster.until(&list, |list| list["items"].as_array().unwrap().is_empty());
}

/// `[sig-node] Pods should patch a pod status [Conformance]`
#[test]
fn pods_should_patch_a_pod_status() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = cluster.running(&namespace, &labelled("first"));
    let path = format!("/api/v1/namespaces/{namespace}/pods/{}", name(&pod));
    let patched = cluster.strategic(
        &format!("{path}/status"),
        &json!({
            "metadata": { "annotations": { "patched": "true" } },
            "status": { "message": "Patched by e2e test", "reason": "E2E" },
        }),
    );
    assert_eq!(patched["status"]["message"], "Patched by e2e test");
    assert_eq!(patched["status"]["reason"], "E2E");
}

/// `[sig-node] Pods should run through the lifecycle of Pods and PodStatus [Conformance]`
#[test]
fn pods_should_run_through_the_lifecycle_of_pods_and_pod_status() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let list = with_label(&namespace, "life");
    let mut events = cluster.watch(&list);
    let mut pod = labelled("life");
    // A container whose definition changes is started again whatever the policy.
    pod["spec"]["restartPolicy"] = json!("Never");
    let (_, path) = cluster.create(&namespace, &pod);
    events.until("ADDED", |_| true);
    events.until("MODIFIED", is_ready);
    let patch = json!({
        "metadata": { "labels": { "test-pod": "patched" } },
        "spec": { "terminationGracePeriodSeconds": 1, "containers": [{ "name": "main", "image": ENTRYPOINT }] },
    });
    cluster.strategic(&path, &patch);
    let patched = events.until("MODIFIED", |pod| pod["metadata"]["labels"]["test-pod"] == "patched");
    assert_eq!(patched["spec"]["containers"][0]["image"], ENTRYPOINT);
    // It runs on with the new image.
    cluster.until(&path, |pod| {
        let status = &pod["status"]["containerStatuses"][0];
        status["restartCount"] == 1 && status["image"].as_str().unwrap().contains(ENTRYPOINT) && is_ready(pod)
    });
    let mut written = Value::Null;
    let status = format!("{path}/status");
    for _ in 0..20 {
        let mut pod = cluster.get(&path);
        for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
            if condition["type"] == "Ready" {
                condition["status"] = json!("False");
            }
        }
        let answer = cluster.try_put(&status, &pod);
        if answer.code == 200 {
            written = answer.json();
            break;
        }
    }
    assert!(written["status"]["conditions"].is_array(), "the status was never taken");
    assert!(!holds(&written, "Ready"), "{written}");
    cluster.delete(&list);
    events.until("DELETED", |_| true);
}

/// `[sig-node] Pods Extended (pod generation) Pod Generation custom-set generation on new pods and graceful delete
/// [Conformance]`
#[test]
fn pods_extended_pod_generation_pod_generation_custom_set_generation_on_new_pods_and_graceful_delete() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let mut pod = shell_pod("trap '' TERM; sleep 3600");
    pod["metadata"]["generation"] = json!(100);
    let pod = cluster.running(&namespace, &pod);
    assert_eq!(pod["metadata"]["generation"], 1);
    let path = format!("/api/v1/namespaces/{namespace}/pods/{}", name(&pod));
    cluster.delete(&format!("{path}?gracePeriodSeconds=60"));
    assert_eq!(cluster.get(&path)["metadata"]["generation"], 2);
    cluster.delete(&format!("{path}?gracePeriodSeconds=0"));
}

/// `[sig-node] Pods Extended (pod generation) Pod Generation pod generation should start at 1 and increment per
/// update [MinimumKubeletVersion:1.34] [Conformance]`
#[test]
fn pods_extended_pod_generation_pod_generation_pod_generation_should_start_at_1_and_increment_per_update() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let mut pod = idle_pod();
    let mut first = pod["spec"]["containers"][0].clone();
    first["name"] = json!("init");
    first["command"] = json!(["true"]);
    pod["spec"]["initContainers"] = json!([first]);
    let pod = cluster.running(&namespace, &pod);
    assert_eq!(pod["metadata"]["generation"], 1);
    let path = format!("/api/v1/namespaces/{namespace}/pods/{}", name(&pod));
    let mut expected = 1;
    let mut bumps = |what: &str, bump: bool, how: &dyn Fn(&mut Value)| {
        change(&cluster, &path, how);
        expected += i64::from(bump);
        assert_eq!(cluster.get(&path)["metadata"]["generation"], expected, "{what}");
    };
    bumps("nothing", false, &|_| {});
    bumps("tolerations", true, &|pod| {
        let toleration = json!({ "key": "foo", "operator": "Equal", "value": "bar", "effect": "NoSchedule" });
        pod["spec"]["tolerations"].as_array_mut().unwrap().push(toleration);
    });
    bumps("a deadline", true, &|pod| pod["spec"]["activeDeadlineSeconds"] = json!(5000));
    bumps("an image", true, &|pod| pod["spec"]["containers"][0]["image"] = json!(ENTRYPOINT));
    bumps("an init image", true, &|pod| pod["spec"]["initContainers"][0]["image"] = json!(ENTRYPOINT));
    bumps("annotations", false, &|pod| pod["metadata"]["annotations"] = json!({ "key": "value" }));
    bumps("a generation", false, &|pod| pod["metadata"]["generation"] = json!(1));
    cluster.until(&path, |pod| pod["status"]["observedGeneration"] == 5);
}

/// `[sig-node] Pods Extended (pod generation) Pod Generation issue 500 podspec updates and verify generation and
/// observedGeneration eventually converge [MinimumKubeletVersion:1.34] [Conformance]`
#[test]
fn pods_extended_pod_generation_pod_generation_issue_500_podspec_updates_and_verify_generation_and_observed_generation_eventually_converge()
 {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = cluster.running(&namespace, &idle_pod());
    let path = format!("/api/v1/namespaces/{namespace}/pods/{}", name(&pod));
    for left in (0..500).rev() {
        cluster.merge(&path, &json!({ "spec": { "activeDeadlineSeconds": 5000 + left } }));
    }
    let pod = cluster.until(&path, |pod| pod["status"]["observedGeneration"] == 501);
    assert_eq!(pod["metadata"]["generation"], 501);
}

/// `[sig-node] Pods Extended Pods Set QOS Class should be set on Pods with matching resource requests and limits for
/// memory and cpu [Conformance]`
#[test]
fn pods_extended_pods_set_qos_class_should_be_set_on_pods_with_matching_resource_requests_and_limits_for_memory_and_cpu()
 {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let mut pod = idle_pod();
    let amounts = json!({ "cpu": "100m", "memory": "100Mi" });
    pod["spec"]["containers"][0]["resources"] = json!({ "limits": amounts, "requests": amounts });
    let (_, path) = cluster.create(&namespace, &pod);
    assert_eq!(cluster.get(&path)["status"]["qosClass"], "Guaranteed");
}

/// A pod that asks for a class with `more`, on its node.
fn of_class(cluster: &Shared, more: &Value) -> Value {
    let namespace = cluster.namespace();
    let class = unique("class");
    let mut object = json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": { "name": class },
        "handler": "test-handler",
    });
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    cluster.post("/apis/node.k8s.io/v1/runtimeclasses", &object);
    let mut pod = idle_pod();
    pod["spec"]["runtimeClassName"] = json!(class);
    let (_, path) = cluster.create(&namespace, &pod);
    let pod = cluster.until(&path, |pod| holds(pod, "PodScheduled"));
    cluster.delete(&format!("/apis/node.k8s.io/v1/runtimeclasses/{class}"));
    pod
}

/// `[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass without PodOverhead [NodeConformance]
/// [Conformance]`
#[test]
fn runtime_class_should_schedule_a_pod_requesting_a_runtime_class_without_pod_overhead() {
    let pod = of_class(&cluster(), &json!({}));
    assert!(pod["spec"].get("overhead").is_none(), "{pod}");
}

/// `[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass and initialize its Overhead
/// [NodeConformance] [Conformance]`
#[test]
fn runtime_class_should_schedule_a_pod_requesting_a_runtime_class_and_initialize_its_overhead() {
    let overhead = json!({ "cpu": "10m", "memory": "1Mi" });
    let pod = of_class(&cluster(), &json!({ "overhead": { "podFixed": overhead } }));
    assert_eq!(pod["spec"]["overhead"], overhead);
}
