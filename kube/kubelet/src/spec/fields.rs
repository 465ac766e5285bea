//! The downward API: fields of the pod and resources of its containers, as text.

use kube_api::quantity::{self, Quantity};
use serde_json::Value;

use super::ConfigError;
use crate::read::{at, named, text, text_map};

/// What a `fieldRef` gives. `place` says what only the node knows.
pub fn field(pod: &Value, path: &str, place: &Place<'_>) -> Result<String, ConfigError> {
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let name = map.strip_prefix("metadata.").unwrap_or_default();
        if !matches!(name, "labels" | "annotations") {
            return Err(ConfigError::FieldPath(path.to_owned()));
        }
        return Ok(text_map(pod, &["metadata", name]).remove(key).unwrap_or_default());
    }
    let first = |list: &[String]| list.first().cloned().unwrap_or_default();
    Ok(match path {
        "metadata.name" => text(pod, &["metadata", "name"]).to_owned(),
        "metadata.namespace" => text(pod, &["metadata", "namespace"]).to_owned(),
        "metadata.uid" => text(pod, &["metadata", "uid"]).to_owned(),
        "metadata.labels" => map_text(pod, "labels"),
        "metadata.annotations" => map_text(pod, "annotations"),
        "spec.nodeName" => text(pod, &["spec", "nodeName"]).to_owned(),
        "spec.serviceAccountName" => text(pod, &["spec", "serviceAccountName"]).to_owned(),
        "status.hostIP" => first(place.host_addresses),
        "status.hostIPs" => place.host_addresses.join(","),
        "status.podIP" => first(place.pod_addresses),
        "status.podIPs" => place.pod_addresses.join(","),
        _ => return Err(ConfigError::FieldPath(path.to_owned())),
    })
}

/// What only the node knows of a pod.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The node's addresses.
    pub host_addresses: &'a [String],
    /// The pod's addresses.
    pub pod_addresses: &'a [String],
    /// What the node has to give, where a container has no limit.
    pub allocatable: &'a Value,
}

/// A map as the downward API writes it: `key="value"` lines, sorted.
fn map_text(pod: &Value, name: &str) -> String {
    let map = text_map(pod, &["metadata", name]);
    map.iter().map(|(key, value)| format!("{key}={}", quoted(value))).collect::<Vec<_>>().join("\n")
}

/// As Go's `strconv.Quote`.
fn quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for letter in value.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            letter if (letter as u32) < 0x20 || letter as u32 == 0x7f => {
                out.push_str(&format!("\\x{:02x}", letter as u32));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// What a `resourceFieldRef` gives, of the named container or of `own`.
pub fn resource(
    pod: &Value,
    own: Option<&Value>,
    spec: &Value,
    place: &Place<'_>,
) -> Result<String, ConfigError> {
    let name = text(spec, &["containerName"]);
    let container = if name.is_empty() {
        own
    } else {
        ["containers", "initContainers", "ephemeralContainers"]
            .iter()
            .find_map(|list| named(crate::read::items(pod, &["spec", list]), name))
    };
    let container = container.ok_or_else(|| ConfigError::NoContainer(name.to_owned()))?;
    let path = text(spec, &["resource"]);
    let (which, resource) = path.split_once('.').ok_or_else(|| ConfigError::FieldPath(path.to_owned()))?;
    let amount = |which: &str| at(container, &["resources", which, resource]).and_then(quantity::read);
    let whole = || at(place.allocatable, &[resource]).and_then(quantity::read);
    let amount = match which {
        "limits" => amount("limits").filter(|it| !it.is_zero()).or_else(whole),
        "requests" => amount("requests"),
        _ => return Err(ConfigError::FieldPath(path.to_owned())),
    };
    let amount = amount.unwrap_or(Quantity::ZERO);
    let divisor = at(spec, &["divisor"]).and_then(quantity::read).filter(|it| !it.is_zero());
    let divisor = divisor.unwrap_or(Quantity::from_int(1));
    // Rounded up, as upstream: processors in thousandths, the rest in whole numbers.
    let (amount, divisor) = if resource == "cpu" {
        (amount.milli_value(), divisor.milli_value())
    } else {
        (amount.value(), divisor.value())
    };
    let divisor = divisor.max(1);
    Ok((amount / divisor + i64::from(amount % divisor > 0)).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_fields_and_resources() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u",
                "labels": {"b": "2", "a": "x\"y\n"}, "annotations": {"k": "v"}},
            "spec": {"nodeName": "node", "serviceAccountName": "sa", "containers": [
                {"name": "c", "resources": {"limits": {"cpu": "1250m", "memory": "64Mi"}, "requests": {"cpu": "250m"}}},
                {"name": "d"}]}});
        let host = ["10.0.0.1".to_owned()];
        let own = ["10.42.0.2".to_owned(), "fd00::2".to_owned()];
        let allocatable = json!({"cpu": "4", "memory": "8Gi"});
        let place = Place { host_addresses: &host, pod_addresses: &own, allocatable: &allocatable };
        for (path, expected) in [
            ("metadata.name", "p"),
            ("metadata.labels['b']", "2"),
            ("metadata.annotations['k']", "v"),
            ("metadata.labels", "a=\"x\\\"y\\n\"\nb=\"2\""),
            ("status.podIP", "10.42.0.2"),
            ("status.podIPs", "10.42.0.2,fd00::2"),
            ("status.hostIP", "10.0.0.1"),
            ("spec.nodeName", "node"),
            ("spec.serviceAccountName", "sa"),
        ] {
            assert_eq!(field(&pod, path, &place).unwrap(), expected, "{path}");
        }
        assert!(field(&pod, "spec.other", &place).is_err());
        for (spec, expected) in [
            (json!({"resource": "limits.cpu"}), "2"),
            (json!({"resource": "limits.cpu", "divisor": "1m"}), "1250"),
            (json!({"resource": "requests.cpu", "divisor": "1m"}), "250"),
            (json!({"resource": "limits.memory", "divisor": "1Mi"}), "64"),
            (json!({"resource": "limits.cpu", "containerName": "d"}), "4"),
            (json!({"resource": "limits.memory", "containerName": "d", "divisor": "1Gi"}), "8"),
            (json!({"resource": "requests.memory", "containerName": "d"}), "0"),
        ] {
            let container = &pod["spec"]["containers"][0];
            assert_eq!(resource(&pod, Some(container), &spec, &place).unwrap(), expected, "{spec}");
        }
    }
}
