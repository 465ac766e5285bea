//! Sentences as upstream says them.
#![allow(clippy::needless_pass_by_value, reason = "tables read better without references")]

use serde_json::json;

use super::*;

#[track_caller]
fn check(api_version: &str, kind: &str, object: Value, expected: &[&str]) {
    assert_eq!(warnings(&GroupVersionKind::of(api_version, kind), &object, None), expected);
}

#[test]
fn versions() {
    check(
        "v1",
        "Endpoints",
        json!({}),
        &["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"],
    );
    check(
        "networking.k8s.io/v1beta1",
        "IPAddress",
        json!({}),
        &["networking.k8s.io/v1beta1 IPAddress is deprecated in v1.34+, unavailable in v1.37+"],
    );
    check("v1", "ConfigMap", json!({}), &[]);
}

#[test]
fn pods() {
    let pod = |spec: Value| json!({"metadata": {"name": "a"}, "spec": spec});
    check(
        "v1",
        "Pod",
        json!({"metadata": {"name": "a.b"}}),
        &[
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is \
         recommended: [must not contain dots]",
        ],
    );
    check(
        "v1",
        "Pod",
        pod(json!({"nodeSelector": {"beta.kubernetes.io/os": "linux"}})),
        &[
            "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
        ],
    );
    check(
        "v1",
        "Pod",
        pod(json!({"volumes": [{"gitRepo": {}}]})),
        &["spec.volumes[0].gitRepo: deprecated in v1.11"],
    );
    check(
        "v1",
        "Pod",
        pod(json!({"containers": [{"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}]})),
        &[
            "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
        ],
    );
    check(
        "v1",
        "Pod",
        pod(json!({"containers": [{"resources": {"limits": {"memory": "100m"}}}]})),
        &[
            "spec.containers[0].resources.limits[memory]: fractional byte value \"100m\" is invalid, must be an integer",
        ],
    );
    let port = json!({"containerPort": 80, "protocol": "TCP"});
    check(
        "v1",
        "Pod",
        pod(json!({"containers": [{"ports": [port]}, {"ports": [port]}]})),
        &["spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]"],
    );
    check(
        "v1",
        "Pod",
        pod(json!({"terminationGracePeriodSeconds": -1})),
        &[
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
        ],
    );
}

#[test]
fn templates_warn_when_they_change() {
    let deployment = json!({"metadata": {"name": "a"}, "spec": {"template": {"metadata": {"annotations":
        {"scheduler.alpha.kubernetes.io/critical-pod": ""}}}}});
    let sentence = "spec.template.metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in \
                    v1.16+; use the \"priorityClassName\" field instead";
    let gvk = GroupVersionKind::new("apps", "v1", "Deployment");
    assert_eq!(warnings(&gvk, &deployment, None), [sentence]);
    assert!(warnings(&gvk, &deployment, Some(&deployment)).is_empty());
    assert_eq!(warnings(&gvk, &deployment, Some(&json!({}))), [sentence]);
}

#[test]
fn others() {
    check(
        "networking.k8s.io/v1",
        "Ingress",
        json!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "x"}}}),
        &[
            "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead",
        ],
    );
    check(
        "v1",
        "Service",
        json!({"spec": {"clusterIPs": ["FD00::1"]}}),
        &[
            "spec.clusterIPs[0]: IPv6 address \"FD00::1\" is not in RFC 5952 canonical format (\"fd00::1\"), which may cause controller apply-loops",
        ],
    );
    check(
        "v1",
        "PersistentVolume",
        json!({"spec": {"persistentVolumeReclaimPolicy": "Recycle"}}),
        &[
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach \
         is to use dynamic provisioning.",
        ],
    );
}
