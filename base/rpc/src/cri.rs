//! The Container Runtime Interface, v1: what a kubelet asks of a container engine.
//!
//! [`RuntimeService`] and [`ImageService`] are the interface as one calls it in this process:
//! traits without generics, so that the roof can hand a kubelet either an engine in the same
//! process or a [`Remote`] one behind a socket. [`Served`] is the way back: it lets the
//! generated gRPC servers answer with any implementation.
//!
//! Every method has a default that answers UNIMPLEMENTED, as gRPC does for what a server
//! lacks. Messages are the generated ones, and the errors are gRPC's own: `NOT_FOUND` for an
//! object that is not there, `UNAVAILABLE` for an engine that is not reached, and so on.

mod remote;
mod served;
mod services;

use std::fmt;
use std::pin::Pin;

pub use remote::Remote;
pub use served::Served;
pub use services::{ImageService, RuntimeService};
pub use tonic::{Code, Status};
pub use v1::*;

use crate::Stream;

/// Code written by `cargo xtask rpc` from `proto/cri.proto`.
#[path = "generated/runtime.v1.rs"]
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub, unused_qualifications)]
#[rustfmt::skip]
mod v1;

/// An answer that is still being made.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Answers that come one after the other, until the asker drops it.
pub type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The largest message that either side takes, as kubelets have it.
pub const MESSAGE_MAX_BYTES: usize = 16 << 20;

// By hand, so that no log shows a password.
impl fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthConfig")
            .field("username", &self.username)
            .field("server_address", &self.server_address)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    struct Named(&'static str);

    impl RuntimeService for Named {
        fn version(&self, request: VersionRequest) -> BoxFuture<'_, Result<VersionResponse, Status>> {
            Box::pin(async move {
                Ok(VersionResponse {
                    version: request.version,
                    runtime_name: self.0.to_owned(),
                    ..VersionResponse::default()
                })
            })
        }
    }

    /// Polls a future that never has to wait.
    fn now<T>(mut future: BoxFuture<'_, T>) -> T {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => value,
            std::task::Poll::Pending => panic!("it waits"),
        }
    }

    #[test]
    fn is_called_without_knowing_who_answers() {
        let runtime: Arc<dyn RuntimeService> = Arc::new(Named("here"));
        let answer = now(runtime.version(VersionRequest { version: "v1".to_owned() })).unwrap();
        assert_eq!((answer.version.as_str(), answer.runtime_name.as_str()), ("v1", "here"));
    }

    #[test]
    fn what_is_lacking_is_unimplemented() {
        let error = now(Named("here").stop_pod_sandbox(StopPodSandboxRequest::default())).unwrap_err();
        assert_eq!(error.code(), Code::Unimplemented);
        assert_eq!(error.message(), "StopPodSandbox is not implemented by this container runtime");
    }

    #[test]
    fn shows_no_secret() {
        let auth = AuthConfig {
            username: "me".to_owned(),
            password: "hunter2".to_owned(),
            auth: "aHVudGVyMg".to_owned(),
            server_address: "registry".to_owned(),
            identity_token: "token1".to_owned(),
            registry_token: "token2".to_owned(),
        };
        let shown = format!("{:?}", PullImageRequest { auth: Some(auth), ..PullImageRequest::default() });
        assert!(shown.contains("\"me\""), "{shown}");
        for secret in ["hunter2", "aHVudGVyMg", "token1", "token2"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
