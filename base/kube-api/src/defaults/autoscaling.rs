//! Horizontal pod autoscalers.

use serde_json::{Value, json};

use super::fill::{below, no_items, unset};

/// The share of its requested processor time, in percent, at which a target is scaled.
const CPU_PERCENT: i64 = 80;
/// Where the first version keeps metrics that it has no fields for.
const METRICS_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/metrics";

/// Version 1: one target, of processor time.
pub(super) fn v1(object: &mut Value) {
    let annotated =
        object.pointer("/metadata/annotations").is_some_and(|found| found.get(METRICS_ANNOTATION).is_some());
    let Some(spec) = below(object, "spec") else { return };
    unset(spec, "minReplicas", 1);
    if !annotated {
        unset(spec, "targetCPUUtilizationPercentage", CPU_PERCENT);
    }
}

/// Version 2: metrics of all sorts, and how fast to follow them.
pub(super) fn v2(object: &mut Value) {
    let Some(spec) = below(object, "spec") else { return };
    unset(spec, "minReplicas", 1);
    let cpu = json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": CPU_PERCENT}});
    no_items(spec, "metrics", json!([{"type": "Resource", "resource": cpu}]));
    if let Some(behavior) = below(spec, "behavior") {
        let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
        let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
        rules(behavior, "scaleUp", Some(0), json!([pods, percent]));
        rules(behavior, "scaleDown", None, json!([percent]));
    }
}

fn rules(behavior: &mut Value, direction: &str, window: Option<i64>, policies: Value) {
    unset(behavior, direction, json!({}));
    let Some(rules) = below(behavior, direction) else { return };
    if let Some(window) = window {
        unset(rules, "stabilizationWindowSeconds", window);
    }
    unset(rules, "selectPolicy", "Max");
    unset(rules, "policies", policies);
}
