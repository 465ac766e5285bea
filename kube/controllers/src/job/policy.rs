//! What a job's policies make of its pods: which failures count, and what is success enough.

use serde_json::Value;

use super::indexes::Indexes;
use crate::object::{at, items, name, namespace, number, text, texts};

/// What the failure of a pod means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts against the limits.
    Counts,
    /// It does not.
    Ignored,
    /// Its index is lost.
    FailsIndex,
    /// The job is lost; this is why.
    FailsJob(String),
}

/// What a job's policy makes of a failed pod.
pub(super) fn verdict(job: &Value, pod: &Value) -> Verdict {
    for (index, rule) in items(job, &["spec", "podFailurePolicy", "rules"]).iter().enumerate() {
        let Some(cause) = cause(rule, pod) else { continue };
        return match text(rule, &["action"]) {
            "Ignore" => Verdict::Ignored,
            "FailIndex" => Verdict::FailsIndex,
            "FailJob" => Verdict::FailsJob(format!("{cause} matching FailJob rule at index {index}")),
            _ => Verdict::Counts,
        };
    }
    Verdict::Counts
}

/// How a rule fits a pod, if it does.
fn cause(rule: &Value, pod: &Value) -> Option<String> {
    let called = format!("{}/{}", namespace(pod), name(pod));
    if let Some(codes) = at(rule, &["onExitCodes"]) {
        let (container, code) = exited(codes, pod)?;
        return Some(format!("Container {container} for pod {called} failed with exit code {code}"));
    }
    let conditions = items(pod, &["status", "conditions"]);
    let wanted = items(rule, &["onPodConditions"]).iter();
    let mut found = wanted.filter(|wanted| {
        let status = match text(wanted, &["status"]) {
            "" => "True",
            status => status,
        };
        let fits = |have: &Value| {
            text(have, &["type"]) == text(wanted, &["type"]) && text(have, &["status"]) == status
        };
        conditions.iter().any(fits)
    });
    found.next().map(|found| format!("Pod {called} has condition {}", text(found, &["type"])))
}

/// The container that ended with one of the codes, and the code.
fn exited<'a>(rule: &Value, pod: &'a Value) -> Option<(&'a str, i64)> {
    let codes: Vec<i64> = items(rule, &["values"]).iter().filter_map(Value::as_i64).collect();
    let inside = text(rule, &["operator"]) == "In";
    let wanted = text(rule, &["containerName"]);
    let all = ["containerStatuses", "initContainerStatuses"].into_iter();
    let mut all = all.flat_map(|list| items(pod, &["status", list]));
    all.find_map(|status| {
        let code = number(status, &["state", "terminated", "exitCode"]).filter(|code| *code != 0)?;
        let called = text(status, &["name"]);
        ((wanted.is_empty() || wanted == called) && codes.contains(&code) == inside).then_some((called, code))
    })
}

/// The rule by which so many successes are enough.
pub(super) fn success(job: &Value, completions: i64, succeeded: &Indexes) -> Option<String> {
    if succeeded.count() == 0 {
        return None;
    }
    let rules = items(job, &["spec", "successPolicy", "rules"]);
    let fits = |rule: &Value| {
        let enough = number(rule, &["succeededCount"]);
        match at(rule, &["succeededIndexes"]).and_then(Value::as_str) {
            Some(wanted) => {
                let wanted = Indexes::parse(wanted, completions);
                let shared = wanted.shared(succeeded);
                wanted.count() > 0
                    && (shared == wanted.count() || enough.is_some_and(|enough| shared >= enough))
            }
            None => enough.is_some_and(|enough| succeeded.count() >= enough),
        }
    };
    rules.iter().position(fits).map(|index| format!("Matched rules at index {index}"))
}

/// The names that a list at a path holds, for tests of membership.
pub(super) fn uids(job: &Value, list: &str) -> Vec<String> {
    let found = texts(job, &["status", "uncountedTerminatedPods", list]);
    found.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(code: i64, condition: &str) -> Value {
        json!({"metadata": {"name": "p", "namespace": "a"}, "status": {
            "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": code}}}],
            "conditions": [{"type": condition, "status": "True"}]}})
    }

    #[test]
    fn verdicts() {
        let job = json!({"spec": {"podFailurePolicy": {"rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "FailJob", "onExitCodes": {"containerName": "c", "operator": "In", "values": [42]}},
            {"action": "FailIndex", "onExitCodes": {"operator": "NotIn", "values": [1, 2]}},
        ]}}});
        let message = "Container c for pod a/p failed with exit code 42 matching FailJob rule at index 1";
        for (code, condition, expected) in [
            (42, "DisruptionTarget", Verdict::Ignored),
            (42, "Ready", Verdict::FailsJob(message.to_owned())),
            (3, "Ready", Verdict::FailsIndex),
            (1, "Ready", Verdict::Counts),
            (0, "Ready", Verdict::Counts),
        ] {
            assert_eq!(verdict(&job, &pod(code, condition)), expected, "{code}");
        }
    }

    #[test]
    fn successes() {
        let rules = |rules: Value| json!({"spec": {"successPolicy": {"rules": rules}}});
        let done = Indexes::parse("0,2-3", 10);
        for (found, expected) in [
            (rules(json!([{"succeededIndexes": "0,2"}])), Some("Matched rules at index 0")),
            (
                rules(json!([{"succeededIndexes": "0,1"}, {"succeededCount": 3}])),
                Some("Matched rules at index 1"),
            ),
            (
                rules(json!([{"succeededIndexes": "0-5", "succeededCount": 3}])),
                Some("Matched rules at index 0"),
            ),
            (rules(json!([{"succeededCount": 4}])), None),
            (json!({}), None),
        ] {
            assert_eq!(success(&found, 10, &done).as_deref(), expected, "{found}");
        }
    }
}
