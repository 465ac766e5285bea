//! Fields that a field selector may name.

use kube_object::resource::{GroupKind, GroupResource};
use serde_json::{Value, json};

use crate::value::text;

/// A selectable field and how its value is read.
type Field = (&'static str, fn(&Value) -> String);

/// The fields of a kind that selectors may name besides `metadata.name` and `metadata.namespace`.
pub fn selectable_fields(kind: &GroupKind) -> &'static [&'static str] {
    names(table(&kind.group, &kind.kind))
}

/// The value of a selectable field; none if the kind has no such field.
///
/// The object may be in the version in which it is stored: of events that is core's.
pub fn selectable_field(kind: &GroupKind, object: &Value, name: &str) -> Option<String> {
    match name {
        "metadata.name" | "metadata.namespace" => {
            let member = name.trim_start_matches("metadata.");
            Some(text(&object["metadata"][member]).to_owned())
        }
        // What pods called their node before v1.
        "spec.host" if kind.group.is_empty() && kind.kind == "Pod" => {
            selectable_field(kind, object, "spec.nodeName")
        }
        _ => {
            let (_, read) = table(&kind.group, &kind.kind).fields.iter().find(|(known, _)| *known == name)?;
            Some(read(object))
        }
    }
}

/// The selectable fields of an object, with the names of every kind that is stored as this one is:
/// an event may be read under core's names and under those of events.k8s.io.
pub fn selectable_values(kind: &GroupKind, object: &Value) -> Vec<(String, String)> {
    let own = table(&kind.group, &kind.kind);
    let other = match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Event") => EVENT_V1,
        ("events.k8s.io", "Event") => EVENT,
        _ => NONE,
    };
    let others = other.fields.iter().filter(|(name, _)| !own.names.contains(name));
    own.fields.iter().chain(others).map(|(name, read)| ((*name).to_owned(), read(object))).collect()
}

/// A selectable field that finds objects without a look at each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexedField {
    /// As selectors name it.
    pub name: &'static str,
    /// Where its text stands.
    pub path: &'static [&'static str],
}

/// The field of a resource by whose value very many clients each want a few objects: every node
/// lists and watches its own pods.
pub fn indexed_field(resource: &GroupResource) -> Option<IndexedField> {
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("", "pods") => Some(IndexedField { name: "spec.nodeName", path: &["spec", "nodeName"] }),
        _ => None,
    }
}

/// What the API says of a selector that names a field it does not know.
pub fn unsupported_field(kind: &GroupKind, name: &str) -> String {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("batch", "Job") => format!("field label {name:?} not supported for Job"),
        (group, kind) if !table(group, kind).fields.is_empty() => {
            format!("field label not supported: {name}")
        }
        _ => {
            format!("{name:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
        }
    }
}

/// The fields of one kind, and their names alone.
#[derive(Clone, Copy)]
struct Table {
    fields: &'static [Field],
    names: &'static [&'static str],
}

fn names(table: Table) -> &'static [&'static str] {
    table.names
}

macro_rules! tables {
    ($($constant:ident: { $($name:literal => $read:expr),* $(,)? })*) => {
        $(const $constant: Table = Table { fields: &[$(($name, $read)),*], names: &[$($name),*] };)*
    };
}

/// The text at a path; empty where there is none.
fn at(object: &Value, path: &[&str]) -> String {
    let found = path.iter().fold(object, |value, name| &value[*name]);
    match found {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => String::new(),
    }
}

/// A number that is 0 where it is absent.
fn count(object: &Value, path: &[&str]) -> String {
    match at(object, path) {
        text if text.is_empty() => "0".to_owned(),
        text => text,
    }
}

fn flag(value: &Value) -> String {
    (*value == json!(true)).to_string()
}

/// Of an event: what it is about, as core or as events.k8s.io calls it.
fn about(event: &Value, name: &str) -> String {
    let about =
        if event["involvedObject"].is_object() { &event["involvedObject"] } else { &event["regarding"] };
    text(&about[name]).to_owned()
}

/// Of an event: who reports it.
fn reporter(event: &Value) -> String {
    let named = [&event["reportingComponent"], &event["reportingController"]];
    named.into_iter().map(text).find(|name| !name.is_empty()).unwrap_or_default().to_owned()
}

fn source(event: &Value) -> String {
    let named = [&event["source"]["component"], &event["deprecatedSource"]["component"]];
    let component = named.into_iter().map(text).find(|name| !name.is_empty());
    component.map_or_else(|| reporter(event), str::to_owned)
}

tables! {
    NONE: {}
    POD: {
        "spec.nodeName" => |pod| at(pod, &["spec", "nodeName"]),
        "spec.restartPolicy" => |pod| at(pod, &["spec", "restartPolicy"]),
        "spec.schedulerName" => |pod| at(pod, &["spec", "schedulerName"]),
        "spec.serviceAccountName" => |pod| at(pod, &["spec", "serviceAccountName"]),
        "spec.hostNetwork" => |pod| flag(&pod["spec"]["hostNetwork"]),
        "status.phase" => |pod| at(pod, &["status", "phase"]),
        "status.podIP" => |pod| at(pod, &["status", "podIP"]),
        "status.nominatedNodeName" => |pod| at(pod, &["status", "nominatedNodeName"]),
    }
    NODE: { "spec.unschedulable" => |node| flag(&node["spec"]["unschedulable"]) }
    REPLICAS: { "status.replicas" => |object| count(object, &["status", "replicas"]) }
    EVENT: {
        "involvedObject.kind" => |event| about(event, "kind"),
        "involvedObject.namespace" => |event| about(event, "namespace"),
        "involvedObject.name" => |event| about(event, "name"),
        "involvedObject.uid" => |event| about(event, "uid"),
        "involvedObject.apiVersion" => |event| about(event, "apiVersion"),
        "involvedObject.resourceVersion" => |event| about(event, "resourceVersion"),
        "involvedObject.fieldPath" => |event| about(event, "fieldPath"),
        "reason" => |event| at(event, &["reason"]),
        "reportingComponent" => reporter,
        "source" => source,
        "type" => |event| at(event, &["type"]),
    }
    EVENT_V1: {
        "regarding.kind" => |event| about(event, "kind"),
        "regarding.namespace" => |event| about(event, "namespace"),
        "regarding.name" => |event| about(event, "name"),
        "regarding.uid" => |event| about(event, "uid"),
        "regarding.apiVersion" => |event| about(event, "apiVersion"),
        "regarding.resourceVersion" => |event| about(event, "resourceVersion"),
        "regarding.fieldPath" => |event| about(event, "fieldPath"),
        "reason" => |event| at(event, &["reason"]),
        "reportingController" => reporter,
        "type" => |event| at(event, &["type"]),
    }
    NAMESPACE: { "status.phase" => |namespace| at(namespace, &["status", "phase"]) }
    SECRET: { "type" => |secret| at(secret, &["type"]) }
    SERVICE: {
        "spec.clusterIP" => |service| at(service, &["spec", "clusterIP"]),
        "spec.type" => |service| at(service, &["spec", "type"]),
    }
    JOB: { "status.successful" => |job| count(job, &["status", "succeeded"]) }
    SIGNER: { "spec.signerName" => |object| at(object, &["spec", "signerName"]) }
    POD_CERTIFICATE: {
        "spec.signerName" => |object| at(object, &["spec", "signerName"]),
        "spec.podName" => |object| at(object, &["spec", "podName"]),
        "spec.nodeName" => |object| at(object, &["spec", "nodeName"]),
    }
    SLICE: {
        "spec.nodeName" => |object| at(object, &["spec", "nodeName"]),
        "spec.driver" => |object| at(object, &["spec", "driver"]),
    }
}

fn table(group: &str, kind: &str) -> Table {
    match (group, kind) {
        ("", "Pod") => POD,
        ("", "Node") => NODE,
        ("", "ReplicationController") | ("apps", "ReplicaSet") => REPLICAS,
        ("", "Event") => EVENT,
        ("events.k8s.io", "Event") => EVENT_V1,
        ("", "Namespace") => NAMESPACE,
        ("", "Secret") => SECRET,
        ("", "Service") => SERVICE,
        ("batch", "Job") => JOB,
        ("certificates.k8s.io", "CertificateSigningRequest" | "ClusterTrustBundle") => SIGNER,
        ("certificates.k8s.io", "PodCertificateRequest") => POD_CERTIFICATE,
        ("resource.k8s.io", "ResourceSlice") => SLICE,
        _ => NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_names_of_both_groups() {
        let event = json!({"reportingComponent": "c", "involvedObject": {"name": "n"}});
        for group in ["", "events.k8s.io"] {
            let values = selectable_values(&GroupKind::new(group, "Event"), &event);
            let value = |name: &str| {
                let mut found = values.iter().filter(|(known, _)| known == name);
                let value = found.next().map(|(_, value)| value.as_str());
                assert!(found.next().is_none(), "{name}");
                value
            };
            assert_eq!((value("reportingController"), value("source")), (Some("c"), Some("c")));
            assert_eq!((value("regarding.name"), value("involvedObject.name")), (Some("n"), Some("n")));
            assert_eq!(value("reason"), Some(""));
        }
    }

    #[test]
    fn reads_what_selectors_name() {
        let read = |group: &str, kind: &str, object: Value, name: &str| {
            selectable_field(&GroupKind::new(group, kind), &object, name)
        };
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"nodeName": "a"}, "status": {"phase": "Running"}});
        for (name, value) in [
            ("metadata.name", Some("p")),
            ("metadata.namespace", Some("n")),
            ("spec.nodeName", Some("a")),
            ("spec.host", Some("a")),
            ("spec.hostNetwork", Some("false")),
            ("status.phase", Some("Running")),
            ("status.podIP", Some("")),
            ("spec.containers", None),
        ] {
            assert_eq!(read("", "Pod", pod.clone(), name).as_deref(), value, "{name}");
        }
        let event = json!({"involvedObject": {"kind": "Pod"}, "source": {"component": "kubelet"}});
        assert_eq!(read("", "Event", event.clone(), "source").as_deref(), Some("kubelet"));
        assert_eq!(read("events.k8s.io", "Event", event, "regarding.kind").as_deref(), Some("Pod"));
        assert_eq!(read("", "Node", json!({}), "spec.unschedulable").as_deref(), Some("false"));
        assert_eq!(read("batch", "Job", json!({}), "status.successful").as_deref(), Some("0"));
        assert_eq!(read("", "ConfigMap", json!(null), "metadata.name").as_deref(), Some(""));
        assert!(selectable_fields(&GroupKind::new("", "Pod")).contains(&"spec.restartPolicy"));
    }

    #[test]
    fn refuses_as_upstream() {
        for (group, kind, text) in [
            ("", "Pod", "field label not supported: x"),
            ("batch", "Job", "field label \"x\" not supported for Job"),
            (
                "",
                "ConfigMap",
                "\"x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
            ),
        ] {
            assert_eq!(unsupported_field(&GroupKind::new(group, kind), "x"), text);
        }
    }
}
