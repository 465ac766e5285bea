//! What is reset, kept and counted.

use kube_object::time::Time;
use kube_object::user::User;

use super::*;

fn gvk(group: &str, kind: &str) -> GroupVersionKind {
    GroupVersionKind::new(group, "v1", kind)
}

fn created(group: &str, kind: &str, mut object: Value) -> Value {
    let gvk = gvk(group, kind);
    strategy(&gvk.group_kind()).prepare_create(&gvk, &mut object);
    object
}

fn updated(group: &str, kind: &str, mut new: Value, old: &Value) -> Value {
    let gvk = gvk(group, kind);
    strategy(&gvk.group_kind()).prepare_update(&gvk, &mut new, old);
    new
}

fn written(group: &str, kind: &str, subresource: &str, mut new: Value, old: &Value) -> Value {
    let gvk = gvk(group, kind);
    strategy(&gvk.group_kind()).prepare_subresource(&gvk, subresource, &mut new, old);
    new
}

#[test]
fn counts_the_desired_state() {
    let made = created(
        "apps",
        "Deployment",
        json!({"metadata": {"generation": 9}, "spec": {}, "status": {"replicas": 1}}),
    );
    assert_eq!(made, json!({"metadata": {"generation": 1}, "spec": {}}));
    let old = json!({"metadata": {"generation": 4}, "spec": {"replicas": 1}, "status": {"replicas": 1}});
    let generation =
        |kind: &str, new: Value| updated("apps", kind, new, &old)["metadata"]["generation"].clone();
    assert_eq!(generation("Deployment", json!({"spec": {"replicas": 2}})), 5);
    assert_eq!(generation("Deployment", json!({"spec": {"replicas": 1}})), 4);
    assert_eq!(
        generation("Deployment", json!({"metadata": {"annotations": {"a": "b"}}, "spec": {"replicas": 1}})),
        5
    );
    assert_eq!(
        generation("ReplicaSet", json!({"metadata": {"annotations": {"a": "b"}}, "spec": {"replicas": 1}})),
        4
    );
    let kept =
        updated("apps", "ReplicaSet", json!({"spec": {"replicas": 2}, "status": {"replicas": 7}}), &old);
    assert_eq!(kept["status"], json!({"replicas": 1}));
    assert!(created("", "ConfigMap", json!({"metadata": {}}))["metadata"].get("generation").is_none());
    let slice = json!({"metadata": {"generation": 1, "labels": {"a": "1"}}, "endpoints": []});
    let changed =
        updated("discovery.k8s.io", "EndpointSlice", json!({"metadata": {"labels": {"a": "2"}}}), &slice);
    assert_eq!(changed["metadata"]["generation"], 2);
}

#[test]
fn status_leaves_the_rest_alone() {
    let old =
        json!({"metadata": {"generation": 4, "labels": {"a": "1"}}, "spec": {"replicas": 1}, "status": {}});
    let new = json!({"metadata": {"labels": {"a": "2"}, "annotations": {"b": "c"}}, "spec": {"replicas": 5}, "status": {"replicas": 3}});
    let written_set = written("apps", "ReplicaSet", "status", new.clone(), &old);
    assert_eq!(written_set["spec"], json!({"replicas": 1}));
    assert_eq!(written_set["status"], json!({"replicas": 3}));
    assert_eq!(
        written_set["metadata"],
        json!({"generation": 4, "labels": {"a": "2"}, "annotations": {"b": "c"}})
    );
    let deployment = written("apps", "Deployment", "status", new, &old);
    assert_eq!(deployment["metadata"]["labels"], json!({"a": "1"}));
    assert_eq!(deployment["metadata"]["generation"], 4);
    let flow = json!({"metadata": {"annotations": {"b": "c"}}, "status": {"conditions": []}});
    let flow = written("flowcontrol.apiserver.k8s.io", "FlowSchema", "status", flow, &old);
    assert_eq!(flow["metadata"], old["metadata"]);
}

#[test]
fn pods() {
    let container = |resources: Value| json!({"metadata": {}, "spec": {"containers": [{"resources": resources}]}, "status": {"phase": "Running"}});
    let class = |resources: Value| created("", "Pod", container(resources))["status"].clone();
    assert_eq!(class(json!({})), json!({"phase": "Pending", "qosClass": "BestEffort"}));
    let both = json!({"cpu": "1", "memory": "1Gi"});
    assert_eq!(
        class(json!({"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": both}))["qosClass"],
        "Guaranteed"
    );
    assert_eq!(class(json!({"requests": {"cpu": "1"}, "limits": both}))["qosClass"], "Burstable");
    assert_eq!(class(json!({"requests": {"cpu": "1"}}))["qosClass"], "Burstable");
    let gated = created("", "Pod", json!({"spec": {"schedulingGates": [{"name": "g"}]}}));
    assert_eq!(gated["status"]["conditions"][0]["reason"], "SchedulingGated");
    let old = json!({"metadata": {"ownerReferences": [1]}, "spec": {"nodeName": "n"}, "status": {"qosClass": "BestEffort"}});
    let status = written("", "Pod", "status", json!({"metadata": {}, "status": {"podIP": "1.2.3.4"}}), &old);
    assert_eq!(
        status["status"],
        json!({"qosClass": "BestEffort", "podIP": "1.2.3.4", "podIPs": [{"ip": "1.2.3.4"}]})
    );
    assert_eq!(status["metadata"], old["metadata"]);
    let debugged =
        json!({"metadata": {"resourceVersion": "7"}, "spec": {"ephemeralContainers": [{"name": "d"}]}});
    let debugged = written("", "Pod", "ephemeralcontainers", debugged, &old);
    assert_eq!(debugged["spec"], json!({"nodeName": "n", "ephemeralContainers": [{"name": "d"}]}));
    assert_eq!(debugged["metadata"]["resourceVersion"], "7");
    let old = json!({"spec": {"containers": [{"name": "a", "image": "x", "resources": {}}]}});
    let grown =
        json!({"spec": {"containers": [{"name": "a", "image": "y", "resources": {"limits": {"cpu": "2"}}}]}});
    let grown = written("", "Pod", "resize", grown, &old);
    assert_eq!(
        grown["spec"]["containers"],
        json!([{"name": "a", "image": "x", "resources": {"limits": {"cpu": "2"}}}])
    );
}

#[test]
fn graceful_deletion() {
    let strategy = strategy(&GroupKind::new("", "Pod"));
    let pod = |node: &str, phase: &str| json!({"spec": {"nodeName": node, "terminationGracePeriodSeconds": 30}, "status": {"phase": phase}});
    for (pod, options, seconds) in [
        (pod("n", "Running"), json!({}), 30),
        (pod("n", "Running"), json!({"gracePeriodSeconds": 5}), 5),
        (pod("n", "Running"), json!({"gracePeriodSeconds": 0}), 0),
        (pod("n", "Running"), json!({"gracePeriodSeconds": -3}), 1),
        (pod("", "Pending"), json!({}), 0),
        (pod("n", "Succeeded"), json!({"gracePeriodSeconds": 5}), 0),
    ] {
        assert_eq!(strategy.graceful_deletion(&pod, &options), Some(seconds));
    }
    assert_eq!(
        super::strategy(&GroupKind::new("", "Service")).graceful_deletion(&json!({}), &json!({})),
        None
    );
}

#[test]
fn namespaces() {
    let made = created("", "Namespace", json!({"metadata": {"name": "n"}}));
    assert_eq!(made["spec"], json!({"finalizers": ["kubernetes"]}));
    assert_eq!(made["status"], json!({"phase": "Active"}));
    assert_eq!(made["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "n"}));
    let update = updated("", "Namespace", json!({"metadata": {"name": "n"}, "spec": {}}), &made);
    assert_eq!(update["spec"], made["spec"]);
    let finalized = written(
        "",
        "Namespace",
        "finalize",
        json!({"metadata": {"name": "n"}, "spec": {"finalizers": []}, "status": {}}),
        &made,
    );
    assert_eq!(
        (&finalized["spec"], &finalized["status"]),
        (&json!({"finalizers": []}), &json!({"phase": "Active"}))
    );
}

#[test]
fn jobs_select_by_identity() {
    let made =
        created("batch", "Job", json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {}}}));
    assert_eq!(made["spec"]["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}));
    assert_eq!(
        made["spec"]["template"]["metadata"]["labels"],
        json!({"batch.kubernetes.io/controller-uid": "u", "batch.kubernetes.io/job-name": "j", "controller-uid": "u", "job-name": "j"})
    );
    let by_hand = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"manualSelector": true}});
    assert_eq!(created("batch", "Job", by_hand)["spec"], json!({"manualSelector": true}));
}

#[test]
fn daemon_sets_count_templates() {
    let made = created("apps", "DaemonSet", json!({"metadata": {}, "spec": {"template": {"a": 1}}}));
    let count = |object: &Value| {
        object["metadata"]["annotations"]["deprecated.daemonset.template.generation"].clone()
    };
    assert_eq!(count(&made), "1");
    assert_eq!(count(&updated("apps", "DaemonSet", json!({"spec": {"template": {"a": 2}}}), &made)), "2");
    assert_eq!(
        count(&updated(
            "apps",
            "DaemonSet",
            json!({"spec": {"template": {"a": 1}, "minReadySeconds": 1}}),
            &made
        )),
        "1"
    );
}

#[test]
fn services_keep_what_was_allocated() {
    let made = created("", "Service", json!({"spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1"}}));
    assert_eq!(made["spec"]["clusterIPs"], json!(["10.0.0.1"]));
    let old = json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
        "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30001}]}, "status": {"loadBalancer": {}}});
    let kept = updated(
        "",
        "Service",
        json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}]}}),
        &old,
    );
    assert_eq!(kept, old);
    let mut plain = old.clone();
    plain["spec"]["type"] = json!("ClusterIP");
    let plain = updated("", "Service", plain, &old);
    assert_eq!(plain["spec"]["ports"], json!([{"port": 80, "protocol": "TCP"}]));
    let mut named = old.clone();
    named["spec"]["type"] = json!("ExternalName");
    named["spec"]["externalName"] = json!("a.b");
    assert!(updated("", "Service", named, &old)["spec"].get("clusterIP").is_none());
    let headless = updated("", "Service", json!({"spec": {"type": "ClusterIP", "clusterIP": "None"}}), &old);
    assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
}

#[test]
fn signing_requests() {
    let old = json!({"spec": {"request": "r"}, "status": {"conditions": [{"type": "Approved"}], "certificate": "c"}});
    let issued = json!({"spec": {}, "status": {"certificate": "d", "conditions": [{"type": "Denied"}, {"type": "Failed"}]}});
    let issued = written("certificates.k8s.io", "CertificateSigningRequest", "status", issued, &old);
    assert_eq!(
        issued["status"],
        json!({"certificate": "d", "conditions": [{"type": "Approved"}, {"type": "Failed"}]})
    );
    assert_eq!(issued["spec"], old["spec"]);
    let denied =
        json!({"status": {"conditions": [{"type": "Denied", "status": "True"}], "certificate": "x"}});
    let mut denied = written("certificates.k8s.io", "CertificateSigningRequest", "approval", denied, &old);
    assert_eq!(denied["status"]["certificate"], "c");
    csr_condition_times(&mut denied, &old, Time::from_unix(0).unwrap());
    assert_eq!(denied["status"]["conditions"][0]["lastTransitionTime"], "1970-01-01T00:00:00Z");
    let mut asked = json!({"spec": {"username": "root", "groups": ["system:masters"]}});
    csr_requester(&mut asked, &User { name: "u".to_owned(), ..User::default() });
    assert_eq!(asked["spec"], json!({"username": "u"}));
}

#[test]
fn decoding() {
    let decoded = |group: &str, kind: &str, mut object: Value| {
        decode(&gvk(group, kind), &mut object);
        object
    };
    assert_eq!(
        decoded(
            "",
            "Secret",
            json!({"data": {"a": "eA=="}, "stringData": {"b": "y", "a": "z"}, "type": null})
        ),
        json!({"data": {"a": "eg==", "b": "eQ=="}})
    );
    let pod = json!({"spec": {"nodeName": null, "containers": [{"resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}}]}});
    assert_eq!(
        decoded("", "Pod", pod),
        json!({"spec": {"containers": [{"resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}}]}})
    );
    assert_eq!(decoded("", "ConfigMap", json!({"data": {"a": null}})), json!({"data": {"a": ""}}));
}

#[test]
fn flags() {
    let of = |group: &str, kind: &str| strategy(&GroupKind::new(group, kind));
    assert!(of("coordination.k8s.io", "Lease").allows_create_on_update());
    assert!(!of("coordination.k8s.io", "Lease").allows_unconditional_update());
    assert!(of("", "Endpoints").allows_create_on_update());
    assert!(!of("apps", "Deployment").allows_create_on_update());
    assert!(of("apps", "Deployment").allows_unconditional_update());
    assert!(!of("example.com", "Thing").allows_unconditional_update());
    assert_eq!(of("", "ReplicationController").default_garbage_collection(), Garbage::Orphan);
    assert_eq!(of("batch", "Job").default_garbage_collection(), Garbage::Orphan);
    assert_eq!(of("apps", "Deployment").default_garbage_collection(), Garbage::Delete);
    assert_eq!(of("", "Event").default_garbage_collection(), Garbage::Unsupported);
}
