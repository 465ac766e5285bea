//! Tables of requests and what each step makes of them.
#![expect(clippy::needless_pass_by_value, reason = "tables read better without borrows")]

use std::sync::Arc;

use kube_object::cluster::Fixed;
use kube_object::resource::{GroupResource, GroupVersionKind, GroupVersionResource};
use kube_object::user::User;
use serde_json::{Value, json};

use super::*;
use crate::notes::Notes;
use crate::plugin::Scene;
use crate::request::{Operation, Request};
use crate::testing::{Allowed, host};

fn request(operation: Operation, resource: &str, object: Value) -> Request {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    Request {
        operation,
        kind: GroupVersionKind::new(group, "v1", "Kind"),
        resource: GroupVersionResource::new(group, "v1", resource),
        subresource: subresource.to_owned(),
        namespace: object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned(),
        name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        object: (operation != Operation::Delete).then_some(object),
        ..Request::default()
    }
}

fn pod(spec: Value) -> Request {
    request(Operation::Create, "pods", json!({"metadata": {"name": "p", "namespace": "n"}, "spec": spec}))
}

fn cluster(objects: &[(&str, Value)]) -> Fixed {
    let mut cluster = Fixed::default();
    for (resource, object) in objects {
        let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
        cluster.put(GroupResource::new(group, resource), object.clone());
    }
    cluster
}

/// Both halves of a plugin; the refusal's text, or the object.
fn run(plugin: &dyn Plugin, mut request: Request, objects: &[(&str, Value)]) -> Result<Value, String> {
    let host = host(cluster(objects), Allowed::default());
    run_on(plugin, &mut request, &host, &mut Notes::default())
}

fn run_on(
    plugin: &dyn Plugin,
    request: &mut Request,
    host: &Host,
    notes: &mut Notes,
) -> Result<Value, String> {
    let scene = Scene::new(host);
    if !plugin.handles(request.operation) {
        return Ok(request.object.clone().unwrap_or_default());
    }
    plugin.mutate(request, &scene, notes).map_err(|status| status.message)?;
    plugin.validate(request, &scene, notes).map_err(|status| status.message)?;
    Ok(request.object.clone().unwrap_or_default())
}

#[test]
fn namespaces_come_first_and_go_last() {
    let plugin = || lifecycle::NamespaceLifecycle::new(Arc::new(base::SystemClock));
    let gone = ("namespaces", json!({"metadata": {"name": "n"}, "status": {"phase": "Terminating"}}));
    let here = ("namespaces", json!({"metadata": {"name": "n"}, "status": {"phase": "Active"}}));
    let delete = |name: &str| request(Operation::Delete, "namespaces", json!({"metadata": {"name": name}}));
    let map =
        |operation| request(operation, "configmaps", json!({"metadata": {"name": "c", "namespace": "n"}}));
    for (request, objects, expected) in [
        (map(Operation::Create), vec![], Err("namespaces \"n\" not found")),
        (map(Operation::Create), vec![here], Ok(())),
        (
            map(Operation::Create),
            vec![gone.clone()],
            Err(
                "configmaps \"c\" is forbidden: unable to create new content in namespace n because it is being terminated",
            ),
        ),
        (map(Operation::Update), vec![gone], Ok(())),
        (
            delete("default"),
            vec![],
            Err("namespaces \"default\" is forbidden: this namespace may not be deleted"),
        ),
        (delete("n"), vec![], Ok(())),
    ] {
        let result = run(&plugin(), request, &objects);
        assert_eq!(result.map(drop), expected.map_err(str::to_owned));
    }
}

#[test]
fn a_refusal_names_its_cause_and_a_deleted_namespace_is_read_anew() {
    let plugin = lifecycle::NamespaceLifecycle::new(Arc::new(base::SystemClock));
    let objects = [("namespaces", json!({"metadata": {"name": "n"}, "status": {"phase": "Terminating"}}))];
    let host = host(cluster(&objects), Allowed::default());
    let mut create = pod(json!({}));
    let status = plugin.mutate(&mut create, &Scene::new(&host), &mut Notes::default()).unwrap_err();
    let cause = &status.details.unwrap().causes[0];
    assert_eq!(cause["reason"], "NamespaceTerminating");
    assert_eq!(cause["field"], "metadata.namespace");
    assert!(!plugin.needs(&create)[0].newest);
    let mut delete = request(Operation::Delete, "namespaces", json!({"metadata": {"name": "n"}}));
    plugin.mutate(&mut delete, &Scene::new(&host), &mut Notes::default()).unwrap();
    assert!(plugin.needs(&create)[0].newest);
}

fn range(limits: Value) -> (&'static str, Value) {
    ("limitranges", json!({"metadata": {"name": "r", "namespace": "n"}, "spec": {"limits": [limits]}}))
}

#[test]
fn limits_are_given_and_kept() {
    let resources = |requests: Value, limits: Value| {
        pod(json!({"containers": [{"name": "c", "resources": {"requests": requests, "limits": limits}}]}))
    };
    let claim = request(
        Operation::Create,
        "persistentvolumeclaims",
        json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"resources": {"requests": {"storage": "3Gi"}}}}),
    );
    for (request, limits, expected) in [
        (
            resources(json!({}), json!({})),
            json!({"type": "Container", "min": {"memory": "1Mi"}}),
            "minimum memory usage per Container is 1Mi.  No request is specified",
        ),
        (
            resources(json!({"cpu": "50m"}), json!({})),
            json!({"type": "Container", "min": {"cpu": "100m"}}),
            "minimum cpu usage per Container is 100m, but request is 50m",
        ),
        (
            resources(json!({"cpu": "1"}), json!({"cpu": "3"})),
            json!({"type": "Container", "max": {"cpu": "2"}}),
            "maximum cpu usage per Container is 2, but limit is 3",
        ),
        (
            resources(json!({"cpu": "3"}), json!({})),
            json!({"type": "Pod", "max": {"cpu": "2", "memory": "1Gi"}}),
            "[maximum cpu usage per Pod is 2.  No limit is specified, maximum memory usage per Pod is 1Gi.  No limit is specified]",
        ),
        (
            resources(json!({"cpu": "1"}), json!({"cpu": "3"})),
            json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}),
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
        (
            resources(json!({}), json!({"cpu": "3"})),
            json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}),
            "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
        ),
        (
            claim,
            json!({"type": "PersistentVolumeClaim", "max": {"storage": "2Gi"}, "min": {"storage": "1Gi"}}),
            "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi",
        ),
    ] {
        let error = run(&limit_ranger::LimitRanger, request, &[range(limits)]).unwrap_err();
        assert_eq!(error.split_once("is forbidden: ").unwrap().1, expected);
    }
}

#[test]
fn silent_containers_get_the_defaults() {
    let limits = json!({"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}});
    let request = pod(
        json!({"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}}}], "initContainers": [{"name": "i"}]}),
    );
    let pod = run(&limit_ranger::LimitRanger, request, &[range(limits)]).unwrap();
    assert_eq!(
        pod["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "100m"}})
    );
    assert_eq!(pod["spec"]["initContainers"][0]["resources"]["limits"], json!({"cpu": "1", "memory": "1Gi"}));
    assert_eq!(
        pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container c; memory limit for container c; \
         cpu request for init container i; cpu, memory limit for init container i"
    );
}

fn service_account(name: &str, more: Value) -> (&'static str, Value) {
    let mut account = json!({"metadata": {"name": name, "namespace": "n"}});
    account.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ("serviceaccounts", account)
}

#[test]
fn pods_get_an_account_and_its_token() {
    let containers = json!([{"name": "a"}, {"name": "b", "volumeMounts": [{"name": "own", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]}]);
    let accounts = [service_account("default", json!({"imagePullSecrets": [{"name": "s"}]}))];
    let pod_ =
        run(&service_account::ServiceAccount, pod(json!({"containers": containers})), &accounts).unwrap();
    let spec = &pod_["spec"];
    assert_eq!(
        (&spec["serviceAccountName"], &spec["serviceAccount"]),
        (&json!("default"), &json!("default"))
    );
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "s"}]));
    let volume = &spec["volumes"][0];
    let name = volume["name"].as_str().unwrap();
    assert!(name.starts_with("kube-api-access-") && name.len() == "kube-api-access-".len() + 5, "{name}");
    assert_eq!(volume["projected"]["defaultMode"], 420);
    assert_eq!(
        volume["projected"]["sources"][0]["serviceAccountToken"],
        json!({"expirationSeconds": 3607, "path": "token"})
    );
    let mount =
        json!({"name": name, "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"});
    assert_eq!(spec["containers"][0]["volumeMounts"], json!([mount]));
    assert_eq!(spec["containers"][1]["volumeMounts"].as_array().unwrap().len(), 1);
    // A second run, after a webhook, adds only what is missing.
    let mut again = pod_.clone();
    again["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "late"}));
    let again = run(&service_account::ServiceAccount, pod(again["spec"].clone()), &accounts).unwrap();
    assert_eq!(again["spec"]["volumes"].as_array().unwrap().len(), 1);
    assert_eq!(again["spec"]["containers"][2]["volumeMounts"], json!([mount]));
}

#[test]
fn pods_without_an_account_are_refused() {
    let mirror = |spec: Value| {
        let object = json!({"metadata": {"name": "p", "namespace": "n", "annotations": {"kubernetes.io/config.mirror": "x"}}, "spec": spec});
        request(Operation::Create, "pods", object)
    };
    let strict = json!({"metadata": {"name": "default", "namespace": "n", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}});
    for (request, expected) in [
        (
            pod(json!({"serviceAccountName": "x"})),
            "error looking up service account n/x: serviceaccount \"x\" not found",
        ),
        (mirror(json!({"serviceAccountName": "x"})), "a mirror pod may not reference service accounts"),
        (mirror(json!({"volumes": [{"secret": {}}]})), "a mirror pod may not reference secrets"),
        (
            mirror(json!({"volumes": [{"projected": {"sources": [{"serviceAccountToken": {}}]}}]})),
            "a mirror pod may not use ServiceAccountToken volume projections",
        ),
        (
            pod(json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]})),
            "volume with secret.secretName=\"s\" is not allowed because service account default does not reference that secret",
        ),
    ] {
        let error = run(&service_account::ServiceAccount, request, &[("serviceaccounts", strict.clone())])
            .unwrap_err();
        assert_eq!(error, format!("pods \"p\" is forbidden: {expected}"));
    }
    let off = [service_account("default", json!({"automountServiceAccountToken": false}))];
    let quiet = run(&service_account::ServiceAccount, pod(json!({"containers": [{}]})), &off).unwrap();
    assert_eq!(quiet["spec"]["volumes"], Value::Null);
}

#[test]
fn nodes_touch_only_their_own() {
    let objects = [
        (
            "pods",
            json!({"metadata": {"name": "mine", "namespace": "n", "uid": "u"}, "spec": {"nodeName": "a"}}),
        ),
        ("pods", json!({"metadata": {"name": "other", "namespace": "n"}, "spec": {"nodeName": "b"}})),
        ("nodes", json!({"metadata": {"name": "a", "uid": "node"}})),
    ];
    let mirror = |spec: Value, owner: Value| json!({"metadata": {"name": "p", "namespace": "n", "annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": [owner]}, "spec": spec});
    let owner = json!({"apiVersion": "v1", "kind": "Node", "name": "a", "uid": "node", "controller": true});
    let node = |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}});
    let token = |bound: Value| json!({"metadata": {"name": "sa", "namespace": "n"}, "spec": {"boundObjectRef": bound}});
    let in_namespace = |name: &str| json!({"metadata": {"name": name, "namespace": "n"}});
    use Operation::{Create, Delete, Update};
    for (operation, resource, object, expected) in [
        (
            Create,
            "pods",
            in_namespace("p"),
            Some(
                "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"a\" can only create mirror pods",
            ),
        ),
        (Create, "pods", mirror(json!({"nodeName": "a"}), owner.clone()), None),
        (
            Create,
            "pods",
            mirror(json!({"nodeName": "b"}), owner.clone()),
            Some("node \"a\" can only create pods with spec.nodeName set to itself"),
        ),
        (
            Create,
            "pods",
            mirror(json!({"nodeName": "a", "serviceAccountName": "x"}), owner),
            Some("node \"a\" can not create pods that reference a service account"),
        ),
        (
            Delete,
            "pods",
            in_namespace("other"),
            Some("node \"a\" can only delete pods with spec.nodeName set to itself"),
        ),
        (Delete, "pods", in_namespace("mine"), None),
        (
            Create,
            "pods/eviction",
            in_namespace("other"),
            Some("node a can only evict pods with spec.nodeName set to itself"),
        ),
        (
            Create,
            "pods/binding",
            in_namespace("mine"),
            Some("unexpected pod subresource \"binding\", only 'status' and 'eviction' are allowed"),
        ),
        (
            Create,
            "nodes",
            node("a", json!({"kubernetes.io/os": "linux", "x": "y", "kubelet.kubernetes.io/z": "1"})),
            None,
        ),
        (
            Create,
            "nodes",
            node("a", json!({"x.node-restriction.kubernetes.io/z": "1"})),
            Some("node \"a\" is not allowed to set the following labels: x.node-restriction.kubernetes.io/z"),
        ),
        (
            Update,
            "nodes",
            node("a", json!({"foo.k8s.io/z": "1"})),
            Some("is not allowed to modify labels: foo.k8s.io/z"),
        ),
        (Update, "nodes", node("b", json!({})), Some("node \"a\" is not allowed to modify node \"b\"")),
        (Create, "serviceaccounts/token", token(json!({})), Some("node requested token not bound to a pod")),
        (
            Create,
            "serviceaccounts/token",
            token(json!({"apiVersion": "v1", "kind": "Pod", "name": "mine", "uid": "u"})),
            None,
        ),
        (
            Create,
            "leases.coordination.k8s.io",
            json!({"metadata": {"name": "a", "namespace": "kube-node-lease"}}),
            None,
        ),
        (
            Create,
            "leases.coordination.k8s.io",
            in_namespace("a"),
            Some("can only access leases in the \"kube-node-lease\" system namespace"),
        ),
        (Update, "persistentvolumeclaims", in_namespace("c"), Some("may only update PVC status")),
        (
            Update,
            "csinodes.storage.k8s.io",
            json!({"metadata": {"name": "b"}}),
            Some("can only access CSINode with the same name as the requesting node"),
        ),
        (Create, "configmaps", in_namespace("c"), None),
    ] {
        let mut request = request(operation, resource, object);
        request.user =
            User { name: "system:node:a".into(), groups: vec!["system:nodes".into()], ..User::default() };
        if operation == Update {
            request.old = Some(json!({"metadata": {"name": "a"}}));
        }
        let result = run(&node_restriction::NodeRestriction, request, &objects);
        let error = result.err().map(|text| text.split_once("is forbidden: ").unwrap().1.to_owned());
        assert_eq!(error.as_deref(), expected, "{operation} {resource}");
    }
}

#[test]
fn a_node_lets_go_of_its_volumes_only() {
    use Operation::{Delete, Update};
    let volume = |finalizers: Value, label: &str| {
        json!({"metadata": {"name": "v", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers,
            "labels": {"l": label}}, "spec": {"hostPath": {"path": "/v"}}})
    };
    let both = json!(["kubernetes.io/pv-protection", "strake.dev/local-path"]);
    let mut stays = volume(both.clone(), "a");
    stays["metadata"]["deletionTimestamp"] = Value::Null;
    for (operation, old, new, allowed) in [
        (Update, volume(both.clone(), "a"), volume(json!(["kubernetes.io/pv-protection"]), "a"), true),
        (Update, volume(both.clone(), "a"), volume(json!([]), "a"), false),
        (Update, volume(both.clone(), "a"), volume(json!(["kubernetes.io/pv-protection"]), "b"), false),
        (Update, stays.clone(), stays, false),
        (Delete, volume(both, "a"), Value::Null, false),
    ] {
        let mut request = request(operation, "persistentvolumes", new);
        request.user =
            User { name: "system:node:a".into(), groups: vec!["system:nodes".into()], ..User::default() };
        request.old = Some(old);
        let result = run(&node_restriction::NodeRestriction, request, &[]);
        assert_eq!(result.is_ok(), allowed, "{result:?}");
    }
}

#[test]
fn priorities_come_from_classes() {
    let class = |name: &str, value: i64, default: bool| {
        (
            "priorityclasses.scheduling.k8s.io",
            json!({"metadata": {"name": name}, "value": value, "globalDefault": default, "preemptionPolicy": "Never"}),
        )
    };
    let objects = [class("high", 1000, false), class("usual", 10, true)];
    let check = |spec: Value| {
        let pod = run(&priority::Priority, pod(spec), &objects);
        pod.map(|pod| {
            let spec = &pod["spec"];
            format!("{} {} {}", spec["priorityClassName"], spec["priority"], spec["preemptionPolicy"])
        })
    };
    assert_eq!(check(json!({})).unwrap(), "\"usual\" 10 \"Never\"");
    assert_eq!(check(json!({"priorityClassName": "high"})).unwrap(), "\"high\" 1000 \"Never\"");
    assert_eq!(
        check(json!({"priorityClassName": "system-node-critical"})).unwrap(),
        "\"system-node-critical\" 2000001000 \"PreemptLowerPriority\""
    );
    for (spec, why) in [
        (json!({"priorityClassName": "x"}), "no PriorityClass with name x was found"),
        (
            json!({"priority": 7}),
            "the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 10 from the given PriorityClass name",
        ),
        (
            json!({"preemptionPolicy": "PreemptLowerPriority"}),
            "the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in pod spec; priority admission controller computed Never from the given PriorityClass name",
        ),
    ] {
        assert_eq!(check(spec).unwrap_err(), format!("pods \"p\" is forbidden: {why}"));
    }
    let second = request(
        Operation::Create,
        "priorityclasses.scheduling.k8s.io",
        json!({"metadata": {"name": "b"}, "globalDefault": true}),
    );
    assert_eq!(
        run(&priority::Priority, second, &objects).unwrap_err(),
        "priorityclasses.scheduling.k8s.io \"b\" is forbidden: PriorityClass usual is already marked as default. Only one default can exist"
    );
    let plain = run(&priority::Priority, pod(json!({})), &[]).unwrap();
    assert_eq!(plain["spec"], json!({"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}));
}

#[test]
fn pods_tolerate_failing_nodes_for_a_while() {
    let plugin = pods::DefaultTolerationSeconds { not_ready_seconds: 300, unreachable_seconds: 60 };
    let given = run(&plugin, pod(json!({})), &[]).unwrap();
    assert_eq!(
        given["spec"]["tolerations"],
        json!([
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60},
        ])
    );
    let all = json!([{"operator": "Exists"}]);
    let kept = run(&plugin, pod(json!({"tolerations": all})), &[]).unwrap();
    assert_eq!(kept["spec"]["tolerations"], all);
    let node = request(Operation::Create, "nodes", json!({"metadata": {"name": "a"}}));
    let node = run(&pods::TaintNodesByCondition, node, &[]).unwrap();
    assert_eq!(
        node["spec"]["taints"],
        json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}])
    );
}

#[test]
fn runtimes_bring_overhead_and_nodes() {
    let objects = [(
        "runtimeclasses.node.k8s.io",
        json!({"metadata": {"name": "vm"}, "overhead": {"podFixed": {"cpu": "100m"}},
            "scheduling": {"nodeSelector": {"kvm": "yes"}, "tolerations": [{"key": "vm"}]}}),
    )];
    let vm = run(
        &pods::RuntimeClass,
        pod(json!({"runtimeClassName": "vm", "nodeSelector": {"a": "b"}})),
        &objects,
    )
    .unwrap();
    assert_eq!(vm["spec"]["overhead"], json!({"cpu": "100m"}));
    assert_eq!(vm["spec"]["nodeSelector"], json!({"a": "b", "kvm": "yes"}));
    assert_eq!(vm["spec"]["tolerations"], json!([{"key": "vm"}]));
    for (spec, why) in [
        (json!({"runtimeClassName": "x"}), "pod rejected: RuntimeClass \"x\" not found"),
        (
            json!({"runtimeClassName": "vm", "overhead": {"cpu": "1"}}),
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        (
            json!({"overhead": {"cpu": "1"}}),
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
        (
            json!({"runtimeClassName": "vm", "nodeSelector": {"kvm": "no"}}),
            "conflict: runtimeClass.scheduling.nodeSelector[kvm] = yes, pod.spec.nodeSelector[kvm] = no",
        ),
    ] {
        assert_eq!(
            run(&pods::RuntimeClass, pod(spec), &objects).unwrap_err(),
            format!("pods \"p\" is forbidden: {why}")
        );
    }
}

#[test]
fn classes_are_chosen_and_storage_is_protected() {
    let class = |resource: &'static str, name: &str, created: &str, more: Value| {
        let mut class = json!({"metadata": {"name": name, "creationTimestamp": created, "annotations": {
            "storageclass.kubernetes.io/is-default-class": "true", "ingressclass.kubernetes.io/is-default-class": "true"}}});
        class.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        (resource, class)
    };
    let objects = [
        class(
            "storageclasses.storage.k8s.io",
            "old",
            "2026-01-01T00:00:00Z",
            json!({"allowVolumeExpansion": true}),
        ),
        class("storageclasses.storage.k8s.io", "new", "2026-02-01T00:00:00Z", json!({})),
        class("ingressclasses.networking.k8s.io", "web", "2026-02-01T00:00:00Z", json!({})),
    ];
    let claim = |spec: Value| json!({"metadata": {"name": "c", "namespace": "n"}, "spec": spec, "status": {"phase": "Bound"}});
    let create = |spec: Value| request(Operation::Create, "persistentvolumeclaims", claim(spec));
    assert_eq!(
        run(&classes::DefaultStorageClass, create(json!({})), &objects).unwrap()["spec"]["storageClassName"],
        "new"
    );
    assert_eq!(
        run(&classes::DefaultStorageClass, create(json!({"storageClassName": ""})), &objects).unwrap()["spec"]
            ["storageClassName"],
        ""
    );
    let protected = run(&classes::StorageObjectInUseProtection, create(json!({})), &[]).unwrap();
    assert_eq!(protected["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    let ingress =
        request(Operation::Create, "ingresses.networking.k8s.io", json!({"metadata": {"name": "i"}}));
    assert_eq!(
        run(&classes::DefaultIngressClass, ingress, &objects).unwrap()["spec"]["ingressClassName"],
        "web"
    );
    let sized = |class: &str, size: &str| {
        claim(json!({"storageClassName": class, "resources": {"requests": {"storage": size}}}))
    };
    for (class, old, new, expected) in [
        ("old", "1Gi", "2Gi", None),
        ("old", "2Gi", "1Gi", None),
        (
            "new",
            "1Gi",
            "2Gi",
            Some(
                "persistentvolumeclaims \"c\" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
            ),
        ),
    ] {
        let mut update = request(Operation::Update, "persistentvolumeclaims", sized(class, new));
        update.old = Some(sized(class, old));
        assert_eq!(run(&classes::PersistentVolumeClaimResize, update, &objects).err().as_deref(), expected);
    }
}

#[test]
fn certificates_need_rights() {
    let csr = |status: Value| json!({"metadata": {"name": "c"}, "spec": {"signerName": "example.com/a"}, "status": status});
    let update = |subresource: &str, status: Value| {
        let mut update =
            request(Operation::Update, "certificatesigningrequests.certificates.k8s.io", csr(status));
        update.subresource = subresource.to_owned();
        update.old = Some(csr(json!({})));
        update
    };
    let judge = |plugin: &dyn Plugin, mut request: Request, allowed: &[&str]| {
        let host = host(Fixed::default(), Allowed::of(allowed));
        run_on(plugin, &mut request, &host, &mut Notes::default()).err()
    };
    let start = "certificatesigningrequests.certificates.k8s.io \"c\" is forbidden: user not permitted to";
    let approve = || update("approval", json!({}));
    assert_eq!(
        judge(&certificates::CertificateApproval, approve(), &[]).unwrap(),
        format!("{start} approve requests with signerName \"example.com/a\"")
    );
    assert_eq!(
        judge(&certificates::CertificateApproval, approve(), &["approve signers example.com/*"]),
        None
    );
    let sign = || update("status", json!({"certificate": "x"}));
    assert_eq!(
        judge(&certificates::CertificateSigning, sign(), &[]).unwrap(),
        format!("{start} sign requests with signerName \"example.com/a\"")
    );
    assert_eq!(judge(&certificates::CertificateSigning, sign(), &["sign signers example.com/a"]), None);
    assert_eq!(judge(&certificates::CertificateSigning, update("status", json!({})), &[]), None);
}

#[test]
fn nobody_asks_to_be_master() {
    use base64::Engine;
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = |organization: &str| {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, organization);
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        let text = base64::engine::general_purpose::STANDARD.encode(pem);
        let spec = json!({"signerName": "kubernetes.io/kube-apiserver-client", "request": text});
        request(
            Operation::Create,
            "certificatesigningrequests.certificates.k8s.io",
            json!({"metadata": {"name": "c"}, "spec": spec}),
        )
    };
    let plugin = certificates::CertificateSubjectRestriction;
    assert!(run(&plugin, csr("users"), &[]).is_ok());
    assert_eq!(
        run(&plugin, csr("system:masters"), &[]).unwrap_err(),
        "certificatesigningrequests.certificates.k8s.io \"c\" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
    );
}

#[test]
fn owners_need_rights() {
    let object = json!({"metadata": {"name": "x", "namespace": "n", "ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u", "blockOwnerDeletion": true}]}});
    let judge = |allowed: &[&str]| {
        let host = host(Fixed::default(), Allowed::of(allowed));
        let mut request = request(Operation::Create, "configmaps", object.clone());
        let plugin = owner_references::OwnerReferencesPermissionEnforcement;
        run_on(&plugin, &mut request, &host, &mut Notes::default()).err()
    };
    assert!(judge(&[]).unwrap().contains("cannot set an ownerRef on a resource you can't delete: "));
    assert!(judge(&["delete configmaps x"]).unwrap().contains("a resource you can't set finalizers on: "));
    assert_eq!(judge(&["delete configmaps x", "update configmaps/finalizers o"]), None);
}

#[test]
fn events_come_as_buckets_allow() {
    use event_rate::{EventLimit, EventLimitKind, EventRateLimit};
    let limit = |kind| EventLimit { kind, events_per_second: 1, burst: 2, buckets_max: 2 };
    let plugin = EventRateLimit::new(&[limit(EventLimitKind::Namespace)]);
    let host = host(Fixed::default(), Allowed::default());
    let event = |namespace: &str| {
        let mut event =
            request(Operation::Create, "events", json!({"metadata": {"name": "e", "namespace": namespace}}));
        event.kind.kind = "Event".to_owned();
        run_on(&plugin, &mut event, &host, &mut Notes::default()).err()
    };
    assert_eq!([event("a"), event("a")], [None, None]);
    assert_eq!(event("a").unwrap(), "limit reached on type Namespace for key a");
    assert_eq!(event("b"), None);
}

#[test]
fn hostile_objects_break_nothing() {
    let host = host(Fixed::default(), Allowed::default());
    let config = Config { enable: OFF.iter().map(|name| (*name).to_owned()).collect(), ..Config::default() };
    let values = [json!(null), json!([]), json!("x"), json!(-1), json!({"a": [null]}), json!([[{}]])];
    for plugin in all(&config, &host) {
        for resource in ["pods", "nodes", "persistentvolumeclaims", "namespaces", "services", "pods/binding"]
        {
            for value in &values {
                for object in [
                    value.clone(),
                    json!({"metadata": value, "spec": value, "status": value}),
                    json!({"metadata": {"annotations": value, "labels": value, "finalizers": value},
                        "spec": {"containers": value, "volumes": value, "tolerations": value, "taints": value,
                            "overhead": value, "securityContext": value}}),
                ] {
                    let mut request = request(Operation::Create, resource, object);
                    request.namespace = "n".to_owned();
                    let _ = run_on(plugin.as_ref(), &mut request, &host, &mut Notes::default());
                }
            }
        }
    }
}
