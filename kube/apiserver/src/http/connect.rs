//! Requests that another server answers: exec, attach, port-forward, logs and proxies. They are
//! admitted here and handed to the node.

use http::Response;
use http_body_util::BodyExt as _;
use kube_object::status::Status;

use super::answer;
use super::body::Body;
use super::chain::Asked;
use super::path::RequestInfo;
use crate::metrics::Subject;
use crate::registry::Target;

/// Whether a request is of this kind.
pub(super) fn is_connect(info: &RequestInfo) -> bool {
    info.group.is_empty()
        && match info.resource.as_str() {
            "pods" => {
                matches!(info.subresource.as_str(), "exec" | "attach" | "portforward" | "log" | "proxy")
            }
            "services" | "nodes" => info.subresource == "proxy",
            _ => false,
        }
}

/// Finds the way and goes it.
pub(super) async fn serve(asked: Asked<'_>) -> Result<Response<Body>, Status> {
    let Asked { front, info, query, context, request } = asked;
    let resource = front.registry.kinds().resolve(&info.group, &info.version, &info.resource);
    let Some(resource) = resource.filter(|_| !info.name.is_empty()) else {
        return Ok(answer::page_not_found());
    };
    if resource.namespaced == info.namespace.is_empty() {
        return Ok(answer::page_not_found());
    }
    let target = Target::object(&resource, &info.namespace, &info.name).at(&info.subresource);
    let way = front.registry.connect(&context, &target, &info.tail, query.pairs()).await?;
    let Some(proxy) = &front.node_proxy else {
        return Err(Status::unavailable("this server has no way to nodes"));
    };
    let gauge = front.metrics.long_running(Subject::of(&info, true, false, false));
    let response = proxy.serve(way, request).await;
    Ok(response.map(|body| {
        body.map_frame(move |frame| {
            // The gauge lives as long as the body.
            let _ = &gauge;
            frame
        })
        .boxed_unsync()
    }))
}
