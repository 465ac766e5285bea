//! Where pods find the API: the endpoints of the service `kubernetes`.
//!
//! A server with a store of its own is alone. Servers on one store have a key each there that goes with
//! them: when one of them comes or ends, even by SIGKILL, the others hear of it and write the endpoints
//! anew. (Upstream's servers look at such keys every ten seconds.)

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::Mirror as _;
use kube_object::resource::GroupResource;
use kube_object::status::Status;
use serde_json::{Value, json};
use store::{Error, KeyRange, LeaseId, Op, RangeRequest, Store, Txn, Watch, WatchRequest};
use tokio::sync::watch;

use crate::registry::{Body, DeleteOptions, Patch, Registry, Target, WriteOptions, random};
use crate::server::server_context;

/// Keeps the endpoints those of all servers on the store, until `shutdown` says true or its sender is gone.
pub async fn run(
    registry: Arc<Registry>,
    store: Arc<dyn Store>,
    endpoint: SocketAddr,
    mut shutdown: watch::Receiver<bool>,
) {
    if !is_for_pods(endpoint) {
        return;
    }
    let seat = Arc::new(Seat { store, endpoint, lease: LeaseId(random::positive()) });
    tokio::select! {
        () = follow(&registry, &seat) => {}
        () = client::asked_to_end(&mut shutdown) => {}
    }
    // What stays ends with the lease.
    drop(seat.does(|seat| seat.store.lease_revoke(seat.lease)).await);
}

/// Whether pods can reach it: no address of the host alone, which the API refuses for endpoints.
pub(crate) fn is_for_pods(endpoint: SocketAddr) -> bool {
    !endpoint.ip().is_loopback() && !endpoint.ip().is_unspecified()
}

/// Makes the endpoints those of these servers.
pub(crate) async fn write(registry: &Registry, servers: &BTreeSet<SocketAddr>) -> Result<(), Status> {
    apply(registry, "", "endpoints", endpoints(servers)).await?;
    let slices = slices(servers);
    for stale in stale(registry, &slices) {
        remove(registry, &stale).await?;
    }
    for slice in slices {
        apply(registry, "discovery.k8s.io", "endpointslices", slice).await?;
    }
    Ok(())
}

/// What stands in the store for this server.
struct Seat {
    store: Arc<dyn Store>,
    endpoint: SocketAddr,
    lease: LeaseId,
}

/// For ever: one round for each break with the store.
async fn follow(registry: &Registry, seat: &Arc<Seat>) {
    loop {
        if let Ok(watch) = seat.does(Seat::take).await {
            while_seated(registry, seat, watch).await;
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Returns when the key, or the news of the others' keys, may be lost.
async fn while_seated(registry: &Registry, seat: &Arc<Seat>, mut others: Box<dyn Watch>) {
    loop {
        let Ok(servers) = seat.does(Seat::all).await else { return };
        if write(registry, &servers).await.is_err() {
            return;
        }
        let kept = async {
            while seat.does(|seat| seat.store.lease_keep_alive(seat.lease, Instant::now())).await.is_ok() {
                tokio::time::sleep(LIFE / 3).await;
            }
        };
        tokio::select! {
            news = std::future::poll_fn(|context| others.poll_next(context)) => if news.is_err() { return },
            () = kept => return,
        }
    }
}

impl Seat {
    /// Does what blocks.
    async fn does<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let seat = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&seat)).await;
        done.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
    }

    /// Puts the key there, and follows those of all.
    fn take(&self) -> Result<Box<dyn Watch>, Error> {
        match self.store.lease_revoke(self.lease) {
            Ok(_) | Err(Error::LeaseNotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        self.store.lease_grant(self.lease, LIFE, Instant::now())?;
        let others = self.store.watch(WatchRequest::new(KeyRange::prefix(SERVERS)))?;
        let key = format!("{SERVERS}{}", self.endpoint);
        self.store.txn(Txn::ops([Op::put_leased(key, "", self.lease)]))?;
        Ok(others)
    }

    fn all(&self) -> Result<BTreeSet<SocketAddr>, Error> {
        let found = self.store.range(&RangeRequest::new(KeyRange::prefix(SERVERS)))?;
        let servers = found.kvs.iter().filter_map(|kv| {
            let name = kv.key.strip_prefix(SERVERS.as_bytes())?;
            std::str::from_utf8(name).ok()?.parse().ok()
        });
        Ok(servers.collect())
    }
}

/// The servers by what one slice or subset can have: a kind of addresses, and a port.
fn alike(servers: &BTreeSet<SocketAddr>) -> BTreeMap<(bool, u16), Vec<String>> {
    let mut found: BTreeMap<(bool, u16), Vec<String>> = BTreeMap::new();
    for server in servers {
        found.entry((server.is_ipv6(), server.port())).or_default().push(server.ip().to_string());
    }
    found
}

fn endpoints(servers: &BTreeSet<SocketAddr>) -> Value {
    let subsets = alike(servers).into_iter().map(|((_, port), addresses)| {
        let addresses: Vec<Value> = addresses.iter().map(|address| json!({"ip": address})).collect();
        json!({"addresses": addresses, "ports": [{"name": "https", "port": port, "protocol": "TCP"}]})
    });
    json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": SERVICE, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": subsets.collect::<Vec<_>>(),
    })
}

fn slices(servers: &BTreeSet<SocketAddr>) -> Vec<Value> {
    let slice = |(at, ((six, port), addresses)): (usize, ((bool, u16), Vec<String>))| {
        let endpoints: Vec<Value> = addresses
            .iter()
            .map(|address| json!({"addresses": [address], "conditions": {"ready": true}}))
            .collect();
        let family = if six { "IPv6" } else { "IPv4" };
        // Nearly always it is one, which has upstream's name.
        let name =
            if at == 0 { SERVICE.to_owned() } else { format!("{SERVICE}-{}-{port}", family.to_lowercase()) };
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": {OF_SERVICE: SERVICE}},
            "addressType": family, "endpoints": endpoints,
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        })
    };
    alike(servers).into_iter().enumerate().map(slice).collect()
}

/// Names of the service's slices that are none of these, or have addresses of another kind, which no
/// write can change.
fn stale(registry: &Registry, wanted: &[Value]) -> Vec<String> {
    let resource = GroupResource::new("discovery.k8s.io", "endpointslices");
    let found = registry.core.cache.items(&resource, Some(NAMESPACE)).into_iter();
    let ours = found.filter(|item| {
        let labels = item.labels();
        labels.get(OF_SERVICE).is_some_and(|service| service == SERVICE) && !labels.contains_key(MANAGED_BY)
    });
    let stays = |name: &str, found: &Value| {
        wanted
            .iter()
            .any(|slice| slice["metadata"]["name"] == name && slice["addressType"] == found["addressType"])
    };
    ours.filter(|item| !stays(item.name(), &item.lean())).map(|item| item.name().to_owned()).collect()
}

async fn apply(registry: &Registry, group: &str, resource: &str, object: Value) -> Result<(), Status> {
    let resource = registry.kinds().resolve(group, "v1", resource).ok_or_else(Status::no_such_path)?;
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let target = Target::object(&resource, NAMESPACE, name.as_str());
    let options =
        WriteOptions { field_manager: "kube-apiserver".to_owned(), force: true, ..WriteOptions::default() };
    registry.patch(&server_context(), &target, Patch::Apply(Body::from(object)), &options).await.map(drop)
}

async fn remove(registry: &Registry, name: &str) -> Result<(), Status> {
    let slices = registry.kinds().resolve("discovery.k8s.io", "v1", "endpointslices");
    let target = Target::object(&slices.ok_or_else(Status::no_such_path)?, NAMESPACE, name);
    match registry.delete(&server_context(), &target, &DeleteOptions::default()).await {
        // Another server was faster.
        Err(status) if status.code == 404 => Ok(()),
        done => done.map(drop),
    }
}

const NAMESPACE: &str = "default";
const SERVICE: &str = "kubernetes";
const OF_SERVICE: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Before the keys of servers, outside of what objects have.
const SERVERS: &str = "/strake/servers/";
/// So long a server that ended without a word is still taken for one; upstream's.
const LIFE: Duration = Duration::from_secs(15);
/// After a break with the store.
const RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_alike_share_a_slice() {
        for (servers, expected) in [
            (&["10.0.0.2:6443", "10.0.0.1:6443"][..], &["kubernetes 6443 10.0.0.1,10.0.0.2"][..]),
            (
                &["10.0.0.1:6443", "10.0.0.1:7443", "[fd00::1]:6443"],
                &[
                    "kubernetes 6443 10.0.0.1",
                    "kubernetes-ipv4-7443 7443 10.0.0.1",
                    "kubernetes-ipv6-6443 6443 fd00::1",
                ],
            ),
            (&[], &[]),
        ] {
            let servers: BTreeSet<SocketAddr> =
                servers.iter().map(|server| server.parse().unwrap()).collect();
            let shown: Vec<String> = slices(&servers)
                .iter()
                .map(|slice| {
                    let endpoints = slice["endpoints"].as_array().unwrap().iter();
                    let addresses: Vec<_> =
                        endpoints.map(|one| one["addresses"][0].as_str().unwrap()).collect();
                    let name = slice["metadata"]["name"].as_str().unwrap();
                    format!("{name} {} {}", slice["ports"][0]["port"], addresses.join(","))
                })
                .collect();
            assert_eq!(shown, expected);
            assert_eq!(endpoints(&servers)["subsets"].as_array().unwrap().len(), expected.len());
        }
    }
}
