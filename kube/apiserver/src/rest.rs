//! The rest after work: something that is worth doing when the server has come to rest, once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::cache::Cache;

/// Calls `rest` when changes have stopped coming after many of them: after the start and after each
/// burst. An idle server is not woken. Returns at shutdown.
pub async fn run(cache: Arc<Cache>, rest: fn(), mut shutdown: watch::Receiver<bool>) {
    let mut revision = cache.revisions();
    let work = async {
        loop {
            quiet(&mut revision).await;
            rest();
            many(&mut revision).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = client::asked_to_end(&mut shutdown) => {}
    }
}

/// Returns when nothing has changed for a while.
async fn quiet(revision: &mut watch::Receiver<u64>) {
    revision.mark_unchanged();
    while let Ok(changed) = tokio::time::timeout(QUIET, revision.changed()).await {
        if changed.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Returns when much has changed.
async fn many(revision: &mut watch::Receiver<u64>) {
    let from = *revision.borrow_and_update();
    if revision.wait_for(|now| *now >= from + MANY).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// So long nothing changes: a little longer than the allocator waits by itself.
const QUIET: Duration = Duration::from_millis(1500);
/// Changes that leave much behind.
const MANY: u64 = 500;
