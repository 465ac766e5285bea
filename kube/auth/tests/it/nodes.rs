//! What a node may do.

use auth::{Attributes, Authorizer, Decision, ResourceAttributes};
use serde_json::{Value, json};

use crate::clock::{authorizer, user};

fn objects() -> Vec<Value> {
    let pod = |name: &str, node: &str, spec: Value| {
        let mut object = json!({"kind": "Pod", "metadata": {"name": name, "namespace": "ns"}, "spec": spec});
        object["spec"]["nodeName"] = json!(node);
        object
    };
    let mut mirror = pod("mirror", "n1", json!({"serviceAccountName": "static"}));
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    vec![
        pod(
            "web",
            "n1",
            json!({"serviceAccountName": "web", "imagePullSecrets": [{"name": "pull"}],
            "volumes": [
                {"name": "s", "secret": {"secretName": "mounted"}},
                {"name": "p", "projected": {"sources": [{"secret": {"name": "projected"}},
                    {"configMap": {"name": "kube-root-ca.crt"}}]}},
                {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}},
                {"name": "e", "ephemeral": {"volumeClaimTemplate": {}}},
                {"name": "m", "configMap": {"name": "map"}}],
            "resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu"}],
            "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "env"}}}],
                "envFrom": [{"configMapRef": {"name": "env-map"}}]}]}),
        ),
        pod(
            "other",
            "n2",
            json!({"serviceAccountName": "other",
            "volumes": [{"name": "s", "secret": {"secretName": "others"}}]}),
        ),
        mirror,
        json!({"kind": "PersistentVolume", "metadata": {"name": "pv"}, "spec": {
            "claimRef": {"namespace": "ns", "name": "claim"},
            "csi": {"nodePublishSecretRef": {"name": "csi", "namespace": "drivers"}}}}),
        json!({"kind": "PersistentVolume", "metadata": {"name": "free"}, "spec": {}}),
        json!({"kind": "PersistentVolume", "metadata": {"name": "local",
            "labels": {"strake.dev/local-path-node": "host-1"},
            "annotations": {"local.path.provisioner/selected-node": "n1"}}, "spec": {}}),
        json!({"kind": "Node", "metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "host-1"}}}),
        json!({"kind": "VolumeAttachment", "metadata": {"name": "va"}, "spec": {"nodeName": "n1"}}),
        json!({"kind": "ResourceSlice", "metadata": {"name": "slice"}, "spec": {"nodeName": "n1"}}),
    ]
}

const NO: &str = "no relationship found between node 'n1' and this object";
const NO2: &str = "no relationship found between node 'n2' and this object";

/// `node verb group/resource/subresource namespace/name [field=value]` and the answer: `yes`, or why not.
const TABLE: &[(&str, &str)] = &[
    ("n1 get /secrets ns/mounted", "yes"),
    ("n1 watch /secrets ns/mounted", "yes"),
    ("n1 get /secrets ns/pull", "yes"),
    ("n1 get /secrets ns/env", "yes"),
    ("n1 get /secrets ns/projected", "yes"),
    ("n1 get /secrets drivers/csi", "yes"),
    ("n2 get /secrets drivers/csi", NO2),
    ("n1 get /secrets ns/others", NO),
    ("n2 get /secrets ns/mounted", NO2),
    ("n1 get /secrets other/mounted", NO),
    ("n1 list /secrets ns/", "No Object name found"),
    ("n1 list /secrets /", "can only read namespaced object of this type"),
    ("n1 delete /secrets ns/mounted", "can only read resources of this type"),
    ("n1 get /configmaps ns/map", "yes"),
    ("n1 get /configmaps ns/env-map", "yes"),
    ("n1 get /configmaps ns/kube-root-ca.crt", "yes"),
    ("n1 get /configmaps ns/x", NO),
    ("n1 get /persistentvolumeclaims ns/claim", "yes"),
    ("n1 get /persistentvolumeclaims ns/web-e", "yes"),
    ("n1 get /persistentvolumeclaims ns/web-x", NO),
    ("n1 list /persistentvolumeclaims ns/claim", "can only get individual resources of this type"),
    ("n1 patch /persistentvolumeclaims/status ns/claim", "yes"),
    ("n1 get /persistentvolumes /pv", "yes"),
    ("n1 get /persistentvolumes /free", NO),
    ("n2 get /persistentvolumes /pv", NO2),
    ("n1 patch /persistentvolumes /local", "yes"),
    ("n2 patch /persistentvolumes /local", NO2),
    ("n1 patch /persistentvolumes /pv", NO),
    ("n1 delete /persistentvolumes /local", "can only get individual resources of this type"),
    ("n1 list /persistentvolumes /", "can only get individual resources of this type"),
    ("n1 watch /persistentvolumes / strake.dev/local-path-node=host-1", "yes"),
    (
        "n2 watch /persistentvolumes / strake.dev/local-path-node=host-1",
        "can only get individual resources of this type",
    ),
    ("n1 get resource.k8s.io/resourceclaims ns/gpu", "yes"),
    ("n1 get storage.k8s.io/volumeattachments /va", "yes"),
    ("n2 get storage.k8s.io/volumeattachments /va", NO2),
    ("n1 create /serviceaccounts/token ns/web", "yes"),
    ("n1 create /serviceaccounts/token ns/other", NO),
    ("n1 create /serviceaccounts/token ns/static", NO),
    ("n1 get /serviceaccounts ns/web", "yes"),
    ("n1 create /serviceaccounts ns/web", "can only create token subresource of serviceaccount"),
    ("n1 update /serviceaccounts ns/web", "can only create tokens for individual service accounts"),
    ("n1 get coordination.k8s.io/leases kube-node-lease/n1", "yes"),
    ("n1 create coordination.k8s.io/leases kube-node-lease/", "yes"),
    (
        "n1 get coordination.k8s.io/leases kube-node-lease/n2",
        "can only access node lease with the same name as the requesting node",
    ),
    (
        "n1 get coordination.k8s.io/leases ns/n1",
        "can only access leases in the \"kube-node-lease\" system namespace",
    ),
    (
        "n1 list coordination.k8s.io/leases kube-node-lease/",
        "can only get, create, update, patch, or delete a node lease",
    ),
    ("n1 get storage.k8s.io/csinodes /n1", "yes"),
    (
        "n1 get storage.k8s.io/csinodes /n2",
        "can only access CSINode with the same name as the requesting node",
    ),
    ("n1 update resource.k8s.io/resourceslices /slice", "yes"),
    ("n2 update resource.k8s.io/resourceslices /slice", NO2),
    ("n1 list resource.k8s.io/resourceslices / spec.nodeName=n1", "yes"),
    (
        "n1 list resource.k8s.io/resourceslices / spec.nodeName=n2",
        "can only list/watch/deletecollection resourceslices with nodeName field selector",
    ),
    ("n1 get /nodes /n1", "yes"),
    ("n1 get /nodes /n2", "node 'n1' cannot read 'n2', only its own Node object"),
    ("n1 list /nodes /", "node 'n1' cannot read all nodes, only its own Node object"),
    ("n1 patch /nodes/status /n1", "yes"),
    ("n1 delete /nodes /n1", ""),
    ("n1 get /pods ns/web", "yes"),
    ("n1 get /pods ns/other", NO),
    ("n1 list /pods / spec.nodeName=n1", "yes"),
    ("n1 list /pods / spec.nodeName=n2", "can only list/watch pods with spec.nodeName field selector"),
    ("n1 watch /pods ns/web", "yes"),
    ("n1 update /pods/status ns/web", "yes"),
    ("n1 create /pods/eviction ns/web", "yes"),
    ("n1 create /pods/binding ns/web", ""),
    ("n1 list /services /", "yes"),
    ("n1 create certificates.k8s.io/certificatesigningrequests /", "yes"),
    ("n1 list apps/deployments /", ""),
];

#[test]
fn answers_as_upstream() {
    let authorizer = authorizer(objects());
    for (request, answer) in TABLE {
        let said = ask(&authorizer, request);
        assert_eq!(said, *answer, "{request}");
    }
}

fn ask(authorizer: &Authorizer, request: &str) -> String {
    let words: Vec<_> = request.split(' ').collect();
    let user = user(&format!("system:node:{}", words[0]), &["system:nodes"]);
    let parts: Vec<_> = words[2].split('/').collect();
    let (namespace, name) = words[3].split_once('/').unwrap();
    let fields: Vec<_> = words.get(4).and_then(|term| term.split_once('=')).into_iter().collect();
    let asked = ResourceAttributes {
        group: parts[0],
        version: "v1",
        resource: parts[1],
        subresource: parts.get(2).copied().unwrap_or_default(),
        namespace,
        name,
        fields: &fields,
        labels: &fields,
    };
    match authorizer.authorize(&Attributes::of_resource(&user, words[1], asked)) {
        Decision::Allow { .. } => "yes".to_owned(),
        other => other.reason().to_string(),
    }
}

#[test]
fn needs_name_and_group() {
    let authorizer = authorizer(objects());
    let services = ResourceAttributes { resource: "services", ..Default::default() };
    for (name, groups, allowed, reason) in [
        ("system:node:n1", &["system:nodes"][..], true, ""),
        ("system:node:n1", &[], false, ""),
        ("n1", &["system:nodes"], false, ""),
        ("system:node:", &["system:nodes"], false, "unknown node for user \"system:node:\""),
    ] {
        let user = user(name, groups);
        let decision = authorizer.authorize(&Attributes::of_resource(&user, "list", services));
        assert_eq!((decision.is_allowed(), decision.reason().as_str()), (allowed, reason), "{name}");
    }
}
