//! Objects as their authors wrote them, and as they are filled in.

use kube_object::resource::GroupVersionKind;
use serde_json::{Value, json};

use super::{default, generate_job_selector};

fn filled(api_version: &str, kind: &str, mut object: Value) -> Value {
    let gvk = GroupVersionKind::of(api_version, kind);
    default(&gvk, &mut object);
    let once = object.clone();
    default(&gvk, &mut object);
    assert_eq!(object, once, "a second time changes nothing");
    object
}

/// All of `part` stands in `whole`.
fn has(whole: &Value, part: &Value, path: &str) {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (name, part) in part {
                let found = whole.get(name).unwrap_or_else(|| panic!("{path}.{name} is missing"));
                has(found, part, &format!("{path}.{name}"));
            }
        }
        (Value::Array(whole), Value::Array(part)) => {
            assert_eq!(whole.len(), part.len(), "{path}");
            for (at, (whole, part)) in whole.iter().zip(part).enumerate() {
                has(whole, part, &format!("{path}[{at}]"));
            }
        }
        _ => assert_eq!(whole, part, "{path}"),
    }
}

#[test]
fn a_plain_pod_gets_all_that_upstream_gives_it() {
    let pod = json!({"spec": {"containers": [{"name": "web", "image": "nginx", "ports": [{"containerPort": 80}]}]}});
    assert_eq!(
        filled("v1", "Pod", pod),
        json!({"spec": {
            "containers": [{
                "name": "web", "image": "nginx", "imagePullPolicy": "Always", "resources": {},
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            }],
            "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
            "securityContext": {}, "terminationGracePeriodSeconds": 30, "enableServiceLinks": true,
        }})
    );
}

#[test]
fn pods_in_breadth() {
    let pod = json!({"spec": {
        "hostNetwork": true, "serviceAccount": "robot",
        "containers": [{
            "name": "a", "image": "a:1",
            "ports": [{"containerPort": 80}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}},
            "livenessProbe": {"httpGet": {"port": 80}},
            "readinessProbe": {"grpc": {"port": 80}, "timeoutSeconds": 5},
            "lifecycle": {"preStop": {"httpGet": {"port": 80}}},
            "env": [
                {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            ],
        }],
        "volumes": [
            {"name": "a"},
            {"name": "b", "secret": {"secretName": "s"}},
            {"name": "c", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}},
                {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}},
            {"name": "d", "hostPath": {"path": "/x"}},
            {"name": "e", "azureDisk": {"diskName": "d"}},
            {"name": "f", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
            {"name": "g", "image": {"reference": "a:latest"}},
            {"name": "h", "rbd": {"image": "i"}},
        ],
    }});
    let want = json!({"spec": {
        "serviceAccount": "robot", "serviceAccountName": "robot",
        "containers": [{
            "imagePullPolicy": "IfNotPresent",
            "ports": [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}],
            "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
            "livenessProbe": {"httpGet": {"path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10,
                "successThreshold": 1, "failureThreshold": 3},
            "readinessProbe": {"grpc": {"service": ""}, "timeoutSeconds": 5},
            "lifecycle": {"preStop": {"httpGet": {"path": "/", "scheme": "HTTP"}}},
            "env": [
                {"valueFrom": {"fieldRef": {"apiVersion": "v1"}}},
                {"valueFrom": {"resourceFieldRef": {"divisor": "0"}}},
            ],
        }],
        "volumes": [
            {"emptyDir": {}},
            {"secret": {"defaultMode": 420}},
            {"projected": {"defaultMode": 420, "sources": [{"serviceAccountToken": {"expirationSeconds": 3600}},
                {"downwardAPI": {"items": [{"fieldRef": {"apiVersion": "v1"}}]}}]}},
            {"hostPath": {"type": ""}},
            {"azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": false}},
            {"ephemeral": {"volumeClaimTemplate": {"spec": {"volumeMode": "Filesystem"}}}},
            {"image": {"pullPolicy": "Always"}},
            {"rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"}},
        ],
    }});
    has(&filled("v1", "Pod", pod), &want, "");
}

#[test]
fn a_pod_as_a_whole_requests_what_its_containers_do() {
    let one = |cpu: &str| json!({"name": "c", "image": "i:1", "resources": {"requests": {"cpu": cpu}}});
    let mut sidecar = one("300m");
    sidecar["restartPolicy"] = json!("Always");
    let pod = json!({"spec": {
        "resources": {"limits": {"cpu": "4", "memory": "1Gi"}},
        "containers": [one("1"), one("500m")], "initContainers": [sidecar, one("1600m")],
    }});
    let filled = filled("v1", "Pod", pod);
    assert_eq!(filled["spec"]["resources"]["requests"], json!({"cpu": "1900m", "memory": "1Gi"}));
}

#[test]
fn templates_do_not_get_what_only_pods_get() {
    let template = json!({"spec": {"hostNetwork": true, "containers": [{"name": "a", "image": "a:1",
        "ports": [{"containerPort": 1}], "resources": {"limits": {"cpu": "1"}}}]}});
    let spec = json!({"template": template});
    let deployment = filled("apps/v1", "Deployment", json!({"spec": spec}));
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["enableServiceLinks"], Value::Null);
    assert_eq!(pod["containers"][0]["resources"], json!({"limits": {"cpu": "1"}}));
    assert_eq!(pod["containers"][0]["ports"], json!([{"containerPort": 1, "protocol": "TCP"}]));
    assert_eq!(pod["dnsPolicy"], "ClusterFirst");
}

#[test]
fn kinds_get_what_upstream_gives_them() {
    let labels = json!({"app": "a"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": []}});
    for (version, kind, given, want) in [
        (
            "apps/v1",
            "Deployment",
            json!({"spec": {}}),
            json!({"spec": {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}}}),
        ),
        (
            "apps/v1",
            "Deployment",
            json!({"spec": {"strategy": {"type": "Recreate"}, "replicas": 0}}),
            json!({"spec": {"strategy": {"type": "Recreate"}, "replicas": 0}}),
        ),
        ("apps/v1", "ReplicaSet", json!({"spec": {}}), json!({"spec": {"replicas": 1}})),
        (
            "apps/v1",
            "DaemonSet",
            json!({"spec": {}}),
            json!({"spec": {"revisionHistoryLimit": 10,
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}}}),
        ),
        (
            "apps/v1",
            "StatefulSet",
            json!({"spec": {"volumeClaimTemplates": [{"spec": {}}]}}),
            json!({"spec": {"replicas": 1, "podManagementPolicy": "OrderedReady", "revisionHistoryLimit": 10,
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
                "volumeClaimTemplates": [{"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                    "spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}]}}),
        ),
        (
            "v1",
            "ReplicationController",
            json!({"metadata": {}, "spec": {"template": template}}),
            json!({"metadata": {"labels": labels}, "spec": {"replicas": 1, "selector": labels}}),
        ),
        (
            "batch/v1",
            "Job",
            json!({"spec": {"template": template, "podFailurePolicy": {"rules": [{"onPodConditions": [{"type": "X"}]}]}}}),
            json!({"metadata": {"labels": labels}, "spec": {"completions": 1, "parallelism": 1, "backoffLimit": 6,
                "completionMode": "NonIndexed", "suspend": false, "podReplacementPolicy": "Failed", "manualSelector": false,
                "podFailurePolicy": {"rules": [{"onPodConditions": [{"status": "True"}]}]}}}),
        ),
        (
            "batch/v1",
            "Job",
            json!({"spec": {"parallelism": 2, "backoffLimitPerIndex": 1}}),
            json!({"spec": {"parallelism": 2, "backoffLimit": 2_147_483_647, "podReplacementPolicy": "TerminatingOrFailed"}}),
        ),
        (
            "batch/v1",
            "CronJob",
            json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": {}}}}}}),
            json!({"spec": {"concurrencyPolicy": "Allow", "suspend": false, "successfulJobsHistoryLimit": 3,
                "failedJobsHistoryLimit": 1, "jobTemplate": {"spec": {"template": {"spec": {"dnsPolicy": "ClusterFirst"}}}}}}),
        ),
        (
            "autoscaling/v1",
            "HorizontalPodAutoscaler",
            json!({"spec": {}}),
            json!({"spec": {"minReplicas": 1, "targetCPUUtilizationPercentage": 80}}),
        ),
        (
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            json!({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}}),
            json!({"spec": {"minReplicas": 1,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 80}}}],
                "behavior": {
                    "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [
                        {"type": "Pods", "value": 4, "periodSeconds": 15},
                        {"type": "Percent", "value": 100, "periodSeconds": 15}]},
                    "scaleDown": {"stabilizationWindowSeconds": 60, "selectPolicy": "Max", "policies": [
                        {"type": "Percent", "value": 100, "periodSeconds": 15}]}}}}),
        ),
        (
            "v1",
            "Service",
            json!({"spec": {"ports": [{"port": 80}, {"port": 81, "targetPort": "http", "protocol": "UDP"}]}}),
            json!({"spec": {"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
                "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}, {"targetPort": "http", "protocol": "UDP"}]}}),
        ),
        (
            "v1",
            "Service",
            json!({"spec": {"type": "LoadBalancer", "sessionAffinity": "ClientIP"},
                "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}),
            json!({"spec": {"externalTrafficPolicy": "Cluster", "allocateLoadBalancerNodePorts": true,
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}},
                "status": {"loadBalancer": {"ingress": [{"ipMode": "VIP"}]}}}),
        ),
        (
            "v1",
            "Endpoints",
            json!({"subsets": [{"ports": [{"port": 1}]}]}),
            json!({"subsets": [{"ports": [{"protocol": "TCP"}]}]}),
        ),
        ("v1", "Secret", json!({}), json!({"type": "Opaque"})),
        (
            "v1",
            "Namespace",
            json!({"metadata": {"name": "a"}}),
            json!({"metadata": {"labels": {"kubernetes.io/metadata.name": "a"}}, "status": {"phase": "Active"}}),
        ),
        (
            "v1",
            "Node",
            json!({"status": {"capacity": {"cpu": "1"}}}),
            json!({"status": {"allocatable": {"cpu": "1"}}}),
        ),
        (
            "v1",
            "LimitRange",
            json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1", "memory": "1Mi"}}]}}),
            json!({"spec": {"limits": [{"default": {"cpu": "2"}, "defaultRequest": {"cpu": "2", "memory": "1Mi"}}]}}),
        ),
        (
            "v1",
            "PersistentVolume",
            json!({"spec": {"hostPath": {"path": "/"}}}),
            json!({"spec": {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem", "hostPath": {"type": ""}},
                "status": {"phase": "Pending"}}),
        ),
        (
            "v1",
            "PersistentVolumeClaim",
            json!({"spec": {}}),
            json!({"spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}),
        ),
        (
            "networking.k8s.io/v1",
            "NetworkPolicy",
            json!({"spec": {"egress": [{"ports": [{"port": 1}]}]}}),
            json!({"spec": {"policyTypes": ["Ingress", "Egress"], "egress": [{"ports": [{"protocol": "TCP"}]}]}}),
        ),
        (
            "networking.k8s.io/v1",
            "IngressClass",
            json!({"spec": {"parameters": {"kind": "K"}}}),
            json!({"spec": {"parameters": {"scope": "Cluster"}}}),
        ),
        (
            "discovery.k8s.io/v1",
            "EndpointSlice",
            json!({"ports": [{}]}),
            json!({"ports": [{"name": "", "protocol": "TCP"}]}),
        ),
        (
            "storage.k8s.io/v1",
            "StorageClass",
            json!({}),
            json!({"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
        ),
        (
            "storage.k8s.io/v1",
            "CSIDriver",
            json!({"spec": {}}),
            json!({"spec": {"attachRequired": true, "podInfoOnMount": false, "fsGroupPolicy": "ReadWriteOnceWithFSType",
                "volumeLifecycleModes": ["Persistent"], "requiresRepublish": false, "seLinuxMount": false}}),
        ),
        (
            "rbac.authorization.k8s.io/v1",
            "RoleBinding",
            json!({"roleRef": {"kind": "Role"}, "subjects": [{"kind": "User"}, {"kind": "ServiceAccount"}]}),
            json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io"},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io"}, {"kind": "ServiceAccount"}]}),
        ),
        (
            "scheduling.k8s.io/v1",
            "PriorityClass",
            json!({}),
            json!({"preemptionPolicy": "PreemptLowerPriority"}),
        ),
        (
            "admissionregistration.k8s.io/v1",
            "MutatingWebhookConfiguration",
            json!({"webhooks": [{"rules": [{}], "clientConfig": {"service": {}}}]}),
            json!({"webhooks": [{"failurePolicy": "Fail", "matchPolicy": "Equivalent", "namespaceSelector": {},
                "objectSelector": {}, "timeoutSeconds": 10, "reinvocationPolicy": "Never",
                "rules": [{"scope": "*"}], "clientConfig": {"service": {"port": 443}}}]}),
        ),
        (
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicy",
            json!({"spec": {"matchConstraints": {"resourceRules": [{}]}}}),
            json!({"spec": {"failurePolicy": "Fail", "matchConstraints": {"matchPolicy": "Equivalent",
                "namespaceSelector": {}, "objectSelector": {}, "resourceRules": [{"scope": "*"}]}}}),
        ),
        (
            "flowcontrol.apiserver.k8s.io/v1",
            "PriorityLevelConfiguration",
            json!({"spec": {"limited": {"limitResponse": {"queuing": {}}}}}),
            json!({"spec": {"limited": {"nominalConcurrencyShares": 30, "lendablePercent": 0,
                "limitResponse": {"queuing": {"handSize": 8, "queues": 64, "queueLengthLimit": 50}}}}}),
        ),
        (
            "resource.k8s.io/v1",
            "ResourceClaim",
            json!({"spec": {"devices": {"requests": [{"exactly": {}}]}}}),
            json!({"spec": {"devices": {"requests": [{"exactly": {"allocationMode": "ExactCount", "count": 1}}]}}}),
        ),
        (
            "apiregistration.k8s.io/v1",
            "APIService",
            json!({"spec": {"service": {}}}),
            json!({"spec": {"service": {"port": 443}}}),
        ),
    ] {
        has(&filled(version, kind, given), &want, kind);
    }
}

#[test]
fn a_job_gets_its_own_selector() {
    let job = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {"metadata": {"labels": {"job-name": "mine"}}}}});
    let mut generated = job.clone();
    generate_job_selector(&mut generated);
    assert_eq!(
        generated["spec"]["selector"],
        json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}})
    );
    assert_eq!(
        generated["spec"]["template"]["metadata"]["labels"],
        json!({"job-name": "mine", "batch.kubernetes.io/job-name": "j", "controller-uid": "u",
            "batch.kubernetes.io/controller-uid": "u"})
    );
    let mut manual = job;
    manual["spec"]["manualSelector"] = json!(true);
    let before = manual.clone();
    generate_job_selector(&mut manual);
    assert_eq!(manual, before);
}
