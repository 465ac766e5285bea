//! Use, as objects of `metrics.k8s.io`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use kube_object::field_selector::FieldSelector;
use kube_object::label_selector::LabelSelector;
use kube_object::status::Status;
use serde_json::{Value, json};

use super::sample::{Readings, Used};

/// Which objects a question is about.
pub(super) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    pub(super) fn parse(query: &[(String, String)]) -> Result<Self, Status> {
        let text =
            |name: &str| query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let bad = |why: String| Status::bad_request(why);
        let labels =
            text("labelSelector").map_or_else(|| Ok(LabelSelector::everything()), LabelSelector::parse);
        let fields = text("fieldSelector").map_or_else(|| Ok(FieldSelector::default()), FieldSelector::parse);
        Ok(Self {
            labels: labels.map_err(|error| bad(error.to_string()))?,
            fields: fields.map_err(|error| bad(error.to_string()))?,
        })
    }

    /// Whether it is about an object; `named` is empty where any name will do.
    pub(super) fn picks(&self, object: &Value, in_namespace: &str, named: &str) -> bool {
        let labels: BTreeMap<String, String> = object
            .pointer("/metadata/labels")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect();
        (named.is_empty() || name(object) == named)
            && (in_namespace.is_empty() || at(object, "/metadata/namespace") == in_namespace)
            && self.labels.matches(&labels)
            && self.fields.matches(|field| match field {
                "metadata.name" => Some(name(object)),
                "metadata.namespace" => Some(at(object, "/metadata/namespace")),
                "spec.nodeName" => Some(node(object)),
                "status.phase" => Some(at(object, "/status/phase")),
                _ => None,
            })
    }
}

fn at<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn name(object: &Value) -> &str {
    at(object, "/metadata/name")
}

/// The node of a pod.
pub(super) fn node(pod: &Value) -> &str {
    at(pod, "/spec/nodeName")
}

/// Whether a pod uses anything.
pub(super) fn runs(pod: &Value) -> bool {
    !node(pod).is_empty() && at(pod, "/status/phase") == "Running"
}

pub(super) fn nodes(nodes: &[Arc<Value>], readings: &HashMap<String, Readings>) -> Vec<Value> {
    let one = |node: &Arc<Value>| {
        let used = readings.get(name(node))?.node()?;
        let mut object = head("NodeMetrics", node, &used);
        object["usage"] = amounts(&used);
        Some(object)
    };
    sorted(nodes.iter().filter_map(one).collect())
}

pub(super) fn pods(pods: &[Arc<Value>], readings: &HashMap<String, Readings>) -> Vec<Value> {
    let one = |pod: &Arc<Value>| {
        let readings = readings.get(node(pod))?;
        let containers = readings.pod(at(pod, "/metadata/namespace"), name(pod))?;
        // The pod's time is that of the container that was looked at first.
        let earliest = containers.iter().map(|(_, used)| *used).min_by_key(|used| used.time)?;
        let mut object = head("PodMetrics", pod, &earliest);
        let list = containers.iter().map(|(name, used)| json!({"name": name, "usage": amounts(used)}));
        object["containers"] = list.collect();
        Some(object)
    };
    sorted(pods.iter().filter_map(one).collect())
}

fn sorted(mut objects: Vec<Value>) -> Vec<Value> {
    let key = |object: &Value| (at(object, "/metadata/namespace").to_owned(), name(object).to_owned());
    objects.sort_by_cached_key(key);
    objects
}

fn head(kind: &str, of: &Value, used: &Used) -> Value {
    let time = Timestamp::from_millisecond(used.time).ok();
    let seconds = time.and_then(|time| Timestamp::from_second(time.as_second()).ok());
    let time = seconds.map(|time| time.to_string()).unwrap_or_default();
    let mut meta = json!({"name": name(of), "creationTimestamp": time});
    if let Some(namespace) = of.pointer("/metadata/namespace") {
        meta["namespace"] = namespace.clone();
    }
    if let Some(labels) = of.pointer("/metadata/labels") {
        meta["labels"] = labels.clone();
    }
    json!({
        "kind": kind, "apiVersion": "metrics.k8s.io/v1beta1", "metadata": meta, "timestamp": time,
        "window": window(used.window),
    })
}

/// A time between readings as Go writes durations: `1.234s`, `1m2.5s`.
fn window(milliseconds: i64) -> String {
    let (minutes, rest) = (milliseconds / 60_000, milliseconds % 60_000);
    let (seconds, thousandths) = (rest / 1000, rest % 1000);
    let mut text = if minutes > 0 { format!("{minutes}m") } else { String::new() };
    text.push_str(&seconds.to_string());
    if thousandths > 0 {
        let digits = format!("{thousandths:03}");
        text.push('.');
        text.push_str(digits.trim_end_matches('0'));
    }
    text.push('s');
    text
}

fn amounts(used: &Used) -> Value {
    let cpu = if used.nanocores == 0 { "0".to_owned() } else { format!("{}n", used.nanocores) };
    json!({"cpu": cpu, "memory": format!("{}Ki", used.memory / 1024)})
}

#[cfg(test)]
mod tests {
    use super::super::sample::Sample;
    use super::*;

    #[test]
    fn writes_windows() {
        for (millis, text) in [(1000, "1s"), (1234, "1.234s"), (62_500, "1m2.5s"), (60_000, "1m0s")] {
            assert_eq!(window(millis), text);
        }
    }

    #[test]
    fn tells_pods_and_nodes() {
        let reading = |cpu: f64, time: i64| {
            Arc::new(Sample::parse(&format!(
                "node_cpu_usage_seconds_total {cpu} {time}\nnode_memory_working_set_bytes 4096 {time}\n\
                 container_cpu_usage_seconds_total{{container=\"c\",namespace=\"n\",pod=\"p\"}} {cpu} {time}\n\
                 container_memory_working_set_bytes{{container=\"c\",namespace=\"n\",pod=\"p\"}} 2048 {time}\n"
            )))
        };
        let readings = Readings { older: reading(1.0, 1000), newer: reading(1.1, 2500) };
        let readings = HashMap::from([("k".to_owned(), readings)]);
        let pod = |name: &str, phase: &str| {
            Arc::new(json!({
                "metadata": {"name": name, "namespace": "n", "labels": {"a": "b"}},
                "spec": {"nodeName": "k"}, "status": {"phase": phase},
            }))
        };
        assert!(runs(&pod("p", "Running")) && !runs(&pod("p", "Succeeded")));
        let found = pods(&[pod("p", "Running"), pod("q", "Running")], &readings);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0]["containers"],
            json!([{"name": "c", "usage": {"cpu": "66666667n", "memory": "2Ki"}}])
        );
        assert_eq!(
            (&found[0]["window"], &found[0]["timestamp"]),
            (&json!("1.5s"), &json!("1970-01-01T00:00:02Z"))
        );
        let node = Arc::new(json!({"metadata": {"name": "k"}}));
        assert_eq!(nodes(&[node], &readings)[0]["usage"], json!({"cpu": "66666667n", "memory": "4Ki"}));
        let query = [("labelSelector".to_owned(), "a=c".to_owned())];
        assert!(!Selection::parse(&query).unwrap().picks(&pod("p", "Running"), "n", ""));
        assert!(Selection::parse(&[]).unwrap().picks(&pod("p", "Running"), "n", "p"));
    }
}
