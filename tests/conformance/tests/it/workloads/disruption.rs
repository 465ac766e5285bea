//! `[sig-apps] DisruptionController`.

use serde_json::{Value, json};

use super::kept::{Kept, REPLICA_SET, make};
use super::{name, until};
use crate::life::change;
use crate::rig::{Answer, wait_for};

/// Pods and a budget of theirs, whose controller has seen it.
fn budgeted(pods: usize, spec: Value) -> (Kept, String) {
    let made = make(REPLICA_SET, "rs", pods, json!({}));
    made.runs(pods);
    let budgets = format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets", made.namespace);
    let mut budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "foo" },
        "spec": { "selector": { "matchLabels": { "name": "rs" } } },
    });
    for (name, value) in spec.as_object().into_iter().flatten() {
        budget["spec"][name] = value.clone();
    }
    made.api.post(&budgets, &budget);
    let path = format!("{budgets}/foo");
    until(&made.api, &path, processed);
    (made, path)
}

/// Whether the controller has seen a budget as it is.
fn processed(budget: &Value) -> bool {
    budget["status"]["observedGeneration"] == budget["metadata"]["generation"]
}

fn evict(made: &Kept, pod: &Value) -> Answer {
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": name(pod), "namespace": made.namespace },
    });
    made.api.try_post(&format!("{}/eviction", made.pod_path(pod)), &eviction)
}

/// [sig-apps] DisruptionController should block an eviction until the PDB is updated to allow it [Conformance]
#[test]
fn disruption_controller_should_block_an_eviction_until_the_pdb_is_updated() {
    let (made, path) = budgeted(3, json!({ "minAvailable": 3 }));
    until(&made.api, &path, |budget| budget["status"]["currentHealthy"] == 3);
    let refuses = |pod: &Value| {
        let status = evict(&made, pod).refused(429);
        assert_eq!(status["details"]["causes"][0]["reason"], "DisruptionBudget", "{status}");
    };
    let pod = made.pods().remove(0);
    refuses(&pod);
    change(&made.api, &path, |budget| budget["spec"]["minAvailable"] = json!(2));
    wait_for("the eviction", || evict(&made, &pod).code == 201);
    made.api.gone(&made.pod_path(&pod));
    made.runs(3);
    let patched = made.api.merge(&path, &json!({ "spec": { "minAvailable": 3 } }));
    assert_eq!(patched["spec"]["minAvailable"], 3);
    until(&made.api, &path, |budget| processed(budget) && budget["status"]["desiredHealthy"] == 3);
    let pod = made.pods().remove(0);
    refuses(&pod);
    made.api.delete(&path);
    wait_for("the eviction without a budget", || evict(&made, &pod).code == 201);
}

/// [sig-apps] DisruptionController should observe PodDisruptionBudget status updated [Conformance]
#[test]
fn disruption_controller_should_observe_status_updated() {
    let (made, path) = budgeted(3, json!({ "minAvailable": 1 }));
    let found = until(&made.api, &path, |budget| budget["status"]["disruptionsAllowed"] == 2);
    assert_eq!(found["status"]["currentHealthy"], 3);
    assert_eq!(found["status"]["expectedPods"], 3);
}

/// [sig-apps] DisruptionController should update/patch PodDisruptionBudget status [Conformance]
#[test]
fn disruption_controller_should_update_and_patch_status() {
    let (made, path) = budgeted(1, json!({ "minAvailable": 1 }));
    let status = format!("{path}/status");
    let mark = |pod: &str| json!({ "disruptedPods": { pod: "2026-01-02T03:04:05Z" } });
    let updated = change(&made.api, &status, |budget| {
        budget["status"]["disruptedPods"] = mark("updated")["disruptedPods"].clone();
    });
    assert!(updated["status"]["disruptedPods"]["updated"].is_string(), "{updated}");
    let patched = made.api.merge(&status, &json!({ "status": mark("patched") }));
    assert!(patched["status"]["disruptedPods"]["patched"].is_string(), "{patched}");
}
