//! The store under the server: a directory of its own, or etcd.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{Control, DIRECTORY_NAME, Embedded, Etcd, Options, Retention, SOCKET_NAME, Store};
use tokio::sync::watch;

use super::Args;
use crate::context::Context;
use crate::error::CliError;

/// The longest that ended leases and old history stay.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(10);
/// So many looks fall into the time that history is kept.
const LOOKS: u32 = 8;

/// An open store, and what it needs while it runs.
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    history: Duration,
    keeper: Keeper,
}

/// Who ends leases and drops old history.
enum Keeper {
    /// The embedded store, when it is told to.
    Embedded {
        store: Arc<Embedded>,
        /// For `strake store backup` and its like while the server runs.
        _control: Option<Control>,
    },
    /// etcd ends leases by itself; its history is ours to drop.
    Etcd(Arc<Etcd>),
}

/// Opens or makes the store.
pub(super) fn open(args: &Args, data: &Path, context: &Context) -> Result<Opened, CliError> {
    let history = args.store_history;
    if !args.store.is_empty() {
        let etcd = Arc::new(args.etcd.connect(&args.store)?);
        return Ok(Opened {
            store: Arc::clone(&etcd) as Arc<dyn Store>,
            history,
            keeper: Keeper::Etcd(etcd),
        });
    }
    let directory = data.join(DIRECTORY_NAME);
    let options = Options { retention: (!history.is_zero()).then_some(history), ..Options::default() };
    let embedded = Arc::new(Embedded::open(&directory, &options, Instant::now())?);
    let control = Control::listen(Arc::clone(&embedded), &data.join(SOCKET_NAME));
    // A file system without sockets can still hold a store.
    let control =
        control.map_err(|error| context.warn(format_args!("no backup of the running server: {error}")));
    let store = Arc::clone(&embedded) as Arc<dyn Store>;
    Ok(Opened { store, history, keeper: Keeper::Embedded { store: embedded, _control: control.ok() } })
}

impl Opened {
    /// Ends leases and drops history until the shutdown.
    pub(super) fn maintenance(
        &self,
        shutdown: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let looks = if self.history.is_zero() { MAINTENANCE_INTERVAL } else { self.history / LOOKS };
        let interval = looks.min(MAINTENANCE_INTERVAL);
        let embedded = match &self.keeper {
            Keeper::Embedded { store: embedded, .. } => Some(Arc::clone(embedded)),
            Keeper::Etcd(_) => None,
        };
        let etcd = match &self.keeper {
            Keeper::Etcd(etcd) if !self.history.is_zero() => {
                Some((Arc::clone(etcd), Retention::new(self.history)))
            }
            Keeper::Embedded { .. } | Keeper::Etcd(_) => None,
        };
        async move {
            if let Some(embedded) = embedded {
                keep_embedded(embedded, interval, shutdown).await;
            } else if let Some((etcd, retention)) = etcd {
                keep_etcd(etcd, retention, interval, shutdown).await;
            }
        }
    }
}

async fn keep_embedded(embedded: Arc<Embedded>, interval: Duration, mut shutdown: watch::Receiver<bool>) {
    loop {
        let store = Arc::clone(&embedded);
        let done = tokio::task::spawn_blocking(move || store.maintain(Instant::now())).await;
        // A store that fails says so to every writer; here there is nobody to tell.
        let next = done.ok().and_then(Result::ok).and_then(|done| done.next_expiry);
        let latest = Instant::now() + interval;
        let next = next.map_or(latest, |next| next.min(latest));
        tokio::select! {
            () = tokio::time::sleep_until(next.into()) => {}
            () = client::asked_to_end(&mut shutdown) => return,
        }
    }
}

async fn keep_etcd(
    etcd: Arc<Etcd>,
    mut retention: Retention,
    interval: Duration,
    mut shutdown: watch::Receiver<bool>,
) {
    loop {
        let old = retention.observe(Instant::now(), etcd.revision());
        if let Some(revision) = old.filter(|revision| *revision > etcd.compacted()) {
            let store = Arc::clone(&etcd);
            // Another server may have done it, and what fails now is done with the next look.
            drop(tokio::task::spawn_blocking(move || store.compact(revision)).await);
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = client::asked_to_end(&mut shutdown) => return,
        }
    }
}
