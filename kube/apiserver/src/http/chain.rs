//! What every request passes before it is answered, in upstream's order: panic guard (where panics
//! unwind), request id, time-out, who asks, audit, as whom, how many at once, whether they may.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use audit::Trail;
use auth::authn::Headers;
use auth::authorizer::MASTERS;
use auth::impersonate::impersonate;
use auth::{Attributes, Credentials, ResourceAttributes};
use client::BoxFuture;
use futures_util::FutureExt as _;
use http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, HeaderValue, USER_AGENT};
use http::{HeaderMap, HeaderName, Method, Request, Response};
use hyper::body::Incoming;
use jiff::Timestamp;
use kube_object::field_selector::FieldSelector;
use kube_object::label_selector::{LabelSelector, Requirement};
use kube_object::status::Status;
use kube_object::user::User;
use rustls::pki_types::CertificateDer;

use super::audited::Audited;
use super::body::{self, Body};
use super::health::Endpoint;
use super::limits::Place;
use super::path::RequestInfo;
use super::query::Query;
use super::{Front, answer, connect, plain, verbs, warning};
use crate::fairness::{Asking, Seat, Uids};
use crate::metrics::Subject;
use crate::registry::Context;

/// How long a request may take unless it is long-running, as upstream's `--request-timeout`.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Where whoever joins finds out whom to trust, without credentials: it compares a digest in its token.
pub(super) const AUTHORITY_PATH: &str = "/cacerts";

/// The other end of a connection.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Its certificate and those behind it.
    pub certificates: Arc<[CertificateDer<'static>]>,
    /// Its address, for the log.
    pub address: String,
}

/// What a request brings along on its way.
#[derive(Clone, Copy)]
struct Course<'a> {
    /// When nobody waits for the answer any more.
    deadline: Option<Instant>,
    /// Gets what the request belongs to.
    flow: &'a OnceLock<Uids>,
    /// Gets what is recorded of the request.
    audited: &'a Audited<'a>,
    /// Gets whether there was no place for the request.
    turned_away: &'a AtomicBool,
}

/// What a request holds until it is answered.
struct Admitted {
    _seat: Option<Seat>,
    _place: Option<Place>,
}

/// A request that has passed the chain.
pub(super) struct Asked<'a> {
    pub(super) front: &'a Front,
    pub(super) info: RequestInfo,
    pub(super) query: Query,
    pub(super) context: Context,
    pub(super) request: Request<Incoming>,
    pub(super) trail: Option<Trail>,
    pub(super) id: &'a str,
}

impl Asked<'_> {
    pub(super) fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    pub(super) fn accept(&self) -> Option<&str> {
        self.headers().get(ACCEPT)?.to_str().ok()
    }
}

impl Front {
    /// Answers a request, whatever happens.
    pub fn handle(
        self: Arc<Self>,
        peer: Peer,
        request: Request<Incoming>,
    ) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async move { self.guarded(&peer, request).await })
    }

    /// The answer with what every answer has. Release builds end at a panic, as everything here may
    /// end at any time; where panics unwind, one request's is not another's.
    async fn guarded(&self, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
        let id = request_id(request.headers());
        let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).map(str::to_owned);
        let head = *request.method() == Method::HEAD;
        let (flow, audited) = (OnceLock::new(), Audited::new(self.audit.as_ref(), &id));
        let turned_away = AtomicBool::new(false);
        let course = Course { deadline: None, flow: &flow, audited: &audited, turned_away: &turned_away };
        let guarded = AssertUnwindSafe(self.measured(peer, request, course)).catch_unwind().await;
        let mut response = match guarded {
            Ok(Ok(response)) => audited.answered(response).await,
            Ok(Err(status)) => {
                audited.refused(&status).await;
                answer::status(&status, accept.as_deref())
            }
            Err(cause) => {
                self.metrics.panicked();
                audited.panicked(cause).await;
                let status = Status::internal("apiserver panic'd on the request");
                answer::status(&status, accept.as_deref())
            }
        };
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert(HeaderName::from_static("audit-id"), id);
        }
        if let Some(flow) = flow.get() {
            flow.insert(headers);
        }
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
        if head {
            *response.body_mut() = body::full("");
        }
        response
    }

    /// Parses, counts and limits the time.
    async fn measured(
        &self,
        peer: &Peer,
        request: Request<Incoming>,
        course: Course<'_>,
    ) -> Result<Response<Body>, Status> {
        let started = Instant::now();
        let (info, query) = understand(&request)?;
        if info.path == AUTHORITY_PATH && *request.method() == Method::GET {
            return Ok(answer::bytes_answer(200, "application/x-pem-file", self.authority.clone()));
        }
        let known = self.registry.kinds().resolve(&info.group, &info.version, &info.resource).is_some();
        let apply = super::decode::content_type(request.headers())
            .is_some_and(|content_type| content_type.starts_with("application/apply-patch"));
        let subject = Subject::of(&info, known, query.has("dryRun"), apply);
        let timeout = (!info.is_long_running()).then(|| timeout_of(&query));
        let deadline = timeout.map(|timeout| started + timeout);
        let work = self.pass(peer, request, info, query, Course { deadline, ..course });
        let mut late = false;
        let result = match timeout {
            Some(timeout) => {
                let timed = tokio::time::timeout(timeout, work).await;
                late = timed.is_err();
                timed.unwrap_or_else(|_| Err(timed_out()))
            }
            None => work.await,
        };
        let code = result.as_ref().map_or_else(|status| status.code, |response| response.status().as_u16());
        if late || course.turned_away.load(Ordering::Relaxed) {
            self.metrics.terminated(subject.clone(), code);
        }
        self.metrics.request(subject, code, started.elapsed());
        result
    }

    /// Who asks, as whom, and whether there is place.
    async fn pass(
        &self,
        peer: &Peer,
        mut request: Request<Incoming>,
        info: RequestInfo,
        query: Query,
        course: Course<'_>,
    ) -> Result<Response<Body>, Status> {
        let audited = course.audited;
        let headers = RequestHeaders(request.headers());
        let known = self.authenticate(peer, &headers, &info.path);
        if let Some(refusal) = audited.begin(known.as_ref().ok(), peer, &request, &info).await {
            return Ok(refusal);
        }
        let mut user = known?;
        if let Some(other) = impersonate(&headers, &user, &self.authorizer)? {
            user = other;
            audited.trail().inspect(|trail| trail.impersonated(&user));
        }
        let user_agent = text(request.headers(), USER_AGENT).unwrap_or_default().to_owned();
        let context = Context { user, user_agent, deadline: course.deadline, ..Context::default() };
        let place = self.admit(&context.user, &info, &query, course).await;
        let place = place.inspect_err(|_| course.turned_away.store(true, Ordering::Relaxed))?;
        self.permit(&context.user, &info, &query, audited.trail())?;
        let warnings = context.warnings.clone();
        let trail = audited.trail().cloned();
        let admission = trail.as_ref().map(|_| context.admission.clone());
        if let Some(trail) = trail.as_ref().filter(|_| info.is_long_running()) {
            // Where a connection outlives the answer's body.
            request.extensions_mut().insert(trail.clone());
        }
        let asked = Asked { front: self, info, query, context, request, trail, id: audited.id() };
        let result = route(asked).await;
        drop(place);
        if let (Some(trail), Some(admission)) = (audited.trail(), admission) {
            let notes = admission.take().audit_annotations;
            notes.iter().for_each(|(key, value)| trail.annotate(key, value));
        }
        let texts = warnings.take();
        match result {
            Ok(mut response) => {
                warning::add(response.headers_mut(), &texts);
                Ok(response)
            }
            Err(status) => Err(status),
        }
    }

    fn authenticate(&self, peer: &Peer, headers: &RequestHeaders<'_>, path: &str) -> Result<User, Status> {
        let credentials = Credentials {
            peer_certificates: &peer.certificates,
            bearer: bearer(headers.0),
            headers,
            path,
            audiences: &[],
        };
        let known = self.authenticator.authenticate(&credentials, Timestamp::now());
        known.map(|known| known.user.clone()).map_err(|_| Status::unauthorized())
    }

    /// A place among those that are answered at a time.
    async fn admit(
        &self,
        user: &User,
        info: &RequestInfo,
        query: &Query,
        course: Course<'_>,
    ) -> Result<Admitted, Status> {
        if let Some(fairness) = &self.fairness {
            let asking = Asking { user, info, query, deadline: course.deadline };
            let seat = fairness.enter(&asking, course.flow).await?;
            return Ok(Admitted { _seat: seat, _place: None });
        }
        match self.gate.enter(info) {
            Ok(place) => Ok(Admitted { _seat: None, _place: place }),
            // Who may do everything must be able to repair an overloaded server.
            Err(_) if user.is_in(MASTERS) => Ok(Admitted { _seat: None, _place: None }),
            Err(status) => Err(status),
        }
    }

    fn permit(
        &self,
        user: &User,
        info: &RequestInfo,
        query: &Query,
        trail: Option<&Trail>,
    ) -> Result<(), Status> {
        let selector = query.text("fieldSelector").and_then(|text| FieldSelector::parse(text).ok());
        let fields: Vec<(String, String)> = selector.iter().flat_map(equal_terms).collect();
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let selector = query.text("labelSelector").and_then(|text| LabelSelector::parse(text).ok());
        let labels: Vec<(&str, &str)> = selector.iter().flat_map(equal_labels).collect();
        let attributes = if info.is_resource {
            let resource = ResourceAttributes {
                group: &info.group,
                version: &info.version,
                resource: &info.resource,
                subresource: &info.subresource,
                namespace: &info.namespace,
                name: &info.name,
                fields: &fields,
                labels: &labels,
            };
            Attributes::of_resource(user, &info.verb, resource)
        } else {
            Attributes::of_path(user, &info.verb, &info.path)
        };
        let decision = self.authorizer.authorize(&attributes);
        if let Some(trail) = trail {
            let word = if decision.is_allowed() { "allow" } else { "forbid" };
            trail.annotate("authorization.k8s.io/decision", word);
            trail.annotate("authorization.k8s.io/reason", decision.reason().as_str());
        }
        if decision.is_allowed() { Ok(()) } else { Err(attributes.forbidden(decision.reason().as_str())) }
    }
}

fn route(asked: Asked<'_>) -> BoxFuture<'_, Result<Response<Body>, Status>> {
    if !asked.info.is_resource || asked.info.resource.is_empty() {
        return Box::pin(async move {
            let reads = matches!(*asked.request.method(), Method::GET | Method::HEAD);
            if let (true, Some((endpoint, only))) = (reads, Endpoint::of(&asked.info.path)) {
                return Ok(asked.front.health.answer(endpoint, only, &asked.query).await);
            }
            match plain::remote(&asked) {
                Some(remote) => {
                    let Asked { front, context, request, id, .. } = asked;
                    front.aggregator.serve(&remote, &context.user, identified(request, id)).await
                }
                None => plain::serve(&asked),
            }
        });
    }
    if connect::is_connect(&asked.info) {
        return Box::pin(connect::serve(asked));
    }
    Box::pin(verbs::serve(asked))
}

/// What is asked, by method, path and query.
fn understand(request: &Request<Incoming>) -> Result<(RequestInfo, Query), Status> {
    let bad = |error: super::path::InvalidPath| Status::bad_request(error.to_string());
    let mut info = RequestInfo::parse(request.method(), request.uri().path()).map_err(bad)?;
    let query = Query::parse(request.uri().query())?;
    let selector = query.text("fieldSelector").and_then(|text| FieldSelector::parse(text).ok());
    let name = selector.as_ref().and_then(|selector| {
        equal_terms(selector).into_iter().find(|(field, _)| field == "metadata.name").map(|(_, name)| name)
    });
    info.refine(query.flag("watch").unwrap_or(false), name.as_deref());
    Ok((info, query))
}

/// The `field=value` terms of a selector.
fn equal_terms(selector: &FieldSelector) -> Vec<(String, String)> {
    let equal = selector.terms().iter().filter(|term| term.equal);
    equal.map(|term| (term.field.clone(), term.value.clone())).collect()
}

fn equal_labels(selector: &LabelSelector) -> Vec<(&str, &str)> {
    let keys = selector.requirements().iter().map(Requirement::key);
    keys.filter_map(|key| Some((key, selector.exact_value(key)?))).collect()
}

fn timeout_of(query: &Query) -> Duration {
    let asked = query.text("timeout").and_then(base::parse_duration).filter(|asked| !asked.is_zero());
    asked.map_or(TIMEOUT, |asked| asked.min(TIMEOUT))
}

fn timed_out() -> Status {
    Status::timeout("Timeout: request did not complete within the allotted timeout", 0)
}

/// Gives a request that another server answers the id that it has here.
pub(super) fn identified(mut request: Request<Incoming>, id: &str) -> Request<Incoming> {
    if let Ok(id) = HeaderValue::from_str(id) {
        request.headers_mut().insert(HeaderName::from_static("audit-id"), id);
    }
    request
}

/// The client's own id, as it is, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get("audit-id").and_then(|id| id.to_str().ok());
    match given.filter(|id| !id.is_empty()) {
        Some(id) => id.to_owned(),
        None => fresh_id(),
    }
}

/// An id in the form of a UUID. It tells requests apart in logs; nothing depends on its being
/// unguessable.
pub(crate) fn fresh_id() -> String {
    let number = || RandomState::new().build_hasher().finish();
    let bits = u128::from(number()) << 64 | u128::from(number());
    let bits = bits & !(0xf << 76) | 4 << 76;
    let bits = bits & !(0x3 << 62) | 2 << 62;
    let hex = format!("{bits:032x}");
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The token of `Authorization: Bearer`, or of a WebSocket's sub-protocol, which is how browsers
/// must send it.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text(headers, AUTHORIZATION)?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

struct RequestHeaders<'a>(&'a HeaderMap);

impl Headers for RequestHeaders<'_> {
    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        for (name, value) in self.0 {
            // None may go unseen: who asks to be another must not stay who they are because
            // the name is not ASCII.
            visit(name.as_str(), &String::from_utf8_lossy(value.as_bytes()));
        }
    }

    fn first(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.0.get(name)?.as_bytes()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_tokens() {
        let mut headers = HeaderMap::new();
        assert_eq!(bearer(&headers), None);
        for (value, token) in
            [("Bearer abc", Some("abc")), ("bearer  x ", Some("x")), ("Basic x", None), ("Bearer ", None)]
        {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            assert_eq!(bearer(&headers), token, "{value}");
        }
    }
}
