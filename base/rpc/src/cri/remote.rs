//! A container runtime behind a channel: the traits over the generated gRPC clients.

use tonic::transport::Channel;

use super::services::{answer, image_calls, runtime_calls};
use super::*;

/// A container runtime that listens somewhere, usually on a unix socket.
///
/// ```no_run
/// # fn doc() -> Result<(), Box<dyn std::error::Error>> {
/// use tonic::transport::Endpoint;
/// let channel = Endpoint::from_shared("unix:///run/containerd/containerd.sock")?.connect_lazy();
/// let runtime = rpc::cri::Remote::new(channel);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Remote {
    channel: Channel,
}

impl Remote {
    /// A runtime at the other end of `channel`. A channel connects again by itself.
    pub fn new(channel: Channel) -> Self {
        Self { channel }
    }

    /// A runtime that listens on a socket: `/run/x.sock`, or `unix:///run/x.sock`. It need not
    /// be there yet: a call connects, and is `UNAVAILABLE` when nobody listens.
    pub fn at(socket: &str) -> Result<Self, tonic::transport::Error> {
        let address = match socket.starts_with("unix:") {
            true => socket.to_owned(),
            false => format!("unix://{socket}"),
        };
        Ok(Self::new(tonic::transport::Endpoint::from_shared(address)?.connect_lazy()))
    }
}

macro_rules! delivered {
    (one $answer:expr) => {
        $answer.into_inner()
    };
    (many $answer:expr) => {
        Box::pin($answer.into_inner()) as BoxStream<_>
    };
}

macro_rules! remote_service {
    ($service:ident, $client_module:ident, $client:ident, $_sm:ident;
     $($(#[$_doc:meta])* $kind:ident $call:ident $_name:ident ($request:ident) $response:ident $(as $_stream:ident)?;)+) => {
        impl $service for Remote {
            $(
                fn $call(&self, request: $request) -> BoxFuture<'_, Result<answer!($kind $response), Status>> {
                    let mut client = $client_module::$client::new(self.channel.clone())
                        .max_decoding_message_size(MESSAGE_MAX_BYTES)
                        .max_encoding_message_size(MESSAGE_MAX_BYTES);
                    Box::pin(async move {
                        let answer = client.$call(request).await?;
                        Ok(delivered!($kind answer))
                    })
                }
            )+
        }
    };
}

runtime_calls!(remote_service);
image_calls!(remote_service);
