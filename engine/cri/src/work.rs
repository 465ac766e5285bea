//! The engine's calls block; they are made on the threads for that.

use rpc::cri::{BoxFuture, Status};

/// Runs `work` where it may block. A caller that goes away does not cut it short.
pub(crate) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> BoxFuture<'static, Result<T, Status>> {
    Box::pin(async move {
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|error| Err(Status::internal(format!("the call ended in the middle: {error}"))))
    })
}
