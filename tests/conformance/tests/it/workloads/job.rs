//! Jobs.

use serde_json::{Value, json};

use super::{container, holds, living, name, pods, reason, until, wait_long};
use crate::api::Api;
use crate::faked::{ENDS, RESTARTS, Shared, cluster};
use crate::life::{change, contains};

/// A job whose pods end as the annotation says.
fn job(ends: &Value, spec: Value) -> Value {
    let pod = json!({
        "metadata": { "annotations": { ENDS: ends.to_string() } },
        "spec": { "restartPolicy": "Never", "containers": [container()] },
    });
    let mut spec = spec;
    spec["template"] = pod;
    json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "job" }, "spec": spec })
}

/// One whose pods run on.
fn endless(spec: Value) -> Value {
    let mut object = job(&Value::Null, spec);
    object["spec"]["template"]["metadata"] = json!({});
    object
}

struct Made {
    api: Shared,
    namespace: String,
    path: String,
}

fn make(object: &Value) -> Made {
    let api = cluster();
    let namespace = api.namespace();
    let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
    api.post(&path, object);
    Made { api, path: format!("{path}/job"), namespace }
}

impl Made {
    fn until(&self, condition: &str) -> Value {
        let mut found = Value::Null;
        wait_long(condition, || {
            found = self.api.get(&self.path);
            holds(&found, condition)
        });
        found
    }

    fn pods(&self) -> Vec<Value> {
        pods(&self.api, &self.namespace)
    }

    /// The index of each pod that ended in a phase.
    fn indexes(&self, phase: &str) -> Vec<i64> {
        let of = |pod: &Value| {
            let text = pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"].as_str();
            text.and_then(|text| text.parse().ok()).unwrap_or(-1)
        };
        let mut all: Vec<i64> =
            self.pods().iter().filter(|pod| pod["status"]["phase"] == phase).map(of).collect();
        all.sort_unstable();
        all
    }
}

/// `[sig-apps] Job should run a job to completion when tasks sometimes fail and are locally restarted [Conformance]`
#[test]
fn job_should_run_a_job_to_completion_when_tasks_sometimes_fail_and_are_locally_restarted() {
    let mut object = job(&json!(0), json!({ "parallelism": 2, "completions": 4 }));
    object["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
    object["spec"]["template"]["metadata"]["annotations"][RESTARTS] = json!("1");
    let made = make(&object);
    let found = made.until("Complete");
    assert_eq!(found["status"]["succeeded"], 4);
    assert_eq!(reason(&found, "Complete"), "CompletionsReached");
    let good = made.pods().iter().filter(|pod| pod["status"]["phase"] == "Succeeded").count();
    assert_eq!(good, 4);
}

/// `[sig-apps] Job should create pods for an Indexed job with completion indexes and specified hostname [Conformance]`
#[test]
fn job_should_create_pods_for_an_indexed_job_with_completion_indexes_and_specified_hostname() {
    let spec = json!({ "parallelism": 2, "completions": 4, "completionMode": "Indexed" });
    let made = make(&job(&json!(0), spec));
    let found = made.until("Complete");
    assert_eq!(found["status"]["completedIndexes"], "0-3");
    assert_eq!(made.indexes("Succeeded"), [0, 1, 2, 3]);
    for pod in made.pods() {
        let index =
            pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"].as_str().unwrap();
        assert_eq!(pod["spec"]["hostname"], format!("job-{index}"));
        assert_eq!(pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"], index);
        assert_eq!(pod["spec"]["containers"][0]["env"][0]["name"], "JOB_COMPLETION_INDEX");
        assert!(name(&pod).starts_with(&format!("job-{index}-")), "{pod}");
    }
}

/// `[sig-apps] Job should allow to use the pod failure policy on exit code to fail the job early [Conformance]`
#[test]
fn job_should_allow_to_use_the_pod_failure_policy_on_exit_code_to_fail_the_job_early() {
    let rule = json!({ "action": "FailJob", "onExitCodes": { "operator": "In", "values": [42] } });
    let spec = json!({
        "parallelism": 2, "completions": 4, "backoffLimit": 0, "podFailurePolicy": { "rules": [rule] },
    });
    let found = make(&job(&json!(42), spec)).until("Failed");
    assert_eq!(reason(&found, "Failed"), "PodFailurePolicy");
    assert_eq!(reason(&found, "FailureTarget"), "PodFailurePolicy");
}

/// `[sig-apps] Job should allow to use a pod failure policy to ignore failure matching on DisruptionTarget condition
/// [Conformance]`
#[test]
fn job_should_allow_to_use_a_pod_failure_policy_to_ignore_failure_matching_on_disruption_target_condition() {
    let rule =
        json!({ "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] });
    let spec = json!({
        "parallelism": 1, "completions": 1, "backoffLimit": 0, "podFailurePolicy": { "rules": [rule] },
    });
    let made = make(&endless(spec));
    let running = |pods: &[Value]| pods.iter().find(|pod| pod["status"]["phase"] == "Running").map(name);
    let mut first = None;
    wait_long("a running pod", || {
        first = running(&made.pods());
        first.is_some()
    });
    let first = first.unwrap();
    let evictions = format!("/api/v1/namespaces/{}/pods/{first}/eviction", made.namespace);
    let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": first } });
    made.api.post(&evictions, &eviction);
    // Another pod takes its place, though not one failure is allowed.
    wait_long("another pod", || running(&made.pods()).is_some_and(|pod| pod != first));
    let found = made.api.get(&made.path);
    assert!(!holds(&found, "Failed") && found["status"].get("failed").is_none(), "{found}");
    let second = running(&made.pods()).unwrap();
    let status = json!({ "status": { "phase": "Succeeded" } });
    made.api.strategic(&format!("/api/v1/namespaces/{}/pods/{second}/status", made.namespace), &status);
    assert_eq!(made.until("Complete")["status"]["succeeded"], 1);
}

/// `[sig-apps] Job should execute all indexes despite some failing when using backoffLimitPerIndex [Conformance]`
#[test]
fn job_should_execute_all_indexes_despite_some_failing_when_using_backoff_limit_per_index() {
    let spec = json!({
        "parallelism": 2, "completions": 4, "completionMode": "Indexed", "backoffLimitPerIndex": 1,
    });
    let made = make(&job(&json!({ "0": 1, "2": 1, "*": 0 }), spec));
    let found = made.until("Failed");
    assert_eq!(reason(&found, "Failed"), "FailedIndexes");
    let status = &found["status"];
    assert_eq!((&status["failedIndexes"], &status["completedIndexes"]), (&json!("0,2"), &json!("1,3")));
    assert_eq!((&status["failed"], &status["succeeded"]), (&json!(4), &json!(2)));
}

/// `[sig-apps] Job should terminate job execution when the number of failed indexes exceeds maxFailedIndexes
/// [Conformance]`
#[test]
fn job_should_terminate_job_execution_when_the_number_of_failed_indexes_exceeds_max_failed_indexes() {
    let spec = json!({
        "parallelism": 10, "completions": 10, "completionMode": "Indexed", "backoffLimitPerIndex": 0,
        "maxFailedIndexes": 4,
    });
    let found = make(&job(&json!(1), spec)).until("Failed");
    assert_eq!(reason(&found, "Failed"), "MaxFailedIndexesExceeded");
    assert_eq!(reason(&found, "FailureTarget"), "MaxFailedIndexesExceeded");
}

/// `[sig-apps] Job should mark indexes as failed when the FailIndex action is matched in podFailurePolicy [Conformance]`
#[test]
fn job_should_mark_indexes_as_failed_when_the_fail_index_action_is_matched_in_pod_failure_policy() {
    let rule = json!({ "action": "FailIndex", "onExitCodes": { "operator": "In", "values": [42] } });
    let spec = json!({
        "parallelism": 2, "completions": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 1,
        "podFailurePolicy": { "rules": [rule] },
    });
    let made = make(&job(&json!({ "0": 42, "*": 0 }), spec));
    let found = made.until("Failed");
    assert_eq!(reason(&found, "Failed"), "FailedIndexes");
    assert_eq!(
        (&found["status"]["failedIndexes"], &found["status"]["completedIndexes"]),
        (&json!("0"), &json!("1"))
    );
    assert_eq!(made.indexes("Failed"), [0]);
}

/// The job succeeds by its policy, whatever else would be left to do.
fn success(ends: &Value, completions: i64, rule: Value, expected: &str) {
    let spec = json!({
        "parallelism": completions, "completions": completions, "completionMode": "Indexed",
        "successPolicy": { "rules": [rule] },
    });
    let found = make(&job(ends, spec)).until("Complete");
    assert_eq!(
        (reason(&found, "SuccessCriteriaMet"), reason(&found, "Complete")),
        ("SuccessPolicy", "SuccessPolicy")
    );
    assert_eq!(found["status"]["completedIndexes"], expected);
    assert_eq!(found["status"]["terminating"], 0);
}

/// `[sig-apps] Job with successPolicy should succeeded when all indexes succeeded [Conformance]`
#[test]
fn job_with_success_policy_should_succeeded_when_all_indexes_succeeded() {
    let spec = json!({
        "parallelism": 1, "completions": 3, "completionMode": "Indexed",
        "successPolicy": { "rules": [{ "succeededIndexes": "0-2" }] },
    });
    let found = make(&job(&json!(0), spec)).until("Complete");
    assert_eq!(found["status"]["completedIndexes"], "0-2");
    assert_eq!(reason(&found, "SuccessCriteriaMet"), "SuccessPolicy");
}

/// `[sig-apps] Job with successPolicy succeededCount rule should succeeded even when some indexes remain pending
/// [Conformance]`
#[test]
fn job_with_success_policy_succeeded_count_rule_should_succeeded_even_when_some_indexes_remain_pending() {
    success(&json!({ "0": 0 }), 5, json!({ "succeededCount": 1 }), "0");
}

/// `[sig-apps] Job with successPolicy succeededIndexes rule should succeeded even when some indexes remain pending
/// [Conformance]`
#[test]
fn job_with_success_policy_succeeded_indexes_rule_should_succeeded_even_when_some_indexes_remain_pending() {
    success(&json!({ "0": 0 }), 2, json!({ "succeededIndexes": "0" }), "0");
}

/// `[sig-apps] Job should delete a job [Conformance]`
#[test]
fn job_should_delete_a_job() {
    let made = make(&endless(json!({ "parallelism": 2, "completions": 4 })));
    until(&made.api, &made.path, |job| job["status"]["active"] == 2 && job["status"]["ready"] == 2);
    made.api.delete(&format!("{}?propagationPolicy=Background", made.path));
    made.api.gone(&made.path);
    wait_long("the end of its pods", || made.pods().is_empty());
}

/// `[sig-apps] Job should adopt matching orphans and release non-matching pods [Conformance]`
#[test]
fn job_should_adopt_matching_orphans_and_release_non_matching_pods() {
    let made = make(&endless(json!({ "parallelism": 2, "completions": 4 })));
    until(&made.api, &made.path, |job| job["status"]["active"] == 2);
    let one = format!(
        "/api/v1/namespaces/{}/pods/{}",
        made.namespace,
        name(&living(&made.api, &made.namespace)[0])
    );
    change(&made.api, &one, |pod| pod["metadata"]["ownerReferences"] = Value::Null);
    let owned = |pod: &Value| pod["metadata"]["ownerReferences"][0]["controller"] == true;
    until(&made.api, &one, owned);
    change(&made.api, &one, |pod| pod["metadata"]["labels"] = Value::Null);
    until(&made.api, &one, |pod| !owned(pod));
    until(&made.api, &made.path, |job| job["status"]["active"] == 2);
}

/// `[sig-apps] Job should apply changes to a job status [Conformance]`
#[test]
fn job_should_apply_changes_to_a_job_status() {
    let made = make(&endless(json!({ "parallelism": 2, "completions": 4, "backoffLimit": 6 })));
    until(&made.api, &made.path, |job| job["status"]["active"] == 2);
    let status = format!("{}/status", made.path);
    let condition = |text: &str| json!({ "type": "CustomConditionType", "status": "True", "reason": text });
    let patch = json!({
        "metadata": { "annotations": { "patchedstatus": "true" } },
        "status": { "conditions": [condition("E2EPatched")] },
    });
    let patched = made.api.merge(&status, &patch);
    assert_eq!(patched["metadata"]["annotations"]["patchedstatus"], "true");
    let written =
        change(&made.api, &status, |job| job["status"]["conditions"] = json!([condition("E2EUpdated")]));
    assert_eq!(reason(&written, "CustomConditionType"), "E2EUpdated");
    assert!(holds(&made.api.get(&made.path), "CustomConditionType"));
}

/// `[sig-apps] Job should manage the lifecycle of a job [Conformance]`
#[test]
fn job_should_manage_the_lifecycle_of_a_job() {
    let mut object =
        endless(json!({ "suspend": true, "parallelism": 2, "completions": 4, "backoffLimit": 6 }));
    object["metadata"]["labels"] = json!({ "life": "job" });
    let made = make(&object);
    until(&made.api, &made.path, |job| holds(job, "Suspended"));
    assert!(made.pods().is_empty());
    let patch = json!({
        "metadata": { "labels": { "patched": "true" } }, "spec": { "template": { "spec": { "containers": [] } } },
    });
    drop(patch);
    let patched = made.api.strategic(&made.path, &json!({ "metadata": { "labels": { "patched": "true" } } }));
    contains(&patched["metadata"]["labels"], &json!({ "life": "job", "patched": "true" }));
    change(&made.api, &made.path, |job| {
        job["spec"]["suspend"] = json!(false);
        job["metadata"]["annotations"] = json!({ "updated": "true" });
    });
    until(&made.api, &made.path, |job| {
        job["status"]["active"] == 2 && job["status"]["startTime"].is_string()
    });
    all_listed(&made.api, &made.namespace);
    made.api.delete(&format!("/apis/batch/v1/namespaces/{}/jobs?labelSelector=life%3Djob", made.namespace));
    made.api.gone(&made.path);
}

fn all_listed(api: &Api, namespace: &str) {
    let list = api.get("/apis/batch/v1/jobs?labelSelector=life%3Djob");
    let all = list["items"].as_array().cloned().unwrap_or_default();
    assert!(all.iter().any(|job| job["metadata"]["namespace"] == namespace), "{list}");
}
