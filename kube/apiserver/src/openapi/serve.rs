//! `/openapi/v2`, `/openapi/v3` and what is below it.

use std::io::Read as _;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, ETAG, EXPIRES, HeaderValue, LOCATION, VARY};
use http::{HeaderMap, Response, StatusCode};
use kube_object::status::Status;
use serde_json::{Map, Value, json};

use super::{Made, OpenApi, V2, V2_PROTOBUF};
use crate::discovery::Foreign;
use crate::http::accept::{MediaRange, ranges};
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
        ["v2"] => version_2(openapi, headers),
        ["v3"] => Ok(index(openapi, foreign, headers)),
        ["v3", name @ ..] => document(openapi, &name.join("/"), query, headers),
        _ => Ok(page_not_found()),
    }
}

/// Version 2 in the form that the client wants most.
fn version_2(openapi: &OpenApi, headers: &HeaderMap) -> Result<Response<Body>, Status> {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let accept = if accept.is_empty() { "*/*" } else { accept };
    let form = |range: &MediaRange| FORMS.iter().find(|form| range.admits("application", form.subtype));
    let Some(form) = ranges(accept).iter().find_map(form) else {
        return Ok(bytes_answer(406, "text/plain; charset=utf-8", ""));
    };
    match openapi.document(form.document) {
        Some(made) => tagged(&made, form.content_type, headers),
        None => Ok(page_not_found()),
    }
}

/// A form of the version 2 document.
struct Form {
    /// Of the media type that asks for it, which is one of `application`.
    subtype: &'static str,
    document: &'static str,
    content_type: &'static str,
}

/// Old clients ask with an at sign, which RFC 9110 allows in no media type: answers are without.
const FORMS: [Form; 3] = [
    Form { subtype: "json", document: V2, content_type: JSON },
    Form {
        subtype: "com.github.proto-openapi.spec.v2@v1.0+protobuf",
        document: V2_PROTOBUF,
        content_type: PROTOBUF,
    },
    Form {
        subtype: "com.github.proto-openapi.spec.v2.v1.0+protobuf",
        document: V2_PROTOBUF,
        content_type: PROTOBUF,
    },
];
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

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
    crate::http::hashed(&document, JSON, headers)
}

fn document(
    openapi: &OpenApi,
    name: &str,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Response<Body>, Status> {
    let Some(made) = openapi.document(name) else { return Ok(page_not_found()) };
    let Some(asked) = query.text("hash") else { return tagged(&made, JSON, headers) };
    if asked != &*made.hash {
        // The client's index is old: it is sent to what there is now.
        let mut response = bytes_answer(301, "text/plain; charset=utf-8", "");
        let location = format!("/openapi/v3/{name}?hash={}", made.hash);
        if let Ok(location) = HeaderValue::from_str(&location) {
            response.headers_mut().insert(LOCATION, location);
        }
        return Ok(response);
    }
    let mut response = tagged(&made, JSON, headers)?;
    let fields = response.headers_mut();
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
    fields.insert(EXPIRES, HeaderValue::from_static("Thu, 31 Dec 2099 23:59:59 GMT"));
    Ok(response)
}

fn tagged(made: &Made, content_type: &'static str, headers: &HeaderMap) -> Result<Response<Body>, Status> {
    let tag = format!("\"{}\"", made.hash);
    let mut response = if matches_tag(headers, &tag) {
        let mut response = Response::new(body::full(""));
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else if accepts_gzip(headers) {
        let mut response = bytes_answer(200, content_type, made.gzip.clone());
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        bytes_answer(200, content_type, inflate(&made.gzip)?)
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
