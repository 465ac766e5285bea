//! `/openapi/v2`, `/openapi/v3` and what is below it.

use std::io::Read as _;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, ETAG, EXPIRES, HeaderValue, LOCATION, VARY};
use http::{HeaderMap, Response, StatusCode};
use kube_object::status::Status;
use serde_json::{Map, Value, json};

use super::{Made, OpenApi, V2};
use crate::discovery::Foreign;
use crate::http::query::Query;
use crate::http::{Body, accepts_gzip, body, bytes_answer, matches_tag, page_not_found};

/// Answers a path below `/openapi`.
pub(crate) fn serve(
    openapi: &OpenApi,
    foreign: &[Foreign],
    path: &[&str],
    query: &Query,
    headers: &HeaderMap,
) -> Result<Response<Body>, Status> {
    match path {
        ["v2"] => match openapi.document(V2) {
            Some(made) => tagged(&made, headers),
            None => Ok(page_not_found()),
        },
        ["v3"] => Ok(index(openapi, foreign, headers)),
        ["v3", name @ ..] => document(openapi, &name.join("/"), query, headers),
        _ => Ok(page_not_found()),
    }
}

fn index(openapi: &OpenApi, foreign: &[Foreign], headers: &HeaderMap) -> Response<Body> {
    let mut paths = Map::new();
    for (name, hash) in openapi.index() {
        let url = format!("/openapi/v3/{name}?hash={hash}");
        paths.insert(name, json!({"serverRelativeURL": url}));
    }
    for other in foreign.iter().filter(|other| other.resources.is_some()) {
        let name = format!("apis/{}/{}", other.group, other.version);
        let url = format!("/openapi/v3/{name}");
        paths.entry(name).or_insert_with(|| json!({"serverRelativeURL": url}));
    }
    let document = crate::discovery::Document::new(&json!({"paths": Value::Object(paths)}));
    crate::http::hashed(&document, "application/json", headers)
}

fn document(
    openapi: &OpenApi,
    name: &str,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Response<Body>, Status> {
    let Some(made) = openapi.document(name) else { return Ok(page_not_found()) };
    let Some(asked) = query.text("hash") else { return tagged(&made, headers) };
    if asked != &*made.hash {
        // The client's index is old: it is sent to what there is now.
        let mut response = bytes_answer(301, "text/plain; charset=utf-8", "");
        let location = format!("/openapi/v3/{name}?hash={}", made.hash);
        if let Ok(location) = HeaderValue::from_str(&location) {
            response.headers_mut().insert(LOCATION, location);
        }
        return Ok(response);
    }
    let mut response = tagged(&made, headers)?;
    let fields = response.headers_mut();
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
    fields.insert(EXPIRES, HeaderValue::from_static("Thu, 31 Dec 2099 23:59:59 GMT"));
    Ok(response)
}

fn tagged(made: &Made, headers: &HeaderMap) -> Result<Response<Body>, Status> {
    let tag = format!("\"{}\"", made.hash);
    let mut response = if matches_tag(headers, &tag) {
        let mut response = Response::new(body::full(""));
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else if accepts_gzip(headers) {
        let mut response = bytes_answer(200, "application/json", made.gzip.clone());
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        bytes_answer(200, "application/json", inflate(&made.gzip)?)
    };
    let fields = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        fields.insert(ETAG, tag);
    }
    fields.insert(VARY, HeaderValue::from_static("Accept-Encoding, Accept"));
    Ok(response)
}

fn inflate(gzip: &Bytes) -> Result<Vec<u8>, Status> {
    let mut out = Vec::new();
    GzDecoder::new(&gzip[..]).read_to_end(&mut out).map_err(Status::internal)?;
    Ok(out)
}
