//! Rows as upstream prints them.
#![allow(clippy::needless_pass_by_value, reason = "tables read better without references")]

use kube_schema::Schema;
use serde_json::json;

use super::*;

fn row(group: &str, kind: &str, object: &Value) -> String {
    let now = "2026-01-02T00:00:00Z".parse().unwrap();
    let gvk = GroupVersionKind::new(group, "v1", kind);
    let cells = cells(&gvk, object, now);
    assert_eq!(cells.len(), columns(&gvk.group_kind()).len(), "{kind}");
    let text = |cell: &Value| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned);
    cells.iter().map(text).collect::<Vec<_>>().join("|")
}

fn meta(name: &str) -> Value {
    json!({"name": name, "creationTimestamp": "2026-01-01T23:55:00Z"})
}

#[test]
fn every_kind_has_a_cell_for_each_column() {
    let now = Timestamp::UNIX_EPOCH;
    for kind in Schema::builtin().kinds() {
        let gvk = GroupVersionKind::new(kind.gvk.group, kind.gvk.version, kind.gvk.kind);
        for object in
            [json!({}), json!(null), json!([1]), json!({"metadata": 7, "spec": "x", "status": [null]})]
        {
            assert_eq!(cells(&gvk, &object, now).len(), columns(&gvk.group_kind()).len(), "{gvk:?}");
        }
    }
}

#[test]
fn durations() {
    for (seconds, text) in [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (599, "9m59s"),
        (600, "10m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (10_860, "3h1m"),
        (28_800, "8h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (176_400, "2d1h"),
        (691_200, "8d"),
        (63_072_000, "2y"),
        (63_158_400, "2y1d"),
        (252_288_000, "8y"),
        (300_000_000, "9y"),
    ] {
        assert_eq!(human_seconds(seconds), text, "{seconds}");
    }
}

fn check_pod(name: &str, spec: Value, status: Value, expected: &str) {
    let mut metadata = meta("p");
    if name == "deleted" {
        metadata["deletionTimestamp"] = json!("2026-01-01T23:59:00Z");
    }
    let got = row("", "Pod", &json!({"metadata": metadata, "spec": spec, "status": status}));
    let shown: Vec<_> = got.split('|').skip(1).take(3).collect();
    assert_eq!(shown.join("|"), expected, "{name}");
}

#[test]
fn pods() {
    let one = json!({"containers": [{"name": "a"}]});
    let running = json!({"ready": true, "restartCount": 0, "state": {"running": {}}});
    check_pod("pending", one.clone(), json!({"phase": "Pending"}), "0/1|Pending|0");
    check_pod(
        "running",
        one.clone(),
        json!({"phase": "Running", "containerStatuses": [running]}),
        "1/1|Running|0",
    );
    check_pod(
        "deleted",
        one.clone(),
        json!({"phase": "Running", "containerStatuses": [running]}),
        "1/1|Terminating|0",
    );
    check_pod("deleted", one.clone(), json!({"phase": "Running", "reason": "NodeLost"}), "0/1|Unknown|0");
    check_pod("deleted", one.clone(), json!({"phase": "Failed", "reason": "Evicted"}), "0/1|Evicted|0");
    check_pod(
        "crash",
        one.clone(),
        json!({"phase": "Running", "containerStatuses": [{"restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T23:55:00Z"}}}]}),
        "0/1|CrashLoopBackOff|4 (5m ago)",
    );
    check_pod(
        "done",
        one.clone(),
        json!({"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]}),
        "0/1|Completed|0",
    );
    check_pod(
        "signal",
        one.clone(),
        json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 137, "signal": 9}}}]}),
        "0/1|Signal:9|0",
    );
    let gated =
        json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]});
    check_pod("gated", one, gated, "0/1|SchedulingGated|0");
    let two = json!({"containers": [{"name": "a"}, {"name": "b"}]});
    check_pod(
        "half done",
        two,
        json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}, running]}),
        "1/2|Running|0",
    );
}

#[test]
fn pods_that_initialize() {
    let spec = json!({"containers": [{"name": "a"}], "initContainers": [{"name": "i"}, {"name": "j"}]});
    let init = |states: Value| json!({"phase": "Pending", "initContainerStatuses": states});
    check_pod("first", spec.clone(), init(json!([{"state": {"running": {}}}])), "0/1|Init:0/2|0");
    let done = json!({"state": {"terminated": {"exitCode": 0}}});
    check_pod(
        "second",
        spec.clone(),
        init(json!([done, {"state": {"waiting": {"reason": "PodInitializing"}}}])),
        "0/1|Init:1/2|0",
    );
    check_pod(
        "pull",
        spec.clone(),
        init(json!([{"state": {"waiting": {"reason": "ErrImagePull"}}}])),
        "0/1|Init:ErrImagePull|0",
    );
    check_pod(
        "fail",
        spec,
        init(json!([{"restartCount": 3, "state": {"terminated": {"exitCode": 7}}}])),
        "0/1|Init:ExitCode:7|3",
    );
    let sidecar =
        json!({"containers": [{"name": "a"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]});
    check_pod(
        "sidecar",
        sidecar,
        json!({"phase": "Running", "initContainerStatuses": [{"name": "s", "started": true, "ready": true, "restartCount": 2, "state": {"running": {}}}],
            "containerStatuses": [{"ready": true, "restartCount": 1, "state": {"running": {}}}]}),
        "2/2|Running|3",
    );
}

#[test]
fn workloads() {
    let template =
        json!({"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}});
    let selector = json!({"matchLabels": {"app": "web"}});
    let object = |spec: Value, status: Value| json!({"metadata": meta("o"), "spec": spec, "status": status});
    let deployment = object(
        json!({"replicas": 3, "selector": selector, "template": template}),
        json!({"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2}),
    );
    assert_eq!(row("apps", "Deployment", &deployment), "o|2/3|3|2|5m|a,b|x,y|app=web");
    assert_eq!(row("apps", "ReplicaSet", &deployment), "o|3|0|2|5m|a,b|x,y|app=web");
    assert_eq!(row("apps", "StatefulSet", &deployment), "o|2/3|5m|a,b|x,y");
    let daemons = object(json!({"selector": {}, "template": {}}), json!({"numberReady": 1}));
    assert_eq!(row("apps", "DaemonSet", &daemons), "o|0|0|1|0|0|<none>|5m|||<none>");
    let job = object(
        json!({"completions": 3, "selector": selector}),
        json!({"succeeded": 1, "startTime": "2026-01-01T23:58:00Z"}),
    );
    assert_eq!(row("batch", "Job", &job), "o|Running|1/3|2m|5m|||app=web");
    let cron = object(json!({"schedule": "* * * * *", "suspend": false}), json!({"active": [{}]}));
    assert_eq!(row("batch", "CronJob", &cron), "o|* * * * *|<none>|False|1|<none>|5m|||<none>");
    let budget = object(json!({"minAvailable": "50%"}), json!({"disruptionsAllowed": 1}));
    assert_eq!(row("policy", "PodDisruptionBudget", &budget), "o|50%|N/A|1|5m");
}

#[test]
fn autoscalers() {
    let spec = json!({"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": 1, "maxReplicas": 5, "metrics": [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
        {"type": "Pods", "pods": {"target": {"type": "AverageValue", "averageValue": "1k"}}},
        {"type": "External", "external": {"target": {"averageValue": "10"}}},
    ]});
    let status = json!({"currentReplicas": 2, "currentMetrics": [{"type": "Resource", "resource": {"current": {"averageUtilization": 40}}}]});
    let object = json!({"metadata": meta("h"), "spec": spec, "status": status});
    assert_eq!(
        row("autoscaling", "HorizontalPodAutoscaler", &object),
        "h|Deployment/web|cpu: 40%/80%, <unknown>/1k + 1 more...|1|5|2|5m"
    );
}

#[test]
fn networks() {
    let service = |spec: Value, status: Value| json!({"metadata": meta("s"), "spec": spec, "status": status});
    let ports = json!([{"port": 80, "protocol": "TCP", "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]);
    let balanced = service(
        json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1", "ports": ports, "selector": {"a": "b"}}),
        json!({"loadBalancer": {"ingress": [{"ip": "2.2.2.2"}, {"hostname": "a.b"}]}}),
    );
    assert_eq!(
        row("", "Service", &balanced),
        "s|LoadBalancer|10.0.0.1|2.2.2.2,a.b|80:30080/TCP,53/UDP|5m|a=b"
    );
    let plain = service(json!({"type": "ClusterIP"}), json!({}));
    assert_eq!(row("", "Service", &plain), "s|ClusterIP|<none>|<none>|<none>|5m|<none>");
    let pending = service(json!({"type": "LoadBalancer"}), json!({}));
    assert_eq!(row("", "Service", &pending), "s|LoadBalancer|<none>|<pending>|<none>|5m|<none>");
    let ingress = service(
        json!({"ingressClassName": "nginx", "rules": [{"host": "a"}, {}, {"host": "b"}, {"host": "c"}, {"host": "d"}], "tls": [{}]}),
        json!({}),
    );
    assert_eq!(row("networking.k8s.io", "Ingress", &ingress), "s|nginx|a,b,c + 2 more...||80, 443|5m");
    let endpoints = json!({"metadata": meta("e"), "subsets": [{"addresses": [{"ip": "1.1.1.1"}, {"ip": "::1"}], "ports": [{"port": 80}, {"port": 81}]}]});
    assert_eq!(row("", "Endpoints", &endpoints), "e|1.1.1.1:80,[::1]:80,1.1.1.1:81 + 1 more...|5m");
    assert_eq!(row("", "Endpoints", &json!({"metadata": meta("e")})), "e|<none>|5m");
    let slice =
        json!({"metadata": meta("e"), "addressType": "IPv4", "endpoints": [{"addresses": ["1.1.1.1"]}]});
    assert_eq!(row("discovery.k8s.io", "EndpointSlice", &slice), "e|IPv4|<unset>|1.1.1.1|5m");
    let address =
        service(json!({"parentRef": {"resource": "services", "namespace": "n", "name": "s"}}), json!({}));
    assert_eq!(row("networking.k8s.io", "IPAddress", &address), "s|services/n/s|5m");
}

#[test]
fn clusters() {
    let node = json!({"metadata": {"name": "n", "creationTimestamp": "2026-01-01T23:55:00Z", "labels": {
        "node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "db"}},
        "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "True"}],
        "addresses": [{"type": "InternalIP", "address": "10.0.0.5"}], "nodeInfo": {"kubeletVersion": "v1.36.0"}}});
    assert_eq!(
        row("", "Node", &node),
        "n|Ready,SchedulingDisabled|control-plane,db,worker|5m|v1.36.0|10.0.0.5|<none>|<unknown>|<unknown>|<unknown>"
    );
    let event = json!({"metadata": meta("e.1"), "type": "Normal", "reason": "Started", "message": " up \n", "count": 3,
        "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec"}, "source": {"component": "kubelet", "host": "n"},
        "firstTimestamp": "2026-01-01T23:00:00Z", "lastTimestamp": "2026-01-01T23:59:00Z"});
    assert_eq!(row("", "Event", &event), "60s|Normal|Started|pod/p|spec|kubelet, n|up|60m|3|e.1");
    let young = json!({"metadata": meta("e.2"), "regarding": {"kind": "Node"}, "note": "x", "eventTime": "2026-01-01T23:59:00.000000Z", "reportingController": "c"});
    assert_eq!(row("events.k8s.io", "Event", &young), "60s|||node||c|x|60s|1|e.2");
    let volume = json!({"metadata": meta("v"), "spec": {"capacity": {"storage": "1024Mi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": "n", "name": "c"}, "storageClassName": "fast"}, "status": {"phase": "Bound"}});
    assert_eq!(
        row("", "PersistentVolume", &volume),
        "v|1Gi|RWO,RWX|Retain|Bound|n/c|fast|<unset>||5m|<unset>"
    );
    let claim = json!({"metadata": meta("c"), "spec": {"volumeName": "v", "storageClassName": "fast", "volumeMode": "Filesystem"},
        "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}});
    assert_eq!(row("", "PersistentVolumeClaim", &claim), "c|Bound|v|1Gi|RWO|fast|<unset>|5m|Filesystem");
    let quota = json!({"metadata": meta("q"), "status": {"hard": {"pods": "10", "limits.cpu": "2", "requests.cpu": "1"}, "used": {"pods": "3", "requests.cpu": "500m"}}});
    assert_eq!(row("", "ResourceQuota", &quota), "q|pods: 3/10, requests.cpu: 500m/1|limits.cpu: 0/2|5m");
}

#[test]
fn configuration() {
    let secret = json!({"metadata": meta("s"), "type": "Opaque", "data": {"a": "", "b": ""}});
    assert_eq!(row("", "Secret", &secret), "s|Opaque|2|5m");
    let binding = json!({"metadata": meta("b"), "roleRef": {"kind": "Role", "name": "r"}, "subjects": [
        {"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "namespace": "n", "name": "a"}]});
    assert_eq!(row("rbac.authorization.k8s.io", "RoleBinding", &binding), "b|Role/r|5m|u||n/a");
    let role = json!({"metadata": meta("r")});
    assert_eq!(row("rbac.authorization.k8s.io", "Role", &role), "r|2026-01-01T23:55:00Z");
    let csr = json!({"metadata": meta("c"), "spec": {"signerName": "x/y", "username": "u", "expirationSeconds": 3600},
        "status": {"conditions": [{"type": "Approved"}], "certificate": "eA=="}});
    assert_eq!(
        row("certificates.k8s.io", "CertificateSigningRequest", &csr),
        "c|5m|x/y|u|60m|Approved,Issued"
    );
    let class = json!({"metadata": {"name": "c", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "p"});
    assert_eq!(
        row("storage.k8s.io", "StorageClass", &class),
        "c (default)|p|Delete|Immediate|false|<unknown>"
    );
    let service = json!({"metadata": meta("v1.x"), "spec": {"service": {"namespace": "n", "name": "s"}},
        "status": {"conditions": [{"type": "Available", "status": "False", "reason": "MissingEndpoints"}]}});
    assert_eq!(row("apiregistration.k8s.io", "APIService", &service), "v1.x|n/s|False (MissingEndpoints)|5m");
    let policy = json!({"metadata": meta("p"), "spec": {"validations": [{}], "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}});
    assert_eq!(
        row("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", &policy),
        "p|1|v1/ConfigMap|5m"
    );
    let flow = json!({"metadata": meta("f"), "spec": {"priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": 5}});
    assert_eq!(row("flowcontrol.apiserver.k8s.io", "FlowSchema", &flow), "f|l|5|<none>|5m|?");
}
