//! What the proxy looks at in an EndpointSlice.

use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::Value;

use crate::service::{Protocol, ServiceName, number};

/// One slice of a service's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Whose endpoints they are.
    pub service: ServiceName,
    /// The slice's name.
    pub name: Arc<str>,
    /// The ports that all its endpoints have.
    pub ports: Vec<SlicePort>,
    /// The endpoints.
    pub endpoints: Vec<SliceEndpoint>,
}

/// A port of all endpoints of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// The name of the service's port.
    pub name: Arc<str>,
    /// The transport.
    pub protocol: Protocol,
    /// The port at the endpoint.
    pub port: u16,
}

/// How an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// It takes traffic.
    pub ready: bool,
    /// It could, terminating or not.
    pub serving: bool,
    /// It is being ended.
    pub terminating: bool,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// Its address.
    pub address: Ipv4Addr,
    /// How it is.
    pub conditions: Conditions,
    /// The node it is on.
    pub node: Option<Arc<str>>,
    /// The zones that are to use it.
    pub zone_hints: Vec<Arc<str>>,
    /// The nodes that are to use it.
    pub node_hints: Vec<Arc<str>>,
    /// The identity of its pod.
    pub uid: Option<Arc<str>>,
}

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const HEADLESS: &str = "service.kubernetes.io/headless";

impl Slice {
    /// Reads an EndpointSlice; `None` if it is not about a proxied service's IPv4 endpoints.
    pub fn parse(object: &Value) -> Option<Self> {
        let meta = object.get("metadata")?;
        let labels = meta.get("labels")?;
        let ipv4 = object.get("addressType").and_then(Value::as_str) == Some("IPv4");
        if !ipv4 || labels.get(HEADLESS).is_some() {
            return None;
        }
        let service = labels.get(SERVICE_NAME)?.as_str().filter(|name| !name.is_empty())?;
        let list = |key: &str| object.get(key).and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            service: ServiceName::new(meta.get("namespace")?.as_str()?, service),
            name: meta.get("name")?.as_str()?.into(),
            ports: list("ports").filter_map(SlicePort::parse).collect(),
            endpoints: list("endpoints").filter_map(SliceEndpoint::parse).collect(),
        })
    }
}

impl SlicePort {
    fn parse(port: &Value) -> Option<Self> {
        Some(Self {
            name: port.get("name").and_then(Value::as_str).unwrap_or_default().into(),
            protocol: Protocol::parse(port.get("protocol").and_then(Value::as_str))?,
            port: number(port.get("port")).filter(|port| *port > 0)?,
        })
    }
}

impl SliceEndpoint {
    fn parse(endpoint: &Value) -> Option<Self> {
        let names = |key: &str| -> Vec<Arc<str>> {
            let list = endpoint.pointer(key).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(|hint| Some(hint.get("name")?.as_str()?.into())).collect()
        };
        let text = |key: &str| endpoint.pointer(key).and_then(Value::as_str).map(Arc::from);
        Some(Self {
            // Only the first address counts: discovery.k8s.io/v1, `Endpoint.addresses`.
            address: endpoint.get("addresses")?.as_array()?.first()?.as_str()?.parse().ok()?,
            conditions: Conditions::parse(endpoint.get("conditions")),
            node: text("/nodeName"),
            zone_hints: names("/hints/forZones"),
            node_hints: names("/hints/forNodes"),
            uid: text("/targetRef/uid"),
        })
    }
}

impl Conditions {
    /// What is not said: ready, serving as ready is, not terminating.
    fn parse(conditions: Option<&Value>) -> Self {
        let told = |key: &str| conditions.and_then(|all| all.get(key)).and_then(Value::as_bool);
        let ready = told("ready").unwrap_or(true);
        Self {
            ready,
            serving: told("serving").unwrap_or(ready),
            terminating: told("terminating").unwrap_or(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_slice_is_read() {
        let slice = Slice::parse(&json!({
            "metadata": {"namespace": "a", "name": "web-x", "labels": {SERVICE_NAME: "web"}}, "addressType": "IPv4",
            "ports": [{"name": "", "port": 8080, "protocol": "TCP"}, {"name": "any", "port": null}],
            "endpoints": [
                {"addresses": ["10.42.0.5", "10.42.0.6"], "nodeName": "n", "targetRef": {"uid": "u"},
                 "hints": {"forZones": [{"name": "z"}], "forNodes": [{"name": "n"}]}},
                {"addresses": ["10.42.0.7"], "conditions": {"ready": false, "serving": true, "terminating": true}},
                {"addresses": ["fd00::1"]}, {"addresses": []}],
        }))
        .expect("a slice");
        assert_eq!((slice.ports.len(), slice.endpoints.len()), (1, 2));
        let first = &slice.endpoints[0];
        assert!(first.conditions.ready && first.conditions.serving && !first.conditions.terminating);
        assert_eq!((first.zone_hints.len(), first.node_hints.len(), first.uid.as_deref()), (1, 1, Some("u")));
        let second = slice.endpoints[1].conditions;
        assert!(!second.ready && second.serving && second.terminating);
    }

    #[test]
    fn other_slices_are_passed_over() {
        for (labels, family) in [
            (json!({SERVICE_NAME: "web"}), "IPv6"),
            (json!({SERVICE_NAME: "web", HEADLESS: ""}), "IPv4"),
            (json!({}), "IPv4"),
            (json!({SERVICE_NAME: ""}), "IPv4"),
        ] {
            let object =
                json!({"metadata": {"namespace": "a", "name": "x", "labels": labels}, "addressType": family});
            assert_eq!(Slice::parse(&object), None, "{object}");
        }
    }
}
