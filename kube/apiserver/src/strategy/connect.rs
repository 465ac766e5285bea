//! Where exec, attach, port-forward, logs and proxies lead.

use client::{Item, Mirror};
use kube_object::resource::GroupResource;
use kube_object::status::Status;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::registry::{
    Context, GetOptions, NodeRequest, NodeTarget, PodPlace, Query, Registry, Target, meta,
};

/// Finds the node or address that answers, after admission.
pub(crate) async fn connect(
    registry: &Registry,
    context: &Context,
    target: &Target,
    rest: &str,
    query: Query<'_>,
) -> Result<NodeTarget, Status> {
    // `NAME`, `NAME:PORT` or `SCHEME:NAME:PORT`.
    let (tls, name, port) = split_name(&target.name)?;
    let whole = Target { name: name.to_owned(), subresource: String::new(), ..target.clone() };
    let object = registry.core.get(&whole, &GetOptions::default()).await?.to_value();
    if target.subresource != "log" {
        let mut request = registry.admission_request(context, target, admission::Operation::Connect, false);
        request.object = Some(connect_options(target, query));
        registry.mutate(context, &mut request).await?;
        registry.validate(context, &request).await?;
    }
    match (target.resource.gvr.resource.as_str(), target.subresource.as_str()) {
        ("pods", "proxy") => pod_proxy(&object, port, tls, rest),
        ("nodes", "proxy") => Ok(NodeTarget {
            kind: NodeRequest::Proxy,
            node: name.to_owned(),
            // A port that was asked for; the kubelet's where there is none.
            address: if port.is_empty() { String::new() } else { format!(":{port}") },
            tls,
            path: rest.to_owned(),
        }),
        ("services", "proxy") => service_proxy(registry, &object, port, tls, rest),
        ("pods", subresource) => pod_request(target, &object, subresource, query),
        _ => Err(Status::no_such_path()),
    }
}

fn split_name(name: &str) -> Result<(bool, &str, &str), Status> {
    let parts: Vec<&str> = name.split(':').collect();
    match parts.as_slice() {
        [name] => Ok((false, name, "")),
        [name, port] => Ok((false, name, port)),
        ["https", name, port] => Ok((true, name, port)),
        ["http" | "", name, port] => Ok((false, name, port)),
        _ => Err(Status::bad_request(format!("invalid service request {name:?}"))),
    }
}

/// The options of the connection, as admission shows them.
fn connect_options(target: &Target, query: Query<'_>) -> Value {
    let kind = target.resource.subresource(&target.subresource).map(|found| found.gvk.kind.clone());
    let mut options = json!({"kind": kind, "apiVersion": "v1"});
    let Some(fields) = options.as_object_mut() else { return options };
    for (name, value) in query {
        match name.as_str() {
            "container" | "path" => {
                fields.insert(name.clone(), json!(value));
            }
            "stdin" | "stdout" | "stderr" | "tty" => {
                fields.insert(name.clone(), json!(!matches!(value.as_str(), "false" | "0" | "")));
            }
            "command" => {
                let list = fields.entry("command").or_insert_with(|| json!([]));
                if let Some(list) = list.as_array_mut() {
                    list.push(json!(value));
                }
            }
            _ => {}
        }
    }
    options
}

fn pod_request(
    target: &Target,
    pod: &Value,
    subresource: &str,
    query: Query<'_>,
) -> Result<NodeTarget, Status> {
    let name = meta::text(pod, "name");
    let node = text_at(pod, &["spec", "nodeName"]);
    if node.is_empty() {
        if subresource == "log" {
            return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
        }
        return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let place = PodPlace {
        namespace: target.namespace.clone(),
        name: name.to_owned(),
        uid: meta::text(pod, "uid").to_owned(),
    };
    let wanted = query.iter().find(|(name, _)| name == "container").map_or("", |(_, value)| value.as_str());
    let kind = match subresource {
        "portforward" => NodeRequest::PortForward { pod: place },
        "exec" => NodeRequest::Exec { container: container(pod, wanted, true)?, pod: place },
        "attach" => NodeRequest::Attach { container: container(pod, wanted, true)?, pod: place },
        "log" => NodeRequest::Log { container: container(pod, wanted, false)?, pod: place },
        _ => return Err(Status::no_such_path()),
    };
    Ok(NodeTarget { kind, node: node.to_owned(), address: String::new(), tls: true, path: String::new() })
}

/// The container that a request means.
fn container(pod: &Value, wanted: &str, uses_annotation: bool) -> Result<String, Status> {
    let names = |list: &str| -> Vec<String> {
        let list = pod.get("spec").and_then(|spec| spec.get(list)).and_then(Value::as_array);
        let names = list.into_iter().flatten().filter_map(|found| found.get("name")?.as_str());
        names.map(str::to_owned).collect()
    };
    let pod_name = meta::text(pod, "name");
    let (plain, init, ephemeral) =
        (names("containers"), names("initContainers"), names("ephemeralContainers"));
    if !wanted.is_empty() {
        let known = plain.iter().chain(&init).chain(&ephemeral).any(|name| name == wanted);
        if !known {
            return Err(Status::bad_request(format!("container {wanted} is not valid for pod {pod_name}")));
        }
        return Ok(wanted.to_owned());
    }
    let annotated =
        meta::get(pod, "annotations").get("kubectl.kubernetes.io/default-container").and_then(Value::as_str);
    if let Some(name) = annotated.filter(|name| uses_annotation && plain.iter().any(|known| known == name)) {
        return Ok(name.to_owned());
    }
    match plain.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Status::bad_request(format!("a container name must be specified for pod {pod_name}"))),
        many => {
            let mut text = format!(
                "a container name must be specified for pod {pod_name}, choose one of: [{}]",
                many.join(" ")
            );
            if !init.is_empty() {
                text.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
            }
            Err(Status::bad_request(text))
        }
    }
}

fn pod_proxy(pod: &Value, port: &str, tls: bool, rest: &str) -> Result<NodeTarget, Status> {
    let port = if port.is_empty() { first_port(pod).unwrap_or_default() } else { port.to_owned() };
    let address = text_at(pod, &["status", "podIP"]);
    if address.is_empty() {
        return Err(Status::bad_request("address not allowed"));
    }
    Ok(to_address(text_at(pod, &["spec", "nodeName"]), join(address, &port), tls, rest))
}

fn first_port(pod: &Value) -> Option<String> {
    let containers = pod.get("spec")?.get("containers")?.as_array()?;
    let ports = containers.iter().filter_map(|container| container.get("ports")?.as_array()).flatten();
    ports.filter_map(|port| port.get("containerPort")?.as_i64()).next().map(|port| port.to_string())
}

/// One of the endpoints of a service that are ready.
fn service_proxy(
    registry: &Registry,
    service: &Value,
    port: &str,
    tls: bool,
    rest: &str,
) -> Result<NodeTarget, Status> {
    let (namespace, name) = (meta::text(service, "namespace"), meta::text(service, "name"));
    let wanted = service_port(service, port)
        .ok_or_else(|| Status::unavailable(format!("no service port {port:?} found for service {name:?}")))?;
    let slices =
        registry.core.cache.items(&GroupResource::new("discovery.k8s.io", "endpointslices"), Some(namespace));
    let own = slices
        .into_iter()
        .filter(|slice| slice.labels().get("kubernetes.io/service-name").is_some_and(|owner| owner == name));
    let mut found: Vec<(String, String)> = own.flat_map(|slice| endpoints(&slice, &wanted)).collect();
    if found.is_empty() {
        return Err(Status::unavailable(format!("no endpoints available for service {name:?}")));
    }
    let at = crate::registry::random::below(found.len() as u64) as usize;
    let (address, node) = found.swap_remove(at);
    Ok(to_address(&node, address, tls, rest))
}

/// The name of the port that a proxy means.
fn service_port(service: &Value, port: &str) -> Option<String> {
    let ports = service.get("spec")?.get("ports")?.as_array()?;
    let name = |found: &Value| found.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let fits = |found: &&Value| {
        port.is_empty()
            || name(found) == port
            || found.get("port").and_then(Value::as_i64).map(|number| number.to_string()).as_deref()
                == Some(port)
    };
    ports.iter().find(fits).map(name)
}

fn endpoints(slice: &Arc<Item>, port: &str) -> Vec<(String, String)> {
    let slice = slice.value();
    let list = |name: &str| slice.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let named = |found: &&Value| found.get("name").and_then(Value::as_str).unwrap_or_default() == port;
    let Some(number) = list("ports").iter().find(named).and_then(|found| found.get("port")?.as_i64()) else {
        return Vec::new();
    };
    let ready = |endpoint: &&Value| {
        endpoint.get("conditions").and_then(|found| found.get("ready")).and_then(Value::as_bool)
            != Some(false)
    };
    let place = |endpoint: &Value| {
        let address = endpoint.get("addresses")?.as_array()?.first()?.as_str()?;
        let node = endpoint.get("nodeName").and_then(Value::as_str).unwrap_or_default();
        Some((join(address, &number.to_string()), node.to_owned()))
    };
    list("endpoints").iter().filter(ready).filter_map(place).collect()
}

fn to_address(node: &str, address: String, tls: bool, rest: &str) -> NodeTarget {
    NodeTarget { kind: NodeRequest::Proxy, node: node.to_owned(), address, tls, path: rest.to_owned() }
}

fn join(address: &str, port: &str) -> String {
    match (address.contains(':'), port) {
        (false, "") => address.to_owned(),
        (true, "") => format!("[{address}]"),
        (false, port) => format!("{address}:{port}"),
        (true, port) => format!("[{address}]:{port}"),
    }
}

fn text_at<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    let found = path.iter().try_fold(object, |value, name| value.get(name));
    found.and_then(Value::as_str).unwrap_or_default()
}
