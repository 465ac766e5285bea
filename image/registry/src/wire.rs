//! A request with its redirects, and the waits between attempts.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};

use crate::endpoint::Tls;
use crate::error::Error;
use crate::retry::{RetryPolicy, retry_after};
use crate::transport::{Payload, Response, Route, Transport};
use crate::url::{Origin, join};

/// As many as browsers follow at the least (Fetch standard: 20; registries need two).
const REDIRECTS_MAX: usize = 10;

/// One request, which may be sent several times.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
    /// The payload has credentials: it must not follow a redirect to another host.
    pub(crate) secret: bool,
}

impl Call {
    pub(crate) fn new(method: Method, uri: Uri) -> Self {
        Self { method, uri, headers: HeaderMap::new(), payload: Payload::Empty, secret: false }
    }

    pub(crate) fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    pub(crate) fn body(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    pub(crate) fn secret_body(self, payload: Payload) -> Self {
        Self { secret: true, ..self.body(payload) }
    }
}

/// What belongs to one host only and must not follow a redirect to another.
pub(crate) struct Private<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) tls: &'a Tls,
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) headers: &'a HeaderMap,
}

pub(crate) struct Wire {
    transport: Arc<Transport>,
    user_agent: HeaderValue,
    retry: RetryPolicy,
    draws: AtomicU64,
    randomness: RandomState,
}

impl Wire {
    pub(crate) fn new(transport: Transport, user_agent: HeaderValue, retry: RetryPolicy) -> Self {
        let transport = Arc::new(transport);
        Self { transport, user_agent, retry, draws: AtomicU64::new(0), randomness: RandomState::new() }
    }

    /// Sends `call` and follows redirects. A host that we are redirected to learns
    /// nothing that is private to the first.
    pub(crate) async fn send(&self, call: &Call, private: &Private<'_>) -> Result<Response, Error> {
        let mut uri = call.uri.clone();
        let mut hops = 0;
        loop {
            let response = self.once(call, &uri, private).await?;
            let Some(target) = redirect_of(&response) else { return Ok(response) };
            let host = response.host();
            let broken = |what: String| Error::Protocol { host: host.clone(), what };
            hops += 1;
            if hops > REDIRECTS_MAX {
                return Err(broken(format!("it redirects more than {REDIRECTS_MAX} times")));
            }
            let next = join(&uri, target).filter(|next| Origin::of(next).is_some());
            let next = next
                .ok_or_else(|| broken("it redirects to something that is not an HTTP address".to_owned()))?;
            if uri.scheme_str() == Some("https") && next.scheme_str() == Some("http") {
                return Err(broken(format!(
                    "it redirects from TLS to plain HTTP ({})",
                    next.host().unwrap_or_default()
                )));
            }
            if call.secret && Origin::of(&next).as_ref() != Some(private.origin) {
                return Err(broken(format!(
                    "it redirects a request that has credentials to another host ({})",
                    next.host().unwrap_or_default()
                )));
            }
            uri = next;
            response.drain().await;
        }
    }

    async fn once(&self, call: &Call, uri: &Uri, private: &Private<'_>) -> Result<Response, Error> {
        let what = || "an address of it cannot be used".to_owned();
        let origin =
            Origin::of(uri).ok_or_else(|| Error::Protocol { host: uri.to_string(), what: what() })?;
        let home = origin == *private.origin;
        let mut request = Request::builder().method(call.method.clone()).uri(uri.clone());
        if let Some(headers) = request.headers_mut() {
            headers.extend(call.headers.clone());
            if home {
                headers.extend(private.headers.clone());
                if let Some(authorization) = &private.authorization {
                    headers.insert(header::AUTHORIZATION, authorization.clone());
                }
            }
        }
        let host = origin.authority();
        let request =
            request.body(call.payload.clone()).map_err(|_| Error::Protocol { host, what: what() })?;
        // A registry on the same host name, as behind one certificate, shares its TLS settings.
        let tls = if origin.host == private.origin.host { private.tls.clone() } else { Tls::default() };
        self.transport.send(&Route { origin, tls }, request, &self.user_agent).await
    }

    /// Waits before the attempt after `attempt`; false when there is to be none.
    pub(crate) async fn wait(&self, attempt: u32, asked: Option<Duration>) -> bool {
        let draw = self.randomness.hash_one(self.draws.fetch_add(1, Ordering::Relaxed));
        let Some(delay) = self.retry.delay(attempt, asked, draw) else { return false };
        tokio::time::sleep(delay).await;
        true
    }
}

/// Whether a status is worth another attempt.
pub(crate) fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// What `Retry-After` asks for.
pub(crate) fn asked_wait(response: &Response) -> Option<Duration> {
    retry_after(response.header(header::RETRY_AFTER)?, SystemTime::now())
}

fn redirect_of(response: &Response) -> Option<&str> {
    let follows = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    response.header(header::LOCATION).filter(|_| follows)
}
