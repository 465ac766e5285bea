//! The API over HTTP/2 and TLS.
//!
//! One connection carries all calls and another all watches, so that watches cannot use up the
//! streams that calls need. A connection that breaks is made anew by the next request.

mod config;
mod connection;
mod stream;
mod tls;

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use kube_object::resource::GroupVersionResource;
use kube_object::status::{Details, Status, known_reason};
use serde_json::Value;

pub use config::{Credentials, Endpoint, InvalidEndpoint};
use connection::Connection;
pub use tls::{Identity, Trust, client_config};

use crate::api::{Api, BoxFuture, BoxStream, Call, PatchType, Query, Verb, WatchOptions};
use crate::item::WatchEvent;
use crate::text::Repeats;

/// A client of one server. Share it: it holds the connections.
pub struct HttpClient {
    endpoint: RwLock<Arc<Endpoint>>,
    calls: Connection,
    watches: Connection,
    repeats: Arc<Repeats>,
}

impl HttpClient {
    /// A client of the server at an endpoint; connects with the first request.
    pub fn new(endpoint: Endpoint) -> Self {
        let endpoint = RwLock::new(Arc::new(endpoint));
        Self { calls: Connection::new(), watches: Connection::new(), repeats: Arc::default(), endpoint }
    }

    /// Goes on with another endpoint, such as one with a newer certificate: new requests go over new
    /// connections, what is under way ends on the old ones.
    pub fn go_on_with(&self, endpoint: Endpoint) {
        *self.endpoint.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(endpoint);
    }

    fn endpoint(&self) -> Arc<Endpoint> {
        Arc::clone(&self.endpoint.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn answer(&self, call: Call) -> Result<Value, Status> {
        let (method, path, query, body) = parts(&call);
        let content = call.patch.filter(|_| call.verb == Verb::Patch).map(PatchType::content_type);
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let endpoint = self.endpoint();
        let request = to_request(&endpoint, method, &path, &query, content.unwrap_or(JSON), body)?;
        let response = self.calls.send(&endpoint, request).await.map_err(|error| unreachable(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| unreachable(&*error))?.to_bytes();
        read(head.status.as_u16(), &body)
    }

    /// What a path holds that is no resource, such as `/version`.
    pub async fn raw(&self, path: &str) -> Result<Bytes, Status> {
        let endpoint = self.endpoint();
        let request = to_request(&endpoint, Method::GET, path, &Query::new(), "*/*", Bytes::new())?;
        let response = self.calls.send(&endpoint, request).await.map_err(|error| unreachable(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| unreachable(&*error))?.to_bytes();
        if head.status.is_success() { Ok(body) } else { read(head.status.as_u16(), &body).map(|_| body) }
    }

    async fn follow(
        &self,
        path: String,
        query: Query,
    ) -> Result<BoxStream<'static, Result<WatchEvent, Status>>, Status> {
        let endpoint = self.endpoint();
        let request = to_request(&endpoint, Method::GET, &path, &query, JSON, Bytes::new())?;
        let response = self.watches.send(&endpoint, request).await.map_err(|error| unreachable(&error))?;
        let (head, body): (_, Incoming) = response.into_parts();
        if head.status.is_success() {
            return Ok(Box::pin(stream::events(body, Arc::clone(&self.repeats))));
        }
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| unreachable(&*error))?.to_bytes();
        match read(head.status.as_u16(), &body) {
            Err(status) => Err(status),
            Ok(_) => Err(Status::internal("the watch was answered with an object")),
        }
    }
}

impl Api for HttpClient {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Value, Status>> {
        Box::pin(self.answer(call))
    }

    fn watch<'a>(
        &'a self,
        resource: &GroupVersionResource,
        options: WatchOptions,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Result<WatchEvent, Status>>, Status>> {
        let (path, query) = watch_parts(resource, &options);
        Box::pin(self.follow(path, query))
    }
}

fn to_request(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    query: &Query,
    content: &str,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, Status> {
    let uri = format!("https://{}{}", endpoint.authority(), with_query(path, query));
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .header(header::ACCEPT, JSON)
        .header(header::CONTENT_TYPE, content)
        .header(header::USER_AGENT, endpoint.agent());
    if let Some(token) = endpoint.bearer() {
        request = request.header(header::AUTHORIZATION, token);
    }
    request.body(Full::new(body)).map_err(|error| Status::bad_request(error.to_string()))
}

/// Path and query of a call, as they stand in a request.
pub fn call_uri(call: &Call) -> String {
    let (_, path, query, _) = parts(call);
    with_query(&path, &query)
}

/// Path and query of a watch.
pub fn watch_uri(resource: &GroupVersionResource, options: &WatchOptions) -> String {
    let (path, query) = watch_parts(resource, options);
    with_query(&path, &query)
}

fn with_query(path: &str, query: &Query) -> String {
    let mut uri = path.to_owned();
    for (at, (name, value)) in query.iter().enumerate() {
        uri.push(if at == 0 { '?' } else { '&' });
        uri.push_str(name);
        uri.push('=');
        encode(&mut uri, value);
    }
    uri
}

fn watch_parts(resource: &GroupVersionResource, options: &WatchOptions) -> (String, Query) {
    let mut query = options.query();
    query.push(("watch".to_owned(), "true".to_owned()));
    (path(resource, options.namespace.as_deref(), None, None), query)
}

fn parts(call: &Call) -> (Method, String, Query, Option<Value>) {
    let options = &call.options;
    let collection = || path(&call.resource, call.namespace.as_deref(), None, None);
    let object =
        || path(&call.resource, call.namespace.as_deref(), call.name.as_deref(), call.subresource.as_deref());
    let body = call.body.clone();
    match call.verb {
        Verb::Get => (Method::GET, object(), options.list_query(), None),
        Verb::List => (Method::GET, collection(), options.list_query(), None),
        // A POST to a part of an object names the object.
        Verb::Create if call.subresource.is_some() => (Method::POST, object(), options.write_query(), body),
        Verb::Create => (Method::POST, collection(), options.write_query(), body),
        Verb::Update => (Method::PUT, object(), options.write_query(), body),
        Verb::Patch => (Method::PATCH, object(), options.write_query(), body),
        Verb::Delete => (Method::DELETE, object(), Query::new(), Some(options.delete_options())),
        Verb::DeleteCollection => {
            (Method::DELETE, collection(), options.list_query(), Some(options.delete_options()))
        }
    }
}

fn path(
    resource: &GroupVersionResource,
    namespace: Option<&str>,
    name: Option<&str>,
    subresource: Option<&str>,
) -> String {
    let mut path = match resource.group.as_str() {
        "" => format!("/api/{}", resource.version),
        group => format!("/apis/{group}/{}", resource.version),
    };
    let mut add = |segment: &str| {
        path.push('/');
        encode(&mut path, segment);
    };
    if let Some(namespace) = namespace {
        add("namespaces");
        add(namespace);
    }
    add(&resource.resource);
    for segment in [name, subresource].into_iter().flatten() {
        add(segment);
    }
    path
}

/// RFC 3986: everything but the unreserved characters.
fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

fn read(code: u16, body: &[u8]) -> Result<Value, Status> {
    let value: Result<Value, _> = serde_json::from_slice(body);
    match value {
        Ok(value) if (200..300).contains(&code) => Ok(value),
        Ok(value) => Err(status_of(code, &value)),
        Err(_) => {
            let text = String::from_utf8_lossy(body.get(..SHOWN_MAX.min(body.len())).unwrap_or_default());
            Err(Status::new(if code < 400 { 500 } else { code }, "", text.into_owned()))
        }
    }
}

/// The refusal that a `Status` object tells.
fn status_of(code: u16, value: &Value) -> Status {
    let text =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let reason = text(value, "reason");
    let mut status = Status::new(code, known_reason(&reason), text(value, "message"));
    let continue_token = value.get("metadata").map(|metadata| text(metadata, "continue")).unwrap_or_default();
    status.details =
        value.get("details").map(|details| Box::new(Details { continue_token, ..Details::of(details) }));
    status
}

/// The server could not be asked: the client may try again.
fn unreachable(error: &dyn std::error::Error) -> Status {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    Status::unavailable(text)
}

const JSON: &str = "application/json";

/// A list of everything in a large cluster.
const ANSWER_BYTES_MAX: usize = 1 << 30;
/// Bytes of an answer that is no JSON, as a message.
const SHOWN_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_become_requests() {
        let pods = GroupVersionResource::new("", "v1", "pods");
        let deployments = GroupVersionResource::new("apps", "v1", "deployments");
        for (call, expected) in [
            (Call::get(&pods, "shop", "web"), "GET /api/v1/namespaces/shop/pods/web"),
            (Call::list(&deployments, ""), "GET /apis/apps/v1/deployments"),
            (Call::create(&pods, "shop", json!({})), "POST /api/v1/namespaces/shop/pods"),
            (
                Call::get(&pods, "shop", "a:b/c").at("status"),
                "GET /api/v1/namespaces/shop/pods/a%3Ab%2Fc/status",
            ),
        ] {
            let (method, path, _, _) = parts(&call);
            assert_eq!(format!("{method} {path}"), expected);
        }
    }

    #[test]
    fn refusals_come_back_as_they_were() {
        let status = Status::expired("too old resource version: 1 (5)");
        let body = status.to_value().to_string();
        let read = read(410, body.as_bytes()).unwrap_err();
        assert_eq!((read.code, read.reason, read.message), (410, "Expired", status.message));
        assert_eq!(super::read(502, b"bad gateway").unwrap_err().code, 502);
    }
}
