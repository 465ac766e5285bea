//! Rows of what makes pods.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::format::{
    age, condition, containers, flag, human_duration, human_seconds, is_true, labels, listed, micros, name,
    number, or, quantity, selector, selector_text,
};
use crate::value::{items, text};

pub(super) fn pod_template(object: &Value, _now: Timestamp) -> Vec<Value> {
    let template = &object["template"];
    let [names, images] = containers(template);
    vec![name(object), names, images, labels(&template["metadata"]["labels"])]
}

pub(super) fn replication_controller(object: &Value, now: Timestamp) -> Vec<Value> {
    replicas(object, now, labels(&object["spec"]["selector"]))
}

pub(super) fn replica_set(object: &Value, now: Timestamp) -> Vec<Value> {
    replicas(object, now, selector(&object["spec"]["selector"]))
}

fn replicas(object: &Value, now: Timestamp, selector: Value) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let [names, images] = containers(&spec["template"]);
    vec![
        name(object),
        number(&spec["replicas"]).into(),
        number(&status["replicas"]).into(),
        number(&status["readyReplicas"]).into(),
        age(object, now),
        names,
        images,
        selector,
    ]
}

pub(super) fn deployment(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let [names, images] = containers(&spec["template"]);
    let selected = selector_text(&spec["selector"]).unwrap_or_else(|| "<invalid>".to_owned());
    vec![
        name(object),
        format!("{}/{}", number(&status["readyReplicas"]), number(&spec["replicas"])).into(),
        number(&status["updatedReplicas"]).into(),
        number(&status["availableReplicas"]).into(),
        age(object, now),
        names,
        images,
        selected.into(),
    ]
}

pub(super) fn stateful_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let [names, images] = containers(&spec["template"]);
    let ready = format!("{}/{}", number(&status["readyReplicas"]), number(&spec["replicas"]));
    vec![name(object), ready.into(), age(object, now), names, images]
}

pub(super) fn daemon_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let [names, images] = containers(&spec["template"]);
    let count = |field: &str| Value::from(number(&status[field]));
    vec![
        name(object),
        count("desiredNumberScheduled"),
        count("currentNumberScheduled"),
        count("numberReady"),
        count("updatedNumberScheduled"),
        count("numberAvailable"),
        labels(&spec["template"]["spec"]["nodeSelector"]),
        age(object, now),
        names,
        images,
        selector(&spec["selector"]),
    ]
}

pub(super) fn controller_revision(object: &Value, now: Timestamp) -> Vec<Value> {
    let owners = items(&object["metadata"]["ownerReferences"]);
    let owner = owners.iter().find(|owner| owner["controller"] == json!(true));
    let controller = owner.map_or_else(
        || "<none>".to_owned(),
        |owner| {
            let group = text(&owner["apiVersion"]).rsplit_once('/').map_or("", |(group, _)| group);
            let kind = text(&owner["kind"]).to_lowercase();
            let dot = if group.is_empty() { "" } else { "." };
            format!("{kind}{dot}{group}/{}", text(&owner["name"]))
        },
    );
    vec![name(object), controller.into(), number(&object["revision"]).into(), age(object, now)]
}

pub(super) fn job(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let [names, images] = containers(&spec["template"]);
    let done = number(&status["succeeded"]);
    let completions = match (spec["completions"].as_i64(), number(&spec["parallelism"])) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{done}/1 of {parallelism}"),
        (None, _) => format!("{done}/1"),
    };
    vec![
        name(object),
        job_status(object).into(),
        completions.into(),
        job_duration(status, now).into(),
        age(object, now),
        names,
        images,
        selector(&spec["selector"]),
    ]
}

fn job_status(object: &Value) -> &'static str {
    let has = |kind: &str| is_true(&object["status"]["conditions"], kind);
    match () {
        () if has("Complete") => "Complete",
        () if has("Failed") => "Failed",
        () if object["metadata"]["deletionTimestamp"].is_string() => "Terminating",
        () if has("Suspended") => "Suspended",
        () if has("FailureTarget") => "FailureTarget",
        () => "Running",
    }
}

fn job_duration(status: &Value, now: Timestamp) -> String {
    let Some(start) = micros(&status["startTime"]) else { return String::new() };
    let end = micros(&status["completionTime"]).unwrap_or(now.as_microsecond());
    human_seconds(end.saturating_sub(start) / 1_000_000)
}

pub(super) fn cron_job(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let job = &spec["jobTemplate"]["spec"];
    let [names, images] = containers(&job["template"]);
    let last = match &status["lastScheduleTime"] {
        Value::Null => "<none>".to_owned(),
        time => human_duration(time, now),
    };
    vec![
        name(object),
        text(&spec["schedule"]).into(),
        or(&spec["timeZone"], "<none>"),
        flag(&spec["suspend"]).into(),
        items(&status["active"]).len().into(),
        last.into(),
        age(object, now),
        names,
        images,
        selector(&job["selector"]),
    ]
}

pub(super) fn disruption_budget(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let amount = |value: &Value| match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => "N/A".to_owned(),
    };
    vec![
        name(object),
        amount(&spec["minAvailable"]).into(),
        amount(&spec["maxUnavailable"]).into(),
        number(&object["status"]["disruptionsAllowed"]).into(),
        age(object, now),
    ]
}

pub(super) fn scale(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        number(&object["spec"]["replicas"]).into(),
        number(&object["status"]["replicas"]).into(),
        age(object, now),
    ]
}

pub(super) fn autoscaler(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let target = &spec["scaleTargetRef"];
    let least = spec["minReplicas"].as_i64().map_or("<unset>".to_owned(), |number| number.to_string());
    vec![
        name(object),
        format!("{}/{}", text(&target["kind"]), text(&target["name"])).into(),
        metrics(spec, status).into(),
        least.into(),
        number(&spec["maxReplicas"]).into(),
        number(&status["currentReplicas"]).into(),
        age(object, now),
    ]
}

/// The targets of an autoscaler, of both versions' shapes.
fn metrics(spec: &Value, status: &Value) -> String {
    // autoscaling/v1 knows one target beside its annotations.
    if let Some(wanted) = spec["targetCPUUtilizationPercentage"].as_i64() {
        let current = status["currentCPUUtilizationPercentage"].as_i64();
        let current = current.map_or("<unknown>".to_owned(), |percent| format!("{percent}%"));
        return format!("cpu: {current}/{wanted}%");
    }
    let current = items(&status["currentMetrics"]);
    let one = |(at, metric): (usize, &Value)| metric_text(metric, current.get(at).unwrap_or(&Value::Null));
    let all: Vec<_> = items(&spec["metrics"]).iter().enumerate().map(one).collect();
    listed(&all, 2, ", ", "<none>")
}

fn metric_text(metric: &Value, status: &Value) -> String {
    let kind = text(&metric["type"]);
    let (part, named) = match kind {
        "External" => ("external", false),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        _ => return "<unknown type>".to_owned(),
    };
    let (target, current) = (&metric[part]["target"], &status[part]["current"]);
    let label = if named { format!("{}: ", text(&metric[part]["name"])) } else { String::new() };
    let shown = |value: &Value| {
        if value.is_null() { "<unknown>".to_owned() } else { quantity(value) }
    };
    if !target["averageValue"].is_null() {
        let average = if matches!(part, "external" | "object") { " (avg)" } else { "" };
        return format!(
            "{label}{}/{}{average}",
            shown(&current["averageValue"]),
            quantity(&target["averageValue"])
        );
    }
    if !named {
        return format!("{}/{}", shown(&current["value"]), quantity(&target["value"]));
    }
    let percent =
        |value: &Value, none: &str| value.as_i64().map_or(none.to_owned(), |percent| format!("{percent}%"));
    let (have, want) = (&current["averageUtilization"], &target["averageUtilization"]);
    format!("{label}{}/{}", percent(have, "<unknown>"), percent(want, "<auto>"))
}

/// The status of a condition, or a question mark.
pub(super) fn condition_status(conditions: &Value, kind: &str) -> String {
    condition(conditions, kind).map_or("?", |condition| text(&condition["status"])).to_owned()
}
