//! Groups that other servers answer: APIServices with a service behind them.
//!
//! A request for such a group is authenticated and authorized here, and then handed on with the
//! user in headers that the other server believes because of our client certificate.

mod checks;
mod direct;
mod forward;
mod local;
mod remote;
mod tls;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use kube_object::cluster::Cluster;
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::Value;
use tokio::sync::watch;

pub use checks::run;
pub use direct::Direct;
pub use tls::Identity;

use crate::discovery::Foreign;
use crate::http::Body;
use forward::forward;
pub(crate) use remote::Remote;
use remote::api_services;

/// Knows the other servers.
pub struct Aggregator {
    cluster: Arc<dyn Cluster>,
    identity: RwLock<Identity>,
    /// What each serves, as aggregated discovery says it, by the APIService's name.
    discovered: Mutex<HashMap<String, Value>>,
    discoveries: AtomicU64,
    shutdown: watch::Receiver<bool>,
}

impl Aggregator {
    /// Shows `identity` to the other servers; ends their connections at the shutdown.
    pub fn new(cluster: Arc<dyn Cluster>, identity: Identity, shutdown: watch::Receiver<bool>) -> Self {
        Self {
            cluster,
            identity: RwLock::new(identity),
            discovered: Mutex::default(),
            discoveries: AtomicU64::new(0),
            shutdown,
        }
    }

    /// Shows another certificate from now on.
    pub fn show(&self, identity: Identity) {
        *self.identity.write().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    pub(crate) fn find(&self, group: &str, version: &str) -> Option<Remote> {
        let object = self.cluster.get(&api_services(), "", &format!("{version}.{group}"))?;
        Remote::of(&object)
    }

    /// What others serve, and a number that changes when this does.
    pub(crate) fn foreign(&self) -> (Vec<Foreign>, u64) {
        let change = self.cluster.changed(&api_services());
        let discovered = self.discovered.lock().unwrap_or_else(PoisonError::into_inner);
        let foreign = self.remotes().into_iter().map(|remote| Foreign {
            resources: discovered.get(&remote.name()).cloned().filter(|_| remote.is_available()),
            priority: remote.priority(),
            group: remote.group,
            version: remote.version,
        });
        (foreign.collect(), change.wrapping_add(self.discoveries.load(Ordering::Acquire)))
    }

    pub(crate) fn remotes(&self) -> Vec<Remote> {
        self.cluster.list(&api_services(), None).iter().filter_map(Remote::of).collect()
    }

    fn discover(&self, name: &str, resources: Option<&Value>) {
        let mut discovered = self.discovered.lock().unwrap_or_else(PoisonError::into_inner);
        if discovered.get(name) == resources {
            return;
        }
        match resources {
            Some(resources) => drop(discovered.insert(name.to_owned(), resources.clone())),
            None => drop(discovered.remove(name)),
        }
        self.discoveries.fetch_add(1, Ordering::AcqRel);
    }

    fn identity(&self) -> Identity {
        self.identity.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hands a request on; 503 where nobody answers.
    pub(crate) async fn serve(
        &self,
        remote: &Remote,
        user: &User,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Status> {
        let unavailable = || Status::unavailable("service unavailable");
        let way = remote.way(self.cluster.as_ref(), &self.identity()).map_err(|_| unavailable())?;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let shutdown = self.shutdown.clone();
        let answered = forward(&way, &path, request, user_headers(user), shutdown).await;
        let answered = answered.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            Status::unavailable(format!(
                "error trying to reach service: {error}{}",
                cause.unwrap_or_default()
            ))
        })?;
        Ok(answered.map(BodyExt::boxed_unsync))
    }
}

/// The user, in a front proxy's headers.
fn user_headers(user: &User) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut add = |name: &str, value: &str| {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    };
    add("x-remote-user", &user.name);
    if !user.uid.is_empty() {
        add("x-remote-uid", &user.uid);
    }
    for group in &user.groups {
        add("x-remote-group", group);
    }
    for (key, values) in &user.extra {
        for value in values {
            add(&format!("x-remote-extra-{}", escaped(key)), value);
        }
    }
    headers
}

/// A key of `extra` as part of a header's name.
fn escaped(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!#$&'*+^`|".contains(&byte);
    key.bytes().fold(String::new(), |mut out, byte| {
        if plain(byte) {
            out.push(char::from(byte.to_ascii_lowercase()));
        } else {
            out.push_str(&format!("%{byte:02x}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_user() {
        let user = User {
            name: "bob".to_owned(),
            groups: vec!["a".to_owned(), "b".to_owned()],
            extra: [("Example.org/Key".to_owned(), vec!["v".to_owned()])].into(),
            ..User::default()
        };
        let headers = user_headers(&user);
        assert_eq!(headers.get("x-remote-user").unwrap(), "bob");
        assert_eq!(headers.get_all("x-remote-group").iter().count(), 2);
        assert_eq!(headers.get("x-remote-extra-example.org%2fkey").unwrap(), "v");
    }
}
