//! Resource quotas: what is counted, when, and what is refused.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::rig::{JSON_PATCH, MERGE_PATCH, Rig, rig, wait_for};

struct Space {
    rig: Arc<Rig>,
    path: String,
}

impl Space {
    fn new() -> Self {
        let rig = rig();
        let path = format!("/api/v1/namespaces/{}", rig.namespace());
        // What publishes the root's certificates has done so: config maps are counted.
        wait_for("kube-root-ca.crt", || rig.get(&format!("{path}/configmaps/kube-root-ca.crt")).code == 200);
        Self { rig, path }
    }

    fn at(&self, rest: &str) -> String {
        format!("{}/{rest}", self.path)
    }

    fn apps(&self, rest: &str) -> String {
        self.at(rest).replacen("/api/v1", "/apis/apps/v1", 1)
    }

    fn quota(&self, name: &str, hard: Value, scopes: &[&str]) -> Value {
        let object = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name},
            "spec": {"hard": hard, "scopes": scopes}});
        self.rig.create(&self.at("resourcequotas"), &object).ok()
    }

    /// Waits until the quota says that so much of a resource is used.
    #[track_caller]
    fn used(&self, quota: &str, resource: &str, amount: &str) {
        let path = self.at(&format!("resourcequotas/{quota}"));
        wait_for(&format!("{amount} {resource} in {quota}"), || {
            self.rig.get(&path).ok()["status"]["used"][resource] == amount
        });
    }

    fn gone(&self, path: &str) {
        self.rig.delete_with(path, &json!({"gracePeriodSeconds": 0})).ok();
        wait_for("its end", || self.rig.get(path).code == 404);
    }
}

/// [sig-api-machinery] ResourceQuota should create a ResourceQuota and ensure its status is promptly calculated. [Conformance]
#[test]
fn resource_quota_should_create_a_resource_quota_and_ensure_its_status_is_promptly_calculated() {
    let space = Space::new();
    space.quota("test-quota", json!({"resourcequotas": "1", "pods": "5"}), &[]);
    space.used("test-quota", "resourcequotas", "1");
    space.used("test-quota", "pods", "0");
}

/// [sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a service. [Conformance]
#[test]
fn resource_quota_should_create_a_resource_quota_and_capture_the_life_of_a_service() {
    let space = Space::new();
    let hard = json!({"services": "3", "services.nodeports": "1", "services.loadbalancers": "1"});
    space.quota("test-quota", hard, &[]);
    space.used("test-quota", "services", "0");
    let service = |name: &str, kind: &str| {
        let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"type": kind, "ports": [{"port": 80, "targetPort": 80}]}});
        space.rig.create(&space.at("services"), &object)
    };
    service("one", "ClusterIP").ok();
    service("two", "NodePort").ok();
    service("three", "LoadBalancer").refused(403);
    space.used("test-quota", "services", "2");
    space.used("test-quota", "services.nodeports", "1");
    space.used("test-quota", "services.loadbalancers", "0");
    space.gone(&space.at("services/one"));
    space.gone(&space.at("services/two"));
    space.used("test-quota", "services", "0");
    space.used("test-quota", "services.nodeports", "0");
}

/// [sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a secret. [Conformance]
#[test]
fn resource_quota_should_create_a_resource_quota_and_capture_the_life_of_a_secret() {
    let space = Space::new();
    space.quota("test-quota", json!({"secrets": "1"}), &[]);
    space.used("test-quota", "secrets", "0");
    let secret = |name: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
    space.rig.create(&space.at("secrets"), &secret("one")).ok();
    space.used("test-quota", "secrets", "1");
    space.rig.create(&space.at("secrets"), &secret("two")).refused(403);
    space.gone(&space.at("secrets/one"));
    space.used("test-quota", "secrets", "0");
}

/// [sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a configMap. [Conformance]
#[test]
fn resource_quota_should_create_a_resource_quota_and_capture_the_life_of_a_config_map() {
    let space = Space::new();
    space.quota("test-quota", json!({"configmaps": "2"}), &[]);
    space.used("test-quota", "configmaps", "1");
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}});
    space.rig.create(&space.at("configmaps"), &map).ok();
    space.used("test-quota", "configmaps", "2");
    space.gone(&space.at("configmaps/one"));
    space.used("test-quota", "configmaps", "1");
}

fn pod(name: &str, cpu: &str, memory: &str) -> Value {
    let amounts = json!({"cpu": cpu, "memory": memory, "ephemeral-storage": "30Gi",
        "example.com/dongle": "2"});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "pause", "image": "pause", "resources": {
            "requests": amounts, "limits": {"example.com/dongle": "2"}}}]}})
}

/// [sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a pod. [Conformance]
#[test]
fn resource_quota_should_create_a_resource_quota_and_capture_the_life_of_a_pod() {
    let space = Space::new();
    let hard = json!({"pods": "5", "cpu": "1", "memory": "500Mi", "ephemeral-storage": "50Gi",
        "requests.example.com/dongle": "3"});
    space.quota("test-quota", hard, &[]);
    space.used("test-quota", "pods", "0");
    let pods = space.at("pods");
    space.rig.create(&pods, &pod("test-pod", "500m", "252Mi")).ok();
    for (resource, amount) in [
        ("pods", "1"),
        ("cpu", "500m"),
        ("memory", "252Mi"),
        ("ephemeral-storage", "30Gi"),
        ("requests.example.com/dongle", "2"),
    ] {
        space.used("test-quota", resource, amount);
    }
    space.rig.create(&pods, &pod("fail-pod", "600m", "100Mi")).refused(403);
    space.rig.create(&pods, &pod("fail-pod-for-extended-resource", "10m", "1Mi")).refused(403);
    // Labels may change, and what is counted not.
    let path = space.at("pods/test-pod");
    space.rig.patch(&path, MERGE_PATCH, &json!({"metadata": {"labels": {"changed": "yes"}}})).ok();
    let requests = json!([{"op": "replace",
        "path": "/spec/containers/0/resources/requests/cpu", "value": "100m"}]);
    space.rig.patch(&path, JSON_PATCH, &requests).refused(422);
    space.used("test-quota", "cpu", "500m");
    space.gone(&path);
    space.used("test-quota", "pods", "0");
    space.used("test-quota", "memory", "0");
}

/// [sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a replication controller. [Conformance]
#[test]
fn resource_quota_should_create_a_resource_quota_and_capture_the_life_of_a_replication_controller() {
    let space = Space::new();
    space.quota("test-quota", json!({"replicationcontrollers": "1"}), &[]);
    space.used("test-quota", "replicationcontrollers", "0");
    let object = json!({"apiVersion": "v1", "kind": "ReplicationController",
        "metadata": {"name": "test-rc"}, "spec": {"replicas": 0, "selector": {"name": "test-rc"},
        "template": {"metadata": {"labels": {"name": "test-rc"}},
            "spec": {"containers": [{"name": "test-rc", "image": "pause"}]}}}});
    space.rig.create(&space.at("replicationcontrollers"), &object).ok();
    space.used("test-quota", "replicationcontrollers", "1");
    // Its pods would not be ended with it.
    let path = space.at("replicationcontrollers/test-rc");
    space.rig.delete_with(&path, &json!({"propagationPolicy": "Background"})).ok();
    space.used("test-quota", "replicationcontrollers", "0");
}

/// [sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a replica set. [Conformance]
#[test]
fn resource_quota_should_create_a_resource_quota_and_capture_the_life_of_a_replica_set() {
    let space = Space::new();
    space.quota("test-quota", json!({"count/replicasets.apps": "1"}), &[]);
    space.used("test-quota", "count/replicasets.apps", "0");
    let object = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": "test-rs"}, "spec": {"replicas": 0,
        "selector": {"matchLabels": {"name": "test-rs"}},
        "template": {"metadata": {"labels": {"name": "test-rs"}},
            "spec": {"containers": [{"name": "test-rs", "image": "pause"}]}}}});
    space.rig.create(&space.apps("replicasets"), &object).ok();
    space.used("test-quota", "count/replicasets.apps", "1");
    space.gone(&space.apps("replicasets/test-rs"));
    space.used("test-quota", "count/replicasets.apps", "0");
}

/// [sig-api-machinery] ResourceQuota should be able to update and delete ResourceQuota. [Conformance]
#[test]
fn resource_quota_should_be_able_to_update_and_delete_resource_quota() {
    let space = Space::new();
    let made = space.quota("test-quota", json!({"cpu": "1", "memory": "500Mi"}), &[]);
    assert_eq!(made["spec"]["hard"], json!({"cpu": "1", "memory": "500Mi"}));
    let path = space.at("resourcequotas/test-quota");
    // The controller has written what it has to write.
    space.used("test-quota", "cpu", "0");
    let mut object = space.rig.get(&path).ok();
    object["spec"]["hard"] = json!({"cpu": "2", "memory": "1Gi"});
    let updated = space.rig.update(&path, &object).ok();
    assert_eq!(updated["spec"]["hard"], json!({"cpu": "2", "memory": "1Gi"}));
    assert_eq!(space.rig.get(&path).ok()["spec"]["hard"], updated["spec"]["hard"]);
    space.gone(&path);
}

/// [sig-api-machinery] ResourceQuota should manage the lifecycle of a ResourceQuota [Conformance]
#[test]
fn resource_quota_should_manage_the_lifecycle_of_a_resource_quota() {
    let space = Space::new();
    space.quota("e2e-quota", json!({"cpu": "1", "memory": "500Mi"}), &[]);
    let path = space.at("resourcequotas/e2e-quota");
    space.rig.get(&path).ok();
    let patch = json!({"metadata": {"labels": {"e2e-rq": "patched"}},
        "spec": {"hard": {"memory": "750Mi"}}});
    let patched = space.rig.patch(&path, MERGE_PATCH, &patch).ok();
    assert_eq!(patched["spec"]["hard"], json!({"cpu": "1", "memory": "750Mi"}));
    let everywhere = "/api/v1/resourcequotas?labelSelector=e2e-rq%3Dpatched";
    let list = space.rig.get(everywhere).ok();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    space.rig.delete(&space.at("resourcequotas?labelSelector=e2e-rq%3Dpatched")).ok();
    wait_for("the collection's end", || {
        space.rig.get(everywhere).ok()["items"].as_array().unwrap().is_empty()
    });
}

/// [sig-api-machinery] ResourceQuota should apply changes to a resourcequota status [Conformance]
#[test]
fn resource_quota_should_apply_changes_to_a_resourcequota_status() {
    let space = Space::new();
    let rig = &space.rig;
    let path = space.at("resourcequotas/status");
    let mut watch = rig.watch(&space.at("resourcequotas?labelSelector=e2e%3Dstatus"));
    let object = json!({"apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "status", "labels": {"e2e": "status"}},
        "spec": {"hard": {"cpu": "500m", "memory": "500Mi"}}});
    rig.create(&space.at("resourcequotas"), &object).ok();
    space.used("status", "cpu", "0");
    // The controller sets the status back to what the spec says.
    let status = format!("{path}/status");
    let mut object = rig.get(&path).ok();
    object["status"]["hard"] = json!({"cpu": "500m", "memory": "2Gi"});
    rig.update(&status, &object).ok();
    watch.until("MODIFIED", |seen| seen["status"]["hard"]["memory"] == "2Gi");
    watch.until("MODIFIED", |seen| seen["status"]["hard"]["memory"] == "500Mi");
    let patch = json!({"metadata": {"labels": {"patched": "yes"}},
        "status": {"hard": {"cpu": "1", "memory": "1Gi"}}});
    assert_eq!(rig.patch(&status, MERGE_PATCH, &patch).ok()["status"]["hard"]["memory"], "1Gi");
    watch.until("MODIFIED", |seen| seen["status"]["hard"]["memory"] == "1Gi");
    watch.until("MODIFIED", |seen| seen["status"]["hard"]["memory"] == "500Mi");
    let object = rig.get(&status).ok();
    assert_eq!(object["spec"]["hard"], json!({"cpu": "500m", "memory": "500Mi"}));
}

/// [sig-api-machinery] ResourceQuota should verify ResourceQuota with terminating scopes. [Conformance]
#[test]
fn resource_quota_should_verify_resource_quota_with_terminating_scopes() {
    let space = Space::new();
    space.quota("terminating", json!({"pods": "5", "cpu": "1"}), &["Terminating"]);
    space.quota("lasting", json!({"pods": "5", "cpu": "1"}), &["NotTerminating"]);
    space.used("terminating", "pods", "0");
    space.used("lasting", "pods", "0");
    let pods = space.at("pods");
    space.rig.create(&pods, &pod("long", "500m", "200Mi")).ok();
    space.used("lasting", "pods", "1");
    space.used("lasting", "cpu", "500m");
    space.used("terminating", "pods", "0");
    space.gone(&space.at("pods/long"));
    space.used("lasting", "pods", "0");
    let mut short = pod("short", "500m", "200Mi");
    short["spec"]["activeDeadlineSeconds"] = json!(3600);
    space.rig.create(&pods, &short).ok();
    space.used("terminating", "pods", "1");
    space.used("terminating", "cpu", "500m");
    space.used("lasting", "pods", "0");
    space.gone(&space.at("pods/short"));
    space.used("terminating", "pods", "0");
}

/// [sig-api-machinery] ResourceQuota should verify ResourceQuota with best effort scope. [Conformance]
#[test]
fn resource_quota_should_verify_resource_quota_with_best_effort_scope() {
    let space = Space::new();
    space.quota("best-effort", json!({"pods": "5"}), &["BestEffort"]);
    space.quota("not-best-effort", json!({"pods": "5"}), &["NotBestEffort"]);
    space.used("best-effort", "pods", "0");
    space.used("not-best-effort", "pods", "0");
    let pods = space.at("pods");
    let mut best = pod("best", "1", "1");
    best["spec"]["containers"][0]["resources"] = json!({});
    space.rig.create(&pods, &best).ok();
    space.used("best-effort", "pods", "1");
    space.used("not-best-effort", "pods", "0");
    space.gone(&space.at("pods/best"));
    space.used("best-effort", "pods", "0");
    space.rig.create(&pods, &pod("burstable", "500m", "200Mi")).ok();
    space.used("not-best-effort", "pods", "1");
    space.used("best-effort", "pods", "0");
    space.gone(&space.at("pods/burstable"));
    space.used("not-best-effort", "pods", "0");
}
