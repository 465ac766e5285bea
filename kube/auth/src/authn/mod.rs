//! Who asks: certificates, tokens and the headers of a front proxy become a user.
//!
//! ```text
//!  front proxy's headers ─┐
//!  client certificate  ───┼─ first that knows the user ─→ + system:authenticated
//!  bearer token  ─────────┘
//!      static · service account (bound, legacy) · bootstrap
//!  nothing at all ─→ anonymous, where allowed, + system:unauthenticated
//! ```
//!
//! A credential that is wrong is an error only if no other one is right, and never anonymous.

pub(crate) mod bootstrap_token;
mod cache;
mod error;
pub mod jwt;
mod request_header;
pub mod service_account;
mod tls;
mod x509;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use kube_object::cluster::Cluster;
use kube_object::resource::GroupResource;
use kube_object::user::User;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};

pub use error::{AuthError, TokenError};
pub use request_header::RequestHeader;
pub use tls::{TlsError, TlsMaterial, any_client_certificate, server_config};
pub use x509::{Authorities, CertificateError, Identity, identity};

use cache::Cache;
use jwt::{Unverified, VerifyingKey};

/// What a request shows of itself.
pub struct Credentials<'a> {
    /// The client's certificate and those between it and its authority.
    pub peer_certificates: &'a [CertificateDer<'a>],
    /// The token after `Authorization: Bearer`.
    pub bearer: Option<&'a str>,
    /// The headers, for a front proxy.
    pub headers: &'a dyn Headers,
    /// The path, for who may be anonymous where.
    pub path: &'a str,
    /// The audiences that a token must be for; none means the server's own.
    pub audiences: &'a [String],
}

/// The headers of a request, however its owner keeps them.
pub trait Headers {
    /// Calls with every name and value that is text, in order.
    fn each(&self, visit: &mut dyn FnMut(&str, &str));

    /// The first value of a header, whatever the case of its name.
    fn first(&self, name: &str) -> Option<&str>;
}

/// Who a request is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// The user, with `system:authenticated` or `system:unauthenticated`.
    pub user: User,
    /// The audiences that both the server and the credential name.
    pub audiences: Vec<String>,
}

/// Who is anonymous where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// Nobody is.
    Off,
    /// Everybody without credentials.
    Everywhere,
    /// Only on exactly these paths.
    Paths(Vec<String>),
}

/// A token that stands in the configuration.
#[derive(Clone)]
pub struct StaticToken {
    /// The token.
    pub token: String,
    /// Who shows it.
    pub user: User,
}

/// What an authenticator believes.
#[derive(Clone)]
pub struct Config {
    /// Who signs clients' certificates.
    pub client_authorities: Option<Authorities>,
    /// Which front proxy speaks for others.
    pub request_header: Option<RequestHeader>,
    /// Who signs service account tokens.
    pub service_account_keys: Vec<VerifyingKey>,
    /// The issuers of service account tokens; the first one makes them.
    pub issuers: Vec<String>,
    /// The audiences that this server answers to.
    pub audiences: Vec<String>,
    /// Tokens of the configuration.
    pub static_tokens: Vec<StaticToken>,
    /// Whether bootstrap tokens count.
    pub bootstrap_tokens: bool,
    /// Who is anonymous where.
    pub anonymous: Anonymous,
}

/// Finds out who asks.
pub struct Authenticator {
    cluster: Arc<dyn Cluster>,
    config: RwLock<Arc<Compiled>>,
}

/// The configuration with its tokens as hashes, and what was verified by it.
struct Compiled {
    config: Config,
    static_tokens: HashMap<cache::Key, User>,
    certificates: Cache<Arc<Authenticated>>,
    tokens: Cache<KnownToken>,
}

/// A token that was right lately.
#[derive(Clone, Debug)]
struct KnownToken {
    authenticated: Arc<Authenticated>,
    /// Secrets and service accounts, when it was looked at: deleting one ends tokens at once.
    revisions: [u64; 2],
}

impl Default for Config {
    fn default() -> Self {
        Self {
            client_authorities: None,
            request_header: None,
            service_account_keys: Vec::new(),
            issuers: Vec::new(),
            audiences: Vec::new(),
            static_tokens: Vec::new(),
            bootstrap_tokens: true,
            anonymous: Anonymous::Paths(HEALTH_PATHS.iter().map(|path| (*path).to_owned()).collect()),
        }
    }
}

impl Authenticator {
    /// Over a configuration and the cluster's accounts and secrets.
    pub fn new(config: Config, cluster: Arc<dyn Cluster>) -> Self {
        Self { cluster, config: RwLock::new(Arc::new(Compiled::new(config))) }
    }

    /// Believes something else from now on: an authority or key has been renewed.
    pub fn reconfigure(&self, config: Config) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Compiled::new(config));
    }

    /// Who asks; an error is a 401.
    pub fn authenticate(
        &self,
        credentials: &Credentials<'_>,
        now: Timestamp,
    ) -> Result<Arc<Authenticated>, AuthError> {
        let compiled = self.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        let config = &compiled.config;
        let mut wrong = Vec::new();
        if !credentials.peer_certificates.is_empty() {
            if let Some(found) = self.by_front_proxy(config, credentials, now) {
                return Ok(found);
            }
            match by_certificate(&compiled, credentials.peer_certificates, now) {
                Ok(found) => return Ok(found),
                Err(error) => wrong.push(AuthError::Certificate(error)),
            }
        }
        if let Some(token) = credentials.bearer {
            match self.by_token(&compiled, token, credentials.audiences, now) {
                Ok(found) => return Ok(found),
                Err(error) => wrong.push(AuthError::Token(error)),
            }
        }
        // A certificate that nobody asked for, as browsers and proxies send it, is no wrong one
        // where the server has no authority to compare it with.
        match wrong.pop() {
            Some(AuthError::Certificate(_)) if config.client_authorities.is_none() => {}
            Some(error) => return Err(error),
            None => {}
        }
        let anonymous = match &config.anonymous {
            Anonymous::Off => false,
            Anonymous::Everywhere => true,
            Anonymous::Paths(paths) => paths.iter().any(|path| path == credentials.path),
        };
        if anonymous { Ok(Arc::new(anonymous_user())) } else { Err(AuthError::NoCredentials) }
    }

    /// Who a token is, for `TokenReview`.
    pub fn review_token(
        &self,
        token: &str,
        audiences: &[String],
        now: Timestamp,
    ) -> Result<Arc<Authenticated>, TokenError> {
        let compiled = self.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        self.by_token(&compiled, token, audiences, now)
    }

    /// The audiences that the server answers to.
    pub fn audiences(&self) -> Vec<String> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).config.audiences.clone()
    }

    fn by_front_proxy(
        &self,
        config: &Config,
        credentials: &Credentials<'_>,
        now: Timestamp,
    ) -> Option<Arc<Authenticated>> {
        let proxy = config.request_header.as_ref()?;
        let user = proxy.user(credentials.headers)?;
        let leaf = credentials.peer_certificates.first()?;
        proxy.authorities.verify(credentials.peer_certificates, now).ok()?;
        let audiences = common(&config.audiences, credentials.audiences);
        proxy.is_proxy(leaf).then(|| Arc::new(Authenticated { user: with_authenticated(user), audiences }))
    }

    fn by_token(
        &self,
        compiled: &Compiled,
        token: &str,
        audiences: &[String],
        now: Timestamp,
    ) -> Result<Arc<Authenticated>, TokenError> {
        let config = &compiled.config;
        let hash: cache::Key = Sha256::digest(token.as_bytes()).into();
        if let Some(user) = compiled.static_tokens.get(&hash) {
            return for_any_audience(config, user.clone(), audiences);
        }
        if config.bootstrap_tokens
            && let Some(found) = bootstrap_token::authenticate(self.cluster.as_ref(), token, now)
        {
            return for_any_audience(config, found?, audiences);
        }
        let key = key_with_audiences(hash, audiences);
        let revisions = self.revisions();
        let seconds = now.as_second();
        if let Some(known) = compiled.tokens.get(&key, seconds)
            && known.revisions == revisions
        {
            return Ok(known.authenticated);
        }
        let (found, expires) = self.by_jwt(config, token, audiences, now)?;
        let authenticated = Arc::new(found);
        let until = expires.min(seconds.saturating_add(TOKEN_TRUSTED_SECONDS));
        let known = KnownToken { authenticated: authenticated.clone(), revisions };
        compiled.tokens.put(key, known, until, seconds);
        Ok(authenticated)
    }

    fn by_jwt(
        &self,
        config: &Config,
        token: &str,
        wanted: &[String],
        now: Timestamp,
    ) -> Result<(Authenticated, i64), TokenError> {
        let cluster = self.cluster.as_ref();
        let unverified = Unverified::parse(token).ok_or(TokenError::NotRecognised)?;
        let issuer = unverified.claims().get("iss").and_then(|issuer| issuer.as_str()).unwrap_or_default();
        let legacy = issuer == LEGACY_ISSUER;
        if !legacy && !config.issuers.iter().any(|known| known == issuer) {
            return Err(TokenError::NotRecognised);
        }
        let claims = unverified.verify(&config.service_account_keys).ok_or(TokenError::Signature)?;
        service_account::check_times(&claims, now)?;
        let (user, audiences) = if legacy {
            let user = service_account::legacy_user(cluster, &claims, token, now)?;
            (user, common(&config.audiences, wanted))
        } else {
            let of_token = service_account::audiences(&claims);
            let targets = if wanted.is_empty() { config.audiences.as_slice() } else { wanted };
            let audiences = common(&of_token, targets);
            if audiences.is_empty() {
                return Err(TokenError::Audience { token: of_token, targets: targets.to_vec() });
            }
            (service_account::bound_user(cluster, &claims, now)?, audiences)
        };
        let expires = claims.get("exp").and_then(|exp| exp.as_i64()).unwrap_or(i64::MAX);
        Ok((Authenticated { user: with_authenticated(user), audiences }, expires))
    }

    fn revisions(&self) -> [u64; 2] {
        ["secrets", "serviceaccounts"].map(|plural| self.cluster.changed(&GroupResource::new("", plural)))
    }
}

impl Compiled {
    fn new(config: Config) -> Self {
        let hash = |token: &StaticToken| Sha256::digest(token.token.as_bytes()).into();
        let static_tokens =
            config.static_tokens.iter().map(|token| (hash(token), token.user.clone())).collect();
        Self { config, static_tokens, certificates: Cache::new(CACHED_MAX), tokens: Cache::new(CACHED_MAX) }
    }
}

impl Headers for &[(&str, &str)] {
    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        for (name, value) in *self {
            visit(name, value);
        }
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

fn by_certificate(
    compiled: &Compiled,
    chain: &[CertificateDer<'_>],
    now: Timestamp,
) -> Result<Arc<Authenticated>, CertificateError> {
    let config = &compiled.config;
    let authorities = config.client_authorities.as_ref().ok_or(CertificateError::Authorities)?;
    let mut hasher = Sha256::new();
    for certificate in chain {
        hasher.update((certificate.len() as u64).to_be_bytes());
        hasher.update(certificate.as_ref());
    }
    let key: cache::Key = hasher.finalize().into();
    let seconds = now.as_second();
    if let Some(known) = compiled.certificates.get(&key, seconds) {
        return Ok(known);
    }
    authorities.verify(chain, now)?;
    let leaf = chain.first().ok_or(CertificateError::Malformed)?;
    let identity = identity(leaf)?;
    let found = Arc::new(Authenticated {
        user: with_authenticated(identity.user),
        audiences: config.audiences.clone(),
    });
    let until = identity.not_after.min(seconds.saturating_add(CERTIFICATE_TRUSTED_SECONDS));
    compiled.certificates.put(key, found.clone(), until, seconds);
    Ok(found)
}

/// Who shows nothing.
pub fn anonymous_user() -> Authenticated {
    let user =
        User { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..User::default() };
    Authenticated { user, audiences: Vec::new() }
}

fn with_authenticated(mut user: User) -> User {
    if !user.is_in(AUTHENTICATED) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

/// A credential that names no audience is for the server's own.
fn for_any_audience(
    config: &Config,
    user: User,
    wanted: &[String],
) -> Result<Arc<Authenticated>, TokenError> {
    let audiences = common(&config.audiences, wanted);
    if audiences.is_empty() && !wanted.is_empty() {
        return Err(TokenError::NotRecognised);
    }
    Ok(Arc::new(Authenticated { user: with_authenticated(user), audiences }))
}

/// What both name; without wishes, the first.
fn common(own: &[String], wanted: &[String]) -> Vec<String> {
    own.iter().filter(|name| wanted.is_empty() || wanted.contains(name)).cloned().collect()
}

fn key_with_audiences(hash: cache::Key, audiences: &[String]) -> cache::Key {
    if audiences.is_empty() {
        return hash;
    }
    let mut hasher = Sha256::new();
    hasher.update(hash);
    for audience in audiences {
        hasher.update((audience.len() as u64).to_be_bytes());
        hasher.update(audience);
    }
    hasher.finalize().into()
}

/// What follows a header's prefix, whatever its case.
pub(crate) fn after_prefix<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let head = name.get(..prefix.len())?;
    if head.eq_ignore_ascii_case(prefix) { name.get(prefix.len()..) } else { None }
}

/// The key of an extra in a header's name: lower case, percent-decoded.
pub(crate) fn extra_key(raw: &str) -> String {
    let raw = raw.to_ascii_lowercase();
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |byte: u8| char::from(byte).to_digit(16);
        match (*first, tail) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                let value = hex(*high).unwrap_or_default() * 16 + hex(*low).unwrap_or_default();
                bytes.push(u8::try_from(value).unwrap_or_default());
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or(raw)
}

/// Who shows nothing.
pub const ANONYMOUS: &str = "system:anonymous";
/// Everybody whom somebody knows.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Everybody whom nobody knows.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Where a load balancer asks without credentials.
pub const HEALTH_PATHS: &[&str] = &["/livez", "/readyz", "/healthz"];
/// The extra that says which credential it was.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
/// The issuer of tokens in secrets.
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";
/// Certificates and tokens that are remembered: some 2 KiB each.
const CACHED_MAX: usize = 4096;
/// As upstream: a pod or node that is deleted ends its token this much later.
const TOKEN_TRUSTED_SECONDS: i64 = 10;
/// A certificate is looked at again after this long.
const CERTIFICATE_TRUSTED_SECONDS: i64 = 300;
