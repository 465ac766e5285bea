//! Workloads that are wrong, and what upstream says of them.

#![expect(clippy::needless_pass_by_value, reason = "tables are made of literals")]

use kube_object::resource::GroupVersionKind;
use serde_json::{Value, json};

use crate::{default, validate_create, validate_status_update, validate_update};

fn gvk(kind: &str) -> GroupVersionKind {
    let group = match kind {
        "Job" | "CronJob" => "batch/v1",
        "HorizontalPodAutoscaler" => "autoscaling/v2",
        "PodDisruptionBudget" => "policy/v1",
        "ReplicationController" => "v1",
        _ => "apps/v1",
    };
    GroupVersionKind::of(group, kind)
}

/// An object that is fine, with members of its specification replaced; null takes one away.
fn object(kind: &str, changes: Value) -> Value {
    let labels = json!({"app": "a"});
    let restart = if kind.ends_with("Job") { "Never" } else { "Always" };
    let template = json!({"metadata": {"labels": labels},
        "spec": {"restartPolicy": restart, "containers": [{"name": "c", "image": "i:1"}]}});
    let spec = match kind {
        "CronJob" => json!({"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}}),
        "Job" => json!({"template": template}),
        "HorizontalPodAutoscaler" => {
            json!({"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}})
        }
        "PodDisruptionBudget" => json!({"selector": {"matchLabels": labels}}),
        "ReplicationController" => json!({"selector": labels, "template": template}),
        _ => json!({"selector": {"matchLabels": labels}, "template": template}),
    };
    let mut object = json!({"metadata": {"name": "x", "namespace": "n", "uid": "u"}, "spec": spec});
    for (path, value) in changes.as_object().into_iter().flatten() {
        set(&mut object["spec"], path, value);
    }
    default(&gvk(kind), &mut object);
    if kind == "Job" {
        crate::defaults::generate_job_selector(&mut object);
    }
    object
}

/// Sets what stands at a path with slashes.
fn set(value: &mut Value, path: &str, to: &Value) {
    match path.split_once('/') {
        Some((first, rest)) => set(&mut value[first], rest, to),
        None if to.is_null() => drop(value.as_object_mut().map(|members| members.remove(path))),
        None => value[path] = to.clone(),
    }
}

fn faults(errors: &[kube_object::field_error::FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// Each object has exactly these faults.
fn check(kind: &str, table: &[(Value, &[&str])]) {
    for (changes, want) in table {
        let object = object(kind, changes.clone());
        assert_eq!(faults(&validate_create(&gvk(kind), &object)), *want, "{kind} {changes}");
    }
}

/// What is wrong with the change from one to the other.
fn updated(kind: &str, before: Value, after: Value) -> Vec<String> {
    let stored = |changes: Value| {
        let mut object = object(kind, changes);
        object["metadata"]["resourceVersion"] = json!("1");
        object
    };
    faults(&validate_update(&gvk(kind), &stored(after), &stored(before)))
}

const NONE: [&str; 0] = [];

#[test]
fn selectors_and_templates() {
    for kind in ["Deployment", "ReplicaSet"] {
        check(
            kind,
            &[
                (json!({}), &[]),
                (
                    json!({"selector": null}),
                    &[
                        "spec.selector: Required value",
                        "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`",
                    ],
                ),
                (
                    json!({"selector": {}}),
                    &["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
                ),
                (
                    json!({"selector/matchLabels": {"app": "b"}}),
                    &[
                        "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`",
                    ],
                ),
                (
                    json!({"replicas": -1}),
                    &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
                ),
                (
                    json!({"template/spec/restartPolicy": "Never"}),
                    &[
                        "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
                    ],
                ),
                (
                    json!({"template/spec/activeDeadlineSeconds": 5}),
                    &[
                        "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported",
                    ],
                ),
            ],
        );
        assert_eq!(updated(kind, json!({}), json!({"replicas": 3})), NONE);
        let other = json!({"selector/matchLabels": {"app": "b"}, "template/metadata/labels": {"app": "b"}});
        assert_eq!(
            updated(kind, json!({}), other),
            ["spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"b\"}}: field is immutable"]
        );
    }
}

#[test]
fn deployments() {
    check(
        "Deployment",
        &[
            (
                json!({"strategy": {"type": "Recreate", "rollingUpdate": {}}}),
                &[
                    "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
                ],
            ),
            (
                json!({"strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": "0%"}}}),
                &[
                    "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
                ],
            ),
            (
                json!({"strategy": {"rollingUpdate": {"maxUnavailable": "110%", "maxSurge": "some"}}}),
                &[
                    "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"some\": a valid percent string must be a numeric \
                     string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
                    "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"110%\": must not be greater than 100%",
                ],
            ),
            (
                json!({"minReadySeconds": 700}),
                &["spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"],
            ),
        ],
    );
    let mut old = object("Deployment", json!({}));
    old["metadata"]["resourceVersion"] = json!("1");
    old["status"] = json!({"replicas": 1, "collisionCount": 2});
    let mut new = old.clone();
    new["status"] = json!({"replicas": 1, "readyReplicas": 2, "collisionCount": 1});
    assert_eq!(
        faults(&validate_status_update(&gvk("Deployment"), "status", &new, &old)),
        [
            "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
            "status.collisionCount: Invalid value: 1: cannot be decremented",
        ]
    );
}

#[test]
fn daemon_sets() {
    check(
        "DaemonSet",
        &[
            (json!({}), &[]),
            (
                json!({"selector": {}}),
                &["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"],
            ),
            (
                json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}}),
                &[
                    "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
                ],
            ),
            (
                json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}}),
                &[
                    "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
                ],
            ),
        ],
    );
    let other = json!({"selector/matchLabels": {"app": "b"}, "template/metadata/labels": {"app": "b"}});
    assert_eq!(
        updated("DaemonSet", json!({}), other),
        ["spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"b\"}}: field is immutable"]
    );
}

#[test]
fn stateful_sets() {
    check(
        "StatefulSet",
        &[
            (json!({}), &[]),
            (
                json!({"podManagementPolicy": "Any"}),
                &["spec.podManagementPolicy: Invalid value: \"Any\": must be 'OrderedReady' or 'Parallel'"],
            ),
            (
                json!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": {}}}),
                &[
                    "spec.updateStrategy.rollingUpdate: Invalid value: {}: only allowed for updateStrategy 'RollingUpdate'",
                ],
            ),
            (
                json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0, "partition": -1}}}),
                &[
                    "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0",
                    "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0",
                ],
            ),
            (
                json!({"volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": {}}],
                    "template/spec/containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}),
                &[],
            ),
            (
                json!({"template/spec/containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}),
                &["spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"v\""],
            ),
            (
                json!({"serviceName": "a.b"}),
                &["spec.serviceName: Invalid value: \"a.b\": must not contain dots"],
            ),
        ],
    );
    assert_eq!(updated("StatefulSet", json!({}), json!({"replicas": 3, "minReadySeconds": 1})), NONE);
    // What was wrong with the template before does not hinder other changes.
    let broken = |replicas: i64| json!({"template/spec/containers": [], "replicas": replicas});
    assert_eq!(updated("StatefulSet", broken(1), broken(2)), NONE);
    assert_eq!(
        updated("StatefulSet", json!({}), json!({"serviceName": "other"})),
        [
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
          'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        ]
    );
}

#[test]
fn replication_controllers() {
    check(
        "ReplicationController",
        &[
            (json!({}), &[]),
            (
                json!({"selector": {"app": "b"}}),
                &[
                    "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`",
                ],
            ),
            (json!({"selector": null, "template/metadata/labels": null}), &["spec.selector: Required value"]),
            (json!({"template": null}), &["spec.template: Required value"]),
        ],
    );
}

#[test]
fn jobs() {
    check(
        "Job",
        &[
            (json!({}), &[]),
            (
                json!({"template/spec/restartPolicy": "Always"}),
                &["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""],
            ),
            (json!({"completionMode": "Indexed"}), &[]),
            (
                json!({"completionMode": "Indexed", "parallelism": 2}),
                &["spec.completions: Required value: when completion mode is Indexed"],
            ),
            (
                json!({"backoffLimitPerIndex": 1}),
                &["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
            ),
            (
                json!({"podFailurePolicy": {"rules": [{"action": "Ignore"}]}}),
                &[
                    "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
                ],
            ),
            (
                json!({"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In",
                    "containerName": "z", "values": [3, 0, 3]}}]}}),
                &[
                    "spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: \"z\": must be one of the \
                     container or initContainer names in the pod template",
                    "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
                    "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 3",
                    "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,0,3]: must be ordered",
                ],
            ),
            (
                json!({"podFailurePolicy": {"rules": []}, "template/spec/restartPolicy": "OnFailure"}),
                &[
                    "spec.template.spec.restartPolicy: Invalid value: \"OnFailure\": only \"Never\" is supported when \
                   podFailurePolicy is specified",
                ],
            ),
            (
                json!({"podFailurePolicy": {"rules": []}, "podReplacementPolicy": "TerminatingOrFailed"}),
                &[
                    "spec.podReplacementPolicy: Unsupported value: \"TerminatingOrFailed\": supported values: \"Failed\"",
                ],
            ),
            (
                json!({"completionMode": "Indexed", "completions": 4, "parallelism": 1,
                    "successPolicy": {"rules": [{"succeededIndexes": "0-2", "succeededCount": 4}]}}),
                &[
                    "spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be less than or equal to 3 (the number \
                   of indexes in the specified succeededIndexes field)",
                ],
            ),
            (
                json!({"managedBy": "me"}),
                &[
                    "spec.managedBy: Invalid value: \"me\": must be a domain-prefixed path (such as \"acme.io/foo\")",
                ],
            ),
            (
                json!({"template/metadata/labels": {"app": "a", "job-name": "other"}}),
                &["spec.template.metadata.labels[job-name]: Invalid value: {\"app\":\"a\",\
                     \"batch.kubernetes.io/controller-uid\":\"u\",\"batch.kubernetes.io/job-name\":\"x\",\
                     \"controller-uid\":\"u\",\"job-name\":\"other\"}: must be 'x'"],
            ),
        ],
    );
    assert_eq!(updated("Job", json!({}), json!({"parallelism": 5, "completions": 1, "suspend": true})), NONE);
    assert_eq!(
        updated("Job", json!({"completions": 1}), json!({"completions": 2})),
        ["spec.completions: Invalid value: 2: field is immutable"]
    );
    let indexed = |completions: i64, parallelism: i64| json!({"completionMode": "Indexed", "completions": completions, "parallelism": parallelism});
    assert_eq!(updated("Job", indexed(2, 2), indexed(3, 3)), NONE);
    assert_eq!(
        updated("Job", indexed(2, 2), indexed(3, 2)),
        ["spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"]
    );
    let image = json!({"template/spec/containers": [{"name": "c", "image": "i:2"}]});
    let changed = updated("Job", json!({}), image);
    assert!(changed.len() == 1 && changed[0].starts_with("spec.template: Invalid value: {"), "{changed:?}");
    let placed = json!({"suspend": true, "template/spec/nodeSelector": {"a": "b"}});
    assert_eq!(updated("Job", json!({"suspend": true}), placed), NONE);
}

#[test]
fn statuses_of_jobs() {
    let mut old = object("Job", json!({}));
    old["metadata"]["resourceVersion"] = json!("1");
    old["status"] = json!({"startTime": "2026-01-01T00:00:00Z"});
    let condition = |kind: &str| json!({"type": kind, "status": "True"});
    let check = |status: Value| {
        let mut new = old.clone();
        new["status"] = status;
        faults(&validate_status_update(&gvk("Job"), "status", &new, &old))
    };
    let (start, end) = ("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z");
    assert_eq!(check(json!({"startTime": start, "active": 1, "ready": 1})), NONE);
    assert_eq!(
        check(json!({"startTime": start, "completionTime": end, "succeeded": 1,
            "conditions": [condition("SuccessCriteriaMet"), condition("Complete")]})),
        NONE
    );
    assert_eq!(
        check(
            json!({"startTime": start, "conditions": [condition("Complete"), condition("SuccessCriteriaMet")], "active": 1})
        ),
        [
            "status.completionTime: Required value: completionTime is required for Complete jobs",
            "status.active: Invalid value: 1: active>0 is invalid for finished job",
        ]
    );
    assert_eq!(
        check(json!({"startTime": start, "conditions": [condition("Failed")]})),
        [
            "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition"
        ]
    );
}

#[test]
fn cron_jobs() {
    check(
        "CronJob",
        &[
            (json!({}), &[]),
            (json!({"timeZone": "Europe/Berlin"}), &[]),
            (json!({"schedule": ""}), &["spec.schedule: Required value"]),
            (
                json!({"schedule": "error"}),
                &["spec.schedule: Invalid value: \"error\": expected exactly 5 fields, found 1: [error]"],
            ),
            (
                json!({"schedule": "TZ=UTC 0 * * * *"}),
                &[
                    "spec.schedule: Invalid value: \"TZ=UTC 0 * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone \
                   field instead",
                ],
            ),
            (
                json!({"timeZone": "Mars/Base"}),
                &["spec.timeZone: Invalid value: \"Mars/Base\": unknown time zone Mars/Base"],
            ),
            (
                json!({"timeZone": ""}),
                &["spec.timeZone: Invalid value: \"\": timeZone must be nil or non-empty string"],
            ),
            (
                json!({"concurrencyPolicy": "Perhaps"}),
                &[
                    "spec.concurrencyPolicy: Unsupported value: \"Perhaps\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
                ],
            ),
            (
                json!({"jobTemplate/spec/manualSelector": true}),
                &[
                    "spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: \"false\", \"nil\"",
                ],
            ),
            (
                json!({"jobTemplate/spec/template/spec/restartPolicy": null}),
                &[
                    "spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
                ],
            ),
        ],
    );
    let mut long = object("CronJob", json!({}));
    long["metadata"]["name"] = json!("a".repeat(53));
    let name = "a".repeat(53);
    assert_eq!(
        faults(&validate_create(&gvk("CronJob"), &long)),
        [format!("metadata.name: Invalid value: \"{name}\": must be no more than 52 characters")]
    );
}

#[test]
fn autoscalers() {
    check(
        "HorizontalPodAutoscaler",
        &[
            (json!({}), &[]),
            (
                json!({"maxReplicas": 0, "minReplicas": 0}),
                &[
                    "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
                    "spec.maxReplicas: Invalid value: 0: must be greater than 0",
                ],
            ),
            (
                json!({"minReplicas": 5}),
                &["spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"],
            ),
            (
                json!({"scaleTargetRef": {}}),
                &["spec.scaleTargetRef.kind: Required value", "spec.scaleTargetRef.name: Required value"],
            ),
            (
                json!({"metrics": [{"type": "Resource", "pods": {"metric": {"name": "m"},
                    "target": {"type": "AverageValue", "averageValue": "1"}}}]}),
                &[
                    "spec.metrics[0].resource: Required value: must populate information for the given metric source",
                ],
            ),
            (
                json!({"metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}]}),
                &[
                    "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or \
                   a target utilization",
                ],
            ),
            (
                json!({"behavior": {"scaleUp": {"stabilizationWindowSeconds": 4000, "policies": [{"type": "Pods", "value": 0,
                    "periodSeconds": 1}]}}}),
                &[
                    "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 4000: must be less than or equal to 3600",
                    "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero",
                ],
            ),
        ],
    );
}

#[test]
fn budgets() {
    check(
        "PodDisruptionBudget",
        &[
            (json!({"minAvailable": "50%"}), &[]),
            (
                json!({"minAvailable": 1, "maxUnavailable": 1, "selector": {}}),
                &[
                    "spec: Invalid value: {\"maxUnavailable\":1,\"minAvailable\":1,\"selector\":{}}: minAvailable and \
                   maxUnavailable cannot be both set",
                ],
            ),
            (
                json!({"minAvailable": "150%"}),
                &["spec.minAvailable: Invalid value: \"150%\": must not be greater than 100%"],
            ),
            (
                json!({"unhealthyPodEvictionPolicy": "Never"}),
                &[
                    "spec.unhealthyPodEvictionPolicy: Unsupported value: \"Never\": supported values: \"AlwaysAllow\", \
                   \"IfHealthyBudget\"",
                ],
            ),
        ],
    );
}
