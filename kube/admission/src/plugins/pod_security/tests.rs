//! Tables of pods and the words against them.
#![expect(clippy::needless_pass_by_value, reason = "tables read better without borrows")]

use kube_object::cluster::Fixed;
use kube_object::resource::{GroupVersionKind, GroupVersionResource};
use serde_json::json;

use super::*;
use crate::testing::{Allowed, host};

fn check(policy: &str, spec: Value) -> String {
    let (level, version) = policy.split_once(':').unwrap();
    let labels = json!({"metadata": {"labels": {
        "pod-security.kubernetes.io/enforce": level, "pod-security.kubernetes.io/enforce-version": version}}});
    let (policy, errors) = Policy::of_labels(&labels, Policy::default());
    assert_eq!(errors, []);
    evaluate(policy.enforce, Pod { metadata: &Value::Null, spec: &spec }).details()
}

#[test]
fn restricted_asks_for_the_usual_four() {
    assert_eq!(
        check("restricted:latest", json!({"containers": [{"name": "x"}]})),
        "allowPrivilegeEscalation != false (container \"x\" must set securityContext.allowPrivilegeEscalation=false), \
         unrestricted capabilities (container \"x\" must set securityContext.capabilities.drop=[\"ALL\"]), \
         runAsNonRoot != true (pod or container \"x\" must set securityContext.runAsNonRoot=true), \
         seccompProfile (pod or container \"x\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    );
    let fine = json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "x", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
        "volumes": [{"name": "v", "emptyDir": {}}],
    });
    assert_eq!(check("restricted:latest", fine), "");
}

#[test]
fn each_rule_has_its_words() {
    let with = |context: Value| json!({"containers": [{"name": "x", "securityContext": context}]});
    for (policy, spec, expected) in [
        (
            "baseline:latest",
            with(json!({"privileged": true})),
            "privileged (container \"x\" must not set securityContext.privileged=true)",
        ),
        (
            "baseline:latest",
            json!({"hostNetwork": true, "hostPID": true}),
            "host namespaces (hostNetwork=true, hostPID=true)",
        ),
        (
            "baseline:latest",
            json!({"volumes": [{"name": "a", "hostPath": {}}, {"name": "b", "hostPath": {}}]}),
            "hostPath volumes (volumes \"a\", \"b\")",
        ),
        (
            "baseline:latest",
            json!({"containers": [{"name": "x", "ports": [{"hostPort": 80}, {"hostPort": 443}]}]}),
            "hostPort (container \"x\" uses hostPorts 443, 80)",
        ),
        (
            "baseline:latest",
            with(json!({"capabilities": {"add": ["NET_RAW", "SYS_ADMIN"]}})),
            "non-default capabilities (container \"x\" must not include \"NET_RAW\", \"SYS_ADMIN\" in securityContext.capabilities.add)",
        ),
        (
            "restricted:v1.20",
            with(
                json!({"allowPrivilegeEscalation": false, "runAsNonRoot": true, "seccompProfile": {"type": "Localhost"}, "capabilities": {"add": ["NET_RAW"]}}),
            ),
            "non-default capabilities (container \"x\" must not include \"NET_RAW\" in securityContext.capabilities.add)",
        ),
        (
            "baseline:latest",
            with(json!({"procMount": "Unmasked"})),
            "procMount (container \"x\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            "baseline:latest",
            json!({"hostUsers": false, "containers": [{"name": "x", "securityContext": {"procMount": "Unmasked"}}]}),
            "",
        ),
        (
            "baseline:v1.34",
            json!({"hostUsers": false, "containers": [{"name": "x", "securityContext": {"procMount": "Unmasked"}}]}),
            "procMount (container \"x\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            "baseline:latest",
            with(json!({"seccompProfile": {"type": "Unconfined"}})),
            "seccompProfile (container \"x\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            "baseline:latest",
            with(json!({"seLinuxOptions": {"type": "x_t", "user": "u"}})),
            "seLinuxOptions (container \"x\" set forbidden securityContext.seLinuxOptions: type \"x_t\"; user may not be set)",
        ),
        (
            "baseline:v1.30",
            with(json!({"seLinuxOptions": {"type": "container_engine_t"}})),
            "seLinuxOptions (container \"x\" set forbidden securityContext.seLinuxOptions: type \"container_engine_t\")",
        ),
        ("baseline:latest", with(json!({"seLinuxOptions": {"type": "container_engine_t"}})), ""),
        (
            "baseline:latest",
            with(json!({"appArmorProfile": {"type": "Unconfined"}})),
            "forbidden AppArmor profile (container \"x\" must not set AppArmor profile type to \"Unconfined\")",
        ),
        (
            "baseline:v1.26",
            json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem"}, {"name": "kernel.shm_rmid_forced"}]}}),
            "forbidden sysctls (net.ipv4.tcp_rmem)",
        ),
        ("baseline:latest", json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}}), ""),
        (
            "baseline:latest",
            json!({"securityContext": {"windowsOptions": {"hostProcess": true}}}),
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            "baseline:latest",
            json!({"containers": [{"name": "x", "livenessProbe": {"httpGet": {"host": "h"}}}]}),
            "probe or lifecycle host (container \"x\" uses probe or lifecycle host \"h\")",
        ),
        (
            "baseline:v1.33",
            json!({"containers": [{"name": "x", "livenessProbe": {"httpGet": {"host": "h"}}}]}),
            "",
        ),
        (
            "restricted:v1.7",
            json!({"volumes": [{"name": "a", "nfs": {}}]}),
            "restricted volume types (volume \"a\" uses restricted volume type \"nfs\")",
        ),
        (
            "restricted:latest",
            json!({"volumes": [{"name": "a", "hostPath": {}}]}),
            "restricted volume types (volume \"a\" uses restricted volume type \"hostPath\")",
        ),
        (
            "restricted:latest",
            json!({"securityContext": {"runAsUser": 0, "runAsNonRoot": true}}),
            "runAsUser=0 (pod must not set runAsUser=0)",
        ),
        (
            "restricted:latest",
            json!({"securityContext": {"runAsNonRoot": false}}),
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
        ("privileged:latest", json!({"hostNetwork": true}), ""),
    ] {
        assert_eq!(check(policy, spec.clone()), expected, "{policy} {spec}");
    }
}

#[test]
fn old_annotations_count() {
    let metadata = json!({"annotations": {
        "seccomp.security.alpha.kubernetes.io/pod": "unconfined",
        "container.apparmor.security.beta.kubernetes.io/x": "unconfined"}});
    let pod = Pod { metadata: &metadata, spec: &Value::Null };
    let policy = LevelVersion { level: Level::Baseline, version: Version::Minor(18) };
    assert_eq!(
        evaluate(policy, pod).details(),
        "forbidden AppArmor profile (annotation must not set AppArmor profile type to \
         \"container.apparmor.security.beta.kubernetes.io/x=\"unconfined\"\"), \
         seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")"
    );
}

fn namespace(labels: &[(&str, &str)]) -> Value {
    let labels = labels.iter().map(|(mode, value)| (policy::label(mode), Value::from(*value)));
    json!({"metadata": {"name": "n", "labels": Value::Object(labels.collect())}})
}

fn request(resource: &str, operation: Operation, object: Value) -> Request {
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    Request {
        operation,
        resource: GroupVersionResource::new(group, "v1", resource),
        kind: GroupVersionKind::new(group, "v1", "Namespace"),
        namespace: "n".to_owned(),
        name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        object: Some(object),
        ..Request::default()
    }
}

fn judge(request: &Request, labels: &[(&str, &str)], pods: &[Value]) -> (Option<String>, Notes) {
    let mut cluster = Fixed::default();
    cluster.put(GroupResource::new("", "namespaces"), namespace(labels));
    for pod in pods {
        cluster.put(GroupResource::new("", "pods"), pod.clone());
    }
    let host = host(cluster, Allowed::default());
    let mut notes = Notes::default();
    let plugin = PodSecurity::new(PodSecurityConfig::default());
    let result = plugin.validate(request, &Scene::new(&host), &mut notes);
    (result.err().map(|status| status.message), notes)
}

#[test]
fn pods_are_refused_and_what_makes_them_is_warned_of() {
    let spec = json!({"hostNetwork": true, "containers": []});
    let pod = request("pods", Operation::Create, json!({"metadata": {"name": "p"}, "spec": spec}));
    let (error, notes) = judge(&pod, &[("enforce", "baseline")], &[]);
    assert_eq!(
        error.unwrap(),
        "pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)"
    );
    assert_eq!(notes.warnings, Vec::<String>::new());
    assert_eq!(notes.refusal().unwrap().rule, "baseline:latest");
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"template": {"spec": spec}}});
    let deployment = request("deployments.apps", Operation::Create, deployment);
    let (error, notes) = judge(&deployment, &[("enforce", "baseline"), ("audit", "baseline")], &[]);
    let text = "would violate PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)";
    assert_eq!((error, notes.warnings), (None, vec![text.to_owned()]));
    assert_eq!(notes.audit_annotations["pod-security.kubernetes.io/audit-violations"], text);
    let (error, notes) = judge(&pod, &[("warn", "baseline")], &[]);
    assert_eq!((error, notes.warnings), (None, vec![text.to_owned()]));
    assert_eq!(judge(&pod, &[], &[]).0, None);
}

#[test]
fn only_updates_of_images_are_judged() {
    let object = |image: &str| json!({"metadata": {"name": "p"}, "spec": {"hostPID": true, "containers": [{"name": "c", "image": image}]}});
    let mut update = request("pods", Operation::Update, object("b"));
    update.old = Some(object("b"));
    assert_eq!(judge(&update, &[("enforce", "baseline")], &[]).0, None);
    update.old = Some(object("a"));
    assert!(judge(&update, &[("enforce", "baseline")], &[]).0.is_some());
    update.subresource = "status".to_owned();
    assert_eq!(judge(&update, &[("enforce", "baseline")], &[]).0, None);
}

#[test]
fn a_stricter_namespace_tells_which_pods_would_not_pass() {
    let pod = |name: &str, owner: &str| {
        json!({"metadata": {"name": name, "namespace": "n", "ownerReferences": [{"controller": true, "uid": owner}]},
            "spec": {"hostNetwork": true, "containers": [{"name": "c"}]}})
    };
    let mut update = request("namespaces", Operation::Update, namespace(&[("enforce", "baseline")]));
    update.old = Some(namespace(&[]));
    let pods = [pod("b", "1"), pod("a", "1"), pod("c", "2")];
    let (error, notes) = judge(&update, &[], &pods);
    assert_eq!(error, None);
    assert_eq!(
        notes.warnings,
        [
            "existing pods in namespace \"n\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "a (and 2 other pods): host namespaces",
        ]
    );
    update.object = Some(namespace(&[("enforce", "none"), ("warn-version", "1.2")]));
    assert_eq!(
        judge(&update, &[], &[]).0.unwrap(),
        "Namespace \"n\" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"none\": \
         must be one of privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/warn-version]: \
         Invalid value: \"1.2\": must be \"latest\" or \"v1.x\"]"
    );
}
