//! An APIService that another server answers: where it is, and how it is spoken to.

use std::sync::Arc;

use base64::Engine as _;
use client::http::{Identity, Trust, client_config};
use kube_object::cluster::Cluster;
use kube_object::resource::GroupResource;
use rustls::ClientConfig;
use serde_json::Value;

use super::forward::{Way, server_name};

/// The parts of the object that matter.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    /// The object.
    pub(crate) object: Arc<Value>,
    /// The group.
    pub(crate) group: String,
    /// The version.
    pub(crate) version: String,
    namespace: String,
    service: String,
    port: u16,
}

/// Why it cannot be reached, as its condition says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreachable {
    /// The condition's reason.
    pub(crate) reason: &'static str,
    /// The sentence.
    pub(crate) message: String,
}

pub(crate) fn api_services() -> GroupResource {
    GroupResource::new("apiregistration.k8s.io", "apiservices")
}

impl Remote {
    /// Of an object whose service is another server.
    pub(crate) fn of(object: &Arc<Value>) -> Option<Self> {
        let spec = object.get("spec")?;
        let service = spec.get("service").filter(|service| service.is_object())?;
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let port = service.get("port").and_then(Value::as_u64).unwrap_or(443);
        Some(Self {
            object: Arc::clone(object),
            group: text(spec, "group")?,
            version: text(spec, "version")?,
            namespace: text(service, "namespace")?,
            service: text(service, "name")?,
            port: u16::try_from(port).ok()?,
        })
    }

    /// The object's name.
    pub(crate) fn name(&self) -> String {
        format!("{}.{}", self.version, self.group)
    }

    /// Whether the last check found it well.
    pub(crate) fn is_available(&self) -> bool {
        is_available(&self.object)
    }

    /// `groupPriorityMinimum` and `versionPriority`.
    pub(crate) fn priority(&self) -> (i64, i64) {
        let number = |name: &str| {
            self.object.pointer(&format!("/spec/{name}")).and_then(Value::as_i64).unwrap_or_default()
        };
        (number("groupPriorityMinimum"), number("versionPriority"))
    }

    /// TLS towards it: with whom its APIService names to be believed, or without looking.
    pub(crate) fn tls(
        &self,
        identity: &Identity,
        verified: bool,
    ) -> Result<Arc<ClientConfig>, rustls::Error> {
        let trust = if verified { self.trust() } else { Trust::Anybody };
        client_config(&trust, Some(identity))
    }

    /// The way to one of its addresses.
    pub(crate) fn way(&self, address: String, config: &Arc<ClientConfig>) -> Option<Way> {
        let name = format!("{}.{}.svc", self.service, self.namespace);
        let tls = Some((Arc::clone(config), server_name(&name)?));
        Some(Way { address, tls, host: format!("{name}:{}", self.port) })
    }

    /// Whether a change of a service or of endpoints (of these labels) is about it.
    pub(crate) fn is_behind(&self, namespace: &str, service: &str) -> bool {
        self.namespace == namespace && self.service == service
    }

    fn trust(&self) -> Trust {
        let insecure = self.object.pointer("/spec/insecureSkipTLSVerify").and_then(Value::as_bool);
        if insecure == Some(true) {
            return Trust::Anybody;
        }
        let bundle = self.object.pointer("/spec/caBundle").and_then(Value::as_str).unwrap_or_default();
        Trust::Authorities(base64::engine::general_purpose::STANDARD.decode(bundle).unwrap_or_default())
    }

    /// The addresses behind its service that are ready.
    pub(crate) fn addresses(&self, cluster: &dyn Cluster) -> Result<Vec<String>, Unreachable> {
        let no = |reason: &'static str, message: String| Err(Unreachable { reason, message });
        let place = format!("service/{} in {:?}", self.service, self.namespace);
        let services = GroupResource::new("", "services");
        let Some(service) = cluster.get(&services, &self.namespace, &self.service) else {
            return no("ServiceNotFound", format!("{place} is not present"));
        };
        let kind = service.pointer("/spec/type").and_then(Value::as_str).unwrap_or("ClusterIP");
        if kind == "ExternalName" {
            let host = service.pointer("/spec/externalName").and_then(Value::as_str).unwrap_or_default();
            return Ok(vec![format!("{host}:{}", self.port)]);
        }
        // Of other services only the attempt to ask says what is wrong.
        let or_asked = |reason: &'static str, message: String, asked: String| {
            if kind == "ClusterIP" { no(reason, message) } else { no("FailedDiscoveryCheck", asked) }
        };
        let ports = service.pointer("/spec/ports").and_then(Value::as_array);
        let fits = |port: &&Value| port.get("port").and_then(Value::as_u64) == Some(u64::from(self.port));
        let Some(port) = ports.into_iter().flatten().find(fits) else {
            let message = format!("{place} is not listening on port {}", self.port);
            let asked = format!("no service port {} found for service {:?}", self.port, self.service);
            return or_asked("ServicePortError", message, asked);
        };
        let port_name = port.get("name").and_then(Value::as_str).unwrap_or_default();
        let slices =
            cluster.list(&GroupResource::new("discovery.k8s.io", "endpointslices"), Some(&self.namespace));
        let own: Vec<_> =
            slices.iter().filter(|slice| service_of(slice) == Some(self.service.as_str())).collect();
        let asked = format!("no endpoints available for service {:?}", self.service);
        if own.is_empty() {
            let message = format!("cannot find endpointslices for {place}");
            return or_asked("EndpointsNotFound", message, asked);
        }
        let ready: Vec<_> = own.into_iter().flat_map(|slice| ready_addresses(slice, port_name)).collect();
        if ready.is_empty() {
            let message =
                format!("endpointslices for {place} have no addresses with port name {port_name:?}");
            return or_asked("MissingEndpoints", message, asked);
        }
        Ok(ready)
    }
}

/// Whether the last check of an APIService found it well.
pub(crate) fn is_available(service: &Value) -> bool {
    let conditions = service.pointer("/status/conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Available" && condition["status"] == "True")
}

/// The service whose endpoints a slice holds.
pub(crate) fn service_of(slice: &Value) -> Option<&str> {
    slice.pointer("/metadata/labels/kubernetes.io~1service-name")?.as_str()
}

/// The endpoints of a slice that are ready, with the port of this name.
fn ready_addresses(slice: &Value, port_name: &str) -> Vec<String> {
    let items = |name: &str| slice.get(name).and_then(Value::as_array).into_iter().flatten();
    let named = |port: &&Value| port.get("name").and_then(Value::as_str).unwrap_or_default() == port_name;
    let Some(port) = items("ports").find(named).and_then(|port| port.get("port")?.as_u64()) else {
        return Vec::new();
    };
    let ready =
        |endpoint: &&Value| endpoint.pointer("/conditions/ready").and_then(Value::as_bool).unwrap_or(true);
    let addresses = items("endpoints").filter(ready).filter_map(|endpoint| {
        let address = endpoint.get("addresses")?.get(0)?.as_str()?;
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        Some(format!("{host}:{port}"))
    });
    addresses.collect()
}
