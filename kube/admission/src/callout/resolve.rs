//! Where a service is: its ready endpoints, else its cluster address.

use kube_object::cluster::Cluster;
use kube_object::resource::GroupResource;
use serde_json::Value;

use crate::read::{at, items, text};

/// A service leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// There is none.
    #[error("service \"{name}\" not found")]
    NotFound {
        /// Its name.
        name: String,
    },
    /// It has no such port.
    #[error("no service port {port} found for service \"{name}\"")]
    NoPort {
        /// Its name.
        name: String,
        /// The port.
        port: u16,
    },
    /// Nothing behind it is ready.
    #[error("no endpoints available for service \"{name}\"")]
    NoEndpoints {
        /// Its name.
        name: String,
    },
}

/// The addresses behind a port of a service, in the order in which they should be tried.
///
/// An API server may run where no node's rules lead a cluster address anywhere, so the
/// endpoints are called themselves; the cluster address only if none are known at all.
pub fn resolve(
    cluster: &dyn Cluster,
    namespace: &str,
    name: &str,
    port: u16,
) -> Result<Vec<(String, u16)>, Unresolved> {
    let owned = name.to_owned();
    let service = cluster
        .get(&GroupResource::new("", "services"), namespace, name)
        .ok_or(Unresolved::NotFound { name: owned.clone() })?;
    if text(&service, &["spec", "type"]) == "ExternalName" {
        return Ok(vec![(text(&service, &["spec", "externalName"]).to_owned(), port)]);
    }
    let ports = items(&service, &["spec", "ports"]);
    let service_port = ports
        .iter()
        .find(|known| at(known, &["port"]).as_u64() == Some(u64::from(port)))
        .ok_or(Unresolved::NoPort { name: owned.clone(), port })?;
    let slices = GroupResource::new("discovery.k8s.io", "endpointslices");
    let of_service =
        |slice: &Value| text(slice, &["metadata", "labels", "kubernetes.io/service-name"]) == name;
    let slices: Vec<_> =
        cluster.list(&slices, Some(namespace)).into_iter().filter(|slice| of_service(slice)).collect();
    let ready: Vec<_> = slices.iter().flat_map(|slice| ready(slice, text(service_port, &["name"]))).collect();
    if !ready.is_empty() {
        return Ok(ready);
    }
    let address = text(&service, &["spec", "clusterIP"]);
    if !slices.is_empty() || matches!(address, "" | "None") {
        return Err(Unresolved::NoEndpoints { name: owned });
    }
    Ok(vec![(address.to_owned(), port)])
}

/// The ready addresses of a slice, at the port of this name.
fn ready<'a>(slice: &'a Value, port_name: &str) -> impl Iterator<Item = (String, u16)> + use<'a> {
    let named = |port: &&Value| text(port, &["name"]) == port_name;
    let port = items(slice, &["ports"]).iter().find(named).and_then(|port| at(port, &["port"]).as_u64());
    let port = port.and_then(|port| u16::try_from(port).ok());
    let endpoints = items(slice, &["endpoints"]).iter();
    let is_ready = |endpoint: &&Value| at(endpoint, &["conditions", "ready"]).as_bool() != Some(false);
    endpoints.filter(is_ready).filter_map(move |endpoint| {
        let address = items(endpoint, &["addresses"]).first()?.as_str()?;
        Some((address.to_owned(), port?))
    })
}

#[cfg(test)]
mod tests {
    use kube_object::cluster::Fixed;
    use serde_json::json;

    use super::*;

    #[test]
    fn finds_what_is_behind_a_service() {
        let service = |spec: Value| json!({"metadata": {"name": "s", "namespace": "n"}, "spec": spec});
        let slice = |ready: bool| {
            json!({"metadata": {"name": "s-1", "namespace": "n", "labels": {"kubernetes.io/service-name": "s"}},
                "ports": [{"name": "https", "port": 8443}],
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}]})
        };
        let ports = json!([{"name": "https", "port": 443}]);
        for (service, slice, port, expected) in [
            (None, None, 443, "service \"s\" not found"),
            (Some(service(json!({"ports": ports}))), None, 80, "no service port 80 found for service \"s\""),
            (Some(service(json!({"ports": ports, "clusterIP": "10.1.1.1"}))), None, 443, "10.1.1.1:443"),
            (
                Some(service(json!({"ports": ports, "clusterIP": "None"}))),
                None,
                443,
                "no endpoints available for service \"s\"",
            ),
            (
                Some(service(json!({"ports": ports, "clusterIP": "10.1.1.1"}))),
                Some(slice(true)),
                443,
                "10.0.0.1:8443",
            ),
            (
                Some(service(json!({"ports": ports, "clusterIP": "10.1.1.1"}))),
                Some(slice(false)),
                443,
                "no endpoints available for service \"s\"",
            ),
            (
                Some(service(json!({"type": "ExternalName", "externalName": "x.example.com"}))),
                None,
                443,
                "x.example.com:443",
            ),
        ] {
            let mut cluster = Fixed::default();
            service.into_iter().for_each(|service| cluster.put(GroupResource::new("", "services"), service));
            slice.into_iter().for_each(|slice| {
                cluster.put(GroupResource::new("discovery.k8s.io", "endpointslices"), slice);
            });
            let found = match resolve(&cluster, "n", "s", port) {
                Ok(found) => {
                    let texts: Vec<_> = found.iter().map(|(host, port)| format!("{host}:{port}")).collect();
                    texts.join(",")
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected);
        }
    }
}
