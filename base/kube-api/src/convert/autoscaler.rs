//! Autoscalers: v1 knows one target, of CPU, and keeps the rest of v2 in annotations.

use serde_json::{Map, Value, json};

use crate::value::{is_empty, items, object_at, put, text};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// The metric of CPU that v1 has a field for.
fn is_cpu(metric: &Value) -> bool {
    text(&metric["type"]) == "Resource" && text(&metric["resource"]["name"]) == "cpu"
}

pub(super) fn to_v1(object: &mut Value) {
    let (spec, status) = (&object["spec"], &object["status"]);
    let target =
        |metric: &&Value| is_cpu(metric) && !metric["resource"]["target"]["averageUtilization"].is_null();
    let metrics = items(&spec["metrics"]);
    let cpu = metrics.iter().position(|metric| target(&metric));
    let percent = cpu.map(|at| metrics[at]["resource"]["target"]["averageUtilization"].clone());
    let others: Vec<_> = (metrics.iter().enumerate())
        .filter(|(at, _)| Some(*at) != cpu)
        .map(|(_, metric)| metric_to_v1(metric))
        .collect();
    let current = items(&status["currentMetrics"]);
    let seen =
        |metric: &&Value| is_cpu(metric) && !metric["resource"]["current"]["averageUtilization"].is_null();
    let current_percent =
        current.iter().find(seen).map(|one| one["resource"]["current"]["averageUtilization"].clone());
    let current: Vec<_> = current.iter().map(status_to_v1).collect();
    let conditions = status["conditions"].clone();
    let behavior = spec["behavior"].clone();
    note(object, METRICS, &Value::Array(others));
    note(object, CURRENT_METRICS, &Value::Array(current));
    note(object, CONDITIONS, &conditions);
    note(object, BEHAVIOR, &behavior);
    if let Some(spec) = object.get_mut("spec") {
        put(spec, "metrics", Value::Null);
        put(spec, "behavior", Value::Null);
        put(spec, "targetCPUUtilizationPercentage", percent.unwrap_or_default());
    }
    if let Some(status) = object.get_mut("status") {
        put(status, "currentMetrics", Value::Null);
        put(status, "conditions", Value::Null);
        put(status, "currentCPUUtilizationPercentage", current_percent.unwrap_or_default());
    }
}

pub(super) fn to_v2(object: &mut Value) {
    let percent = object["spec"]["targetCPUUtilizationPercentage"].clone();
    let mut metrics: Vec<Value> = Vec::new();
    if !percent.is_null() {
        let target = json!({"type": "Utilization", "averageUtilization": percent});
        metrics.push(json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
    }
    metrics.extend(items(&take_note(object, METRICS)).iter().map(metric_to_v2));
    let mut current: Vec<_> = items(&take_note(object, CURRENT_METRICS)).iter().map(status_to_v2).collect();
    let seen = object["status"]["currentCPUUtilizationPercentage"].clone();
    if !seen.is_null() && !current.iter().any(is_cpu) {
        current.insert(
            0,
            json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": seen}}}),
        );
    }
    let (conditions, behavior) = (take_note(object, CONDITIONS), take_note(object, BEHAVIOR));
    if let Some(spec) = object.get_mut("spec") {
        put(spec, "targetCPUUtilizationPercentage", Value::Null);
        put(spec, "metrics", if metrics.is_empty() { Value::Null } else { Value::Array(metrics) });
        put(spec, "behavior", behavior);
    }
    if let Some(status) = object.get_mut("status") {
        put(status, "currentCPUUtilizationPercentage", Value::Null);
        put(status, "currentMetrics", if current.is_empty() { Value::Null } else { Value::Array(current) });
        put(status, "conditions", conditions);
    }
}

/// Writes what v1 cannot say into an annotation.
fn note(object: &mut Value, name: &str, value: &Value) {
    if is_empty(value) {
        return;
    }
    object_at(object, "metadata");
    if let Some(annotations) =
        object.get_mut("metadata").and_then(|metadata| object_at(metadata, "annotations"))
    {
        annotations.insert(name.to_owned(), json!(value.to_string()));
    }
}

/// Takes an annotation away, and gives what it holds.
fn take_note(object: &mut Value, name: &str) -> Value {
    let Some(metadata) = object.get_mut("metadata") else { return Value::Null };
    let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else {
        return Value::Null;
    };
    let taken = annotations.remove(name);
    if annotations.is_empty() {
        put(metadata, "annotations", Value::Null);
    }
    taken.and_then(|taken| serde_json::from_str(text(&taken)).ok()).unwrap_or_default()
}

/// A metric as v1's annotation has it: the target's members stand beside its name.
fn metric_to_v1(metric: &Value) -> Value {
    let kind = text(&metric["type"]);
    let (part, source) = source_of(metric);
    let target = &source["target"];
    let mut flat = Map::new();
    let mut set = |name: &str, value: &Value| {
        if !value.is_null() {
            flat.insert(name.to_owned(), value.clone());
        }
    };
    match kind {
        "Resource" | "ContainerResource" => {
            set("name", &source["name"]);
            set("container", &source["container"]);
            set("targetAverageUtilization", &target["averageUtilization"]);
            set("targetAverageValue", &target["averageValue"]);
        }
        "Pods" => {
            set("metricName", &source["metric"]["name"]);
            set("selector", &source["metric"]["selector"]);
            set("targetAverageValue", &target["averageValue"]);
        }
        "Object" => {
            set("target", &source["describedObject"]);
            set("metricName", &source["metric"]["name"]);
            set("selector", &source["metric"]["selector"]);
            set("targetValue", &target["value"]);
            set("averageValue", &target["averageValue"]);
        }
        _ => {
            set("metricName", &source["metric"]["name"]);
            set("metricSelector", &source["metric"]["selector"]);
            set("targetValue", &target["value"]);
            set("targetAverageValue", &target["averageValue"]);
        }
    }
    member(kind, part, Value::Object(flat))
}

fn metric_to_v2(metric: &Value) -> Value {
    let kind = text(&metric["type"]);
    let (part, flat) = source_of(metric);
    let value = |name: &str| flat[name].clone();
    let target = |kind: &str, field: &str, value: Value| json!({"type": kind, field: value});
    let metric =
        |selector: &str| without_nulls(json!({"name": flat["metricName"], "selector": flat[selector]}));
    let averaged = |name: &str| target("AverageValue", "averageValue", value(name));
    let source = match kind {
        "Resource" | "ContainerResource" => {
            let target = match &flat["targetAverageUtilization"] {
                Value::Null => averaged("targetAverageValue"),
                percent => target("Utilization", "averageUtilization", percent.clone()),
            };
            without_nulls(json!({"name": flat["name"], "container": flat["container"], "target": target}))
        }
        "Pods" => json!({"metric": metric("selector"), "target": averaged("targetAverageValue")}),
        "Object" => {
            let target = match &flat["averageValue"] {
                Value::Null => target("Value", "value", value("targetValue")),
                _ => averaged("averageValue"),
            };
            json!({"describedObject": flat["target"], "metric": metric("selector"), "target": target})
        }
        _ => {
            let target = match &flat["targetAverageValue"] {
                Value::Null => target("Value", "value", value("targetValue")),
                _ => averaged("targetAverageValue"),
            };
            json!({"metric": metric("metricSelector"), "target": target})
        }
    };
    member(kind, part, source)
}

fn status_to_v1(metric: &Value) -> Value {
    let kind = text(&metric["type"]);
    let (part, source) = source_of(metric);
    let current = &source["current"];
    let flat = match kind {
        "Resource" | "ContainerResource" => json!({
            "name": source["name"], "container": source["container"],
            "currentAverageUtilization": current["averageUtilization"],
            "currentAverageValue": current["averageValue"],
        }),
        "Pods" => json!({
            "metricName": source["metric"]["name"], "selector": source["metric"]["selector"],
            "currentAverageValue": current["averageValue"],
        }),
        "Object" => json!({
            "target": source["describedObject"], "metricName": source["metric"]["name"],
            "selector": source["metric"]["selector"], "currentValue": current["value"],
            "averageValue": current["averageValue"],
        }),
        _ => json!({
            "metricName": source["metric"]["name"], "metricSelector": source["metric"]["selector"],
            "currentValue": current["value"], "currentAverageValue": current["averageValue"],
        }),
    };
    member(kind, part, without_nulls(flat))
}

fn status_to_v2(metric: &Value) -> Value {
    let kind = text(&metric["type"]);
    let (part, flat) = source_of(metric);
    let metric =
        |selector: &str| without_nulls(json!({"name": flat["metricName"], "selector": flat[selector]}));
    let source = match kind {
        "Resource" | "ContainerResource" => {
            let current = without_nulls(json!({
                "averageUtilization": flat["currentAverageUtilization"], "averageValue": flat["currentAverageValue"],
            }));
            without_nulls(json!({"name": flat["name"], "container": flat["container"], "current": current}))
        }
        "Pods" => {
            let current = without_nulls(json!({"averageValue": flat["currentAverageValue"]}));
            json!({"metric": metric("selector"), "current": current})
        }
        "Object" => {
            let current =
                without_nulls(json!({"value": flat["currentValue"], "averageValue": flat["averageValue"]}));
            json!({"describedObject": flat["target"], "metric": metric("selector"), "current": current})
        }
        _ => {
            let current = without_nulls(
                json!({"value": flat["currentValue"], "averageValue": flat["currentAverageValue"]}),
            );
            json!({"metric": metric("metricSelector"), "current": current})
        }
    };
    member(kind, part, source)
}

/// The member of a metric that holds what its type says, and its name.
fn source_of(metric: &Value) -> (&'static str, &Value) {
    let name = match text(&metric["type"]) {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        _ => "external",
    };
    (name, &metric[name])
}

fn member(kind: &str, name: &str, source: Value) -> Value {
    let mut metric = json!({"type": kind});
    put(&mut metric, name, source);
    metric
}

fn without_nulls(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    value
}
