use serde_json::{Value, json};

use super::*;
use crate::object::{name, time_text};
use crate::sim::World;

const LOOPS: &[Loop] = &[LOOP];

fn job(more: &[(&str, Value)]) -> Value {
    let mut spec = json!({
        "parallelism": 2, "completions": 3, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": false,
        "podReplacementPolicy": "TerminatingOrFailed",
        "selector": {"matchLabels": {"job-name": "j"}},
        "template": {"metadata": {"labels": {"job-name": "j"}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "v1"}]}},
    });
    for (member, value) in more {
        spec[*member] = value.clone();
    }
    json!({"metadata": {"name": "j", "namespace": "a", "generation": 1}, "spec": spec})
}

fn world(more: &[(&str, Value)]) -> World {
    let mut world = World::default();
    world.put("jobs", job(more));
    world.settle(LOOPS);
    world
}

fn indexed(completions: i64, parallelism: i64, more: &[(&str, Value)]) -> World {
    let mut all = vec![
        ("completionMode", json!("Indexed")),
        ("completions", json!(completions)),
        ("parallelism", json!(parallelism)),
    ];
    all.extend(more.iter().map(|(member, value)| (*member, value.clone())));
    world(&all)
}

fn running(world: &World) -> Vec<Arc<Value>> {
    world.all("pods").into_iter().filter(|pod| is_active(pod)).collect()
}

/// The node's part: a pod ends with an exit code.
fn end(world: &mut World, pod: &Value, code: i64) {
    let finished = time_text(world.now);
    let phase = if code == 0 { "Succeeded" } else { "Failed" };
    world.change("pods", "a", name(pod), |pod| {
        pod["status"] = json!({"phase": phase, "containerStatuses": [
            {"name": "c", "state": {"terminated": {"exitCode": code, "finishedAt": finished}}}]});
    });
    world.settle(LOOPS);
}

fn end_index(world: &mut World, index: i64, code: i64) {
    let all = running(world);
    let pod =
        all.iter().find(|pod| index_of(pod) == Some(index)).unwrap_or_else(|| panic!("no pod of {index}"));
    end(world, pod, code);
}

fn status(world: &World) -> Value {
    world.get("jobs", "a", "j").unwrap()["status"].clone()
}

/// The conditions that hold: `FailureTarget/BackoffLimitExceeded Failed/BackoffLimitExceeded`.
fn said(world: &World) -> String {
    let found = world.get("jobs", "a", "j").unwrap();
    let all = items(&found, &["status", "conditions"]).iter();
    let all = all.filter(|found| text(found, &["status"]) == "True");
    all.map(|found| format!("{}/{}", text(found, &["type"]), text(found, &["reason"])))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn runs_to_its_end() {
    let mut world = world(&[]);
    assert_eq!(
        status(&world),
        json!({"startTime": time_text(world.now), "active": 2, "ready": 0, "terminating": 0,
            "uncountedTerminatedPods": {}})
    );
    let pod = running(&world)[0].clone();
    assert_eq!(pod["metadata"]["finalizers"], json!(["batch.kubernetes.io/job-tracking"]));
    end(&mut world, &pod, 0);
    assert_eq!((status(&world)["succeeded"].clone(), running(&world).len()), (json!(1), 2));
    let pod = running(&world)[0].clone();
    end(&mut world, &pod, 0);
    assert_eq!(running(&world).len(), 1);
    world.now += 5;
    let pod = running(&world)[0].clone();
    end(&mut world, &pod, 0);
    assert_eq!(said(&world), "SuccessCriteriaMet/CompletionsReached Complete/CompletionsReached");
    let done = status(&world);
    assert_eq!((&done["succeeded"], done.get("active")), (&json!(3), None));
    assert_eq!(done["completionTime"], time_text(world.now));
    assert_eq!(done["uncountedTerminatedPods"], json!({}));
    assert_eq!(world.events.last().unwrap(), "Completed: Job completed");
    // What ended stays to be looked at, and nothing holds it.
    assert_eq!(world.all("pods").len(), 3);
    assert!(world.all("pods").iter().all(|pod| !has_finalizer(pod, TRACKING)));
}

#[test]
fn failures_slow_down_and_end_it() {
    let mut world =
        world(&[("completions", json!(1)), ("parallelism", json!(1)), ("backoffLimit", json!(2))]);
    for pause in [10_i64, 20] {
        let pod = running(&world)[0].clone();
        end(&mut world, &pod, 1);
        assert_eq!(running(&world).len(), 0);
        assert!(
            world.deadlines.iter().any(|due| due.as_secs() == pause.unsigned_abs()),
            "{:?}",
            world.deadlines
        );
        world.pass(pause - 1, LOOPS);
        assert_eq!(running(&world).len(), 0);
        world.pass(1, LOOPS);
        assert_eq!(running(&world).len(), 1);
    }
    let pod = running(&world)[0].clone();
    end(&mut world, &pod, 1);
    assert_eq!(said(&world), "FailureTarget/BackoffLimitExceeded Failed/BackoffLimitExceeded");
    assert_eq!(status(&world)["failed"], 3);
    assert_eq!(
        world.events.last().unwrap(),
        "BackoffLimitExceeded: Job has reached the specified backoff limit"
    );
}

#[test]
fn a_deadline_ends_it() {
    let mut world = world(&[("activeDeadlineSeconds", json!(30))]);
    assert!(world.deadlines.iter().any(|due| due.as_secs() == 30));
    world.pass(30, LOOPS);
    assert_eq!(said(&world), "FailureTarget/DeadlineExceeded Failed/DeadlineExceeded");
    let done = status(&world);
    assert_eq!((&done["failed"], done.get("active"), world.all("pods").len()), (&json!(2), None, 0));
}

#[test]
fn a_fixed_count_is_not_needed() {
    let mut world = world(&[("completions", Value::Null), ("parallelism", json!(3))]);
    let pod = running(&world)[0].clone();
    end(&mut world, &pod, 0);
    // Nobody is replaced once somebody succeeded, and the rest is waited for.
    assert_eq!((running(&world).len(), said(&world).as_str()), (2, ""));
    for pod in running(&world) {
        end(&mut world, &pod, 1);
    }
    assert_eq!(said(&world), "SuccessCriteriaMet/CompletionsReached Complete/CompletionsReached");
}

#[test]
fn is_suspended_and_resumed() {
    let mut world = world(&[("suspend", json!(true))]);
    assert_eq!((said(&world).as_str(), running(&world).len()), ("Suspended/JobSuspended", 0));
    assert_eq!(status(&world).get("startTime"), None);
    world.now += 10;
    world.change("jobs", "a", "j", |job| job["spec"]["suspend"] = json!(false));
    world.settle(LOOPS);
    assert_eq!((said(&world).as_str(), running(&world).len()), ("", 2));
    assert_eq!(status(&world)["startTime"], time_text(world.now));
    world.change("jobs", "a", "j", |job| job["spec"]["suspend"] = json!(true));
    world.settle(LOOPS);
    // Pods that were only sent away have not failed.
    assert_eq!((world.all("pods").len(), status(&world).get("failed")), (0, None));
    let told = |reason: &str| world.events.iter().filter(|event| event.starts_with(reason)).count();
    assert_eq!((told("Suspended: Job suspended"), told("Resumed: Job resumed")), (2, 1));
}

#[test]
fn grows_and_shrinks() {
    let mut world = world(&[("parallelism", json!(4)), ("completions", json!(10))]);
    for size in [6, 1] {
        world.change("jobs", "a", "j", |job| job["spec"]["parallelism"] = json!(size));
        world.settle(LOOPS);
        assert_eq!((running(&world).len(), &status(&world)["active"]), (size, &json!(size)));
    }
    assert_eq!(status(&world).get("failed"), None);
}

#[test]
fn pods_have_indexes() {
    let mut world = indexed(4, 2, &[]);
    let all = running(&world);
    let pod = &all[1];
    assert_eq!(pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"], "1");
    assert_eq!(pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"], "1");
    assert_eq!(pod["spec"]["hostname"], "j-1");
    assert!(name(pod).starts_with("j-1-"), "{}", name(pod));
    assert_eq!(
        pod["spec"]["containers"][0]["env"],
        json!([{"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {
            "fieldPath": "metadata.labels['batch.kubernetes.io/job-completion-index']"}}}])
    );
    end_index(&mut world, 1, 0);
    end_index(&mut world, 2, 0);
    end_index(&mut world, 3, 0);
    assert_eq!(
        (&status(&world)["completedIndexes"], &status(&world)["succeeded"]),
        (&json!("1-3"), &json!(3))
    );
    end_index(&mut world, 0, 0);
    assert_eq!(status(&world)["completedIndexes"], "0-3");
    assert_eq!(said(&world), "SuccessCriteriaMet/CompletionsReached Complete/CompletionsReached");
}

#[test]
fn each_index_has_its_own_limit() {
    let mut world = indexed(3, 3, &[("backoffLimitPerIndex", json!(1)), ("backoffLimit", json!(i32::MAX))]);
    end_index(&mut world, 0, 1);
    // The failed pod is kept until its successor carries on the count.
    assert_eq!(running(&world).len(), 2);
    world.pass(10, LOOPS);
    let all = running(&world);
    let next = all.iter().find(|pod| index_of(pod) == Some(0)).unwrap();
    assert_eq!(annotation(next, FAILURES), Some("1"));
    end_index(&mut world, 0, 1);
    assert_eq!(status(&world)["failedIndexes"], "0");
    end_index(&mut world, 1, 0);
    end_index(&mut world, 2, 0);
    let done = status(&world);
    assert_eq!((&done["failedIndexes"], &done["completedIndexes"]), (&json!("0"), &json!("1,2")));
    assert_eq!((&done["failed"], &done["succeeded"]), (&json!(2), &json!(2)));
    assert_eq!(said(&world), "FailureTarget/FailedIndexes Failed/FailedIndexes");
}

#[test]
fn too_many_failed_indexes() {
    let more = [
        ("backoffLimitPerIndex", json!(0)),
        ("maxFailedIndexes", json!(0)),
        ("backoffLimit", json!(i32::MAX)),
    ];
    let mut world = indexed(4, 4, &more);
    end_index(&mut world, 2, 1);
    assert_eq!(said(&world), "FailureTarget/MaxFailedIndexesExceeded Failed/MaxFailedIndexesExceeded");
    assert_eq!((status(&world)["failedIndexes"].clone(), running(&world).len()), (json!("2"), 0));
}

#[test]
fn a_policy_says_what_a_failure_means() {
    let rules = |rules: Value| ("podFailurePolicy", json!({"rules": rules}));
    let fails = rules(json!([{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]));
    let mut world = world(&[fails, ("backoffLimit", json!(0))]);
    let pod = running(&world)[0].clone();
    end(&mut world, &pod, 42);
    assert_eq!(said(&world), "FailureTarget/PodFailurePolicy Failed/PodFailurePolicy");
    let ignores = rules(json!([{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [3]}}]));
    let mut world = self::world(&[ignores, ("backoffLimit", json!(0))]);
    let pod = running(&world)[0].clone();
    end(&mut world, &pod, 3);
    assert_eq!((said(&world).as_str(), status(&world).get("failed")), ("", None));
    world.pass(10, LOOPS);
    assert_eq!(running(&world).len(), 2);
    let lost = rules(json!([{"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}}]));
    let mut world = indexed(2, 2, &[lost, ("backoffLimitPerIndex", json!(5)), ("backoffLimit", json!(9))]);
    end_index(&mut world, 0, 42);
    assert_eq!(status(&world)["failedIndexes"], "0");
}

#[test]
fn some_successes_are_enough() {
    let mut world = indexed(
        5,
        5,
        &[("successPolicy", json!({"rules": [{"succeededIndexes": "0-2", "succeededCount": 1}]}))],
    );
    end_index(&mut world, 1, 0);
    assert_eq!(said(&world), "SuccessCriteriaMet/SuccessPolicy Complete/SuccessPolicy");
    let done = status(&world);
    assert_eq!(
        (&done["completedIndexes"], &done["succeeded"], running(&world).len()),
        (&json!("1"), &json!(1), 0)
    );
    // Those that were ended for that have not failed.
    assert_eq!(done.get("failed"), None);
}

#[test]
fn some_are_replaced_only_when_they_have_ended() {
    let mut world = world(&[("podReplacementPolicy", json!("Failed"))]);
    let pod = running(&world)[0].clone();
    world.user_deletes("pods", "a", name(&pod), "Background");
    world.settle(LOOPS);
    assert_eq!((running(&world).len(), &status(&world)["terminating"]), (1, &json!(1)));
    world.change("pods", "a", name(&pod), |pod| pod["status"] = json!({"phase": "Failed"}));
    world.settle(LOOPS);
    world.pass(10, LOOPS);
    assert_eq!((running(&world).len(), &status(&world)["failed"]), (2, &json!(1)));
}

#[test]
fn adopts_and_lets_go() {
    let mut world = world(&[]);
    let pod = running(&world)[0].clone();
    world.change("pods", "a", name(&pod), |pod| pod["metadata"]["ownerReferences"] = json!([]));
    world.settle(LOOPS);
    let adopted = world.get("pods", "a", name(&pod)).unwrap();
    assert!(controller_of(&adopted).is_some() && has_finalizer(&adopted, TRACKING));
    world.change("pods", "a", name(&pod), |pod| pod["metadata"]["labels"] = json!({}));
    world.settle(LOOPS);
    let released = world.get("pods", "a", name(&pod)).unwrap();
    assert!(controller_of(&released).is_none() && !has_finalizer(&released, TRACKING));
    assert_eq!(world.all("pods").len(), 3);
    // Without the job nothing holds its pods.
    world.remove("jobs", "a", "j");
    world.settle(LOOPS);
    assert!(world.all("pods").iter().all(|pod| !has_finalizer(pod, TRACKING)));
}

#[test]
fn others_may_manage_it() {
    let world = world(&[("managedBy", json!("example.com/queue"))]);
    assert_eq!((world.all("pods").len(), &status(&world)), (0, &Value::Null));
}

#[test]
fn restarts_in_the_pod_count() {
    let mut world = world(&[("backoffLimit", json!(2))]);
    world.change("jobs", "a", "j", |job| {
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
    });
    let pod = running(&world)[0].clone();
    world.change("pods", "a", name(&pod), |pod| {
        pod["status"] = json!({"phase": "Running", "containerStatuses": [{"restartCount": 2}]});
    });
    world.settle(LOOPS);
    assert_eq!(said(&world), "FailureTarget/BackoffLimitExceeded Failed/BackoffLimitExceeded");
}
