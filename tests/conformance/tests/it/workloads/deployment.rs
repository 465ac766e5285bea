//! `[sig-apps] Deployment`.

use serde_json::{Value, json};

use super::kept::{DEPLOYMENT, Kept, REPLICA_SET, has_status, list, make, make_in, scales};
use super::until;
use crate::faked::{UNREADY, cluster};
use crate::life::change;

const REVISION: &str = "deployment.kubernetes.io/revision";

/// The replica sets beside a deployment.
fn sets(made: &Kept) -> Vec<Value> {
    list(&made.api, &REPLICA_SET.path(&made.namespace))
}

fn image(image: &str) -> Value {
    let container = json!({ "name": "c", "image": image });
    json!({ "spec": { "template": { "spec": { "containers": [container] } } } })
}

/// Waits until all pods are of the template as it is.
#[track_caller]
fn complete(made: &Kept, count: usize) -> Value {
    made.until(|found| {
        let status = &found["status"];
        status["observedGeneration"] == found["metadata"]["generation"]
            && ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|name| status[name] == count)
    })
}

/// [sig-apps] Deployment Deployment should have a working scale subresource [Conformance]
#[test]
fn deployment_should_have_a_working_scale_subresource() {
    scales(&make(DEPLOYMENT, "test-new-deployment", 1, json!({})));
}

/// [sig-apps] Deployment should validate Deployment Status endpoints [Conformance]
#[test]
fn deployment_should_validate_deployment_status_endpoints() {
    has_status(&make(DEPLOYMENT, "test-deployment", 1, json!({})));
}

/// [sig-apps] Deployment RecreateDeployment should delete old pods and create new ones [Conformance]
#[test]
fn recreate_deployment_should_delete_old_pods_and_create_new_ones() {
    let made = make(DEPLOYMENT, "test-recreate-deployment", 1, json!({ "strategy": { "type": "Recreate" } }));
    complete(&made, 1);
    let mut events = made.api.watch(&format!("/api/v1/namespaces/{}/pods", made.namespace));
    made.api.strategic(&made.path, &image("registry.example/new:1"));
    let is_new = |pod: &Value| pod["spec"]["containers"][0]["image"] == "registry.example/new:1";
    // No new pod before the old one has gone or ended.
    let mut old_runs = true;
    loop {
        let (kind, pod) = events.event();
        let ended = matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
        if is_new(&pod) {
            assert!(!old_runs, "{pod:#}");
            break;
        }
        old_runs = old_runs && kind != "DELETED" && !ended;
    }
    complete(&made, 1);
}

/// [sig-apps] Deployment RollingUpdateDeployment should delete old pods and create new ones [Conformance]
#[test]
fn rolling_update_deployment_should_delete_old_pods_and_create_new_ones() {
    let api = cluster();
    let namespace = api.namespace();
    // A replica set that is there is taken over as an old one.
    let labels = json!({ "name": "test-rolling-update-deployment" });
    let mut set = REPLICA_SET.object("test-rolling-update-controller", &labels, 1, json!({}));
    set["metadata"]["annotations"] = json!({ REVISION: "3546342826" });
    api.post(&REPLICA_SET.path(&namespace), &set);
    let path = format!("{}/test-rolling-update-controller", REPLICA_SET.path(&namespace));
    until(&api, &path, |found| found["status"]["readyReplicas"] == 1);
    let mut template = json!({ "metadata": { "labels": labels } });
    template["spec"] = json!({ "containers": [{ "name": "c", "image": "registry.example/new:1" }] });
    let made = make_in(
        api,
        namespace,
        DEPLOYMENT,
        "test-rolling-update-deployment",
        1,
        json!({ "template": template }),
    );
    let done = complete(&made, 1);
    assert_eq!(done["metadata"]["annotations"][REVISION], "3546342827");
    let all = sets(&made);
    assert_eq!(all.len(), 2);
    for set in &all {
        let old = set["metadata"]["name"] == "test-rolling-update-controller";
        assert_eq!(set["spec"]["replicas"], u32::from(!old), "{set:#}");
        assert_eq!(set["metadata"]["ownerReferences"][0]["uid"], done["metadata"]["uid"]);
    }
}

/// [sig-apps] Deployment deployment should delete old replica sets [Conformance]
#[test]
fn deployment_should_delete_old_replica_sets() {
    let made = make(DEPLOYMENT, "test-cleanup-deployment", 1, json!({ "revisionHistoryLimit": 0 }));
    complete(&made, 1);
    made.api.strategic(&made.path, &image("registry.example/new:1"));
    complete(&made, 1);
    until(&made.api, &REPLICA_SET.path(&made.namespace), |list| {
        list["items"].as_array().map(Vec::len) == Some(1)
    });
}

/// [sig-apps] Deployment deployment should support proportional scaling [Conformance]
#[test]
fn deployment_should_support_proportional_scaling() {
    let rolling = json!({ "maxSurge": 3, "maxUnavailable": 2 });
    let more = json!({ "strategy": { "type": "RollingUpdate", "rollingUpdate": rolling } });
    let made = make(DEPLOYMENT, "webserver-deployment", 10, more);
    complete(&made, 10);
    let first = sets(&made)[0]["metadata"]["name"].clone();
    // What is rolled out never gets ready, so that the roll-out stands still.
    let mut patch = image("registry.example/webserver:404");
    patch["spec"]["template"]["metadata"] = json!({ "annotations": { UNREADY: "true" } });
    made.api.strategic(&made.path, &patch);
    let counts = |wanted: [u32; 2]| {
        until(&made.api, &REPLICA_SET.path(&made.namespace), |found| {
            let all = found["items"].as_array().cloned().unwrap_or_default();
            all.len() == 2
                && all.iter().all(|set| {
                    let count = if set["metadata"]["name"] == first { wanted[0] } else { wanted[1] };
                    set["spec"]["replicas"] == count
                })
        });
    };
    counts([8, 5]);
    change(&made.api, &made.path, |object| object["spec"]["replicas"] = json!(30));
    counts([20, 13]);
}

/// [sig-apps] Deployment deployment should support rollover [Conformance]
#[test]
fn deployment_should_support_rollover() {
    let rolling = json!({ "maxSurge": 1, "maxUnavailable": 0 });
    let more =
        json!({ "strategy": { "type": "RollingUpdate", "rollingUpdate": rolling }, "minReadySeconds": 1 });
    let made = make(DEPLOYMENT, "test-rollover-deployment", 1, more);
    complete(&made, 1);
    // The second revision hangs, and the third takes over from both.
    let mut patch = image("registry.example/hangs:1");
    patch["spec"]["template"]["metadata"] = json!({ "annotations": { UNREADY: "true" } });
    made.api.strategic(&made.path, &patch);
    made.until(|found| found["status"]["updatedReplicas"] == 1 && found["status"]["replicas"] == 2);
    let mut patch = image("registry.example/new:1");
    patch["spec"]["template"]["metadata"] = json!({ "annotations": { UNREADY: null } });
    made.api.strategic(&made.path, &patch);
    let done = complete(&made, 1);
    assert_eq!(done["metadata"]["annotations"][REVISION], "3");
    let counts: Vec<u64> = sets(&made).iter().map(|set| set["spec"]["replicas"].as_u64().unwrap()).collect();
    assert_eq!((counts.len(), counts.iter().sum::<u64>()), (3, 1));
}

/// [sig-apps] Deployment should run the lifecycle of a Deployment [Conformance]
#[test]
fn deployment_should_run_the_lifecycle() {
    let api = cluster();
    let namespace = api.namespace();
    let mut events = api.watch(&DEPLOYMENT.path(&namespace));
    let made = make_in(api, namespace, DEPLOYMENT, "test-deployment", 2, json!({}));
    let mine = |object: &Value| object["metadata"]["name"] == "test-deployment";
    events.until("ADDED", mine);
    events.until("MODIFIED", |object| object["status"]["readyReplicas"] == 2);
    let mut patch = image("registry.example/patched:1");
    patch["metadata"] = json!({ "labels": { "test-deployment": "patched" } });
    patch["spec"]["replicas"] = json!(1);
    made.api.strategic(&made.path, &patch);
    events.until("MODIFIED", |object| object["metadata"]["labels"]["test-deployment"] == "patched");
    complete(&made, 1);
    let all = made.api.get("/apis/apps/v1/deployments?labelSelector=test-deployment%3Dpatched");
    assert!(all["items"].as_array().unwrap().iter().any(mine));
    change(&made.api, &made.path, |object| {
        object["metadata"]["labels"]["test-deployment"] = json!("updated");
        object["spec"]["replicas"] = json!(2);
    });
    events.until("MODIFIED", |object| {
        object["metadata"]["labels"]["test-deployment"] == "updated" && object["status"]["readyReplicas"] == 2
    });
    let status = format!("{}/status", made.path);
    made.api.merge(&status, &json!({ "status": { "readyReplicas": 0, "availableReplicas": 0 } }));
    events.until("MODIFIED", |object| object["status"]["readyReplicas"] == 2);
    made.api.get(&status);
    made.api.delete(&format!("{}?labelSelector=test-deployment%3Dupdated", made.all));
    events.until("DELETED", mine);
    made.api.gone(&made.path);
}
