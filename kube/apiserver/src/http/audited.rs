//! The audit log's place in the chain: behind authentication, before everybody else, and around the
//! answer. Without a policy nothing here does anything.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use audit::{Asked, Audit, Request as Came, Resource, ResponseStatus, Trail};
use bytes::Bytes;
use http::header::{HeaderName, USER_AGENT};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use jiff::Timestamp;
use kube_object::status::Status;
use kube_object::user::User;

use super::answer;
use super::body::{Body, BodyError};
use super::chain::Peer;
use super::path::RequestInfo;

/// A request's record, from when somebody is known to ask.
pub(super) struct Audited<'a> {
    audit: Option<&'a Arc<Audit>>,
    id: &'a str,
    received: Option<Timestamp>,
    trail: OnceLock<Trail>,
}

impl<'a> Audited<'a> {
    /// A request that has just come.
    pub(super) fn new(audit: Option<&'a Arc<Audit>>, id: &'a str) -> Self {
        let received = audit.map(|_| Timestamp::now());
        Self { audit, id, received, trail: OnceLock::new() }
    }

    /// What all events of the request have in common.
    pub(super) fn id(&self) -> &str {
        self.id
    }

    /// The record, if there is one.
    pub(super) fn trail(&self) -> Option<&Trail> {
        self.trail.get()
    }

    /// Somebody asks, or nobody whom the server knows. The answer is a refusal: the request must
    /// not go on unrecorded.
    pub(super) async fn begin(
        &self,
        user: Option<&User>,
        peer: &Peer,
        request: &Request<Incoming>,
        info: &RequestInfo,
    ) -> Option<Response<Body>> {
        let audit = self.audit?;
        let trail = audit.begin(&asked(user, info), || Came {
            audit_id: self.id.to_owned(),
            uri: uri(request),
            source_ips: source_ips(request.headers(), &peer.address),
            user_agent: text(request.headers(), &USER_AGENT).unwrap_or_default().to_owned(),
            received: self.received.unwrap_or_else(Timestamp::now),
            long_running: info.is_long_running(),
        })?;
        let trail = self.trail.get_or_init(|| trail);
        if trail.received().await {
            return None;
        }
        audit.rejected();
        let words = format!("Internal Server Error: {:?}: failed to store audit event\n", uri(request));
        Some(answer::text(500, words))
    }

    /// The request is answered: recorded before the client hears of it, but for the end of an answer
    /// that takes long.
    pub(super) async fn answered(self, response: Response<Body>) -> Response<Body> {
        let Some(trail) = self.trail.into_inner() else { return response };
        trail.answered(response.status().as_u16()).await;
        if trail.has_ended() {
            return response;
        }
        response.map(|body| Held { body, _trail: trail }.boxed_unsync())
    }

    /// The request is refused.
    pub(super) async fn refused(self, status: &Status) {
        let Some(trail) = self.trail.into_inner() else { return };
        trail.response_status(ResponseStatus::from(status));
        if trail.wants_response() {
            trail.response_object(&status.to_value());
        }
        trail.answered(status.code).await;
        trail.complete().await;
    }

    /// Its handler broke.
    pub(super) async fn panicked(self, cause: Box<dyn Any + Send>) {
        let Some(trail) = self.trail.into_inner() else { return };
        let words = match cause.downcast::<String>() {
            Ok(words) => *words,
            Err(cause) => cause.downcast_ref::<&str>().copied().unwrap_or("unknown cause").to_owned(),
        };
        trail.panicked(&words).await;
    }
}

/// A body, and the record that ends with it.
struct Held {
    body: Body,
    _trail: Trail,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn asked<'a>(user: Option<&'a User>, info: &'a RequestInfo) -> Asked<'a> {
    let resource = info.is_resource.then_some(Resource {
        group: &info.group,
        version: &info.version,
        resource: &info.resource,
        subresource: &info.subresource,
        namespace: &info.namespace,
        name: &info.name,
    });
    Asked { user, verb: &info.verb, path: &info.path, resource }
}

fn uri(request: &Request<Incoming>) -> String {
    request.uri().path_and_query().map_or("/", |uri| uri.as_str()).to_owned()
}

/// The proxies' word first, then who really is at the other end.
fn source_ips(headers: &HeaderMap, peer: &str) -> Vec<IpAddr> {
    let header = |name| text(headers, &HeaderName::from_static(name)).unwrap_or_default();
    let parsed = |text: &str| text.trim().parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    let mut ips: Vec<IpAddr> = header("x-forwarded-for").split(',').filter_map(parsed).collect();
    if let Some(real) = parsed(header("x-real-ip")).filter(|real| !ips.contains(real)) {
        ips.push(real);
    }
    let peer = peer.parse::<SocketAddr>().ok().map(|peer| peer.ip().to_canonical());
    if let Some(peer) = peer.filter(|peer| ips.last() != Some(peer)) {
        ips.push(peer);
    }
    ips
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_where_a_request_comes_from() {
        for (forwarded, real, peer, expected) in [
            ("", "", "10.0.0.9:4711", "10.0.0.9"),
            ("", "", "[::ffff:10.0.0.9]:4711", "10.0.0.9"),
            ("1.1.1.1, nobody,2.2.2.2", "", "10.0.0.9:1", "1.1.1.1 2.2.2.2 10.0.0.9"),
            ("1.1.1.1", "1.1.1.1", "10.0.0.9:1", "1.1.1.1 10.0.0.9"),
            ("1.1.1.1", "3.3.3.3", "3.3.3.3:1", "1.1.1.1 3.3.3.3"),
            ("", "x", "[fd00::1]:1", "fd00::1"),
            ("", "", "", ""),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [("x-forwarded-for", forwarded), ("x-real-ip", real)] {
                if !value.is_empty() {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            let found: Vec<String> = source_ips(&headers, peer).iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), expected);
        }
    }
}
