//! The store under the server: a file of its own, or etcd.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{Embedded, FILE_NAME, Options, Store};
use tokio::sync::watch;

use super::Args;
use crate::error::CliError;

/// The longest that ended leases and old history stay.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(10);

/// An open store, and the embedded one again, which needs care while it runs.
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    embedded: Option<Arc<Embedded>>,
}

/// Opens or makes the store.
pub(super) fn open(args: &Args, data: &Path) -> Result<Opened, CliError> {
    if !args.store.is_empty() {
        let etcd = args.etcd.connect(&args.store)?;
        return Ok(Opened { store: Arc::new(etcd), embedded: None });
    }
    let file = data.join(FILE_NAME);
    let embedded = Arc::new(Embedded::open(&file, &Options::default(), Instant::now())?);
    Ok(Opened { store: Arc::clone(&embedded) as Arc<dyn Store>, embedded: Some(embedded) })
}

impl Opened {
    /// Ends leases and drops history until the shutdown. etcd does that by itself.
    pub(super) fn maintenance(
        &self,
        mut shutdown: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let embedded = self.embedded.clone();
        async move {
            let Some(embedded) = embedded else { return };
            loop {
                let store = Arc::clone(&embedded);
                let done = tokio::task::spawn_blocking(move || store.maintain(Instant::now())).await;
                // A store that fails says so to every writer; here there is nobody to tell.
                let next = done.ok().and_then(Result::ok).and_then(|done| done.next_expiry);
                let latest = Instant::now() + MAINTENANCE_INTERVAL;
                let next = next.map_or(latest, |next| next.min(latest));
                tokio::select! {
                    () = tokio::time::sleep_until(next.into()) => {}
                    _ = shutdown.wait_for(|ended| *ended) => return,
                }
            }
        }
    }
}
