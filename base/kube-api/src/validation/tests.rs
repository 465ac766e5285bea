//! What is refused, in upstream's words.
#![allow(clippy::needless_pass_by_value, reason = "tables read better without references")]

use serde_json::json;

use super::*;

fn gvk(api_version: &str, kind: &str) -> GroupVersionKind {
    GroupVersionKind::of(api_version, kind)
}

fn texts(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// Adds a name, and a namespace unless the kind is of the cluster.
fn complete(gvk: &GroupVersionKind, mut object: Value) -> Value {
    let metadata = object.as_object_mut().unwrap().entry("metadata").or_insert_with(|| json!({}));
    let metadata = metadata.as_object_mut().unwrap();
    metadata.entry("name").or_insert_with(|| json!("a"));
    let key = kube_schema::Gvk { group: &gvk.group, version: &gvk.version, kind: &gvk.kind };
    let kind = kube_schema::Schema::builtin().kind(key).unwrap();
    if kind.scope == kube_schema::Scope::Namespaced {
        metadata.entry("namespace").or_insert_with(|| json!("n"));
    }
    object
}

/// What creating an object is refused with, after decoding and defaults.
#[track_caller]
pub(super) fn create(api_version: &str, kind: &str, object: Value, expected: &[&str]) {
    let gvk = gvk(api_version, kind);
    let mut object = complete(&gvk, object);
    crate::decode(&gvk, &mut object);
    crate::default(&gvk, &mut object);
    assert_eq!(texts(&validate_create(&gvk, &object)), expected, "{object}");
}

/// What replacing an object is refused with.
#[track_caller]
pub(super) fn update(api_version: &str, kind: &str, old: Value, new: Value, expected: &[&str]) {
    let gvk = gvk(api_version, kind);
    let [mut new, mut old] = [new, old].map(|object| complete(&gvk, object));
    for object in [&mut new, &mut old] {
        crate::decode(&gvk, object);
        crate::default(&gvk, object);
        object["metadata"]["resourceVersion"] = json!("7");
    }
    assert_eq!(texts(&validate_update(&gvk, &new, &old)), expected);
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
     and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

#[test]
fn metadata() {
    let config = |metadata: Value, expected: &[&str]| {
        create("v1", "ConfigMap", json!({"metadata": metadata}), expected);
    };
    config(json!({}), &[]);
    config(json!({"name": "A"}), &[&format!("metadata.name: Invalid value: \"A\": {SUBDOMAIN}")]);
    config(json!({"name": ""}), &["metadata.name: Required value: name or generateName is required"]);
    config(json!({"namespace": ""}), &["metadata.namespace: Required value"]);
    config(
        json!({"generateName": "B-"}),
        &[&format!("metadata.generateName: Invalid value: \"B-\": {SUBDOMAIN}")],
    );
    config(
        json!({"labels": {"a": "b c"}}),
        &["metadata.labels: Invalid value: \"b c\": a valid label must be an empty string or consist of \
           alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
           'MyValue',  or 'my_value',  or '12345', regex used for validation is \
           '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"],
    );
    config(
        json!({"annotations": {"a": "x".repeat(262_144)}}),
        &["metadata.annotations: Too long: may not be more than 262144 bytes"],
    );
    config(
        json!({"finalizers": ["orphan", "foregroundDeletion"]}),
        &["metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer orphan and \
           foregroundDeletion cannot be both set"],
    );
    let owner =
        |name: &str| json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": "u", "controller": true});
    let owners = json!([owner("a"), owner("b")]);
    config(
        json!({"ownerReferences": owners}),
        &[&format!(
            "metadata.ownerReferences: Invalid value: {owners}: Only one reference can have Controller set to true. \
             Found \"true\" in references for Pod/a and Pod/b"
        )],
    );
    config(
        json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a"}]}),
        &["metadata.ownerReferences.uid: Invalid value: \"\": must not be empty"],
    );
    create(
        "v1",
        "Namespace",
        json!({"metadata": {"namespace": "n"}}),
        &["metadata.namespace: Forbidden: not allowed on this type"],
    );
    create(
        "v1",
        "Namespace",
        json!({"metadata": {"name": "a.b"}}),
        &["metadata.name: Invalid value: \"a.b\": must not contain dots"],
    );
}

#[test]
fn metadata_of_an_update() {
    let config = |old: Value, new: Value, expected: &[&str]| {
        update("v1", "ConfigMap", json!({"metadata": old}), json!({"metadata": new}), expected);
    };
    config(
        json!({"uid": "1"}),
        json!({"uid": "2"}),
        &["metadata.uid: Invalid value: \"2\": field is immutable"],
    );
    config(
        json!({"name": "a"}),
        json!({"name": "b"}),
        &["metadata.name: Invalid value: \"b\": field is immutable"],
    );
    config(
        json!({"generation": 3}),
        json!({"generation": 2}),
        &["metadata.generation: Invalid value: 2: must not be decremented"],
    );
    let gone = "2026-01-01T00:00:00Z";
    config(
        json!({"deletionTimestamp": gone, "finalizers": ["a/b"]}),
        json!({"deletionTimestamp": gone, "finalizers": ["a/b", "a/d", "a/c"]}),
        &[
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new \
           finalizers []string{\"a/c\", \"a/d\"}",
        ],
    );
    let gvk = gvk("v1", "ConfigMap");
    let object = complete(&gvk, json!({}));
    assert_eq!(
        texts(&validate_update(&gvk, &object, &object)),
        ["metadata.resourceVersion: Invalid value: 0: must be specified for an update"]
    );
}

#[test]
fn config_maps_and_secrets() {
    create(
        "v1",
        "ConfigMap",
        json!({"data": {"a/b": ""}}),
        &[
            "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' \
         (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
        ],
    );
    create(
        "v1",
        "ConfigMap",
        json!({"data": {"a": ""}, "binaryData": {"a": ""}}),
        &["data[a]: Invalid value: \"a\": duplicate of key present in binaryData"],
    );
    create(
        "v1",
        "ConfigMap",
        json!({"data": {"a": "x".repeat(1_048_577)}}),
        &["<nil>: Too long: may not be more than 1048576 bytes"],
    );
    let frozen = json!({"immutable": true, "data": {"a": "1"}});
    update(
        "v1",
        "ConfigMap",
        frozen.clone(),
        json!({"immutable": true, "data": {"a": "2"}}),
        &["data: Forbidden: field is immutable when `immutable` is set"],
    );
    update(
        "v1",
        "ConfigMap",
        frozen.clone(),
        json!({"data": {"a": "1"}}),
        &["immutable: Forbidden: field is immutable when `immutable` is set"],
    );
    update("v1", "ConfigMap", frozen.clone(), frozen, &[]);
    create(
        "v1",
        "Secret",
        json!({"type": "kubernetes.io/tls"}),
        &["data[tls.crt]: Required value", "data[tls.key]: Required value"],
    );
    create(
        "v1",
        "Secret",
        json!({"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "{}"}}),
        &[],
    );
    create(
        "v1",
        "Secret",
        json!({"type": "kubernetes.io/basic-auth"}),
        &["data[username]: Required value", "data[password]: Required value"],
    );
    create(
        "v1",
        "Secret",
        json!({"type": "kubernetes.io/service-account-token"}),
        &["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
    );
    update(
        "v1",
        "Secret",
        json!({"type": "Opaque"}),
        json!({"type": "x/y"}),
        &["type: Invalid value: \"x/y\": field is immutable"],
    );
}

fn service(spec: Value) -> Value {
    let mut all = json!({"ports": [{"port": 80}], "internalTrafficPolicy": "Cluster"});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({"spec": all})
}

#[test]
fn services() {
    create("v1", "Service", service(json!({})), &[]);
    create(
        "v1",
        "Service",
        json!({"metadata": {"name": "1a"}, "spec": {"ports": [{"port": 80}]}}),
        &[
            "metadata.name: Invalid value: \"1a\": a DNS-1035 label must consist of lower case alphanumeric characters or \
         '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or \
         'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        ],
    );
    create("v1", "Service", service(json!({"ports": []})), &["spec.ports: Required value"]);
    create(
        "v1",
        "Service",
        service(json!({"ports": [{"port": 0}]})),
        &[
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
        ],
    );
    create(
        "v1",
        "Service",
        service(json!({"ports": [{"port": 80}, {"port": 81}]})),
        &["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
    );
    create(
        "v1",
        "Service",
        service(json!({"ports": [{"port": 80, "protocol": "HTTP"}]})),
        &[
            "spec.ports[0].protocol: Unsupported value: \"HTTP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
        ],
    );
    create(
        "v1",
        "Service",
        service(json!({"type": "Proxy"})),
        &[
            "spec.type: Unsupported value: \"Proxy\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
        ],
    );
    create(
        "v1",
        "Service",
        service(json!({"ports": [{"port": 80, "nodePort": 30000}]})),
        &["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    );
    create(
        "v1",
        "Service",
        json!({"spec": {"type": "ExternalName"}}),
        &["spec.externalName: Required value"],
    );
    create(
        "v1",
        "Service",
        service(
            json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}}),
        ),
        &[
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and less than 86400",
        ],
    );
    create(
        "v1",
        "Service",
        service(json!({"externalIPs": ["127.0.0.1", "x"]})),
        &[
            "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            "spec.externalIPs[1]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ],
    );
    create(
        "v1",
        "Service",
        service(json!({"clusterIP": "None", "clusterIPs": ["None"], "type": "NodePort"})),
        &["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
    );
}

#[test]
fn services_that_change() {
    let with = |one: &str| service(json!({"clusterIP": one, "clusterIPs": [one]}));
    update(
        "v1",
        "Service",
        with("10.0.0.1"),
        with("10.0.0.2"),
        &["spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set"],
    );
    update("v1", "Service", with("10.0.0.1"), with("10.0.0.1"), &[]);
    let two = |list: Value, policy: &str| {
        service(
            json!({"clusterIP": "10.0.0.1", "clusterIPs": list, "ipFamilies": ["IPv4"], "ipFamilyPolicy": policy}),
        )
    };
    update(
        "v1",
        "Service",
        two(json!(["10.0.0.1", "fd00::1"]), "PreferDualStack"),
        two(json!(["10.0.0.1"]), "PreferDualStack"),
        &[
            "spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be set to 'SingleStack' when releasing the secondary clusterIP",
        ],
    );
}

#[test]
fn endpoints() {
    create(
        "v1",
        "Endpoints",
        json!({"subsets": [{}]}),
        &["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"],
    );
    create(
        "v1",
        "Endpoints",
        json!({"subsets": [{"addresses": [{"ip": "169.254.1.1"}], "ports": [{"port": 70000}]}]}),
        &[
            "subsets[0].addresses[0].ip: Invalid value: \"169.254.1.1\": may not be in the link-local range (169.254.0.0/16, fe80::/10)",
            "subsets[0].ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ],
    );
    create(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        json!({"endpoints": [{"addresses": []}]}),
        &[
            "addressType: Required value",
            "endpoints[0].addresses: Required value: must contain at least 1 address",
        ],
    );
    create(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        json!({"addressType": "IPv4", "endpoints": [{"addresses": ["fd00::1"]}]}),
        &["endpoints[0].addresses[0]: Invalid value: \"fd00::1\": must be an IPv4 address"],
    );
    let slice = |kind: &str| json!({"addressType": kind});
    update(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        slice("IPv4"),
        slice("IPv6"),
        &["addressType: Invalid value: \"IPv6\": field is immutable"],
    );
}

#[test]
fn clusters() {
    create(
        "v1",
        "Namespace",
        json!({"spec": {"finalizers": ["x"]}}),
        &[
            "spec.finalizers: Invalid value: \"x\": name is neither a standard finalizer name nor is it fully qualified",
        ],
    );
    create(
        "v1",
        "Node",
        json!({"spec": {"taints": [{"key": "a", "effect": "Never"}]}}),
        &[
            "metadata.taints[0].effect: Unsupported value: \"Never\": supported values: \"NoExecute\", \"NoSchedule\", \"PreferNoSchedule\"",
        ],
    );
    update(
        "v1",
        "Node",
        json!({"spec": {"providerID": "a"}}),
        json!({"spec": {"providerID": "b"}}),
        &["spec.providerID: Forbidden: node updates may not change providerID except from \"\" to valid"],
    );
    create(
        "v1",
        "ResourceQuota",
        json!({"spec": {"hard": {"pods": "-1", "services": "1500m", "wheels": "4"}}}),
        &[
            "spec.hard[pods]: Invalid value: \"-1\": must be greater than or equal to 0",
            "spec.hard[services]: Invalid value: \"1500m\": must be an integer",
            "spec.hard[wheels]: Invalid value: \"wheels\": must be a standard resource type or fully qualified",
            "spec.hard[wheels]: Invalid value: \"wheels\": must be a standard resource for quota",
        ],
    );
    create(
        "v1",
        "ResourceQuota",
        json!({"spec": {"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}}),
        &["spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource"],
    );
    create(
        "v1",
        "ResourceQuota",
        json!({"spec": {"hard": {"count/deployments.apps": "5", "requests.nvidia.com/gpu": "1"}}}),
        &[],
    );
    create(
        "v1",
        "LimitRange",
        json!({"spec": {"limits": [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]}}),
        &[
            "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
            "spec.limits[0].defaultRequest[cpu]: Invalid value: \"1\": min value 2 is greater than default request value 1",
            "spec.limits[0].default[cpu]: Invalid value: \"2\": min value 2 is greater than default value 1",
        ],
    );
}

#[test]
fn volumes() {
    let volume =
        |spec: Value, expected: &[&str]| create("v1", "PersistentVolume", json!({"spec": spec}), expected);
    let good =
        json!({"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}});
    volume(good.clone(), &[]);
    volume(
        json!({}),
        &[
            "spec.accessModes: Required value",
            "spec.capacity: Required value",
            "spec.capacity: Unsupported value: \"null\": supported values: \"storage\"",
            "spec: Required value: must specify a volume type",
        ],
    );
    let mut other = good.clone();
    other["hostPath"]["path"] = json!("/y");
    update(
        "v1",
        "PersistentVolume",
        json!({"spec": good}),
        json!({"spec": other}),
        &["spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"],
    );
    create(
        "v1",
        "PersistentVolumeClaim",
        json!({"spec": {}}),
        &[
            "spec.accessModes: Required value: at least 1 access mode is required",
            "spec.resources[storage]: Required value",
        ],
    );
    let claim = |size: &str, phase: &str| {
        json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
               "status": {"phase": phase, "capacity": {"storage": "2Gi"}}})
    };
    create(
        "v1",
        "PersistentVolumeClaim",
        claim("0", "Pending"),
        &["spec.resources[storage]: Invalid value: \"0\": must be greater than zero"],
    );
    update("v1", "PersistentVolumeClaim", claim("2Gi", "Bound"), claim("3Gi", "Bound"), &[]);
    update(
        "v1",
        "PersistentVolumeClaim",
        claim("2Gi", "Bound"),
        claim("1Gi", "Bound"),
        &["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"],
    );
    update(
        "v1",
        "PersistentVolumeClaim",
        claim("2Gi", "Pending"),
        claim("3Gi", "Pending"),
        &[
            "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        ],
    );
}

#[test]
fn events() {
    let about = json!({"kind": "Pod", "namespace": "other"});
    create(
        "v1",
        "Event",
        json!({"involvedObject": about}),
        &["involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"],
    );
    create(
        "events.k8s.io/v1",
        "Event",
        json!({"regarding": {"namespace": "n"}, "type": "Normal", "eventTime": "2026-01-01T00:00:00.000000Z"}),
        &[
            "reportingController: Required value",
            "reportingController: Invalid value: \"\": name part must be non-empty",
            "reportingController: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', \
         and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex \
         used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            "reportingInstance: Required value",
            "action: Required value",
            "reason: Required value",
        ],
    );
}

#[test]
fn roles() {
    let rbac = "rbac.authorization.k8s.io/v1";
    create(
        rbac,
        "Role",
        json!({"rules": [{}]}),
        &[
            "rules[0].verbs: Required value: verbs must contain at least one value",
            "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
            "rules[0].resources: Required value: resource rules must supply at least one resource",
        ],
    );
    create(
        rbac,
        "Role",
        json!({"metadata": {"name": "system:a"}, "rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]}),
        &[
            "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
        ],
    );
    create(rbac, "ClusterRole", json!({"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]}), &[]);
    create(
        rbac,
        "ClusterRoleBinding",
        json!({"roleRef": {"kind": "Role"}, "subjects": [{"kind": "ServiceAccount", "name": "a"}, {"kind": "X", "name": "b"}]}),
        &[
            "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
            "roleRef.name: Required value",
            "subjects[0].namespace: Required value",
            "subjects[1].kind: Unsupported value: \"X\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
        ],
    );
    let binding = |name: &str| json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}});
    update(
        rbac,
        "RoleBinding",
        binding("a"),
        binding("b"),
        &[
            "roleRef: Invalid value: {\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"Role\",\"name\":\"b\"}: cannot change roleRef",
        ],
    );
}

#[test]
fn networks() {
    let networking = "networking.k8s.io/v1";
    create(
        networking,
        "Ingress",
        json!({"spec": {}}),
        &["spec: Invalid value: \"null\": either `defaultBackend` or `rules` must be specified"],
    );
    let rule = |path: Value| json!({"spec": {"rules": [{"host": "a.b", "http": {"paths": [path]}}]}});
    create(
        networking,
        "Ingress",
        rule(json!({"path": "/", "backend": {"service": {"name": "s", "port": {"number": 80}}}})),
        &["spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"],
    );
    create(
        networking,
        "Ingress",
        rule(json!({"path": "x", "pathType": "Prefix", "backend": {"service": {"name": "s"}}})),
        &[
            "spec.rules[0].http.paths[0].path: Invalid value: \"x\": must be an absolute path",
            "spec.rules[0].http.paths[0].backend: Required value: port name or number is required",
        ],
    );
    create(
        networking,
        "IngressClass",
        json!({"spec": {"controller": "x"}}),
        &["spec.controller: Invalid value: \"x\": must be a domain-prefixed path (such as \"acme.io/foo\")"],
    );
    create(
        networking,
        "NetworkPolicy",
        json!({"spec": {"ingress": [{"from": [{}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}}]}]}}),
        &[
            "spec.ingress[0].from[0]: Required value: must specify a peer",
            "spec.ingress[0].from[1].ipBlock.except[0]: Invalid value: \"11.0.0.0/9\": must be a strict subset of `cidr`",
        ],
    );
    create(
        networking,
        "ServiceCIDR",
        json!({"spec": {"cidrs": []}}),
        &["spec.cidrs: Required value: at least one CIDR required"],
    );
    create(
        networking,
        "IPAddress",
        json!({"metadata": {"name": "10.0.0.1"}, "spec": {}}),
        &["spec.parentRef: Required value"],
    );
}

#[test]
fn storage() {
    let storage = "storage.k8s.io/v1";
    create(storage, "StorageClass", json!({"provisioner": ""}), &["provisioner: Required value"]);
    create(
        storage,
        "StorageClass",
        json!({"provisioner": "p", "volumeBindingMode": "Later"}),
        &[
            "volumeBindingMode: Unsupported value: \"Later\": supported values: \"Immediate\", \"WaitForFirstConsumer\"",
        ],
    );
    let class = |name: &str| json!({"provisioner": name});
    update(
        storage,
        "StorageClass",
        class("a"),
        class("b"),
        &["provisioner: Forbidden: updates to provisioner are forbidden."],
    );
    create(
        storage,
        "CSIDriver",
        json!({"spec": {"tokenRequests": [{"audience": "a", "expirationSeconds": 1}, {"audience": "a"}]}}),
        &[
            "spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
            "spec.tokenRequests[1].audience: Duplicate value: \"a\"",
        ],
    );
    create(
        storage,
        "CSINode",
        json!({"spec": {"drivers": [{"name": "a", "nodeID": ""}]}}),
        &["spec.drivers[0].nodeID: Required value"],
    );
    create(
        storage,
        "VolumeAttachment",
        json!({"spec": {"attacher": "a", "nodeName": "n", "source": {}}}),
        &[
            "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
        ],
    );
}

#[test]
fn classes_and_leases() {
    create(
        "scheduling.k8s.io/v1",
        "PriorityClass",
        json!({"value": 2_000_000_000}),
        &["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
    );
    create(
        "scheduling.k8s.io/v1",
        "PriorityClass",
        json!({"metadata": {"name": "system-x"}, "value": 1}),
        &[
            "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: \
         system-x is not a known system priority class",
        ],
    );
    update(
        "scheduling.k8s.io/v1",
        "PriorityClass",
        json!({"value": 1}),
        json!({"value": 2}),
        &["value: Forbidden: may not be changed in an update."],
    );
    update(
        "node.k8s.io/v1",
        "RuntimeClass",
        json!({"handler": "a"}),
        json!({"handler": "b"}),
        &["handler: Invalid value: \"b\": field is immutable"],
    );
    create(
        "coordination.k8s.io/v1",
        "Lease",
        json!({"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}}),
        &[
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
            "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
        ],
    );
}

#[test]
fn webhooks() {
    let admission = "admissionregistration.k8s.io/v1";
    let hook = |hook: Value, expected: &[&str]| {
        create(admission, "ValidatingWebhookConfiguration", json!({"webhooks": [hook]}), expected);
    };
    let config = json!({"service": {"name": "s", "namespace": "n"}});
    hook(
        json!({"name": "a.b.c", "clientConfig": config, "sideEffects": "None", "admissionReviewVersions": ["v1"]}),
        &[],
    );
    hook(
        json!({"name": "a.b", "clientConfig": {}}),
        &[
            "webhooks[0].name: Invalid value: \"a.b\": should be a domain with at least three segments separated by dots",
            "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
            "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
            "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
        ],
    );
    let rule = json!({"operations": ["*", "CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/*", "pods/log"]});
    hook(
        json!({"name": "a.b.c", "clientConfig": {"url": "http://u@h?q#f"}, "sideEffects": "Some", "timeoutSeconds": 31,
        "admissionReviewVersions": ["v9"], "rules": [rule]}),
        &[
            "webhooks[0].rules[0].operations: Invalid value: [\"*\",\"CREATE\"]: if '*' is present, must not specify other operations",
            "webhooks[0].rules[0].resources[1]: Invalid value: \"pods/log\": if 'pods/*' is present, must not specify pods/log",
            "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
            "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
            "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
            "webhooks[0].clientConfig.url: Invalid value: \"u\": user information is not permitted in the URL",
            "webhooks[0].clientConfig.url: Invalid value: \"f\": fragments are not permitted in the URL",
            "webhooks[0].clientConfig.url: Invalid value: \"q\": query parameters are not permitted in the URL",
            "webhooks[0].admissionReviewVersions: Invalid value: [\"v9\"]: must include at least one of v1, v1beta1",
        ],
    );
}

#[test]
fn admission_policies() {
    let admission = "admissionregistration.k8s.io/v1";
    create(
        admission,
        "ValidatingAdmissionPolicy",
        json!({"spec": {}}),
        &[
            "spec.matchConstraints: Required value",
            "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
            "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
        ],
    );
    let rules = json!({"resourceRules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]});
    create(
        admission,
        "ValidatingAdmissionPolicy",
        json!({"spec": {"matchConstraints": rules, "validations": [{"expression": " "}],
        "variables": [{"name": "1", "expression": "1"}], "paramKind": {"kind": "X"}}}),
        &[
            "spec.paramKind.apiVersion: Required value",
            "spec.variables[0].name: Invalid value: \"1\": name is not a valid CEL identifier",
            "spec.validations[0].expression: Required value: expression is not specified",
        ],
    );
    create(
        admission,
        "ValidatingAdmissionPolicyBinding",
        json!({"spec": {"policyName": "p", "validationActions": ["Deny", "Warn"]}}),
        &[
            "spec.validationActions: Invalid value: [\"Deny\",\"Warn\"]: must not contain both Deny and Warn (repeating the same \
         validation failure information in the API response and headers serves no purpose)",
        ],
    );
}

#[test]
fn certificates() {
    let group = "certificates.k8s.io/v1";
    create(
        group,
        "CertificateSigningRequest",
        json!({"spec": {"request": "eA==", "signerName": "x", "usages": ["a"], "expirationSeconds": 5}}),
        &[
            "spec.request: Invalid value: \"eA==\": PEM block type must be CERTIFICATE REQUEST",
            "spec.usages[0]: Unsupported value: \"a\": supported values: \"any\", \"cert sign\", \"client auth\", \"code signing\", \
         \"content commitment\", \"crl sign\", \"data encipherment\", \"decipher only\", \"digital signature\", \"email protection\", \
         \"encipher only\", \"ipsec end system\", \"ipsec tunnel\", \"ipsec user\", \"key agreement\", \"key encipherment\", \
         \"microsoft sgc\", \"netscape sgc\", \"ocsp signing\", \"s/mime\", \"server auth\", \"signing\", \"timestamping\"",
            "spec.signerName: Invalid value: \"x\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
            "spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds (10 minutes)",
        ],
    );
    let pem = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K";
    let csr = |status: Value| json!({"spec": {"request": pem, "signerName": "a.b/c", "usages": ["client auth"]}, "status": status});
    create(group, "CertificateSigningRequest", csr(json!({})), &[]);
    update(
        group,
        "CertificateSigningRequest",
        csr(json!({})),
        csr(json!({"certificate": "eA=="})),
        &["status.certificate: Forbidden: updates may not set certificate content"],
    );
    update(
        group,
        "CertificateSigningRequest",
        csr(json!({})),
        csr(json!({"conditions": [{"type": "Approved", "status": "True"}]})),
        &["status.conditions: Forbidden: updates may not add a condition of type \"Approved\""],
    );
}

#[test]
fn flow_control_and_api_services() {
    let flow = "flowcontrol.apiserver.k8s.io/v1";
    create(
        flow,
        "FlowSchema",
        json!({"spec": {"matchingPrecedence": 20_000, "rules": [{}]}}),
        &[
            "spec.matchingPrecedence: Invalid value: 20000: must not be greater than 10000",
            "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
            "spec.rules[0].subjects: Required value: subjects must contain at least one value",
            "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
        ],
    );
    create(
        flow,
        "PriorityLevelConfiguration",
        json!({"spec": {"type": "Limited"}}),
        &["spec.limited: Required value: must not be empty when type is Limited"],
    );
    create(
        "apiregistration.k8s.io/v1",
        "APIService",
        json!({"spec": {"group": "a.b", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 0}}),
        &[
            "metadata.name: Invalid value: \"a\": must be `spec.version+\".\"+spec.group`: \"v1.a.b\"",
            "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
        ],
    );
}

#[test]
fn devices() {
    let group = "resource.k8s.io/v1";
    create(
        group,
        "ResourceClaim",
        json!({"spec": {"devices": {"requests": [{"name": "a"}]}}}),
        &[
            "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required",
        ],
    );
    let claim = |class: &str| json!({"spec": {"devices": {"requests": [{"name": "a", "exactly": {"deviceClassName": class}}]}}});
    create(group, "ResourceClaim", claim("gpu"), &[]);
    let gvk = gvk(group, "ResourceClaim");
    let [mut new, old] = ["b", "a"].map(|class| complete(&gvk, claim(class)));
    new["metadata"]["resourceVersion"] = json!("7");
    let errors = texts(&validate_update(&gvk, &new, &old));
    assert_eq!(errors.len(), 1);
    assert!(errors[0].ends_with("field is immutable"), "{errors:?}");
}

#[test]
fn reviews_need_no_name() {
    let gvk = gvk("authorization.k8s.io/v1", "SubjectAccessReview");
    let review = json!({"spec": {"resourceAttributes": {"verb": "get"}}});
    assert_eq!(
        texts(&validate_create(&gvk, &review)),
        ["spec.user: Invalid value: \"\": at least one of user or group must be specified"]
    );
}

#[test]
fn hostile_lists_end_early() {
    let many = |item: Value| Value::Array(vec![item; 20_000]);
    for (api_version, kind, object) in [
        ("rbac.authorization.k8s.io/v1", "Role", json!({"rules": many(json!({}))})),
        ("rbac.authorization.k8s.io/v1", "RoleBinding", json!({"subjects": many(json!({}))})),
        ("v1", "Service", json!({"spec": {"ports": many(json!({}))}})),
        ("v1", "Endpoints", json!({"subsets": many(json!({}))})),
        ("networking.k8s.io/v1", "Ingress", json!({"spec": {"rules": many(json!({"http": {}}))}})),
        ("networking.k8s.io/v1", "NetworkPolicy", json!({"spec": {"egress": [{"to": many(json!({}))}]}})),
        (
            "admissionregistration.k8s.io/v1",
            "MutatingWebhookConfiguration",
            json!({"webhooks": many(json!({}))}),
        ),
        ("v1", "Node", json!({"spec": {"taints": many(json!({}))}})),
        ("resource.k8s.io/v1", "DeviceClass", json!({"spec": {"selectors": many(json!({}))}})),
    ] {
        let faults = validate_create(&gvk(api_version, kind), &object).len();
        assert!(faults < 5_000, "{kind}: {faults}");
    }
}
