//! Requests that another server answers: exec, attach, port-forward, logs and proxies. They are
//! admitted here and handed to the node.

use http::header::{LOCATION, UPGRADE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
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

/// Whoever reads what is behind a proxy is led to its root, so that relative links of a page lead below the proxy.
fn to_root<B>(info: &RequestInfo, request: &Request<B>) -> Option<Response<Body>> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let upgrades = request.headers().contains_key(UPGRADE);
    if info.subresource != "proxy" || !info.tail.is_empty() || !reads || upgrades {
        return None;
    }
    let uri = request.uri();
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let mut moved = answer::text(StatusCode::MOVED_PERMANENTLY.as_u16(), "");
    let location = HeaderValue::from_str(&format!("{}/{query}", uri.path())).ok()?;
    moved.headers_mut().insert(LOCATION, location);
    Some(moved)
}

/// Finds the way and goes it.
pub(super) async fn serve(asked: Asked<'_>) -> Result<Response<Body>, Status> {
    let Asked { front, info, query, context, request, .. } = asked;
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
    if let Some(moved) = to_root(&info, &request) {
        return Ok(moved);
    }
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
