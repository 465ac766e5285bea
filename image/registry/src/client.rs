//! The client: a registry's hosts in order, logins, retries.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use oci_spec::Reference;

use crate::auth::{Challenge, CredentialSource, Scope, Session};
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::error::{Error, Operation};
use crate::failure::{self, Subject};
use crate::hosts::HostsError;
use crate::transport::{Response, Transport};
use crate::url::Origin;
use crate::wire::{Call, Private, Wire, asked_wait, is_transient};

/// A client of any number of registries. Clones share connections and tokens.
///
/// Its methods need a tokio runtime with I/O and time. Dropping a future cancels
/// the request.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    wire: Wire,
    registries: Mutex<HashMap<String, Arc<[Arc<Host>]>>>,
}

/// An endpoint and what was learnt about it.
pub(crate) struct Host {
    pub(crate) endpoint: Endpoint,
    headers: HeaderMap,
    session: Session,
    /// The registry that it serves, as references name it.
    pub(crate) registry: String,
    /// TLS failed and plain HTTP was allowed.
    plain: AtomicBool,
}

impl Client {
    /// A client with these settings. No connection is made yet.
    pub fn new(config: Config) -> Self {
        let user_agent =
            HeaderValue::try_from(&config.user_agent).unwrap_or_else(|_| HeaderValue::from_static("strake"));
        let wire = Wire::new(Transport::new(config.timeouts), user_agent, config.retry);
        Self { inner: Arc::new(Inner { config, wire, registries: Mutex::default() }) }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The hosts of `registry` that may do `operation`, best first.
    pub(crate) fn hosts(
        &self,
        registry: &str,
        operation: Operation,
        by_tag: bool,
    ) -> Result<Vec<Arc<Host>>, Error> {
        let all = self.all_hosts(registry)?;
        let able: Vec<_> = all.iter().filter(|host| host.endpoint.can(operation, by_tag)).cloned().collect();
        if able.is_empty() {
            return Err(Error::NoHost { registry: registry.to_owned(), operation });
        }
        Ok(able)
    }

    fn all_hosts(&self, registry: &str) -> Result<Arc<[Arc<Host>]>, Error> {
        let mut known = self.inner.registries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hosts) = known.get(registry) {
            return Ok(Arc::clone(hosts));
        }
        let endpoints = self.inner.config.hosts.endpoints(registry)?;
        let credentials = &self.inner.config.credentials;
        let hosts: Arc<[_]> = endpoints
            .into_iter()
            .map(|endpoint| Arc::new(Host::new(endpoint, registry, credentials)))
            .collect();
        known.insert(registry.to_owned(), Arc::clone(&hosts));
        Ok(hosts)
    }

    /// The registry's own host with credentials of the caller's, for a login.
    pub(crate) fn host_with(
        &self,
        registry: &str,
        credentials: &Arc<dyn CredentialSource>,
    ) -> Result<Host, Error> {
        let endpoints = self.inner.config.hosts.endpoints(registry)?;
        let own = endpoints.into_iter().find(|endpoint| !endpoint.mirror);
        let own = own.ok_or_else(|| HostsError::Name { registry: registry.to_owned() })?;
        Ok(Host::new(own, registry, credentials))
    }

    /// Asks each of `hosts` until one answers. The error is that of the last: the
    /// registry's own host, which every mirror only stands in for.
    pub(crate) async fn first<T>(
        &self,
        hosts: &[Arc<Host>],
        ask: impl AsyncFn(&Arc<Host>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (last, mirrors) = hosts.split_last().expect("`hosts` gives at least one");
        for host in mirrors {
            match ask(host).await {
                Ok(answer) => return Ok(answer),
                Err(error @ (Error::Hosts(_) | Error::Credentials(_) | Error::Source { .. })) => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        ask(last).await
    }

    /// Sends a request to `host` with what it needs to trust us, and repeats it
    /// while that helps. Any status that is not a success is an error.
    pub(crate) async fn request(
        &self,
        host: &Host,
        scope: &Scope,
        operation: Operation,
        subject: &Subject,
        make: impl Fn(&Uri) -> Call,
    ) -> Result<Response, Error> {
        let mut attempt = 1;
        loop {
            let outcome = self.attempt(host, scope, &make).await;
            let (error, asked) = match outcome {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => {
                    let asked = asked_wait(&response);
                    let transient = is_transient(response.status());
                    let error = failure::error_of(response, operation, subject, &host.registry).await;
                    if !transient {
                        return Err(error);
                    }
                    (error, asked)
                }
                Err(error) if error.is_transient() => (error, None),
                Err(error) => return Err(error),
            };
            if !self.wait(attempt, asked).await {
                return Err(error);
            }
            attempt += 1;
        }
    }

    /// Waits before another attempt; false when there were enough.
    pub(crate) async fn wait(&self, attempt: u32, asked: Option<std::time::Duration>) -> bool {
        self.inner.wire.wait(attempt, asked).await
    }

    /// One attempt, with a login when the host asks for one.
    pub(crate) async fn attempt(
        &self,
        host: &Host,
        scope: &Scope,
        make: &impl Fn(&Uri) -> Call,
    ) -> Result<Response, Error> {
        let wire = &self.inner.wire;
        let mut authorization = host.session.authorization(scope, wire, host.is_plain()).await?;
        let mut logins = 0;
        loop {
            let response = self.send(host, authorization.clone(), make).await?;
            if response.status() != StatusCode::UNAUTHORIZED || logins == LOGINS_MAX {
                return Ok(response);
            }
            let challenges: Vec<Challenge> = response
                .head
                .headers
                .get_all(header::WWW_AUTHENTICATE)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(Challenge::parse)
                .collect();
            let answer =
                host.session.answer(challenges, authorization.as_ref(), scope, wire, host.is_plain()).await?;
            if answer.is_none() {
                return Ok(response);
            }
            response.drain().await;
            authorization = answer;
            logins += 1;
        }
    }

    async fn send(
        &self,
        host: &Host,
        authorization: Option<HeaderValue>,
        make: &impl Fn(&Uri) -> Call,
    ) -> Result<Response, Error> {
        loop {
            let base = host.base();
            let origin =
                Origin::of(&base).ok_or_else(|| HostsError::Name { registry: host.registry.clone() })?;
            let authorization = authorization.clone();
            let private =
                Private { origin: &origin, tls: &host.endpoint.tls, authorization, headers: &host.headers };
            let outcome = self.inner.wire.send(&make(&base), &private).await;
            match outcome {
                Err(error) if origin.https && host.may_fall_back(&error) => {
                    host.plain.store(true, Ordering::Relaxed);
                }
                other => return other,
            }
        }
    }
}

/// A token may have expired on its way, and a second challenge may name another scope.
const LOGINS_MAX: u32 = 2;

impl Host {
    fn new(endpoint: Endpoint, registry: &str, credentials: &Arc<dyn CredentialSource>) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in &endpoint.headers {
            // Both were checked when they were read.
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.append(name, value);
            }
        }
        // A mirror must not get the credentials of the registry that it mirrors.
        let identity = if endpoint.mirror { endpoint.host() } else { registry.to_owned() };
        let session = Session::new(&identity, Arc::clone(credentials));
        Self { endpoint, headers, session, registry: registry.to_owned(), plain: AtomicBool::new(false) }
    }

    /// The address of the API.
    pub(crate) fn base(&self) -> Uri {
        if !self.plain.load(Ordering::Relaxed) {
            return self.endpoint.base.clone();
        }
        let text = self.endpoint.base.to_string().replacen("https://", "http://", 1);
        text.parse().unwrap_or_else(|_| self.endpoint.base.clone())
    }

    fn is_plain(&self) -> bool {
        self.base().scheme_str() == Some("http")
    }

    fn may_fall_back(&self, error: &Error) -> bool {
        let no_tls = match error {
            Error::Tls { .. } => true,
            // Nothing listens on 443, but perhaps on 80.
            Error::Unreachable { .. } => self.endpoint.base.port().is_none(),
            _ => false,
        };
        // A parallel request may have fallen back meanwhile: this one follows.
        no_tls && self.endpoint.plain_http_fallback
    }

    /// The address of `path` below the API, with the mirror's `ns` parameter.
    pub(crate) fn address(&self, base: &Uri, path: &str) -> Uri {
        let mut text = format!("{base}{path}");
        if self.endpoint.mirror {
            text.push(if text.contains('?') { '&' } else { '?' });
            text.push_str("ns=");
            text.push_str(&crate::url::encode(&self.registry));
        }
        text.parse().unwrap_or_else(|_| base.clone())
    }

    pub(crate) fn name(&self) -> String {
        self.endpoint.host()
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

/// The scope of reading `reference`'s repository.
pub(crate) fn pull_scope(reference: &Reference) -> Scope {
    Scope::Pull(reference.path().to_owned())
}
