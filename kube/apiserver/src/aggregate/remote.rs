//! An APIService that another server answers: where it is, and how it is spoken to.

use std::sync::Arc;

use base64::Engine as _;
use kube_object::cluster::Cluster;
use kube_object::resource::GroupResource;
use rustls::pki_types::ServerName;
use serde_json::Value;

use super::forward::{Way, server_name};
use super::tls::{Identity, Trust, client_config};

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
        let conditions = self.object.pointer("/status/conditions").and_then(Value::as_array);
        let field = |condition: &Value, name: &str| condition.get(name)?.as_str().map(str::to_owned);
        conditions.into_iter().flatten().any(|condition| {
            field(condition, "type").as_deref() == Some("Available")
                && field(condition, "status").as_deref() == Some("True")
        })
    }

    /// `groupPriorityMinimum` and `versionPriority`.
    pub(crate) fn priority(&self) -> (i64, i64) {
        let number = |name: &str| {
            self.object.pointer(&format!("/spec/{name}")).and_then(Value::as_i64).unwrap_or_default()
        };
        (number("groupPriorityMinimum"), number("versionPriority"))
    }

    /// The way there: to one of the endpoints behind its service.
    pub(crate) fn way(&self, cluster: &dyn Cluster, identity: &Identity) -> Result<Way, Unreachable> {
        let name = format!("{}.{}.svc", self.service, self.namespace);
        let no = |reason: &'static str, message: String| Unreachable { reason, message };
        let config = client_config(&self.trust(), Some(identity))
            .map_err(|error| no("FailedDiscoveryCheck", error.to_string()))?;
        let sni: Option<ServerName<'static>> = server_name(&name);
        let sni = sni.ok_or_else(|| no("ServiceAccessError", format!("{name} is no name of a server")))?;
        let address = self.address(cluster)?;
        Ok(Way { address, tls: Some((config, sni)), host: format!("{name}:{}", self.port) })
    }

    fn trust(&self) -> Trust {
        let insecure = self.object.pointer("/spec/insecureSkipTLSVerify").and_then(Value::as_bool);
        if insecure == Some(true) {
            return Trust::Anybody;
        }
        let bundle = self.object.pointer("/spec/caBundle").and_then(Value::as_str).unwrap_or_default();
        Trust::Authorities(base64::engine::general_purpose::STANDARD.decode(bundle).unwrap_or_default())
    }

    fn address(&self, cluster: &dyn Cluster) -> Result<String, Unreachable> {
        let no = |reason: &'static str, message: String| Err(Unreachable { reason, message });
        let place = format!("{:?} in {:?}", self.service, self.namespace);
        let services = GroupResource::new("", "services");
        let Some(service) = cluster.get(&services, &self.namespace, &self.service) else {
            return no(
                "ServiceNotFound",
                format!("service/{} in {:?} is not present", self.service, self.namespace),
            );
        };
        if service.pointer("/spec/type").and_then(Value::as_str) == Some("ExternalName") {
            let host = service.pointer("/spec/externalName").and_then(Value::as_str).unwrap_or_default();
            return Ok(format!("{host}:{}", self.port));
        }
        let ports = service.pointer("/spec/ports").and_then(Value::as_array);
        let fits = |port: &&Value| port.get("port").and_then(Value::as_u64) == Some(u64::from(self.port));
        let Some(port) = ports.into_iter().flatten().find(fits) else {
            return no(
                "ServicePortError",
                format!(
                    "service/{} in {:?} is not listening on port {}",
                    self.service, self.namespace, self.port
                ),
            );
        };
        let port_name = port.get("name").and_then(Value::as_str).unwrap_or_default();
        let slices =
            cluster.list(&GroupResource::new("discovery.k8s.io", "endpointslices"), Some(&self.namespace));
        let own = slices.iter().filter(|slice| {
            let label = slice.pointer("/metadata/labels/kubernetes.io~1service-name");
            label.and_then(Value::as_str) == Some(self.service.as_str())
        });
        let address = own.filter_map(|slice| ready_address(slice, port_name)).next();
        match address {
            Some(address) => Ok(address),
            None => no(
                "MissingEndpoints",
                format!("endpoints for service/{place} have no addresses with port name {port_name:?}"),
            ),
        }
    }
}

/// The first endpoint of a slice that is ready, with the port of this name.
fn ready_address(slice: &Value, port_name: &str) -> Option<String> {
    let ports = slice.get("ports")?.as_array()?;
    let named = |port: &&Value| port.get("name").and_then(Value::as_str).unwrap_or_default() == port_name;
    let port = ports.iter().find(named)?.get("port")?.as_u64()?;
    let endpoints = slice.get("endpoints")?.as_array()?;
    let ready =
        |endpoint: &&Value| endpoint.pointer("/conditions/ready").and_then(Value::as_bool).unwrap_or(true);
    let address = endpoints.iter().find(ready)?.get("addresses")?.get(0)?.as_str()?;
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    Some(format!("{host}:{port}"))
}
