//! Who asks, and whether they may: the cluster's authority for certificates, the API for tokens and
//! permissions. Nobody is anonymous.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use auth::authn::{Authorities, CertificateError, identity};
use client::{Api, Call};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use kube_object::resource::GroupVersionResource;
use kube_object::user::User;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::answer::Refusal;

/// How long an answer of the API counts; upstream's.
const TOKEN_LIFETIME: Duration = Duration::from_secs(120);
const ALLOWED_LIFETIME: Duration = Duration::from_secs(300);
const REFUSED_LIFETIME: Duration = Duration::from_secs(30);
/// Answers that are remembered.
const ANSWERS_MAX: usize = 1000;
/// Members are allowed everything, always.
const MASTERS: &str = "system:masters";

/// The other end of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    pub(super) certificates: Arc<[CertificateDer<'static>]>,
}

/// Access cannot be decided with what is given.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The authorities cannot be read.
    #[error("the cluster's authority for clients")]
    Authorities(#[source] CertificateError),
}

/// Decides who may ask what.
pub struct Access {
    api: Arc<dyn Api>,
    authorities: Mutex<(Vec<u8>, Authorities)>,
    newest: watch::Receiver<Vec<u8>>,
    users: Mutex<Answers<String, Option<User>>>,
    decisions: Mutex<Answers<Question, bool>>,
}

type Question = (String, Vec<String>, String, &'static str, &'static str);

impl Access {
    /// Clients show certificates of `authorities` (PEM, the newest counts), or tokens.
    pub fn new(api: Arc<dyn Api>, authorities: watch::Receiver<Vec<u8>>) -> Result<Self, AccessError> {
        let pem = authorities.borrow().clone();
        let parsed = Authorities::from_pem(&pem).map_err(AccessError::Authorities)?;
        Ok(Self {
            api,
            authorities: Mutex::new((pem, parsed)),
            newest: authorities,
            users: Mutex::default(),
            decisions: Mutex::default(),
        })
    }

    fn authorities(&self) -> Authorities {
        let mut known = self.authorities.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = self.newest.borrow();
        if *newest != known.0
            && let Ok(parsed) = Authorities::from_pem(&newest)
        {
            *known = (newest.clone(), parsed);
        }
        known.1.clone()
    }

    /// Who asks.
    pub(super) async fn identify(&self, peer: &Peer, headers: &HeaderMap) -> Result<User, Refusal> {
        if let Some(leaf) = peer.certificates.first()
            && self.authorities().verify(&peer.certificates, Timestamp::now()).is_ok()
            && let Ok(found) = identity(leaf)
        {
            let mut user = found.user;
            user.groups.push("system:authenticated".to_owned());
            return Ok(user);
        }
        let unauthorized = || Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized");
        let token = bearer(headers).ok_or_else(unauthorized)?;
        self.review_token(token).await?.ok_or_else(unauthorized)
    }

    async fn review_token(&self, token: &str) -> Result<Option<User>, Refusal> {
        if let Some(known) = lock(&self.users).get(token) {
            return Ok(known);
        }
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token},
        });
        let answer = self.ask("authentication.k8s.io", "tokenreviews", review).await?;
        let status = answer.get("status");
        let known = status.and_then(|status| status.get("authenticated")).and_then(Value::as_bool);
        let user = status.filter(|_| known == Some(true)).and_then(|status| status.get("user")).map(user_of);
        lock(&self.users).put(token.to_owned(), user.clone(), TOKEN_LIFETIME);
        Ok(user)
    }

    /// Whether a user may do this to one of these subresources of the node.
    pub(super) async fn permit(
        &self,
        user: &User,
        verb: &'static str,
        node: &str,
        subresources: &[&'static str],
    ) -> Result<(), Refusal> {
        if user.is_in(MASTERS) {
            return Ok(());
        }
        for subresource in subresources {
            if self.is_allowed(user, verb, node, subresource).await? {
                return Ok(());
            }
        }
        let message = format!(
            "Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{}])\n",
            user.name,
            subresources.join(" ")
        );
        Err(Refusal::new(StatusCode::FORBIDDEN, message))
    }

    async fn is_allowed(
        &self,
        user: &User,
        verb: &'static str,
        node: &str,
        subresource: &'static str,
    ) -> Result<bool, Refusal> {
        let question = (user.name.clone(), user.groups.clone(), node.to_owned(), verb, subresource);
        // The extra fields may matter to a webhook; who has some is asked about each time.
        let remembered = user.extra.keys().all(|key| key.starts_with("authentication.kubernetes.io/"));
        if let Some(known) = lock(&self.decisions).get(&question).filter(|_| remembered) {
            return Ok(known);
        }
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": user.name, "groups": user.groups, "uid": user.uid, "extra": user.extra,
                "resourceAttributes": {
                    "verb": verb, "version": "v1", "resource": "nodes",
                    "subresource": subresource, "name": node,
                },
            },
        });
        let answer = self.ask("authorization.k8s.io", "subjectaccessreviews", review).await?;
        let allowed = answer.pointer("/status/allowed").and_then(Value::as_bool) == Some(true);
        let lifetime = if allowed { ALLOWED_LIFETIME } else { REFUSED_LIFETIME };
        lock(&self.decisions).put(question, allowed, lifetime);
        Ok(allowed)
    }

    async fn ask(&self, group: &str, resource: &str, review: Value) -> Result<Value, Refusal> {
        let resource = GroupVersionResource {
            group: group.to_owned(),
            version: "v1".to_owned(),
            resource: resource.to_owned(),
        };
        let answer = self.api.call(Call::create(&resource, "", review)).await;
        answer.map_err(|status| Refusal::internal(format!("Authorization error: {}", status.message)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// A user as a review tells it.
fn user_of(value: &Value) -> User {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let extra = value.get("extra").and_then(Value::as_object).into_iter().flatten();
    User {
        name: text("username"),
        uid: text("uid"),
        groups: value.get("groups").map(texts).unwrap_or_default(),
        extra: extra.map(|(key, values)| (key.clone(), texts(values))).collect(),
    }
}

/// Answers that count for a while.
struct Answers<Q, A>(HashMap<Q, (A, Instant)>);

impl<Q, A> Default for Answers<Q, A> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<Q: Hash + Eq, A: Clone> Answers<Q, A> {
    fn get<K: Hash + Eq + ?Sized>(&self, question: &K) -> Option<A>
    where
        Q: std::borrow::Borrow<K>,
    {
        let (answer, until) = self.0.get(question)?;
        (*until > Instant::now()).then(|| answer.clone())
    }

    fn put(&mut self, question: Q, answer: A, lifetime: Duration) {
        let now = Instant::now();
        if self.0.len() >= ANSWERS_MAX {
            self.0.retain(|_, (_, until)| *until > now);
        }
        if self.0.len() >= ANSWERS_MAX {
            self.0.clear();
        }
        self.0.insert(question, (answer, now + lifetime));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_users() {
        let user =
            user_of(&json!({"username": "u", "uid": "1", "groups": ["a", "b"], "extra": {"k": ["v"]}}));
        assert_eq!((user.name.as_str(), user.uid.as_str(), user.groups.len()), ("u", "1", 2));
        assert_eq!(user.extra["k"], ["v"]);
        assert_eq!(user_of(&json!({})), User::default());
    }

    #[test]
    fn answers_are_forgotten() {
        let mut answers = Answers::default();
        answers.put(1, "a", Duration::from_secs(60));
        answers.put(2, "b", Duration::ZERO);
        assert_eq!((answers.get(&1), answers.get(&2)), (Some("a"), None));
        for at in 0..3 * ANSWERS_MAX {
            answers.put(at, "x", Duration::from_secs(60));
        }
        assert!(answers.0.len() <= ANSWERS_MAX);
    }
}
