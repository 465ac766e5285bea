//! Tables of objects and what they are charged.
#![allow(clippy::needless_pass_by_value, reason = "tables read better without references")]

use kube_object::resource::GroupResource;
use kube_object::time::Time;
use serde_json::{Value, json};

use super::*;

fn core(name: &str) -> GroupResource {
    GroupResource::new("", name)
}

fn pod(containers: Value, init: Value) -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"containers": containers, "initContainers": init}})
}

#[test]
fn pods_are_charged_for_what_they_ask() {
    let container = |cpu: &str, limit: &str| json!({"name": "c", "resources": {"requests": {"cpu": cpu, "example.com/gpu": 1}, "limits": {"cpu": limit}}});
    let sidecar = json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}});
    let large = json!({"name": "i", "resources": {"requests": {"cpu": "3"}}});
    for (pod, expected) in [
        (
            pod(json!([container("1", "2"), container("500m", "1")]), json!([])),
            "count/pods=1,cpu=1500m,limits.cpu=3,pods=1,requests.cpu=1500m,requests.example.com/gpu=2",
        ),
        (
            pod(json!([container("1", "2")]), json!([sidecar, large])),
            "count/pods=1,cpu=3100m,limits.cpu=2,pods=1,requests.cpu=3100m,requests.example.com/gpu=1",
        ),
        (
            json!({"spec": {"containers": [{"name": "c"}], "overhead": {"memory": "1Mi"},
                "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "10Mi"}}}}),
            "count/pods=1,cpu=2,limits.memory=11Mi,memory=1Mi,pods=1,requests.cpu=2,requests.memory=1Mi",
        ),
        (json!({"status": {"phase": "Failed"}}), "count/pods=1"),
        (
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}}),
            "count/pods=1",
        ),
        (json!({"spec": {"containers": 7, "overhead": [1]}, "status": "x"}), "count/pods=1,pods=1"),
    ] {
        let now = Time::parse("2026-01-01T00:01:00Z").unwrap();
        assert_eq!(usage(&core("pods"), &pod, Some(now)).to_string(), expected, "{pod}");
    }
}

#[test]
fn a_resize_on_its_way_counts_the_larger() {
    let mut pod = pod(json!([{"name": "c", "resources": {"requests": {"cpu": "1"}}}]), json!([]));
    pod["status"] = json!({"containerStatuses": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]});
    assert_eq!(pod_requests(&pod).to_string(), "cpu=2");
    pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("9");
    assert_eq!(pod_requests(&pod).to_string(), "cpu=9");
    pod["status"]["conditions"] = json!([{"type": "PodResizePending", "reason": "Infeasible"}]);
    assert_eq!(pod_requests(&pod).to_string(), "cpu=2");
}

#[test]
fn others_are_charged_by_kind() {
    let ports = json!([{"port": 1}, {"port": 2, "nodePort": 30000}]);
    for (resource, object, expected) in [
        (
            core("services"),
            json!({"spec": {"ports": ports}}),
            "count/services=1,services=1,services.loadbalancers=0,services.nodeports=0",
        ),
        (
            core("services"),
            json!({"spec": {"ports": ports, "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false}}),
            "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1",
        ),
        (
            core("persistentvolumeclaims"),
            json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}}),
            "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
             gold.storageclass.storage.k8s.io/requests.storage=1Gi,persistentvolumeclaims=1,requests.storage=1Gi",
        ),
        (core("secrets"), json!({}), "count/secrets=1,secrets=1"),
        (GroupResource::new("x.example.com", "foos"), json!({}), "count/foos.x.example.com=1"),
        (
            GroupResource::new("resource.k8s.io", "resourceclaims"),
            json!({"spec": {"devices": {"requests": [
                {"exactly": {"deviceClassName": "a", "count": 2}},
                {"firstAvailable": [{"deviceClassName": "a", "count": 3}, {"deviceClassName": "b", "count": 1}]}]}}}),
            "a.deviceclass.resource.k8s.io/devices=5,b.deviceclass.resource.k8s.io/devices=1,count/resourceclaims.resource.k8s.io=1",
        ),
    ] {
        assert_eq!(usage(&resource, &object, None).to_string(), expected, "{object}");
    }
}

#[test]
fn names_belong_to_resources() {
    for (resource, name, expected) in [
        (core("pods"), "requests.cpu", true),
        (core("pods"), "requests.example.com/gpu", true),
        (core("pods"), "limits.ephemeral-storage", true),
        (core("pods"), "count/pods", true),
        (core("pods"), "count/services", false),
        (core("pods"), "requests.storage", false),
        (core("persistentvolumeclaims"), "gold.storageclass.storage.k8s.io/requests.storage", true),
        (core("configmaps"), "configmaps", true),
        (GroupResource::new("apps", "deployments"), "count/deployments.apps", true),
        (GroupResource::new("apps", "deployments"), "pods", false),
    ] {
        assert_eq!(tracked(&resource, name), expected, "{resource} {name}");
    }
}

#[test]
fn scopes_select_pods() {
    let best = pod(json!([{"name": "c"}]), json!([]));
    let mut classy = pod(json!([{"name": "c", "resources": {"limits": {"cpu": "1"}}}]), json!([]));
    classy["spec"]["priorityClassName"] = json!("high");
    classy["spec"]["activeDeadlineSeconds"] = json!(5);
    classy["spec"]["affinity"] =
        json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["x"]}]}});
    for (scope, operator, values, of_best, of_classy) in [
        ("BestEffort", "Exists", json!([]), true, false),
        ("NotBestEffort", "Exists", json!([]), false, true),
        ("Terminating", "Exists", json!([]), false, true),
        ("NotTerminating", "Exists", json!([]), true, false),
        ("CrossNamespacePodAffinity", "Exists", json!([]), false, true),
        ("PriorityClass", "Exists", json!([]), false, true),
        ("PriorityClass", "DoesNotExist", json!([]), true, false),
        ("PriorityClass", "In", json!(["high"]), false, true),
        ("PriorityClass", "NotIn", json!(["high"]), true, false),
        ("Nonsense", "Exists", json!([]), false, false),
    ] {
        let quota = json!({"spec": {"scopeSelector": {"matchExpressions": [
            {"scopeName": scope, "operator": operator, "values": values}]}}, "status": {"hard": {"pods": "1"}}});
        assert_eq!(matches(&quota, &core("pods"), &best).unwrap(), of_best, "{scope} {operator}");
        assert_eq!(matches(&quota, &core("pods"), &classy).unwrap(), of_classy, "{scope} {operator}");
        assert!(!matches(&quota, &core("services"), &json!({})).unwrap());
    }
}

#[test]
fn limited_containers_must_say_what_they_need() {
    let pod = pod(
        json!([{"name": "b", "resources": {"requests": {"cpu": "1"}}}, {"name": "a"}]),
        json!([{"name": "i"}]),
    );
    let error = constraints(&core("pods"), ["limits.memory", "cpu", "pods"].into_iter(), &pod).unwrap_err();
    assert_eq!(error.to_string(), "must specify cpu for: a,i; limits.memory for: a,b,i");
}

#[test]
fn a_namespace_is_summed() {
    let quota =
        json!({"spec": {"hard": {"pods": "5", "requests.cpu": "4", "secrets": "9", "nonsense": "1"}}});
    let objects = |resource: &GroupResource| {
        let pod = pod(json!([{"name": "c", "resources": {"requests": {"cpu": "1"}}}]), json!([]));
        if resource.resource == "pods" { vec![pod.clone().into(), pod.into()] } else { Vec::new() }
    };
    let resources = [core("pods"), core("secrets"), core("services")];
    let now = Time::from_unix(0).unwrap();
    let used = namespace_usage(&quota, &resources, objects, now).unwrap();
    assert_eq!(used.to_string(), "pods=2,requests.cpu=2,secrets=0");
}
