//! What a pod's place depends on.

use serde_json::{Value, json};

use super::{cluster, idle_pod, is_ready};

/// `[sig-scheduling] LimitRange should create a LimitRange with defaults and ensure pod has those defaults applied.
/// [Conformance]`
#[test]
fn limit_range_should_create_a_limit_range_with_defaults_and_ensure_pod_has_those_defaults_applied() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let ranges = format!("/api/v1/namespaces/{namespace}/limitranges");
    let mut events = cluster.watch(&ranges);
    let amounts = |cpu: &str, memory: &str, storage: &str| json!({ "cpu": cpu, "memory": memory, "ephemeral-storage": storage });
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "limit-range" },
        "spec": { "limits": [{
            "type": "Container", "min": amounts("50m", "100Mi", "100Gi"), "max": amounts("500m", "500Mi", "500Gi"),
            "default": amounts("500m", "500Mi", "500Gi"), "defaultRequest": amounts("100m", "200Mi", "200Gi"),
            "maxLimitRequestRatio": {},
        }] },
    });
    cluster.post(&ranges, &range);
    events.until("ADDED", |range| range["metadata"]["name"] == "limit-range");
    let got = cluster.get(&format!("{ranges}/limit-range"));
    let limits = &range["spec"]["limits"][0];
    for field in ["min", "max", "default", "defaultRequest"] {
        assert_eq!(got["spec"]["limits"][0][field], limits[field], "{got}");
    }
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let resources = |pod: &Value| pod["spec"]["containers"][0]["resources"].clone();
    // Of what it does not say it gets all.
    let plain = cluster.post(&pods, &idle_pod());
    assert_eq!(
        resources(&plain),
        json!({ "requests": limits["defaultRequest"], "limits": limits["default"] })
    );
    // Of what it says in part it gets the rest.
    let mut part = idle_pod();
    part["spec"]["containers"][0]["resources"] = json!({
        "requests": { "cpu": "300m", "memory": "150Mi", "ephemeral-storage": "150Gi" },
        "limits": { "cpu": "300m", "ephemeral-storage": "300Gi" },
    });
    let part = cluster.post(&pods, &part);
    assert_eq!(resources(&part)["requests"], amounts("300m", "150Mi", "150Gi"));
    assert_eq!(resources(&part)["limits"], amounts("300m", "500Mi", "300Gi"));
    let refused = |requests: Value, limits: Value| {
        let mut pod = idle_pod();
        pod["spec"]["containers"][0]["resources"] = json!({ "requests": requests, "limits": limits });
        cluster.try_post(&pods, &pod).refused(403)
    };
    refused(amounts("10m", "50Mi", "50Gi"), json!({}));
    refused(json!({}), amounts("600m", "600Mi", "600Gi"));
    // With another range, what was too little is not.
    let mut changed = got;
    changed["spec"]["limits"][0]["min"] = amounts("9m", "49Mi", "49Gi");
    cluster.put(&format!("{ranges}/limit-range"), &changed);
    let mut small = idle_pod();
    small["spec"]["containers"][0]["resources"] = json!({
        "requests": { "cpu": "10m", "memory": "50Mi", "ephemeral-storage": "49Gi" },
        "limits": { "cpu": "100m" },
    });
    let answered = testkit::wait_until(super::PATIENCE, || cluster.try_post(&pods, &small).code == 201);
    assert!(answered, "the changed range is not seen");
    refused(json!({}), amounts("600m", "600Mi", "600Gi"));
    cluster.delete(&format!("{ranges}/limit-range"));
    events.until("DELETED", |range| range["metadata"]["name"] == "limit-range");
    // Without a range a pod may have what it wants, here nothing.
    let free = cluster.running(&namespace, &idle_pod());
    assert!(is_ready(&free) && resources(&free) == json!({}));
}
