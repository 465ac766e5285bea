//! Paths that are no resources: discovery, health, version, metrics, OpenAPI, keys.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use client::Mirror as _;
use http::header::{CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use http::{HeaderMap, Method, Response, StatusCode};
use jiff::Timestamp;
use kube_object::resource::GroupResource;
use kube_object::status::Status;
use serde_json::{Value, json};

use super::Front;
use super::accept::{MediaRange, Offer, negotiate, ranges};
use super::answer::{self, Form, accepts_gzip};
use super::body::{self, Body};
use super::chain::Asked;
use crate::aggregate::{Remote, is_available};
use crate::discovery::{AggregatedVersion, Document};
use crate::metrics::head;
use crate::table::IncludeObject;

/// The other server that answers a path: that of its own group's version, and its documents.
pub(super) fn remote(asked: &Asked<'_>) -> Option<Remote> {
    let parts: Vec<&str> = asked.info.path.trim_matches('/').split('/').collect();
    let (group, version) = match parts.as_slice() {
        ["apis", group, version] | ["openapi", "v3", "apis", group, version] => (*group, *version),
        _ => return None,
    };
    let ours = asked.front.registry.kinds().table();
    let served = ours.resources().iter().any(|it| it.gvr.group == group && it.gvr.version == version);
    if served { None } else { asked.front.aggregator.find(group, version) }
}

/// Answers one of them.
pub(super) fn serve(asked: &Asked<'_>) -> Result<Response<Body>, Status> {
    let path = asked.info.path.clone();
    if !matches!(*asked.request.method(), Method::GET | Method::HEAD) {
        let known = path.starts_with("/api") || path.starts_with("/version") || path.starts_with("/openapi");
        return Ok(if known {
            answer::text(405, "405: Method Not Allowed")
        } else {
            answer::page_not_found()
        });
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        [""] => Ok(indented(&json!({"paths": paths(asked)}))),
        ["version"] => Ok(indented(&asked.front.version)),
        ["metrics"] => Ok(metrics(asked)),
        ["debug", "api_priority_and_fairness", page] => {
            let text = asked.front.fairness().and_then(|fairness| fairness.dump(page));
            Ok(text.map_or_else(answer::page_not_found, |text| answer::text(200, text)))
        }
        [".well-known", "openid-configuration"] => Ok(json_text(&asked.front.openid.configuration)),
        ["openid", "v1", "jwks"] => {
            let mut response = json_text(&asked.front.openid.keys);
            let content_type = HeaderValue::from_static("application/jwk-set+json");
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            Ok(response)
        }
        ["api", ..] | ["apis", ..] => discovery(asked, &parts),
        ["openapi", rest @ ..] => {
            let front = asked.front;
            let (foreign, _) = front.aggregator.others();
            crate::openapi::serve(front.openapi(), &foreign, rest, &asked.query, asked.headers())
        }
        _ => Ok(answer::page_not_found()),
    }
}

fn discovery(asked: &Asked<'_>, parts: &[&str]) -> Result<Response<Body>, Status> {
    let discovery = &asked.front.discovery;
    let (foreign, change) = asked.front.aggregator.foreign();
    let found = match parts {
        ["api"] | ["apis"] => {
            let core = parts == ["api"];
            if let Some(version) = aggregated(asked.accept()) {
                let document = discovery.aggregated(core, version, &foreign, change);
                return Ok(hashed(&document, version.content_type(), asked.headers()));
            }
            Some(if core {
                discovery.core_versions(&asked.front.address)
            } else {
                discovery.group_list(&foreign)
            })
        }
        ["api", version] => discovery.resources("", version),
        ["apis", group] => discovery.group(group, &foreign),
        ["apis", group, version] => {
            discovery.resources(group, version).or_else(|| asked.front.aggregator.list_here(group, version))
        }
        _ => None,
    };
    match found {
        Some(value) => object(asked, &value),
        None => Ok(answer::page_not_found()),
    }
}

/// The aggregated form, if the client likes it best.
fn aggregated(accept: Option<&str>) -> Option<AggregatedVersion> {
    let wanted = |range: &MediaRange| {
        let version = match range.parameter("v") {
            "v2" => AggregatedVersion::V2,
            "v2beta1" => AggregatedVersion::V2Beta1,
            _ => return None,
        };
        let fits = range.admits("application", "json")
            && range.parameter("g") == "apidiscovery.k8s.io"
            && range.parameter("as") == "APIGroupDiscoveryList";
        fits.then_some(version)
    };
    let ranges = ranges(accept?);
    for range in &ranges {
        if let Some(version) = wanted(range) {
            return Some(version);
        }
        // An earlier range without a transformation is satisfied by the old form.
        if range.parameter("as").is_empty() && range.admits("application", "json") {
            return None;
        }
    }
    None
}

/// A document with its hash as `ETag`, or 304 if the client has it.
pub(crate) fn hashed(document: &Document, content_type: &'static str, headers: &HeaderMap) -> Response<Body> {
    let tag = format!("\"{}\"", document.hash);
    let mut response = if matches_tag(headers, &tag) {
        let mut response = Response::new(body::full(""));
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        compressible(document.json.clone(), content_type, headers)
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    response
}

/// Whether `If-None-Match` names the tag.
pub(crate) fn matches_tag(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
}

fn compressible(bytes: Bytes, content_type: &'static str, headers: &HeaderMap) -> Response<Body> {
    let large = bytes.len() > 128 * 1024;
    let mut response = answer::bytes_answer(200, content_type, bytes);
    if large && accepts_gzip(headers) {
        response = response.map(body::gzip);
        response.headers_mut().insert(http::header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn object(asked: &Asked<'_>, value: &Value) -> Result<Response<Body>, Status> {
    let mut negotiated = negotiate(asked.accept(), Offer::default())?;
    negotiated.pretty |= asked.query.flag("pretty").unwrap_or(false);
    let form = Form {
        negotiated,
        include: IncludeObject::None,
        gzip: accepts_gzip(asked.headers()),
        now: Timestamp::UNIX_EPOCH,
        messages: Arc::clone(&asked.front.messages),
        trail: asked.trail.clone(),
    };
    Ok(answer::value_answer(200, value, &form))
}

/// What is no API object is always JSON, and written to be read.
fn indented(value: &Value) -> Response<Body> {
    answer::bytes_answer(200, "application/json", format!("{value:#}"))
}

fn json_text(value: &Value) -> Response<Body> {
    answer::bytes_answer(200, "application/json", value.to_string())
}

fn metrics(asked: &Asked<'_>) -> Response<Body> {
    let front = asked.front;
    let (objects, revision) = (front.stored)();
    let mut text = front.metrics.text(&objects, revision);
    build_info(&mut text, &front.version);
    unavailable(&mut text, front);
    text.extend(front.fairness().map(|fairness| fairness.metrics()));
    if let Some(audit) = &front.audit {
        text.push_str(&audit.metrics());
    }
    answer::bytes_answer(200, "text/plain; version=0.0.4; charset=utf-8", text)
}

fn build_info(text: &mut String, version: &Value) {
    const NAME: &str = "kubernetes_build_info";
    head(text, NAME, "gauge", "What was built.");
    let labels: Vec<String> = [
        ("build_date", "buildDate"),
        ("compiler", "compiler"),
        ("git_commit", "gitCommit"),
        ("git_tree_state", "gitTreeState"),
        ("git_version", "gitVersion"),
        ("go_version", "goVersion"),
        ("major", "major"),
        ("minor", "minor"),
        ("platform", "platform"),
    ]
    .into_iter()
    .map(|(label, member)| format!("{label}={}", version.get(member).unwrap_or(&Value::Null)))
    .collect();
    let _ = writeln!(text, "{NAME}{{{}}} 1", labels.join(","));
}

/// Which servers of other groups do not answer.
fn unavailable(text: &mut String, front: &Front) {
    const NAME: &str = "aggregator_unavailable_apiservice";
    head(text, NAME, "gauge", "Whether an APIService is unavailable.");
    let services = GroupResource::new("apiregistration.k8s.io", "apiservices");
    for service in front.registry.core.cache.items(&services, None) {
        let service = service.value();
        let name = service.pointer("/metadata/name").unwrap_or(&Value::Null);
        let _ = writeln!(text, "{NAME}{{name={name}}} {}", u8::from(!is_available(&service)));
    }
}

fn paths(asked: &Asked<'_>) -> Vec<String> {
    let mut paths: Vec<String> = ["/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/apis/"]
        .iter()
        .chain(&["/metrics", "/openapi/v2", "/openapi/v3", "/openapi/v3/", "/openid/v1/jwks", "/version"])
        .map(|path| (*path).to_owned())
        .collect();
    for (group, versions) in asked.front.registry.kinds().table().groups() {
        if group.is_empty() {
            continue;
        }
        paths.push(format!("/apis/{group}"));
        paths.extend(versions.iter().map(|version| format!("/apis/{group}/{version}")));
    }
    paths.extend(asked.front.health.paths());
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefers_what_the_client_prefers() {
        let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let beta = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
        for (accept, version) in [
            (format!("{v2},{beta},application/json"), Some(AggregatedVersion::V2)),
            (beta.to_owned(), Some(AggregatedVersion::V2Beta1)),
            ("application/json".to_owned(), None),
            (format!("application/json,{v2}"), None),
            (format!("application/json;q=0.5,{v2}"), Some(AggregatedVersion::V2)),
            ("application/json;g=other;v=v2;as=APIGroupDiscoveryList".to_owned(), None),
        ] {
            assert_eq!(aggregated(Some(&accept)), version, "{accept}");
        }
    }
}
