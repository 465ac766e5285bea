//! One host's challenge, the credentials for it and the tokens got with them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{Challenge, Credential, CredentialSource, Secret};
use crate::endpoint::Tls;
use crate::error::Error;
use crate::failure;
use crate::transport::{Payload, Response};
use crate::url::{Origin, form, with_query};
use crate::wire::{Call, Private, Wire, asked_wait, is_transient};

/// What a token allows (distribution `auth/scope.md`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// Nothing but being someone.
    Nothing,
    /// Reading a repository.
    Pull(String),
    /// Reading and writing a repository; perhaps mounting blobs of another.
    Push { repository: String, mount_from: Option<String> },
}

/// A token server that names no lifetime means this one (`auth/token.md`).
const LIFETIME_DEFAULT: Duration = Duration::from_secs(60);
/// A token is renewed so long before its end that a request made now still counts.
const MARGIN: Duration = Duration::from_secs(10);
/// OAuth2 wants a name of the client's.
const CLIENT_ID: &str = "strake";
const TOKEN_BYTES_MAX: u64 = 1 << 20;

impl Scope {
    fn texts(&self) -> Vec<String> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Pull(repository) => vec![format!("repository:{repository}:pull")],
            Self::Push { repository, mount_from } => {
                let mut texts = vec![format!("repository:{repository}:pull,push")];
                texts.extend(mount_from.iter().map(|from| format!("repository:{from}:pull")));
                texts
            }
        }
    }

    /// What to ask a token server for. A registry behind a prefix knows its
    /// repositories by other names, so for reading its own words are taken.
    fn request(&self, named: Option<&str>) -> Vec<String> {
        let named: Vec<String> = named.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        if matches!(self, Self::Pull(_)) && !named.is_empty() {
            return named;
        }
        let mut texts = self.texts();
        texts.extend(named.into_iter().filter(|text| !self.texts().contains(text)));
        texts
    }
}

pub(crate) struct Session {
    /// Whose credentials to show.
    registry: String,
    credentials: Arc<dyn CredentialSource>,
    /// Held while a token is fetched, so that parallel requests fetch one, not many.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    challenge: Option<Challenge>,
    credential: Option<Option<Credential>>,
    tokens: HashMap<Scope, Token>,
}

struct Token {
    authorization: HeaderValue,
    expires: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    expires_in: Option<u64>,
}

/// Where tokens of a challenge come from.
struct Realm<'a> {
    uri: &'a Uri,
    service: Option<&'a str>,
    scopes: Vec<String>,
}

impl Session {
    pub(crate) fn new(registry: &str, credentials: Arc<dyn CredentialSource>) -> Self {
        Self { registry: registry.to_owned(), credentials, state: Mutex::default() }
    }

    /// What to send before the host has asked: what it asked for last time.
    pub(crate) async fn authorization(
        &self,
        scope: &Scope,
        wire: &Wire,
        plain: bool,
    ) -> Result<Option<HeaderValue>, Error> {
        let mut state = self.state.lock().await;
        let Some(challenge) = state.challenge.clone() else { return Ok(None) };
        if let Some(token) = state.tokens.get(scope).filter(|token| token.expires > Instant::now()) {
            return Ok(Some(token.authorization.clone()));
        }
        self.respond(&mut state, &challenge, scope, wire, plain).await
    }

    /// What to send after the host refused `rejected`; `None` when there is nothing else.
    pub(crate) async fn answer(
        &self,
        challenges: Vec<Challenge>,
        rejected: Option<&HeaderValue>,
        scope: &Scope,
        wire: &Wire,
        plain: bool,
    ) -> Result<Option<HeaderValue>, Error> {
        let mut state = self.state.lock().await;
        let current = state.tokens.get(scope).map(|token| token.authorization.clone());
        if current.is_some() && current.as_ref() != rejected {
            return Ok(current);
        }
        let bearer = challenges.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
        let Some(challenge) = bearer.or(challenges.first()).cloned() else { return Ok(None) };
        state.challenge = Some(challenge.clone());
        state.tokens.remove(scope);
        let answer = self.respond(&mut state, &challenge, scope, wire, plain).await?;
        Ok(answer.filter(|answer| Some(answer) != rejected))
    }

    /// The header that meets `challenge`, with a new token if it wants one.
    async fn respond(
        &self,
        state: &mut State,
        challenge: &Challenge,
        scope: &Scope,
        wire: &Wire,
        plain: bool,
    ) -> Result<Option<HeaderValue>, Error> {
        if state.credential.is_none() {
            state.credential = Some(self.credentials.lookup(&self.registry)?);
        }
        let credential = state.credential.clone().flatten();
        let (realm, service, named) = match challenge {
            Challenge::Basic => return Ok(credential.as_ref().and_then(basic)),
            Challenge::Bearer { realm, service, scope, .. } => (realm, service, scope),
        };
        if let Some(Credential::Bearer(token)) = &credential {
            return Ok(bearer(token.expose()));
        }
        let uri: Uri =
            realm.parse().ok().filter(|uri| Origin::of(uri).is_some()).ok_or_else(|| Error::Protocol {
                host: self.registry.clone(),
                what: format!("its token server's address {realm:?} is not an HTTP address"),
            })?;
        // A password does not leave TLS because a header says so.
        if credential.is_some() && !plain && uri.scheme_str() == Some("http") {
            return Err(Error::Protocol {
                host: self.registry.clone(),
                what: format!(
                    "it wants the credentials sent in plain HTTP to {}",
                    uri.host().unwrap_or_default()
                ),
            });
        }
        let realm = Realm { uri: &uri, service: service.as_deref(), scopes: scope.request(named.as_deref()) };
        let (token, lifetime) = self.fetch(&realm, credential.as_ref(), wire).await?;
        let Some(authorization) = bearer(token.expose()) else { return Ok(None) };
        let expires = Instant::now() + lifetime.saturating_sub(MARGIN);
        state.tokens.insert(scope.clone(), Token { authorization: authorization.clone(), expires });
        Ok(Some(authorization))
    }

    async fn fetch(
        &self,
        realm: &Realm<'_>,
        credential: Option<&Credential>,
        wire: &Wire,
    ) -> Result<(Secret, Duration), Error> {
        let mut response = match credential {
            Some(Credential::Identity(token)) => {
                let grant = [("grant_type", "refresh_token"), ("refresh_token", token.expose())];
                self.post(realm, &grant, wire).await?
            }
            other => {
                let response = self.get(realm, other.and_then(basic), user_of(other), wire).await?;
                match (response.status(), other) {
                    // OAuth2 servers take only POST.
                    (
                        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED,
                        Some(Credential::Basic { username, password }),
                    ) => {
                        response.drain().await;
                        let grant = [
                            ("grant_type", "password"),
                            ("username", username),
                            ("password", password.expose()),
                        ];
                        self.post(realm, &grant, wire).await?
                    }
                    _ => response,
                }
            }
        };
        if !response.status().is_success() {
            return Err(self.refusal(response, credential.is_some()).await);
        }
        let host = response.host();
        let text = response.bytes(TOKEN_BYTES_MAX, "token").await?;
        // The parser's text could quote the token.
        let malformed = || Error::Protocol {
            host: host.clone(),
            what: "its token server's answer has no token".to_owned(),
        };
        let answer: TokenAnswer = serde_json::from_slice(&text).map_err(|_| malformed())?;
        let lifetime = answer.expires_in.map_or(LIFETIME_DEFAULT, |seconds| {
            // Shorter lifetimes are not believed, as the specification says.
            Duration::from_secs(seconds.clamp(60, 24 * 3600))
        });
        let token = if answer.token.is_empty() { answer.access_token } else { answer.token };
        if token.is_empty() { Err(malformed()) } else { Ok((Secret::new(token), lifetime)) }
    }

    async fn get(
        &self,
        realm: &Realm<'_>,
        authorization: Option<HeaderValue>,
        user: Option<&str>,
        wire: &Wire,
    ) -> Result<Response, Error> {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        pairs.extend(realm.service.map(|service| ("service", service)));
        pairs.extend(realm.scopes.iter().map(|scope| ("scope", scope.as_str())));
        pairs.extend(user.map(|user| ("account", user)));
        pairs.push(("client_id", CLIENT_ID));
        let uri = with_query(realm.uri, &pairs).unwrap_or_else(|| realm.uri.clone());
        self.send(&Call::new(Method::GET, uri), authorization, wire).await
    }

    async fn post(&self, realm: &Realm<'_>, grant: &[(&str, &str)], wire: &Wire) -> Result<Response, Error> {
        let scopes = realm.scopes.join(" ");
        let mut pairs = grant.to_vec();
        pairs.push(("client_id", CLIENT_ID));
        pairs.extend(realm.service.map(|service| ("service", service)));
        if !scopes.is_empty() {
            pairs.push(("scope", &scopes));
        }
        let call = Call::new(Method::POST, realm.uri.clone())
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .secret_body(Payload::Bytes(form(&pairs).into()));
        self.send(&call, None, wire).await
    }

    /// A token request, repeated while the server is overloaded.
    async fn send(
        &self,
        call: &Call,
        authorization: Option<HeaderValue>,
        wire: &Wire,
    ) -> Result<Response, Error> {
        let origin = Origin::of(&call.uri).ok_or_else(|| Error::Protocol {
            host: self.registry.clone(),
            what: "it has no token server".to_owned(),
        })?;
        let private =
            Private { origin: &origin, tls: &Tls::default(), authorization, headers: &HeaderMap::new() };
        let mut attempt = 1;
        loop {
            let (outcome, asked) = match wire.send(call, &private).await {
                Ok(response) if is_transient(response.status()) => {
                    let asked = asked_wait(&response);
                    (Ok(response), asked)
                }
                Err(error) if error.is_transient() => (Err(error), None),
                other => return other,
            };
            if !wire.wait(attempt, asked).await {
                return outcome;
            }
            attempt += 1;
        }
    }

    async fn refusal(&self, response: Response, with_credential: bool) -> Error {
        let status = response.status();
        let asked = asked_wait(&response);
        let host = self.registry.clone();
        let detail = failure::detail(response).await;
        match status {
            StatusCode::TOO_MANY_REQUESTS => Error::RateLimited { host, retry_after: asked },
            status if status.is_server_error() => Error::Server { host, status: status.as_u16(), detail },
            _ if with_credential => Error::BadLogin { host, detail },
            _ => Error::Unauthorized {
                login_host: host.clone(),
                host,
                operation: crate::error::Operation::Pull,
                object: "anything anonymously".to_owned(),
                detail,
            },
        }
    }
}

fn user_of(credential: Option<&Credential>) -> Option<&str> {
    match credential {
        Some(Credential::Basic { username, .. }) => Some(username),
        _ => None,
    }
}

fn basic(credential: &Credential) -> Option<HeaderValue> {
    match credential {
        Credential::Basic { username, password } => {
            sensitive(&format!("Basic {}", BASE64.encode(format!("{username}:{}", password.expose()))))
        }
        Credential::Bearer(token) => bearer(token.expose()),
        Credential::Identity(_) => None,
    }
}

fn bearer(token: &str) -> Option<HeaderValue> {
    sensitive(&format!("Bearer {token}"))
}

/// A header value that `Debug` does not print.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_the_right_scopes() {
        let pull = Scope::Pull("a/b".into());
        assert_eq!(pull.request(None), ["repository:a/b:pull"]);
        assert_eq!(pull.request(Some("repository:proxy/a/b:pull")), ["repository:proxy/a/b:pull"]);
        let push = Scope::Push { repository: "a".into(), mount_from: Some("c".into()) };
        assert_eq!(
            push.request(Some("repository:a:pull,push")),
            ["repository:a:pull,push", "repository:c:pull"]
        );
        assert_eq!(Scope::Nothing.request(None), Vec::<String>::new());
    }

    #[test]
    fn headers_do_not_show_secrets() {
        let credential = Credential::Basic { username: "ann".into(), password: Secret::new("hunter2") };
        let value = basic(&credential).unwrap();
        assert_eq!(value, "Basic YW5uOmh1bnRlcjI=");
        assert!(!format!("{value:?}").contains("YW5u"));
        assert!(bearer("a\nb").is_none());
    }
}
