//! The kinds of `metrics.k8s.io`, described as a CustomResourceDefinition describes its own: what
//! makes discovery and OpenAPI of those makes them of these.

use std::sync::Arc;

use client::Item;
use kube_crd::Definition;
use serde_json::{Value, json};

use super::{GROUP, VERSION};
use crate::custom;
use crate::kinds::Resource;

/// Nodes and pods.
pub(super) fn resources() -> Vec<Arc<Resource>> {
    let usage = json!({
        "description": "What is used: cpu in cores, as a mean over the window, and memory in bytes (the working set).",
        "type": "object",
        "additionalProperties": {
            "anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true,
        },
    });
    let containers = json!({
        "description": "What each container uses.",
        "type": "array",
        "items": {
            "type": "object", "required": ["name", "usage"],
            "properties": {
                "name": {"type": "string", "description": "The container's name, as in the pod's spec."},
                "usage": usage,
            },
        },
    });
    let node = definition("nodes", "NodeMetrics", "Cluster", "usage", &usage);
    let pod = definition("pods", "PodMetrics", "Namespaced", "containers", &containers);
    [node, pod].into_iter().filter_map(|definition| resource(&definition)).collect()
}

fn definition(plural: &str, kind: &str, scope: &str, field: &str, schema: &Value) -> Value {
    let schema = json!({
        "description": format!("{kind} says what is used, measured between two moments."),
        "type": "object", "required": ["timestamp", "window", field],
        "properties": {
            "timestamp": {
                "type": "string", "format": "date-time", "description": "The end of what was measured.",
            },
            "window": {"type": "string", "description": "How long was measured, such as 10s."},
            field: schema,
        },
    });
    let names = json!({
        "plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List"),
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}"), "uid": kind},
        "spec": {
            "group": GROUP, "scope": scope, "names": names,
            "versions": [
                {"name": VERSION, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}},
            ],
        },
        "status": {"acceptedNames": names},
    })
}

/// Read, and nothing else.
fn resource(definition: &Value) -> Option<Arc<Resource>> {
    let item = Arc::new(Item::at(definition.to_string().as_bytes(), 1).ok()?);
    let definition = Arc::new(Definition::compile_with(definition, None).ok()?);
    let mut resource = Arc::into_inner(custom::resources(&item, &definition, false).pop()?)?;
    resource.verbs = vec!["get".to_owned(), "list".to_owned()];
    // As metrics-server, which has no names for one.
    resource.singular.clear();
    Some(Arc::new(resource))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_described() {
        let resources = resources();
        let said: Vec<_> = resources
            .iter()
            .map(|it| (it.gvr.resource.as_str(), it.list_kind.as_str(), it.namespaced))
            .collect();
        assert_eq!(said, [("nodes", "NodeMetricsList", false), ("pods", "PodMetricsList", true)]);
    }
}
