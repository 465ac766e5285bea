//! Connections to one other server, kept while nothing is asked, and the TLS that all of them share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::UPGRADE;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use rustls::ClientConfig;
use serde_json::Value;
use tokio::sync::watch;

use super::forward::{ForwardError, Way, connect, until};

/// Connections that are kept to one other server.
const IDLE_MAX: usize = 25;
/// How long a connection is kept that nobody uses.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// What is kept for one other server.
pub(crate) struct Pool {
    /// What the APIService said when this was made.
    pub(super) spec: Value,
    pub(super) config: Arc<ClientConfig>,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    address: String,
    sender: SendRequest<Incoming>,
    since: Instant,
}

impl Pool {
    pub(super) fn new(spec: Value, config: Arc<ClientConfig>) -> Self {
        Self { spec, config, idle: Mutex::default() }
    }

    /// Sends a request over a connection that is there, or a new one.
    pub(super) async fn send(
        self: &Arc<Self>,
        way: &Way,
        mut request: Request<Incoming>,
        shutdown: watch::Receiver<bool>,
    ) -> Result<Response<Incoming>, ForwardError> {
        let ask = |source| ForwardError::Ask { address: way.address.clone(), source };
        if request.headers().contains_key(UPGRADE) {
            // It is never free again.
            let mut sender = connect(way, shutdown).await?;
            return sender.send_request(request).await.map_err(ask);
        }
        while let Some(mut sender) = self.take(&way.address) {
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.keep(way, sender, shutdown);
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    // The other end had closed it: nothing of the request has gone.
                    Some(unsent) => request = unsent,
                    None => return Err(ask(error.into_error())),
                },
            }
        }
        let mut sender = connect(way, shutdown.clone()).await?;
        let response = sender.send_request(request).await.map_err(ask)?;
        self.keep(way, sender, shutdown);
        Ok(response)
    }

    fn take(&self, address: &str) -> Option<SendRequest<Incoming>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| kept.sender.is_ready() && kept.since.elapsed() < IDLE_TIMEOUT);
        let at = idle.iter().rposition(|kept| kept.address == address)?;
        Some(idle.swap_remove(at).sender)
    }

    /// Keeps a connection as soon as its answer has been read.
    fn keep(self: &Arc<Self>, way: &Way, mut sender: SendRequest<Incoming>, shutdown: watch::Receiver<bool>) {
        let (pool, address) = (Arc::downgrade(self), way.address.clone());
        tokio::spawn(until(shutdown, async move {
            if sender.ready().await.is_err() {
                return;
            }
            let Some(pool) = pool.upgrade() else { return };
            let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_MAX {
                idle.push(Idle { address, sender, since: Instant::now() });
            }
        }));
    }

    /// Closes what nobody has used for long.
    pub(super) fn tidy(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| kept.sender.is_ready() && kept.since.elapsed() < IDLE_TIMEOUT);
    }
}
