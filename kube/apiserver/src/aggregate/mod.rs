//! Groups that other servers answer: APIServices with a service behind them.
//!
//! A request for such a group is authenticated and authorized here, and then handed on with the
//! user in headers that the other server believes because of our client certificate.

mod checks;
mod direct;
mod forward;
mod here;
mod local;
mod pages;
mod pool;
mod remote;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use kube_object::cluster::Cluster;
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::Value;
use tokio::sync::watch;

pub use checks::run;
pub use client::http::Identity;
pub use direct::Direct;
pub use here::{Asking, Here};

use crate::discovery::Foreign;
use crate::http::Body;
use crate::kinds::Resource;
use crate::registry::random;
pub(crate) use forward::{ForwardError, Way, forward, send, server_name};
use pool::Pool;
use remote::api_services;
pub(crate) use remote::{Remote, is_available};

/// Knows the other servers.
pub struct Aggregator {
    cluster: Arc<dyn Cluster>,
    identity: RwLock<Identity>,
    /// What each serves, as aggregated discovery says it, by the APIService's name.
    discovered: Mutex<HashMap<String, Value>>,
    discoveries: AtomicU64,
    /// Connections to each, by the APIService's name.
    pools: Mutex<HashMap<String, Arc<Pool>>>,
    /// Groups that are answered in this process.
    here: Vec<Arc<dyn Here>>,
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
            pools: Mutex::default(),
            here: Vec::new(),
            shutdown,
        }
    }

    /// Answers for a group as well.
    #[must_use]
    pub fn with(mut self, here: Arc<dyn Here>) -> Self {
        self.here.push(here);
        self
    }

    /// The group that this process answers, unless another server has taken its place.
    pub(crate) fn here(&self, group: &str, version: &str) -> Option<&Arc<dyn Here>> {
        let of = |it: &Arc<Resource>| it.gvr.group == group && it.gvr.version == version;
        let found = self.here.iter().find(|here| here.resources().iter().any(of))?;
        let object = self.cluster.get(&api_services(), "", &format!("{version}.{group}"))?;
        Remote::of(&object).is_none().then_some(found)
    }

    /// What this process answers besides its kinds.
    pub(crate) fn all_here(&self) -> Vec<Foreign> {
        self.here.iter().filter_map(|here| here::discovered(&**here)).collect()
    }

    /// The resources of that.
    pub(crate) fn resources_here(&self) -> Vec<Arc<Resource>> {
        self.here.iter().flat_map(|here| here.resources().iter().cloned()).collect()
    }

    /// The `APIResourceList` of a group that this process answers besides its kinds.
    pub(crate) fn list_here(&self, group: &str, version: &str) -> Option<Value> {
        let here = self.here(group, version)?;
        crate::discovery::list(&here::table(&**here), group, version)
    }

    /// Shows another certificate from now on.
    pub fn show(&self, identity: Identity) {
        *self.identity.write().unwrap_or_else(PoisonError::into_inner) = identity;
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) fn find(&self, group: &str, version: &str) -> Option<Remote> {
        let object = self.cluster.get(&api_services(), "", &format!("{version}.{group}"))?;
        Remote::of(&object)
    }

    /// What others serve and what is answered here, and a number that changes when this does.
    pub(crate) fn foreign(&self) -> (Vec<Foreign>, u64) {
        let (mut foreign, change) = self.others();
        for here in self.all_here() {
            if self.here(&here.group, &here.version).is_some() {
                foreign.push(here);
            }
        }
        (foreign, change)
    }

    /// What others serve, and a number that changes when this does.
    pub(crate) fn others(&self) -> (Vec<Foreign>, u64) {
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

    /// The connections to a server, made anew when its APIService has changed.
    fn pool(&self, remote: &Remote) -> Option<Arc<Pool>> {
        let spec = remote.object.get("spec")?;
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&remote.name()).filter(|pool| pool.spec == *spec) {
            return Some(Arc::clone(pool));
        }
        let config = remote.tls(&self.identity(), true).ok()?;
        let pool = Arc::new(Pool::new(spec.clone(), config));
        pools.insert(remote.name(), Arc::clone(&pool));
        Some(pool)
    }

    /// Closes what is idle, and all to servers that are none any more.
    fn tidy(&self, remotes: &[Remote]) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|name, _| remotes.iter().any(|remote| remote.name() == *name));
        pools.values().for_each(|pool| pool.tidy());
    }

    /// Hands a request on; 503 where nobody answers, in plain text as upstream says it.
    pub(crate) async fn serve(
        &self,
        remote: &Remote,
        user: &User,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Status> {
        let unavailable = || plain("service unavailable");
        if !remote.is_available() {
            return Ok(unavailable());
        }
        let Ok(mut addresses) = remote.addresses(self.cluster.as_ref()) else { return Ok(unavailable()) };
        let chosen = usize::try_from(random::below(addresses.len() as u64)).unwrap_or(0);
        let address = addresses.swap_remove(chosen);
        let Some(pool) = self.pool(remote) else { return Ok(unavailable()) };
        let Some(way) = remote.way(address, &pool.config) else { return Ok(unavailable()) };
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let shutdown = self.shutdown.clone();
        let answered = forward(&way, &path, request, user_headers(user), Some(&pool), shutdown).await;
        Ok(match answered {
            Ok(response) => response.map(BodyExt::boxed_unsync),
            Err(error) => plain(&format!("error trying to reach service: {}", error.words())),
        })
    }
}

/// 503, as Go's server says it.
fn plain(text: &str) -> Response<Body> {
    let body = Full::from(format!("{text}\n")).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
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
