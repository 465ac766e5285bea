//! Proxies to pods and services without a node between: this server connects to their address.

use std::net::IpAddr;

use client::BoxFuture;
use client::http::{Trust, client_config};
use http::header::{HeaderValue, LOCATION};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use kube_object::status::Status;
use tokio::sync::watch;

use super::forward::{Way, forward, server_name};
use super::pages::{self, Links};
use crate::registry::{NodeBody, NodeProxy, NodeRequest, NodeTarget};

/// The way to addresses, for a server without nodes.
pub struct Direct {
    shutdown: watch::Receiver<bool>,
}

impl Direct {
    /// Ends its connections when `shutdown` becomes true.
    pub fn new(shutdown: watch::Receiver<bool>) -> Self {
        Self { shutdown }
    }

    async fn proxy(
        &self,
        target: &NodeTarget,
        request: Request<Incoming>,
    ) -> Result<Response<NodeBody>, Status> {
        if target.kind != NodeRequest::Proxy || target.address.is_empty() {
            return Err(Status::unavailable("this server has no way to nodes"));
        }
        let (host, port) = split(&target.address);
        if !may_go_to(host.trim_matches(['[', ']'])) {
            return Err(Status::bad_request("address not allowed"));
        }
        let tls = if target.tls {
            // As upstream: whoever may use the proxy trusts what is behind it.
            let config = client_config(&Trust::Anybody, None).map_err(Status::internal)?;
            let name = server_name(host.trim_matches(['[', ']']));
            Some((config, name.ok_or_else(|| Status::bad_request("address not allowed"))?))
        } else {
            None
        };
        let usual = if target.tls { "443" } else { "80" };
        let address = format!("{host}:{}", port.unwrap_or(usual));
        let way = Way { address: address.clone(), tls, host: target.address.clone() };
        let path = if target.path.is_empty() { "/" } else { target.path.as_str() };
        let path_and_query = match request.uri().query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let links = Links { prefix: prefix(request.uri().path(), &target.path), address };
        let mut extra = HeaderMap::new();
        if let Ok(uri) = HeaderValue::from_str(&format!("{}{path}", links.prefix)) {
            extra.insert("x-forwarded-uri", uri);
        }
        let shutdown = self.shutdown.clone();
        let answered = forward(&way, &path_and_query, request, extra, None, shutdown).await;
        let mut response = answered.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            Status::unavailable(format!(
                "error trying to reach service: {error}{}",
                cause.unwrap_or_default()
            ))
        })?;
        if response.headers().contains_key(LOCATION) {
            relocate(&mut response, &links);
            return Ok(response);
        }
        Ok(pages::rewrite(response, links))
    }
}

/// As upstream: addresses of this machine alone are nobody's pod, whoever wrote them there.
fn may_go_to(host: &str) -> bool {
    match host.parse() {
        Ok(IpAddr::V4(ip)) => {
            !(ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || ip.is_multicast())
        }
        Ok(IpAddr::V6(ip)) => {
            !(ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast())
                && ip.to_ipv4_mapped().is_none()
        }
        // Endpoints have addresses; a name is none of ours.
        Err(_) => false,
    }
}

impl NodeProxy for Direct {
    fn serve(&self, target: NodeTarget, request: Request<Incoming>) -> BoxFuture<'_, Response<NodeBody>> {
        Box::pin(async move {
            match self.proxy(&target, request).await {
                Ok(response) => response,
                Err(status) => refusal(&status),
            }
        })
    }
}

/// The path before what is proxied.
fn prefix(path: &str, tail: &str) -> String {
    path.strip_suffix(tail).unwrap_or(path).trim_end_matches('/').to_owned()
}

/// A redirect within the other server is one below our path.
fn relocate(response: &mut Response<NodeBody>, links: &Links) {
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let moved = location.and_then(|location| links.through(location));
    if let Some(moved) = moved.and_then(|moved| HeaderValue::from_str(&moved).ok()) {
        response.headers_mut().insert(LOCATION, moved);
    }
}

/// An address's host, with brackets where it has them, and its port.
fn split(address: &str) -> (&str, Option<&str>) {
    match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (address, None),
    }
}

fn refusal(status: &Status) -> Response<NodeBody> {
    let body = Full::from(status.to_value().to_string()).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(status.code).unwrap_or_default();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_away_from_this_machine() {
        for (host, may) in [
            ("10.1.2.3", true),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("0.0.0.0", false),
            ("fd00::1", true),
            ("::1", false),
            ("fe80::1", false),
            ("::ffff:127.0.0.1", false),
            ("localhost", false),
        ] {
            assert_eq!(may_go_to(host), may, "{host}");
        }
        assert_eq!(prefix("/api/v1/x/proxy/a/b", "/a/b"), "/api/v1/x/proxy");
        assert_eq!(split("10.0.0.1"), ("10.0.0.1", None));
        assert_eq!(split("10.0.0.1:8080"), ("10.0.0.1", Some("8080")));
        assert_eq!(split("[fd00::1]"), ("[fd00::1]", None));
        assert_eq!(split("[fd00::1]:80"), ("[fd00::1]", Some("80")));
    }
}
