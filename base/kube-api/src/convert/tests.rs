//! There and back again.

use serde_json::json;

use super::*;

fn to(object: &Value, api_version: &str) -> Value {
    let gvk = GroupVersionKind::of(api_version, text(&object["kind"]));
    convert(object.clone(), &gvk).unwrap()
}

#[test]
fn versions() {
    let stored =
        |group: &str, kind: &str| storage_version(&GroupKind::new(group, kind)).map(|gvk| gvk.api_version());
    for (group, kind, version) in [
        ("autoscaling", "HorizontalPodAutoscaler", Some("autoscaling/v2")),
        ("events.k8s.io", "Event", Some("v1")),
        ("", "Pod", Some("v1")),
        ("resource.k8s.io", "ResourceClaim", Some("resource.k8s.io/v1")),
        ("certificates.k8s.io", "ClusterTrustBundle", Some("certificates.k8s.io/v1beta1")),
        ("example.com", "Thing", None),
    ] {
        assert_eq!(stored(group, kind).as_deref(), version, "{kind}");
    }
    assert_eq!(served_versions(&GroupKind::new("autoscaling", "HorizontalPodAutoscaler")), ["v2", "v1"]);
    assert_eq!(
        served_versions(&GroupKind::new("resource.k8s.io", "ResourceSlice")),
        ["v1", "v1beta2", "v1beta1"]
    );
}

#[test]
fn autoscalers() {
    let v2 = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"},
        "spec": {"maxReplicas": 5, "metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
            {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
            {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "10"}}},
            {"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s"}, "metric": {"name": "hits"},
                "target": {"type": "Value", "value": "2k"}}},
            {"type": "External", "external": {"metric": {"name": "q", "selector": {"matchLabels": {"a": "b"}}},
                "target": {"type": "AverageValue", "averageValue": "30"}}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}},
        "status": {"currentReplicas": 1, "conditions": [{"type": "AbleToScale", "status": "True"}], "currentMetrics": [
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40, "averageValue": "100m"}}}]}});
    let v1 = to(&v2, "autoscaling/v1");
    assert_eq!(v1["spec"], json!({"maxReplicas": 5, "targetCPUUtilizationPercentage": 80}));
    assert_eq!(v1["status"], json!({"currentReplicas": 1, "currentCPUUtilizationPercentage": 40}));
    let annotations = &v1["metadata"]["annotations"];
    assert!(
        text(&annotations["autoscaling.alpha.kubernetes.io/metrics"])
            .contains(r#""targetAverageValue":"1Gi""#)
    );
    assert_eq!(to(&v1, "autoscaling/v2"), v2);
    let plain = json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
        "spec": {"maxReplicas": 5, "targetCPUUtilizationPercentage": 50}});
    assert_eq!(to(&to(&plain, "autoscaling/v2"), "autoscaling/v1"), plain);
}

#[test]
fn events() {
    let core = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod"},
        "message": "m", "reason": "r", "count": 3, "source": {"component": "c"}, "firstTimestamp": "t", "type": "Normal"});
    let other = to(&core, "events.k8s.io/v1");
    assert_eq!(
        other,
        json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "regarding": {"kind": "Pod"},
            "note": "m", "reason": "r", "deprecatedCount": 3, "deprecatedSource": {"component": "c"},
            "deprecatedFirstTimestamp": "t", "type": "Normal"})
    );
    assert_eq!(to(&other, "v1"), core);
}

#[test]
fn devices() {
    let old = json!({"apiVersion": "resource.k8s.io/v1beta1", "kind": "ResourceClaim", "spec": {"devices": {"requests": [
        {"name": "a", "deviceClassName": "gpu", "count": 2}, {"name": "b", "firstAvailable": [{"name": "c"}]}]}}});
    let new = to(&old, "resource.k8s.io/v1");
    assert_eq!(
        new["spec"]["devices"]["requests"],
        json!([{"name": "a", "exactly": {"deviceClassName": "gpu", "count": 2}}, {"name": "b", "firstAvailable": [{"name": "c"}]}])
    );
    assert_eq!(to(&new, "resource.k8s.io/v1beta1"), old);
    let slice = json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "spec": {"devices": [{"name": "a", "attributes": {}}]}});
    let old = to(&slice, "resource.k8s.io/v1beta1");
    assert_eq!(old["spec"]["devices"], json!([{"name": "a", "basic": {"attributes": {}}}]));
    assert_eq!(to(&old, "resource.k8s.io/v1beta2")["spec"], slice["spec"]);
}

#[test]
fn refuses_other_kinds() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod"});
    assert!(convert(pod.clone(), &GroupVersionKind::new("apps", "v1", "Deployment")).is_err());
    assert!(convert(pod, &GroupVersionKind::new("", "v2", "Pod")).is_ok());
    assert!(convert(json!(null), &GroupVersionKind::new("", "v1", "Pod")).is_err());
}
