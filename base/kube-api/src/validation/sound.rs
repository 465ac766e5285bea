//! Objects as people write them: nothing is wrong with them.

use kube_object::resource::GroupVersionKind;
use serde_json::{Value, json};

use super::{validate_create, validate_status_update, validate_update};

/// Makes an object as the API server does, and replaces it by itself.
#[track_caller]
fn sound(mut object: Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let gvk = GroupVersionKind::of(&text(&object["apiVersion"]), &text(&object["kind"]));
    let metadata = object.as_object_mut().unwrap().entry("metadata").or_insert_with(|| json!({}));
    let key = kube_schema::Gvk { group: &gvk.group, version: &gvk.version, kind: &gvk.kind };
    let kind = kube_schema::Schema::builtin().kind(key).unwrap();
    if kind.scope == kube_schema::Scope::Namespaced {
        metadata["namespace"] = json!("default");
    }
    if metadata["name"].is_null() {
        metadata["name"] = json!("a");
    }
    metadata["uid"] = json!("3b1e0a8e-0000-4000-8000-000000000000");
    metadata["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    crate::decode(&gvk, &mut object);
    crate::default(&gvk, &mut object);
    let stored = crate::storage_version(&gvk.group_kind()).unwrap();
    let mut object = crate::convert(object, &stored).unwrap();
    crate::default(&stored, &mut object);
    let strategy = crate::strategy(&stored.group_kind());
    strategy.prepare_create(&stored, &mut object);
    assert_eq!(validate_create(&stored, &object), [], "{object}");
    object["metadata"]["resourceVersion"] = json!("7");
    let mut new = object.clone();
    strategy.prepare_update(&stored, &mut new, &object);
    assert_eq!(new, object, "an update that changes nothing");
    assert_eq!(validate_update(&stored, &new, &object), [], "{object}");
    if kind.subresource("status").is_some() {
        strategy.prepare_status(&stored, &mut new, &object);
        assert_eq!(new, object, "a status that changes nothing");
        assert_eq!(validate_status_update(&stored, "status", &new, &object), [], "{object}");
    }
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "nginx",
        "ports": [{"containerPort": 80}], "resources": {"requests": {"cpu": "0.1", "memory": "64Mi"}},
        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}}}]}})
}

#[test]
fn workloads() {
    let selector = json!({"matchLabels": {"app": "web"}});
    let mut pod = template();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    sound(pod);
    for kind in ["Deployment", "ReplicaSet", "DaemonSet", "StatefulSet"] {
        sound(
            json!({"apiVersion": "apps/v1", "kind": kind, "spec": {"selector": selector, "template": template(), "serviceName": "web"}}),
        );
    }
    sound(
        json!({"apiVersion": "v1", "kind": "ReplicationController", "spec": {"replicas": 2, "template": template()}}),
    );
    sound(json!({"apiVersion": "v1", "kind": "PodTemplate", "template": template()}));
    let mut once = template();
    once["spec"]["restartPolicy"] = json!("Never");
    sound(json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": once}}));
    sound(
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": once}}}}),
    );
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    sound(json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
        "spec": {"scaleTargetRef": target, "maxReplicas": 3, "targetCPUUtilizationPercentage": 50}}));
    sound(
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "spec": {"scaleTargetRef": target, "maxReplicas": 3}}),
    );
    sound(
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "spec": {"minAvailable": 1, "selector": selector}}),
    );
    sound(json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": 1, "data": {}}));
}

#[test]
fn core() {
    let core = |kind: &str, rest: Value| {
        let mut object = json!({"apiVersion": "v1", "kind": kind});
        object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        sound(object);
    };
    core("ConfigMap", json!({"data": {"a.b": "c"}, "binaryData": {"d": "eA=="}}));
    core("Secret", json!({"stringData": {"a": "b"}}));
    core("ServiceAccount", json!({}));
    core("Namespace", json!({"metadata": {"labels": {"a": "b"}}}));
    core(
        "Node",
        json!({"spec": {"podCIDRs": ["10.0.0.0/24"], "taints": [{"key": "a", "effect": "NoSchedule"}]},
        "status": {"capacity": {"cpu": "4", "memory": "8Gi", "pods": "110", "example.com/x": "2"}}}),
    );
    core(
        "Service",
        json!({"spec": {"selector": {"a": "b"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "dns", "port": 53, "protocol": "UDP"}]}}),
    );
    core("Service", json!({"spec": {"clusterIP": "None", "selector": {"a": "b"}}}));
    core("Service", json!({"spec": {"type": "ExternalName", "externalName": "example.com"}}));
    core(
        "Service",
        json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}], "sessionAffinity": "ClientIP"}}),
    );
    core(
        "Service",
        json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "loadBalancerSourceRanges": ["10.0.0.0/8"]}}),
    );
    core("Endpoints", json!({"subsets": [{"addresses": [{"ip": "10.1.1.1"}], "ports": [{"port": 80}]}]}));
    core(
        "Event",
        json!({"metadata": {"name": "p.17a"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Started", "message": "m", "type": "Normal", "source": {"component": "c"}, "count": 1}),
    );
    core(
        "LimitRange",
        json!({"spec": {"limits": [{"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"},
        "max": {"cpu": "1"}, "min": {"cpu": "50m"}}, {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}, {"type": "Pod", "max": {"memory": "1Gi"}}]}}),
    );
    core(
        "ResourceQuota",
        json!({"spec": {"hard": {"pods": "4", "requests.cpu": "1", "limits.memory": "2Gi", "services.nodeports": "0",
        "count/deployments.apps": "2", "gold.storageclass.storage.k8s.io/requests.storage": "500Gi", "requests.example.com/dongle": "3"}}}),
    );
    core(
        "ResourceQuota",
        json!({"spec": {"hard": {"pods": "4"}, "scopeSelector": {"matchExpressions":
        [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}}}),
    );
    core(
        "PersistentVolume",
        json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "fast",
        "nfs": {"server": "s", "path": "/x"}}}),
    );
    core(
        "PersistentVolume",
        json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "local": {"path": "/x"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}}}),
    );
    core(
        "PersistentVolumeClaim",
        json!({"spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}},
        "dataSource": {"kind": "PersistentVolumeClaim", "name": "other"}}}),
    );
}

#[test]
fn networks_and_access() {
    let networking = "networking.k8s.io/v1";
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    sound(
        json!({"apiVersion": networking, "kind": "Ingress", "spec": {"ingressClassName": "nginx", "tls": [{"hosts": ["a.b"], "secretName": "t"}],
        "rules": [{"host": "*.a.b", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]}}),
    );
    sound(json!({"apiVersion": networking, "kind": "Ingress", "spec": {"defaultBackend": backend}}));
    sound(
        json!({"apiVersion": networking, "kind": "IngressClass", "spec": {"controller": "example.com/ingress"}}),
    );
    sound(
        json!({"apiVersion": networking, "kind": "NetworkPolicy", "spec": {"podSelector": {}, "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"namespaceSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"port": 80}]}]}}),
    );
    sound(
        json!({"apiVersion": networking, "kind": "ServiceCIDR", "spec": {"cidrs": ["10.96.0.0/16", "fd00::/112"]}}),
    );
    sound(json!({"apiVersion": networking, "kind": "IPAddress", "metadata": {"name": "10.96.0.1"},
        "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "a"}}}));
    sound(json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.1.1"], "conditions": {"ready": true}, "nodeName": "n"}], "ports": [{"name": "", "port": 80}]}));
    sound(
        json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "regarding": {"kind": "Pod", "namespace": "default"}, "type": "Normal",
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "example.com/c", "reportingInstance": "i", "action": "A", "reason": "R"}),
    );
    let rbac = "rbac.authorization.k8s.io/v1";
    let rules = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "pods/log"]}]);
    sound(json!({"apiVersion": rbac, "kind": "Role", "metadata": {"name": "system:a"}, "rules": rules}));
    sound(
        json!({"apiVersion": rbac, "kind": "ClusterRole", "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}),
    );
    let subjects = json!([{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "default", "namespace": "default"}]);
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
    for kind in ["RoleBinding", "ClusterRoleBinding"] {
        sound(json!({"apiVersion": rbac, "kind": kind, "roleRef": role, "subjects": subjects}));
    }
}

#[test]
fn the_rest() {
    let storage = "storage.k8s.io/v1";
    sound(
        json!({"apiVersion": storage, "kind": "StorageClass", "provisioner": "example.com/p", "parameters": {"a": "b"}}),
    );
    sound(
        json!({"apiVersion": storage, "kind": "CSIDriver", "metadata": {"name": "d.example.com"}, "spec": {}}),
    );
    sound(
        json!({"apiVersion": storage, "kind": "CSINode", "spec": {"drivers": [{"name": "d.example.com", "nodeID": "n", "topologyKeys": []}]}}),
    );
    sound(
        json!({"apiVersion": storage, "kind": "VolumeAttachment", "spec": {"attacher": "d.example.com", "nodeName": "n", "source": {"persistentVolumeName": "v"}}}),
    );
    sound(
        json!({"apiVersion": storage, "kind": "CSIStorageCapacity", "storageClassName": "fast", "capacity": "1Gi", "nodeTopology": {}}),
    );
    sound(
        json!({"apiVersion": storage, "kind": "VolumeAttributesClass", "driverName": "d.example.com", "parameters": {"iops": "1"}}),
    );
    sound(
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1000, "globalDefault": false}),
    );
    sound(
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "system-node-critical"}, "value": 2_000_001_000}),
    );
    sound(
        json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "handler": "runc", "overhead": {"podFixed": {"cpu": "10m"}}}),
    );
    sound(
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {"holderIdentity": "", "leaseDurationSeconds": 15}}),
    );
    let admission = "admissionregistration.k8s.io/v1";
    let rule =
        json!({"operations": ["CREATE"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]});
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        sound(
            json!({"apiVersion": admission, "kind": kind, "webhooks": [{"name": "a.b.c", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"name": "s", "namespace": "n", "path": "/x"}}, "rules": [rule]}]}),
        );
    }
    sound(
        json!({"apiVersion": admission, "kind": "ValidatingAdmissionPolicy", "spec": {"matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "true", "message": "m"}], "variables": [{"name": "x", "expression": "1"}]}}),
    );
    sound(
        json!({"apiVersion": admission, "kind": "ValidatingAdmissionPolicyBinding", "spec": {"policyName": "p", "validationActions": ["Deny"],
        "paramRef": {"name": "a", "parameterNotFoundAction": "Deny"}}}),
    );
    sound(
        json!({"apiVersion": admission, "kind": "MutatingAdmissionPolicy", "spec": {"matchConstraints": {"resourceRules": [rule]}, "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}]}}),
    );
    sound(
        json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "Any Name"},
        "spec": {"request": "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K", "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]}}),
    );
    let subject = json!({"kind": "Group", "group": {"name": "system:masters"}});
    let flow_rule = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true});
    sound(
        json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "spec": {"matchingPrecedence": 900,
        "priorityLevelConfiguration": {"name": "l"}, "rules": [{"subjects": [subject], "resourceRules": [flow_rule]}]}}),
    );
    sound(
        json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration", "spec": {"type": "Limited",
        "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}}),
    );
    sound(
        json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.example.com"},
        "spec": {"group": "example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15, "insecureSkipTLSVerify": true,
            "service": {"name": "s", "namespace": "n"}}}),
    );
    let requests = json!({"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}]});
    sound(
        json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "spec": {"devices": requests}}),
    );
    sound(
        json!({"apiVersion": "resource.k8s.io/v1beta1", "kind": "ResourceClaim", "spec": {"devices": {"requests": [{"name": "gpu", "deviceClassName": "g"}]}}}),
    );
    sound(
        json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "spec": {"spec": {"devices": requests}}}),
    );
    sound(
        json!({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "spec": {"selectors": [{"cel": {"expression": "true"}}]}}),
    );
    sound(
        json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "spec": {"driver": "d.example.com", "nodeName": "n",
        "pool": {"name": "n", "resourceSliceCount": 1}, "devices": [{"name": "a", "attributes": {"x": {"int": 1}}}]}}),
    );
}
