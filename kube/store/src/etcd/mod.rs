//! The store on an etcd cluster, 3.4.25 or 3.5.8 and later: several machines, one truth.
//!
//! All calls go over one balanced channel that lives on a thread of its own, so that callers may
//! block or await, with or without a runtime. Reads are linearizable. A read that meets a member
//! that is gone is tried again elsewhere; a write only if it was not sent, else it may have happened.

mod convert;
mod error;
mod watch;

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use rpc::etcd::kv_client::KvClient;
use rpc::etcd::lease_client::LeaseClient;
use rpc::etcd::maintenance_client::MaintenanceClient;
use rpc::etcd::{
    CompactionRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseRevokeRequest,
    LeaseTimeToLiveRequest, ResponseHeader, StatusRequest,
};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::api::{Store, Watch, WatchRequest};
use crate::error::Error;
use crate::lease::LeaseInfo;
use crate::reply::BoxFuture;
use crate::txn::{RangeRequest, RangeResponse, Txn, TxnResponse};
use crate::types::{KeyRange, LeaseId, Revision};

/// Where the cluster is, and how it knows us.
#[derive(Clone, Default)]
pub struct EtcdConfig {
    /// Its members: `https://10.0.0.1:2379`.
    pub endpoints: Vec<String>,
    /// PEM certificates of those who sign the members' certificates; the system's are not used.
    pub ca: Option<Vec<u8>>,
    /// Our certificate and its key, both PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// Without the key.
impl fmt::Debug for EtcdConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdConfig").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

/// A store on etcd.
pub struct Etcd {
    runtime: Option<Runtime>,
    link: Link,
}

/// What tasks share: the channel and what is known of the cluster.
#[derive(Clone)]
struct Link {
    channel: Channel,
    known: Arc<Known>,
    /// The revision that watches are asked to reach.
    wanted: Arc<tokio::sync::watch::Sender<u64>>,
}

/// The newest facts that came with any answer.
#[derive(Debug, Default)]
struct Known {
    revision: AtomicU64,
    compacted: AtomicU64,
}

impl Etcd {
    /// Connects, and asks one member for its state.
    ///
    /// # Errors
    /// When no member answers, or the certificates are not right.
    pub fn connect(config: &EtcdConfig) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("store-etcd")
            .enable_all()
            .build()
            .map_err(|error| Error::io("start the thread for", "etcd", error))?;
        let endpoints = config.endpoints.iter().map(|endpoint| member(endpoint, config));
        let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() {
            return Err(Error::NoEndpoint);
        }
        let channel = {
            let _inside = runtime.enter();
            Channel::balance_list(endpoints.into_iter())
        };
        let (wanted, _) = tokio::sync::watch::channel(0);
        let link = Link { channel, known: Arc::default(), wanted: Arc::new(wanted) };
        let etcd = Self { runtime: Some(runtime), link };
        let link = etcd.link.clone();
        etcd.block(async move {
            let status = MaintenanceClient::new(link.channel.clone()).status(StatusRequest {}).await;
            let status = status.map_err(|cause| error::of("ask etcd for its state", cause))?.into_inner();
            link.saw(status.header.as_ref());
            Ok(())
        })?;
        Ok(etcd)
    }

    fn runtime(&self) -> Result<&Runtime, Error> {
        self.runtime.as_ref().ok_or(Error::Closed)
    }

    /// Runs on our own thread; the caller may sit on any.
    fn block<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        self.runtime()?.spawn(async move { drop(send.send(work.await)) });
        receive.recv().unwrap_or(Err(Error::Closed))
    }

    /// The same for a caller that awaits; under way when this returns.
    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Error>> {
        let (send, receive) = oneshot::channel();
        if let Ok(runtime) = self.runtime() {
            runtime.spawn(async move { drop(send.send(work.await)) });
        }
        Box::pin(async move { receive.await.unwrap_or(Err(Error::Closed)) })
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // A runtime may not be dropped where others run; its tasks end with it.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd").field("known", &self.link.known).finish_non_exhaustive()
    }
}

/// One member's address with its time-outs and certificates.
fn member(address: &str, config: &EtcdConfig) -> Result<Endpoint, Error> {
    let invalid = |cause| Error::Endpoint { endpoint: address.to_owned(), cause: Arc::new(cause) };
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(invalid)?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    if !address.starts_with("https://") {
        return Ok(endpoint);
    }
    let mut tls = ClientTlsConfig::new();
    if let Some(ca) = &config.ca {
        tls = tls.ca_certificate(Certificate::from_pem(ca));
    }
    if let Some((certificate, key)) = &config.identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    endpoint.tls_config(tls).map_err(invalid)
}

impl Link {
    fn saw(&self, header: Option<&ResponseHeader>) -> Revision {
        let revision = header.map_or(0, |header| convert::unsigned(header.revision));
        self.known.revision.fetch_max(revision, Ordering::AcqRel);
        Revision(revision)
    }

    fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_MAX)
    }

    fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    fn known(&self) -> error::Known {
        error::Known {
            revision: Revision(self.known.revision.load(Ordering::Acquire)),
            compacted: Revision(self.known.compacted.load(Ordering::Acquire)),
        }
    }

    async fn range(self, request: RangeRequest) -> Result<RangeResponse, Error> {
        let wire = convert::range(&request);
        let mut tried = 0;
        loop {
            match self.kv().range(wire.clone()).await {
                Ok(response) => {
                    let response = response.into_inner();
                    let revision = self.saw(response.header.as_ref());
                    return Ok(convert::range_response(response, revision));
                }
                Err(status) if status.code() == tonic::Code::Unavailable && tried < RETRIES => {
                    tried += 1;
                }
                Err(status) => return Err(error::of_range(status, &request, self.known())),
            }
        }
    }

    async fn txn(self, txn: Txn) -> Result<TxnResponse, Error> {
        convert::check(&txn)?;
        let wire = convert::txn(&txn);
        let mut tried = 0;
        let response = loop {
            match self.kv().txn(wire.clone()).await {
                Ok(response) => break response.into_inner(),
                Err(status) if error::never_sent(&status) && tried < RETRIES => tried += 1,
                Err(status) => return Err(error::of_txn(status, &txn, self.known())),
            }
        };
        let revision = self.saw(response.header.as_ref());
        Ok(convert::txn_response(response, revision))
    }

    /// The revision of a read that the leader has confirmed; watches are told to reach it.
    async fn latest(self) -> Result<Revision, Error> {
        let nothing = RangeRequest::new(KeyRange::one(&b"\0"[..])).want(crate::txn::Want::Count);
        let revision = self.clone().range(nothing).await?.revision;
        self.wanted.send_if_modified(|wanted| {
            let further = *wanted < revision.0;
            *wanted = (*wanted).max(revision.0);
            further
        });
        Ok(revision)
    }

    async fn keep_alive(self, id: LeaseId) -> Result<Duration, Error> {
        let doing = "keep alive a lease on etcd";
        let once = stream::iter([LeaseKeepAliveRequest { id: id.0 }]);
        let answers = self.lease().lease_keep_alive(once).await;
        let mut answers = answers.map_err(|cause| error::of(doing, cause))?.into_inner();
        let answer = answers.message().await.map_err(|cause| error::of(doing, cause))?;
        match answer.map(|answer| convert::seconds(answer.ttl)) {
            None | Some(Duration::ZERO) => Err(Error::LeaseNotFound { id }),
            Some(ttl) => Ok(ttl),
        }
    }

    async fn describe(self, id: LeaseId) -> Result<LeaseInfo, Error> {
        let request = LeaseTimeToLiveRequest { id: id.0, keys: true };
        let answer = self.lease().lease_time_to_live(request).await;
        let answer = answer.map_err(|cause| error::of_lease(cause, id))?.into_inner();
        if answer.ttl < 0 {
            return Err(Error::LeaseNotFound { id });
        }
        let keys: BTreeSet<Bytes> = answer.keys.into_iter().collect();
        let (ttl, remaining) = (convert::seconds(answer.granted_ttl), convert::seconds(answer.ttl));
        Ok(LeaseInfo { id, ttl, remaining, keys: keys.into_iter().collect() })
    }
}

impl Store for Etcd {
    /// The newest revision that any answer named.
    fn revision(&self) -> Revision {
        self.link.known().revision
    }

    /// The last compaction that we made or ran into.
    fn compacted(&self) -> Revision {
        self.link.known().compacted
    }

    fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        self.block(self.link.clone().range(request.clone()))
    }

    fn txn(&self, txn: Txn) -> Result<TxnResponse, Error> {
        self.block(self.link.clone().txn(txn))
    }

    fn watch(&self, request: WatchRequest) -> Result<Box<dyn Watch>, Error> {
        let from = match request.from.filter(|from| from.0 != 0) {
            Some(from) => from,
            None => self.block(self.link.clone().latest())?.next(),
        };
        let runtime = self.runtime()?.handle();
        Ok(Box::new(watch::Watching::start(runtime, self.link.clone(), request, from)))
    }

    fn lease_grant(&self, id: LeaseId, ttl: Duration, _now: Instant) -> Result<(), Error> {
        if id.0 == 0 {
            return Err(Error::LeaseTaken { id });
        }
        let link = self.link.clone();
        let request = LeaseGrantRequest { ttl: convert::whole_seconds(ttl), id: id.0 };
        self.block(async move {
            let granted = link.lease().lease_grant(request).await;
            granted.map(drop).map_err(|cause| error::of_lease(cause, id))
        })
    }

    fn lease_keep_alive(&self, id: LeaseId, _now: Instant) -> Result<Duration, Error> {
        self.block(self.link.clone().keep_alive(id))
    }

    fn lease_revoke(&self, id: LeaseId) -> Result<Revision, Error> {
        let link = self.link.clone();
        self.block(async move {
            let revoked = link.lease().lease_revoke(LeaseRevokeRequest { id: id.0 }).await;
            let revoked = revoked.map_err(|cause| error::of_lease(cause, id))?.into_inner();
            Ok(link.saw(revoked.header.as_ref()))
        })
    }

    fn lease(&self, id: LeaseId, _now: Instant) -> Result<LeaseInfo, Error> {
        self.block(self.link.clone().describe(id))
    }

    fn leases(&self) -> Result<Vec<LeaseId>, Error> {
        let link = self.link.clone();
        self.block(async move {
            let answer = link.lease().lease_leases(LeaseLeasesRequest {}).await;
            let answer = answer.map_err(|cause| error::of("list leases of etcd", cause))?.into_inner();
            let mut leases: Vec<_> = answer.leases.into_iter().map(|lease| LeaseId(lease.id)).collect();
            leases.sort_unstable();
            Ok(leases)
        })
    }

    fn compact(&self, revision: Revision) -> Result<(), Error> {
        let link = self.link.clone();
        self.block(async move {
            let request = CompactionRequest { revision: convert::signed(revision), physical: false };
            let answer = link.kv().compact(request).await;
            let done = answer
                .map(drop)
                .map_err(|cause| error::of_revision("compact etcd", cause, revision, link.known()));
            // Somebody else has done it: that is news too.
            if matches!(done, Ok(()) | Err(Error::Compacted { .. })) {
                link.known.compacted.fetch_max(revision.0, Ordering::AcqRel);
            }
            done
        })
    }

    fn submit(&self, txn: Txn) -> BoxFuture<'static, Result<TxnResponse, Error>> {
        self.spawn(self.link.clone().txn(txn))
    }

    fn fetch(&self, request: RangeRequest) -> BoxFuture<'_, Result<RangeResponse, Error>> {
        self.spawn(self.link.clone().range(request))
    }

    fn latest(&self) -> BoxFuture<'_, Result<Revision, Error>> {
        self.spawn(self.link.clone().latest())
    }
}

/// As etcd's own client has it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// A list of all pods may come in one answer.
const MESSAGE_MAX: usize = 1 << 30;
/// A request is tried again on up to that many other members.
const RETRIES: usize = 4;
